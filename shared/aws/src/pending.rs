//! What replication still had to copy: the pending metrics of one ordered pair of members.

use std::sync::Arc;

use jiff::Timestamp;
use sentinel_core::names::Member;

use crate::edge::Edge;
use crate::failure::Failure;

/// What waited to be replicated, all rules of the pair together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Object operations.
    pub operations: u64,
    /// Bytes.
    pub bytes: u64,
    /// The minute for which S3 said so; with several rules the oldest of theirs.
    pub at: Timestamp,
}

/// Why the pending metrics could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pending replication metrics of {source_bucket} could not be read: {failure}")]
pub struct PendingError {
    /// The source bucket.
    pub source_bucket: String,
    /// How the request failed.
    pub failure: Failure,
}

/// Reads replication metrics.
#[derive(Debug, Clone)]
pub struct PendingMetrics {
    edge: Arc<Edge>,
}

impl PendingMetrics {
    /// Over this edge.
    #[must_use]
    pub fn new(edge: Arc<Edge>) -> Self {
        Self { edge }
    }

    /// The last values at or before `at`, `None` if there were none in the quarter of an hour
    /// before it. Returns by `until`.
    ///
    /// # Errors
    /// [`PendingError`] if CloudWatch of the target's Region, which holds these metrics, does not tell.
    pub async fn pending(
        &self,
        source: &Member,
        target: &Member,
        at: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Pending>, PendingError> {
        todo!("{source} {target} {at} {until} {:?}", self.edge)
    }
}
