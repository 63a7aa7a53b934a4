//! Operators' commands.

use serde_json::{Value, json};

use crate::stage::{AWAY, HOME, STATE, Stage, on_virtual_time};

async fn failing(stage: &mut Stage, count: u32) -> Value {
    stage.deny(Some("DstBucketUnversioned"));
    stage.write(HOME, count);
    let status = stage
        .until(10, |status| status["counts"]["open"] == json!(count))
        .await;
    status["groups"][0]["group"].clone()
}

#[test]
fn what_is_refused_says_what_to_do() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        let known = failing(&mut stage, 3).await;
        let unknown = "0123456789abcdef";
        #[rustfmt::skip]
        let table = [
            (json!([]), "this function takes commands"),
            (json!({"detail-type": "CloudWatch Alarm State Change"}), "alarms to failover"),
            (json!({"command": 5}), "must be text, one of tick, redrive-status"),
            (json!({"command": "redrive"}), "there is no command \"redrive\"; the commands are tick, redrive-status"),
            (json!({"command": "failover", "reason": "x"}), "failover is a command of the failover function"),
            (json!({"command": "redrive-status", "groups": []}), "has no field \"groups\"; it takes group"),
            (json!({"command": "retry", "reason": "x"}), "redrive-status"),
            (json!({"command": "retry", "group": known}), "\"reason\" is missing"),
            (json!({"command": "retry", "group": "app-use1", "reason": "x"}), "16 hexadecimal digits"),
            (json!({"command": "retry", "group": unknown, "reason": "x"}), known.as_str().unwrap()),
            (json!({"command": "abandon", "group": unknown, "reason": "x"}), "redrive-status"),
            (json!({"command": "redrive-status", "group": unknown}), "there is no group"),
            (json!({"command": "redrive-hold", "reason": "x", "until": "2020-01-01T00:00:00Z"}), "in the past"),
            (json!({"command": "redrive-hold", "reason": " "}), "\"reason\" is empty"),
            (json!({"command": "sweep", "reason": "x"}), "name the member's bucket"),
            (json!({"command": "sweep", "source": "elsewhere", "reason": "x"}), "elsewhere is no member: sweep one of app-use1, app-euw1"),
            (json!({"command": "sweep", "source": HOME, "statuses": ["PENDING"], "reason": "x"}), "none of FAILED, NONE, COMPLETED, REPLICA"),
            (json!({"command": "sweep", "group": known, "statuses": ["NONE"], "reason": "x"}), "does not go with \"group\""),
            (json!({"command": "sweep", "confirm": "abc", "reason": "x"}), "not known or has expired"),
        ];
        for (payload, says) in table {
            let text = payload.to_string();
            let error = stage.invoke(payload).await.expect_err(&text).chain();
            assert!(error.contains(says), "{text}: {error}");
        }
    });
}

#[test]
fn a_hold_keeps_jobs_from_being_created() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        let group = failing(&mut stage, 5).await;
        for scope in [json!(null), group] {
            let hold = json!({"command": "redrive-hold", "group": scope, "reason": "night work"});
            assert_eq!(stage.command(hold).await["outcome"], "held");
            let jobs = stage.jobs();
            stage.minutes(40).await;
            assert_eq!(stage.jobs(), jobs);
            if scope.is_string() {
                let retry = json!({"command": "retry", "group": scope, "reason": "mended"});
                let answer = stage.command(retry).await;
                assert_eq!(answer["outcome"], "blocked");
            }
            let release = json!({"command": "redrive-release", "group": scope, "reason": "over"});
            assert_eq!(stage.command(release.clone()).await["outcome"], "released");
            assert_eq!(stage.command(release).await["outcome"], "no-change");
            stage.minutes(3).await;
            assert_eq!(stage.jobs(), jobs + 1, "the sample that was due");
            stage.minutes(10).await;
        }
        let events = stage.announced();
        let count = |name: &str| events.iter().filter(|event| *event == name).count();
        assert_eq!((count("redrive-held"), count("redrive-released")), (2, 2));
    });
}

#[test]
fn what_is_abandoned_is_settled_and_stays_away() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        let group = failing(&mut stage, 25).await;
        let answer = stage
            .command(json!({"command": "abandon", "group": group, "reason": "old test data"}))
            .await;
        assert_eq!(answer["outcome"], "abandoning");
        stage.minutes(3).await;
        let status = stage.status().await;
        assert_eq!(status["counts"]["open"], json!(0), "{status:#}");
        assert_eq!(status["totals"]["abandoned"], json!(25));
        assert_eq!(stage.missing(HOME, AWAY), 25);
        assert_eq!(stage.jobs(), 0);
        assert!(stage.announced().contains(&"group-abandoned".to_owned()));
        let again = stage
            .command(json!({"command": "abandon", "group": group, "reason": "again"}))
            .await;
        assert_eq!(again["outcome"], "no-change");
    });
}

#[test]
fn a_sweep_is_priced_confirmed_and_followed() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[("REDRIVE", "observe")]);
        let group = failing(&mut stage, 40).await;
        stage.deny(None);
        let ask = json!({"command": "sweep", "group": group, "reason": "all at once"});
        let answer = stage.command(ask).await;
        assert_eq!(answer["outcome"], "needs-confirmation");
        assert_eq!(answer["estimate"]["objects"], Value::Null);
        assert!(
            answer["explanation"]
                .as_str()
                .unwrap()
                .contains("is not known"),
            "{answer:#}"
        );
        assert_eq!(stage.jobs(), 0);
        let confirm = answer["estimate"]["confirm"].clone();
        let other = json!({"command": "sweep", "confirm": confirm, "source": AWAY, "reason": "x"});
        let error = stage.invoke(other).await.expect_err("another source");
        assert!(error.chain().contains("\"source\" is not what was offered"));
        let go = json!({"command": "sweep", "confirm": confirm, "reason": "all at once"});
        assert_eq!(stage.command(go.clone()).await["outcome"], "sweeping");
        let error = stage.invoke(go).await.expect_err("confirmed once");
        assert!(error.chain().contains("not known or has expired"));
        stage
            .until(60, |status| status["history"][0]["kind"]["kind"] == "sweep")
            .await;
        assert_eq!(stage.missing(HOME, AWAY), 0);
        assert!(stage.announced().contains(&"sweep-ended".to_owned()));
        // An offer that nobody confirmed in time is void.
        let answer = stage
            .command(
                json!({"command": "sweep", "source": HOME, "statuses": ["NONE"], "reason": "x"}),
            )
            .await;
        stage.rest(16 * 60).await;
        let late =
            json!({"command": "sweep", "confirm": answer["estimate"]["confirm"], "reason": "x"});
        assert!(stage.invoke(late).await.is_err());
    });
}

#[test]
fn a_lost_document_is_paged_with_the_way_back() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        failing(&mut stage, 5).await;
        stage
            .sim
            .with(|world| world.delete_object_as_person(STATE, "redrive.json"));
        for _ in 0..3 {
            let error = stage
                .invoke(json!({"command": "tick"}))
                .await
                .expect_err("deleted")
                .chain();
            assert!(error.contains("redrive.json was deleted"), "{error}");
            assert!(error.contains("aws s3api copy-object"), "{error}");
        }
        let lost = |stage: &Stage| {
            stage
                .announced()
                .iter()
                .filter(|event| *event == "state-lost")
                .count()
        };
        assert_eq!(lost(&stage), 1, "paged once");
        stage
            .sim
            .with(|world| world.put_object_as_person(STATE, "redrive.json", "{\"schema\":1"));
        let error = stage.invoke(json!({"command": "tick"})).await;
        assert!(error.expect_err("torn").chain().contains("cannot be read"));
        stage.sim.with(|world| {
            world.put_object_as_person(STATE, "redrive.json", "{\"schema\":9}");
        });
        let error = stage.invoke(json!({"command": "redrive-status"})).await;
        assert!(error.expect_err("later").chain().contains("has schema 9"));
    });
}

#[test]
fn regression_many_new_groups_are_all_paged_for() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[("REDRIVE", "observe")]);
        for number in 0..230 {
            stage.append(&format!("NewReason{number}"));
        }
        stage.minutes(5).await;
        let told = stage.announced();
        let pages = told.iter().filter(|event| *event == "replication-failing");
        assert_eq!(pages.count(), 230);
        assert!(!told.contains(&"redrive-stuck".to_owned()));
    });
}

#[test]
fn regression_what_was_handed_over_is_deleted_when_it_is_given_up() {
    on_virtual_time(async || {
        // Everything is too old at once.
        let mut stage = Stage::new(&[("REDRIVE_AGE_DAYS", "1"), ("REDRIVE", "observe")]);
        let group = failing(&mut stage, 5).await;
        stage.rest(25 * 3600).await;
        stage.minutes(3).await;
        let status = stage.status().await;
        assert_eq!(
            status["counts"]["waitingForAPerson"],
            json!(5),
            "{status:#}"
        );
        assert!(!stage.files("ledger/handed-over/").is_empty());
        let abandon = json!({"command": "abandon", "group": group, "reason": "old test data"});
        assert_eq!(stage.command(abandon).await["outcome"], "abandoning");
        stage.minutes(2).await;
        assert_eq!(stage.files("ledger/handed-over/"), [""; 0]);
        let status = stage.status().await;
        assert_eq!(status["totals"]["abandoned"], json!(5));
        let retry = json!({"command": "retry", "group": group, "reason": "mended"});
        assert_eq!(stage.command(retry).await["outcome"], "no-change");
    });
}

#[test]
fn regression_status_of_a_group_that_no_tick_has_seen_yet() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        stage.append("DstBucketUnversioned");
        let all = stage.status().await;
        assert_eq!(all["counts"]["groups"], json!(1));
        let group = stage.files("ledger/open/")[0]
            .split('/')
            .nth(2)
            .unwrap()
            .to_owned();
        let one = stage
            .command(json!({"command": "redrive-status", "group": group}))
            .await;
        assert_eq!(
            one["groups"][0]["reason"], "DstBucketUnversioned",
            "{one:#}"
        );
        assert_eq!(one["groups"][0]["rows"], json!(1));
        assert_eq!(stage.files("redrive.json"), [""; 0], "it changes nothing");
    });
}
