//! Probes: writing and reading every member's canary straight at its bucket.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sentinel_core::evidence::Round;
use sentinel_core::names::{Members, MrapArn, Region};

use crate::edge::Edge;
use crate::store::Store;

/// The key of a member's canary: `<prefix>/<alias>/<region>`.
#[must_use]
pub fn canary_key(prefix: &str, mrap: &MrapArn, region: &Region) -> String {
    format!("{prefix}/{}/{region}", mrap.alias())
}

/// What a prober is made of.
#[derive(Debug, Clone)]
pub struct ProberParts {
    /// The Multi-Region Access Point whose members are probed.
    pub mrap: MrapArn,
    /// The members.
    pub members: Members,
    /// `CANARY_PREFIX`.
    pub canary_prefix: String,
    /// `PROBE_TIMEOUT_MILLIS`: for each single request.
    pub timeout: Duration,
    /// The state store, whose S3 answers for the observer's own health.
    pub observer: Store,
}

/// Probes all members.
#[derive(Debug, Clone)]
pub struct Prober {
    edge: Arc<Edge>,
    parts: ProberParts,
}

impl Prober {
    /// A prober over these parts.
    #[must_use]
    pub fn new(edge: Arc<Edge>, parts: ProberParts) -> Self {
        Self { edge, parts }
    }

    /// Looks at all members and the observer at once. What has not answered by `until` counts as
    /// not answered in time, so this always returns by then.
    pub async fn round(&self, round_id: &str, until: Timestamp) -> Round {
        todo!("{round_id} {until} {:?} {:?}", self.edge, self.parts)
    }
}
