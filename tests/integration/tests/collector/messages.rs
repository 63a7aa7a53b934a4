//! Messages as S3 and SQS make them.

use sentinel_core::ledger::Identity;
use serde_json::{Value, json};

/// When the first of the failures happened: shortly before every test begins.
pub(crate) const FIRST: i64 = 1_795_193_940_000; // 2026-11-20T16:59:00Z

/// A failure, and its record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failed {
    pub(crate) destination: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) key: String,
    pub(crate) version: String,
    pub(crate) at: i64,
}

impl Failed {
    /// One of many, in one of four groups.
    pub(crate) fn number(number: usize) -> Self {
        let (destination, reason) = [
            ("app-euw1", "AssumeRoleNotPermitted"),
            ("app-euw1", "DstBucketUnversioned"),
            ("archive-of-others", "DstPutObjectNotPermitted"),
            ("app-euw1", "SomethingNew"),
        ][number % 4];
        let key = format!("photos/{number:05}/été +%2B,\"{}\"\n.jpg", number % 7);
        Self {
            destination,
            reason,
            version: Identity::of(&key, "v").to_string(),
            key,
            at: FIRST + i64::try_from(number % 1000).unwrap(),
        }
    }

    pub(crate) fn record(&self) -> Value {
        let data = json!({
            "replicationRuleId": "everything",
            "destinationBucket": format!("arn:aws:s3:::{}", self.destination),
            "s3Operation": "OBJECT_PUT",
            "requestTime": "2026-11-20T16:58:31.168Z",
            "failureReason": self.reason,
        });
        let at = jiff::Timestamp::from_millisecond(self.at).unwrap();
        let mut record = record("OperationFailedReplication", "app-use1", &data);
        record["eventTime"] = json!(at);
        record["s3"]["object"]["key"] = json!(encoded(&self.key));
        record["s3"]["object"]["versionId"] = json!(self.version);
        record
    }

    pub(crate) fn body(&self) -> String {
        json!({"Records": [self.record()]}).to_string()
    }
}

/// As S3 encodes keys in events.
fn encoded(key: &str) -> String {
    key.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// A record about one object of a bucket.
pub(crate) fn record(name: &str, bucket: &str, data: &Value) -> Value {
    json!({
        "eventVersion": "2.2",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-20T16:59:00.000Z",
        "eventName": format!("Replication:{name}"),
        "userIdentity": {"principalId": "s3.amazonaws.com"},
        "requestParameters": {"sourceIPAddress": "s3.amazonaws.com"},
        "responseElements": {
            "x-amz-request-id": "5b0f4f0e-8f0c-4f8e-9d0e-1f2a3b4c5d6e",
            "x-amz-id-2": "b2xkIGlkZW50aWZpZXIgb2YgYSBob3N0",
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "mrap-sentinel",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "A1B2C3D4E5F6G7"},
                "arn": format!("arn:aws:s3:::{bucket}"),
            },
            "object": {
                "key": "a+key",
                "size": 520_080,
                "eTag": "9f1c6a0be52d4c0f8b7a3e2d1c0b9a88",
                "versionId": "kZz3yYl8mPq0vT7nRwXbC1dEfGhIjKlM",
                "sequencer": "00672F61A1D3E0B2C4",
            },
        },
        "replicationEventData": data,
    })
}

/// A record that tells of lag from home to the other member.
pub(crate) fn late(name: &str, at: &str) -> Value {
    let data = json!({
        "replicationRuleId": "everything",
        "destinationBucket": "arn:aws:s3:::app-euw1",
        "s3Operation": "OBJECT_PUT",
        "requestTime": "2026-11-20T16:30:00.000Z",
    });
    let mut record = record(name, "app-use1", &data);
    record["eventTime"] = json!(at);
    record
}

/// A message of the queue.
pub(crate) fn message(id: &str, body: impl Into<String>) -> Value {
    json!({
        "messageId": id,
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": body.into(),
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1795193943250",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1795193943260",
        },
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-2:111122223333:replication-events",
        "awsRegion": "us-east-2",
    })
}

/// The payload of these messages.
pub(crate) fn batch(messages: &[Value]) -> Value {
    json!({ "Records": messages })
}

/// A message for each of these failures.
pub(crate) fn batch_of(failures: &[Failed]) -> Value {
    let messages: Vec<Value> = failures
        .iter()
        .enumerate()
        .map(|(number, failed)| message(&format!("m{number}"), failed.body()))
        .collect();
    batch(&messages)
}

/// The ids in a partial batch response.
pub(crate) fn given_back(answer: &Value) -> Vec<&str> {
    let failures = answer["batchItemFailures"].as_array().expect("a response");
    failures
        .iter()
        .map(|failure| failure["itemIdentifier"].as_str().unwrap())
        .collect()
}
