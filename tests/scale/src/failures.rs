//! Failures of one group, made from numbers.

use std::io::{BufRead, BufReader, Read};

use sentinel_core::ledger::{Group, Identity};
use serde_json::{Value, json};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const SOURCE: &str = "app-use1";
pub(crate) const DESTINATION: &str = "app-euw1";
const RULE: &str = "to-app-euw1";
const REASON: &str = "DstKmsKeyInvalidState";

/// When the first failed: Unix milliseconds.
pub(crate) const FIRST: i64 = 1_795_200_000_001;

/// So many fail within one millisecond.
const PER_MILLI: u64 = 1000;

/// Messages in one batch: with about 1.3 kB each they stay under Lambda's 6 MB.
const BATCH: u64 = 4000;

/// Of each batch so many messages were delivered before.
const AGAIN: u64 = 40;

/// One version in so many has an entry in the settled files, ...
const SETTLED_EVERY: u64 = 10;

/// ... and those of them that failed in the first millisecond are done with.
pub(crate) fn is_settled(number: u64) -> bool {
    number.is_multiple_of(SETTLED_EVERY)
}

/// How many versions the manifest must name.
pub(crate) fn open(rows: u64) -> u64 {
    rows - rows.min(PER_MILLI).div_ceil(SETTLED_EVERY)
}

pub(crate) fn group() -> Group {
    Group {
        source: SOURCE.parse().unwrap(),
        destination: DESTINATION.parse().unwrap(),
        rule: RULE.to_owned(),
        reason: REASON.to_owned(),
    }
}

pub(crate) fn key(number: u64) -> String {
    // Keys as of a data lake, with something to encode.
    format!(
        "tenant={:03}/2026/11/20/part {number:012}.parquet",
        number % 997
    )
}

pub(crate) fn version(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D;
    let letter = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";
        char::from(letters[usize::try_from(state >> 58).unwrap()])
    };
    (0..32).map(letter).collect()
}

fn failed_at(number: u64) -> jiff::Timestamp {
    let at = FIRST + i64::try_from(number / PER_MILLI).unwrap();
    jiff::Timestamp::from_millisecond(at).unwrap()
}

/// S3's message about a failure, as the queue holds it.
fn body(number: u64) -> String {
    // As S3 encodes keys in events.
    let key = key(number).replace('=', "%3D").replace(' ', "+");
    json!({"Records": [{
        "eventVersion": "2.6",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": format!("{:.3}", failed_at(number)),
        "eventName": "Replication:OperationFailedReplication",
        "userIdentity": {"principalId": "s3.amazonaws.com"},
        "requestParameters": {"sourceIPAddress": "s3.amazonaws.com"},
        "responseElements": {"x-amz-request-id": "123bf045-2b4b-4ca8-a211-c34a63c59426",
            "x-amz-id-2": "12VAWNDIHnwJsRhTccqQTeAPoXQmRt22KkewMV8G3XZihAuf9CLDdmkApgZzudaIe2KlLfDqGS0="},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "mrap-sentinel",
            "bucket": {"name": SOURCE, "ownerIdentity": {"principalId": ACCOUNT},
                "arn": format!("arn:aws:s3:::{SOURCE}")},
            "object": {"key": key, "size": 520_080 + number, "eTag": "e12345ca7e88a38428305d3ff7fcb99f",
                "versionId": version(number), "sequencer": "0066DA1CBF104C0D51"}
        },
        "replicationEventData": {
            "replicationRuleId": RULE,
            "destinationBucket": format!("arn:aws:s3:::{DESTINATION}"),
            "s3Operation": "OBJECT_PUT",
            "requestTime": format!("{:.3}", failed_at(number)),
            "failureReason": REASON
        }
    }]})
    .to_string()
}

/// The batches in which the queue hands out so many failures, some of them twice.
pub(crate) fn batches(rows: u64) -> impl Iterator<Item = Value> {
    (0..rows.div_ceil(BATCH)).map(move |batch| {
        let first = batch * BATCH;
        let again = first.saturating_sub(AGAIN)..first;
        let records: Vec<Value> = again
            .chain(first..(first + BATCH).min(rows))
            .map(|number| {
                json!({
                    "messageId": format!("{number:032x}"),
                    "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                    "body": body(number),
                    "attributes": {"ApproximateReceiveCount": "1"},
                    "messageAttributes": {},
                    "eventSource": "aws:sqs",
                    "eventSourceARN": "arn:aws:sqs:us-east-2:111122223333:replication-events",
                    "awsRegion": "us-east-2"
                })
            })
            .collect();
        json!({ "Records": records })
    })
}

/// Whether a manifest names every open version once, in the order of identities, and nothing else.
pub(crate) fn check_manifest(manifest: &mut dyn Read, rows: u64) {
    let mut lines = 0_u64;
    let mut sum = 0_u128;
    let mut last: Option<Identity> = None;
    for line in BufReader::with_capacity(1 << 20, manifest).lines() {
        let line = line.expect("a line");
        let mut columns = line.split(',');
        assert_eq!(columns.next(), Some(SOURCE), "{line}");
        let key = columns.next().expect("a key");
        let key = key.replace("%3D", "=").replace("%20", " ");
        let version = columns.next().expect("a version");
        assert_eq!(columns.next(), None, "{line}");
        let identity = Identity::of(&key, version);
        assert!(
            last.is_none_or(|last| last < identity),
            "in order, each once"
        );
        last = Some(identity);
        lines += 1;
        sum = sum.wrapping_add(u128::from_be_bytes(*identity.bytes()));
    }
    assert_eq!(lines, open(rows), "versions in the manifest");
    let expected = (0..rows)
        .filter(|number| *number >= PER_MILLI || !is_settled(*number))
        .map(|number| Identity::of(&key(number), &version(number)))
        .fold(0_u128, |sum, identity| {
            sum.wrapping_add(u128::from_be_bytes(*identity.bytes()))
        });
    assert_eq!(sum, expected, "the versions that failed, and no others");
}
