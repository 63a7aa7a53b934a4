//! Everything that makes an invocation fail.

use sentinel_aws::store::StoreError;
use sentinel_core::evidence::EVIDENCE_SCHEMA;

/// Why a payload was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// A command of another function.
    #[error(
        "this function knows no command {0:?}, only its schedule's {{\"command\":\"tick\"}}; operators' commands go to the failover function"
    )]
    Command(String),
    /// More than the schedule sends.
    #[error("{{\"command\":\"tick\"}} takes no further fields")]
    Fields,
    /// No command at all.
    #[error("the payload is no command: let the schedule send {{\"command\":\"tick\"}}")]
    Shape,
}

/// Why evidence could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The state store failed or refused.
    #[error("the state store cannot be used")]
    Store(#[from] StoreError),
    /// A later version wrote it.
    #[error(
        "{key} has schema {found}, this version understands {EVIDENCE_SCHEMA}: deploy the version that wrote it, or delete {key}, which is written anew every few seconds"
    )]
    Schema {
        /// The document.
        key: &'static str,
        /// What stands in it.
        found: String,
    },
    /// It took longer than the invocation lasts.
    #[error("the state store was too slow for the time that was left")]
    Slow,
    /// Others kept changing it.
    #[error("others kept changing {0}")]
    Contended(&'static str),
}

/// Why an invocation failed. The next one comes within a minute.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload was refused; the same payload is refused again.
    #[error("{0}")]
    Payload(#[from] PayloadError),
    /// Metrics were printed, but nothing could be written down.
    #[error("none of {rounds} rounds could be recorded")]
    Unrecorded {
        /// How many rounds there were.
        rounds: u32,
        /// Why the last one could not be.
        source: RecordError,
    },
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
