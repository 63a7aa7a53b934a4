//! The wire form of replication events.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::{Kind, Notice, uuid};
use crate::SimTime;
use crate::time::calendar;
use crate::wire::query;

/// The versions that event records carried over the years: readers compare the major one only.
const VERSIONS: [&str; 5] = ["2.2", "2.3", "2.4", "2.5", "2.6"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    event_version: &'a str,
    event_source: &'a str,
    aws_region: &'a str,
    event_time: String,
    event_name: &'a str,
    user_identity: Principal<'a>,
    request_parameters: Address<'a>,
    response_elements: RequestIds,
    s3: Entity<'a>,
    replication_event_data: Details<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Principal<'a> {
    principal_id: &'a str,
}

#[derive(Serialize)]
struct Address<'a> {
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: &'a str,
}

#[derive(Serialize)]
struct RequestIds {
    #[serde(rename = "x-amz-request-id")]
    request_id: String,
    #[serde(rename = "x-amz-id-2")]
    host_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entity<'a> {
    #[serde(rename = "s3SchemaVersion")]
    schema_version: &'a str,
    configuration_id: &'a str,
    bucket: Bucket<'a>,
    object: Object<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bucket<'a> {
    name: &'a str,
    owner_identity: Principal<'a>,
    arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_generated_tags: Option<Tags>,
}

#[derive(Serialize)]
struct Tags {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e_tag: Option<&'a str>,
    version_id: &'a str,
    sequencer: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    replication_rule_id: &'a str,
    destination_bucket: String,
    s3_operation: &'a str,
    request_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replication_time: Option<String>,
}

/// Who S3 says it is.
const S3: &str = "s3.amazonaws.com";

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
        let mut message = String::from("{\"Records\":[");
        for (place, notice) in notices.iter().enumerate() {
            if place > 0 {
                message.push(',');
            }
            let record = self.record(notice);
            message.push_str(&serde_json::to_string(&record).expect("plain data"));
        }
        message.push_str("]}");
        message
    }

    fn record<'b>(&'b self, notice: &'b Notice) -> Record<'b> {
        let transfer = &notice.transfer;
        let lane = &transfer.lane;
        let version = VERSIONS[usize::try_from(self.number % 5).unwrap_or(0)];
        let shape = notice.shape.as_ref();
        let content = shape.is_none_or(|shape| !shape.delete_marker);
        let etag = shape.map(|shape| &*shape.etag).filter(|_| content);
        Record {
            event_version: version,
            event_source: "aws:s3",
            aws_region: self.region,
            event_time: self.iso(notice.at),
            event_name: name_of(notice.kind),
            user_identity: Principal { principal_id: S3 },
            request_parameters: Address {
                source_ip_address: S3,
            },
            response_elements: RequestIds {
                request_id: self.id("request"),
                host_id: self.id("host"),
            },
            s3: Entity {
                schema_version: "1.0",
                configuration_id: "replication",
                bucket: Bucket {
                    name: &lane.source,
                    owner_identity: Principal {
                        principal_id: self.account,
                    },
                    arn: format!("arn:aws:s3:::{}", lane.source),
                    aws_generated_tags: (version == "2.6").then_some(Tags {}),
                },
                object: Object {
                    key: form_encoded(&transfer.key),
                    size: content.then_some(transfer.bytes),
                    e_tag: etag.map(|etag| etag.trim_matches('"')),
                    version_id: &transfer.version_id,
                    sequencer: format!("{:018X}", transfer.requested.as_millis()),
                },
            },
            replication_event_data: self.details(notice),
        }
    }

    fn details<'b>(&self, notice: &'b Notice) -> Details<'b> {
        let transfer = &notice.transfer;
        let late = notice.kind == Kind::ReplicatedAfterThreshold;
        let measured = late || notice.kind == Kind::MissedThreshold;
        let span = notice.at.since(transfer.requested).as_secs();
        Details {
            replication_rule_id: &transfer.lane.rule,
            destination_bucket: format!("arn:aws:s3:::{}", transfer.lane.destination),
            // The only operation that AWS documents. That of a delete marker is an assumption.
            s3_operation: match &notice.shape {
                Some(shape) if shape.delete_marker => "OBJECT_DELETE_MARKER",
                _ => "OBJECT_PUT",
            },
            request_time: self.iso(transfer.requested),
            failure_reason: notice.reason.as_deref(),
            // Texts, as AWS's Java SDK reads them; what they say is an assumption.
            threshold: measured.then_some("15"),
            replication_time: late.then(|| span.to_string()),
        }
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
