//! A job is over: what that means for its groups, the breaker and the figures.

use jiff::SignedDuration;

use super::{Desk, later};
use crate::ledger::How;
use crate::reasons::{Class, classify};
use crate::redrive::job::{EndStatus, Ended, Gathered, JobKind, JobName, Outcome, Settled};
use crate::redrive::notice::versions;
use crate::redrive::price::Micros;
use crate::redrive::state::{
    Breaker, ClosedJob, GroupPhase, GroupRecord, OpenBreaker, OpenJob, RedriveState,
};

/// How long the breaker stays open the first time, in seconds; it doubles up to a day.
const BREAKER_SECONDS: i64 = 3600;
const DAY_SECONDS: i64 = 86_400;

/// What became of one group's rows in a job.
pub(in crate::redrive) struct Part {
    pub(in crate::redrive) outcome: Outcome,
    pub(in crate::redrive) rows: u64,
    /// Some went back into this very group.
    pub(in crate::redrive) came_back: bool,
    pub(in crate::redrive) cancelled: bool,
}

impl Desk<'_> {
    /// A job is over: what it means for its groups, the breaker and the figures.
    pub(super) fn closed(
        &self,
        state: &mut RedriveState,
        open: OpenJob,
        gathered: &Gathered,
        ended: Option<Ended>,
        settled: Settled,
    ) {
        if let JobKind::Look = open.job.kind {
            self.look_over(state, open, ended, settled);
            return;
        }
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
                let Outcome {
                    arrived, already, ..
                } = part.outcome;
                let back = part.outcome.failed + part.outcome.not_run + part.outcome.pending;
                record.last_arrived = arrived + already > back;
            }
            Self::count(state, &mut record, &open, &part);
            match &open.job.kind {
                JobKind::Sample => self.sample_over(state, &mut record, &open, &part),
                JobKind::Release => self.release_over(state, &mut record, &open, &part),
                JobKind::Settle { how } => self.settle_over(state, &mut record, *how, &part),
                JobKind::Sweep(_) | JobKind::Look => {}
            }
            state.groups.insert(group.id(), record);
        }
        if let JobKind::Sweep(_) = open.job.kind {
            let cancelled = ended
                .as_ref()
                .is_some_and(|ended| ended.status == EndStatus::Cancelled);
            self.sweep_over(state, &open, &sum, gave_up, cancelled);
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

    /// What an earlier job left was looked for. What did not arrive is open again, and the next
    /// look at the ledger sees it.
    fn look_over(
        &self,
        state: &mut RedriveState,
        open: OpenJob,
        ended: Option<Ended>,
        settled: Settled,
    ) {
        for group in settled.reopened.iter().map(|again| &again.group) {
            self.ensure(state, group);
        }
        for (group, outcome) in open.job.groups.iter().zip(&settled.groups) {
            if let Some(record) = state.groups.get_mut(&group.id()) {
                record.replicated += outcome.arrived;
                record.finals += outcome.finals;
                state.totals.replicated += outcome.arrived;
                state.totals.finals += outcome.finals;
            }
        }
        state.remember(ClosedJob {
            name: open.job.name,
            kind: open.job.kind,
            source: open.job.source,
            planned_at: open.job.planned_at,
            closed_at: self.now,
            ended,
            failure: None,
            settled,
            cost: Micros::default(),
        });
    }

    pub(super) fn count(
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
                // Counted when they were gathered; nothing is settled as on its way.
                How::HandedOver | How::Moving => {}
            }
        }
        record.replicated += replicated;
        record.finals += finals;
        state.totals.replicated += replicated;
        state.totals.finals += finals;
    }

    pub(super) fn sample_over(
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
            moving,
            ..
        } = part.outcome;
        let arrived = part.outcome.arrived + part.outcome.already;
        let once_more = classify(&record.group.reason).class == Class::OnceMore;
        if open.discarded {
            "its sample was given up before it began".clone_into(&mut record.last);
            Self::hold(record, since, self.now);
        } else if has_arrived(&part.outcome) {
            record.samples = 0;
            record.widen = 0;
            record.last = format!("a sample arrived ({arrived} of {})", part.rows);
            record.phase = GroupPhase::Released { since: self.now };
            self.tell_sample_arrived(state, record, arrived, part.rows);
        } else if once_more && failed + finals > 0 && open.failure.is_none() && !part.cancelled {
            // A few say nothing of the others: each of them has its one more try, and is settled
            // by its own verdict.
            "its sample was tried once more; the others follow".clone_into(&mut record.last);
            record.samples = 0;
            record.widen = 0;
            record.phase = GroupPhase::Released { since: self.now };
        } else if failed + not_run + pending + moving > 0
            || open.failure.is_some()
            || part.cancelled
        {
            record.samples = record.samples.saturating_add(1);
            record.asked = None;
            self.lengthen(record);
            let next = self.next_sample(record);
            Self::hold(record, since, next);
            record.last = format!("a sample did not arrive ({failed} of {} failed)", part.rows);
            self.tell_sample_failed(state, record, open, part);
        } else if finals > 0 {
            record.widen = record.widen.saturating_add(1).min(6);
            "a sample found only versions that no re-drive can help".clone_into(&mut record.last);
            Self::hold(record, since, self.now);
        } else {
            // Whatever it would have taken was settled already, or handed over.
            "there was nothing to sample".clone_into(&mut record.last);
            let pause = self.settings.thresholds.sample;
            Self::hold(record, since, later(self.now, pause));
        }
    }

    pub(super) fn release_over(
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
        // Of a job that S3 refused the rows stay where they are: nothing comes back.
        let is_open = part.came_back || open.failure.is_some();
        if open.discarded || failed + not_run + pending == 0 || !is_open {
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

    pub(super) fn settle_over(
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

    pub(super) fn sweep_over(
        &self,
        state: &mut RedriveState,
        open: &OpenJob,
        sum: &Outcome,
        gave_up: bool,
        cancelled: bool,
    ) {
        let proof = open.proof.unwrap_or_default();
        let is_proven = proof.missing == 0 && (proof.looked > 0 || sum.initiated == 0);
        let replicated = if is_proven {
            sum.initiated.max(sum.arrived)
        } else {
            sum.arrived
        };
        state.totals.replicated += replicated + sum.already;
        state.totals.finals += sum.finals;
        let swept = open.sweeps.and_then(|id| state.groups.get(&id)).cloned();
        if let Some(mut record) = swept {
            let again = if gave_up || open.failure.is_some() {
                record.asked = None;
                // Whoever has to know is told of the job.
                let next = self.next_sample(&record);
                Self::hold(&mut record, self.now, next);
                None
            } else if cancelled {
                Some("its sweep was cancelled".to_owned())
            } else if sum.not_run > 0 {
                Some(format!("its sweep did not try {}", versions(sum.not_run)))
            } else if !is_proven {
                Some(format!(
                    "of {} that its sweep re-drove and that were looked for, {} did not arrive",
                    versions(proof.looked),
                    proof.looked - proof.arrived
                ))
            } else {
                // What failed is in the ledger, by its reason; all else has arrived.
                record.overflow = None;
                None
            };
            if let (Some(why), Some(overflow)) = (again, record.overflow.clone()) {
                // The next sweep waits: it costs more than any other job.
                self.lengthen(&mut record);
                let oldest = Some(overflow.oldest);
                self.hold_anew(state, &mut record, overflow.rows, oldest, Some(&why));
            }
            state.groups.insert(record.group.id(), record);
        }
        if !open.discarded {
            self.tell_sweep(state, open, sum);
        }
    }

    /// Counts failed jobs for the breaker: any that S3 refused, ended as failed or left without a
    /// report, and releases and sweeps that failed for half of their versions. What became of a
    /// sample's versions neither counts nor ends the row; but the trial, or one that an operator
    /// asked for, closes an open breaker when it arrives.
    pub(super) fn judge(
        &self,
        state: &mut RedriveState,
        open: &OpenJob,
        ended: Option<&Ended>,
        sum: &Outcome,
    ) {
        let (failed, known) = failed_of(open, sum);
        let mostly_failed = matches!(open.job.kind, JobKind::Release | JobKind::Sweep(_))
            && failed > 0
            && failed * 2 >= known;
        let failure = open
            .failure
            .clone()
            .or_else(|| mostly_failed.then(|| format!("{failed} of {known} versions failed")));
        let ran = ended.is_some_and(|ended| ended.status != EndStatus::Cancelled);
        let Some(failure) = failure else {
            // A sample that S3 ran is about its group's cause: every release comes after one that
            // arrived, and would begin the count anew.
            let is_sample = matches!(open.job.kind, JobKind::Sample);
            let went_through = if is_sample { has_arrived(sum) } else { ran };
            if went_through && state.breaker.open.is_some() && (open.trial || open.asked) {
                state.breaker = Breaker::default();
                self.tell_breaker_closed(state, "a job went through");
            } else if ran && !is_sample {
                state.breaker.failures = 0;
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

/// Whether more of a sample arrived than failed.
fn has_arrived(outcome: &Outcome) -> bool {
    outcome.arrived + outcome.already > outcome.failed
}

/// How many versions failed, and of how many. Of what a sweep initiated only some are looked for:
/// they stand for the others.
fn failed_of(open: &OpenJob, sum: &Outcome) -> (u64, u64) {
    if let JobKind::Sweep(_) = open.job.kind {
        let proof = open.proof.unwrap_or_default();
        let lost = proof.missing.saturating_sub(sum.pending);
        let refused = sum.failed.saturating_sub(lost);
        let initiated = sum.initiated.max(proof.looked);
        let failed = refused + initiated.saturating_mul(lost) / proof.looked.max(1);
        return (failed, initiated + sum.already + sum.finals + refused);
    }
    let known = sum.arrived + sum.already + sum.failed + sum.finals + sum.pending;
    (sum.failed, known)
}

fn spent_on(state: &RedriveState, job: &JobName) -> Micros {
    state
        .spends
        .iter()
        .find(|spend| spend.job == *job)
        .map_or_else(Micros::default, |spend| spend.micros)
}
