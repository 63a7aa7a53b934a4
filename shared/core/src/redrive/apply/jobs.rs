//! A job goes from one phase to the next.

use jiff::{SignedDuration, Timestamp};

use super::{Desk, STUCK_AFTER, Worked, later};
use crate::ledger::Group;
use crate::redrive::job::{
    CloseCursor, Creation, EndStatus, Ended, GatherCursor, Gathered, JobKind, JobName, Outcome,
    Phase, Polled, ProveCursor, ReportCursor, SettleCursor, Settled, Slice, Tally, Token,
};
use crate::redrive::price::{self, Micros};
use crate::redrive::state::{OpenJob, Proof, RedriveState};

/// S3 is asked how a job stands no faster than this.
const POLL_EVERY: SignedDuration = SignedDuration::from_secs(30);
/// What S3 still replicates is looked for again after this long.
const LOOK_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// A job that S3 has not finished after this long is worth a look.
const OVERDUE: SignedDuration = SignedDuration::from_hours(24);

impl Desk<'_> {
    pub(super) fn worked(&self, state: &mut RedriveState, job: &JobName, work: &Worked) {
        let Some(mut open) = state.jobs.get(job).cloned() else {
            return;
        };
        // A try that begins has not succeeded yet.
        if !matches!(
            work,
            Worked::Trying | Worked::Create(Creation::Throttled(_))
        ) {
            open.errors = 0;
            open.last_error = None;
            open.wait_until = None;
        }
        match (open.job.phase.clone(), work) {
            (Phase::Gather { .. }, Worked::Gather(slice)) => {
                self.gathered(state, &mut open, slice);
            }
            (
                Phase::Create {
                    gathered, token, ..
                },
                Worked::Trying,
            ) if self.may_try(state, job) => {
                open.job.phase = Phase::Create {
                    gathered,
                    token,
                    tried: true,
                };
                open.tried_at = Some(self.now);
            }
            (Phase::Create { gathered, .. }, Worked::Create(creation)) => {
                self.created(state, &mut open, gathered, creation);
            }
            (
                Phase::Poll {
                    gathered,
                    created_at,
                    ..
                },
                Worked::Poll(polled),
            ) => self.polled(state, &mut open, gathered, created_at, polled),
            (
                Phase::Report {
                    gathered, ended, ..
                },
                Worked::Report(slice),
            ) => Self::reported(&mut open, gathered, ended, slice),
            (
                Phase::Settle {
                    gathered,
                    ended,
                    tally,
                    ..
                },
                Worked::Settle(slice),
            ) => settled(&mut open, gathered, ended, tally, slice),
            (
                Phase::Prove {
                    gathered,
                    ended,
                    settled,
                    ..
                },
                Worked::Prove(slice),
            ) => self.proved(state, &mut open, gathered, ended, settled, slice),
            (
                Phase::Close {
                    gathered,
                    ended,
                    settled,
                    ..
                },
                Worked::Close(slice),
            ) => match slice {
                Slice::More(cursor) | Slice::Wait(cursor, _) => {
                    open.job.phase = Phase::Close {
                        gathered,
                        ended,
                        settled,
                        cursor: cursor.clone(),
                    };
                    open.wait_until = waits(slice);
                }
                Slice::Done(()) => {
                    state.jobs.remove(job);
                    self.closed(state, open, &gathered, ended, settled);
                    return;
                }
            },
            // The phase has moved on meanwhile: what was done is done already.
            _ => return,
        }
        state.jobs.insert(job.clone(), open);
    }

    /// Whether a try to create this job may begin. Asked again in the very write that begins it,
    /// so that no hold is overtaken that was acknowledged before.
    #[must_use]
    pub fn may_try(&self, state: &RedriveState, job: &JobName) -> bool {
        state.jobs.get(job).is_some_and(|open| {
            matches!(open.job.phase, Phase::Create { .. })
                && !state.is_stopped(open, self.settings.mode, self.now)
        })
    }

    pub(super) fn gathered(
        &self,
        state: &mut RedriveState,
        open: &mut OpenJob,
        slice: &Slice<GatherCursor, Gathered>,
    ) {
        let gathered = match slice {
            Slice::More(cursor) | Slice::Wait(cursor, _) => {
                open.job.phase = Phase::Gather {
                    cursor: cursor.clone(),
                };
                open.wait_until = waits(slice);
                return;
            }
            Slice::Done(gathered) => gathered.clone(),
        };
        for (group, rows) in open.job.groups.iter().zip(&gathered.handed_over) {
            if *rows > 0 {
                self.handed_over(state, group, *rows, &open.job.name);
            }
        }
        let Some(manifest) = &gathered.manifest else {
            refund(state, &open.job.name);
            open.job.phase = Phase::Close {
                gathered,
                ended: None,
                settled: Settled::default(),
                cursor: CloseCursor::default(),
            };
            return;
        };
        charge(state, &open.job.name, price::job(manifest.objects));
        open.job.phase = Phase::Create {
            token: Token::new(&open.job, &gathered),
            gathered,
            tried: false,
        };
    }

    pub(super) fn handed_over(
        &self,
        state: &mut RedriveState,
        group: &Group,
        rows: u64,
        job: &JobName,
    ) {
        state.totals.handed_over += rows;
        let record = self.ensure(state, group);
        record.handed_over += rows;
        let record = record.clone();
        self.tell_handed_over(state, &record, rows, job);
    }

    pub(super) fn created(
        &self,
        state: &mut RedriveState,
        open: &mut OpenJob,
        gathered: Gathered,
        creation: &Creation,
    ) {
        match creation {
            Creation::Created(id) => {
                state.totals.jobs += 1;
                open.job.phase = Phase::Poll {
                    gathered,
                    id: id.clone(),
                    created_at: self.now,
                };
                open.wait_until = Some(later(self.now, POLL_EVERY));
            }
            Creation::Throttled(text) => {
                self.wait_after_error(open, text);
                if open.errors == STUCK_AFTER {
                    self.tell_stuck(state, open);
                }
            }
            Creation::Refused(text) => {
                open.failure = Some(format!("S3 refused to create it: {text}"));
                refund(state, &open.job.name);
                open.job.phase = given_up(&gathered);
            }
        }
    }

    pub(super) fn polled(
        &self,
        state: &mut RedriveState,
        open: &mut OpenJob,
        gathered: Gathered,
        created_at: Timestamp,
        polled: &Polled,
    ) {
        match polled {
            Polled::Open(progress) => {
                open.progress = Some(progress.clone());
                open.wait_until = Some(later(self.now, POLL_EVERY));
                if !open.overdue_told && self.now.duration_since(created_at) >= OVERDUE {
                    open.overdue_told = true;
                    self.tell_overdue(state, open, created_at);
                }
            }
            Polled::Ended(ended) => {
                open.progress = Some(ended.progress.clone());
                if matches!(ended.status, EndStatus::Failed | EndStatus::Unknown) {
                    open.failure = Some(failure_of(ended));
                }
                // For a bucket whose size nobody knows, what was set aside stays so.
                let has_price = open.in_bucket.is_some() || open.asked;
                if matches!(open.job.kind, JobKind::Sweep(_)) && has_price {
                    let objects = ended.progress.total;
                    let cost = price::sweep(objects, open.in_bucket.unwrap_or_default());
                    charge(state, &open.job.name, cost);
                }
                open.job.phase = Phase::Report {
                    gathered,
                    ended: ended.clone(),
                    cursor: ReportCursor::default(),
                };
            }
        }
    }

    pub(super) fn reported(
        open: &mut OpenJob,
        gathered: Gathered,
        ended: Ended,
        slice: &Slice<ReportCursor, Tally>,
    ) {
        match slice {
            Slice::More(cursor) | Slice::Wait(cursor, _) => {
                open.job.phase = Phase::Report {
                    gathered,
                    ended,
                    cursor: cursor.clone(),
                };
                open.wait_until = waits(slice);
            }
            Slice::Done(tally) if tally.nothing_to_do => {
                open.failure = None;
                open.job.phase = Phase::Close {
                    gathered,
                    ended: Some(ended),
                    settled: Settled::default(),
                    cursor: CloseCursor::default(),
                };
            }
            Slice::Done(tally) => {
                if !tally.found && ended.status != EndStatus::Cancelled && open.failure.is_none() {
                    let reasons = tally.reasons.join("; ");
                    open.failure = Some(if reasons.is_empty() {
                        "it gave no report".to_owned()
                    } else {
                        format!("it gave no report: {reasons}")
                    });
                }
                open.job.phase = Phase::Settle {
                    gathered,
                    ended,
                    tally: tally.clone(),
                    cursor: SettleCursor::default(),
                };
            }
        }
    }

    fn proved(
        &self,
        state: &mut RedriveState,
        open: &mut OpenJob,
        gathered: Gathered,
        ended: Ended,
        so_far: Settled,
        slice: &Slice<ProveCursor, Settled>,
    ) {
        open.wait_until = waits(slice);
        open.job.phase = match slice {
            Slice::More(cursor) | Slice::Wait(cursor, _) => Phase::Prove {
                gathered,
                ended,
                settled: so_far,
                cursor: cursor.clone(),
            },
            Slice::Done(settled) => {
                open.proof = Some(proof(&so_far, settled));
                if let Some(job) = open.job.follow_up(&ended, settled, self.now) {
                    let look = OpenJob {
                        wait_until: Some(later(self.now, LOOK_AFTER)),
                        ..OpenJob::new(job)
                    };
                    state.jobs.insert(look.job.name.clone(), look);
                }
                closing(gathered, ended, settled.clone())
            }
        };
    }
}

/// When a slice wants to go on.
fn waits<C, D>(slice: &Slice<C, D>) -> Option<Timestamp> {
    match slice {
        Slice::Wait(_, until) => Some(*until),
        _ => None,
    }
}

/// A job that S3 does not know is closed with its inputs untouched.
pub(super) fn given_up(gathered: &Gathered) -> Phase {
    let groups = gathered
        .rows
        .iter()
        .map(|rows| Outcome {
            not_run: *rows,
            ..Outcome::default()
        })
        .collect();
    Phase::Close {
        gathered: Gathered {
            complete: false,
            ..gathered.clone()
        },
        ended: None,
        settled: Settled {
            groups,
            ..Settled::default()
        },
        cursor: CloseCursor::default(),
    }
}

fn settled(
    open: &mut OpenJob,
    gathered: Gathered,
    ended: Ended,
    tally: Tally,
    slice: &Slice<SettleCursor, Settled>,
) {
    open.wait_until = waits(slice);
    open.job.phase = match slice {
        Slice::More(cursor) | Slice::Wait(cursor, _) => Phase::Settle {
            gathered,
            ended,
            tally,
            cursor: cursor.clone(),
        },
        Slice::Done(settled) if settled.groups.iter().any(|group| group.initiated > 0) => {
            Phase::Prove {
                gathered,
                ended,
                settled: settled.clone(),
                cursor: ProveCursor::default(),
            }
        }
        Slice::Done(settled) => closing(gathered, ended, settled.clone()),
    };
}

/// What the proof found: the difference between the figures before and after it.
fn proof(before: &Settled, after: &Settled) -> Proof {
    let sum = |settled: &Settled| {
        let mut sum = Outcome::default();
        settled.groups.iter().for_each(|outcome| sum.add(outcome));
        sum
    };
    let (before, after) = (sum(before), sum(after));
    let arrived = after.arrived.saturating_sub(before.arrived);
    let gone = after.finals.saturating_sub(before.finals);
    let missing = (after.failed + after.pending).saturating_sub(before.failed + before.pending);
    let moving = after.moving.saturating_sub(before.moving);
    Proof {
        looked: arrived + gone + missing + moving,
        arrived,
        missing,
    }
}

fn closing(gathered: Gathered, ended: Ended, settled: Settled) -> Phase {
    Phase::Close {
        gathered,
        ended: Some(ended),
        settled,
        cursor: CloseCursor::default(),
    }
}

fn failure_of(ended: &Ended) -> String {
    let reasons = ended.reasons.join("; ");
    match (ended.status, reasons.is_empty()) {
        (EndStatus::Unknown, _) => "S3 does not know it any more".to_owned(),
        (_, true) => "S3 ended it as failed without a reason".to_owned(),
        (_, false) => format!("S3 ended it as failed: {reasons}"),
    }
}

/// Sets what a job costs.
fn charge(state: &mut RedriveState, job: &JobName, micros: Micros) {
    if let Some(spend) = state.spends.iter_mut().find(|spend| spend.job == *job) {
        spend.micros = micros;
    }
}

/// A job that S3 never ran costs nothing.
pub(super) fn refund(state: &mut RedriveState, job: &JobName) {
    state.spends.retain(|spend| spend.job != *job);
}
