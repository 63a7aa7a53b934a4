//! Everything that makes an invocation fail.

use sentinel_aws::ledger::FileError;
use sentinel_aws::store::StoreError;
use sentinel_core::ledger::LedgerNameError;
use sentinel_core::names::BucketName;
use sentinel_core::redrive::command::RedrivePayloadError;
use sentinel_core::redrive::operator::OperatorError;
use sentinel_core::redrive::state::{REDRIVE_KEY, RedriveStateError};

use crate::work::WorkError;

/// Why an invocation failed. Every variant says whether the next tick goes on by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload was refused; the same payload is refused again.
    #[error("{0}")]
    Payload(#[from] RedrivePayloadError),
    /// The command cannot be carried out as given.
    #[error("{0}")]
    Operator(#[from] OperatorError),
    /// The state bucket cannot be reached or refuses. The next tick tries again.
    #[error("the state bucket cannot be used, so nothing is re-driven; the next tick tries again")]
    Store(#[from] StoreError),
    /// The document was deleted. Paged; nothing is re-driven until it is restored.
    #[error("{REDRIVE_KEY} was deleted: nothing is re-driven until it is restored. {restore}")]
    Deleted {
        /// How.
        restore: String,
    },
    /// The document cannot be understood. Paged; nothing is re-driven until it is restored.
    #[error("{source}: nothing is re-driven until it is restored. {restore}")]
    State {
        /// What is wrong with it.
        source: RedriveStateError,
        /// How to restore it.
        restore: String,
    },
    /// The ledger cannot be listed, read or written. The next tick tries again.
    #[error("the ledger cannot be used; the next tick tries again")]
    Ledger(#[from] FileError),
    /// A file in the ledger is not what it should be. The next tick comes upon it again; paged if it stays.
    #[error("{place} is not a file of the ledger as this version knows it: {detail}")]
    Foreign {
        /// Bucket and key.
        place: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A key under the ledger's prefix has another shape.
    #[error("there is a foreign file in {bucket}")]
    Name {
        /// The state bucket.
        bucket: BucketName,
        /// Which.
        source: LedgerNameError,
    },
    /// A phase of a job failed. It is repeated after a pause.
    #[error("job {job}: {phase} failed; it is tried again")]
    Work {
        /// The job.
        job: String,
        /// Its phase.
        phase: &'static str,
        /// How.
        source: Box<WorkError>,
    },
    /// Work on the ledger failed. The next tick tries again.
    #[error("{what} failed; the next tick tries again")]
    Upkeep {
        /// What.
        what: String,
        /// How.
        source: Box<WorkError>,
    },
    /// Others kept changing the document; the next tick tries again.
    #[error(
        "other invocations or people kept changing {REDRIVE_KEY}; nothing is lost, the next tick tries again"
    )]
    Contended,
    /// The claim expired and another invocation works: this one has to stop.
    #[error("another invocation took the work over")]
    TakenOver,
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
    /// Several things failed, each of them reported in the log.
    #[error("{count} steps failed, the first: {first}")]
    Several {
        /// How many.
        count: usize,
        /// The first one's chain.
        first: String,
    },
}

impl Error {
    /// Whether going on with other steps would only fail again, or do harm.
    pub(crate) fn ends_the_turn(&self) -> bool {
        matches!(
            self,
            Self::Store(_)
                | Self::Deleted { .. }
                | Self::State { .. }
                | Self::Contended
                | Self::TakenOver
        )
    }

    /// The error with everything that caused it, for logs and answers.
    #[must_use]
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error with everything that caused it, repeated words left out.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
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
