//! What a world is made of: accounts, buckets, MRAPs, replication, topics, alarms, timing.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cloudwatch::AlarmConfig;

/// The epoch of every world that does not choose another one: 2026-11-20T16:00:00Z.
pub const DEFAULT_EPOCH: Timestamp = Timestamp::constant(1_795_190_400, 0);

/// The blueprint of a world. Builder methods take and return `self`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldConfig {
    /// Decides every delay, probability and id.
    pub seed: u64,
    /// Calendar time of [`SimTime::ZERO`](crate::SimTime::ZERO).
    pub epoch: Timestamp,
    /// The account that owns everything below; other accounts are denied.
    pub account: String,
    /// Multi-Region Access Points.
    pub mraps: Vec<MrapConfig>,
    /// Buckets that belong to no MRAP.
    pub buckets: Vec<BucketConfig>,
    /// Replication rules besides the full mesh of every MRAP.
    pub replication: Vec<ReplicationRule>,
    /// SNS topics.
    pub topics: Vec<TopicConfig>,
    /// CloudWatch alarms.
    pub alarms: Vec<AlarmConfig>,
    /// Where clients are; a label that is not listed is in `default_location`.
    pub clients: BTreeMap<String, ClientConfig>,
    /// Region near which unlisted clients are.
    pub default_location: String,
    /// Delays and limits.
    pub timing: Timing,
    /// How Batch Operations jobs behave where AWS leaves it open.
    pub jobs: JobRules,
    /// How replication events are sent.
    pub replication_events: EventRules,
}

/// How Batch Operations jobs behave where AWS leaves it open, and their limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobRules {
    /// Jobs of the account that may be active at once, over all Regions. AWS: 6.
    pub active_quota: usize,
    /// What a repeated `ClientRequestToken` is answered with. Not documented.
    pub repeated_token: RepeatedToken,
    /// What an unknown job is called: the SDK's models and what users report differ.
    pub unknown_job: UnknownJob,
    /// Whether the manifest's decoder takes `+` for a space. Not documented.
    pub plus_is_space: bool,
    /// What becomes of the task for a version that is at every destination. Not documented.
    pub already_replicated: AlreadyReplicated,
    /// Probability that a failure shows only after its task succeeded in initiating replication.
    pub late_failures: f64,
    /// Whether failures that a job causes send events too. Not documented; the metric counts them.
    pub failures_send_events: bool,
    /// Rows of one result file of a report.
    pub report_rows: usize,
    /// A job that ran this many tasks fails when more than half of them did. AWS: 1,000.
    pub failure_threshold: u64,
}

impl Default for JobRules {
    fn default() -> Self {
        Self {
            active_quota: 6,
            repeated_token: RepeatedToken::SameJob,
            unknown_job: UnknownJob::NotFoundException,
            plus_is_space: false,
            already_replicated: AlreadyReplicated::Succeeds,
            late_failures: 0.05,
            failures_send_events: true,
            report_rows: 100_000,
            failure_threshold: 1_000,
        }
    }
}

/// The answer to a `CreateJob` with a token that was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepeatedToken {
    /// The id of the job that the token made.
    SameJob,
    /// 400 `IdempotencyException`.
    IdempotencyException,
}

/// The error code for a job that is not there, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownJob {
    /// As the service's model has it.
    NotFoundException,
    /// As it is reported to be.
    NoSuchJob,
}

/// What becomes of a task for a version that is at every destination already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlreadyReplicated {
    /// It initiates replication, which changes nothing.
    Succeeds,
    /// It fails with `SrcReplicationNotPending`.
    NotPending,
}

/// How replication events reach their queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventRules {
    /// Whether the source bucket of every rule has a notification configuration.
    pub enabled: bool,
    /// ARN of the SNS topic in between; `None` if S3 sends to the queue itself.
    pub through_topic: Option<String>,
    /// Name of the queue, in the default location.
    pub queue: String,
}

impl Default for EventRules {
    fn default() -> Self {
        Self {
            enabled: true,
            through_topic: None,
            queue: "replication-events".to_owned(),
        }
    }
}

/// A Multi-Region Access Point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MrapConfig {
    /// The generated alias, which ends in `.mrap`.
    pub alias: String,
    /// Its buckets, at most one in a Region.
    pub members: Vec<MemberConfig>,
    /// Whether every member replicates to every other one.
    #[serde(default = "yes")]
    pub full_mesh: bool,
    /// Whether the rules of the mesh are under replication time control.
    #[serde(default)]
    pub time_control: bool,
}

/// A bucket of an MRAP; it is versioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberConfig {
    /// Bucket name.
    pub bucket: String,
    /// Its Region.
    pub region: String,
    /// The dial at the start: 100 active, 0 passive.
    #[serde(default = "active")]
    pub dial: u8,
    /// How objects are encrypted that do not say it themselves.
    #[serde(default)]
    pub encryption: Encryption,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketConfig {
    /// Bucket name.
    pub name: String,
    /// Its Region.
    pub region: String,
    /// Versioning state.
    #[serde(default)]
    pub versioning: Versioning,
    /// How objects are encrypted that do not say it themselves.
    #[serde(default)]
    pub encryption: Encryption,
}

/// What else a bucket is configured like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BucketSettings {
    /// Whether Object Lock is on.
    pub object_lock: bool,
    /// Object ownership; `None` for none.
    pub ownership: Option<String>,
    /// Whether all four switches of the public access block are on, or off; `None` without one.
    pub public_access_blocked: Option<bool>,
    /// The bucket policy.
    pub policy: Option<String>,
    /// Queue or topic that replication events go to.
    pub replication_events_to: Option<String>,
    /// Whether request metrics are on for the whole bucket.
    pub request_metrics: bool,
    /// Lifecycle rules. Nothing acts on them here.
    pub lifecycle: Vec<LifecycleRule>,
    /// Whether requesters pay.
    pub requester_pays: bool,
    /// The account that owns it, with a policy that shows it to ours; none if it is ours.
    pub foreign_owner: Option<String>,
}

/// A lifecycle rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LifecycleRule {
    /// Keys must start with this.
    pub prefix: String,
    /// When objects expire.
    pub expires_after_days: Option<u32>,
    /// When old versions do.
    pub noncurrent_after_days: Option<u32>,
}

impl Default for BucketSettings {
    /// As S3 makes buckets today.
    fn default() -> Self {
        Self {
            object_lock: false,
            ownership: Some("BucketOwnerEnforced".to_owned()),
            public_access_blocked: Some(true),
            policy: None,
            replication_events_to: None,
            request_metrics: false,
            lifecycle: Vec::new(),
            requester_pays: false,
            foreign_owner: None,
        }
    }
}

impl BucketSettings {
    /// As a member's bucket should be: delegating to access points, with its replication events
    /// going to `events` and the canaries' old versions removed.
    #[must_use]
    pub fn of_member(account: &str, events: Option<String>) -> Self {
        let policy = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Sid": "DelegatedToMultiRegionAccessPoints",
                "Effect": "Allow",
                "Principal": "*",
                "Action": ["s3:GetObject*", "s3:PutObject*"],
                "Condition": {"StringEquals": {"s3:DataAccessPointAccount": account}},
            }],
        });
        Self {
            policy: Some(policy.to_string()),
            replication_events_to: events,
            request_metrics: true,
            lifecycle: vec![LifecycleRule {
                prefix: ".mrap-sentinel/".to_owned(),
                expires_after_days: None,
                noncurrent_after_days: Some(1),
            }],
            ..Self::default()
        }
    }
}

/// Encryption at rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// SSE-S3.
    #[default]
    SseS3,
    /// SSE-KMS.
    SseKms {
        /// ARN of the key.
        key: String,
    },
}

/// Versioning state of a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Versioning {
    /// Every write makes a version.
    #[default]
    Enabled,
    /// New writes replace the `null` version; older versions stay.
    Suspended,
    /// Never enabled.
    Unversioned,
}

/// A live-replication rule. Replicas are not replicated further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "AWS's rules have that many switches"
)]
pub struct ReplicationRule {
    /// Rule id, the `RuleId` dimension of replication metrics.
    pub id: String,
    /// Source bucket.
    pub source: String,
    /// Destination bucket.
    pub destination: String,
    /// Keys must start with this.
    #[serde(default)]
    pub prefix: String,
    /// A disabled rule does nothing.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Of two rules for one destination the higher one applies.
    #[serde(default)]
    pub priority: u32,
    /// Whether delete markers are replicated.
    #[serde(default)]
    pub delete_markers: bool,
    /// Whether changes of replicas flow back. Nothing changes replicas here.
    #[serde(default = "yes")]
    pub replica_modifications: bool,
    /// Replication metrics, without which there are no replication events either.
    #[serde(default = "yes")]
    pub metrics: bool,
    /// Replication time control: events about what takes longer than a quarter of an hour.
    #[serde(default)]
    pub time_control: bool,
    /// ARN of the key at the destination for objects under SSE-KMS, which are not eligible
    /// without it.
    #[serde(default)]
    pub replica_kms_key: Option<String>,
}

impl ReplicationRule {
    /// A rule for every object of `source`.
    #[must_use]
    pub fn new(
        id: impl Into<String>,
        source: impl Into<String>,
        destination: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            source: source.into(),
            destination: destination.into(),
            prefix: String::new(),
            enabled: true,
            priority: 0,
            delete_markers: false,
            replica_modifications: true,
            metrics: true,
            time_control: false,
            replica_kms_key: None,
        }
    }
}

/// An SNS topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicConfig {
    /// Its Region.
    pub region: String,
    /// Topic name, the last part of the ARN.
    pub name: String,
}

/// A kind of client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// Region near which it is: decides latency and the nearest active member.
    pub location: String,
    /// Member Regions, nearest first; by distance from `location` when empty.
    #[serde(default)]
    pub preference: Vec<String>,
}

/// Delays and limits. A range is drawn from by seed; all are milliseconds unless named otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// Server-side time of a request, besides the network's round trip.
    pub service: RangeInclusive<u64>,
    /// From the submission of routes until a location follows them. AWS says up to two minutes.
    pub route_propagation: RangeInclusive<u64>,
    /// A second route change of an MRAP within this span of the first is a 409.
    pub route_conflict_window: RangeInclusive<u64>,
    /// A conditional write that follows a conflicting one within this span overlaps it: 409. Less
    /// than the fastest round trip, so that one client alone never sees it.
    pub conditional_conflict_window: u64,
    /// From a write until its replica is readable.
    pub replication: RangeInclusive<u64>,
    /// From a Region's return until replication from or to it resumes.
    pub replication_resume: RangeInclusive<u64>,
    /// How long replication under time control may take. AWS: 15 minutes.
    pub replication_threshold: u64,
    /// How long replication metrics track a transfer under time control. AWS names no figure: an
    /// assumption.
    pub replication_untracked: u64,
    /// From something happening to a transfer until its event is in the queue. AWS: typically
    /// seconds.
    pub event_delivery: RangeInclusive<u64>,
    /// Probability that an event takes much longer.
    pub late_event: f64,
    /// How long those take. AWS: a minute or longer.
    pub late_event_delivery: RangeInclusive<u64>,
    /// Probability that an event is sent twice.
    pub duplicate_event: f64,
    /// Records in a message, where several things happen at once.
    pub records_per_message: RangeInclusive<u64>,
    /// From a job's creation until it is `Preparing`.
    pub job_new: RangeInclusive<u64>,
    /// How long `DescribeJob` and `ListJobs` do not know a new job.
    pub job_unknown: RangeInclusive<u64>,
    /// How long a job reads its manifest.
    pub job_preparing: RangeInclusive<u64>,
    /// How long it generates one instead.
    pub job_generating: RangeInclusive<u64>,
    /// How long it is `Ready` where the quota leaves room.
    pub job_ready: RangeInclusive<u64>,
    /// Tasks of a job per second.
    pub job_tasks_per_second: u64,
    /// How long it is `Completing`.
    pub job_completing: RangeInclusive<u64>,
    /// How long it is `Pausing`, `Cancelling` or `Failing`.
    pub job_stopping: RangeInclusive<u64>,
    /// A job that waits for its confirmation longer than this fails. AWS: 30 days.
    pub job_confirmation: u64,
    /// How long after its end a job can be described. AWS: 90 days.
    pub job_retention: u64,
    /// From the end of a minute until its metrics are visible.
    pub metric_delay: u64,
    /// From the end of ten seconds until their high-resolution metrics are visible. AWS names no
    /// figure: an assumption.
    pub high_resolution_delay: u64,
    /// From an alarm's state change until its event or action reaches a function.
    pub alarm_delivery: RangeInclusive<u64>,
    /// Probability that an alarm's event is delivered twice.
    pub duplicate_delivery: f64,
    /// A pooled connection unused for this long is closed.
    pub connection_idle: u64,
    /// A pooled connection older than this is closed when next used.
    pub connection_lifetime: u64,
    /// From a refused connection attempt until the client knows.
    pub refuse: u64,
    /// Allowed difference between `x-amz-date` and the world's clock. AWS: 15 minutes.
    pub clock_skew_limit: u64,
    /// A late landing happens at the latest this long after its request, given up or not.
    pub late_landing_limit: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            service: 8..=25,
            route_propagation: 15_000..=45_000,
            route_conflict_window: 0..=400,
            conditional_conflict_window: 8,
            replication: 300..=4_000,
            replication_resume: 1_000..=30_000,
            replication_threshold: 900_000,
            replication_untracked: 86_400_000,
            event_delivery: 500..=5_000,
            late_event: 0.01,
            late_event_delivery: 30_000..=300_000,
            duplicate_event: 0.0,
            records_per_message: 1..=1,
            job_new: 200..=1_500,
            job_unknown: 0..=0,
            job_preparing: 2_000..=20_000,
            job_generating: 30_000..=300_000,
            job_ready: 500..=5_000,
            job_tasks_per_second: 2_000,
            job_completing: 1_000..=15_000,
            job_stopping: 500..=5_000,
            job_confirmation: 30 * 86_400_000,
            job_retention: 90 * 86_400_000,
            metric_delay: 20_000,
            high_resolution_delay: 5_000,
            alarm_delivery: 200..=1_500,
            duplicate_delivery: 0.0,
            connection_idle: 20_000,
            connection_lifetime: 60_000,
            refuse: 1,
            clock_skew_limit: 900_000,
            late_landing_limit: 300_000,
        }
    }
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self::new(1)
    }
}

impl WorldConfig {
    /// An empty world of account `111122223333` with unlisted clients near us-east-2.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            epoch: DEFAULT_EPOCH,
            account: "111122223333".to_owned(),
            mraps: Vec::new(),
            buckets: Vec::new(),
            replication: Vec::new(),
            topics: Vec::new(),
            alarms: Vec::new(),
            clients: BTreeMap::new(),
            default_location: "us-east-2".to_owned(),
            timing: Timing::default(),
            jobs: JobRules::default(),
            replication_events: EventRules::default(),
        }
    }

    /// The account that owns everything.
    #[must_use]
    pub fn account(mut self, id: impl Into<String>) -> Self {
        self.account = id.into();
        self
    }

    /// Adds an MRAP with full-mesh replication; the members follow by [`member`](Self::member).
    #[must_use]
    pub fn mrap(mut self, alias: impl Into<String>) -> Self {
        self.mraps.push(MrapConfig {
            alias: alias.into(),
            members: Vec::new(),
            full_mesh: true,
            time_control: false,
        });
        self
    }

    /// Puts the mesh of the last MRAP under replication time control.
    ///
    /// # Panics
    /// If there is no MRAP yet.
    #[must_use]
    pub fn with_time_control(mut self) -> Self {
        let mrap = self.mraps.last_mut().expect("an MRAP before its rules");
        mrap.time_control = true;
        self
    }

    /// Adds a member to the last MRAP; the first member starts active, the others passive.
    ///
    /// # Panics
    /// If there is no MRAP yet.
    #[must_use]
    pub fn member(mut self, bucket: impl Into<String>, region: impl Into<String>) -> Self {
        let mrap = self.mraps.last_mut().expect("an MRAP before its members");
        let dial = if mrap.members.is_empty() { 100 } else { 0 };
        mrap.members.push(MemberConfig {
            bucket: bucket.into(),
            region: region.into(),
            dial,
            encryption: Encryption::SseS3,
        });
        self
    }

    /// Makes SSE-KMS with this key the default of a bucket or member that was added before. Rules
    /// of an MRAP's mesh towards it use the key for their replicas.
    ///
    /// # Panics
    /// If there is no such bucket.
    #[must_use]
    pub fn encrypted(mut self, bucket: &str, key: impl Into<String>) -> Self {
        let members = self.mraps.iter_mut().flat_map(|mrap| &mut mrap.members);
        let members = members.map(|member| (&member.bucket, &mut member.encryption));
        let buckets = self.buckets.iter_mut();
        let buckets = buckets.map(|bucket| (&bucket.name, &mut bucket.encryption));
        let (_, encryption) = members
            .chain(buckets)
            .find(|(name, _)| *name == bucket)
            .expect("a bucket before its encryption");
        *encryption = Encryption::SseKms { key: key.into() };
        self
    }

    /// Makes every member of the last MRAP active from the start.
    ///
    /// # Panics
    /// If there is no MRAP yet.
    #[must_use]
    pub fn all_active(mut self) -> Self {
        let mrap = self.mraps.last_mut().expect("an MRAP before its dials");
        for member in &mut mrap.members {
            member.dial = 100;
        }
        self
    }

    /// Leaves replication of the last MRAP to explicit rules.
    ///
    /// # Panics
    /// If there is no MRAP yet.
    #[must_use]
    pub fn without_mesh(mut self) -> Self {
        let mrap = self.mraps.last_mut().expect("an MRAP before its rules");
        mrap.full_mesh = false;
        self
    }

    /// Adds a versioned bucket that belongs to no MRAP, such as the state bucket.
    #[must_use]
    pub fn bucket(self, name: impl Into<String>, region: impl Into<String>) -> Self {
        self.bucket_with(name, region, Versioning::Enabled)
    }

    /// Adds a bucket that belongs to no MRAP.
    #[must_use]
    pub fn bucket_with(
        mut self,
        name: impl Into<String>,
        region: impl Into<String>,
        versioning: Versioning,
    ) -> Self {
        self.buckets.push(BucketConfig {
            name: name.into(),
            region: region.into(),
            versioning,
            encryption: Encryption::SseS3,
        });
        self
    }

    /// Adds a replication rule.
    #[must_use]
    pub fn replicate(mut self, rule: ReplicationRule) -> Self {
        self.replication.push(rule);
        self
    }

    /// Adds an SNS topic.
    #[must_use]
    pub fn topic(mut self, region: impl Into<String>, name: impl Into<String>) -> Self {
        self.topics.push(TopicConfig {
            region: region.into(),
            name: name.into(),
        });
        self
    }

    /// Adds a CloudWatch alarm.
    #[must_use]
    pub fn alarm(mut self, alarm: AlarmConfig) -> Self {
        self.alarms.push(alarm);
        self
    }

    /// Places clients of this label near a Region; the nearest active member serves them.
    #[must_use]
    pub fn client(mut self, label: impl Into<String>, location: impl Into<String>) -> Self {
        let client = ClientConfig {
            location: location.into(),
            preference: Vec::new(),
        };
        self.clients.insert(label.into(), client);
        self
    }

    /// Replaces delays and limits.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The ARN of a topic of this world.
    #[must_use]
    pub fn topic_arn(&self, region: &str, name: &str) -> String {
        format!("arn:aws:sns:{region}:{}:{name}", self.account)
    }

    /// The ARN of the queue of replication events.
    #[must_use]
    pub fn events_queue_arn(&self) -> String {
        let (region, queue) = (&self.default_location, &self.replication_events.queue);
        format!("arn:aws:sqs:{region}:{}:{queue}", self.account)
    }

    /// The ARN of an MRAP of this world.
    #[must_use]
    pub fn mrap_arn(&self, alias: &str) -> String {
        format!("arn:aws:s3::{}:accesspoint/{alias}", self.account)
    }
}

fn yes() -> bool {
    true
}

fn active() -> u8 {
    100
}
