//! The real binaries: the health check finds an outage and wakes the failover function.

use std::time::Duration;

use integration::process::{Environment, Function, failover_binary, health_check_binary};
use integration::runtime_api::Invocation;
use integration::{AWAY, HOME, Stage, assert_answer, assert_log, command};
use serde_json::{Value, json};

const TOPIC: &str = "arn:aws:sns:us-east-2:111122223333:alarms";

/// A run with a round a second; how long it goes on follows from its deadline.
async fn health_check(stage: &Stage, changes: &[(&str, &str)]) -> Function {
    let mut all = vec![
        ("ALARM_TOPIC_ARN", TOPIC),
        ("PROBE_INTERVAL_SECONDS", "1"),
        ("PROBE_TIMEOUT_MILLIS", "1000"),
        // Those of the other function.
        ("MODE", ""),
        ("TOPIC_ARNS", ""),
        ("TRIGGER_ALARMS", ""),
    ];
    all.extend(changes);
    let environment: Environment = stage.environment(&all);
    let binary = health_check_binary(env!("CARGO_BIN_EXE_health-check-under-test"));
    Function::start(&binary, &environment).await
}

fn run(request_id: &str, seconds: u64) -> Invocation {
    // Eleven seconds of the time-out are kept for the last round and what follows it.
    let limit = Duration::from_secs(11 + seconds);
    Invocation::new(&json!({"command": "tick"}), request_id, limit)
}

/// The wake-ups as SNS would deliver them.
fn deliveries(stage: &Stage) -> Vec<Value> {
    let published = stage.simulator().with(|world| world.published().to_vec());
    let wakes = published.iter().filter(|one| one.topic_arn == TOPIC);
    wakes
        .map(|one| {
            let protocols: Value = serde_json::from_str(&one.message).unwrap();
            let sns = json!({"TopicArn": TOPIC, "Message": protocols["lambda"]});
            json!({"Records": [{"EventSource": "aws:sns", "Sns": sns}]})
        })
        .collect()
}

fn evidence(stage: &Stage) -> Value {
    let body = stage.simulator().with(|world| {
        let document = world.object("sentinel-state", "evidence.json");
        document.expect("evidence").body.clone()
    });
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_without_any_alarm_moves_the_dial() {
    let stage = Stage::set(81).await;
    let mut watching = health_check(&stage, &[]).await;
    let answer = watching.answer(run("run-1", 3)).await;
    assert_eq!(answer["outcome"], "observed", "{answer:#}");
    assert!(answer["recorded"].as_u64().unwrap() >= 2, "{answer:#}");
    assert_eq!(deliveries(&stage), [Value::Null; 0]);

    stage.home_down();
    let answer = watching.answer(run("run-2", 5)).await;
    assert_eq!(answer["verdicts"][HOME], "bad", "{answer:#}");
    assert_eq!(answer["verdicts"][AWAY], "good", "{answer:#}");
    assert_eq!(evidence(&stage)["run"]["id"], "run-2");
    let deliveries = deliveries(&stage);
    assert_eq!(deliveries.len(), 1, "{deliveries:#?}");

    let binary = failover_binary(env!("CARGO_BIN_EXE_failover-under-test"));
    let mut failover = Function::start(&binary, &stage.environment(&[])).await;
    let woken = failover.answer(command(&deliveries[0], "wake-1")).await;
    assert_answer(&woken, "failed-over");
    assert_eq!(stage.active(), [AWAY]);
    stage.assert_recorded_once();
    let kept = stage.state().unwrap();
    let verdict = &kept["evidence"]["members"][0];
    assert!(verdict["badRounds"].as_u64().unwrap() >= 3, "{verdict:#}");
    assert!(kept["evidence"]["pairs"].is_null(), "compact");

    // Delivered again: nothing more happens.
    let again = failover.answer(command(&deliveries[0], "wake-1")).await;
    assert_answer(&again, "no-change");
    assert_eq!(stage.changes().len(), 1);
    assert_log(&failover.kill().await);
    assert_log(&watching.kill().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wake_up_that_the_evidence_does_not_confirm_changes_nothing() {
    let stage = Stage::set(82).await;
    let mut watching = health_check(&stage, &[]).await;
    watching.answer(run("run-1", 2)).await;
    let message = json!({"source": "mrap-sentinel.health-check", "detail": {
        "region": HOME, "since": "2026-11-20T16:59:03Z", "rounds": 30,
        "observedAt": "2026-11-20T17:04:03Z",
    }});
    let forged =
        json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": message.to_string()}}]});
    let binary = failover_binary(env!("CARGO_BIN_EXE_failover-under-test"));
    let mut failover = Function::start(&binary, &stage.environment(&[])).await;
    let answer = failover.answer(command(&forged, "wake-1")).await;
    assert_answer(&answer, "no-change");
    assert_eq!(stage.active(), [HOME]);
    let kept = stage.state().unwrap();
    assert!(integration::is_empty(&kept["triggers"]), "{kept:#}");
    assert_log(&failover.kill().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_that_is_wrong_is_named() {
    let stage = Stage::set(83).await;
    let mut function = health_check(&stage, &[("ALARM_TOPIC_ARN", "")]).await;
    let status = function.ended().await;
    assert!(!status.success());
    let said = function.output().all();
    assert!(said.contains("ALARM_TOPIC_ARN is missing"), "{said}");
}
