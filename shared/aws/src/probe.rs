//! Probes: writing and reading every member's canary straight at its bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ReplicationStatus;
use futures_util::future::{join, join_all};
use jiff::Timestamp;
use sentinel_core::evidence::{Copying, MemberRound, ProbeOutcome, Round};
use sentinel_core::names::{Member, Members, MrapArn, Region};

use crate::edge::Edge;
use crate::failure::{Failure, failure_of, outcome_of, words};
use crate::limits::Purpose;
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
        // The canaries tell their time in milliseconds; the round must not know it better.
        let now = self.edge.now();
        let at = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        let look = Look {
            prober: self,
            round_id,
            at,
            until,
        };
        let observer = look.bounded(self.parts.observer.ping(self.parts.timeout));
        let members = join_all(self.parts.members.iter().map(|member| look.member(member)));
        let (observer, members) = join(observer, members).await;
        let observer = observer.unwrap_or(ProbeOutcome::Deadline);
        Round {
            at,
            observer,
            members,
        }
    }

    /// What S3 says at its origin of the replication of an earlier canary of a member.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be asked.
    pub async fn copying(
        &self,
        member: &Member,
        version: &str,
        until: Timestamp,
    ) -> Result<Copying, Failure> {
        let parts = &self.parts;
        let client = self.edge.s3(&member.region, Purpose::Probe(parts.timeout));
        let request = client
            .head_object()
            .bucket(member.bucket.as_str())
            .key(self.key(&member.region))
            .version_id(version);
        let left = parts.timeout.min(self.edge.left(until));
        match self.edge.within(left, request.send()).await {
            None => Err(Failure::Deadline),
            Some(Ok(answer)) => Ok(match answer.replication_status() {
                // S3 is documented with either spelling.
                Some(ReplicationStatus::Completed | ReplicationStatus::Complete) => {
                    Copying::Completed
                }
                Some(ReplicationStatus::Pending) => Copying::Pending,
                _ => Copying::Lost,
            }),
            Some(Err(error)) => match failure_of(&error) {
                failure if failure.status() == Some(404) => Ok(Copying::Lost),
                failure => Err(failure),
            },
        }
    }

    fn key(&self, region: &Region) -> String {
        canary_key(&self.parts.canary_prefix, &self.parts.mrap, region)
    }
}

/// One round under way.
struct Look<'a> {
    prober: &'a Prober,
    round_id: &'a str,
    at: Timestamp,
    until: Timestamp,
}

/// How reading a canary went, and what it told.
type Sighting = (ProbeOutcome, Option<Found>);

/// A canary that was read.
struct Found {
    /// When it was written at its origin.
    written_at: Option<Timestamp>,
    /// Whether it has a replication status, as everything in the scope of a rule has.
    replicates: bool,
}

/// What looking for another member's canary showed.
enum Glimpse {
    /// It was written at its origin at this time.
    Of(Timestamp),
    /// It may not be read.
    Refused,
    /// It is not there: nothing is, or what is was not written by a probe.
    Absent,
    /// Nobody can tell: there was no answer.
    Nothing,
}

impl Look<'_> {
    /// Writes and reads the member's own canary; meanwhile looks for everybody else's.
    async fn member(&self, member: &Member) -> MemberRound {
        let parts = &self.prober.parts;
        let client = self
            .prober
            .edge
            .s3(&member.region, Purpose::Probe(parts.timeout));
        let own = async {
            let write = self.timed(Box::pin(self.write(&client, member))).await;
            let read = self.timed(Box::pin(self.read(&client, member))).await;
            (write, read)
        };
        let others = join_all(
            parts
                .members
                .regions()
                .filter(|region| *region != &member.region)
                .map(|origin| self.glimpse(&client, member, origin)),
        );
        let ((((write, version), write_millis), ((read, found), read_millis)), others) =
            join(own, others).await;
        let mut seen = BTreeMap::new();
        let mut refused = BTreeSet::new();
        let mut absent = BTreeSet::new();
        for (origin, glimpse) in others {
            match glimpse {
                Glimpse::Of(written_at) => {
                    seen.insert(origin, written_at);
                }
                Glimpse::Refused => {
                    refused.insert(origin);
                }
                Glimpse::Absent => {
                    absent.insert(origin);
                }
                Glimpse::Nothing => {}
            }
        }
        let own_at = found.as_ref().and_then(|found| found.written_at);
        seen.extend(own_at.map(|at| (member.region.clone(), at)));
        MemberRound {
            region: member.region.clone(),
            write,
            read,
            seen,
            refused,
            absent,
            latency_millis: write_millis.max(read_millis),
            replicates: found.map(|found| found.replicates),
            version,
        }
    }

    /// How it went, and the version that S3 made of it.
    async fn write(&self, client: &Client, member: &Member) -> (ProbeOutcome, Option<String>) {
        let written_at = format!("{:.3}", self.at);
        let request = client
            .put_object()
            .bucket(member.bucket.as_str())
            .key(self.prober.key(&member.region))
            .metadata("round", self.round_id)
            .metadata(WRITTEN_AT, &written_at)
            .content_type("text/plain")
            .body(written_at.clone().into_bytes().into());
        let work = async {
            match request.send().await {
                Ok(answer) => (ProbeOutcome::Success, answer.version_id),
                Err(error) => (outcome_of(&error), None),
            }
        };
        self.bounded(work)
            .await
            .unwrap_or((ProbeOutcome::Deadline, None))
    }

    /// With GET rather than HEAD: what an error means stands in its body, and a member that
    /// cannot deliver a body is not healthy.
    async fn read(&self, client: &Client, member: &Member) -> Sighting {
        let request = client
            .get_object()
            .bucket(member.bucket.as_str())
            .key(self.prober.key(&member.region));
        let work = async {
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(error) => return (outcome_of(&error), None),
            };
            let found = Found {
                written_at: written_at(answer.metadata()),
                replicates: answer.replication_status().is_some(),
            };
            match answer.body.collect().await {
                Ok(_) => (ProbeOutcome::Success, Some(found)),
                Err(error) => {
                    let detail = words(&error);
                    (ProbeOutcome::Connection { detail }, None)
                }
            }
        };
        self.bounded(work)
            .await
            .unwrap_or((ProbeOutcome::Deadline, None))
    }

    /// Another member's canary at this one.
    async fn glimpse(
        &self,
        client: &Client,
        member: &Member,
        origin: &Region,
    ) -> (Region, Glimpse) {
        let request = client
            .head_object()
            .bucket(member.bucket.as_str())
            .key(self.prober.key(origin));
        let glimpse = match self.bounded(request.send()).await {
            Some(Ok(answer)) => written_at(answer.metadata()).map_or(Glimpse::Absent, Glimpse::Of),
            // Answers to HEAD have no code: the status tells. Without its key a replica is refused.
            Some(Err(error)) => match failure_of(&error).status() {
                Some(403) => Glimpse::Refused,
                Some(404) => Glimpse::Absent,
                _ => Glimpse::Nothing,
            },
            None => Glimpse::Nothing,
        };
        (origin.clone(), glimpse)
    }

    /// What `work` gives within the time-out of one request and before the round must end.
    async fn bounded<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let edge = &self.prober.edge;
        let limit = self.prober.parts.timeout.min(edge.left(self.until));
        if limit.is_zero() {
            return None;
        }
        edge.within(limit, work).await
    }

    /// What `work` gives, and how many milliseconds it took.
    async fn timed<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let begun = self.prober.edge.now();
        let done = work.await;
        let took = self.prober.edge.now().duration_since(begun).as_millis();
        (done, u64::try_from(took).unwrap_or(0))
    }
}

/// Name of the metadata that tells when a canary was written at its origin: RFC 3339, milliseconds.
const WRITTEN_AT: &str = "written-at";

/// The SDK hands metadata out in this map.
#[expect(
    clippy::disallowed_types,
    reason = "the SDK's type; only looked up, never iterated"
)]
type Metadata = std::collections::HashMap<String, String>;

fn written_at(metadata: Option<&Metadata>) -> Option<Timestamp> {
    metadata?.get(WRITTEN_AT)?.parse().ok()
}
