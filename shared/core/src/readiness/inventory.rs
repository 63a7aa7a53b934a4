//! What was read before anything was judged: configuration as the services told it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evidence::Evidence;
use crate::names::{BucketName, Member, Region, TopicArn};
use crate::routes::Dial;

/// What came of reading one thing. What could not be read says nothing about what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked<T> {
    /// It was told.
    Found(T),
    /// The service says that there is none.
    Absent,
    /// Whoever looks may not.
    Denied {
        /// The permission that is missing.
        action: String,
    },
    /// No usable answer.
    Failed {
        /// How.
        detail: String,
    },
}

impl<T> Looked<T> {
    /// What was told, if it was.
    #[must_use]
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(it) => Some(it),
            _ => None,
        }
    }

    /// The same outcome of what `turn` makes of it.
    #[must_use]
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Looked<U> {
        match self {
            Self::Found(it) => Looked::Found(turn(it)),
            Self::Absent => Looked::Absent,
            Self::Denied { action } => Looked::Denied { action },
            Self::Failed { detail } => Looked::Failed { detail },
        }
    }

    fn trouble(&self, what: impl FnOnce() -> String) -> Option<(String, Trouble)> {
        let trouble = match self {
            Self::Found(_) | Self::Absent => return None,
            Self::Denied { action } => Trouble::Denied {
                action: action.clone(),
            },
            Self::Failed { detail } => Trouble::Failed {
                detail: detail.clone(),
            },
        };
        Some((what(), trouble))
    }
}

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// A permission is missing.
    Denied {
        /// Which.
        action: String,
    },
    /// No usable answer.
    Failed {
        /// How.
        detail: String,
    },
}

/// Where a bucket of a name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In this Region, as S3 names it.
    Region(String),
    /// In another account.
    AnotherAccount,
}

impl Place {
    /// Whether it is in this Region, and ours.
    #[must_use]
    pub fn is(&self, region: &Region) -> bool {
        matches!(self, Self::Region(place) if place == region.as_str())
    }
}

/// Versioning of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    /// Every write makes a version.
    Enabled,
    /// It was switched off.
    Suspended,
    /// It was never switched on.
    Never,
}

/// Which objects something is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Scope {
    /// Keys begin with this; empty for all.
    pub prefix: String,
    /// Tags that an object must have.
    pub tags: BTreeMap<String, String>,
    /// Further conditions, in words: sizes in a lifecycle rule.
    pub further: String,
}

impl Scope {
    /// Objects whose keys begin with this.
    #[must_use]
    pub fn of_prefix(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            ..Self::default()
        }
    }

    /// Whether a plain object with this key, without tags, is within it.
    #[must_use]
    pub fn covers(&self, key: &str) -> bool {
        self.tags.is_empty() && self.further.is_empty() && key.starts_with(&self.prefix)
    }

    /// Whether every object of the other is within it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let tags = self
            .tags
            .iter()
            .all(|(key, value)| other.tags.get(key) == Some(value));
        self.further.is_empty() && other.prefix.starts_with(&self.prefix) && tags
    }

    /// Whether some object can be within both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let prefixes =
            self.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&self.prefix);
        let tags = self
            .tags
            .iter()
            .all(|(key, value)| other.tags.get(key).is_none_or(|theirs| theirs == value));
        prefixes && tags
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        if !self.prefix.is_empty() {
            parts.push(format!("prefix {:?}", self.prefix));
        }
        for (key, value) in &self.tags {
            parts.push(format!("tag {key}={value}"));
        }
        if !self.further.is_empty() {
            parts.push(self.further.clone());
        }
        if parts.is_empty() {
            f.write_str("the whole bucket")
        } else {
            f.write_str(&parts.join(" and "))
        }
    }
}

/// A replication rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "AWS's rules have that many switches"
)]
pub struct Rule {
    /// Its id, a dimension of S3's replication metrics.
    pub id: String,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Of two rules to one destination the higher number applies.
    pub priority: Option<i32>,
    /// Which objects.
    pub scope: Scope,
    /// The first form of rules, with the prefix outside of a filter.
    pub deprecated_form: bool,
    /// Name of the destination bucket.
    pub destination: String,
    /// The account that is said to own the destination.
    pub account: Option<String>,
    /// Replication metrics, without which no event tells of failures.
    pub metrics: bool,
    /// Replication Time Control.
    pub time_control: bool,
    /// Whether delete markers are replicated.
    pub delete_markers: bool,
    /// Whether changes of replicas flow back.
    pub replica_modifications: bool,
    /// Whether objects under SSE-KMS are replicated.
    pub kms_objects: bool,
    /// Key at the destination.
    pub replica_key: Option<String>,
}

/// Default encryption of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// As S3 names it: `AES256`, `aws:kms`, `aws:kms:dsse`.
    pub algorithm: String,
    /// The key, if one is named.
    pub key: Option<String>,
    /// Whether a Bucket Key stands between that key and the objects.
    pub bucket_key: bool,
}

impl Encryption {
    /// Whether KMS is needed to read what is written.
    #[must_use]
    pub fn is_kms(&self) -> bool {
        self.algorithm.starts_with("aws:kms")
    }
}

/// Where a bucket sends its replication events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTarget {
    /// Topic or queue.
    pub arn: String,
    /// Whether only some keys are told of.
    pub filtered: bool,
}

/// What an enabled lifecycle rule does; aborting uploads does not count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LifecycleAction {
    /// Which objects.
    pub scope: Scope,
    /// What becomes of them, such as `deletes after 30 days`.
    pub does: String,
    /// Whether it removes noncurrent versions.
    pub removes_noncurrent: bool,
}

/// The four switches of public access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicAccess {
    /// Whether all four are on.
    pub blocked: bool,
}

/// One bucket and everything about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketLook {
    /// The bucket and where it should lie.
    pub member: Member,
    /// Where it lies.
    pub place: Looked<Place>,
    /// Versioning.
    pub versioning: Looked<Versioning>,
    /// Rules of replication.
    pub replication: Looked<Vec<Rule>>,
    /// Default encryption.
    pub encryption: Looked<Encryption>,
    /// Whether Object Lock is on.
    pub object_lock: Looked<bool>,
    /// Who owns what is written, as S3 names it.
    pub ownership: Looked<String>,
    /// Public access.
    pub public_access: Looked<PublicAccess>,
    /// The bucket policy.
    pub policy: Looked<Value>,
    /// Where replication events go.
    pub events: Looked<Vec<EventTarget>>,
    /// Whether request metrics cover the whole bucket.
    pub request_metrics: Looked<bool>,
    /// What lifecycle rules do.
    pub lifecycle: Looked<Vec<LifecycleAction>>,
    /// Whether requesters pay.
    pub requester_pays: Looked<bool>,
}

/// A bucket for manifests and reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkLook {
    /// The bucket.
    pub bucket: BucketName,
    /// Where it should lie.
    pub region: Region,
    /// Where it lies.
    pub place: Looked<Place>,
    /// Default encryption.
    pub encryption: Looked<Encryption>,
}

/// A route as an endpoint told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSeen {
    /// Its bucket; empty if not told.
    pub bucket: String,
    /// Its Region; empty if not told.
    pub region: String,
    /// Its dial.
    pub dial: Dial,
}

/// A subscription of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// `email`, `https`, `sqs`, …
    pub protocol: String,
    /// Where it leads.
    pub endpoint: String,
    /// Whether it was confirmed.
    pub confirmed: bool,
}

/// An alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlarmSeen {
    /// Whether its actions are switched on.
    pub actions_enabled: bool,
    /// Whether anything is done when it goes off.
    pub has_actions: bool,
}

/// What the failover function's document tells of its past.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records {
    /// The last change of the routes that this machine made, whoever wanted it.
    pub last_change: Option<Timestamp>,
    /// When the last rehearsal ended that went over and back.
    pub rehearsed: Option<Timestamp>,
    /// When the last self-test arrived.
    pub self_test: Option<Timestamp>,
    /// Since when a hold is set, and why.
    pub hold: Option<(Timestamp, String)>,
}

impl Records {
    /// Of the failover function's document, whatever else stands in it.
    #[must_use]
    pub fn of(document: &Value, now: Timestamp) -> Self {
        let time = |value: &Value| {
            value
                .as_str()
                .and_then(|text| text.parse::<Timestamp>().ok())
        };
        let changes = document.get("changes").and_then(Value::as_array);
        // Of others' changes and of what landed late nobody knows whether this machine could.
        let ours = |change: &&Value| {
            let by = change.get("by").and_then(Value::as_str);
            matches!(by, Some("automatic" | "operator"))
        };
        let rehearsed = document
            .get("rehearsed")
            .filter(|rehearsed| rehearsed.get("complete").and_then(Value::as_bool) == Some(true));
        let hold = document.get("hold").filter(|hold| {
            let until = hold.get("until").and_then(time);
            hold.is_object() && until.is_none_or(|until| now < until)
        });
        Self {
            last_change: changes
                .into_iter()
                .flatten()
                .filter(ours)
                .filter_map(|change| time(change.get("at")?))
                .max(),
            rehearsed: rehearsed.and_then(|rehearsed| time(rehearsed.get("endedAt")?)),
            self_test: document.pointer("/selfTest/receivedAt").and_then(time),
            hold: hold.and_then(|hold| {
                let reason = hold.get("reason").and_then(Value::as_str);
                Some((
                    time(hold.get("since")?)?,
                    reason.unwrap_or_default().to_owned(),
                ))
            }),
        }
    }
}

/// What the redrive function's document tells of its jobs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobRecords {
    /// Jobs that failed in a row.
    pub failures: u64,
    /// Why the last of them failed.
    pub last_failure: String,
}

impl JobRecords {
    /// Of the redrive function's document, whatever else stands in it.
    #[must_use]
    pub fn of(document: &Value) -> Self {
        let failures = document.pointer("/breaker/failures");
        let last = document.pointer("/breaker/lastFailure");
        Self {
            failures: failures.and_then(Value::as_u64).unwrap_or_default(),
            last_failure: last.and_then(Value::as_str).unwrap_or_default().to_owned(),
        }
    }
}

/// Everything that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The control Region.
    pub region: Region,
    /// The members, in order of preference.
    pub members: Vec<BucketLook>,
    /// The buckets for manifests and reports.
    pub work: Vec<WorkLook>,
    /// The routes, as each control endpoint tells them.
    pub endpoints: Vec<(Region, Looked<Vec<RouteSeen>>)>,
    /// Subscriptions of the topics on which people are told.
    pub topics: Vec<(TopicArn, Looked<Vec<Subscription>>)>,
    /// Subscriptions of the topics to which members send replication events.
    pub event_topics: BTreeMap<String, Looked<Vec<Subscription>>>,
    /// The stack's own alarms by name.
    pub alarms: BTreeMap<String, Looked<AlarmSeen>>,
    /// The watchdog's alarm in its Region; none if there is to be no watchdog.
    pub watchdog: Option<Looked<AlarmSeen>>,
    /// Messages in each dead-letter queue, by name.
    pub dead_letters: BTreeMap<String, Looked<u64>>,
    /// The topic over which alarms and wake-ups reach the failover function, if it is known.
    pub alarm_topic: Option<(TopicArn, Looked<Vec<Subscription>>)>,
    /// The latest evidence.
    pub evidence: Looked<Evidence>,
    /// The witness's; absent if there is to be none.
    pub witness: Looked<Evidence>,
    /// The failover function's past.
    pub records: Looked<Records>,
    /// The redrive function's jobs.
    pub jobs: Looked<JobRecords>,
}

impl Inventory {
    /// Everything that could not be read, by what it is.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<String, Trouble> {
        let mut troubles = BTreeSet::new();
        for look in &self.members {
            let bucket = &look.member.bucket;
            let what = |name: &'static str| move || format!("{bucket}: {name}");
            if speaks_for_itself(&look.place, &look.member.region) {
                troubles.extend(look.place.trouble(what("the bucket itself")));
                continue;
            }
            troubles.extend(
                [
                    look.place.trouble(what("the bucket itself")),
                    look.versioning.trouble(what("versioning")),
                    look.replication.trouble(what("replication")),
                    look.encryption.trouble(what("encryption")),
                    look.object_lock.trouble(what("Object Lock")),
                    look.ownership.trouble(what("object ownership")),
                    look.public_access.trouble(what("public access block")),
                    look.policy.trouble(what("bucket policy")),
                    look.events.trouble(what("notifications")),
                    look.request_metrics.trouble(what("request metrics")),
                    look.lifecycle.trouble(what("lifecycle")),
                    look.requester_pays.trouble(what("who pays")),
                ]
                .into_iter()
                .flatten(),
            );
        }
        for look in &self.work {
            let bucket = &look.bucket;
            troubles.extend(
                look.place
                    .trouble(|| format!("{bucket}: the bucket itself")),
            );
            if speaks_for_itself(&look.place, &look.region) {
                continue;
            }
            troubles.extend(look.encryption.trouble(|| format!("{bucket}: encryption")));
        }
        for (region, routes) in &self.endpoints {
            troubles.extend(routes.trouble(|| routes_at(region)));
        }
        for (topic, subscriptions) in self.topics.iter().chain(&self.alarm_topic) {
            troubles.extend(subscriptions.trouble(|| format!("subscriptions of {topic}")));
        }
        for (topic, subscriptions) in &self.event_topics {
            troubles.extend(subscriptions.trouble(|| format!("subscriptions of {topic}")));
        }
        for (name, alarm) in &self.alarms {
            troubles.extend(alarm.trouble(|| format!("alarm {name}")));
        }
        let watchdog = self.watchdog.iter();
        troubles.extend(
            watchdog.filter_map(|alarm| alarm.trouble(|| "the watchdog's alarm".to_owned())),
        );
        for (name, queue) in &self.dead_letters {
            troubles.extend(queue.trouble(|| format!("queue {name}")));
        }
        troubles.extend(self.evidence.trouble(|| "the evidence".to_owned()));
        troubles.extend(self.witness.trouble(|| "the witness's evidence".to_owned()));
        troubles.extend(self.records.trouble(|| "the state".to_owned()));
        troubles.extend(self.jobs.trouble(|| "the state of re-drives".to_owned()));
        troubles.into_iter().collect()
    }

    /// The routes by the first endpoint that told them.
    #[must_use]
    pub fn routes(&self) -> Option<&[RouteSeen]> {
        let mut found = self.endpoints.iter().filter_map(|(_, look)| look.found());
        found.next().map(Vec::as_slice)
    }
}

/// Whether where a bucket lies says all: of one that is elsewhere, or another account's, everything
/// else is refused or redirected, which is nothing more to tell people of.
fn speaks_for_itself(place: &Looked<Place>, expected: &Region) -> bool {
    match place {
        Looked::Found(place) => !place.is(expected),
        Looked::Denied { .. } => true,
        Looked::Absent | Looked::Failed { .. } => false,
    }
}

/// What the routes at a control endpoint are called among what could not be read.
pub(super) fn routes_at(endpoint: &Region) -> String {
    format!("routes at {endpoint}")
}

/// What could not be read this time; it becomes a finding when it stays so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unread {
    /// What.
    pub what: String,
    /// Why.
    pub detail: String,
}
