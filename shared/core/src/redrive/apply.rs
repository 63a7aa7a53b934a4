//! What happened, written into the document.
//!
//! Everything here is a pure function of the document, the settings and the time, so that a
//! compare-and-swap that lost its race is simply applied again to what is there now.

use jiff::{SignedDuration, Timestamp};

use super::inventory::{Extent, Inventory, Listed};
use super::job::{
    CloseCursor, Creation, EndStatus, Ended, Gathered, JobKind, JobName, Outcome, Phase, Polled,
    ProveCursor, ReportCursor, SettleCursor, Settled, Slice, Tally, Token,
};
use super::plan::{SWEEP_MARGIN, settles_as};
use super::price::{self, Micros, Spend};
use super::state::{
    BucketSize, ClosedJob, GroupPhase, GroupRecord, OpenBreaker, OpenJob, Overflow, RedriveState,
};
use crate::ledger::{Group, GroupId, How, OpenName};
use crate::names::BucketName;
use crate::reasons::{Class, classify};
use crate::settings::RedriveSettings;

/// S3 is asked how a job stands no faster than this.
const POLL_EVERY: SignedDuration = SignedDuration::from_secs(30);
/// The pause after the first error with a job; it doubles.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// The longest such pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(15);
/// Errors in a row after which people are told.
const STUCK_AFTER: u32 = 5;
/// A job that S3 has not finished after this long is worth a look.
const OVERDUE: SignedDuration = SignedDuration::from_hours(24);
/// How long the breaker stays open the first time, in seconds; it doubles up to a day.
const BREAKER_SECONDS: i64 = 3600;
const DAY_SECONDS: i64 = 86_400;
/// Files that an overflowed group drops in one round.
const DROPPED_AT_ONCE: usize = 500;
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
    Gather(Slice<super::job::GatherCursor, Gathered>),
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
            Happening::Discarded { job } => self.discarded(state, job),
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
            Happening::Restored { group, rows, done } => self.restored(state, *group, *rows, *done),
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
                hold: None,
                asked: None,
                restore: None,
                abandon: None,
                tried_once_more: false,
                final_told: false,
                overflow: None,
                replicated: 0,
                finals: 0,
                abandoned: 0,
                handed_over: 0,
                last: String::new(),
            })
    }

    /// Takes note of what the ledger holds: groups open, close, are held anew, overflow.
    pub fn look(&self, state: &mut RedriveState, inventory: &Inventory) {
        let ids: Vec<GroupId> = state.groups.keys().copied().collect();
        for id in ids {
            let Some(mut record) = state.groups.get(&id).cloned() else {
                continue;
            };
            let before = record.clone();
            self.look_at(state, &mut record, inventory.files(id));
            if record != before {
                state.groups.insert(id, record);
            }
        }
    }

    fn look_at(&self, state: &mut RedriveState, record: &mut GroupRecord, files: &[Listed]) {
        let in_job = state.is_in_job(&record.group);
        self.look_at_abandon(state, record, files, in_job);
        let Some(extent) = Extent::of(files) else {
            let waits = in_job || record.restore.is_some() || record.overflow.is_some();
            if !waits && !record.is_closed() {
                self.close(state, record);
            }
            return;
        };
        self.look_at_source(state, record);
        let is_final = settles_as(record).is_some();
        match &record.phase {
            GroupPhase::Closed { .. } if is_final => {
                self.begin_episode(record);
                record.phase = GroupPhase::Final { since: self.now };
            }
            GroupPhase::Closed { since } => {
                // What failed before its last job ended belongs to that job, and is mostly settled.
                if record.last_end.is_some_and(|end| extent.newest <= end) {
                    record.phase = GroupPhase::Released { since: self.now };
                } else {
                    // A cause that comes and goes is sampled ever more slowly.
                    let soon =
                        self.now.duration_since(*since) <= self.settings.thresholds.sample_max;
                    if record.episode > 0 && soon {
                        self.lengthen(record);
                    }
                    self.hold_anew(state, record, extent.rows, Some(extent.oldest), None);
                }
            }
            GroupPhase::Released { since } => {
                let comes_back = record
                    .last_end
                    .is_some_and(|end| *since <= end && extent.newest > end);
                if comes_back && !in_job && record.asked.is_none() {
                    self.lengthen(record);
                    let why = "it had been re-driven, and now versions fail for it again";
                    let (rows, oldest) = (extent.rows, Some(extent.oldest));
                    self.hold_anew(state, record, rows, oldest, Some(why));
                }
            }
            GroupPhase::Held { .. } if is_final => {
                record.phase = GroupPhase::Final { since: self.now };
            }
            GroupPhase::Final { .. } if !is_final => self.hold(record, self.now, self.now),
            // Its job is gone without a trace: a document that somebody edited.
            GroupPhase::Sampled { since, .. } if !in_job => {
                let since = *since;
                self.hold(record, since, self.next_sample(record));
            }
            GroupPhase::Held { .. } | GroupPhase::Final { .. } | GroupPhase::Sampled { .. } => {}
        }
        if !matches!(record.phase, GroupPhase::Final { .. }) {
            self.look_at_overflow(state, record, files, &extent);
        }
    }

    /// A group whose rows were given up: done when nothing is left that was written before.
    fn look_at_abandon(
        &self,
        state: &mut RedriveState,
        record: &mut GroupRecord,
        files: &[Listed],
        in_job: bool,
    ) {
        let Some(asked) = record.abandon.clone() else {
            return;
        };
        if in_job || files.iter().any(|file| file.appended <= asked.at) {
            return;
        }
        record.abandon = None;
        record.asked = None;
        // What was counted and not kept is given up, too.
        if let Some(overflow) = record.overflow.take() {
            record.abandoned += overflow.rows;
            state.totals.abandoned += overflow.rows;
        }
        record.phase = GroupPhase::Closed { since: self.now };
        self.tell_abandoned(state, record, &asked);
    }

    /// Nothing can be done for versions of a bucket that is no member: people have to know.
    fn look_at_source(&self, state: &mut RedriveState, record: &GroupRecord) {
        let key = format!("source {}", record.group.source);
        if self.settings.region_of(&record.group.source).is_some() {
            state.problems.remove(&key);
        } else if state.problems.insert(key, self.now).is_none() {
            self.tell_foreign_source(state, record);
        }
    }

    /// Counts and drops files beyond what is kept of one group.
    fn look_at_overflow(
        &self,
        state: &mut RedriveState,
        record: &mut GroupRecord,
        files: &[Listed],
        extent: &Extent,
    ) {
        let kept = self.settings.thresholds.group_sweep;
        let dropping = record
            .overflow
            .as_ref()
            .is_some_and(|overflow| !overflow.dropping.is_empty());
        if extent.rows <= kept || dropping {
            return;
        }
        let mut files: Vec<&Listed> = files.iter().collect();
        files.sort_by_key(|file| (file.appended, file.name));
        let frozen = |file: &Listed| {
            let key = file.name.key();
            state
                .jobs
                .values()
                .any(|open| open.job.inputs.contains(&key))
        };
        let mut rows = 0_u64;
        let surplus: Vec<OpenName> = files
            .into_iter()
            .filter(|file| {
                rows = rows.saturating_add(file.name.rows);
                rows > kept && !frozen(file)
            })
            .map(|file| file.name)
            .take(DROPPED_AT_ONCE)
            .collect();
        if surplus.is_empty() {
            return;
        }
        let counted: u64 = surplus.iter().map(|name| name.rows).sum();
        let overflow = record.overflow.get_or_insert_with(|| Overflow {
            rows: 0,
            oldest: extent.oldest,
            dropping: Vec::new(),
            told: false,
        });
        overflow.rows = overflow.rows.saturating_add(counted);
        overflow.oldest = overflow.oldest.min(extent.oldest);
        overflow.dropping = surplus;
        if !overflow.told {
            overflow.told = true;
            let begin = overflow.oldest.checked_sub(SWEEP_MARGIN);
            self.tell_overflow(state, record, begin.unwrap_or(Timestamp::MIN));
        }
    }

    fn begin_episode(&self, record: &mut GroupRecord) {
        record.episode += 1;
        record.samples = 0;
        record.widen = 0;
        record.replicated = 0;
        record.finals = 0;
        record.abandoned = 0;
        record.tried_once_more = false;
        record.asked = None;
    }

    /// Holds a group in a new episode, and pages for it.
    fn hold_anew(
        &self,
        state: &mut RedriveState,
        record: &mut GroupRecord,
        rows: u64,
        oldest: Option<Timestamp>,
        again: Option<&str>,
    ) {
        self.begin_episode(record);
        let next = self.next_sample(record);
        self.hold(record, self.now, next);
        self.tell_failing(state, record, rows, oldest, again);
    }

    fn hold(&self, record: &mut GroupRecord, since: Timestamp, next_sample_at: Timestamp) {
        record.phase = GroupPhase::Held {
            since,
            next_sample_at,
        };
    }

    /// When the next sample is due.
    fn next_sample(&self, record: &GroupRecord) -> Timestamp {
        later(
            self.now,
            SignedDuration::from_secs(record.interval_seconds.max(1)),
        )
    }

    /// Doubles the interval between samples.
    fn lengthen(&self, record: &mut GroupRecord) {
        record.interval_seconds = record
            .interval_seconds
            .saturating_mul(2)
            .min(self.settings.thresholds.sample_max.as_secs());
    }

    /// Nothing of the group is open any more.
    fn close(&self, state: &mut RedriveState, record: &mut GroupRecord) {
        let was_final = matches!(record.phase, GroupPhase::Final { .. });
        record.phase = GroupPhase::Closed { since: self.now };
        record.asked = None;
        record.widen = 0;
        record.tried_once_more = false;
        if !was_final {
            self.tell_closed(state, record);
        }
    }

    fn planned(&self, state: &mut RedriveState, open: &OpenJob, cost: Micros) {
        if state.lane(&open.job.source).is_some() {
            // Somebody else's plan came first.
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
        match open.job.kind {
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
            JobKind::Sweep(_) if open.sweeps.is_none() => {
                let position = state
                    .sweeps
                    .iter()
                    .position(|wish| wish.source == open.job.source);
                if let Some(position) = position {
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
    fn discarded(&self, state: &mut RedriveState, job: &JobName) {
        let Some(open) = state.jobs.get_mut(job) else {
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
        open.job.phase = given_up(gathered);
        open.discarded = true;
        open.wait_until = None;
        refund(state, job);
    }

    fn restored(&self, state: &mut RedriveState, group: GroupId, rows: u64, done: bool) {
        let Some(record) = state.groups.get_mut(&group) else {
            return;
        };
        record.handed_over = record.handed_over.saturating_sub(rows);
        if done {
            record.restore = None;
            record.handed_over = 0;
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

    fn worked(&self, state: &mut RedriveState, job: &JobName, work: &Worked) {
        let Some(mut open) = state.jobs.get(job).cloned() else {
            return;
        };
        if !matches!(work, Worked::Create(Creation::Throttled(_))) {
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
            ) => {
                open.job.phase = Phase::Create {
                    gathered,
                    token,
                    tried: true,
                };
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
            ) => proved(&mut open, gathered, ended, settled, slice),
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

    fn gathered(
        &self,
        state: &mut RedriveState,
        open: &mut OpenJob,
        slice: &Slice<super::job::GatherCursor, Gathered>,
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

    fn handed_over(&self, state: &mut RedriveState, group: &Group, rows: u64, job: &JobName) {
        state.totals.handed_over += rows;
        let record = self.ensure(state, group);
        record.handed_over += rows;
        let record = record.clone();
        self.tell_handed_over(state, &record, rows, job);
    }

    fn created(
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

    fn polled(
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
                if let JobKind::Sweep(_) = open.job.kind {
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

    fn reported(
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

    /// A job is over: what it means for its groups, the breaker and the figures.
    fn closed(
        &self,
        state: &mut RedriveState,
        open: OpenJob,
        gathered: &Gathered,
        ended: Option<Ended>,
        settled: Settled,
    ) {
        let gave_up = open.discarded || (ended.is_none() && open.failure.is_some());
        for group in settled.reopened.iter().map(|again| &again.group) {
            self.ensure(state, group);
        }
        let mut sum = Outcome::default();
        for outcome in &settled.groups {
            sum.add(outcome);
        }
        for (index, group) in open.job.groups.iter().enumerate() {
            let Some(mut record) = state.groups.get(&group.id()).cloned() else {
                continue;
            };
            let part = Part {
                outcome: settled.groups.get(index).copied().unwrap_or_default(),
                rows: gathered.rows.get(index).copied().unwrap_or_default(),
                came_back: settled.reopened.iter().any(|again| again.group == *group),
                cancelled: ended
                    .as_ref()
                    .is_some_and(|ended| ended.status == EndStatus::Cancelled),
            };
            // Only what S3 ran says something of failures that it did not have.
            if let Some(ended) = &ended {
                record.last_end = record.last_end.max(Some(ended.at));
            }
            self.count(state, &mut record, &open, &part);
            match &open.job.kind {
                JobKind::Sample => self.sample_over(state, &mut record, &open, &part),
                JobKind::Release => self.release_over(state, &mut record, &open, &part),
                JobKind::Settle { how } => self.settle_over(state, &mut record, *how, &part),
                JobKind::Sweep(_) => {}
            }
            state.groups.insert(group.id(), record);
        }
        if let JobKind::Sweep(_) = open.job.kind {
            self.sweep_over(state, &open, &sum, gave_up);
        }
        let cost = spent_on(state, &open.job.name);
        if ended.is_some() {
            state.totals.spent = state.totals.spent + cost;
        }
        self.judge(state, &open, ended.as_ref(), &sum);
        state.remember(ClosedJob {
            name: open.job.name,
            kind: open.job.kind,
            source: open.job.source,
            planned_at: open.job.planned_at,
            closed_at: self.now,
            ended,
            failure: open.failure,
            settled,
            cost,
        });
    }

    fn count(
        &self,
        state: &mut RedriveState,
        record: &mut GroupRecord,
        open: &OpenJob,
        part: &Part,
    ) {
        let mut replicated = part.outcome.arrived + part.outcome.already;
        let mut finals = part.outcome.finals;
        if let JobKind::Settle { how } = open.job.kind {
            match how {
                How::Replicated | How::Already => replicated += part.rows,
                How::Gone | How::HardDeleted | How::Ineligible => finals += part.rows,
                How::Abandoned => {
                    record.abandoned += part.rows;
                    state.totals.abandoned += part.rows;
                }
                // Counted when they were gathered.
                How::HandedOver => {}
            }
        }
        record.replicated += replicated;
        record.finals += finals;
        state.totals.replicated += replicated;
        state.totals.finals += finals;
    }

    fn sample_over(
        &self,
        state: &mut RedriveState,
        record: &mut GroupRecord,
        open: &OpenJob,
        part: &Part,
    ) {
        // The episode goes on where the sample found it.
        let since = record.phase.since();
        let Outcome {
            failed,
            finals,
            not_run,
            pending,
            ..
        } = part.outcome;
        let arrived = part.outcome.arrived + part.outcome.already;
        if open.discarded {
            record.last = "its sample was given up before it began".to_owned();
            self.hold(record, since, self.now);
        } else if arrived > failed {
            record.samples = 0;
            record.widen = 0;
            record.last = format!("a sample arrived ({arrived} of {})", part.rows);
            record.phase = GroupPhase::Released { since: self.now };
            self.tell_sample_arrived(state, record, arrived, part.rows);
        } else if failed + not_run + pending > 0 || open.failure.is_some() || part.cancelled {
            record.samples = record.samples.saturating_add(1);
            record.asked = None;
            let once_more = classify(&record.group.reason).class == Class::OnceMore;
            if once_more && failed > 0 {
                record.tried_once_more = true;
                record.last = "it was tried once more, in vain".to_owned();
                record.phase = GroupPhase::Final { since: self.now };
                return;
            }
            self.lengthen(record);
            let next = self.next_sample(record);
            self.hold(record, since, next);
            record.last = format!("a sample did not arrive ({failed} of {} failed)", part.rows);
            self.tell_sample_failed(state, record, open, part);
        } else if finals > 0 {
            record.widen = record.widen.saturating_add(1).min(6);
            record.last = "a sample found only versions that no re-drive can help".to_owned();
            self.hold(record, since, self.now);
        } else {
            // Whatever it would have taken was settled already, or handed over.
            record.last = "there was nothing to sample".to_owned();
            let pause = self.settings.thresholds.sample;
            self.hold(record, since, later(self.now, pause));
        }
    }

    fn release_over(
        &self,
        state: &mut RedriveState,
        record: &mut GroupRecord,
        open: &OpenJob,
        part: &Part,
    ) {
        let Outcome {
            failed,
            not_run,
            pending,
            ..
        } = part.outcome;
        let arrived = part.outcome.arrived + part.outcome.already;
        record.last = format!(
            "a job re-drove {} versions: {arrived} arrived, {failed} failed",
            part.rows
        );
        if open.discarded || failed + not_run + pending == 0 || !part.came_back {
            return;
        }
        self.lengthen(record);
        let why = if part.cancelled {
            "its job was cancelled".to_owned()
        } else if let Some(failure) = &open.failure {
            format!("its job failed ({failure})")
        } else if failed > 0 {
            format!(
                "{failed} of {} versions failed again when they were re-driven",
                part.rows
            )
        } else {
            format!(
                "{pending} of {} versions were still pending when the patience ended",
                part.rows
            )
        };
        let back = failed + not_run + pending;
        self.hold_anew(state, record, back, None, Some(&why));
    }

    fn settle_over(
        &self,
        state: &mut RedriveState,
        record: &mut GroupRecord,
        how: How,
        part: &Part,
    ) {
        record.last = format!("{} versions were settled as {how}", part.rows);
        let silent = matches!(how, How::Abandoned | How::HandedOver | How::Already);
        if !silent && !record.final_told && part.rows > 0 {
            record.final_told = true;
            self.tell_final(state, record, how, part.rows);
        }
    }

    fn sweep_over(&self, state: &mut RedriveState, open: &OpenJob, sum: &Outcome, gave_up: bool) {
        state.totals.replicated += sum.arrived + sum.already;
        state.totals.finals += sum.finals;
        let group = open.sweeps.and_then(|id| state.groups.get_mut(&id));
        if let Some(record) = group {
            if gave_up || open.failure.is_some() {
                // The next one waits for the next sample: a sweep costs more than any other job.
                record.asked = None;
                record.phase = GroupPhase::Held {
                    since: self.now,
                    next_sample_at: later(
                        self.now,
                        SignedDuration::from_secs(record.interval_seconds.max(1)),
                    ),
                };
            } else {
                record.overflow = None;
            }
        }
        if !open.discarded {
            self.tell_sweep(state, open, sum);
        }
    }

    /// Counts failed jobs for the breaker.
    fn judge(
        &self,
        state: &mut RedriveState,
        open: &OpenJob,
        ended: Option<&Ended>,
        sum: &Outcome,
    ) {
        let known = sum.arrived + sum.already + sum.failed + sum.finals + sum.pending;
        let mostly_failed = matches!(open.job.kind, JobKind::Release | JobKind::Sweep(_))
            && sum.failed > 0
            && sum.failed * 2 >= known;
        let failure = open.failure.clone().or_else(|| {
            mostly_failed.then(|| format!("{} of {known} versions failed", sum.failed))
        });
        let ran = ended.is_some_and(|ended| ended.status != EndStatus::Cancelled);
        let Some(failure) = failure else {
            if ran {
                state.breaker.failures = 0;
                if state.breaker.open.is_some() && (open.trial || open.asked) {
                    state.breaker = super::state::Breaker::default();
                    self.tell_breaker_closed(state, "a job went through");
                }
            }
            return;
        };
        if open.failure.is_some() {
            self.tell_job_failed(state, open, &failure);
        }
        let breaker = &mut state.breaker;
        breaker.failures = breaker.failures.saturating_add(1);
        breaker.last_failure = Some(failure);
        let limit = self.settings.thresholds.breaker_jobs;
        match &breaker.open {
            None if breaker.failures < limit => return,
            // Jobs that were under way when it opened say nothing new.
            Some(_) if !open.trial => return,
            _ => {}
        }
        let seconds = breaker.open.as_ref().map_or(BREAKER_SECONDS, |known| {
            known.seconds.saturating_mul(2).min(DAY_SECONDS)
        });
        breaker.open = Some(OpenBreaker {
            since: self.now,
            until: later(self.now, SignedDuration::from_secs(seconds)),
            seconds,
        });
        self.tell_breaker_open(state);
    }
}

/// What became of one group's rows in a job.
pub(super) struct Part {
    pub(super) outcome: Outcome,
    pub(super) rows: u64,
    /// Some went back into this very group.
    pub(super) came_back: bool,
    pub(super) cancelled: bool,
}

fn told(what: &str) -> String {
    format!("told {what}")
}

fn overflow_of(state: &mut RedriveState, group: GroupId) -> Option<&mut Overflow> {
    state.groups.get_mut(&group)?.overflow.as_mut()
}

/// When a slice wants to go on.
fn waits<C, D>(slice: &Slice<C, D>) -> Option<Timestamp> {
    match slice {
        Slice::Wait(_, until) => Some(*until),
        _ => None,
    }
}

/// A job that S3 does not know is closed with its inputs untouched.
fn given_up(gathered: &Gathered) -> Phase {
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

fn proved(
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
        Slice::Done(settled) => closing(gathered, ended, settled.clone()),
    };
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
fn refund(state: &mut RedriveState, job: &JobName) {
    state.spends.retain(|spend| spend.job != *job);
}

fn spent_on(state: &RedriveState, job: &JobName) -> Micros {
    state
        .spends
        .iter()
        .find(|spend| spend.job == *job)
        .map_or_else(Micros::default, |spend| spend.micros)
}
