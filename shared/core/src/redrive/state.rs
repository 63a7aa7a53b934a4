//! The one document that all invocations of the `redrive` function share.
//!
//! Groups, open jobs, money, breaker, hold, claim and outbox are one object, changed only by
//! compare-and-swap. Rows are not in it: they lie in the ledger, so that it stays small whatever
//! the backlog.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::job::{Ended, Job, JobKind, JobName, Phase, Progress, Settled, SweepStatus};
use super::price::{Micros, Spend};
use crate::announce::Announcement;
use crate::ledger::{Group, GroupId, OpenName};
use crate::names::{BucketName, MrapArn};
use crate::settings::RedriveMode;
use crate::state::Hold;

/// The key of the document.
pub const REDRIVE_KEY: &str = "redrive.json";

/// Version of the document that this code writes and understands.
pub const REDRIVE_SCHEMA: u32 = 1;

/// How long a closed group is remembered: as long as settled versions, so that a cause that comes
/// and goes keeps its sampling interval.
pub const REMEMBERED: SignedDuration = SignedDuration::from_hours(15 * 24);

/// How long the answer to a sweep can be confirmed.
pub const OFFER: SignedDuration = SignedDuration::from_mins(15);

/// Closed jobs kept in the document.
const CLOSED_KEPT: usize = 50;
/// Closed groups kept at most.
const CLOSED_GROUPS_KEPT: usize = 500;

/// Why a document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedriveStateError {
    /// The document's form is not the one that this code knows.
    #[error(
        "{REDRIVE_KEY} has schema {found}, this version understands {REDRIVE_SCHEMA}: deploy the version that wrote it"
    )]
    Schema {
        /// What stands in the document.
        found: String,
    },
    /// The document belongs to another Multi-Region Access Point.
    #[error("{REDRIVE_KEY} belongs to {found}, not to {expected}: STATE_BUCKET is shared or wrong")]
    Foreign {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: MrapArn,
    },
    /// The document cannot be read.
    #[error("{REDRIVE_KEY} cannot be read ({detail})")]
    Torn {
        /// What the parser said.
        detail: String,
    },
}

/// The invocation that works; others leave it alone until it expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedriveClaim {
    /// The invocation: its request id and when it began, `<id>@<ms>`.
    pub request_id: String,
    /// When it began.
    pub claimed_at: Timestamp,
    /// After this moment another may work.
    pub expires: Timestamp,
}

/// Something that an operator asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// What is done about a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum GroupPhase {
    /// Somebody has to mend the cause; a sample is tried from time to time.
    #[serde(rename_all = "camelCase")]
    Held {
        /// Since when.
        since: Timestamp,
        /// When the next sample is due.
        next_sample_at: Timestamp,
    },
    /// A sample is under way.
    Sampled {
        /// Since when.
        since: Timestamp,
        /// Its job.
        job: JobName,
    },
    /// A sample arrived: all of it is re-driven.
    Released {
        /// Since when.
        since: Timestamp,
    },
    /// No re-drive can help: what is open is settled.
    Final {
        /// Since when.
        since: Timestamp,
    },
    /// Nothing is open.
    Closed {
        /// Since when.
        since: Timestamp,
    },
}

impl GroupPhase {
    /// The state as printed.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Held { .. } => "held",
            Self::Sampled { .. } => "sampled",
            Self::Released { .. } => "released",
            Self::Final { .. } => "final",
            Self::Closed { .. } => "closed",
        }
    }

    /// Since when.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        match self {
            Self::Held { since, .. }
            | Self::Sampled { since, .. }
            | Self::Released { since }
            | Self::Final { since }
            | Self::Closed { since } => *since,
        }
    }
}

/// A group with more rows than are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overflow {
    /// Rows that were counted and deleted.
    pub rows: u64,
    /// When the first of all its rows failed: the sweep begins an hour earlier.
    pub oldest: Timestamp,
    /// Files that are counted in `rows` and are being deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropping: Vec<OpenName>,
    /// Whether people were told.
    #[serde(default)]
    pub told: bool,
}

/// What is known of a group of failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupRecord {
    /// What its failures have in common.
    pub group: Group,
    /// What is done about it.
    pub phase: GroupPhase,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// How often it was opened or held anew: numbers its pages.
    pub episode: u32,
    /// Seconds from one sample to the next; it outlives closing.
    pub interval_seconds: i64,
    /// Samples in a row that did not arrive.
    #[serde(default)]
    pub samples: u32,
    /// Samples in a row that found nothing but final rows: each next one is ten times as large.
    #[serde(default)]
    pub widen: u32,
    /// When the last job with its rows ended: failures dated up to then belong to that job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_end: Option<Timestamp>,
    /// Most of what that job re-drove arrived.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last_arrived: bool,
    /// Its own kill switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// An operator says that the cause is gone: valid until it is held again or closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// The finding of the readiness check that explains why it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Rows that were handed over are to be brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Asked>,
    /// When rows that were handed over came back for the last time: they are dated to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_at: Option<Timestamp>,
    /// An operator gives up what was written or failed so far, and what was handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandon: Option<Asked>,
    /// What came after it was closed holds something that is not settled: it opens with the next
    /// look.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reopens: bool,
    /// Whether people were told that its reason is final.
    #[serde(default)]
    pub final_told: bool,
    /// More rows than are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<Overflow>,
    /// Rows that arrived, or had arrived already.
    #[serde(default)]
    pub replicated: u64,
    /// Rows that were settled with a final reason.
    #[serde(default)]
    pub finals: u64,
    /// Rows that an operator gave up.
    #[serde(default)]
    pub abandoned: u64,
    /// Rows that a person has to see to.
    #[serde(default)]
    pub handed_over: u64,
    /// What happened last.
    #[serde(default)]
    pub last: String,
}

impl GroupRecord {
    /// The hold of this group, if it is set and has not ended.
    #[must_use]
    pub fn active_hold(&self, now: Timestamp) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| hold.is_active(now))
    }

    /// Whether nothing is open.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, GroupPhase::Closed { .. })
    }
}

/// A job that is not closed, and what the planner keeps beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and fields of the document"
)]
pub struct OpenJob {
    /// The job.
    pub job: Job,
    /// An operator asked for it: neither mode nor budget nor breaker limit it.
    #[serde(default)]
    pub asked: bool,
    /// The one sample that decides whether the breaker closes.
    #[serde(default)]
    pub trial: bool,
    /// The overflowed group that this sweep is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweeps: Option<GroupId>,
    /// Objects in the source bucket, for the price of a generated manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_bucket: Option<u64>,
    /// Nothing is done before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_until: Option<Timestamp>,
    /// How far S3 is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Why it counts as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// It was given up before S3 knew of it.
    #[serde(default)]
    pub discarded: bool,
    /// Errors in a row while working on it, throttling included.
    #[serde(default)]
    pub errors: u32,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Whether people were told that it takes long.
    #[serde(default)]
    pub overdue_told: bool,
    /// When its creation was tried for the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Timestamp>,
    /// What the proof found, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

impl OpenJob {
    /// A job that was just planned.
    #[must_use]
    pub fn new(job: Job) -> Self {
        Self {
            job,
            asked: false,
            trial: false,
            sweeps: None,
            in_bucket: None,
            wait_until: None,
            progress: None,
            failure: None,
            discarded: false,
            errors: 0,
            last_error: None,
            overdue_told: false,
            tried_at: None,
            proof: None,
        }
    }

    /// Whether it is, or may become, a job of S3: settling and looking alone are none.
    #[must_use]
    pub fn is_of_s3(&self) -> bool {
        !matches!(self.job.kind, JobKind::Settle { .. } | JobKind::Look)
    }

    /// Whether no other job of its source may be begun meanwhile: it may re-drive the same
    /// versions. What only looks re-drives nothing, and has its rows to itself.
    #[must_use]
    pub fn keeps_its_lane(&self) -> bool {
        !matches!(self.job.kind, JobKind::Look)
    }

    /// Whether this group's rows are in it.
    #[must_use]
    pub fn has(&self, group: &Group) -> bool {
        self.job.groups.contains(group)
    }
}

/// What looking for initiated versions gave. A sweep's are many, and only some are looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Versions that were looked for.
    pub looked: u64,
    /// Those that arrived.
    pub arrived: u64,
    /// Those that failed, or were still pending when the patience ended.
    pub missing: u64,
}

/// A job that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClosedJob {
    /// Its name.
    pub name: JobName,
    /// What it was for.
    pub kind: JobKind,
    /// Its source.
    pub source: BucketName,
    /// When it was planned.
    pub planned_at: Timestamp,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// How it ended at S3, if it got there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// Why it counts as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What became of its rows.
    pub settled: Settled,
    /// What it cost.
    pub cost: Micros,
}

/// Stops further jobs after failed ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Breaker {
    /// Failed jobs in a row.
    pub failures: u32,
    /// Why the last of them failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// Set while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenBreaker>,
}

/// The breaker is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenBreaker {
    /// Since when.
    pub since: Timestamp,
    /// When one sample is tried.
    pub until: Timestamp,
    /// How long it stayed open the last time, in seconds.
    pub seconds: i64,
}

/// A sweep that was priced and can be confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// What to confirm it with.
    pub id: String,
    /// Until when.
    pub expires: Timestamp,
    /// What is swept.
    pub wish: SweepWish,
}

/// What an operator wants swept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepWish {
    /// The source bucket.
    pub source: BucketName,
    /// The group it was asked for, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// The replication statuses to select.
    pub statuses: BTreeSet<SweepStatus>,
    /// Only what was created after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_after: Option<Timestamp>,
    /// Objects in the bucket, if CloudWatch knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_bucket: Option<u64>,
    /// When it was asked for, and why.
    pub asked: Asked,
}

/// How many objects a bucket holds, as CloudWatch says once a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketSize {
    /// Objects, all versions; nothing if CloudWatch has no figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    /// When it was asked.
    pub at: Timestamp,
}

/// Everything since the document was begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Totals {
    /// Jobs that S3 ran.
    pub jobs: u64,
    /// Versions that arrived, or had arrived already.
    pub replicated: u64,
    /// Versions settled with a final reason.
    pub finals: u64,
    /// Versions given to a person; those brought back are counted again when they are given again.
    pub handed_over: u64,
    /// Versions that an operator gave up.
    pub abandoned: u64,
    /// What the jobs cost.
    pub spent: Micros,
}

/// The shared document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedriveState {
    /// [`REDRIVE_SCHEMA`].
    pub schema: u32,
    /// Whose it is.
    pub mrap: MrapArn,
    /// The last writer.
    pub written_by: String,
    /// When it was written.
    pub written_at: Timestamp,
    /// The kill switch for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Who works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<RedriveClaim>,
    /// The groups, closed ones for a while.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<GroupId, GroupRecord>,
    /// Open jobs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jobs: BTreeMap<JobName, OpenJob>,
    /// Jobs that are over, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<ClosedJob>,
    /// Jobs planned so far: tells names apart.
    #[serde(default)]
    pub sequence: u64,
    /// What the window's jobs cost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spends: Vec<Spend>,
    /// When people were told that the budget is used up, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_told: Option<Timestamp>,
    /// The breaker.
    #[serde(default)]
    pub breaker: Breaker,
    /// Sweeps that can be confirmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Offer>,
    /// Sweeps that an operator confirmed and that have no job yet, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweeps: Vec<SweepWish>,
    /// Sizes of source buckets, for the price of automatic sweeps.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sizes: BTreeMap<BucketName, BucketSize>,
    /// Everything so far.
    #[serde(default)]
    pub totals: Totals,
    /// When the last release of each source that S3 ran was planned: late failures have waited
    /// long enough when they arrive, and must not be a job each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last_release: BTreeMap<BucketName, Timestamp>,
    /// When settled files were last trimmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trimmed_at: Option<Timestamp>,
    /// Problems that are announced once while they last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub problems: BTreeMap<String, Timestamp>,
    /// Announcements that are recorded but not yet marked as published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<Announcement>,
    /// Fields that a newer version added within this schema.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

impl RedriveState {
    /// The state of a first start.
    #[must_use]
    pub fn first(mrap: MrapArn, now: Timestamp) -> Self {
        Self {
            schema: REDRIVE_SCHEMA,
            mrap,
            written_by: String::new(),
            written_at: now,
            hold: None,
            claim: None,
            groups: BTreeMap::new(),
            jobs: BTreeMap::new(),
            closed: Vec::new(),
            sequence: 0,
            spends: Vec::new(),
            budget_told: None,
            breaker: Breaker::default(),
            offers: Vec::new(),
            sweeps: Vec::new(),
            sizes: BTreeMap::new(),
            totals: Totals::default(),
            last_release: BTreeMap::new(),
            trimmed_at: None,
            problems: BTreeMap::new(),
            outbox: Vec::new(),
            others: BTreeMap::new(),
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// A document of another schema, of another access point, or one that cannot be read.
    pub fn parse(document: Value, mrap: &MrapArn) -> Result<Self, RedriveStateError> {
        let schema = document.get("schema");
        if schema.and_then(Value::as_u64) != Some(u64::from(REDRIVE_SCHEMA)) {
            return Err(RedriveStateError::Schema {
                found: schema.map_or_else(|| "none".to_owned(), ToString::to_string),
            });
        }
        let owner = document.get("mrap").and_then(Value::as_str);
        if owner.is_some_and(|owner| owner != mrap.as_str()) {
            return Err(RedriveStateError::Foreign {
                found: owner.unwrap_or_default().to_owned(),
                expected: mrap.clone(),
            });
        }
        serde_json::from_value(document).map_err(|error| RedriveStateError::Torn {
            detail: error.to_string(),
        })
    }

    /// The hold for all, if it is set and has not ended.
    #[must_use]
    pub fn active_hold(&self, now: Timestamp) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| hold.is_active(now))
    }

    /// Another invocation's claim that has not expired.
    #[must_use]
    pub fn foreign_claim(&self, request_id: &str, now: Timestamp) -> Option<&RedriveClaim> {
        self.claim
            .as_ref()
            .filter(|claim| claim.request_id != request_id && now <= claim.expires)
    }

    /// The open job that keeps a lane.
    #[must_use]
    pub fn lane(&self, source: &BucketName) -> Option<&OpenJob> {
        let mut jobs = self.jobs.values();
        jobs.find(|open| open.job.source == *source && open.keeps_its_lane())
    }

    /// Whether a group's rows are in an open job.
    #[must_use]
    pub fn is_in_job(&self, group: &Group) -> bool {
        self.jobs.values().any(|open| open.has(group))
    }

    /// Whether this job must not be created now: by a hold for all or of a group that it is for, or
    /// because the mode has become `observe` and nobody asked for it.
    #[must_use]
    pub fn is_stopped(&self, open: &OpenJob, mode: RedriveMode, now: Timestamp) -> bool {
        let groups = open.job.groups.iter().map(Group::id).chain(open.sweeps);
        self.active_hold(now).is_some()
            || (mode == RedriveMode::Observe && !open.asked)
            || groups
                .filter_map(|id| self.groups.get(&id))
                .any(|record| record.active_hold(now).is_some())
    }

    /// How many open jobs are, or may become, jobs of S3.
    #[must_use]
    pub fn jobs_of_s3(&self) -> usize {
        self.jobs.values().filter(|open| open.is_of_s3()).count()
    }

    /// What was spent or set aside in the last 24 hours.
    #[must_use]
    pub fn spent_today(&self, now: Timestamp) -> Micros {
        super::price::within_window(&self.spends, now)
    }

    /// Keeps a job that is over, without the many groups in which its rows may be open again.
    pub(super) fn remember(&mut self, mut closed: ClosedJob) {
        closed.settled.reopened = Vec::new();
        if closed.kind == JobKind::Release && closed.ended.is_some() {
            self.last_release
                .insert(closed.source.clone(), closed.planned_at);
        }
        self.closed.push(closed);
        let excess = self.closed.len().saturating_sub(CLOSED_KEPT);
        self.closed.drain(..excess);
    }

    /// Forgets what has become too old to matter.
    pub fn forget_old(&mut self, now: Timestamp) {
        let window = super::price::WINDOW;
        let jobs = &self.jobs;
        self.spends
            .retain(|spend| now.duration_since(spend.at) < window || jobs.contains_key(&spend.job));
        if self
            .budget_told
            .is_some_and(|told| now.duration_since(told) >= window)
        {
            self.budget_told = None;
        }
        self.offers.retain(|offer| now < offer.expires);
        self.last_release
            .retain(|_, planned| now.duration_since(*planned) < window);
        if self.hold.as_ref().is_some_and(|hold| !hold.is_active(now)) {
            self.hold = None;
        }
        for record in self.groups.values_mut() {
            if record
                .hold
                .as_ref()
                .is_some_and(|hold| !hold.is_active(now))
            {
                record.hold = None;
            }
        }
        // What a person has to see to is not forgotten before the ledger's own limit.
        let is_owed = |record: &GroupRecord| {
            record.restore.is_some()
                || record.abandon.is_some()
                || record.handed_over > 0
                || record.hold.is_some()
        };
        let keeps = |record: &GroupRecord| {
            !record.is_closed()
                || is_owed(record)
                || now.duration_since(record.phase.since()) <= REMEMBERED
        };
        self.groups.retain(|_, record| keeps(record));
        let mut closed: Vec<(Timestamp, GroupId)> = self
            .groups
            .iter()
            .filter(|(_, record)| record.is_closed() && !is_owed(record))
            .map(|(id, record)| (record.phase.since(), *id))
            .collect();
        closed.sort_unstable();
        let excess = closed.len().saturating_sub(CLOSED_GROUPS_KEPT);
        for (_, id) in closed.iter().take(excess) {
            self.groups.remove(id);
        }
    }
}

/// The phase of a job as printed.
#[must_use]
pub fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Gather { .. } => "gather",
        Phase::Create { .. } => "create",
        Phase::Poll { .. } => "run",
        Phase::Report { .. } => "report",
        Phase::Settle { .. } => "settle",
        Phase::Prove { .. } => "prove",
        Phase::Close { .. } => "close",
    }
}

/// What a job is for, as printed.
#[must_use]
pub fn kind_name(kind: &JobKind) -> &'static str {
    match kind {
        JobKind::Sample => "sample",
        JobKind::Release => "release",
        JobKind::Settle { .. } => "settle",
        JobKind::Look => "look",
        JobKind::Sweep(_) => "sweep",
    }
}
