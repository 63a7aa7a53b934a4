//! The one table of time-outs and retries.

use std::time::Duration;

use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

/// What a client is for; it decides how long to wait and whether the SDK may retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The state store: a decision waits for it, so few and short tries.
    Store,
    /// A probe, bounded by this much. Never retried: the failure is the finding.
    Probe(Duration),
    /// One try at one control endpoint, bounded by this much. Never retried: the hedge is the retry.
    Control(Duration),
    /// The data-plane proof. Never retried: the tick comes again.
    Proof,
    /// Announcements: they have the rest of the invocation.
    Announce,
    /// Alarms and metrics.
    Alarms,
    /// Parts of a manifest, of megabytes and often to another continent; worth more tries than
    /// doing a slice of work again.
    Upload,
    /// Batch Operations jobs. S3 does not publish how many requests it takes, so the pauses of
    /// three attempts spread them; then the next tick comes again.
    Jobs,
    /// Looking for a version in a destination, thousands of them in a row: a slow one is asked
    /// again rather than waited for.
    Arrival,
    /// Files of megabytes, written and read in the background.
    Files,
    /// A look at configuration, hundreds at once: nothing waits for it but the report.
    Look,
}

/// How long a client waits and how often it tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the connection, TLS included.
    pub connect: Duration,
    /// For one attempt, up to the answer's headers and a buffered body.
    pub attempt: Duration,
    /// For all attempts and the pauses between them.
    pub operation: Duration,
    /// Attempts altogether; 1 means that the SDK does not retry.
    pub attempts: u32,
}

impl Purpose {
    /// The table.
    #[must_use]
    pub fn limits(self) -> Limits {
        let row = |connect, attempt, operation, attempts| Limits {
            connect: Duration::from_millis(connect),
            attempt: Duration::from_millis(attempt),
            operation: Duration::from_millis(operation),
            attempts,
        };
        let once = |limit| Limits {
            connect: limit,
            attempt: limit,
            operation: limit,
            attempts: 1,
        };
        match self {
            //                   connect  attempt  operation  attempts
            Self::Store => row(1_000, 2_000, 6_000, 3),
            Self::Proof => row(1_000, 3_000, 3_000, 1),
            Self::Announce | Self::Arrival => row(1_000, 3_000, 8_000, 3),
            Self::Alarms => row(1_000, 3_000, 6_000, 2),
            Self::Files => row(2_000, 10_000, 25_000, 3),
            Self::Look => row(2_000, 4_000, 10_000, 3),
            Self::Upload => row(2_000, 20_000, 60_000, 4),
            Self::Jobs => row(1_000, 5_000, 12_000, 3),
            Self::Probe(limit) | Self::Control(limit) => once(limit),
        }
    }
}

impl Limits {
    pub(crate) fn timeouts(self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .read_timeout(self.attempt)
            .operation_attempt_timeout(self.attempt)
            .operation_timeout(self.operation)
            .build()
    }

    pub(crate) fn retries(self) -> RetryConfig {
        if self.attempts <= 1 {
            return RetryConfig::disabled();
        }
        // The SDK's own first pause is up to a second, too long for an invocation of seconds.
        RetryConfig::standard()
            .with_max_attempts(self.attempts)
            .with_initial_backoff(Duration::from_millis(100))
            .with_max_backoff(Duration::from_secs(1))
    }
}
