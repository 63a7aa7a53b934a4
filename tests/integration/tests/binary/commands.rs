//! What an operator sends.

use integration::{
    AWAY, HOME, Stage, assert_announced, assert_answer, assert_log, command, is_empty, tick,
};
use serde_json::{Value, json};

use crate::start;

/// One night: a hold is set, home goes down, nothing moves, somebody looks and lets it go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_with_a_hold() {
    let stage = Stage::set(11).await;
    let mut function = start(&stage, &[]).await;

    let status = json!({ "command": "status" });
    let answer = function.answer(command(&status, "status-1")).await;
    assert_answer(&answer, "status");
    for field in [
        "mode", "hold", "triggers", "evidence", "claim", "drift", "history",
    ] {
        assert!(answer.get(field).is_some(), "{field}: {answer:#}");
    }
    assert_eq!(answer["hold"], Value::Null);
    assert_eq!(answer["mode"], "automatic");

    let hold = json!({ "command": "hold", "reason": "migration tonight" });
    let answer = function.answer(command(&hold, "hold-1")).await;
    assert_answer(&answer, "held");

    let event = stage.outage().await.eventbridge_json.unwrap();
    let answer = function.answer(command(&event, "alarm-1")).await;
    assert_answer(&answer, "blocked");
    assert_eq!(blocking(&answer), ["not-on-hold"]);
    assert_eq!(stage.active(), [HOME]);

    let answer = function.answer(command(&status, "status-2")).await;
    assert_eq!(answer["hold"]["reason"], "migration tonight");
    assert_eq!(answer["triggers"][0]["region"], HOME);

    let wish = json!({
        "command": "failover", "to": AWAY, "reason": "what if?",
        "override": ["not-on-hold"], "dryRun": true,
    });
    let answer = function.answer(command(&wish, "dry-run-1")).await;
    assert_answer(&answer, "would-act");
    assert_eq!(stage.active(), [HOME]);

    let release = json!({ "command": "release", "reason": "migration is over" });
    let answer = function.answer(command(&release, "release-1")).await;
    assert_answer(&answer, "released");
    assert_eq!(stage.active(), [HOME], "release itself moves nothing");

    let answer = function.answer(tick("tick-1")).await;
    assert_answer(&answer, "failed-over");
    assert_eq!(stage.active(), [AWAY]);

    let acknowledge = json!({ "command": "acknowledge", "incident": answer["incident"] });
    let answer = function
        .answer(command(&acknowledge, "acknowledge-1"))
        .await;
    assert_answer(&answer, "acknowledged");
    let record = stage.state().unwrap();
    assert!(is_empty(&record["triggers"]), "{record:#}");
    assert!(is_empty(&record["incident"]), "{record:#}");
    assert_eq!(stage.active(), [AWAY], "acknowledge moves nothing");
    assert_eq!(stage.changes().len(), 1);

    let events = assert_announced(&stage);
    for event in [
        "held",
        "blocked",
        "released",
        "submitted",
        "failed-over",
        "acknowledged",
    ] {
        assert!(events.contains(event), "{event}: {events:?}");
    }
    assert_log(&function.kill().await);
}

/// All is well and somebody moves the dial on purpose, in a mode that limits automatic changes only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_by_hand() {
    let stage = Stage::set(12).await;
    let mut function = start(&stage, &[("MODE", "observe")]).await;
    let wish = |dry_run: bool| {
        json!({
            "command": "failover", "from": HOME, "to": AWAY, "reason": "planned",
            "force": true, "dryRun": dry_run,
        })
    };

    let answer = function.answer(command(&wish(true), "dry-run-1")).await;
    assert_answer(&answer, "would-act");
    assert_eq!(stage.active(), [HOME]);
    assert_eq!(stage.announced(), [], "a dry run tells nobody");

    let answer = function.answer(command(&wish(false), "failover-1")).await;
    assert_answer(&answer, "switched-over");
    assert_eq!(stage.active(), [AWAY]);
    assert_eq!(stage.changes().len(), 1);
    assert!(assert_announced(&stage).contains("switched-over"));
    assert_log(&function.kill().await);
}

fn blocking(answer: &Value) -> Vec<&str> {
    let guards = answer["guards"].as_array().unwrap();
    guards
        .iter()
        .filter(|guard| guard["verdict"] == "block")
        .map(|guard| guard["guard"].as_str().unwrap())
        .collect()
}
