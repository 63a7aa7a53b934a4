//! What scenarios expect, in words that read like a story.

use std::time::Duration;

use simulator::SimTime;

use crate::history::{Cause, Ending, Function, History, Move, Mover, attribute, list};
use crate::verdict::Violation;

/// Collects what was not met.
pub(super) struct Expect<'a> {
    pub(super) history: &'a History,
    violations: Vec<Violation>,
}

impl<'a> Expect<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        Self {
            history,
            violations: Vec::new(),
        }
    }

    pub(super) fn done(self) -> Vec<Violation> {
        self.violations
    }

    fn fail(&mut self, at: SimTime, text: impl Into<String>) {
        self.violations.push(Violation::new("scenario", at, text));
    }

    /// Something that must be so.
    pub(super) fn that(mut self, holds: bool, expected: &str) -> Self {
        if !holds {
            self.fail(self.history.end, format!("expected: {expected}"));
        }
        self
    }

    /// The routes changed in just this way: who, and which one Region became active.
    pub(super) fn moves(mut self, expected: &[(Mover, &str)]) -> Self {
        let moves = self.history.moves();
        let really: Vec<(Mover, String)> = moves
            .iter()
            .map(|moved| (moved.by, list(&moved.to())))
            .collect();
        let wanted: Vec<(Mover, String)> = expected
            .iter()
            .map(|(by, to)| (*by, (*to).to_owned()))
            .collect();
        if really != wanted {
            let at = moves.last().map_or(self.history.end, |moved| moved.at);
            self.fail(at, format!("expected the moves {wanted:?}, saw {really:?}"));
        }
        self
    }

    /// Nothing moved.
    pub(super) fn nothing_moved(self) -> Self {
        self.moves(&[])
    }

    /// The n-th move (from 0) happened between two moments.
    pub(super) fn move_between(mut self, number: usize, from: SimTime, until: SimTime) -> Self {
        if let Some(moved) = self
            .history
            .moves()
            .get(number)
            .map(|moved: &Move| moved.at)
            && !(from..=until).contains(&moved)
        {
            let text = format!(
                "expected move {} between {} s and {} s",
                number + 1,
                from.as_secs(),
                until.as_secs()
            );
            self.fail(moved, text);
        }
        self
    }

    /// People were told of this event so many times (each event id counts once).
    pub(super) fn told(mut self, event: &str, times: std::ops::RangeInclusive<usize>) -> Self {
        let really = self.history.events(event).len();
        if !times.contains(&really) {
            let expected = if times.start() == times.end() {
                times.start().to_string()
            } else {
                format!("{} to {}", times.start(), times.end())
            };
            self.fail(
                self.history.end,
                format!("expected {expected} announcements of {event}, saw {really}"),
            );
        }
        self
    }

    /// People were told of nothing that a person has to get up for.
    pub(super) fn nobody_was_woken(mut self) -> Self {
        let critical: Vec<(SimTime, String)> = self
            .history
            .published
            .iter()
            .filter(|one| attribute(one, "severity") == "critical")
            .map(|one| (one.at, one.subject.clone().unwrap_or_default()))
            .collect();
        if let Some((at, subject)) = critical.first() {
            self.fail(*at, format!("nobody had to be woken: {subject}"));
        }
        self
    }

    /// People were told of this event between two moments.
    pub(super) fn told_between(mut self, event: &str, from: SimTime, until: SimTime) -> Self {
        let mut told = self.history.events(event).into_values();
        if !told.any(|one| (from..=until).contains(&one.at)) {
            self.fail(
                until,
                format!(
                    "expected an announcement of {event} from {} s on",
                    from.as_secs()
                ),
            );
        }
        self
    }

    /// Clients were served again within this time of the trouble.
    pub(super) fn served_again_within(mut self, limit: Duration) -> Self {
        match crate::numbers::measure(self.history).rto {
            None => self.fail(self.history.end, "expected the clients to be served again"),
            Some(rto) if rto > limit => {
                let text = format!(
                    "the clients waited {} s, expected at most {} s",
                    rto.as_secs(),
                    limit.as_secs()
                );
                self.fail(self.history.end, text);
            }
            Some(_) => {}
        }
        self
    }

    /// No invocation failed.
    pub(super) fn no_invocation_failed(mut self) -> Self {
        let failed: Vec<(SimTime, String)> = self
            .history
            .invocations
            .iter()
            .filter(|invocation| !matches!(invocation.ending, Ending::Answered(_)))
            .map(|invocation| (invocation.ended, format!("{:?}", invocation.ending)))
            .collect();
        if let Some((at, ending)) = failed.first() {
            self.fail(*at, format!("expected no invocation to fail: {ending}"));
        }
        self
    }

    /// The operator's commands of `failover` ended so, in this order; `a|b` is either.
    pub(super) fn operator_got(self, outcomes: &[&str]) -> Self {
        self.got(Function::Failover, outcomes)
    }

    /// The operator's commands of `redrive` ended so, in this order.
    pub(super) fn redrive_got(self, outcomes: &[&str]) -> Self {
        self.got(Function::Redrive, outcomes)
    }

    fn got(mut self, function: Function, outcomes: &[&str]) -> Self {
        let operators = self
            .history
            .invoked(function)
            .filter(|invocation| matches!(invocation.cause, Cause::Operator(_)));
        let really: Vec<String> = operators
            .map(|invocation| match &invocation.ending {
                Ending::Answered(_) => invocation.outcome().unwrap_or("?").to_owned(),
                other => format!("{other:?}"),
            })
            .collect();
        let either =
            |(really, wanted): (&String, &&str)| wanted.split('|').any(|one| one == really);
        if really.len() != outcomes.len() || !really.iter().zip(outcomes).all(either) {
            self.fail(
                self.history.end,
                format!("expected the operator to get {outcomes:?}, not {really:?}"),
            );
        }
        self
    }
}
