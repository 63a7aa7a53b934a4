//! The way home, and rehearsals: what the process does over several invocations.

use std::time::Duration;

use integration::process::Function;
use integration::{
    ALARM, ALIAS, AWAY, CONTROL, HOME, Stage, assert_announced, assert_answer, assert_log, command,
    pause, tick,
};
use serde_json::{Value, json};
use simulator::cloudwatch::AlarmState;
use tokio::time::timeout;

use crate::{start, told, told_once};

/// No waits: what is decided is what counts here.
const AT_ONCE: [(&str, &str); 6] = [
    ("STABILIZATION_SECONDS", "0"),
    ("DRAIN_SECONDS", "0"),
    ("COOLDOWN_SECONDS", "0"),
    ("MIN_DWELL_SECONDS", "0"),
    ("REHEARSAL_SECONDS", "0"),
    ("SETTLE_SECONDS", "10"),
];

fn settings<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    AT_ONCE.iter().chain(more).copied().collect()
}

/// The readiness check has looked and found this.
fn readiness(stage: &Stage, findings: &Value) {
    stage.simulator().with(|world| {
        let at = world.calendar(world.now()) - jiff::SignedDuration::from_mins(5);
        let report = json!({
            "schema": 1, "mrap": format!("arn:aws:s3::111122223333:accesspoint/{}", integration::ALIAS), "observedAt": at, "checked": 9,
            "findings": findings, "digestAt": at, "writtenBy": "a-look",
        });
        world.put_object_as_person("sentinel-state", "drift.json", report.to_string());
    });
}

/// The dial was moved away from home, home is back, and its alarm is quiet.
async fn away_with_home_back(stage: &Stage, function: &mut Function) {
    // So that S3 has published a minute's metrics of what is pending.
    stage.simulator().clock().advance(Duration::from_secs(90));
    readiness(stage, &json!([]));
    let event = stage.outage().await.eventbridge_json.unwrap();
    let answer = function.answer(command(&event, "alarm-1")).await;
    assert_answer(&answer, "failed-over");
    stage.simulator().with(|world| {
        world.region_up(HOME);
        world.set_alarm_state(CONTROL, ALARM, AlarmState::Ok, "Threshold not crossed");
    });
    let delivery = timeout(Duration::from_secs(20), stage.simulator().next_delivery());
    let event = delivery.await.expect("a delivery").eventbridge_json;
    // Replication towards home resumes, and canaries arrive there.
    stage.simulator().clock().advance(Duration::from_secs(40));
    function.answer(command(&event.unwrap(), "alarm-2")).await;
}

/// Ticks until the answer is this one; the canaries of one tick arrive by the next.
async fn tick_until(function: &mut Function, outcome: &str) -> Value {
    let mut last = Value::Null;
    for number in 0..8 {
        last = function.answer(tick(&format!("tick-{number}"))).await;
        if last["outcome"] == outcome {
            return last;
        }
        pause(Duration::from_millis(300)).await;
    }
    panic!("never {outcome}: {last:#}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approved_failback_goes_home() {
    let stage = Stage::set(81).await;
    let mut function = start(&stage, &settings(&[("FAILBACK", "approve")])).await;
    away_with_home_back(&stage, &mut function).await;

    let answer = tick_until(&mut function, "needs-approval").await;
    assert_eq!(answer["guards"].as_array().unwrap().len(), 16);
    assert_eq!(answer["blocking"], json!(["mode-allows"]));
    let decision = answer["decision"].as_str().unwrap().to_owned();
    let approve = json!({"command": "approve", "decision": decision});
    let request = told_once(&stage, "needs-approval");
    assert!(
        request.text.contains(&approve.to_string()),
        "{}",
        request.text
    );
    // Again, and nobody is told twice.
    assert_answer(&function.answer(tick("again")).await, "needs-approval");
    told_once(&stage, "needs-approval");
    let status = function
        .answer(command(&json!({"command": "status"}), "status-1"))
        .await;
    assert_eq!(status["homeward"]["ruling"], "needs-approval");
    assert_eq!(status["homeward"]["decision"], decision.as_str());
    assert!(status["drift"].as_str().unwrap().starts_with("none"));
    assert_eq!(stage.active(), [AWAY]);

    let answer = function.answer(command(&approve, "approve-1")).await;
    assert_answer(&answer, "failed-back");
    assert_eq!(answer["by"], "operator");
    assert_eq!(stage.active(), [HOME]);
    assert!(assert_announced(&stage).contains("failed-back"));
    assert_log(&function.kill().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn home_is_taken_when_nothing_is_on_its_way_any_more() {
    let stage = Stage::set(82).await;
    let mut function = start(&stage, &settings(&[("FAILBACK", "automatic")])).await;
    let group = json!({
        "group": {"source": "app-euw1", "destination": "app-use1", "rule": "to-app-use1", "reason": "DstKmsKeyNotFound"},
        "phase": {"state": "released", "since": "2026-11-20T16:00:00Z"},
        "firstSeen": "2026-11-20T15:00:00Z", "episode": 1, "intervalSeconds": 900,
    });
    let redrives = |groups: Value| {
        let document = json!({
            "schema": 1, "mrap": format!("arn:aws:s3::111122223333:accesspoint/{ALIAS}"),
            "writtenBy": "redrive-1", "writtenAt": "2026-11-20T16:00:00Z", "groups": groups,
        });
        stage.simulator().with(|world| {
            world.put_object_as_person("sentinel-state", "redrive.json", document.to_string());
        });
    };
    redrives(json!({"0123456789abcdef": group}));
    away_with_home_back(&stage, &mut function).await;
    for number in 0..4 {
        let answer = function.answer(tick(&format!("early-{number}"))).await;
        assert_answer(&answer, "no-change");
    }
    let answer = function.answer(tick("early")).await;
    let drained = answer["guards"]
        .as_array()
        .unwrap()
        .iter()
        .find(|guard| guard["guard"] == "drained")
        .unwrap();
    assert_eq!(drained["verdict"], "block", "{drained}");
    let detail = drained["detail"].as_str().unwrap();
    assert!(detail.contains("DstKmsKeyNotFound"), "{detail}");
    assert_eq!(stage.active(), [AWAY]);
    assert!(told(&stage, "blocked").is_empty(), "waiting is no news");

    // A document that nobody understands is no all-clear.
    stage.simulator().with(|world| {
        world.put_object_as_person("sentinel-state", "redrive.json", "{\"schema\":9}");
    });
    assert_answer(&function.answer(tick("torn")).await, "no-change");
    assert_eq!(stage.active(), [AWAY]);

    redrives(json!({}));
    // A finding about home keeps it away as well.
    readiness(
        &stage,
        &json!([{
            "id": "versioning/app-use1", "check": "versioning", "severity": "critical",
            "subject": "app-use1", "targets": [HOME], "evidence": "app-use1: versioning is off",
            "consequence": "Nothing is replicated.", "remedy": "aws s3api put-bucket-versioning …",
            "since": "2026-11-20T16:00:00Z",
        }]),
    );
    assert_answer(&function.answer(tick("drifted")).await, "no-change");
    readiness(&stage, &json!([]));
    let answer = tick_until(&mut function, "failed-back").await;
    assert_eq!(answer["by"], "automatic");
    assert_eq!(stage.active(), [HOME]);
    told_once(&stage, "failed-back");
    assert_log(&function.kill().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_goes_over_and_back() {
    let stage = Stage::set(83).await;
    let mut function = start(&stage, &settings(&[])).await;
    readiness(&stage, &json!([]));
    assert_answer(&function.answer(tick("tick-0")).await, "no-change");
    let rehearse = json!({"command": "rehearse", "to": AWAY, "reason": "game day"});
    let mut dry = rehearse.clone();
    dry["dryRun"] = json!(true);
    let answer = function.answer(command(&dry, "dry")).await;
    assert_answer(&answer, "would-act");
    assert_eq!(stage.submits(), 0);

    let answer = function.answer(command(&rehearse, "rehearse-1")).await;
    assert_answer(&answer, "submitted");
    assert_eq!(stage.active(), [AWAY]);
    // Lambda repeats a command; another person has the same idea.
    let submits = stage.submits();
    let answer = function.answer(command(&rehearse, "rehearse-2")).await;
    assert_answer(&answer, "no-change");
    assert_eq!(stage.submits(), submits);

    let answer = tick_until(&mut function, "rehearsed").await;
    assert_eq!(stage.active(), [HOME]);
    assert_eq!(stage.changes().len(), 2);
    let steps = answer["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 6, "{steps:#?}");
    assert!(steps.iter().all(|step| step["seconds"].is_u64()));
    let page = told_once(&stage, "rehearsed");
    assert_eq!(page.attributes["severity"], "info");
    assert!(page.text.contains("proven"), "{}", page.text);
    let kept = stage.state().unwrap();
    assert!(
        kept["incident"].is_null() && kept["rehearsal"].is_null(),
        "{kept:#}"
    );
    let status = function
        .answer(command(&json!({"command": "status"}), "status-1"))
        .await;
    assert_eq!(status["rehearsed"]["complete"], true);
    assert!(!assert_announced(&stage).contains("failed-over"));
    assert_log(&function.kill().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schedule_s_rehearsal_has_windows_and_alarms_in_its_way() {
    let stage = Stage::set(84).await;
    readiness(&stage, &json!([]));
    let scheduled = json!({"command": "rehearse", "scheduled": true, "reason": "the schedule"});
    for (settings, named) in [
        // Closed on every day, whatever the day is: a minute of the first of them.
        (("REHEARSAL_WINDOWS", shut()), "REHEARSAL_WINDOWS"),
        (
            ("REHEARSAL_BLOCKING_ALARMS", "no-such-alarm"),
            "no-such-alarm",
        ),
    ] {
        let mut function = start(&stage, &[settings]).await;
        function.answer(tick("tick-0")).await;
        let answer = function.answer(command(&scheduled, named)).await;
        assert_answer(&answer, "blocked");
        assert_eq!(answer["blocking"], json!(["mode-allows"]), "{answer:#}");
        let explanation = answer["explanation"].as_str().unwrap();
        assert!(explanation.contains(named), "{explanation}");
        assert_log(&function.kill().await);
    }
    assert_eq!(stage.submits(), 0);
    let told = told(&stage, "operator-blocked");
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told.values()
            .flatten()
            .all(|one| one.attributes["severity"] == "warning")
    );
}

/// A window that is not open now: an hour, twelve hours from now.
fn shut() -> &'static str {
    let hour = integration::now().to_zoned(jiff::tz::TimeZone::UTC).hour();
    if (6..18).contains(&hour) {
        "Mon-Sun 20:00-21:00 UTC"
    } else {
        "Mon-Sun 10:00-11:00 UTC"
    }
}
