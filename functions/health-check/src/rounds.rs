//! A run: one round after the other until its time is up or a newer run has taken over.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;

use futures_util::future::join;
use jiff::{SignedDuration, Timestamp};
use sentinel_core::evidence::{Evidence, RoundRules, Run};
use sentinel_core::names::Region;

use crate::answer::{Answer, Outcome};
use crate::deps::Deps;
use crate::error::{Error, RecordError};
use crate::look::Looked;
use crate::record::{Known, Recorded};
use crate::wake::Waker;

/// A run begins no round later than this after its start: long enough to meet the next one, which
/// the schedule may start anywhere inside its minute.
const LONGEST: SignedDuration = SignedDuration::from_secs(70);

/// Kept free before the deadline for recording the last round and waking somebody.
const RESERVE: SignedDuration = SignedDuration::from_secs(8);

/// Kept free before the deadline for the answer, or the error that says what was slow.
const ANSWER: SignedDuration = SignedDuration::from_secs(1);

/// How long a round may take beyond the time limits of its requests.
const ROUND_SLACK: SignedDuration = SignedDuration::from_secs(1);

/// One invocation: its adapters, its name and its time.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) request_id: &'a str,
    /// This run, as the evidence names it.
    pub(crate) run: Run,
    /// When everything but the answer is over: a moment before Lambda ends the invocation.
    pub(crate) deadline: Timestamp,
    /// When the last round may begin.
    end: Timestamp,
    /// Writes made so far: numbers them for the store.
    pub(crate) writes: AtomicUsize,
}

/// `at` plus `duration`, at the end of time at the latest.
pub(crate) fn later(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}

impl<'a> Turn<'a> {
    pub(crate) fn new(deps: &'a Deps, deadline: Timestamp, request_id: &'a str) -> Self {
        let began = deps.edge.now();
        let round = round_limit(deps);
        let last = later(deadline, -(round + RESERVE));
        Self {
            deps,
            request_id,
            run: Run {
                id: request_id.to_owned(),
                started_at: began,
            },
            deadline: later(deadline, -ANSWER),
            end: later(began, LONGEST).min(last),
            writes: AtomicUsize::new(0),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.deps.edge.now()
    }

    /// The earlier of `limit` from now and the end of the invocation.
    pub(crate) fn within(&self, limit: SignedDuration) -> Timestamp {
        later(self.now(), limit).min(self.deadline)
    }

    pub(crate) fn rules(&self) -> RoundRules {
        RoundRules {
            interval: self.deps.settings.probe_interval,
            gap: self.deps.settings.evidence_max_age,
            max_lag: self.deps.settings.max_lag,
        }
    }

    /// The whole run.
    pub(crate) async fn run(&self) -> Result<Answer, Error> {
        let known = self.begin().await;
        if known.is_taken_over(&self.run) {
            return Ok(Answer {
                outcome: Outcome::TakenOver,
                ..Answer::default()
            });
        }
        // Beside the rounds: a control endpoint or a Region that hangs must not delay them.
        let looked = Looked::default();
        let previous = known.evidence().cloned();
        let looking = self.look(previous.as_ref(), &looked);
        let rounds = self.rounds(known, &looked);
        let (answer, ()) = join(Box::pin(rounds), Box::pin(looking)).await;
        answer
    }

    async fn rounds(&self, mut known: Known, looked: &Looked) -> Result<Answer, Error> {
        let interval = self.deps.settings.probe_interval;
        let mut answer = Answer::default();
        let mut waker = Waker::new(self);
        let mut failure: Option<RecordError> = None;
        let mut due = self.run.started_at;
        loop {
            self.deps.edge.sleep(self.deps.edge.left(due)).await;
            let id = format!("{}#{}", self.request_id, answer.rounds);
            let until = self.within(round_limit(self.deps));
            let round = self.deps.prober.round(&id, until).await;
            answer.rounds += 1;
            let recorded = self.record(&mut known, &round, looked).await;
            if let Recorded::TakenOver = recorded {
                answer.outcome = Outcome::TakenOver;
                break;
            }
            if let Some(evidence) = known.evidence() {
                answer.verdicts = verdicts(evidence);
                self.measure_round(evidence, answer.rounds == 1);
            }
            match recorded {
                Recorded::Written => {
                    answer.recorded += 1;
                    self.measure_self_test(known.evidence(), round.at);
                    if let Some(evidence) = known.evidence() {
                        answer.wakes += waker.wake(evidence).await;
                    }
                }
                Recorded::Superseded | Recorded::TakenOver => {}
                Recorded::Failed(error) => {
                    self.warn("a round could not be recorded", &error);
                    failure = Some(error);
                }
            }
            let now = self.now();
            due = next_due(due, interval, now);
            if due > self.end {
                break;
            }
        }
        match failure {
            Some(source) if answer.recorded == 0 && answer.outcome == Outcome::Observed => {
                Err(Error::Unrecorded {
                    rounds: answer.rounds,
                    source,
                })
            }
            _ => Ok(answer),
        }
    }
}

/// How long a round may take: a write, then a read.
fn round_limit(deps: &Deps) -> SignedDuration {
    deps.settings.probe_timeout.saturating_mul(2) + ROUND_SLACK
}

/// When the next round is due: rounds that were missed because one took long are left out, so that
/// they stay evenly spaced.
fn next_due(due: Timestamp, interval: SignedDuration, now: Timestamp) -> Timestamp {
    let mut next = later(due, interval);
    while later(next, interval) <= now {
        next = later(next, interval);
    }
    next
}

fn verdicts(evidence: &Evidence) -> BTreeMap<Region, &'static str> {
    let members = evidence.members.iter();
    members
        .map(|member| {
            let verdict = evidence.verdict(&member.region);
            (member.region.clone(), verdict.as_str())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_rounds_are_left_out() {
        let at = |second: i64| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        for (due, now, expected) in [
            (0, 1, 10),
            (0, 10, 10),
            (0, 12, 10),
            (0, 20, 20),
            (0, 47, 40),
        ] {
            let next = next_due(at(due), SignedDuration::from_secs(10), at(now));
            assert_eq!(next, at(expected), "at {now}");
        }
    }
}
