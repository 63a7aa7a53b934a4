//! One invocation.

use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use sentinel_core::redrive::apply::Desk;

use crate::deps::Deps;

/// Kept free before the deadline for recording and announcing.
const RESERVE: SignedDuration = SignedDuration::from_secs(15);

/// How long after the invocation's end nobody else works: longer than any request that it began
/// can take.
const CLAIM_GRACE: SignedDuration = SignedDuration::from_secs(30);

/// One invocation: its adapters, its name and its time.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) request_id: &'a str,
    /// When Lambda ends the invocation.
    pub(crate) deadline: Timestamp,
    /// The name under which it claims the work: a repetition has the same request id, and would
    /// take the claim of the invocation that it repeats for its own.
    pub(crate) claimant: String,
    /// When work that can go on later stops.
    pub(crate) end: Timestamp,
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
        // Of a short invocation a part is kept free, not all.
        let reserve = RESERVE.min(deadline.duration_since(now) / 4);
        Self {
            deps,
            request_id,
            deadline,
            claimant: format!("{request_id}@{}", now.as_millisecond()),
            end: later(deadline, -reserve).max(now),
            writes: AtomicUsize::new(0),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.deps.edge.now()
    }

    /// When this invocation's claim expires.
    pub(crate) fn claim_expires(&self) -> Timestamp {
        later(self.deadline, CLAIM_GRACE)
    }

    /// Whoever writes into the document.
    pub(crate) fn desk(&self) -> Desk<'a> {
        Desk {
            settings: &self.deps.settings,
            request_id: self.request_id,
            now: self.now(),
        }
    }

    /// The name of this invocation's next write, unlike any other's: a retry has the same request id.
    pub(crate) fn next_writer(&self) -> String {
        format!(
            "{}#{}",
            self.claimant,
            self.writes.fetch_add(1, Ordering::Relaxed)
        )
    }
}
