//! The data-plane proof: which member the Multi-Region Access Point sends requests to.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use aws_sdk_s3::types::ReplicationStatus;
use futures_util::future::join_all;
use jiff::Timestamp;
use sentinel_core::names::{Members, MrapArn, Region};

use crate::edge::Edge;
use crate::failure::{Failure, failure_of};
use crate::limits::Purpose;
use crate::probe::canary_key;

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
        let client = self.edge.s3_fresh(self.edge.region(), Purpose::Proof);
        let answers = join_all(
            self.members
                .regions()
                .map(|region| self.ask(&client, region, until)),
        )
        .await;
        let originals: BTreeSet<Region> = answers
            .iter()
            .filter(|(_, answer)| matches!(answer, Answer::Original(_)))
            .map(|(region, _)| region.clone())
            .collect();
        let per_key: Vec<(Region, String)> = answers
            .into_iter()
            .map(|(region, answer)| (region, answer.to_string()))
            .collect();
        ServingReport {
            serving: conclude(originals, &per_key),
            per_key,
        }
    }

    async fn ask(
        &self,
        client: &aws_sdk_s3::Client,
        region: &Region,
        until: Timestamp,
    ) -> (Region, Answer) {
        let request = client
            .head_object()
            .bucket(self.mrap.as_str())
            .key(canary_key(&self.canary_prefix, &self.mrap, region));
        let answer = match self
            .edge
            .within(self.edge.left(until), request.send())
            .await
        {
            None => Answer::Failed(Failure::Deadline),
            Some(Err(error)) => Answer::Failed(failure_of(&error)),
            Some(Ok(found)) => match found.replication_status() {
                Some(ReplicationStatus::Replica) => Answer::Replica,
                other => Answer::Original(other.map(|status| status.as_str().to_owned())),
            },
        };
        (region.clone(), answer)
    }
}

/// How one member's canary key answered through the access point.
enum Answer {
    /// With the object as it was written there, and its replication status if any.
    Original(Option<String>),
    /// With a copy.
    Replica,
    /// Not with an object.
    Failed(Failure),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Original(Some(status)) => write!(f, "original ({status})"),
            Self::Original(None) => f.write_str("original"),
            Self::Replica => f.write_str("replica"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

fn conclude(originals: BTreeSet<Region>, per_key: &[(Region, String)]) -> Serving {
    if originals.len() > 1 {
        return Serving::Several(originals);
    }
    if let Some(region) = originals.into_iter().next() {
        return Serving::Member(region);
    }
    let answers: Vec<String> = per_key
        .iter()
        .map(|(region, answer)| format!("{region}: {answer}"))
        .collect();
    Serving::None {
        detail: format!("no canary answered as an original ({})", answers.join("; ")),
    }
}
