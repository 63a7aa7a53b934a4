//! Every payload that can reach the `failover` function: what is read of the accepted ones, and
//! what the refused ones are told.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::path::Path;

use insta::{assert_json_snapshot, assert_snapshot};
use sentinel_core::alarm::{AlarmState, AlarmTransition, Suppression, Via};
use sentinel_core::command::Command;
use sentinel_core::payload::{Payload, PayloadError, parse, parse_bytes};
use sentinel_core::wake::Wake;
use serde_json::{Value, json};

fn fixtures() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/alarms");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read(&path).unwrap();
            (name, serde_json::from_slice(&text).unwrap())
        })
        .collect()
}

fn fixture(name: &str) -> Value {
    fixtures().remove(name).unwrap()
}

fn alarms(payload: &Value) -> Vec<AlarmTransition> {
    match parse(payload) {
        Ok(Payload::Alarms(alarms)) => alarms,
        other => panic!("{other:?}"),
    }
}

fn alarm(name: &str) -> AlarmTransition {
    let mut alarms = alarms(&fixture(name));
    assert_eq!(alarms.len(), 1);
    alarms.remove(0)
}

#[test]
fn every_alarm_is_read_as_in_its_snapshot() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 30, "fixtures are missing");
    for (name, payload) in fixtures {
        match parse(&payload) {
            Ok(Payload::Alarms(alarms)) => assert_json_snapshot!(name, alarms),
            Ok(Payload::Ignored { what }) => {
                assert_json_snapshot!(name, json!({ "ignored": what }));
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn the_same_alarm_is_the_same_however_it_comes() {
    let of_event = alarm("eventbridge-metric");
    for (name, via) in [
        ("sns-forwarded-eventbridge", Via::EventBridge),
        ("action-metric", Via::Action),
        ("sns-metric", Via::Sns),
    ] {
        let other = alarm(name);
        let previous = other.previous.clone();
        let expected = AlarmTransition {
            via,
            previous,
            ..of_event.clone()
        };
        assert_eq!(other, expected, "{name}");
    }
    for name in ["action-composite", "sns-composite"] {
        let (event, other) = (alarm("eventbridge-composite"), alarm(name));
        assert_eq!(other.kind, event.kind, "{name}");
        assert_eq!(other.children, event.children, "{name}");
    }
}

#[test]
fn several_records_are_several_alarms_in_order() {
    let states: Vec<AlarmState> = alarms(&fixture("sns-several"))
        .into_iter()
        .map(|alarm| alarm.state)
        .collect();
    let expected = [
        AlarmState::Alarm,
        AlarmState::Ok,
        AlarmState::InsufficientData,
    ];
    assert_eq!(states, expected);
}

#[test]
fn one_unreadable_record_refuses_the_whole() {
    let mut payload = fixture("sns-several");
    payload["Records"][1]["Sns"]["Message"] = json!("{}");
    assert_eq!(
        parse(&payload).unwrap_err().to_string(),
        "SNS record 2 of 3: the payload is an SNS notification whose message is not an alarm: let \
         only alarm actions publish to the topic that invokes this function"
    );
}

#[test]
fn records_without_a_reason_to_act_yield_to_alarms() {
    let change = fixture("eventbridge-configuration-change").to_string();
    let mut payload = fixture("sns-several");
    payload["Records"][1]["Sns"]["Message"] = json!(change);
    assert_eq!(alarms(&payload).len(), 2);
    let only = json!({"Records": [{"Sns": {"Message": change}}]});
    assert!(matches!(parse(&only), Ok(Payload::Ignored { .. })));
}

#[test]
fn the_previous_states_suppression_is_over() {
    let alarm = alarm("action-composite-after-suppression");
    assert_eq!(alarm.state, AlarmState::Alarm);
    assert_eq!(alarm.previous, Some(AlarmState::Alarm));
    assert_eq!(alarm.suppression, None);
}

#[test]
fn whatever_says_muted_or_suppressed_counts() {
    let muted = |by: &str| {
        Some(Suppression::Muted {
            by: by.to_owned(),
            until: None,
        })
    };
    let suppressed = |by: &str| {
        Some(Suppression::Suppressed {
            by: by.to_owned(),
            reason: None,
        })
    };
    let cases = [
        ("muteDetail", json!({}), muted("a mute rule")),
        ("muteDetail", json!(true), muted("a mute rule")),
        (
            "muteDetail",
            json!({"mutedByArn": "x", "muteWindowEnd": "soon"}),
            muted("x"),
        ),
        ("muteDetail", Value::Null, None),
        (
            "actionsSuppressedBy",
            json!("ExtensionPeriod"),
            suppressed("ExtensionPeriod"),
        ),
        (
            "actionsSuppressedBy",
            json!(["Alarm"]),
            suppressed("unknown"),
        ),
        ("actionsSuppressedBy", Value::Null, None),
    ];
    for (key, value, expected) in cases {
        let mut payload = fixture("eventbridge-composite");
        let place = if key == "muteDetail" {
            "/detail"
        } else {
            "/detail/state"
        };
        payload.pointer_mut(place).unwrap()[key] = value.clone();
        assert_eq!(alarms(&payload)[0].suppression, expected, "{key} = {value}");
    }
}

#[test]
fn times_come_in_several_spellings() {
    for (text, expected) in [
        (
            "2026-11-20T16:59:03.412+0000",
            Some("2026-11-20T16:59:03.412Z"),
        ),
        ("2026-11-20T16:59:03+0000", Some("2026-11-20T16:59:03Z")),
        (
            "2026-11-20T16:59:03.000000001Z",
            Some("2026-11-20T16:59:03.000000001Z"),
        ),
        (
            "2026-11-20T17:59:03.5+01:00",
            Some("2026-11-20T16:59:03.5Z"),
        ),
        ("2026-11-20T11:29:03-0530", Some("2026-11-20T16:59:03Z")),
        ("2026-11-20T16:59:03", None),
        ("2026-11-20", None),
        ("1795193943", None),
        ("9999-12-30T00:00:00Z", None),
        ("-000044-03-15T00:00:00Z", None),
        ("", None),
    ] {
        let mut payload = fixture("eventbridge-metric");
        payload["detail"]["state"]["timestamp"] = json!(text);
        let read = match parse(&payload) {
            Ok(Payload::Alarms(alarms)) => Some(alarms[0].changed_at.to_string()),
            _ => None,
        };
        assert_eq!(read.as_deref(), expected, "{text}");
    }
}

#[test]
fn schedules_and_operators_send_commands() {
    assert_eq!(
        parse_bytes(br#"{"command":"tick"}"#),
        Ok(Payload::Command(Command::Tick))
    );
    assert!(matches!(
        parse_bytes(br#"{"command":"tock"}"#),
        Err(PayloadError::Command(_))
    ));
}

fn refusal(payload: &Value) -> String {
    let error = parse(payload).unwrap_err().to_string();
    assert!(error.len() < 1200, "{} bytes", error.len());
    error
}

/// `name`, and below it what was said.
fn report<'a>(refusals: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let lines = refusals
        .into_iter()
        .map(|(name, error)| format!("{name}\n    {error}\n"));
    lines.collect()
}

#[test]
fn foreign_payloads_are_told_what_was_recognised() {
    let bulk = "x".repeat(100_000);
    let cases = [
        ("null", Value::Null),
        ("text", json!(bulk)),
        ("list", json!([1, 2, 3])),
        ("empty object", json!({})),
        ("foreign object", json!({"a": 1, "b": 2, "c": bulk})),
        ("object with many and long keys", {
            let keys = (0..1000).map(|i| (format!("{i}-{bulk}"), Value::Null));
            Value::Object(keys.take(20).collect())
        }),
        ("no records", json!({"Records": []})),
        ("records that are no list", json!({"Records": {}})),
        ("records of nothing", json!({"Records": [null, 1]})),
        (
            "SQS",
            json!({"Records": [
            {"eventSource": "aws:sqs", "body": fixture("eventbridge-metric").to_string()},
            {"eventSource": "aws:sqs", "body": bulk},
            {"eventSource": "aws:sqs"}]}),
        ),
        (
            "S3",
            json!({"Records": [{"eventSource": "aws:s3", "eventName": "Replication:OperationFailedReplication"}]}),
        ),
        (
            "S3 test event",
            json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "app-use1"}),
        ),
        (
            "another source",
            json!({"Records": [{"eventSource": "aws:kinesis"}, {}]}),
        ),
        (
            "HTTP",
            json!({"requestContext": {}, "body": "{\"command\":\"tick\"}"}),
        ),
        (
            "schedule rule",
            json!({"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}),
        ),
        (
            "other event",
            json!({"detail-type": "Object Created", "source": "aws.s3", "detail": {}}),
        ),
        ("event of no type", json!({"detail-type": null})),
    ];
    assert_snapshot!(
        "foreign",
        report(cases.map(|(name, payload)| (name, refusal(&payload))))
    );
}

#[test]
fn bytes_that_are_no_json_are_told_where() {
    let refusals = [
        ("word", "{\"command\":\n tick}"),
        ("nothing", ""),
        ("two values", "{} {}"),
        ("control character", "{\"a\": \"\u{1}\"}"),
    ]
    .map(|(name, text)| (name, parse_bytes(text.as_bytes()).unwrap_err().to_string()));
    assert_snapshot!("not-json", report(refusals));
    let deep = "[".repeat(100_000);
    for bytes in [&b"\xff\xfe"[..], deep.as_bytes()] {
        assert!(matches!(
            parse_bytes(bytes),
            Err(PayloadError::NotJson { .. })
        ));
    }
}

#[test]
fn children_that_are_no_alarms_are_left_out() {
    let long = "x".repeat(2000);
    let children = json!(["arn:aws:sns:eu-central-1:123456789012:topic", "", long, {}, {"Arn": 1}, null, "a b"]);
    let mut composite = alarms(&inner("TriggeringChildren", children));
    let names: Vec<String> = composite
        .remove(0)
        .children
        .iter()
        .map(|child| child.arn.name().to_owned())
        .collect();
    assert_eq!(names, ["a b"]);
}

#[test]
fn what_is_kept_of_a_transition_is_bounded() {
    let long = "ALARM".repeat(1000);
    let reason = alarms(&inner("NewStateReason", json!(long)))[0]
        .reason
        .clone();
    assert_eq!(reason.unwrap().len(), 1023);
    let state = alarms(&inner("NewStateValue", json!(long)))[0]
        .state
        .clone();
    assert_eq!(state.as_str().len(), 64);
}

/// The fixture with another value at this place.
fn with(name: &str, place: &str, value: Value) -> Value {
    let mut payload = fixture(name);
    *payload.pointer_mut(place).unwrap() = value;
    payload
}

/// The fixture without this key of the object at this place.
fn without(name: &str, place: &str, key: &str) -> Value {
    let mut payload = fixture(name);
    let object = payload.pointer_mut(place).unwrap().as_object_mut().unwrap();
    object.remove(key).unwrap();
    payload
}

/// An SNS notification with this message.
fn message(text: &str) -> Value {
    json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": text}}]})
}

/// An alarm's SNS notification with another value in its message.
fn inner(key: &str, value: Value) -> Value {
    let payload = fixture("sns-metric");
    let text = payload.pointer("/Records/0/Sns/Message").unwrap();
    let mut inner: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    inner[key] = value;
    message(&inner.to_string())
}

#[test]
fn unreadable_alarms_are_told_what_is_missing() {
    let cases = [
        (
            "forged event",
            with("eventbridge-metric", "/source", json!("my.app")),
        ),
        (
            "event without detail",
            with("eventbridge-metric", "/detail", Value::Null),
        ),
        (
            "event without state",
            without("eventbridge-metric", "/detail", "state"),
        ),
        (
            "event without state value",
            without("eventbridge-metric", "/detail/state", "value"),
        ),
        (
            "event with a state value that is no text",
            with(
                "eventbridge-metric",
                "/detail/state/value",
                json!(["ALARM"]),
            ),
        ),
        (
            "event with a time that is none",
            with(
                "eventbridge-metric",
                "/detail/state/timestamp",
                json!("yesterday"),
            ),
        ),
        (
            "event without any time",
            without("eventbridge-metric-nulls", "", "time"),
        ),
        (
            "event of no alarm",
            without("eventbridge-metric-nulls", "/detail", "alarmName"),
        ),
        (
            "action without ARN",
            without("action-metric", "", "alarmArn"),
        ),
        (
            "action with a wrong ARN",
            with("action-metric", "/alarmArn", json!("checkout-5xx-use1")),
        ),
        (
            "action from elsewhere",
            with("action-metric", "/source", json!("my.app")),
        ),
        (
            "action without data",
            with("action-metric", "/alarmData", Value::Null),
        ),
        (
            "SNS without message",
            json!({"Records": [{"EventSource": "aws:sns", "Sns": {}}]}),
        ),
        ("SNS, no JSON", message("hello")),
        ("SNS, no alarm", message("{\"AccountId\":1}")),
        ("SNS, a list", message("[]")),
        ("SNS, a command", message("{\"command\":\"tick\"}")),
        (
            "SNS, other event",
            message("{\"detail-type\":\"Object Created\",\"source\":\"aws.s3\"}"),
        ),
        ("SNS, no ARN", inner("AlarmArn", Value::Null)),
        ("SNS, wrong ARN", inner("AlarmArn", json!("checkout"))),
        ("SNS, no state", inner("NewStateValue", Value::Null)),
        ("SNS, no time", inner("StateChangeTime", Value::Null)),
        ("SNS, wrong time", inner("StateChangeTime", json!("now"))),
        (
            "bare alarm message",
            json!({"AlarmName": "x", "NewStateValue": "ALARM"}),
        ),
        ("command of no text", json!({"command": 7})),
    ];
    assert_snapshot!(
        "unreadable",
        report(cases.map(|(name, payload)| (name, refusal(&payload))))
    );
}

/// The health check's wake-up as SNS delivers it.
fn wake_up() -> Wake {
    Wake {
        region: "us-east-1".parse().unwrap(),
        since: "2026-11-20T16:59:03Z".parse().unwrap(),
        rounds: 3,
        observed_at: "2026-11-20T16:59:24.5Z".parse().unwrap(),
    }
}

#[test]
fn a_wake_up_is_read_as_it_was_written() {
    let message = wake_up().message();
    assert_eq!(
        message,
        json!({"source": "mrap-sentinel.health-check", "detail": {
            "region": "us-east-1", "since": "2026-11-20T16:59:03Z", "rounds": 3,
            "observedAt": "2026-11-20T16:59:24.5Z",
        }})
    );
    let payload = json!({"Records": [{"Sns": {"Message": message.to_string()}}]});
    assert_eq!(parse(&payload), Ok(Payload::Wake(vec![wake_up()])));
}

#[test]
fn a_wake_up_beside_an_alarm_yields_to_it() {
    let mut payload = fixture("sns-several");
    payload["Records"][1]["Sns"]["Message"] = json!(wake_up().message().to_string());
    assert_eq!(alarms(&payload).len(), 2);
}

#[test]
fn a_wake_up_that_is_none_is_refused() {
    let torn = json!({"source": "mrap-sentinel.health-check", "detail": {"region": "us-east-1"}});
    for (payload, says) in [
        (
            json!({"Records": [{"Sns": {"Message": torn.to_string()}}]}),
            "a wake-up of the health check that cannot be read",
        ),
        // It is taken from the topic only, whose policy says who may publish.
        (wake_up().message(), "an object with the keys"),
    ] {
        let error = parse(&payload).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
