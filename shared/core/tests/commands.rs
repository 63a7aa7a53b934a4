//! The operator's commands: what the contract shows is taken, everything else is named.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use sentinel_core::command::{
    Command, FailbackCommand, FailoverCommand, MAX_REASON, RehearseCommand,
};
use sentinel_core::guard::Guard;
use sentinel_core::names::Region;
use serde_json::{Value, json};

fn read(value: &Value) -> Result<Command, String> {
    Command::from_object(value.as_object().unwrap()).map_err(|error| error.to_string())
}

fn regions(names: &[&str]) -> BTreeSet<Region> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn failover(value: &Value) -> FailoverCommand {
    match read(value) {
        Ok(Command::Failover(command)) => command,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_command_of_the_contract_is_read() {
    let reason = || "because".to_owned();
    let none = BTreeSet::new;
    let cases = [
        (json!({"command":"tick"}), Command::Tick),
        (json!({"command":"status"}), Command::Status),
        (
            json!({"command":"failover","from":"us-east-1","to":"eu-west-1","reason":"because",
                   "dryRun":false,"force":false,"override":[],"breakGlass":false}),
            Command::Failover(FailoverCommand {
                from: Some(regions(&["us-east-1"])),
                to: Some(regions(&["eu-west-1"])),
                reason: reason(),
                dry_run: false,
                force: false,
                overrides: none(),
                break_glass: false,
            }),
        ),
        (
            json!({"command":"failback","reason":"because"}),
            Command::Failback(FailbackCommand {
                reason: reason(),
                dry_run: false,
                force: false,
                overrides: none(),
            }),
        ),
        (
            json!({"command":"rehearse","to":"eu-west-1","reason":"because"}),
            Command::Rehearse(RehearseCommand {
                to: Some(regions(&["eu-west-1"])),
                reason: reason(),
                scheduled: false,
                dry_run: false,
                force: false,
                overrides: none(),
            }),
        ),
        (
            json!({"command":"rehearse","reason":"because","scheduled":true}),
            Command::Rehearse(RehearseCommand {
                to: None,
                reason: reason(),
                scheduled: true,
                dry_run: false,
                force: false,
                overrides: none(),
            }),
        ),
        (
            json!({"command":"approve","decision":"d-1"}),
            Command::Approve {
                decision: "d-1".to_owned(),
            },
        ),
        (
            json!({"command":"hold","reason":"because","until":"2026-12-24T00:00:00Z"}),
            Command::Hold {
                reason: reason(),
                until: Some("2026-12-24T00:00:00Z".parse().unwrap()),
            },
        ),
        (
            json!({"command":"hold","reason":" because ","until":null}),
            Command::Hold {
                reason: reason(),
                until: None,
            },
        ),
        (
            json!({"command":"release","reason":"because"}),
            Command::Release { reason: reason() },
        ),
        (
            json!({"command":"acknowledge","incident":"2026-11-20T16:59:03Z-us-east-1"}),
            Command::Acknowledge {
                incident: "2026-11-20T16:59:03Z-us-east-1".to_owned(),
            },
        ),
        (
            json!({"command":"repair-state","reason":"because"}),
            Command::RepairState { reason: reason() },
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(read(&value), Ok(expected.clone()), "{value}");
        assert_eq!(value.get("command").unwrap(), expected.name());
    }
}

#[test]
fn regions_are_one_or_several_or_left_out() {
    let command = |from: Value, to: Value| {
        failover(&json!({"command":"failover","from":from,"to":to,"reason":"r"}))
    };
    let both = command(
        json!(["us-east-1", "us-west-2"]),
        json!(["eu-west-1", "eu-west-1"]),
    );
    assert_eq!(both.from, Some(regions(&["us-east-1", "us-west-2"])));
    assert_eq!(both.to, Some(regions(&["eu-west-1"])));
    let neither = command(Value::Null, Value::Null);
    assert_eq!((neither.from, neither.to), (None, None));
}

#[test]
fn force_overrides_all_that_may_be() {
    let named = failover(
        &json!({"command":"failover","reason":"r","override":["cooldown","daily-budget"]}),
    );
    let expected = BTreeSet::from([Guard::Cooldown, Guard::DailyBudget]);
    assert_eq!(named.overridden(), expected);
    let forced =
        failover(&json!({"command":"failover","reason":"r","force":true,"override":["cooldown"]}));
    assert_eq!(forced.overridden(), Guard::overridable().collect());
    let plain = failover(&json!({"command":"failover","reason":"r"}));
    assert_eq!(plain.overridden(), BTreeSet::new());
}

#[test]
fn what_is_wrong_is_named() {
    let guards = "those that may be overridden are evidence-agrees, not-on-hold, target-is-healthy, \
                  target-not-drifted, loss-is-acceptable, drained, cooldown, daily-budget";
    let commands = "tick, status, failover, failback, rehearse, approve, hold, release, acknowledge, repair-state";
    let failover_fields = "from, to, reason, dryRun, force, override, breakGlass";
    let cases = [
        (json!({"command":7}), format!("\"command\" must be text, one of {commands}")),
        (json!({"command":"Failover"}), format!("there is no command \"Failover\"; the commands are {commands}")),
        (json!({"command":"sweep"}), "sweep is a command of the redrive function: invoke that one".into()),
        (json!({"command":"tick","now":true}), "tick has no field \"now\"; it takes no fields".into()),
        (json!({"command":"failover","reason":"r","dryrun":true,"too":"eu-west-1"}),
            format!("failover has no field \"dryrun\", \"too\"; it takes {failover_fields}")),
        (json!({"command":"failback","reason":"r","breakGlass":true}),
            "failback has no field \"breakGlass\"; it takes reason, dryRun, force, override".into()),
        (json!({"command":"failover"}),
            "failover: \"reason\" is missing: say in a sentence why; it is recorded and announced".into()),
        (json!({"command":"release","reason":"  "}),
            "release: \"reason\" is empty: say in a sentence why; it is recorded and announced".into()),
        (json!({"command":"release","reason":["r"]}), "release: \"reason\" must be text, not a list".into()),
        (json!({"command":"release","reason":"r".repeat(MAX_REASON + 1)}),
            "release: \"reason\" is longer than 1000 characters".into()),
        (json!({"command":"failover","reason":"r","dryRun":"true"}),
            "failover: \"dryRun\" must be true or false, not text".into()),
        (json!({"command":"failover","reason":"r","to":"Ireland"}),
            "failover: \"to\" names \"Ireland\", which is not a Region code such as eu-west-1".into()),
        (json!({"command":"failover","reason":"r","to":[]}),
            "failover: \"to\" is empty: leave it out to have it chosen, or name at least one Region".into()),
        (json!({"command":"failover","reason":"r","from":["us-east-1",1]}),
            "failover: \"from\" must be a Region or a list of Regions, not a number".into()),
        (json!({"command":"failover","reason":"r","from":"us-east-1","to":["eu-west-1","us-east-1"]}),
            "failover: us-east-1 stands in \"from\" and in \"to\"; it cannot be both left and active".into()),
        (json!({"command":"failover","reason":"r","override":"cooldown"}),
            "failover: \"override\" must be a list of guards, not text".into()),
        (json!({"command":"failover","reason":"r","override":["cool-down"]}),
            format!("failover: \"override\" names \"cool-down\", which is no guard; {guards}")),
        (json!({"command":"failover","reason":"r","override":["at-least-one-active"]}),
            format!("failover: \"override\" names at-least-one-active, which may never be overridden; {guards}")),
        (json!({"command":"rehearse","reason":"r","scheduled":true,"force":true}),
            "rehearse: \"scheduled\" does not go with \"force\": nobody looks on when the schedule rehearses, so nothing is overridden".into()),
        (json!({"command":"rehearse","reason":"r","scheduled":true,"override":["drained"]}),
            "rehearse: \"scheduled\" does not go with \"override\": nobody looks on when the schedule rehearses, so nothing is overridden".into()),
        (json!({"command":"hold","reason":"r","until":"tomorrow"}),
            "hold: \"until\" is \"tomorrow\", which is not a time such as 2026-12-24T00:00:00Z".into()),
        (json!({"command":"hold","reason":"r","until":1_800_000_000}),
            "hold: \"until\" must be a time as text, not a number".into()),
        (json!({"command":"approve"}),
            "approve: \"decision\" is missing: the id that the answer or the page gives".into()),
        (json!({"command":"acknowledge","incident":""}),
            "acknowledge: \"incident\" is empty: the id that the answer or the page gives".into()),
    ];
    for (value, expected) in cases {
        assert_eq!(read(&value), Err(expected), "{value}");
    }
}

#[test]
fn serde_reads_as_strictly() {
    let error = serde_json::from_value::<Command>(json!({"command":"tick","x":1})).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tick has no field \"x\"; it takes no fields"
    );
    assert!(serde_json::from_value::<Command>(json!("tick")).is_err());
}

fn some_regions() -> impl Strategy<Value = Option<BTreeSet<Region>>> {
    let names = ["us-east-1", "us-west-2", "eu-west-1", "ap-southeast-2"];
    let some = proptest::sample::subsequence(names.to_vec(), 1..=2)
        .prop_map(|names| Some(regions(&names)));
    prop_oneof![Just(None), some]
}

fn some_guards() -> impl Strategy<Value = BTreeSet<Guard>> {
    let guards: Vec<Guard> = Guard::overridable().collect();
    let most = guards.len();
    proptest::sample::subsequence(guards, 0..=most).prop_map(BTreeSet::from_iter)
}

fn some_command() -> impl Strategy<Value = Command> {
    let reason = || "[a-z\"\\\\é]{1,40}";
    let failover = (
        some_regions(),
        some_regions(),
        reason(),
        any::<[bool; 3]>(),
        some_guards(),
    );
    prop_oneof![
        failover.prop_map(
            |(from, to, reason, [dry_run, force, break_glass], overrides)| {
                let to = to.filter(|to| from.as_ref().is_none_or(|from| from.is_disjoint(to)));
                Command::Failover(FailoverCommand {
                    from,
                    to,
                    reason,
                    dry_run,
                    force,
                    overrides,
                    break_glass,
                })
            }
        ),
        (some_regions(), reason(), any::<[bool; 3]>(), some_guards()).prop_map(
            |(to, reason, [dry_run, force, scheduled], overrides)| {
                Command::Rehearse(RehearseCommand {
                    to,
                    reason,
                    scheduled: scheduled && !force && overrides.is_empty(),
                    dry_run,
                    force,
                    overrides,
                })
            }
        ),
        (reason(), any::<[bool; 2]>(), some_guards()).prop_map(
            |(reason, [dry_run, force], overrides)| {
                Command::Failback(FailbackCommand {
                    reason,
                    dry_run,
                    force,
                    overrides,
                })
            }
        ),
        (reason(), proptest::option::of(0_i64..4_000_000_000)).prop_map(|(reason, until)| {
            Command::Hold {
                reason,
                until: until.map(|second| jiff::Timestamp::from_second(second).unwrap()),
            }
        }),
        reason().prop_map(|reason| Command::RepairState { reason }),
        reason().prop_map(|decision| Command::Approve { decision }),
        Just(Command::Tick),
    ]
}

proptest! {
    #[test]
    fn a_command_is_written_as_it_is_read(command in some_command()) {
        let written = serde_json::to_value(&command).unwrap();
        prop_assert_eq!(read(&written), Ok(command));
    }
}
