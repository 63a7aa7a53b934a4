//! The data-plane proof: which member the Multi-Region Access Point sends requests to.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use sentinel_core::names::{Members, MrapArn, Region};

use crate::edge::Edge;

/// Which member served requests through the Multi-Region Access Point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serving {
    /// Exactly one did.
    Member(Region),
    /// None could be recognised: unknown.
    None {
        /// Why not.
        detail: String,
    },
    /// Several did, each for another request: active-active, or a change that is still spreading.
    Several(BTreeSet<Region>),
}

/// What the proof saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingReport {
    /// The conclusion.
    pub serving: Serving,
    /// Per member, in order of preference, how its canary key answered: for people.
    pub per_key: Vec<(Region, String)>,
}

/// Asks the data plane.
#[derive(Debug, Clone)]
pub struct Proof {
    edge: Arc<Edge>,
    mrap: MrapArn,
    members: Members,
    canary_prefix: String,
}

impl Proof {
    /// The proof over the members' canaries.
    #[must_use]
    pub fn new(edge: Arc<Edge>, mrap: MrapArn, members: Members, canary_prefix: String) -> Self {
        Self {
            edge,
            mrap,
            members,
            canary_prefix,
        }
    }

    /// Asks for every member's canary through the Multi-Region Access Point over fresh
    /// connections. Where the request arrives, only that member's own canary is an original; all
    /// others are replicas. Returns by `until`.
    pub async fn serving(&self, until: Timestamp) -> ServingReport {
        todo!(
            "{until} {:?} {} {} {}",
            self.edge,
            self.mrap,
            self.members,
            self.canary_prefix
        )
    }
}
