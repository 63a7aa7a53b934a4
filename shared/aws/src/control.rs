//! The routes API over its five control endpoints, hedged.
//!
//! `GetMultiRegionAccessPointRoutes` and `SubmitMultiRegionAccessPointRoutes` are served by five
//! Regions only, and any of them will do (S3 user guide, "Amazon S3 Multi-Region Access Points
//! failover controls"). So one that hangs costs a hedge delay, not the failover: the next is
//! asked before it gives up, and the first success wins.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sentinel_core::names::{Members, MrapArn, Region};
use sentinel_core::routes::{Route, Routes};
use serde::Serialize;

use crate::edge::Edge;
use crate::failure::Failure;

/// The Regions that serve the routes API, in the order in which they are asked.
pub const CONTROL_ENDPOINTS: [&str; 5] = [
    "us-east-1",
    "us-west-2",
    "eu-west-1",
    "ap-northeast-1",
    "ap-southeast-2",
];

/// How long to wait for control endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlTimeouts {
    /// For one try.
    pub try_timeout: Duration,
    /// After a try began and has not answered, before the next one begins beside it.
    pub hedge_delay: Duration,
}

/// The routes API of one Multi-Region Access Point.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    edge: Arc<Edge>,
    mrap: MrapArn,
    members: Members,
    timeouts: ControlTimeouts,
}

/// One try at one control endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Try {
    /// The endpoint's Region.
    pub endpoint: Region,
    /// When the try began.
    pub started_at: Timestamp,
    /// When its outcome was known or it was abandoned.
    pub ended_at: Timestamp,
    /// What came of it.
    pub outcome: TryOutcome,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum TryOutcome {
    /// It was answered with a success.
    Answered,
    /// It was dropped without an answer because another had won or time was up.
    Abandoned,
    /// It failed.
    Failed(Failure),
}

impl Try {
    /// Whether the endpoint may still act on this try, or may have acted unseen.
    #[must_use]
    pub fn may_land_late(&self) -> bool {
        match &self.outcome {
            TryOutcome::Answered => false,
            TryOutcome::Abandoned => true,
            TryOutcome::Failed(failure) => failure.is_ambiguous(),
        }
    }
}

/// The routes as an endpoint told them. They are what was last submitted, not yet what the data
/// plane does: that follows within about two minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutesRead {
    /// The routes.
    pub routes: Routes,
    /// The endpoint that answered.
    pub endpoint: Region,
    /// All tries, in the order in which they began.
    pub tries: Vec<Try>,
}

/// A change of routes that an endpoint accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The endpoint that answered.
    pub endpoint: Region,
    /// All tries, in the order in which they began; those that [`Try::may_land_late`] may do so.
    pub tries: Vec<Try>,
}

/// A route as it stands in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RawRoute {
    /// The bucket, if told.
    pub bucket: Option<String>,
    /// The Region, if told.
    pub region: Option<String>,
    /// The dial. The SDK gives 0 for a route without one, which cannot be told apart from passive.
    pub dial: i32,
}

/// Why the routes could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The routes are not those of the configured members: drift.
    #[error("the routes are not those of the configured members: {detail}")]
    Mismatch {
        /// What differs.
        detail: String,
        /// The routes as told.
        read: Vec<RawRoute>,
        /// The endpoint that answered.
        endpoint: Region,
        /// All tries.
        tries: Vec<Try>,
    },
    /// An endpoint refused: 400, 403, 404, 405. Repeating it will not help.
    #[error("{endpoint} refused: {failure}")]
    Rejected {
        /// The endpoint that answered.
        endpoint: Region,
        /// Status, code and message.
        failure: Failure,
        /// All tries.
        tries: Vec<Try>,
    },
    /// No endpoint gave a usable answer.
    #[error("no control endpoint could be used: {}", summary(tries))]
    AllUnreachable {
        /// All tries.
        tries: Vec<Try>,
    },
    /// Time was up before an endpoint answered.
    #[error("no control endpoint answered in time: {}", summary(tries))]
    DeadlinePassed {
        /// All tries; none if time was up before the first.
        tries: Vec<Try>,
    },
}

/// Why a change of routes was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// 409: another change was under way and came first. It may have been one of our own tries
    /// whose answer was lost: read the routes to know. No other try of this call succeeded.
    #[error("another change of the routes came first")]
    Conflict {
        /// All tries.
        tries: Vec<Try>,
    },
    /// An endpoint refused: 400, 403, 404, 405. A bug or drift: stop and page.
    #[error("{endpoint} refused: {failure}")]
    Rejected {
        /// The endpoint that answered.
        endpoint: Region,
        /// Status, code and message.
        failure: Failure,
        /// All tries.
        tries: Vec<Try>,
    },
    /// No endpoint gave a usable answer; some tries may land late.
    #[error("no control endpoint could be used: {}", summary(tries))]
    AllUnreachable {
        /// All tries.
        tries: Vec<Try>,
    },
    /// Time was up before an endpoint answered; some tries may land late.
    #[error("no control endpoint answered in time: {}", summary(tries))]
    DeadlinePassed {
        /// All tries; none if time was up before the first.
        tries: Vec<Try>,
    },
    /// The change is none that may be submitted; nothing was sent.
    #[error("not a change that may be submitted: {0}")]
    Unsubmittable(&'static str),
}

fn summary(tries: &[Try]) -> String {
    todo!("{}", tries.len())
}

impl ControlPlane {
    /// The routes API of `mrap`, whose buckets are `members`.
    #[must_use]
    pub fn new(
        edge: Arc<Edge>,
        mrap: MrapArn,
        members: Members,
        timeouts: ControlTimeouts,
    ) -> Self {
        Self {
            edge,
            mrap,
            members,
            timeouts,
        }
    }

    /// Reads the routes. Endpoints in `avoid` are asked last.
    ///
    /// # Errors
    /// [`ControlError`]; it returns by `until` in any case.
    pub async fn routes(
        &self,
        avoid: &BTreeSet<Region>,
        until: Timestamp,
    ) -> Result<RoutesRead, ControlError> {
        todo!("{avoid:?} {until}")
    }

    /// Submits the new dials of `changes` in one call, addressed by bucket.
    ///
    /// Endpoints in `avoid` are asked last. No try begins at or after `until`, and the call
    /// returns by then.
    ///
    /// # Errors
    /// [`SubmitError`] says whether anything may have been changed all the same.
    pub async fn submit(
        &self,
        changes: &[Route],
        avoid: &BTreeSet<Region>,
        until: Timestamp,
    ) -> Result<Submitted, SubmitError> {
        todo!("{changes:?} {avoid:?} {until}")
    }
}
