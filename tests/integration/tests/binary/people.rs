//! What depends on people: approvals, settings, mutes, topics and permissions.

use std::time::Duration;

use integration::{
    ALARM, AWAY, CONTROL, HOME, Stage, assert_announced, assert_answer, assert_log, command, pause,
    tick,
};
use serde_json::{Value, json};
use simulator::cloudwatch::{AlarmConfig, AlarmState, MetricName};
use simulator::{Fault, FaultKind, Service};
use tokio::time::timeout;

use crate::{start, told_once};

/// `MODE=approve`: the machine proposes, a person disposes, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_is_carried_out_once_it_is_approved() {
    let stage = Stage::set(61).await;
    let mut function = start(&stage, &[("MODE", "approve")]).await;
    let event = stage.outage().await.eventbridge_json.unwrap();

    let answer = function.answer(command(&event, "alarm-1")).await;
    assert_answer(&answer, "needs-approval");
    let decision = answer["decision"].as_str().expect("a decision");
    let request = told_once(&stage, "needs-approval");
    assert_eq!(request.document["decision"], decision);
    let approve = |decision: &str| json!({ "command": "approve", "decision": decision });
    let pasted = approve(decision).to_string();
    assert!(request.text.contains(&pasted), "{}", request.text);

    for wrong in ["somebody-elses", &format!("{decision}x"), &decision[1..]] {
        let failure = function
            .failure(command(&approve(wrong), "approve-0"))
            .await;
        assert!(failure.message.contains(wrong), "{failure:?}");
        assert!(failure.message.contains(decision), "{failure:?}");
    }
    assert_eq!(stage.submits(), 0);

    let right = approve(decision);
    let answer = function.answer(command(&right, "approve-1")).await;
    assert_answer(&answer, "failed-over");
    assert_eq!(answer["decision"], decision);
    assert_eq!(stage.active(), [AWAY]);
    let events = assert_announced(&stage);
    let submits = stage.submits();

    // Somebody else in the room approves too; Lambda repeats a command.
    for request in ["approve-1", "approve-2"] {
        let answer = function.answer(command(&right, request)).await;
        assert_answer(&answer, "no-change");
    }
    assert_eq!(stage.changes().len(), 1);
    assert_eq!(stage.submits(), submits);
    assert_eq!(assert_announced(&stage), events);
    stage.assert_recorded_once();
    assert_log(&function.kill().await);
}

/// An alarm that may trigger but speaks of no Region: nobody guesses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_without_a_region_moves_nothing_and_is_told_once() {
    const VAGUE: &str = "something-is-down";
    let stage = Stage::set(62).await;
    let mut function = start(&stage, &[("TRIGGER_ALARMS", "*")]).await;
    stage.home_down();
    stage.simulator().with(|world| {
        let metric = MetricName::new("Checkout", "FailedReads");
        world.put_alarm(AlarmConfig::metric(CONTROL, VAGUE, metric, 0.5));
        world.set_alarm_state(CONTROL, VAGUE, AlarmState::Alarm, "Threshold Crossed");
    });
    let delivery = timeout(Duration::from_secs(20), stage.simulator().next_delivery());
    let event = delivery.await.expect("a delivery").eventbridge_json;
    let event = event.unwrap();

    for request in ["alarm-1", "alarm-1", "alarm-2"] {
        let failure = function.failure(command(&event, request)).await;
        for part in ["ALARM_REGIONS", VAGUE] {
            assert!(failure.message.contains(part), "{part}: {failure:?}");
        }
    }
    let warning = told_once(&stage, "region-unknown");
    assert_eq!(warning.attributes["severity"], "warning");
    for part in ["ALARM_REGIONS", VAGUE] {
        assert!(warning.text.contains(part), "{part}: {}", warning.text);
    }
    assert_eq!(stage.submits(), 0);

    // With the setting that the warning asks for, the same event is reason enough.
    let output = function.kill().await;
    assert_log(&output);
    let regions = format!("{VAGUE}={HOME}");
    let settings = [("TRIGGER_ALARMS", "*"), ("ALARM_REGIONS", &regions)];
    let mut function = start(&stage, &settings).await;
    let answer = function.answer(command(&event, "alarm-3")).await;
    assert_answer(&answer, "failed-over");
    assert_eq!(stage.active(), [AWAY]);
    assert_log(&function.kill().await);
}

/// `EventBridge` delivers the events of muted alarms: somebody wanted silence until a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_muted_alarm_moves_nothing_until_its_window_ends() {
    const WINDOW: Duration = Duration::from_secs(15);
    let stage = Stage::set(63).await;
    let mut function = start(&stage, &[]).await;
    assert_answer(&function.answer(tick("tick-1")).await, "no-change");
    let from = stage.simulator().now();
    stage
        .simulator()
        .with(|world| world.mute_alarm(CONTROL, ALARM, from, from + WINDOW));
    let delivery = stage.outage().await;
    assert_eq!(delivery.lambda_action_json, None, "muted");
    let event = delivery.eventbridge_json.unwrap();

    let answer = function.answer(command(&event, "alarm-1")).await;
    assert_answer(&answer, "blocked");
    let guards = answer["guards"].as_array().unwrap();
    let muted =
        |guard: &Value| guard["guard"] == "trigger-not-suppressed" && guard["verdict"] == "block";
    assert!(guards.iter().any(muted), "{guards:#?}");
    assert_eq!(stage.submits(), 0);
    assert_eq!(stage.active(), [HOME]);

    let passed = stage.simulator().now().since(from);
    pause((WINDOW + Duration::from_secs(1)).saturating_sub(passed)).await;
    let answer = function.answer(tick("tick-2")).await;
    assert_answer(&answer, "failed-over");
    assert_eq!(stage.active(), [AWAY]);
    assert_log(&function.kill().await);
}

async fn one_topic_fails(seed: u64, topics: &str, fault: Option<Fault>, failing: &str) {
    let stage = Stage::set(seed).await;
    if let Some(fault) = fault {
        stage.simulator().with(|world| world.add_fault(fault));
    }
    let mut function = start(&stage, &[("TOPIC_ARNS", topics)]).await;
    let event = stage.outage().await.eventbridge_json.unwrap();

    let answer = function.answer(command(&event, "alarm-1")).await;

    assert_answer(&answer, "failed-over");
    assert_eq!(stage.active(), [AWAY]);
    let failed = answer["failedTopics"].as_array().expect("a list");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0]["topic"], failing);
    let error = failed[0]["error"].as_str().unwrap_or_default();
    assert!(!error.is_empty(), "{failed:#?}");
    let told = stage.announced();
    assert!(told.iter().all(|one| one.region == CONTROL), "{told:#?}");
    for event in ["submitted", "failed-over"] {
        let copies = told.iter().filter(|one| one.event() == event);
        assert_eq!(copies.count(), 1, "{event}: {told:#?}");
    }
    // Who was told by one topic is not told again for the other's sake.
    stage.assert_recorded_once();
    assert_log(&function.kill().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_fails_is_named_and_the_other_gets_everything() {
    let topic = |region: &str, name: &str| format!("arn:aws:sns:{region}:111122223333:{name}");
    let good = topic(CONTROL, "pages");
    let denied = topic("us-west-2", "pages");
    let missing = topic("us-west-2", "deleted-last-year");
    let fault = Fault::new(FaultKind::AccessDenied)
        .service(Service::Sns)
        .region("us-west-2");
    let with_denied = format!("{good},{denied}");
    let with_missing = format!("{missing},{good}");
    tokio::join!(
        one_topic_fails(64, &with_denied, Some(fault), &denied),
        one_topic_fails(65, &with_missing, None, &missing),
    );
}

/// Somebody took the permission away: one page, no storm of requests, and it works once it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_submit_is_paged_once_and_an_operator_moves_the_dial_later() {
    let stage = Stage::set(66).await;
    let mut function = start(&stage, &[]).await;
    let fault = Fault::new(FaultKind::AccessDenied)
        .service(Service::S3Control)
        .operation("SubmitMultiRegionAccessPointRoutes");
    let fault = stage.simulator().with(|world| world.add_fault(fault));
    let event = stage.outage().await.eventbridge_json.unwrap();

    let failure = function.failure(command(&event, "alarm-1")).await;
    assert!(failure.message.contains("AccessDenied"), "{failure:?}");
    let submits = stage.submits();
    assert!(submits > 0);
    for number in 1..=3 {
        let answer = function.answer(tick(&format!("tick-{number}"))).await;
        assert_answer(&answer, "no-change");
        let explanation = answer["explanation"].as_str().unwrap();
        assert!(explanation.contains("refused"), "{explanation}");
    }
    assert_eq!(stage.submits(), submits, "ticks do not repeat it");
    let page = told_once(&stage, "submit-rejected");
    assert_eq!(page.attributes["severity"], "critical");
    let raw = "aws s3control submit-multi-region-access-point-routes";
    assert!(page.text.contains(raw), "{}", page.text);
    assert_eq!(stage.changes(), []);
    assert_eq!(stage.active(), [HOME]);

    stage.simulator().with(|world| world.remove_fault(fault));
    let wish = json!({ "command": "failover", "to": AWAY, "reason": "the role is repaired" });
    let answer = function.answer(command(&wish, "failover-1")).await;
    assert_answer(&answer, "failed-over");
    assert_eq!(stage.active(), [AWAY]);
    assert_eq!(stage.changes().len(), 1);
    stage.assert_recorded_once();
    assert!(assert_announced(&stage).contains("failed-over"));
    assert_log(&function.kill().await);
}

/// All five control endpoints are out of reach, for reading too or only for writing: the function
/// fails and says so once, and the tick goes on by itself as soon as one of them is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_control_endpoint_the_next_tick_goes_on() {
    let everything = Fault::new(FaultKind::Refuse).service(Service::S3Control);
    let submits = everything
        .clone()
        .operation("SubmitMultiRegionAccessPointRoutes");
    tokio::join!(unreachable(67, everything), unreachable(68, submits));
}

async fn unreachable(seed: u64, fault: Fault) {
    let stage = Stage::set(seed).await;
    let mut function = start(&stage, &[]).await;
    let fault = stage.simulator().with(|world| world.add_fault(fault));
    let event = stage.outage().await.eventbridge_json.unwrap();

    let failure = function.failure(command(&event, "alarm-1")).await;
    assert!(
        failure.message.contains("no control endpoint"),
        "{failure:?}"
    );
    let failure = function.failure(tick("tick-1")).await;
    assert!(
        failure.message.contains("no control endpoint"),
        "{failure:?}"
    );
    let page = told_once(&stage, "control-unreachable");
    assert_eq!(page.attributes["severity"], "critical");
    assert_eq!(stage.changes(), []);

    stage.simulator().with(|world| world.remove_fault(fault));
    assert_answer(&function.answer(tick("tick-2")).await, "failed-over");
    assert_eq!(stage.active(), [AWAY]);
    assert_eq!(stage.changes().len(), 1);
    stage.assert_recorded_once();
    assert_log(&function.kill().await);
}

/// What the template's alarms watch: a member is available, is not, or has no data point because
/// nothing is known of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn availability_is_measured_by_member() {
    let stage = Stage::set(64).await;
    let mut function = start(&stage, &[]).await;
    assert_answer(&function.answer(tick("tick-1")).await, "no-change");
    stage.home_down();
    function.answer(tick("tick-2")).await;
    let refused = Fault::new(FaultKind::AccessDenied).path_contains("app-euw1");
    stage.simulator().with(|world| world.add_fault(refused));
    function.answer(tick("tick-3")).await;
    let output = function.kill().await;

    let measured: Vec<(Value, Value, Value)> = output
        .stdout()
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["Availability"].is_number())
        .map(|line| {
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(directive["Dimensions"], json!([["Mrap", "Region"]]));
            let metric = json!({"Name": "Availability", "Unit": "Percent", "StorageResolution": 1});
            assert_eq!(directive["Metrics"], json!([metric]));
            let Value::Object(mut line) = line else {
                panic!("a log line is an object")
            };
            let mut take = |name| line.remove(name).unwrap();
            (take("requestId"), take("Region"), take("Availability"))
        })
        .collect();
    let expected = [
        ("tick-1", HOME, 100.0),
        ("tick-1", AWAY, 100.0),
        ("tick-2", HOME, 0.0),
        ("tick-2", AWAY, 100.0),
        ("tick-3", HOME, 0.0),
    ];
    let expected = expected.map(|(id, region, percent)| (json!(id), json!(region), json!(percent)));
    assert_eq!(measured, expected);
}
