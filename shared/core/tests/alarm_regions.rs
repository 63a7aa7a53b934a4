//! Which alarms may trigger, and the Region each speaks for.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeSet;

use sentinel_core::alarm::{
    Admission, AlarmTransition, TriggerPolicy, WhyUnknown, regions_of, regions_of_dimensions,
};
use sentinel_core::names::{AlarmArn, Members, Region};
use sentinel_core::payload::{Payload, parse, parse_bytes};
use serde_json::{Value, json};

/// The Regions told, or why none is.
type Told = Result<BTreeSet<Region>, WhyUnknown>;

fn members() -> Members {
    "app-use1@us-east-1,app-euw1@eu-west-1,app-apse2@ap-southeast-2"
        .parse()
        .unwrap()
}

fn policy(triggers: &str, regions: &str) -> TriggerPolicy {
    TriggerPolicy::from_settings(Some(triggers), Some(regions), &members()).unwrap()
}

fn read(payload: &Value) -> AlarmTransition {
    match parse(payload) {
        Ok(Payload::Alarms(mut alarms)) => alarms.remove(0),
        other => panic!("{other:?}"),
    }
}

fn event(detail: &Value) -> AlarmTransition {
    let mut detail = detail.clone();
    detail["state"]["value"] = json!("ALARM");
    detail["state"]["timestamp"] = json!("2026-11-20T16:59:03.412+0000");
    read(&json!({
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "resources": [arn("checkout").as_str()],
        "detail": detail,
    }))
}

/// An alarm called `checkout` over metrics with these dimensions.
fn over(dimensions: &[Value]) -> AlarmTransition {
    let metrics: Vec<Value> = dimensions
        .iter()
        .map(|dimensions| {
            let metric = json!({"namespace": "App", "name": "Errors", "dimensions": dimensions});
            json!({"id": "m", "metricStat": {"metric": metric, "period": 60, "stat": "Sum"}})
        })
        .collect();
    event(&json!({"configuration": {"metrics": metrics}}))
}

/// A composite called `checkout` with these children and their states.
fn composite(children: &[(&str, &str)]) -> AlarmTransition {
    let children: Vec<Value> = children
        .iter()
        .map(|(name, state)| json!({"arn": arn(name).as_str(), "state": {"value": state}}))
        .collect();
    let data = json!({ "triggeringAlarms": children }).to_string();
    event(&json!({"configuration": {"alarmRule": "ALARM(a)"}, "state": {"reasonData": data}}))
}

fn arn(name: &str) -> AlarmArn {
    format!("arn:aws:cloudwatch:eu-central-1:123456789012:alarm:{name}")
        .parse()
        .unwrap()
}

fn set(names: &[&str]) -> BTreeSet<Region> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn nothing_known(_: &AlarmArn) -> Option<BTreeSet<Region>> {
    None
}

fn told(transition: &AlarmTransition, policy: &TriggerPolicy) -> Told {
    regions_of(transition, policy, &members(), &nothing_known).map_err(|error| error.why)
}

#[test]
fn one_alarm_speaks_for_the_member_its_dimensions_name() {
    let plain = policy("", "");
    let several = |names| Err(WhyUnknown::Several(set(names)));
    let cases: [(&[Value], Told); 12] = [
        (&[json!({"Region": "us-east-1"})], Ok(set(&["us-east-1"]))),
        (
            &[json!({"BucketName": "app-euw1"})],
            Ok(set(&["eu-west-1"])),
        ),
        (
            &[json!({"BucketName": "app-euw1", "Region": "us-east-1"})],
            Ok(set(&["us-east-1"])),
        ),
        (
            &[json!({"BucketName": "app-euw1", "Region": "eu-west-2"})],
            Ok(set(&["eu-west-1"])),
        ),
        (
            &[
                json!({"BucketName": "app-euw1"}),
                json!({"BucketName": "app-euw1"}),
            ],
            Ok(set(&["eu-west-1"])),
        ),
        (
            &[
                json!({"BucketName": "app-euw1"}),
                json!({"BucketName": "app-use1"}),
            ],
            several(&["eu-west-1", "us-east-1"]),
        ),
        (
            &[
                json!({"Region": "eu-west-1"}),
                json!({"Region": "us-east-1"}),
            ],
            several(&["eu-west-1", "us-east-1"]),
        ),
        (
            &[json!({"Region": "EU (Ireland)"})],
            Err(WhyUnknown::NoDimension),
        ),
        (
            &[json!({"region": "us-east-1"})],
            Err(WhyUnknown::NoDimension),
        ),
        (
            &[json!({"BucketName": "another"})],
            Err(WhyUnknown::NoDimension),
        ),
        (
            &[json!({"SourceBucket": "app-use1"})],
            Err(WhyUnknown::NoDimension),
        ),
        (&[], Err(WhyUnknown::NoDimension)),
    ];
    for (dimensions, expected) in cases {
        assert_eq!(told(&over(dimensions), &plain), expected, "{dimensions:?}");
    }
}

#[test]
fn a_contributors_attributes_are_dimensions() {
    let contributor = json!({"id": "c", "attributes": {"BucketName": "app-use1"}});
    let query =
        json!({"metrics": [{"id": "q", "expression": "SELECT MAX(x) FROM App GROUP BY y"}]});
    let with = event(&json!({"alarmContributor": contributor, "configuration": query}));
    assert_eq!(told(&with, &policy("", "")), Ok(set(&["us-east-1"])));
    let without = event(&json!({"configuration": query}));
    assert_eq!(
        told(&without, &policy("", "")),
        Err(WhyUnknown::NoContributor)
    );
}

#[test]
fn an_assignment_by_name_outweighs_dimensions_and_children() {
    let assigned = policy("", "check*=ap-southeast-2");
    for transition in [
        over(&[json!({"Region": "us-east-1"})]),
        over(&[
            json!({"Region": "us-east-1"}),
            json!({"Region": "eu-west-1"}),
        ]),
        composite(&[("other", "ALARM")]),
        composite(&[]),
    ] {
        assert_eq!(told(&transition, &assigned), Ok(set(&["ap-southeast-2"])));
    }
}

#[test]
fn a_composite_speaks_for_its_children_in_alarm() {
    let assigned = policy("", "use1-*=us-east-1,euw1-*=eu-west-1");
    let unknown = |unknown: &[&str], told: &[&str]| {
        Err(WhyUnknown::Children {
            unknown: unknown.iter().map(|name| arn(name)).collect(),
            told: set(told),
        })
    };
    let cases: [(&[(&str, &str)], Told); 6] = [
        (
            &[("use1-a", "ALARM"), ("euw1-a", "OK")],
            Ok(set(&["us-east-1"])),
        ),
        (
            &[("use1-a", "ALARM"), ("use1-b", "ALARM")],
            Ok(set(&["us-east-1"])),
        ),
        (
            &[("use1-a", "ALARM"), ("euw1-a", "ALARM")],
            Ok(set(&["us-east-1", "eu-west-1"])),
        ),
        (
            &[("use1-a", "ALARM"), ("x", "ALARM"), ("y", "OK")],
            unknown(&["x"], &["us-east-1"]),
        ),
        (
            &[("use1-a", "OK"), ("euw1-a", "INSUFFICIENT_DATA")],
            Err(WhyUnknown::NoChildren),
        ),
        (&[], Err(WhyUnknown::NoChildren)),
    ];
    for (children, expected) in cases {
        assert_eq!(
            told(&composite(children), &assigned),
            expected,
            "{children:?}"
        );
    }
}

#[test]
fn children_learnt_elsewhere_complete_a_composite() {
    let transition = composite(&[("x", "ALARM"), ("y", "ALARM"), ("z", "ALARM")]);
    let plain = policy("", "");
    let error = regions_of(&transition, &plain, &members(), &nothing_known).unwrap_err();
    let names: Vec<&str> = error.unknown_children().map(AlarmArn::name).collect();
    assert_eq!(names, ["x", "y", "z"]);
    let known = |child: &AlarmArn| match child.name() {
        "x" => Some(set(&["us-east-1"])),
        "y" => Some(set(&["eu-west-1"])),
        _ => Some(BTreeSet::new()), // looked up, speaks for no member
    };
    let regions = regions_of(&transition, &plain, &members(), &known);
    assert_eq!(regions, Ok(set(&["us-east-1", "eu-west-1"])));
    let speaks_for_none = |_: &AlarmArn| Some(BTreeSet::new());
    let error = regions_of(&transition, &plain, &members(), &speaks_for_none).unwrap_err();
    assert_eq!(error.why, WhyUnknown::ChildrenSpeakForNone);
}

#[test]
fn children_listed_without_a_state_count() {
    let payload = include_bytes!("fixtures/alarms/sns-composite-strings.json");
    let Ok(Payload::Alarms(alarms)) = parse_bytes(payload) else {
        panic!("refused");
    };
    let assigned = policy("", "*-use1=us-east-1,*-euw1=eu-west-1");
    assert_eq!(
        told(&alarms[0], &assigned),
        Ok(set(&["us-east-1", "eu-west-1"]))
    );
}

#[test]
fn the_error_gives_the_entry_that_helps() {
    let error = regions_of(&over(&[]), &policy("", ""), &members(), &nothing_known).unwrap_err();
    assert_eq!(
        error.to_string(),
        "alarm \"checkout\" may trigger, but the Region it speaks for cannot be told: it has \
         neither a dimension Region that is a member's Region nor a dimension BucketName that is a \
         member's bucket. Add checkout=us-east-1 to ALARM_REGIONS (naming whichever it speaks for \
         of us-east-1, eu-west-1, ap-southeast-2)"
    );
    for name in ["checkout", "a,b", " a ", "a=b", "a*b", "tab\t", ","] {
        let two = [("Region", "us-east-1"), ("Region", "eu-west-1")];
        let error = regions_of_dimensions(name, two, &policy("", ""), &members()).unwrap_err();
        let entry = error
            .remedy
            .strip_prefix("Add ")
            .unwrap()
            .split(" to ALARM_REGIONS")
            .next();
        let helped = policy("", entry.unwrap());
        let region = helped.assigned_region(name).map(Region::as_str);
        assert_eq!(region, Some("us-east-1"), "{name:?}: {entry:?}");
    }
}

#[test]
fn described_alarms_are_told_by_the_same_rules() {
    let of = |name, dimensions: &[(&'static str, &'static str)]| {
        let policy = policy("", "assigned=eu-west-1");
        regions_of_dimensions(name, dimensions.iter().copied(), &policy, &members())
            .map(|region| region.map(String::from))
            .map_err(|error| error.why)
    };
    assert_eq!(
        of("a", &[("BucketName", "app-use1")]),
        Ok(Some("us-east-1".to_owned()))
    );
    assert_eq!(of("assigned", &[]), Ok(Some("eu-west-1".to_owned())));
    assert_eq!(of("a", &[("Service", "x")]), Ok(None));
}

#[test]
fn replication_alarms_never_trigger() {
    let all = policy("*", "");
    let s3 = |name: &str| {
        let metric = json!({"namespace": "AWS/S3", "name": name, "dimensions": {"SourceBucket": "app-use1"}});
        json!({"id": "m", "metricStat": {"metric": metric, "period": 60, "stat": "Max"}})
    };
    let cases = [
        (
            json!([s3("ReplicationLatency")]),
            Admission::ReplicationMetric,
        ),
        (
            json!([s3("BytesPendingReplication")]),
            Admission::ReplicationMetric,
        ),
        (
            json!([s3("OperationsPendingReplication")]),
            Admission::ReplicationMetric,
        ),
        (
            json!([s3("OperationsFailedReplication")]),
            Admission::ReplicationMetric,
        ),
        (
            json!([{"id": "e", "expression": "IF(m > 1, n, 0)"}, s3("5xxErrors"), s3("ReplicationLatency")]),
            Admission::ReplicationMetric,
        ),
        (
            json!([{"id": "q", "expression": "SELECT MAX(ReplicationLatency) FROM \"AWS/S3\""}]),
            Admission::ReplicationMetric,
        ),
        (json!([s3("5xxErrors")]), Admission::MayTrigger),
        (json!([]), Admission::MayTrigger),
    ];
    for (metrics, expected) in cases {
        let transition = event(&json!({"configuration": {"metrics": metrics}}));
        assert_eq!(all.admits(&transition), expected, "{metrics}");
    }
    let unlisted = event(&json!({"configuration": {"metrics": [s3("5xxErrors")]}}));
    assert_eq!(policy("", "").admits(&unlisted), Admission::NotListed);
}
