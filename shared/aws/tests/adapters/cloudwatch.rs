//! Alarms and pending metrics, over CloudWatch's CBOR protocol.

use std::collections::{BTreeMap, BTreeSet};

use ciborium::Value;
use ciborium::cbor;
use sentinel_aws::alarms::{Alarms, DescribeError, WatchedMetric};
use sentinel_aws::failure::Failure;
use sentinel_aws::pending::{Pending, PendingMetrics};
use sentinel_core::names::AlarmArn;

use crate::wire::{Reply, Request, World, answer_with};

fn reply(value: &Value) -> Reply {
    let mut body = Vec::new();
    ciborium::into_writer(value, &mut body).unwrap();
    answer_with(
        200,
        &[
            ("smithy-protocol", "rpc-v2-cbor"),
            ("content-type", "application/cbor"),
        ],
        body,
    )
}

/// A timestamp: seconds since 1970 under tag 1.
fn time(text: &str) -> Value {
    let at: jiff::Timestamp = text.parse().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century")]
    let seconds = at.as_millisecond() as f64 / 1000.0;
    Value::Tag(1, Box::new(Value::Float(seconds)))
}

fn arn(region: &str, name: &str) -> AlarmArn {
    format!("arn:aws:cloudwatch:{region}:111122223333:alarm:{name}")
        .parse()
        .unwrap()
}

fn metric_alarm(arn: &AlarmArn) -> Value {
    cbor!({
        "AlarmName" => arn.name(),
        "AlarmArn" => arn.as_str(),
        "StateValue" => "ALARM",
        "ActionsEnabled" => true,
        "StateUpdatedTimestamp" => time("2026-11-20T16:59:03.5Z"),
        "StateTransitionedTimestamp" => time("2026-11-20T16:50:00Z"),
        "Namespace" => "AWS/S3",
        "MetricName" => "5xxErrors",
        "Dimensions" => [{"Name" => "BucketName", "Value" => "app-use1"}],
    })
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn alarms_are_described_in_their_own_regions() {
    let metric = arn("us-east-1", "primary: 5xx");
    let math = arn("us-east-1", "math");
    let composite = arn("us-east-1", "composite");
    let gone = arn("us-east-1", "gone");
    let silent = arn("eu-west-1", "silent");
    let answer = cbor!({
        "MetricAlarms" => [
            metric_alarm(&metric),
            {
                "AlarmArn" => math.as_str(),
                "StateValue" => "OK",
                "ActionsEnabled" => false,
                "Metrics" => [
                    {"Id" => "e", "Expression" => "m / 2"},
                    {"Id" => "m", "MetricStat" => {"Metric" => {
                        "Namespace" => "MrapSentinel", "MetricName" => "Available",
                        "Dimensions" => [{"Name" => "Region", "Value" => "us-east-1"}]
                    }, "Period" => 60, "Stat" => "Average"}},
                ],
            },
        ],
        "CompositeAlarms" => [{
            "AlarmArn" => composite.as_str(),
            "StateValue" => "ALARM",
            "AlarmRule" => "ALARM(\"primary: 5xx\")",
            "ActionsSuppressedBy" => "Alarm",
        }],
    })
    .unwrap();
    let world = World::new(move |request: &Request| match request.region() {
        "us-east-1" => reply(&answer),
        _ => Reply::Hang,
    });
    let arns = BTreeSet::from([&metric, &math, &composite, &gone, &silent].map(Clone::clone));
    let described = Alarms::new(world.edge())
        .describe(&arns, world.at(4_000))
        .await;
    assert_eq!(described.len(), 5);
    assert!(world.elapsed() <= 4_000);
    assert_eq!(
        world
            .requests()
            .iter()
            .filter(|r| r.region() == "us-east-1")
            .count(),
        1,
        "one call"
    );

    let found = described[&metric].clone().unwrap();
    assert_eq!(
        (found.state.as_str(), found.actions_enabled),
        ("ALARM", true)
    );
    assert_eq!(
        found.updated_at,
        Some("2026-11-20T16:59:03.5Z".parse().unwrap())
    );
    assert_eq!(
        found.transitioned_at,
        Some("2026-11-20T16:50:00Z".parse().unwrap())
    );
    assert_eq!(
        found.metrics,
        [WatchedMetric {
            namespace: "AWS/S3".to_owned(),
            name: "5xxErrors".to_owned(),
            dimensions: BTreeMap::from([("BucketName".to_owned(), "app-use1".to_owned())]),
        }]
    );
    let found = described[&math].clone().unwrap();
    assert!(!found.actions_enabled);
    assert_eq!(found.metrics[0].dimensions["Region"], "us-east-1");
    let found = described[&composite].clone().unwrap();
    assert_eq!(found.suppressed_by.as_deref(), Some("Alarm"));
    assert_eq!(found.rule.as_deref(), Some("ALARM(\"primary: 5xx\")"));
    assert_eq!(described[&gone], Err(DescribeError::Gone));
    assert_eq!(
        described[&silent],
        Err(DescribeError::Failed(Failure::Deadline))
    );
}

#[tokio::test(start_paused = true)]
async fn at_most_a_hundred_names_a_call() {
    let world = World::new(|_| reply(&cbor!({"MetricAlarms" => []}).unwrap()));
    let arns: BTreeSet<AlarmArn> = (0..250)
        .map(|n| arn("us-east-1", &format!("a{n}")))
        .collect();
    let described = Alarms::new(world.edge())
        .describe(&arns, world.at(4_000))
        .await;
    assert_eq!(described.len(), 250);
    assert!(
        described
            .values()
            .all(|outcome| *outcome == Err(DescribeError::Gone))
    );
    assert_eq!(world.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn pending_is_the_sum_over_the_pairs_rules() {
    let rule = |id: &str| {
        cbor!({"Namespace" => "AWS/S3", "MetricName" => "OperationsPendingReplication", "Dimensions" => [
            {"Name" => "SourceBucket", "Value" => "app-use1"},
            {"Name" => "DestinationBucket", "Value" => "app-euw1"},
            {"Name" => "RuleId", "Value" => id},
        ]})
        .unwrap()
    };
    let list = cbor!({"Metrics" => [rule("r1"), rule("r2"), rule("silent")]}).unwrap();
    let series = |id: &str, at: &str, value: f64| {
        cbor!({"Id" => id, "Timestamps" => [time(at), time("2026-11-20T16:50:00Z")], "Values" => [value, 1.0e9]})
            .unwrap()
    };
    let data = cbor!({"MetricDataResults" => [
        series("o0", "2026-11-20T16:58:00Z", 5.0),
        series("b0", "2026-11-20T16:58:00Z", 500.0),
        series("o1", "2026-11-20T16:57:00Z", 2.0),
        series("b1", "2026-11-20T16:57:00Z", 20.0),
        {"Id" => "o2", "Timestamps" => [], "Values" => []},
    ]})
    .unwrap();
    let world = World::new(move |request: &Request| {
        if request.path().ends_with("ListMetrics") {
            reply(&list)
        } else {
            reply(&data)
        }
    });
    let (source, target) = (
        "app-use1@us-east-1".parse().unwrap(),
        "app-euw1@eu-west-1".parse().unwrap(),
    );
    let pending = PendingMetrics::new(world.edge())
        .pending(&source, &target, world.at(0), world.at(5_000))
        .await
        .unwrap();
    assert_eq!(
        pending,
        Some(Pending {
            operations: 7,
            bytes: Some(520),
            at: "2026-11-20T16:57:00Z".parse().unwrap()
        })
    );
    assert!(
        world
            .requests()
            .iter()
            .all(|request| request.region() == "eu-west-1"),
        "the destination's Region"
    );
}

#[tokio::test(start_paused = true)]
async fn without_metrics_pending_is_unknown_not_zero() {
    let world = World::new(|_| reply(&cbor!({"Metrics" => []}).unwrap()));
    let (source, target) = (
        "app-use1@us-east-1".parse().unwrap(),
        "app-euw1@eu-west-1".parse().unwrap(),
    );
    let metrics = PendingMetrics::new(world.edge());
    assert_eq!(
        metrics
            .pending(&source, &target, world.at(0), world.at(5_000))
            .await,
        Ok(None)
    );
}

#[tokio::test(start_paused = true)]
async fn drains_are_told_rule_by_rule_over_all_pages() {
    let rule = |id: &str| {
        cbor!({"Namespace" => "AWS/S3", "MetricName" => "OperationsPendingReplication", "Dimensions" => [
            {"Name" => "SourceBucket", "Value" => "app-euw1"},
            {"Name" => "DestinationBucket", "Value" => "app-use1"},
            {"Name" => "RuleId", "Value" => id},
        ]})
        .unwrap()
    };
    let list = cbor!({"Metrics" => [rule("r1"), rule("r2"), rule("silent")]}).unwrap();
    let series = |id: &str, points: &[(&str, f64)]| {
        let times: Vec<Value> = points.iter().map(|(at, _)| time(at)).collect();
        let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
        cbor!({"Id" => id, "Timestamps" => times, "Values" => values}).unwrap()
    };
    let at = |minute: &str| format!("2026-11-20T16:{minute}:00Z");
    let (m56, m57, m58) = (at("56"), at("57"), at("58"));
    let first = cbor!({"NextToken" => "more", "MetricDataResults" => [
        series("o0", &[(&m58, 0.0), (&m57, 3.0)]),
        series("o1", &[(&m57, 1.0)]),
        series("o2", &[]),
    ]})
    .unwrap();
    let second = cbor!({"MetricDataResults" => [series("o0", &[(&m56, 900.0)])]}).unwrap();
    let world = World::new(move |request: &Request| {
        if request.path().ends_with("ListMetrics") {
            return reply(&list);
        }
        let token = request.body.contains("NextToken");
        reply(if token { &second } else { &first })
    });
    let (source, target) = (
        "app-euw1@eu-west-1".parse().unwrap(),
        "app-use1@us-east-1".parse().unwrap(),
    );
    let window = jiff::SignedDuration::from_secs(180);
    let drains = PendingMetrics::new(world.edge())
        .drains(&source, &target, window, (world.at(0), world.at(5_000)))
        .await
        .unwrap();
    let [one, two] = drains.as_slice() else {
        panic!("{drains:?}")
    };
    assert_eq!((one.most, one.last), (900, m58.parse().unwrap()));
    assert_eq!(one.covered, jiff::SignedDuration::from_secs(180));
    assert_eq!((two.most, two.most_at), (1, m57.parse().unwrap()));
    assert!(
        world
            .requests()
            .iter()
            .all(|request| request.region() == "us-east-1"),
        "the destination's Region"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cloudwatch_that_hangs_tells_nothing_of_drains() {
    let world = World::new(|_| Reply::Hang);
    let (source, target) = (
        "app-euw1@eu-west-1".parse().unwrap(),
        "app-use1@us-east-1".parse().unwrap(),
    );
    let window = jiff::SignedDuration::from_secs(600);
    let drains = PendingMetrics::new(world.edge())
        .drains(&source, &target, window, (world.at(0), world.at(4_000)))
        .await;
    assert_eq!(drains.unwrap_err().failure, Failure::Deadline);
    assert!(world.elapsed() <= 4_000);
}
