//! The answer of the `redrive` function: also the body of its log line.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::inventory::{Extent, Inventory};
use super::job::{JobName, Progress};
use super::price::Micros;
use super::state::{
    Breaker, ClosedJob, GroupPhase, GroupRecord, OpenJob, RedriveState, Totals, kind_name,
    phase_name,
};
use crate::answer::FailedTopic;
use crate::ledger::{Destination, GroupId};
use crate::names::BucketName;
use crate::reasons::classify;
use crate::settings::{RedriveMode, RedriveSettings};
use crate::state::Hold;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RedriveOutcome {
    /// Something was done.
    Worked,
    /// There was nothing to do.
    Idle,
    /// Another invocation works.
    Busy,
    /// Jobs would be created in mode `automatic`.
    WouldAct,
    /// What is.
    Status,
    /// A hold is set.
    Held,
    /// A hold is lifted.
    Released,
    /// A group will be re-driven at once.
    Retrying,
    /// A hold stands in the way.
    Blocked,
    /// A sweep was priced; a second call confirms it.
    NeedsConfirmation,
    /// A sweep will begin.
    Sweeping,
    /// A group's versions are given up.
    Abandoning,
    /// Nothing was changed.
    NoChange,
}

impl RedriveOutcome {
    /// The outcome as printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worked => "worked",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::WouldAct => "would-act",
            Self::Status => "status",
            Self::Held => "held",
            Self::Released => "released",
            Self::Retrying => "retrying",
            Self::Blocked => "blocked",
            Self::NeedsConfirmation => "needs-confirmation",
            Self::Sweeping => "sweeping",
            Self::Abandoning => "abandoning",
            Self::NoChange => "no-change",
        }
    }
}

/// A group as the answer shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// Its id, for commands.
    pub group: GroupId,
    /// The source bucket.
    pub source: BucketName,
    /// The destination.
    pub destination: Destination,
    /// The rule.
    pub rule: String,
    /// S3's reason.
    pub reason: String,
    /// What is done about it.
    pub state: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// Open rows; what failed twice may be counted twice.
    pub rows: u64,
    /// Open files.
    pub files: usize,
    /// When the oldest of them failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// When the newest of them failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// When the next sample is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_sample_at: Option<Timestamp>,
    /// The job that has its rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
    /// Its own hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Counted and not listed, because there are too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflowed: Option<u64>,
    /// Arrived in this episode.
    pub replicated: u64,
    /// Settled with a final reason in this episode.
    #[serde(rename = "final")]
    pub finals: u64,
    /// Given up in this episode.
    pub abandoned: u64,
    /// Waiting for a person.
    pub handed_over: u64,
    /// What happened last.
    pub last: String,
    /// What the reason means.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: String,
}

/// A job as the answer shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// Its name.
    pub job: JobName,
    /// S3's id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it is for.
    pub kind: &'static str,
    /// The source bucket.
    pub source: BucketName,
    /// Its groups.
    pub groups: Vec<GroupId>,
    /// Where it stands.
    pub phase: &'static str,
    /// When it was planned.
    pub planned_at: Timestamp,
    /// How far S3 is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Nothing is done before this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Timestamp>,
    /// The last error while working on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it costs, in dollars.
    pub dollars: f64,
}

/// Money.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spent {
    /// Set aside or spent in the last 24 hours, in dollars.
    pub today_dollars: f64,
    /// `REDRIVE_DAILY_DOLLARS`.
    pub daily_dollars: u32,
    /// Spent by jobs that are over, ever since, in dollars.
    pub total_dollars: f64,
}

/// How much there is of everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Open rows; what failed twice may be counted twice.
    pub open: u64,
    /// Groups with open rows.
    pub groups: usize,
    /// Groups that are held.
    pub held: usize,
    /// Groups of which a sample is under way.
    pub sampled: usize,
    /// Groups that are released.
    pub released: usize,
    /// Open jobs.
    pub jobs: usize,
    /// Rows that wait for a person.
    pub waiting_for_a_person: u64,
}

/// What a sweep would take.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// The source bucket.
    pub source: BucketName,
    /// All versions in the bucket, by CloudWatch's daily figure; nothing if it has none.
    pub objects: Option<u64>,
    /// All bytes in the bucket, likewise.
    pub bytes: Option<u64>,
    /// What the job costs at most, in dollars; nothing if that is not known.
    pub dollars_at_most: Option<f64>,
    /// What it costs at least, in dollars.
    pub dollars_at_least: f64,
    /// What to confirm it with.
    pub confirm: String,
    /// Until when.
    pub expires: Timestamp,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedriveAnswer {
    /// How it ended.
    pub outcome: RedriveOutcome,
    /// One paragraph for a person.
    pub explanation: String,
    /// What mode `automatic` would do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub would: Vec<String>,
    /// What a sweep would take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// Topics that could not be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_topics: Vec<FailedTopic>,
    /// Everything that is known.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub status: Option<Box<RedriveStatus>>,
}

/// Everything that is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedriveStatus {
    /// `REDRIVE`.
    pub mode: RedriveMode,
    /// The groups, open ones first.
    pub groups: Vec<GroupStatus>,
    /// The open jobs.
    pub jobs: Vec<JobStatus>,
    /// How much there is.
    pub counts: Counts,
    /// When the oldest open row failed.
    pub oldest: Option<Timestamp>,
    /// Money.
    pub spent: Spent,
    /// Everything since the document was begun.
    pub totals: Totals,
    /// The hold for all.
    pub hold: Option<Hold>,
    /// The breaker.
    pub breaker: Breaker,
    /// Sweeps that wait for their lane.
    pub sweeps: usize,
    /// Announcements that wait to be published.
    pub unpublished: usize,
    /// Replication lag by ordered pair, as the events tell it.
    pub lag: Option<Value>,
    /// Jobs that are over, newest first.
    pub history: Vec<ClosedJob>,
}

impl RedriveAnswer {
    /// An answer that is only words.
    #[must_use]
    pub fn plain(outcome: RedriveOutcome, explanation: impl Into<String>) -> Self {
        Self {
            outcome,
            explanation: explanation.into(),
            would: Vec::new(),
            estimate: None,
            failed_topics: Vec::new(),
            status: None,
        }
    }
}

fn group_status(
    id: GroupId,
    record: &GroupRecord,
    state: &RedriveState,
    inventory: &Inventory,
) -> GroupStatus {
    let extent = inventory.extent(id);
    let group = &record.group;
    let reason = classify(&group.reason);
    GroupStatus {
        group: id,
        source: group.source.clone(),
        destination: group.destination.clone(),
        rule: group.rule.clone(),
        reason: group.reason.clone(),
        state: record.phase.as_str(),
        since: record.phase.since(),
        rows: extent.map_or(0, |extent| extent.rows),
        files: extent.map_or(0, |extent| extent.files),
        oldest: extent.map(|extent| extent.oldest),
        newest: extent.map(|extent| extent.newest),
        next_sample_at: match record.phase {
            GroupPhase::Held { next_sample_at, .. } => Some(next_sample_at),
            _ => None,
        },
        job: state
            .jobs
            .values()
            .find(|open| open.has(group))
            .map(|open| open.job.name.clone()),
        hold: record.hold.clone(),
        overflowed: record.overflow.as_ref().map(|overflow| overflow.rows),
        replicated: record.replicated,
        finals: record.finals,
        abandoned: record.abandoned,
        handed_over: record.handed_over,
        last: record.last.clone(),
        meaning: reason.meaning,
        remedy: reason.remedy_for(group),
    }
}

fn job_status(open: &OpenJob, state: &RedriveState) -> JobStatus {
    use super::job::Phase;
    let id = match &open.job.phase {
        Phase::Poll { id, .. } => Some(id.to_string()),
        Phase::Report { ended, .. } | Phase::Settle { ended, .. } | Phase::Prove { ended, .. } => {
            Some(ended.id.to_string())
        }
        Phase::Close { ended, .. } => ended.as_ref().map(|ended| ended.id.to_string()),
        Phase::Gather { .. } | Phase::Create { .. } => None,
    };
    JobStatus {
        job: open.job.name.clone(),
        id,
        kind: kind_name(&open.job.kind),
        source: open.job.source.clone(),
        groups: open
            .job
            .groups
            .iter()
            .map(crate::ledger::Group::id)
            .collect(),
        phase: phase_name(&open.job.phase),
        planned_at: open.job.planned_at,
        progress: open.progress.clone(),
        waits_until: open.wait_until,
        error: open.last_error.clone(),
        dollars: state
            .spends
            .iter()
            .filter(|spend| spend.job == open.job.name)
            .map(|spend| spend.micros)
            .sum::<Micros>()
            .as_dollars(),
    }
}

/// How much there is of everything.
#[must_use]
pub fn counts(state: &RedriveState, inventory: &Inventory) -> Counts {
    let in_state = |name: &str| {
        state
            .groups
            .values()
            .filter(|record| record.phase.as_str() == name)
            .count()
    };
    let overflowed: u64 = state
        .groups
        .values()
        .filter_map(|record| record.overflow.as_ref())
        .map(|overflow| overflow.rows)
        .sum();
    let open: u64 = inventory
        .open
        .values()
        .filter_map(Extent::of)
        .map(|extent| extent.rows)
        .sum();
    Counts {
        open: open.saturating_add(overflowed),
        groups: inventory.open.len(),
        held: in_state("held"),
        sampled: in_state("sampled"),
        released: in_state("released"),
        jobs: state.jobs.len(),
        waiting_for_a_person: state.groups.values().map(|record| record.handed_over).sum(),
    }
}

/// Everything that is known, or about one group.
#[must_use]
pub fn status(
    state: &RedriveState,
    inventory: &Inventory,
    settings: &RedriveSettings,
    only: Option<GroupId>,
    lag: Option<Value>,
    now: Timestamp,
) -> RedriveStatus {
    let mut groups: Vec<GroupStatus> = state
        .groups
        .iter()
        .filter(|(id, _)| only.is_none_or(|only| only == **id))
        .map(|(id, record)| group_status(*id, record, state, inventory))
        .collect();
    groups.sort_by_key(|group| {
        (
            group.state == "closed",
            std::cmp::Reverse(group.rows),
            group.group,
        )
    });
    RedriveStatus {
        mode: settings.mode,
        groups,
        jobs: state
            .jobs
            .values()
            .map(|open| job_status(open, state))
            .collect(),
        counts: counts(state, inventory),
        oldest: inventory
            .open
            .values()
            .filter_map(Extent::of)
            .map(|extent| extent.oldest)
            .min(),
        spent: Spent {
            today_dollars: state.spent_today(now).as_dollars(),
            daily_dollars: settings.thresholds.daily_dollars,
            total_dollars: state.totals.spent.as_dollars(),
        },
        totals: state.totals,
        hold: state.active_hold(now).cloned(),
        breaker: state.breaker.clone(),
        sweeps: state.sweeps.len(),
        unpublished: state.outbox.len(),
        lag,
        history: state.closed.iter().rev().cloned().collect(),
    }
}

impl RedriveStatus {
    /// One paragraph for a person woken at night.
    #[must_use]
    pub fn explanation(&self) -> String {
        let counts = &self.counts;
        let mut sentences = Vec::new();
        sentences.push(match (counts.open, self.oldest) {
            (0, _) => "Nothing is open: all that failed to replicate has arrived, was settled, or waits for a person.".to_owned(),
            (open, Some(oldest)) => format!(
                "{} failed to replicate and are open, in {} groups ({} held, {} sampled, {} released); the oldest failed at {}.",
                super::notice::versions(open), counts.groups, counts.held, counts.sampled, counts.released,
                oldest.strftime("%Y-%m-%dT%H:%M:%SZ")
            ),
            (open, None) => format!("{} are open.", super::notice::versions(open)),
        });
        if counts.waiting_for_a_person > 0 {
            sentences.push(format!(
                "{} wait for a person.",
                super::notice::versions(counts.waiting_for_a_person)
            ));
        }
        sentences.push(format!(
            "{} jobs are open; ${:.2} of ${} were spent in the last 24 hours.",
            counts.jobs, self.spent.today_dollars, self.spent.daily_dollars
        ));
        if let Some(hold) = &self.hold {
            sentences.push(format!("Held since {}: {}.", hold.since, hold.reason));
        }
        if let Some(open) = &self.breaker.open {
            sentences.push(format!(
                "Jobs failed in a row: none is created before {}.",
                open.until.strftime("%Y-%m-%dT%H:%M:%SZ")
            ));
        }
        if self.mode == RedriveMode::Observe {
            sentences.push(
                "REDRIVE is observe: no job is created unless an operator asks for it.".to_owned(),
            );
        }
        sentences.join(" ")
    }
}
