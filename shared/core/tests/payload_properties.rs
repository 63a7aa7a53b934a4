//! Whatever reaches the parser: it never panics, never answers at length, and never makes an
//! ALARM of something that was none.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use sentinel_core::alarm::{AlarmState, TriggerPolicy, regions_of};
use sentinel_core::names::Members;
use sentinel_core::payload::{Payload, PayloadError, parse, parse_bytes};
use serde_json::{Map, Value, json};

/// The longest text of an error, in bytes.
const MAX_ERROR: usize = 3000;

static FIXTURES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/alarms");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
        .collect()
});

static MEMBERS: LazyLock<Members> =
    LazyLock::new(|| "app-use1@us-east-1,app-euw1@eu-west-1".parse().unwrap());

static POLICY: LazyLock<TriggerPolicy> =
    LazyLock::new(|| TriggerPolicy::from_settings(Some("*"), None, &MEMBERS).unwrap());

/// Uses everything that was read, as the caller would; gives whether an ALARM was among it.
fn digest(result: &Result<Payload, PayloadError>) -> bool {
    let alarms = match result {
        Ok(Payload::Alarms(alarms)) => alarms,
        Ok(_) => return false,
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() <= MAX_ERROR, "{} bytes", text.len());
            return false;
        }
    };
    assert!(!alarms.is_empty());
    for alarm in alarms {
        let _ = POLICY.admits(alarm);
        if let Err(unknown) = regions_of(alarm, &POLICY, &MEMBERS, &|_| None) {
            assert!(unknown.to_string().len() <= 10 * MAX_ERROR);
        }
        serde_json::to_string(alarm).unwrap();
    }
    alarms.iter().any(|alarm| alarm.state == AlarmState::Alarm)
}

/// The same payload with every current state `to` and every previous one ALARM.
fn settled(payload: &Value, to: &str) -> Value {
    let mut payload = payload.clone();
    for place in ["/detail", "/alarmData"] {
        if let Some(detail) = payload.pointer_mut(place) {
            detail["state"]["value"] = json!(to);
            detail["previousState"] = json!({"value": "ALARM", "actionsSuppressedBy": "Alarm"});
        }
    }
    if payload.get("NewStateValue").is_some() {
        payload["NewStateValue"] = json!(to);
        payload["OldStateValue"] = json!("ALARM");
    }
    through_messages(&mut payload, &|message| *message = settled(message, to));
    payload
}

/// Applies `change` to the JSON inside every SNS message.
fn through_messages(payload: &mut Value, change: &dyn Fn(&mut Value)) {
    let records = payload.get_mut("Records").and_then(Value::as_array_mut);
    for record in records.into_iter().flatten() {
        let Some(text) = record.pointer_mut("/Sns/Message") else {
            continue;
        };
        let inner = text
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok());
        if let Some(mut message) = inner {
            change(&mut message);
            *text = json!(message.to_string());
        }
    }
}

/// One thing that goes wrong with one node of a payload.
#[derive(Debug, Clone)]
enum Harm {
    Replace(Value),
    DropKey(Index),
    RenameKey(Index, String),
    Truncate(Index),
    Wrap,
}

/// JSON that is no alarm state.
fn some_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(vec![
            "",
            "OK",
            "alarm",
            "ALARM ",
            "arn:aws:cloudwatch:::alarm:",
            "{}",
            "[]",
            "\"",
            "SELECT"
        ])
        .prop_map(Value::from),
        "\\PC{0,12}"
            .prop_filter("no state", |text| text != "ALARM")
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let keys = select(vec![
            "Records",
            "Sns",
            "Message",
            "EventSource",
            "eventSource",
            "detail-type",
            "detail",
            "source",
            "alarmData",
            "command",
            "state",
            "value",
            "metrics",
            "x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys, inner), 0..4).prop_map(|entries| {
                let entries = entries
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value));
                Value::Object(entries.collect::<Map<_, _>>())
            }),
        ]
    })
}

fn some_harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        some_json().prop_map(Harm::Replace),
        any::<Index>().prop_map(Harm::DropKey),
        (any::<Index>(), "[a-zA-Z]{0,8}").prop_map(|(index, key)| Harm::RenameKey(index, key)),
        any::<Index>().prop_map(Harm::Truncate),
        Just(Harm::Wrap),
    ]
}

/// Does the harm to the node with this number, counted depth first; gives the numbers left over.
fn harm(value: &mut Value, number: Option<usize>, what: &Harm) -> Option<usize> {
    let left = match number? {
        0 => {
            apply(value, what);
            return None;
        }
        number => Some(number - 1),
    };
    match value {
        Value::Array(items) => items
            .iter_mut()
            .fold(left, |left, item| harm(item, left, what)),
        Value::Object(object) => object
            .values_mut()
            .fold(left, |left, item| harm(item, left, what)),
        _ => left,
    }
}

fn apply(value: &mut Value, harm: &Harm) {
    match (harm, &mut *value) {
        (Harm::Replace(other), _) => *value = other.clone(),
        (Harm::DropKey(index), Value::Object(object)) if !object.is_empty() => {
            let key = object
                .keys()
                .nth(index.index(object.len()))
                .unwrap()
                .clone();
            object.remove(&key);
        }
        (Harm::RenameKey(index, new), Value::Object(object)) if !object.is_empty() => {
            let key = object
                .keys()
                .nth(index.index(object.len()))
                .unwrap()
                .clone();
            let inner = object.remove(&key).unwrap();
            object.insert(new.clone(), inner);
        }
        (Harm::Truncate(index), Value::String(text)) => {
            let kept = index.index(text.chars().count() + 1);
            *text = text.chars().take(kept).collect();
        }
        _ => *value = json!([value.clone()]),
    }
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum::<usize>(),
        Value::Object(object) => object.values().map(nodes).sum::<usize>(),
        _ => 0,
    }
}

fn some_fixture() -> impl Strategy<Value = Value> {
    any::<Index>().prop_map(|index| index.get(&FIXTURES).clone())
}

#[test]
fn settled_fixtures_are_read_and_in_no_alarm() {
    let in_alarm = FIXTURES
        .iter()
        .filter(|payload| digest(&parse(payload)))
        .count();
    assert!(in_alarm > FIXTURES.len() / 2, "{in_alarm}");
    for payload in FIXTURES.iter() {
        for state in [
            "OK",
            "INSUFFICIENT_DATA",
            "alarm",
            " ALARM",
            "ALARM\n",
            "ALARMED",
            "",
        ] {
            let settled = settled(payload, state);
            let result = parse(&settled);
            assert!(result.is_ok(), "{settled}");
            assert!(!digest(&result), "{settled}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        digest(&parse_bytes(&bytes));
    }

    #[test]
    fn arbitrary_json(value in some_json()) {
        prop_assert!(!digest(&parse(&value)));
    }

    #[test]
    fn harmed_payloads(
        fixture in some_fixture(),
        harms in prop::collection::vec((any::<Index>(), any::<bool>(), some_harm()), 1..4),
        state in select(vec!["OK", "INSUFFICIENT_DATA", "SOMETHING_NEW"]),
    ) {
        for (mut payload, may_alarm) in [(fixture.clone(), true), (settled(&fixture, state), false)] {
            for (index, inside, what) in &harms {
                let hit = |value: &mut Value| {
                    harm(value, Some(index.index(nodes(value))), what);
                };
                if *inside {
                    through_messages(&mut payload, &hit);
                } else {
                    hit(&mut payload);
                }
            }
            let in_alarm = digest(&parse(&payload));
            prop_assert!(may_alarm || !in_alarm, "{}", payload);
        }
    }

    #[test]
    fn flipped_bytes(
        fixture in some_fixture(),
        flips in prop::collection::vec((any::<Index>(), any::<u8>()), 1..5),
        cut in prop::option::of(any::<Index>()),
    ) {
        let mut bytes = settled(&fixture, "OK").to_string().into_bytes();
        for (index, byte) in flips {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        prop_assert!(!digest(&parse_bytes(&bytes)));
    }
}
