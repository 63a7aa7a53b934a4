//! What happened, written into the document.
//!
//! Everything here is a pure function of the document, the settings and the time, so that a
//! compare-and-swap that lost its race is simply applied again to what is there now.

mod groups;
mod jobs;
mod over;

use jiff::{SignedDuration, Timestamp};

use super::job::{
    CloseCursor, Creation, GatherCursor, Gathered, JobId, JobKind, JobName, Phase, Polled,
    ProveCursor, ReportCursor, SettleCursor, Settled, Slice, Tally,
};
use super::price::{Micros, Spend};
use super::state::{
    Asked, BucketSize, GroupPhase, GroupRecord, OpenJob, Overflow, RedriveState, SweepWish,
};
use crate::ledger::{Group, GroupId, How};
use crate::names::BucketName;
use crate::settings::RedriveSettings;
pub(super) use groups::may_be_settled;
use jobs::{given_up, refund};
pub(super) use over::Part;

/// The pause after the first error with a job; it doubles.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// The longest such pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(15);
/// How often a job that may exist is looked for while it must not be created.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(1);
/// A job that S3 does not list this long after it was tried for the last time does not exist.
const LISTED_WITHIN: SignedDuration = SignedDuration::from_mins(15);
/// Errors in a row after which people are told.
const STUCK_AFTER: u32 = 5;
/// How long trouble lasts before people are told.
const TROUBLE_LASTS: SignedDuration = SignedDuration::from_mins(10);

/// Writes into the document.
#[derive(Debug, Clone, Copy)]
pub struct Desk<'a> {
    /// The settings.
    pub settings: &'a RedriveSettings,
    /// The invocation, which distinguishes what an operator does.
    pub request_id: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// What came of working on a job's phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worked {
    /// Of gathering.
    Gather(Slice<GatherCursor, Gathered>),
    /// A try to create the job begins.
    Trying,
    /// Of creating.
    Create(Creation),
    /// Of asking how it stands.
    Poll(Polled),
    /// Of reading the report.
    Report(Slice<ReportCursor, Tally>),
    /// Of settling.
    Settle(Slice<SettleCursor, Settled>),
    /// Of proving.
    Prove(Slice<ProveCursor, Settled>),
    /// Of closing.
    Close(Slice<CloseCursor, ()>),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A group was found in the ledger.
    Learnt(Group),
    /// A job was begun.
    Planned {
        /// The job.
        open: Box<OpenJob>,
        /// What is set aside for it.
        cost: Micros,
    },
    /// A job was worked on.
    Worked {
        /// The job.
        job: JobName,
        /// What came of it.
        work: Box<Worked>,
    },
    /// Working on a job failed.
    Stumbled {
        /// The job.
        job: JobName,
        /// How.
        error: String,
    },
    /// A job of which S3 knows nothing was given up.
    Discarded {
        /// The job.
        job: JobName,
    },
    /// The budget stands in the way.
    BudgetUsedUp {
        /// Of what.
        what: String,
        /// What that would cost.
        cost: Micros,
    },
    /// The files that an overflowed group counted are deleted.
    Dropped {
        /// The group.
        group: GroupId,
    },
    /// Rows that were handed over are back in the ledger.
    Restored {
        /// The group.
        group: GroupId,
        /// How many.
        rows: u64,
        /// Whether that was all.
        done: bool,
    },
    /// Files that came after a group was closed were held against what is settled, and something
    /// in them is not.
    Reopened {
        /// The group.
        group: GroupId,
    },
    /// The files of what was handed over are deleted, because an operator gave it up.
    Forgotten {
        /// The group.
        group: GroupId,
        /// Whether that was all.
        done: bool,
    },
    /// A job that may exist, and must not be created any more, was looked for.
    Looked {
        /// The job.
        job: JobName,
        /// What S3 calls it, if it exists.
        found: Option<JobId>,
    },
    /// CloudWatch said how large a bucket is, or that it does not know.
    Sized {
        /// The bucket.
        source: BucketName,
        /// Its objects.
        objects: Option<u64>,
    },
    /// Settled files were trimmed.
    Trimmed,
    /// Something that is no job's failed.
    Troubled {
        /// What was tried.
        what: String,
        /// How it failed.
        error: String,
    },
    /// What had failed works again.
    Mended {
        /// What was tried.
        what: String,
    },
}

fn later(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// The pause after so many errors in a row.
fn pause(errors: u32) -> SignedDuration {
    let doublings = errors.saturating_sub(1).min(10);
    SignedDuration::from_secs(FIRST_PAUSE.as_secs() << doublings).min(LONGEST_PAUSE)
}

impl Desk<'_> {
    /// Writes down what happened.
    pub fn apply(&self, state: &mut RedriveState, happening: &Happening) {
        match happening {
            Happening::Learnt(group) => {
                self.ensure(state, group);
            }
            Happening::Planned { open, cost } => self.planned(state, open, *cost),
            Happening::Worked { job, work } => self.worked(state, job, work),
            Happening::Stumbled { job, error } => self.stumbled(state, job, error),
            Happening::Discarded { job } => Self::discarded(state, job),
            Happening::BudgetUsedUp { what, cost } => {
                if state.budget_told.is_none() {
                    state.budget_told = Some(self.now);
                    self.tell_budget(state, what, *cost);
                }
            }
            Happening::Dropped { group } => {
                if let Some(overflow) = overflow_of(state, *group) {
                    overflow.dropping.clear();
                }
            }
            Happening::Restored { group, rows, done } => {
                Self::restored(state, *group, *rows, *done);
            }
            Happening::Reopened { group } => {
                if let Some(record) = state.groups.get_mut(group) {
                    record.reopens = true;
                }
            }
            Happening::Forgotten { group, done } => Self::forgotten(state, *group, *done),
            Happening::Looked { job, found } => self.looked(state, job, found.as_ref()),
            Happening::Sized { source, objects } => {
                let size = BucketSize {
                    objects: *objects,
                    at: self.now,
                };
                state.sizes.insert(source.clone(), size);
            }
            Happening::Trimmed => state.trimmed_at = Some(self.now),
            Happening::Troubled { what, error } => self.troubled(state, what, error),
            Happening::Mended { what } => {
                state.problems.remove(what);
                state.problems.remove(&told(what));
            }
        }
    }

    /// The record of a group; a new one is closed until files of it are seen.
    fn ensure<'s>(&self, state: &'s mut RedriveState, group: &Group) -> &'s mut GroupRecord {
        state
            .groups
            .entry(group.id())
            .or_insert_with(|| GroupRecord {
                group: group.clone(),
                phase: GroupPhase::Closed { since: self.now },
                first_seen: self.now,
                episode: 0,
                interval_seconds: self.settings.thresholds.sample.as_secs(),
                samples: 0,
                widen: 0,
                last_end: None,
                last_arrived: false,
                hold: None,
                asked: None,
                cause: None,
                restore: None,
                restored_at: None,
                abandon: None,
                reopens: false,
                final_told: false,
                overflow: None,
                replicated: 0,
                finals: 0,
                abandoned: 0,
                handed_over: 0,
                last: String::new(),
            })
    }

    fn planned(&self, state: &mut RedriveState, open: &OpenJob, cost: Micros) {
        if state.lane(&open.job.source).is_some() {
            // Somebody else's plan came first.
            return;
        }
        if let JobKind::Settle {
            how: How::Abandoned,
        } = open.job.kind
            && !open.job.groups.iter().all(|group| {
                let record = state.groups.get(&group.id());
                record.is_some_and(|record| record.abandon.is_some())
            })
        {
            // An operator took it back in the meantime.
            return;
        }
        let name = open.job.name.clone();
        state.sequence += 1;
        if open.is_of_s3() {
            state.spends.push(Spend {
                at: self.now,
                job: name.clone(),
                micros: cost,
            });
        }
        match &open.job.kind {
            JobKind::Sample => {
                for group in &open.job.groups {
                    if let Some(record) = state.groups.get_mut(&group.id()) {
                        record.phase = GroupPhase::Sampled {
                            since: record.phase.since(),
                            job: name.clone(),
                        };
                    }
                }
            }
            JobKind::Sweep(sweep) => {
                // That of an overflowed group may be just what was wished for: it is paid for once.
                let is_this = |wish: &SweepWish| {
                    wish.source == open.job.source
                        && wish.created_after == sweep.created_after
                        && wish.statuses.iter().eq(&sweep.statuses)
                };
                if let Some(position) = state.sweeps.iter().position(is_this) {
                    state.sweeps.remove(position);
                }
            }
            _ => {}
        }
        state.jobs.insert(name, open.clone());
    }

    fn stumbled(&self, state: &mut RedriveState, job: &JobName, error: &str) {
        let Some(open) = state.jobs.get_mut(job) else {
            return;
        };
        self.wait_after_error(open, error);
        if open.errors == STUCK_AFTER {
            let open = open.clone();
            self.tell_stuck(state, &open);
        }
    }

    fn wait_after_error(&self, open: &mut OpenJob, error: &str) {
        open.errors = open.errors.saturating_add(1);
        open.last_error = Some(error.to_owned());
        open.wait_until = Some(later(self.now, pause(open.errors)));
    }

    /// Gives up a job that S3 does not know: its rows stay where they are.
    fn discarded(state: &mut RedriveState, job: &JobName) {
        let Some(open) = state.jobs.get(job) else {
            return;
        };
        let Phase::Create {
            gathered,
            tried: false,
            ..
        } = &open.job.phase
        else {
            return;
        };
        let gathered = gathered.clone();
        Self::give_up(state, job, &gathered);
    }

    fn give_up(state: &mut RedriveState, job: &JobName, gathered: &Gathered) {
        if let Some(open) = state.jobs.get_mut(job) {
            open.job.phase = given_up(gathered);
            open.discarded = true;
            open.wait_until = None;
            let wish = wish_of(open);
            state.sweeps.extend(wish);
            refund(state, job);
        }
    }

    fn restored(state: &mut RedriveState, group: GroupId, rows: u64, done: bool) {
        let Some(record) = state.groups.get_mut(&group) else {
            return;
        };
        record.handed_over = record.handed_over.saturating_sub(rows);
        if done {
            record.restore = None;
            record.handed_over = 0;
        }
    }

    fn forgotten(state: &mut RedriveState, group: GroupId, done: bool) {
        let Some(record) = state.groups.get_mut(&group) else {
            return;
        };
        if done && record.abandon.is_some() {
            let rows = std::mem::take(&mut record.handed_over);
            record.abandoned += rows;
            state.totals.abandoned += rows;
        }
    }

    /// A job whose creation was tried exists after all, or is not there long after the last try.
    fn looked(&self, state: &mut RedriveState, job: &JobName, found: Option<&JobId>) {
        let Some(open) = state.jobs.get_mut(job) else {
            return;
        };
        let Phase::Create {
            gathered,
            tried: true,
            ..
        } = open.job.phase.clone()
        else {
            return;
        };
        open.errors = 0;
        open.last_error = None;
        let since = self.now.duration_since(open.tried_at.unwrap_or(self.now));
        open.tried_at = open.tried_at.or(Some(self.now));
        open.wait_until = Some(later(self.now, LOOK_EVERY));
        if let Some(id) = found {
            open.job.phase = Phase::Poll {
                gathered,
                id: id.clone(),
                created_at: self.now,
            };
            state.totals.jobs += 1;
        } else if since >= LISTED_WITHIN {
            Self::give_up(state, job, &gathered);
        }
    }

    fn troubled(&self, state: &mut RedriveState, what: &str, error: &str) {
        let first = *state.problems.entry(what.to_owned()).or_insert(self.now);
        if self.now.duration_since(first) >= TROUBLE_LASTS
            && state.problems.insert(told(what), self.now).is_none()
        {
            self.tell_trouble(state, what, error, first);
        }
    }
}

/// What an operator confirmed and did not get: it begins when nothing stands in the way any more.
fn wish_of(open: &OpenJob) -> Option<SweepWish> {
    match &open.job.kind {
        JobKind::Sweep(sweep) if open.asked => Some(SweepWish {
            source: open.job.source.clone(),
            group: open.sweeps,
            statuses: sweep.statuses.iter().copied().collect(),
            created_after: sweep.created_after,
            in_bucket: open.in_bucket,
            asked: Asked {
                at: open.job.planned_at,
                reason: "confirmed before".to_owned(),
            },
        }),
        _ => None,
    }
}

fn told(what: &str) -> String {
    format!("told {what}")
}

fn overflow_of(state: &mut RedriveState, group: GroupId) -> Option<&mut Overflow> {
    state.groups.get_mut(&group)?.overflow.as_mut()
}
