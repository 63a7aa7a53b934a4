//! What S3 tells of a bucket.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    BucketVersioningStatus, Event, NotificationConfigurationFilter, ObjectLockEnabled, Payer,
};
use aws_smithy_runtime_api::client::result::SdkError;
use sentinel_core::names::{BucketName, Member, Region};
use sentinel_core::readiness::inventory::{
    BucketLook, Encryption, EventTarget, LifecycleAction, Looked, Place, PublicAccess, Rule,
    Versioning, WorkLook,
};
use serde_json::Value;

use super::{Look, looked, rules};
use crate::failure::failure_of;
use crate::limits::Purpose;

/// There is no such bucket.
const NO_BUCKET: &str = "NoSuchBucket";

/// Pages of metrics configurations that are read: 100 stand on each, and a bucket has 1000 at most.
const METRICS_PAGES: usize = 10;

impl Look<'_> {
    /// A member's bucket and all its configuration, by requests that only read.
    pub(super) async fn bucket(&self, member: &Member) -> BucketLook {
        let name = member.bucket.as_str();
        let client = &self.edge.s3(&member.region, Purpose::Look);
        let (
            place,
            versioning,
            replication,
            encryption,
            object_lock,
            ownership,
            public_access,
            policy,
            events,
            request_metrics,
            lifecycle,
            requester_pays,
        ) = tokio::join!(
            self.place(client, &member.bucket, &member.region),
            self.versioning(client, name),
            self.replication(client, name),
            self.encryption(client, name),
            self.object_lock(client, name),
            self.ownership(client, name),
            self.public_access(client, name),
            self.policy(client, name),
            self.events(client, name),
            self.request_metrics(client, name),
            self.lifecycle(client, name),
            self.requester_pays(client, name),
        );
        BucketLook {
            member: member.clone(),
            place,
            versioning,
            replication,
            encryption,
            object_lock,
            ownership,
            public_access,
            policy,
            events,
            request_metrics,
            lifecycle,
            requester_pays,
        }
    }

    pub(super) async fn work_bucket(&self, bucket: &BucketName, region: &Region) -> WorkLook {
        let client = &self.edge.s3(region, Purpose::Look);
        let (place, encryption) = tokio::join!(
            self.place(client, bucket, region),
            self.encryption(client, bucket.as_str()),
        );
        WorkLook {
            bucket: bucket.clone(),
            region: region.clone(),
            place,
            encryption,
        }
    }

    /// Where the bucket is. One that is refused while we name ourselves as its owner, and shown while
    /// we do not, is another account's; a third look makes sure that no policy came in between.
    async fn place(&self, client: &Client, bucket: &BucketName, region: &Region) -> Looked<Place> {
        let owner = Some(self.mrap.account());
        let place = self.head(client, bucket, region, owner).await;
        let is_denied = |place: &Looked<Place>| matches!(place, Looked::Denied { .. });
        if is_denied(&place)
            && self
                .head(client, bucket, region, None)
                .await
                .found()
                .is_some()
            && is_denied(&self.head(client, bucket, region, owner).await)
        {
            return Looked::Found(Place::AnotherAccount);
        }
        place
    }

    /// The Region in which the bucket lies: HEAD tells it in any case, by a redirect if need be.
    async fn head(
        &self,
        client: &Client,
        bucket: &BucketName,
        region: &Region,
        owner: Option<&str>,
    ) -> Looked<Place> {
        let request = client
            .head_bucket()
            .bucket(bucket.as_str())
            .set_expected_bucket_owner(owner.map(str::to_owned))
            .send();
        let limit = Purpose::Look.limits().operation;
        let limit = limit.min(self.edge.left(self.until));
        let error = match self.edge.within(limit, request).await {
            None => {
                return Looked::Failed {
                    detail: "no answer in time".to_owned(),
                };
            }
            // An endpoint answers for its own Region only.
            Some(Ok(answer)) => {
                let place = answer.bucket_region;
                return Looked::Found(Place::Region(
                    place.unwrap_or_else(|| region.as_str().to_owned()),
                ));
            }
            Some(Err(error)) => error,
        };
        if let SdkError::ServiceError(refusal) = &error
            && matches!(refusal.raw().status().as_u16(), 301 | 307 | 400)
            && let Some(elsewhere) = refusal.raw().headers().get("x-amz-bucket-region")
        {
            return Looked::Found(Place::Region(elsewhere.to_owned()));
        }
        let failure = failure_of(&error);
        if failure.status() == Some(404) {
            return Looked::Absent; // answers to HEAD have no code
        }
        looked(
            &failure,
            "s3:ListBucket (or the bucket is another account's)",
            &[],
        )
    }

    async fn versioning(&self, client: &Client, bucket: &str) -> Looked<Versioning> {
        let request = client.get_bucket_versioning().bucket(bucket).send();
        let answer = self
            .ask("s3:GetBucketVersioning", &[NO_BUCKET], request)
            .await;
        answer.map(|answer| match answer.status {
            Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
            Some(_) => Versioning::Suspended,
            None => Versioning::Never,
        })
    }

    async fn replication(&self, client: &Client, bucket: &str) -> Looked<Vec<Rule>> {
        let request = client.get_bucket_replication().bucket(bucket).send();
        let absent = ["ReplicationConfigurationNotFoundError", NO_BUCKET];
        let answer = self
            .ask("s3:GetReplicationConfiguration", &absent, request)
            .await;
        flat(answer.map(|answer| {
            let rules = answer.replication_configuration?.rules;
            Some(rules.into_iter().map(rules::rule).collect())
        }))
    }

    async fn encryption(&self, client: &Client, bucket: &str) -> Looked<Encryption> {
        let request = client.get_bucket_encryption().bucket(bucket).send();
        let absent = ["ServerSideEncryptionConfigurationNotFoundError", NO_BUCKET];
        let answer = self
            .ask("s3:GetEncryptionConfiguration", &absent, request)
            .await;
        let default =
            |answer: aws_sdk_s3::operation::get_bucket_encryption::GetBucketEncryptionOutput| {
                let mut rules = answer
                    .server_side_encryption_configuration?
                    .rules
                    .into_iter();
                let (default, bucket_key) = rules.find_map(|rule| {
                    let default = rule.apply_server_side_encryption_by_default?;
                    Some((default, rule.bucket_key_enabled == Some(true)))
                })?;
                Some(Encryption {
                    algorithm: default.sse_algorithm.as_str().to_owned(),
                    key: default.kms_master_key_id,
                    bucket_key,
                })
            };
        flat(answer.map(default))
    }

    async fn object_lock(&self, client: &Client, bucket: &str) -> Looked<bool> {
        let request = client.get_object_lock_configuration().bucket(bucket).send();
        let absent = ["ObjectLockConfigurationNotFoundError", NO_BUCKET];
        let answer = self
            .ask("s3:GetBucketObjectLockConfiguration", &absent, request)
            .await;
        answer.map(|answer| {
            let lock = answer.object_lock_configuration;
            lock.and_then(|lock| lock.object_lock_enabled) == Some(ObjectLockEnabled::Enabled)
        })
    }

    async fn ownership(&self, client: &Client, bucket: &str) -> Looked<String> {
        let request = client.get_bucket_ownership_controls().bucket(bucket).send();
        let absent = ["OwnershipControlsNotFoundError", NO_BUCKET];
        let answer = self
            .ask("s3:GetBucketOwnershipControls", &absent, request)
            .await;
        flat(answer.map(|answer| {
            let rule = answer.ownership_controls?.rules.into_iter().next()?;
            Some(rule.object_ownership.as_str().to_owned())
        }))
    }

    async fn public_access(&self, client: &Client, bucket: &str) -> Looked<PublicAccess> {
        let request = client.get_public_access_block().bucket(bucket).send();
        let absent = ["NoSuchPublicAccessBlockConfiguration", NO_BUCKET];
        let answer = self
            .ask("s3:GetBucketPublicAccessBlock", &absent, request)
            .await;
        flat(answer.map(|answer| {
            let block = answer.public_access_block_configuration?;
            let switches = [
                block.block_public_acls,
                block.ignore_public_acls,
                block.block_public_policy,
                block.restrict_public_buckets,
            ];
            Some(PublicAccess {
                blocked: switches.iter().all(|on| *on == Some(true)),
            })
        }))
    }

    async fn policy(&self, client: &Client, bucket: &str) -> Looked<Value> {
        let request = client.get_bucket_policy().bucket(bucket).send();
        let absent = ["NoSuchBucketPolicy", NO_BUCKET];
        match self.ask("s3:GetBucketPolicy", &absent, request).await {
            Looked::Found(answer) => match serde_json::from_str(&answer.policy.unwrap_or_default())
            {
                Ok(policy) => Looked::Found(policy),
                Err(error) => Looked::Failed {
                    detail: format!("a policy that is no JSON: {error}"),
                },
            },
            Looked::Absent => Looked::Absent,
            Looked::Denied { action } => Looked::Denied { action },
            Looked::Failed { detail } => Looked::Failed { detail },
        }
    }

    async fn events(&self, client: &Client, bucket: &str) -> Looked<Vec<EventTarget>> {
        let request = client
            .get_bucket_notification_configuration()
            .bucket(bucket)
            .send();
        let answer = self
            .ask("s3:GetBucketNotification", &[NO_BUCKET], request)
            .await;
        answer.map(|answer| {
            let topics = answer.topic_configurations.into_iter().flatten();
            let topics = topics.map(|one| (one.topic_arn, one.events, one.filter));
            let queues = answer.queue_configurations.into_iter().flatten();
            let queues = queues.map(|one| (one.queue_arn, one.events, one.filter));
            topics
                .chain(queues)
                .filter(|(_, events, _)| events.iter().any(tells_failures))
                .map(|(arn, _, filter)| EventTarget {
                    arn,
                    filtered: filter.is_some_and(is_narrow),
                })
                .collect()
        })
    }

    async fn request_metrics(&self, client: &Client, bucket: &str) -> Looked<bool> {
        let mut token = None;
        for _ in 0..METRICS_PAGES {
            let request = client
                .list_bucket_metrics_configurations()
                .bucket(bucket)
                .set_continuation_token(token.take())
                .send();
            let answer = self
                .ask("s3:GetMetricsConfiguration", &[NO_BUCKET], request)
                .await;
            let page = match answer {
                Looked::Found(page) => page,
                other => return other.map(|_| false),
            };
            if page
                .metrics_configuration_list()
                .iter()
                .any(|one| one.filter.is_none())
            {
                return Looked::Found(true);
            }
            token = page.next_continuation_token;
            if token.is_none() {
                break;
            }
        }
        Looked::Found(false)
    }

    async fn lifecycle(&self, client: &Client, bucket: &str) -> Looked<Vec<LifecycleAction>> {
        let request = client
            .get_bucket_lifecycle_configuration()
            .bucket(bucket)
            .send();
        let absent = ["NoSuchLifecycleConfiguration", NO_BUCKET];
        let answer = self
            .ask("s3:GetLifecycleConfiguration", &absent, request)
            .await;
        answer.map(|answer| {
            let rules = answer.rules.unwrap_or_default();
            rules.into_iter().flat_map(rules::lifecycle).collect()
        })
    }

    async fn requester_pays(&self, client: &Client, bucket: &str) -> Looked<bool> {
        let request = client.get_bucket_request_payment().bucket(bucket).send();
        let answer = self
            .ask("s3:GetBucketRequestPayment", &[NO_BUCKET], request)
            .await;
        answer.map(|answer| answer.payer == Some(Payer::Requester))
    }
}

/// An answer without the thing that was asked for says that there is none.
fn flat<T>(look: Looked<Option<T>>) -> Looked<T> {
    match look {
        Looked::Found(Some(it)) => Looked::Found(it),
        Looked::Found(None) | Looked::Absent => Looked::Absent,
        Looked::Denied { action } => Looked::Denied { action },
        Looked::Failed { detail } => Looked::Failed { detail },
    }
}

fn tells_failures(event: &Event) -> bool {
    matches!(
        event.as_str(),
        "s3:Replication:*" | "s3:Replication:OperationFailedReplication"
    )
}

fn is_narrow(filter: NotificationConfigurationFilter) -> bool {
    let rules = filter.key.and_then(|key| key.filter_rules);
    rules.is_some_and(|rules| {
        rules
            .iter()
            .any(|rule| rule.value.as_deref().is_some_and(|value| !value.is_empty()))
    })
}
