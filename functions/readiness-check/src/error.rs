//! Everything that makes an invocation fail.

use sentinel_aws::store::StoreError;
use sentinel_core::readiness::notice::ReadinessPayloadError;
use sentinel_core::readiness::{REPORT_KEY, ReportError};

/// Why an invocation failed. Every variant says whether the next look goes on by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload was refused; the same payload is refused again.
    #[error("{0}")]
    Payload(#[from] ReadinessPayloadError),
    /// The state bucket cannot be reached or refuses. The next look tries again.
    #[error("the state bucket cannot be used, so nothing is reported; the next look tries again")]
    Store(#[from] StoreError),
    /// Another access point's report, or a later version's, stands where this one's belongs. A
    /// person has to decide.
    #[error("{0}")]
    NotOurs(ReportError),
    /// Others kept writing the report.
    #[error("other invocations kept changing {REPORT_KEY}; theirs are as good")]
    Contended,
    /// No topic took the announcements of the schedule's look; they are kept, and the next look
    /// publishes them.
    #[error(
        "no topic could be reached, {count} announcements are kept for the next look: {detail}"
    )]
    Unannounced {
        /// How many wait.
        count: usize,
        /// Each topic's error.
        detail: String,
    },
}

impl Error {
    /// The error with everything that caused it, for logs and answers.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let words = cause.to_string();
            if !text.contains(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            source = cause.source();
        }
        text
    }
}
