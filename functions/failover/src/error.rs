//! Everything that makes an invocation fail.

use sentinel_aws::control::{ControlError, SubmitError};
use sentinel_aws::store::StoreError;
use sentinel_core::payload::PayloadError;
use sentinel_core::state::StateError;

/// Why an invocation failed. Every variant says whether the next tick goes on by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload was refused; the same payload is refused again.
    #[error("{0}")]
    Payload(#[from] PayloadError),
    /// The command cannot be carried out as given.
    #[error("{0}")]
    Command(String),
    /// An alarm may trigger, but nobody can tell for which Region. Announced once; nothing is moved.
    #[error("{0}")]
    RegionUnknown(String),
    /// The state store cannot be reached or refuses. Paged; the next tick tries again.
    #[error("the state store cannot be used, so nothing is decided automatically")]
    Store(#[from] StoreError),
    /// The state was deleted. Paged; nothing automatic until `repair-state`.
    #[error(
        "the state was deleted: nothing automatic happens until an operator sends {{\"command\":\"repair-state\",\"reason\":\"…\"}}"
    )]
    StateDeleted,
    /// The state cannot be understood. Paged; nothing automatic until it is repaired.
    #[error("{0}")]
    State(#[from] StateError),
    /// What was decided is recorded, but not what came of it: the routes are what counts, and the
    /// next tick takes account of them.
    #[error(
        "the dial may have been moved, but the state store failed before that was recorded; the next tick takes account of the routes"
    )]
    Unrecorded(#[source] Box<Error>),
    /// Too little time is left for a round of probes: what is not asked must not look like what does not answer.
    #[error(
        "{left_seconds} s are left of the invocation, a round of probes may take {needed_seconds} s: give the function a time-out of 60 s"
    )]
    NoTime {
        /// What is left.
        left_seconds: u64,
        /// What is needed.
        needed_seconds: u64,
    },
    /// Others kept changing the state or the routes; the next tick tries again.
    #[error(
        "other invocations or people kept changing the state or the routes; the next tick tries again"
    )]
    Contended,
    /// The routes could not be read; open triggers are recorded, and the next tick goes on.
    #[error("the routes cannot be read, so nothing is decided; the next tick tries again")]
    Routes(#[source] Box<ControlError>),
    /// The change could not be submitted; the next tick decides anew.
    #[error("the change of routes was not accepted")]
    Submit(#[source] Box<SubmitError>),
    /// The routes do not show the change that was accepted; the next tick looks again.
    #[error(
        "the change of routes was accepted but the routes do not show it yet; the next tick looks again"
    )]
    NotShown,
    /// No topic took the announcements; they are kept, and the next tick publishes them.
    #[error(
        "no topic could be reached, {count} announcements are kept for the next tick: {detail}"
    )]
    Unannounced {
        /// How many wait.
        count: usize,
        /// Each topic's error.
        detail: String,
    },
}

impl Error {
    /// Whether the state could not be read or written.
    pub(crate) fn is_about_the_state(&self) -> bool {
        matches!(
            self,
            Self::Store(_) | Self::StateDeleted | Self::State(_) | Self::Unrecorded(_)
        )
    }

    /// The same error after a decision was recorded: a failing store no longer means that nothing was done.
    pub(crate) fn after_the_record(self) -> Self {
        if matches!(self, Self::Store(_) | Self::StateDeleted | Self::State(_)) {
            Self::Unrecorded(Box::new(self))
        } else {
            self
        }
    }

    /// The error with everything that caused it, for logs and answers.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        text
    }
}
