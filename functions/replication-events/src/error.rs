//! Everything that makes an invocation fail, or gives messages back to the queue.

use sentinel_aws::lag::LagStoreError;
use sentinel_aws::ledger::FileError;
use sentinel_core::ledger::LineError;

use crate::batch::PayloadError;

/// Why an invocation failed: nothing of its batch is acknowledged, and the queue delivers it
/// again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload is no batch of the queue; the same payload is refused again.
    #[error("{0}")]
    Payload(#[from] PayloadError),
    /// Nothing of the batch could be recorded.
    #[error(
        "none of {messages} messages could be recorded, so none is acknowledged: the queue delivers them again"
    )]
    Nothing {
        /// How many messages there were.
        messages: usize,
        /// The first failure.
        source: RecordError,
    },
}

/// Why something that was understood could not be recorded. Its messages are given back.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    /// The state bucket failed or refused.
    #[error("the ledger cannot be written")]
    File(#[from] FileError),
    /// A row is longer than the ledger's lines may be.
    #[error("a row cannot be written")]
    Line(#[from] LineError),
    /// The signs of lag could not be recorded.
    #[error(transparent)]
    Lag(#[from] LagStoreError),
    /// The invocation has to answer before it is ended.
    #[error("the time of the invocation is up")]
    NoTime,
}

impl Error {
    /// The error with everything that caused it, for logs and answers.
    #[must_use]
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error with everything that caused it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
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
