//! One invocation.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use sentinel_core::alarm::{AlarmState, AlarmTransition, self_test_alarm};
use sentinel_core::answer::{Answer, Outcome};
use sentinel_core::command::Command;
use sentinel_core::state::{SelfTest, State};

use crate::deps::Deps;
use crate::error::Error;

/// An invocation ends within this, whatever the function's time-out: the tick goes on.
const LONGEST: SignedDuration = SignedDuration::from_secs(45);

/// Kept free before the deadline for recording and announcing.
const RESERVE: SignedDuration = SignedDuration::from_secs(3);

/// One invocation: its adapters, its name and its time.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) request_id: &'a str,
    /// When Lambda ends the invocation.
    pub(crate) deadline: Timestamp,
    /// When it began: tells a retry from the invocation that it repeats.
    began: Timestamp,
    /// When work that can go on later stops.
    pub(crate) end: Timestamp,
    /// The incident it is about, for the log.
    incident: Mutex<Option<String>>,
    /// Writes made so far: numbers them for the store.
    writes: AtomicUsize,
}

/// `at` plus `duration`, at the end of time at the latest.
pub(crate) fn later(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}

impl<'a> Turn<'a> {
    pub(crate) fn new(deps: &'a Deps, deadline: Timestamp, request_id: &'a str) -> Self {
        let now = deps.edge.now();
        let end = later(now, LONGEST).min(later(deadline, -RESERVE)).max(now);
        Self {
            deps,
            request_id,
            deadline,
            began: now,
            end,
            incident: Mutex::new(None),
            writes: AtomicUsize::new(0),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.deps.edge.now()
    }

    /// The earlier of `limit` from now and the end of the invocation.
    pub(crate) fn within(&self, limit: SignedDuration) -> Timestamp {
        later(self.now(), limit).min(self.end)
    }

    /// Takes note of the incident that this invocation is about.
    pub(crate) fn remember_incident(&self, state: &State) {
        if let (Some(incident), Ok(mut known)) = (&state.incident, self.incident.lock()) {
            *known = Some(incident.id.clone());
        }
    }

    /// The incident that this invocation is about, if it got so far.
    pub(crate) fn incident(&self) -> Option<String> {
        self.incident.lock().ok().and_then(|known| known.clone())
    }

    /// The name of this invocation's next write, unlike any other's: a retry has the same request id.
    pub(crate) fn next_writer(&self) -> String {
        format!(
            "{}@{}#{}",
            self.request_id,
            self.began.as_millisecond(),
            self.writes.fetch_add(1, Ordering::Relaxed)
        )
    }

    /// Alarms changed their state.
    pub(crate) async fn alarms(&self, transitions: &[AlarmTransition]) -> Result<Answer, Error> {
        let name = self_test_alarm(&self.deps.settings.mrap);
        let (tests, mut transitions): (Vec<_>, Vec<_>) = transitions
            .iter()
            .cloned()
            .partition(|transition| transition.name == name);
        let tested = Box::pin(self.self_tests(&tests)).await;
        if transitions.is_empty() {
            return tested;
        }
        if let Err(error) = tested {
            self.warn("the self-test could not be recorded", &error);
        }
        // The incident takes its name from the earliest.
        transitions.sort_by_key(|transition| transition.changed_at);
        self.automatic(&transitions).await
    }

    /// The alarm of the self-test changed its state: its way here works, and that is all it says.
    async fn self_tests(&self, tests: &[AlarmTransition]) -> Result<Answer, Error> {
        let fired = tests
            .iter()
            .filter(|test| test.state == AlarmState::Alarm)
            .map(|test| test.changed_at)
            .max();
        let Some(fired_at) = fired else {
            return Ok(Answer::plain(
                Outcome::NoChange,
                "The self-test of the alarms is over: no reason to act.",
            ));
        };
        let emitted_at = self
            .recorded_evidence()
            .await
            .and_then(|evidence| evidence.self_test_at);
        let (state, arrived) = self
            .update(|state, now| {
                let arrived = SelfTest::arrived(fired_at, emitted_at, now);
                state.note_self_test(arrived.clone());
                Ok(arrived)
            })
            .await?;
        // It arrives in two ways; only the first one is measured.
        if state.self_test.as_ref() == Some(&arrived) {
            self.measure_self_test(&arrived);
        }
        Ok(Answer::plain(
            Outcome::NoChange,
            format!(
                "The self-test of the alarms arrived after {} s: no reason to act.",
                arrived.latency_seconds
            ),
        ))
    }

    /// The tick, or an operator's command.
    pub(crate) async fn command(&self, command: Command) -> Result<Answer, Error> {
        match command {
            Command::Tick => self.automatic(&[]).await,
            command => Box::pin(self.operate(command)).await,
        }
    }
}
