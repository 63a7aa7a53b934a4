//! Configuration that drifts, and is found before it hurts or stands in the way of what would.

use std::time::Duration;

use simulator::{Encryption, SimTime};

use super::expect::Expect;
use super::{DUBLIN, HOME, around, minutes, outage};
use crate::harness::{LOOK, TICK};
use crate::history::{Ending, Function, History, Mover, attribute, body};
use crate::scenario::{Action, RuleChange, Scenario, Stage};

const SOURCE: &str = "app-use1";
const TARGET: &str = "app-euw1";
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/home";
const REPLICA_KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/dublin";

fn rule(change: RuleChange) -> Action {
    Action::Rule {
        source: SOURCE.to_owned(),
        destination: TARGET.to_owned(),
        change,
    }
}

fn sweep() -> Action {
    Action::SweepUnreplicated {
        source: SOURCE.to_owned(),
    }
}

/// The check's next look after a moment is over by then.
fn looked(at: SimTime) -> SimTime {
    at + LOOK + minutes(2)
}

/// Whether an announcement of the readiness check names this finding among these of its fields.
fn named(history: &History, field: &str, id: &str, from: SimTime, until: SimTime) -> bool {
    let told = history.events("readiness-changed");
    told.into_values().any(|one| {
        let body = body(one);
        let mut findings = body[field].as_array().into_iter().flatten();
        (from..=until).contains(&one.at)
            && findings.any(|finding| finding["id"].as_str().or(finding.as_str()) == Some(id))
    })
}

/// Whether the `failover` function said that it is blocked, by a guard whose detail says this.
fn blocked_because(history: &History, detail: &str) -> bool {
    history.said(Function::Failover).any(|(_, line)| {
        let guards = line["guards"].as_array().into_iter().flatten();
        let mut drifted = guards.filter(|one| one["guard"] == "target-not-drifted");
        drifted.any(|one| {
            one["verdict"] == "block" && one["detail"].as_str().unwrap_or_default().contains(detail)
        })
    })
}

pub(super) const ONE_WAY_REPLICATION: Scenario = Scenario {
    name: "one-way-replication",
    story: "Somebody disables the rule from us-east-1 to eu-west-1; the hourly check pages it. Then us-east-1 goes down.\n\
            No failover loses what was never copied: it is blocked and says why, until the rule and the gap are mended.",
    stage: |dice| {
        let drift = around(dice, 15);
        let down = SimTime::ZERO + minutes(dice.u64(66..72));
        let span = minutes(dice.u64(8..15));
        let mended = down + span + minutes(dice.u64(5..8));
        let (outage, story) = outage(dice, HOME, down, span);
        let mut stage = Stage::default()
            .checked()
            .trouble(HOME, down)
            .mark("drift", drift)
            .mark("down", down)
            .mark("up", down + span)
            .mark("mended", mended)
            .step(
                drift,
                "somebody disables the replication rule from app-use1 to app-euw1",
                rule(RuleChange::Enabled(false)),
            )
            .outage(outage, story)
            .step(
                mended,
                "a person enables the rule again, as the page says",
                rule(RuleChange::Enabled(true)),
            )
            .step(
                mended + minutes(1),
                "and has everything replicated that never was",
                sweep(),
            );
        stage.length = Duration::from_mins(150);
        stage
    },
    expect: |history| {
        let at = |mark| history.stage.at(mark);
        let id = "rule/app-use1 to app-euw1";
        let found = named(history, "new", id, at("drift"), looked(at("drift")));
        let woken = history
            .events("readiness-changed")
            .into_values()
            .any(|one| {
                attribute(one, "severity") == "critical" && attribute(one, "region") == DUBLIN
            });
        let fixed = named(history, "fixed", id, at("mended"), looked(at("mended")));
        Expect::of(history)
            .nothing_moved()
            .that(found, "the next look finds the disabled rule")
            .that(woken, "and pages it for eu-west-1")
            .told_between("blocked", at("down"), at("up") + TICK)
            .that(
                blocked_because(
                    history,
                    "the rule to-app-euw1 from app-use1 to app-euw1 is disabled",
                ),
                "the block names the rule",
            )
            .redrive_got(&["needs-confirmation", "sweeping"])
            .that(fixed, "the look after the repair says so")
            .done()
    },
};

pub(super) const SILENT_KMS: Scenario = Scenario {
    name: "silent-kms",
    story: "Somebody makes KMS the default encryption of us-east-1's bucket; the rules do not replicate such objects.\n\
            No failure, no event, no metric tells of it; the hourly check does. Once mended and swept, a failover is safe.",
    stage: |dice| {
        let drift = around(dice, 15);
        let mended = SimTime::ZERO + minutes(dice.u64(64..70));
        let down = SimTime::ZERO + minutes(dice.u64(124..130));
        let span = minutes(dice.u64(10..15));
        let (outage, story) = outage(dice, HOME, down, span);
        let mut stage = Stage::default()
            .checked()
            .trouble(HOME, down)
            .mark("drift", drift)
            .mark("mended", mended)
            .mark("down", down)
            .step(
                drift,
                "somebody makes KMS the default encryption of app-use1",
                Action::Encrypt {
                    bucket: SOURCE.to_owned(),
                    encryption: Encryption::SseKms {
                        key: KEY.to_owned(),
                    },
                },
            )
            .step(
                mended,
                "a person gives the rule a key for its replicas, as the page says",
                rule(RuleChange::ReplicaKey(Some(REPLICA_KEY.to_owned()))),
            )
            .step(
                mended + minutes(1),
                "and has everything replicated that never was",
                sweep(),
            )
            .outage(outage, story);
        stage.length = Duration::from_hours(3);
        stage
    },
    expect: |history| {
        let at = |mark| history.stage.at(mark);
        let id = "kms-replication/app-use1 to app-euw1";
        let found = named(history, "new", id, at("drift"), looked(at("drift")));
        let fixed = named(history, "fixed", id, at("mended"), looked(at("mended")));
        let looks = history.invoked(Function::Readiness);
        let answered = looks.filter(|one| matches!(one.ending, Ending::Answered(_)));
        Expect::of(history)
            .that(answered.count() == 3, "three looks in three hours")
            .that(found, "the next look finds it")
            .told("replication-failing", 0..=0)
            .redrive_got(&["needs-confirmation", "sweeping"])
            .that(fixed, "the look after the repair says so")
            .moves(&[(Mover::Machine, DUBLIN)])
            .move_between(0, at("down"), at("down") + minutes(4))
            .done()
    },
};
