//! Alarms: metrics, transitions, payloads, suppression, mute windows, DescribeAlarms.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use aws_sdk_cloudwatch::types::AlarmType;
use common::{HOME, cloudwatch, config, put, refusal, s3, secs, start};
use serde_json::Value;
use simulator::cloudwatch::{
    AlarmConfig, AlarmState, Delivery, MetricName, Statistic, Suppressor, TreatMissing,
};
use simulator::{Fault, FaultKind, SimTime, Simulator, Timing};

const LAMBDA: &str = "arn:aws:lambda:us-east-2:111122223333:function:failover";
const TOPIC: &str = "arn:aws:sns:us-east-2:111122223333:alarms";

fn errors() -> AlarmConfig {
    AlarmConfig::metric(
        "us-east-1",
        "errors",
        MetricName::of_bucket("5xxErrors", HOME),
        0.5,
    )
    .action(LAMBDA)
    .action(TOPIC)
}

/// A request a second for a while.
async fn traffic(sim: &Simulator, seconds: u64) {
    let client = s3(sim, "app", "us-east-1");
    for _ in 0..seconds {
        let _ = client.head_bucket().bucket(HOME).send().await;
        sim.sleep(secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn errors_that_clients_saw_raise_the_alarm_and_its_end_clears_it() {
    let sim = start(config(1).alarm(errors()));
    put(&s3(&sim, "app", "us-east-1"), HOME, "k", "v").await;
    traffic(&sim, 300).await;
    let first = sim.next_delivery().await;
    assert_eq!(
        (first.state, first.alarm.as_str()),
        (AlarmState::Ok, "errors")
    );
    let broken = sim.now();
    let until = broken + secs(400);
    sim.with(|w| {
        w.add_fault(
            Fault::new(FaultKind::SlowDown)
                .region("us-east-1")
                .until(until),
        )
    });
    traffic(&sim, 400).await;
    let raised = sim.next_delivery().await;
    assert_eq!(raised.state, AlarmState::Alarm);
    assert!(raised.changed_at > broken + secs(60) && raised.changed_at < broken + secs(240));
    assert!(raised.at > raised.changed_at);
    check_payloads(&raised);
    traffic(&sim, 400).await;
    let cleared = sim.next_delivery().await;
    assert_eq!(cleared.state, AlarmState::Ok);
    assert!(cleared.changed_at > until);
}

fn check_payloads(delivery: &Delivery) {
    let event = delivery.eventbridge_json.as_ref().unwrap();
    assert_eq!(event["source"], "aws.cloudwatch");
    assert_eq!(event["detail-type"], "CloudWatch Alarm State Change");
    assert_eq!(event["resources"][0], delivery.alarm_arn.as_str());
    let detail = &event["detail"];
    assert_eq!(detail["alarmName"], "errors");
    assert_eq!(detail["state"]["value"], "ALARM");
    assert_eq!(detail["previousState"]["value"], "OK");
    let metric = &detail["configuration"]["metrics"][0]["metricStat"];
    assert_eq!(metric["metric"]["dimensions"]["BucketName"], HOME);
    assert_eq!(
        (&metric["stat"], &metric["period"]),
        (&Value::from("Average"), &Value::from(60))
    );
    let timestamp = detail["state"]["timestamp"].as_str().unwrap();
    assert!(
        timestamp.ends_with("+0000") && timestamp.len() == 28,
        "{timestamp}"
    );
    let reason: Value =
        serde_json::from_str(detail["state"]["reasonData"].as_str().unwrap()).unwrap();
    assert_eq!(reason["threshold"], 0.5);
    assert!(
        detail["state"]["reason"]
            .as_str()
            .unwrap()
            .starts_with("Threshold Crossed: 2 out of the last 3")
    );
    assert!(detail.get("muteDetail").is_none());

    let action = delivery.lambda_action_json.as_ref().unwrap();
    assert_eq!(action["alarmArn"], delivery.alarm_arn.as_str());
    assert_eq!(action["alarmData"]["state"], detail["state"]);

    let record = &delivery.sns_json.as_ref().unwrap()["Records"][0];
    assert_eq!(record["EventSource"], "aws:sns");
    assert_eq!(
        record["Sns"]["Subject"],
        "ALARM: \"errors\" in US East (N. Virginia)"
    );
    let message: Value = serde_json::from_str(record["Sns"]["Message"].as_str().unwrap()).unwrap();
    assert_eq!(message["NewStateValue"], "ALARM");
    assert_eq!(message["Region"], "US East (N. Virginia)");
    assert_eq!(message["Trigger"]["MetricName"], "5xxErrors");
    assert_eq!(message["Trigger"]["Statistic"], "AVERAGE");
}

/// Runs an alarm over a list of minutes (with or without data) and returns its states.
async fn states(
    change: impl FnOnce(&mut simulator::cloudwatch::MetricAlarm),
    minutes: &[Option<f64>],
) -> Vec<AlarmState> {
    let metric = MetricName::new("Canary", "Failed").dimension("Region", "us-east-1");
    let alarm = AlarmConfig::metric("us-east-2", "canary", metric.clone(), 0.5).with(change);
    let timing = Timing {
        metric_delay: 1_000,
        ..Timing::default()
    };
    let sim = start(config(1).alarm(alarm).timing(timing));
    let mut states = Vec::new();
    sim.sleep(secs(2)).await;
    for value in minutes {
        if let Some(value) = value {
            sim.with(|w| w.put_metric("us-east-2", &metric, *value));
        }
        sim.sleep(secs(60)).await;
        states.push(sim.with(|w| w.alarm_state("us-east-2", "canary").unwrap()));
    }
    states
}

#[tokio::test(start_paused = true)]
async fn missing_data_are_treated_as_configured() {
    use AlarmState::{Alarm, InsufficientData, Ok};
    let minutes = [Some(1.0), Some(1.0), None, None, None, Some(0.0), Some(0.0)];
    let cases = [
        (
            TreatMissing::Missing,
            [Ok, Alarm, Alarm, Alarm, InsufficientData, Ok, Ok],
        ),
        (
            TreatMissing::Ignore,
            [Ok, Alarm, Alarm, Alarm, Alarm, Alarm, Ok],
        ),
        (
            TreatMissing::NotBreaching,
            [Ok, Alarm, Alarm, Ok, Ok, Ok, Ok],
        ),
        (
            TreatMissing::Breaching,
            [Alarm, Alarm, Alarm, Alarm, Alarm, Alarm, Ok],
        ),
    ];
    for (treat, expected) in cases {
        let states = states(|rule| rule.treat_missing = treat, &minutes).await;
        assert_eq!(states[1..], expected[1..], "{treat:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn statistics_and_m_of_n() {
    use AlarmState::{Alarm, Ok};
    let minutes = [
        Some(0.0),
        Some(3.0),
        Some(0.0),
        Some(3.0),
        Some(0.0),
        Some(0.0),
    ];
    let sparse = states(|rule| rule.statistic = Statistic::Sum, &minutes).await;
    assert_eq!(sparse, [Ok, Ok, Ok, Alarm, Ok, Ok], "two of three");
    let quick = states(
        |rule| (rule.evaluation_periods, rule.datapoints_to_alarm) = (1, 1),
        &minutes,
    )
    .await;
    assert_eq!(quick, [Ok, Alarm, Ok, Alarm, Ok, Ok]);
}

fn force(sim: &Simulator, name: &str, state: AlarmState) {
    sim.with(|w| w.set_alarm_state("us-east-1", name, state, "forced"));
}

async fn drain(sim: &Simulator) -> Vec<Delivery> {
    sim.sleep(secs(5)).await;
    sim.with(simulator::World::take_deliveries)
}

#[tokio::test(start_paused = true)]
async fn a_mute_window_holds_actions_back_until_it_ends() {
    let sim = start(config(1).alarm(errors()));
    let (from, until) = (SimTime::from_secs(10), SimTime::from_secs(1000));
    sim.with(|w| w.mute_alarm("us-east-1", "errors", from, until));
    sim.sleep(secs(20)).await;
    force(&sim, "errors", AlarmState::Alarm);
    let muted = drain(&sim).await;
    assert_eq!(muted.len(), 1);
    let event = muted[0].eventbridge_json.as_ref().unwrap();
    let rule = event["detail"]["muteDetail"]["mutedByArn"]
        .as_str()
        .unwrap();
    assert_eq!(
        rule,
        "arn:aws:cloudwatch:us-east-1:111122223333:alarm-mute-rule:errors"
    );
    assert!(muted[0].lambda_action_json.is_none() && muted[0].sns_json.is_none());
    let fired = sim.next_delivery().await;
    assert!(fired.at >= until && fired.at < until + secs(5));
    assert!(fired.eventbridge_json.is_none());
    assert!(fired.lambda_action_json.is_some() && fired.sns_json.is_some());
    force(&sim, "errors", AlarmState::Ok);
    assert!(drain(&sim).await[0].lambda_action_json.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_suppressor_holds_a_composite_alarm_back() {
    let suppressor = Suppressor {
        alarm: "maintenance".to_owned(),
        wait_seconds: 120,
        extension_seconds: 180,
    };
    let maintenance = AlarmConfig::composite("us-east-1", "maintenance", "ALARM(switch)");
    let switch = AlarmConfig::metric("us-east-1", "switch", MetricName::new("Ops", "Switch"), 0.5);
    let all = AlarmConfig::composite("us-east-1", "all", "ALARM(errors) OR ALARM(\"other\")");
    let all = all.suppressed_by(suppressor).action(LAMBDA);
    let build = || {
        config(1)
            .alarm(errors())
            .alarm(maintenance.clone())
            .alarm(switch.clone())
            .alarm(all.clone())
    };

    // Nobody suppresses: the action follows after the wait.
    let sim = start(build());
    drain(&sim).await;
    let begun = sim.now();
    force(&sim, "errors", AlarmState::Alarm);
    let of_all = |all: Vec<Delivery>| {
        all.into_iter()
            .filter(|d| d.alarm == "all")
            .collect::<Vec<_>>()
    };
    let waiting = of_all(drain(&sim).await);
    let state = &waiting[0].eventbridge_json.as_ref().unwrap()["detail"]["state"];
    assert_eq!(state["actionsSuppressedBy"], "WaitPeriod");
    assert!(waiting[0].lambda_action_json.is_none());
    let described = cloudwatch(&sim, "watcher", "us-east-1")
        .describe_alarms()
        .alarm_names("all")
        .alarm_types(AlarmType::CompositeAlarm)
        .send()
        .await
        .unwrap();
    let by = described.composite_alarms()[0]
        .actions_suppressed_by()
        .unwrap();
    assert_eq!(by.as_str(), "WaitPeriod");
    let fired = sim.next_delivery().await;
    assert!(fired.at >= begun + secs(120) && fired.at < begun + secs(125));
    let data = &fired.lambda_action_json.as_ref().unwrap()["alarmData"];
    assert_eq!(data["state"]["value"], "ALARM");
    assert_eq!(data["previousState"]["value"], "ALARM");
    assert_eq!(data["previousState"]["actionsSuppressedBy"], "WaitPeriod");
    assert!(fired.eventbridge_json.is_none());

    // The suppressor is on: the action follows its end and the extension.
    let sim = start(build());
    force(&sim, "switch", AlarmState::Alarm);
    force(&sim, "errors", AlarmState::Alarm);
    let held = of_all(drain(&sim).await);
    let state = &held.last().unwrap().eventbridge_json.as_ref().unwrap()["detail"]["state"];
    assert_eq!(state["actionsSuppressedBy"], "Alarm");
    sim.sleep(secs(1000)).await;
    assert!(of_all(drain(&sim).await).is_empty());
    let ended = sim.now();
    force(&sim, "switch", AlarmState::Ok);
    let fired = loop {
        let delivery = sim.next_delivery().await;
        if delivery.alarm == "all" {
            break delivery;
        }
    };
    assert!(fired.at >= ended + secs(180) && fired.at < ended + secs(185));
    assert!(fired.lambda_action_json.is_some());
}

#[tokio::test(start_paused = true)]
async fn deliveries_may_come_twice() {
    let timing = Timing {
        duplicate_delivery: 1.0,
        ..Timing::default()
    };
    let sim = start(config(1).alarm(errors()).timing(timing));
    force(&sim, "errors", AlarmState::Alarm);
    let twice = drain(&sim).await;
    assert_eq!(twice.len(), 2);
    assert_eq!(twice[0].eventbridge_json, twice[1].eventbridge_json);
    assert_eq!(twice.iter().filter(|d| d.duplicate).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn alarms_are_described_as_asked() {
    let mut world = config(1).alarm(errors());
    for number in 0..7 {
        let metric = MetricName::new("N", "M");
        world = world.alarm(AlarmConfig::metric(
            "us-east-1",
            format!("n-{number}"),
            metric,
            1.0,
        ));
    }
    world = world.alarm(AlarmConfig::composite("us-east-1", "both", "ALARM(errors)").action(TOPIC));
    let sim = start(world);
    sim.sleep(secs(30)).await;
    force(&sim, "errors", AlarmState::Alarm);
    let changed = sim.with(|w| w.calendar(w.now()));
    let client = cloudwatch(&sim, "watcher", "us-east-1");
    let found = client
        .describe_alarms()
        .alarm_names("errors")
        .alarm_names("both")
        .send()
        .await
        .unwrap();
    assert!(
        found.composite_alarms().is_empty(),
        "metric alarms only, unless asked for"
    );
    let alarm = &found.metric_alarms()[0];
    assert_eq!(alarm.state_value().unwrap().as_str(), "ALARM");
    assert_eq!(alarm.state_reason(), Some("forced"));
    assert_eq!(alarm.metric_name(), Some("5xxErrors"));
    assert_eq!(alarm.dimensions().len(), 2);
    assert_eq!((alarm.period(), alarm.threshold()), (Some(60), Some(0.5)));
    let time = alarm.state_transitioned_timestamp().unwrap();
    assert_eq!(time.to_millis().unwrap(), changed.as_millisecond());
    let both = client
        .describe_alarms()
        .alarm_types(AlarmType::CompositeAlarm)
        .alarm_types(AlarmType::MetricAlarm)
        .state_value("ALARM".into())
        .send()
        .await
        .unwrap();
    assert_eq!(
        (both.metric_alarms().len(), both.composite_alarms().len()),
        (1, 1)
    );
    assert_eq!(
        both.composite_alarms()[0].alarm_rule(),
        Some("ALARM(errors)")
    );
    let mut names = Vec::new();
    let mut pages = client
        .describe_alarms()
        .alarm_name_prefix("n-")
        .max_records(3)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        names.extend(
            page.unwrap()
                .metric_alarms()
                .iter()
                .map(|a| a.alarm_name().unwrap().to_owned()),
        );
    }
    assert_eq!(names.len(), 7);
    let elsewhere = cloudwatch(&sim, "watcher", "eu-west-1")
        .describe_alarms()
        .send()
        .await
        .unwrap();
    assert!(elsewhere.metric_alarms().is_empty());
    let missing = client
        .set_alarm_state()
        .alarm_name("none")
        .state_value("OK".into())
        .state_reason("r");
    assert_eq!(
        refusal(missing.send().await),
        (404, "ResourceNotFound".to_owned())
    );
}
