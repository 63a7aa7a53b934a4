//! The wire form of replication events.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Kind, Notice, uuid};
use crate::SimTime;
use crate::time::calendar;
use crate::wire::query;

/// The versions that event records carried over the years: readers compare the major one only.
const VERSIONS: [&str; 5] = ["2.2", "2.3", "2.4", "2.5", "2.6"];

/// Writes one message.
pub(super) struct Scribe<'a> {
    pub(super) epoch: Timestamp,
    pub(super) account: &'a str,
    /// Of the source bucket.
    pub(super) region: &'a str,
    pub(super) seed: u64,
    /// Of the message.
    pub(super) number: u64,
}

impl Scribe<'_> {
    /// What S3 sends when notifications are configured.
    pub(super) fn test_event(&self, bucket: &str, at: SimTime) -> String {
        json!({
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Time": self.iso(at),
            "Bucket": bucket,
            "RequestId": self.id("request"),
            "HostId": self.id("host"),
        })
        .to_string()
    }

    pub(super) fn records(&self, notices: &[Notice]) -> String {
        let records: Vec<Value> = notices.iter().map(|notice| self.record(notice)).collect();
        json!({ "Records": records }).to_string()
    }

    fn record(&self, notice: &Notice) -> Value {
        let transfer = &notice.transfer;
        let lane = &transfer.lane;
        let newest = self.number % 5 == 4;
        let version = VERSIONS[usize::try_from(self.number % 5).unwrap_or(0)];
        let mut bucket = json!({
            "name": &*lane.source,
            "ownerIdentity": {"principalId": self.account},
            "arn": format!("arn:aws:s3:::{}", lane.source),
        });
        if newest && let Some(fields) = bucket.as_object_mut() {
            fields.insert("awsGeneratedTags".to_owned(), json!({}));
        }
        let mut object = json!({
            "key": form_encoded(&transfer.key),
            "versionId": &*transfer.version_id,
            "sequencer": format!("{:018X}", transfer.requested.as_millis()),
        });
        if let Some(fields) = object.as_object_mut().filter(|_| !notice.delete_marker) {
            fields.insert("size".to_owned(), json!(transfer.bytes));
            if let Some(etag) = &notice.etag {
                fields.insert("eTag".to_owned(), json!(etag.trim_matches('"')));
            }
        }
        json!({
            "eventVersion": version,
            "eventSource": "aws:s3",
            "awsRegion": self.region,
            "eventTime": self.iso(notice.at),
            "eventName": name_of(notice.kind),
            "userIdentity": {"principalId": "s3.amazonaws.com"},
            "requestParameters": {"sourceIPAddress": "s3.amazonaws.com"},
            "responseElements": {
                "x-amz-request-id": self.id("request"),
                "x-amz-id-2": self.id("host"),
            },
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "replication",
                "bucket": bucket,
                "object": object,
            },
            "replicationEventData": self.details(notice),
        })
    }

    fn details(&self, notice: &Notice) -> Value {
        let transfer = &notice.transfer;
        let mut details = json!({
            "replicationRuleId": &*transfer.lane.rule,
            "destinationBucket": format!("arn:aws:s3:::{}", transfer.lane.destination),
            // The only operation that AWS documents. That of a delete marker is an assumption.
            "s3Operation": if notice.delete_marker { "OBJECT_DELETE_MARKER" } else { "OBJECT_PUT" },
            "requestTime": self.iso(transfer.requested),
        });
        let Some(fields) = details.as_object_mut() else {
            return details;
        };
        if let Some(reason) = &notice.reason {
            fields.insert("failureReason".to_owned(), json!(reason));
        }
        if matches!(
            notice.kind,
            Kind::MissedThreshold | Kind::ReplicatedAfterThreshold
        ) {
            // Texts, as AWS's Java SDK reads them; what they say is an assumption.
            fields.insert("threshold".to_owned(), json!("15"));
        }
        if notice.kind == Kind::ReplicatedAfterThreshold {
            let span = notice.at.since(transfer.requested).as_secs();
            fields.insert("replicationTime".to_owned(), json!(span.to_string()));
        }
        details
    }

    /// What SNS puts around a message for a queue without raw delivery.
    pub(super) fn envelope(&self, topic: &str, message: &str, at: SimTime) -> String {
        let region = topic.split(':').nth(3).unwrap_or_default();
        json!({
            "Type": "Notification",
            "MessageId": self.id("notification"),
            "TopicArn": topic,
            "Subject": "Amazon S3 Notification",
            "Message": message,
            "Timestamp": self.iso(at),
            "SignatureVersion": "1",
            "Signature": self.id("signature"),
            "SigningCertURL": format!("https://sns.{region}.amazonaws.com/SimpleNotificationService.pem"),
            "UnsubscribeURL": format!("https://sns.{region}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={topic}:queue"),
        })
        .to_string()
    }

    fn id(&self, kind: &str) -> String {
        uuid(self.seed, kind, self.number)
    }

    fn iso(&self, at: SimTime) -> String {
        calendar(self.epoch, at)
            .strftime("%Y-%m-%dT%H:%M:%S.%3fZ")
            .to_string()
    }
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Failed => "Replication:OperationFailedReplication",
        Kind::MissedThreshold => "Replication:OperationMissedThreshold",
        Kind::ReplicatedAfterThreshold => "Replication:OperationReplicatedAfterThreshold",
        Kind::NotTracked => "Replication:OperationNotTracked",
    }
}

/// A key as events carry it: as a form would, so that a space is a plus sign.
fn form_encoded(key: &str) -> String {
    query::encode(key).replace("%20", "+")
}

#[cfg(test)]
mod tests {
    use super::form_encoded;

    #[test]
    fn keys_are_form_encoded() {
        let cases = [
            ("red flower.jpg", "red+flower.jpg"),
            ("1+1", "1%2B1"),
            ("a/ü,\"\n", "a/%C3%BC%2C%22%0A"),
        ];
        for (key, expected) in cases {
            assert_eq!(form_encoded(key), expected);
        }
    }
}
