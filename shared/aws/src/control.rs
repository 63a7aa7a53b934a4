//! The routes API over its five control endpoints, hedged.
//!
//! `GetMultiRegionAccessPointRoutes` and `SubmitMultiRegionAccessPointRoutes` are served by five
//! Regions only, and any of them will do (S3 user guide, "Amazon S3 Multi-Region Access Points
//! failover controls"). So one that hangs costs a hedge delay, not the failover: the next is
//! asked before it gives up, and the first success wins.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3control::types::MultiRegionAccessPointRoute;
use jiff::Timestamp;
use sentinel_core::names::{Member, Members, MrapArn, Region};
use sentinel_core::routes::{Dial, Route, Routes};
use serde::Serialize;

use crate::edge::Edge;
use crate::failure::{Failure, failure_of};
use crate::hedge::{Ended, Plan, ask_in_turn};
use crate::limits::Purpose;

pub use sentinel_core::routes::CONTROL_ENDPOINTS;

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

impl ControlError {
    /// All tries, in the order in which they began.
    #[must_use]
    pub fn tries(&self) -> &[Try] {
        match self {
            Self::Mismatch { tries, .. }
            | Self::Rejected { tries, .. }
            | Self::AllUnreachable { tries }
            | Self::DeadlinePassed { tries } => tries,
        }
    }
}

impl SubmitError {
    /// All tries, in the order in which they began.
    #[must_use]
    pub fn tries(&self) -> &[Try] {
        match self {
            Self::Conflict { tries }
            | Self::Rejected { tries, .. }
            | Self::AllUnreachable { tries }
            | Self::DeadlinePassed { tries } => tries,
            Self::Unsubmittable(_) => &[],
        }
    }
}

/// The tries in one line, for people.
fn summary(tries: &[Try]) -> String {
    if tries.is_empty() {
        return "nobody was asked".to_owned();
    }
    let parts: Vec<String> = tries
        .iter()
        .map(|one| match &one.outcome {
            TryOutcome::Answered => format!("{} answered", one.endpoint),
            TryOutcome::Abandoned => format!("{} had not answered", one.endpoint),
            TryOutcome::Failed(failure) => format!("{}: {failure}", one.endpoint),
        })
        .collect();
    parts.join("; ")
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
        let (ended, tries) = ask_in_turn(&self.edge, self.plan(avoid, until), |endpoint| {
            let request = self
                .client(&endpoint)
                .get_multi_region_access_point_routes()
                .account_id(self.mrap.account())
                .mrap(self.mrap.as_str());
            async move {
                match request.send().await {
                    Ok(answer) => Ok(answer.routes.unwrap_or_default()),
                    Err(error) => Err(failure_of(&error)),
                }
            }
        })
        .await;
        match ended {
            Ended::Answered { endpoint, answer } => {
                let read: Vec<RawRoute> = answer.into_iter().map(RawRoute::from).collect();
                match routes_of(&self.members, &read) {
                    Ok(routes) => Ok(RoutesRead {
                        routes,
                        endpoint,
                        tries,
                    }),
                    Err(detail) => Err(ControlError::Mismatch {
                        detail,
                        read,
                        endpoint,
                        tries,
                    }),
                }
            }
            Ended::Refused { endpoint, failure } => Err(ControlError::Rejected {
                endpoint,
                failure,
                tries,
            }),
            // Reading conflicts with nobody; whatever the 409 meant, no answer was had.
            Ended::Exhausted | Ended::Conflict => Err(ControlError::AllUnreachable { tries }),
            Ended::TimeUp => Err(ControlError::DeadlinePassed { tries }),
        }
    }

    /// Submits the new dials of `changes` in one call, addressed by bucket.
    ///
    /// Endpoints in `avoid` are asked last. No try begins at or after `until`, and the call
    /// returns by then.
    ///
    /// # Errors
    /// [`SubmitError`]; its tries say whether anything may have been changed all the same.
    pub async fn submit(
        &self,
        changes: &[Route],
        avoid: &BTreeSet<Region>,
        until: Timestamp,
    ) -> Result<Submitted, SubmitError> {
        let updates = updates_of(changes)?;
        let (ended, tries) = ask_in_turn(&self.edge, self.plan(avoid, until), |endpoint| {
            let request = self
                .client(&endpoint)
                .submit_multi_region_access_point_routes()
                .account_id(self.mrap.account())
                .mrap(self.mrap.as_str())
                .set_route_updates(Some(updates.clone()));
            async move {
                match request.send().await {
                    Ok(_) => Ok(()),
                    Err(error) => Err(failure_of(&error)),
                }
            }
        })
        .await;
        match ended {
            Ended::Answered { endpoint, .. } => Ok(Submitted { endpoint, tries }),
            Ended::Conflict => Err(SubmitError::Conflict { tries }),
            Ended::Refused { endpoint, failure } => Err(SubmitError::Rejected {
                endpoint,
                failure,
                tries,
            }),
            Ended::Exhausted => Err(SubmitError::AllUnreachable { tries }),
            Ended::TimeUp => Err(SubmitError::DeadlinePassed { tries }),
        }
    }

    fn client(&self, endpoint: &Region) -> aws_sdk_s3control::Client {
        self.edge
            .s3control(endpoint, Purpose::Control(self.timeouts.try_timeout))
    }

    fn plan(&self, avoid: &BTreeSet<Region>, until: Timestamp) -> Plan {
        Plan {
            order: endpoint_order(self.edge.region(), avoid),
            hedge_delay: self.timeouts.hedge_delay,
            until,
        }
    }
}

/// All five endpoints: the nearest first, those to avoid last.
fn endpoint_order(nearest: &Region, avoid: &BTreeSet<Region>) -> Vec<Region> {
    let mut order: Vec<Region> = CONTROL_ENDPOINTS
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    order.sort_by_key(|endpoint| (avoid.contains(endpoint), endpoint != nearest));
    order
}

/// The updates to submit. They name the bucket only: it identifies a route by itself, and there
/// are reports of the service refusing updates that name the Region.
fn updates_of(changes: &[Route]) -> Result<Vec<MultiRegionAccessPointRoute>, SubmitError> {
    if changes.is_empty() {
        return Err(SubmitError::Unsubmittable("it changes nothing"));
    }
    changes
        .iter()
        .map(|route| match route.dial {
            Dial::Undefined(_) => Err(SubmitError::Unsubmittable("AWS defines only 0 and 100")),
            dial => MultiRegionAccessPointRoute::builder()
                .bucket(route.bucket.as_str())
                .traffic_dial_percentage(dial.into())
                .build()
                .map_err(|_| SubmitError::Unsubmittable("a route lacks its dial")),
        })
        .collect()
}

impl From<MultiRegionAccessPointRoute> for RawRoute {
    fn from(route: MultiRegionAccessPointRoute) -> Self {
        Self {
            bucket: route.bucket,
            region: route.region,
            dial: route.traffic_dial_percentage,
        }
    }
}

/// The members' routes, or how what was read differs from them.
fn routes_of(members: &Members, read: &[RawRoute]) -> Result<Routes, String> {
    let mut routes = Vec::with_capacity(read.len());
    for raw in read {
        let member = member_of(members, raw)?;
        if routes
            .iter()
            .any(|route: &Route| route.region == member.region)
        {
            return Err(format!("{member} has two routes"));
        }
        routes.push(Route {
            bucket: member.bucket.clone(),
            region: member.region.clone(),
            dial: Dial::from(raw.dial),
        });
    }
    if let Some(missing) = members
        .iter()
        .find(|member| !routes.iter().any(|route| route.region == member.region))
    {
        return Err(format!("{missing} has no route"));
    }
    Ok(Routes::from(routes))
}

/// The member that a route leads to, by its bucket or, without one, by its Region.
fn member_of<'a>(members: &'a Members, raw: &RawRoute) -> Result<&'a Member, String> {
    let region = raw.region.as_deref();
    let member = match raw.bucket.as_deref() {
        Some(bucket) => members
            .with_bucket(bucket)
            .ok_or_else(|| format!("a route leads to {bucket}, which is no member"))?,
        None => members
            .iter()
            .find(|member| Some(member.region.as_str()) == region)
            .ok_or_else(|| format!("a route leads to {}", region.unwrap_or("nowhere")))?,
    };
    match region {
        Some(region) if region != member.region.as_str() => Err(format!(
            "the route to {} leads to {region}, configured is {}",
            member.bucket, member.region
        )),
        _ => Ok(member),
    }
}
