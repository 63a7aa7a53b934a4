//! Replication events: what is read of them, and what the refused ones are told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use insta::assert_debug_snapshot;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sentinel_core::ledger::OpenFile;
use sentinel_core::replication::{Event, Failure, LagDocument, LagError, Message, parse};
use serde_json::{Value, json};

fn fixtures() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/replication");
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

/// Reads a message of which every record is good.
fn read(message: &Value) -> Vec<Event> {
    let Message { events, refused } = parse(&message.to_string()).unwrap();
    assert_eq!(refused, [], "{message}");
    events
}

fn failure(message: &Value) -> Failure {
    match read(message).remove(0) {
        Event::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// The usual message with one place of its only record changed; `null` removes it.
fn with(path: &str, value: Value) -> Value {
    let mut message = fixture("failed");
    let (parent, name) = path.rsplit_once('/').unwrap();
    let record = &mut message["Records"][0];
    let parent = record.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(name);
    } else {
        parent.insert(name.to_owned(), value);
    }
    message
}

/// An error with everything that caused it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What is said of a message of which nothing, or whose only record, was read.
fn refusal(body: &str) -> String {
    match parse(body) {
        Err(error) => chain(&error),
        Ok(Message { events, refused }) => {
            assert_eq!(events, [], "{body}");
            assert_eq!(refused.len(), 1, "{body}");
            chain(&refused[0])
        }
    }
}

#[test]
fn every_event_is_read_as_in_its_snapshot() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 16, "fixtures are missing");
    for (name, message) in fixtures {
        assert_debug_snapshot!(name, read(&message));
    }
}

#[test]
fn the_same_event_is_the_same_however_it_comes() {
    let expected = read(&fixture("failed"));
    assert_eq!(read(&fixture("sns-failed")), expected);
    assert_eq!(read(&fixture("failed-version-2.6")), expected);
    // Sent by hand from an editor.
    let by_hand = format!("\u{feff}{:#}\n", fixture("failed"));
    assert_eq!(parse(&by_hand).unwrap().events, expected);
    // As configurations write the name.
    let name = json!("s3:Replication:OperationFailedReplication");
    assert_eq!(read(&with("/eventName", name)), expected);
    // Named by its name instead of its ARN.
    let bucket = json!("app-euw1");
    assert_eq!(
        read(&with("/replicationEventData/destinationBucket", bucket)),
        expected
    );
}

#[test]
fn test_messages_say_nothing() {
    assert_eq!(read(&fixture("test-event")), []);
    assert_eq!(read(&fixture("sns-test-event")), []);
}

#[test]
fn keys_are_decoded_as_a_form_is() {
    for (encoded, key) in [
        ("red+flower.jpg", "red flower.jpg"),
        ("red%20flower.jpg", "red flower.jpg"),
        ("a%2Bb", "a+b"),
        ("a%2bb", "a+b"),
        ("a%252Bb", "a%2Bb"),
        ("100%25", "100%"),
        ("%E2%82%AC", "€"),
        ("€", "€"),
        ("line%0Abreak", "line\nbreak"),
        ("%22%2C%27", "\",'"),
        ("%00", "\0"),
        ("/", "/"),
        ("a//b/../c", "a//b/../c"),
    ] {
        let read = failure(&with("/s3/object/key", json!(encoded)));
        assert_eq!(read.key, key);
    }
}

#[test]
fn versions_of_the_format_are_compared_by_their_major() {
    for version in ["2", "2.0", "2.1", "2.2", "2.6", "2.17", "2.3.1"] {
        let mut message = with("/eventVersion", json!(version));
        message["Records"][0]["somethingNew"] = json!({"a": [1, 2]});
        assert_eq!(read(&message), read(&fixture("failed")), "{version}");
    }
    for version in ["3.0", "1.9", "20.1", "", "v2", "two"] {
        let said = refusal(&with("/eventVersion", json!(version)).to_string());
        assert!(said.contains("this version reads 2.x"), "{version}: {said}");
    }
}

#[test]
fn what_nothing_depends_on_may_be_strange() {
    let plain = failure(&fixture("failed"));
    for (path, value) in [
        ("/s3/object/size", json!("large")),
        ("/s3/object/size", json!(-1)),
        ("/replicationEventData/requestTime", json!("yesterday")),
        ("/replicationEventData/requestTime", json!(7)),
        ("/replicationEventData/s3Operation", json!(7)),
        ("/awsRegion", Value::Null),
        ("/userIdentity", Value::Null),
        ("/s3/object/sequencer", json!([])),
    ] {
        let read = failure(&with(path, value));
        assert_eq!(read.group, plain.group, "{path}");
        assert_eq!(read.key, plain.key, "{path}");
    }
}

/// What cannot be understood, and what is said of it.
#[test]
#[rustfmt::skip]
fn what_is_refused_is_told_why() {
    let event = |path: &str, value: Value| with(path, value).to_string();
    let sns = |path: &str, value: Value| {
        let mut envelope = fixture("sns-failed");
        *envelope.pointer_mut(path).unwrap() = value;
        envelope.to_string()
    };
    let cases: Vec<(String, &str)> = vec![
        // Messages.
        (String::new(), "the message is not JSON (line 1, column 0)"),
        ("{\"Records\":[".to_owned(), "the message is not JSON"),
        ("hello".to_owned(), "let only S3 send s3:Replication:* notifications"),
        ("null".to_owned(), "null: let only S3"),
        ("7".to_owned(), "a number: "),
        ("[]".to_owned(), "a list of 0 items"),
        ("{}".to_owned(), "an empty object"),
        (r#"{"Records":[]}"#.to_owned(), "a message without records"),
        (r#"{"Records":{}}"#.to_owned(), "whose Records are no list"),
        (r#"{"hello":1,"world":2}"#.to_owned(), r#"an object with the keys "hello", "world""#),
        (r#"{"detail-type":"Object Created","source":"aws.s3"}"#.to_owned(), "EventBridge carries no replication events"),
        (sns("/Message", json!("no JSON")), "the SNS message is not JSON"),
        (sns("/Message", json!({})), "an SNS envelope whose message is no text"),
        (sns("/Message", json!("{}")), "an empty object"),
        (sns("/Type", json!("SubscriptionConfirmation")), "an SNS message of type \"SubscriptionConfirmation\""),
        // Records.
        (r#"{"Records":[7]}"#.to_owned(), "record 1 of 1: its content is not an object"),
        (event("/eventSource", json!("aws:sqs")), "it comes from \"aws:sqs\", not from aws:s3"),
        (event("/eventSource", Value::Null), "it has no eventSource"),
        (event("/eventVersion", Value::Null), "it has no eventVersion"),
        (event("/eventVersion", json!(2.2)), "its eventVersion is not text"),
        (event("/eventVersion", json!("3.0")), "its eventVersion is \"3.0\", this version reads 2.x"),
        (event("/eventName", Value::Null), "it has no eventName"),
        (event("/eventName", json!("ObjectCreated:Put")), "it is the event \"ObjectCreated:Put\", not one of replication"),
        (event("/eventName", json!("Replication:OperationFailed")), "not one of replication"),
        (event("/eventTime", Value::Null), "it has no eventTime"),
        (event("/eventTime", json!("20 November 2026")), "its eventTime is not a time such as"),
        (event("/eventTime", json!("2026-11-20 16:59")), "its eventTime is not a time such as"),
        (event("/eventTime", json!(1_795_193_943)), "its eventTime is not text"),
        (event("/eventTime", json!("1970-01-01T00:00:00.000Z")), "after 2006"),
        (event("/eventTime", json!("2999-01-01T00:00:00.000Z")), "before 2286"),
        (event("/s3/bucket/name", Value::Null), "it has no s3.bucket.name"),
        (event("/s3/bucket/name", json!("Not A Bucket")), "its s3.bucket.name is no bucket: \"Not A Bucket\" is not a bucket name"),
        (event("/s3/object/key", Value::Null), "it has no s3.object.key"),
        (event("/s3/object/key", json!("")), "its s3.object.key cannot be read: it is empty"),
        (event("/s3/object/key", json!("100%")), "not form-urlencoded (byte 3)"),
        (event("/s3/object/key", json!("a%2")), "not form-urlencoded (byte 1)"),
        (event("/s3/object/key", json!("%zz")), "not form-urlencoded (byte 0)"),
        (event("/s3/object/key", json!("%+2")), "not form-urlencoded (byte 0)"),
        (event("/s3/object/key", json!("%é")), "not form-urlencoded (byte 0)"),
        (event("/s3/object/key", json!("%FF%FE")), "not UTF-8 once it is decoded"),
        (event("/s3/object/key", json!("x".repeat(1025))), "it has 1025 bytes"),
        (event("/s3/object/versionId", Value::Null), "it has no s3.object.versionId: only versions can be replicated"),
        (event("/s3/object/versionId", json!("")), "it has no s3.object.versionId"),
        (event("/s3/object/versionId", json!(7)), "its s3.object.versionId is not text"),
        (event("/s3/object/versionId", json!("a\0b")), "without zero bytes"),
        (event("/replicationEventData", Value::Null), "it has no replicationEventData.destinationBucket"),
        (event("/replicationEventData/destinationBucket", json!("arn:aws:s3:us-east-1::x")), "its replicationEventData.destinationBucket is no bucket"),
        (event("/replicationEventData/destinationBucket", json!("*")), "is no bucket"),
        (event("/replicationEventData/replicationRuleId", Value::Null), "it has no replicationEventData.replicationRuleId"),
        (event("/replicationEventData/failureReason", json!({"code": 1})), "its replicationEventData.failureReason is not text"),
        (event("/replicationEventData/failureReason", json!("x".repeat(1025))), "at most 1,024 bytes"),
    ];
    for (body, says) in cases {
        let said = refusal(&body);
        assert!(said.contains(says), "{body}\n{said}\nexpected: {says}");
        assert!(!said.contains("photos/red"), "keys are not repeated: {said}");
        assert!(said.len() < 600, "{said}");
    }
}

#[test]
fn a_bad_record_does_not_hold_up_its_neighbours() {
    let mut message = fixture("failed-several");
    message["Records"][1]["eventTime"] = json!("noon");
    let Message { events, refused } = parse(&message.to_string()).unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(
        chain(&refused[0]),
        "record 2 of 3: its eventTime is not a time such as 2026-11-20T16:59:03.250Z, after 2006 \
         and before 2286"
    );
}

#[test]
fn a_failure_becomes_a_row() {
    let failed = failure(&fixture("failed-null-version"));
    let at = failed.failed_at;
    let (group, row) = failed.into_row();
    assert_eq!(group.id(), failure(&fixture("failed")).group.id());
    let file = OpenFile::new(&group, vec![row]).unwrap().unwrap();
    let text = String::from_utf8(file.body).unwrap();
    assert!(
        text.ends_with(&format!(
            "\n[\"photos/red flower.jpg\",\"null\",{},0,520080,0]\n",
            at.get()
        )),
        "{text}"
    );
}

fn lags(message: &str, at: &str) -> LagDocument {
    let mut message = fixture(message);
    message["Records"][0]["eventTime"] = json!(at);
    let mut document = LagDocument::default();
    for event in read(&message) {
        document.note(&event);
    }
    document
}

#[test]
fn lag_is_the_latest_of_each_kind() {
    let mut document = LagDocument::default();
    assert!(document.is_empty());
    for (name, at) in [
        ("missed-threshold", "2026-11-20T17:00:00Z"),
        ("missed-threshold", "2026-11-20T16:59:00Z"),
        ("replicated-after-threshold", "2026-11-20T16:59:41Z"),
        ("not-tracked", "2026-11-20T16:30:00Z"),
    ] {
        document.merge(&lags(name, at));
    }
    let expected = json!({"schema": 1, "pairs": [{
        "source": "app-use1", "destination": "app-euw1",
        "missedThreshold": {"at": "2026-11-20T17:00:00Z", "delaySeconds": 88},
        "arrivedLate": {"at": "2026-11-20T16:59:41Z", "delaySeconds": 69},
        "notTracked": {"at": "2026-11-20T16:30:00Z"},
    }]});
    assert_eq!(serde_json::to_value(&document).unwrap(), expected);
    assert_eq!(LagDocument::parse(expected), Ok(document.clone()));
    let known = document.clone();
    assert!(!document.merge(&known), "nothing is new");
    assert!(!document.merge(&lags("not-tracked", "2026-11-20T16:29:59Z")));
    assert!(document.merge(&lags("not-tracked", "2026-11-20T16:30:01Z")));
    // Failures are no lag.
    assert!(lags("failed", "2026-11-20T16:30:00Z").is_empty());
}

#[test]
fn a_strange_lag_document_is_refused() {
    for (document, says) in [
        (json!({"schema": 2, "pairs": []}), "schema 2"),
        (json!({"pairs": []}), "schema none"),
        (json!([]), "schema none"),
        (
            json!({"schema": 1, "pairs": 7}),
            "delete it and it begins anew",
        ),
        (
            json!({"schema": 1, "pairs": [{"source": "A"}]}),
            "cannot be read",
        ),
    ] {
        let error: LagError = LagDocument::parse(document).expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn lag_of_many_pairs_is_bounded() {
    let mut document = LagDocument::default();
    for number in 0..1100 {
        let mut message = fixture("missed-threshold");
        message["Records"][0]["s3"]["bucket"]["name"] = json!(format!("bucket-{:04}", number));
        message["Records"][0]["eventTime"] = json!(format!(
            "2026-11-20T{:02}:{:02}:00Z",
            number / 60,
            number % 60
        ));
        for event in read(&message) {
            document.note(&event);
        }
    }
    assert_eq!(document.pairs.len(), 1000);
    assert_eq!(document.pairs[0].source.as_str(), "bucket-0100");
}

/// One thing that goes wrong with one node of a message.
#[derive(Debug, Clone)]
enum Harm {
    Replace(Value),
    Remove,
    Truncate(Index),
}

fn some_harm() -> impl Strategy<Value = Harm> {
    let values = select(vec![
        Value::Null,
        json!(0),
        json!(-1.5),
        json!(""),
        json!("%"),
        json!("\0"),
        json!("{}"),
        json!([]),
        json!({}),
        json!({"Records": []}),
        json!("Replication:OperationNotTracked"),
        json!("2026-11-20T16:59:03.250Z"),
        json!("arn:aws:s3:::"),
        json!("x".repeat(2000)),
    ]);
    prop_oneof![
        values.prop_map(Harm::Replace),
        Just(Harm::Remove),
        any::<Index>().prop_map(Harm::Truncate),
    ]
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(object) => object.values().map(nodes).sum(),
        _ => 0,
    }
}

/// Does the harm to the node with this number, counted depth first; gives what is left to count.
fn harm(value: &mut Value, number: usize, what: &Harm) -> Option<usize> {
    let Some(mut left) = number.checked_sub(1) else {
        match (what, &mut *value) {
            (Harm::Replace(other), _) => *value = other.clone(),
            (Harm::Truncate(index), Value::String(text)) => {
                let kept = index.index(text.chars().count() + 1);
                *text = text.chars().take(kept).collect();
            }
            _ => *value = Value::Null,
        }
        return None;
    };
    let children: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(object) => object.values_mut().collect(),
        _ => Vec::new(),
    };
    for child in children {
        left = harm(child, left, what)?;
    }
    Some(left)
}

/// Reads whatever it is, and uses everything that was read as the collector would.
fn digest(body: &str) -> Result<(), TestCaseError> {
    let Message { events, refused } = match parse(body) {
        Ok(message) => message,
        Err(error) => {
            prop_assert!(chain(&error).len() < 1000);
            return Ok(());
        }
    };
    for refused in refused {
        prop_assert!(chain(&refused).len() < 4000, "{}", chain(&refused).len());
    }
    let mut document = LagDocument::default();
    for event in events {
        document.note(&event);
        if let Event::Failed(failure) = event {
            let (group, row) = failure.into_row();
            let file = OpenFile::new(&group, vec![row.clone()]).unwrap().unwrap();
            let line = file.body.split(|byte| *byte == b'\n').nth(1).unwrap();
            prop_assert_eq!(sentinel_core::ledger::Row::decode(line, 1).unwrap(), row);
        }
    }
    Ok(())
}

/// As S3 encodes keys: `encodeURIComponent` with blanks as plus signs.
fn encoded(key: &str) -> String {
    key.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' | b'/' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

proptest! {
    #[test]
    fn every_key_comes_through(key in vec(any::<char>(), 1..60).prop_map(String::from_iter)) {
        let read = failure(&with("/s3/object/key", json!(encoded(&key))));
        prop_assert_eq!(read.key, key);
    }

    #[test]
    fn any_text(body in "\\PC{0,200}") {
        digest(&body)?;
    }

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..200)) {
        digest(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn harmed_messages(
        index in any::<Index>(),
        harms in vec((any::<Index>(), some_harm()), 1..5),
        inside in any::<bool>(),
    ) {
        let fixtures = fixtures();
        let names: Vec<&String> = fixtures.keys().collect();
        let mut message = fixtures[*index.get(&names)].clone();
        let inner = message.get("Message").and_then(Value::as_str).map(str::to_owned);
        match (inside, inner) {
            (true, Some(text)) => {
                let mut inner = serde_json::from_str(&text).unwrap();
                for (index, what) in &harms {
                    let number = index.index(nodes(&inner));
                    harm(&mut inner, number, what);
                }
                message["Message"] = json!(inner.to_string());
            }
            _ => for (index, what) in &harms {
                let number = index.index(nodes(&message));
                harm(&mut message, number, what);
            },
        }
        digest(&message.to_string())?;
    }

    #[test]
    fn cut_and_flipped_messages(
        index in any::<Index>(),
        flips in vec((any::<Index>(), any::<u8>()), 0..4),
        cut in any::<Index>(),
    ) {
        let fixtures: Vec<Value> = fixtures().into_values().collect();
        let mut bytes = index.get(&fixtures).to_string().into_bytes();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        digest(&String::from_utf8_lossy(&bytes))?;
    }
}
