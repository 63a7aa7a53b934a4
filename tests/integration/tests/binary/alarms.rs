//! Alarms and the tick move the dial, whatever way they arrive.

use integration::{
    AWAY, HOME, Stage, assert_announced, assert_answer, assert_log, command, pause, tick,
};
use serde_json::Value;
use simulator::cloudwatch::Delivery;
use std::time::Duration;

use crate::start;

async fn moves_the_dial(seed: u64, payload: fn(Delivery) -> Option<Value>) {
    let stage = Stage::set(seed).await;
    let mut function = start(&stage, &[]).await;
    let event = payload(stage.outage().await).expect("this way of delivery");

    let answer = function.answer(command(&event, "alarm-1")).await;

    assert_answer(&answer, "failed-over");
    assert_eq!(answer["from"], serde_json::json!([HOME]));
    assert_eq!(answer["to"], serde_json::json!([AWAY]));
    let incident = answer["incident"].as_str().unwrap();
    assert!(incident.ends_with(HOME), "{incident}");
    assert_eq!(stage.active(), [AWAY]);
    assert_eq!(stage.changes().len(), 1);
    let record = stage.state().unwrap();
    assert_eq!(record["schema"], 1);
    assert_eq!(record["changes"][0]["decision"], answer["decision"]);
    assert_eq!(record["incident"]["id"], answer["incident"]);
    stage.assert_recorded_once();
    let events = assert_announced(&stage);
    assert!(events.contains("submitted") && events.contains("failed-over"));

    // The same event again, as at-least-once delivery may bring it: nothing more happens.
    let again = function.answer(command(&event, "alarm-1")).await;
    assert_answer(&again, "no-change");
    assert_eq!(stage.changes().len(), 1);
    assert_eq!(assert_announced(&stage), events);
    assert_eq!(function.api().unexpected(), [""; 0]);
    assert_log(&function.kill().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_eventbridge_event_moves_the_dial() {
    moves_the_dial(1, |delivery| delivery.eventbridge_json).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_alarm_action_moves_the_dial() {
    moves_the_dial(2, |delivery| delivery.lambda_action_json).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sns_notification_moves_the_dial() {
    moves_the_dial(3, |delivery| delivery.sns_json).await;
}

/// No alarm at all: the function's own probes are reason enough once they have lasted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tick_moves_the_dial_by_its_own_evidence() {
    let stage = Stage::set(4).await;
    let mut function = start(
        &stage,
        &[
            ("EVIDENCE_TRIGGER_SECONDS", "10"),
            ("EVIDENCE_MAX_AGE_SECONDS", "10"),
        ],
    )
    .await;
    let first = function.answer(tick("tick-1")).await;
    assert_answer(&first, "no-change");
    stage.home_down();
    let second = function.answer(tick("tick-2")).await;
    assert_answer(&second, "no-change");
    assert_eq!(stage.active(), [HOME], "too early to act without an alarm");

    pause(Duration::from_secs(11)).await;
    let third = function.answer(tick("tick-3")).await;

    assert_answer(&third, "failed-over");
    assert_eq!(stage.active(), [AWAY]);
    assert_eq!(stage.changes().len(), 1);
    assert!(assert_announced(&stage).contains("failed-over"));
    assert_log(&function.kill().await);
}

/// `observe` is what a fresh deployment does: `MODE` is not set here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observe_moves_nothing_and_says_what_it_would_do() {
    let stage = Stage::set(5).await;
    let mut function = start(&stage, &[("MODE", "")]).await;
    let event = stage.outage().await.eventbridge_json.unwrap();

    let answer = function.answer(command(&event, "alarm-1")).await;

    assert_answer(&answer, "would-act");
    assert_eq!(answer["to"], serde_json::json!([AWAY]));
    assert_eq!(stage.active(), [HOME]);
    assert_eq!(stage.changes(), []);
    assert_eq!(stage.state().unwrap()["claim"], Value::Null);
    assert!(assert_announced(&stage).contains("would-act"));
    assert_log(&function.kill().await);
}

/// An alarm alone is no reason: the probes do not agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_about_a_healthy_member_moves_nothing() {
    let stage = Stage::set(6).await;
    let mut function = start(&stage, &[]).await;
    let event = stage.alarm().await.eventbridge_json.unwrap();

    let answer = function.answer(command(&event, "alarm-1")).await;

    assert_answer(&answer, "blocked");
    let guards = answer["guards"].as_array().unwrap();
    assert!(
        guards
            .iter()
            .any(|guard| guard["guard"] == "evidence-agrees" && guard["verdict"] == "block"),
        "{guards:#?}"
    );
    assert_eq!(stage.active(), [HOME]);
    assert_eq!(stage.changes(), []);
    assert_log(&function.kill().await);
}
