//! What a bucket is configured like beyond versioning and encryption, and the operations that read it.

use super::{Bucket, S3, root};
use crate::config::{BucketSettings, Encryption, ReplicationRule};
use crate::wire::xml::Writer;
use crate::wire::{Answer, ServiceError};

impl S3 {
    /// Answers an operation that reads configuration; `None` if it is none.
    pub(super) fn configuration(
        &self,
        operation: &str,
        bucket: &str,
    ) -> Option<Result<Answer, ServiceError>> {
        let state = self.buckets.get(bucket)?;
        let settings = &state.settings;
        Some(match operation {
            "GetBucketReplication" => replication(state),
            "GetBucketEncryption" => Ok(encryption(&state.encryption)),
            "GetObjectLockConfiguration" => object_lock(settings),
            "GetBucketOwnershipControls" => ownership(settings),
            "GetPublicAccessBlock" => public_access(settings),
            "GetBucketPolicy" => policy(settings),
            "GetBucketNotificationConfiguration" => Ok(notifications(settings)),
            "ListBucketMetricsConfigurations" => Ok(metrics(settings)),
            "GetBucketLifecycleConfiguration" => lifecycle(settings),
            "GetBucketRequestPayment" => Ok(payment(settings)),
            _ => return None,
        })
    }
}

fn absent(code: &str, message: &str) -> ServiceError {
    ServiceError::new(404, code, message)
}

fn document(name: &str, inside: impl FnOnce(&mut Writer)) -> Answer {
    let mut xml = Writer::new();
    xml.element(&root(name), inside);
    Answer::new(200).xml(xml.finish())
}

fn status(on: bool) -> &'static str {
    if on { "Enabled" } else { "Disabled" }
}

fn replication(bucket: &Bucket) -> Result<Answer, ServiceError> {
    if bucket.rules.is_empty() {
        return Err(absent(
            "ReplicationConfigurationNotFoundError",
            "The replication configuration was not found",
        ));
    }
    Ok(document("ReplicationConfiguration", |w| {
        w.text("Role", "arn:aws:iam::111122223333:role/replication");
        for rule in bucket.rules() {
            w.element("Rule", |w| self::rule(w, rule));
        }
    }))
}

fn rule(w: &mut Writer, rule: &ReplicationRule) {
    w.text("ID", &rule.id);
    w.text("Priority", rule.priority.to_string());
    w.text("Status", status(rule.enabled));
    w.element("Filter", |w| w.text("Prefix", &rule.prefix));
    w.element("DeleteMarkerReplication", |w| {
        w.text("Status", status(rule.delete_markers));
    });
    w.element("SourceSelectionCriteria", |w| {
        w.element("ReplicaModifications", |w| {
            w.text("Status", status(rule.replica_modifications));
        });
        if rule.replica_kms_key.is_some() {
            w.element("SseKmsEncryptedObjects", |w| w.text("Status", "Enabled"));
        }
    });
    w.element("Destination", |w| {
        w.text("Bucket", format!("arn:aws:s3:::{}", rule.destination));
        if let Some(key) = &rule.replica_kms_key {
            w.element("EncryptionConfiguration", |w| {
                w.text("ReplicaKmsKeyID", key);
            });
        }
        let minutes = |w: &mut Writer| w.text("Minutes", "15");
        if rule.time_control {
            w.element("ReplicationTime", |w| {
                w.text("Status", "Enabled");
                w.element("Time", minutes);
            });
        }
        if rule.metrics {
            w.element("Metrics", |w| {
                w.text("Status", "Enabled");
                if rule.time_control {
                    w.element("EventThreshold", minutes);
                }
            });
        }
    });
}

fn encryption(encryption: &Encryption) -> Answer {
    document("ServerSideEncryptionConfiguration", |w| {
        w.element("Rule", |w| {
            w.element("ApplyServerSideEncryptionByDefault", |w| match encryption {
                Encryption::SseS3 => w.text("SSEAlgorithm", "AES256"),
                Encryption::SseKms { key } => {
                    w.text("SSEAlgorithm", "aws:kms");
                    w.text("KMSMasterKeyID", key);
                }
            });
            w.text("BucketKeyEnabled", "false");
        });
    })
}

fn object_lock(settings: &BucketSettings) -> Result<Answer, ServiceError> {
    if !settings.object_lock {
        return Err(absent(
            "ObjectLockConfigurationNotFoundError",
            "Object Lock configuration does not exist for this bucket",
        ));
    }
    Ok(document("ObjectLockConfiguration", |w| {
        w.text("ObjectLockEnabled", "Enabled");
    }))
}

fn ownership(settings: &BucketSettings) -> Result<Answer, ServiceError> {
    let Some(ownership) = &settings.ownership else {
        return Err(absent(
            "OwnershipControlsNotFoundError",
            "The bucket ownership controls were not found",
        ));
    };
    Ok(document("OwnershipControls", |w| {
        w.element("Rule", |w| w.text("ObjectOwnership", ownership));
    }))
}

fn public_access(settings: &BucketSettings) -> Result<Answer, ServiceError> {
    let Some(blocked) = settings.public_access_blocked else {
        return Err(absent(
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
        ));
    };
    Ok(document("PublicAccessBlockConfiguration", |w| {
        for switch in [
            "BlockPublicAcls",
            "IgnorePublicAcls",
            "BlockPublicPolicy",
            "RestrictPublicBuckets",
        ] {
            w.text(switch, blocked.to_string());
        }
    }))
}

fn policy(settings: &BucketSettings) -> Result<Answer, ServiceError> {
    let policy = settings.policy.as_ref();
    let policy =
        policy.ok_or_else(|| absent("NoSuchBucketPolicy", "The bucket policy does not exist"))?;
    Ok(Answer::new(200)
        .header("content-type", "application/json")
        .body(policy.clone()))
}

fn notifications(settings: &BucketSettings) -> Answer {
    document("NotificationConfiguration", |w| {
        if let Some(arn) = &settings.replication_events_to {
            let (element, name) = if arn.contains(":sqs:") {
                ("QueueConfiguration", "Queue")
            } else {
                ("TopicConfiguration", "Topic")
            };
            w.element(element, |w| {
                w.text("Id", "replication");
                w.text(name, arn);
                w.text("Event", "s3:Replication:*");
            });
        }
    })
}

fn metrics(settings: &BucketSettings) -> Answer {
    document("ListMetricsConfigurationsResult", |w| {
        w.text("IsTruncated", "false");
        if settings.request_metrics {
            w.element("MetricsConfiguration", |w| w.text("Id", "EntireBucket"));
        }
    })
}

fn lifecycle(settings: &BucketSettings) -> Result<Answer, ServiceError> {
    if settings.lifecycle.is_empty() {
        return Err(absent(
            "NoSuchLifecycleConfiguration",
            "The lifecycle configuration does not exist",
        ));
    }
    Ok(document("LifecycleConfiguration", |w| {
        for (number, rule) in settings.lifecycle.iter().enumerate() {
            w.element("Rule", |w| {
                w.text("ID", format!("rule-{number}"));
                w.element("Filter", |w| w.text("Prefix", &rule.prefix));
                w.text("Status", "Enabled");
                if let Some(days) = rule.expires_after_days {
                    w.element("Expiration", |w| w.text("Days", days.to_string()));
                }
                if let Some(days) = rule.noncurrent_after_days {
                    w.element("NoncurrentVersionExpiration", |w| {
                        w.text("NoncurrentDays", days.to_string());
                    });
                }
            });
        }
    }))
}

fn payment(settings: &BucketSettings) -> Answer {
    document("RequestPaymentConfiguration", |w| {
        w.text(
            "Payer",
            if settings.requester_pays {
                "Requester"
            } else {
                "BucketOwner"
            },
        );
    })
}
