//! One invocation.

use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};

use crate::deps::Deps;

/// Kept free before the deadline for writing the report and telling people.
const RESERVE: SignedDuration = SignedDuration::from_secs(20);

/// One invocation: its adapters, its name and its time.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) request_id: &'a str,
    /// When Lambda ends the invocation.
    pub(crate) deadline: Timestamp,
    /// When reading stops: what was not answered by then is not known.
    pub(crate) end: Timestamp,
    began: Timestamp,
    /// Writes made so far: numbers them for the store.
    writes: AtomicUsize,
}

/// `at` plus `duration`, at the end of time at the latest.
pub(crate) fn later(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}

impl<'a> Turn<'a> {
    pub(crate) fn new(deps: &'a Deps, deadline: Timestamp, request_id: &'a str) -> Self {
        let began = deps.edge.now();
        // Of a short invocation a part is kept free, not all.
        let reserve = RESERVE.min(deadline.duration_since(began) / 2);
        Self {
            deps,
            request_id,
            deadline,
            end: later(deadline, -reserve).max(began),
            began,
            writes: AtomicUsize::new(0),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.deps.edge.now()
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
}
