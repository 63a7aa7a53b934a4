//! What probes saw: outcomes, verdicts, rounds and the evidence that decisions rest on.
//!
//! A *round* is one look at all members at one moment. *Evidence* is what the latest round says
//! together with what must be remembered from earlier ones: since when each member has been as
//! it is, its last successful canary write, and the newest canary of each member that was
//! readable in each other member.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::names::Region;

mod agreed;
mod health;
mod pairs;
mod serving;

pub use health::{RoundRules, Run};
pub use pairs::{Copying, Lag, PairEvidence, PairMetrics, TrackedCanary};
pub use serving::ServingEvidence;

/// How one request of a probe ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum ProbeOutcome {
    /// Answered with a success in time.
    Success,
    /// DNS, connect or TLS failed, or the connection broke: no answer was had.
    Connection {
        /// What the client said.
        detail: String,
    },
    /// No complete answer before the probe's deadline.
    Deadline,
    /// S3 answered with an error.
    Status {
        /// HTTP status code.
        status: u16,
        /// S3 error code, if the answer had one.
        code: Option<String>,
    },
    /// The observer's own credentials could not be had, so nothing was asked.
    NoCredentials {
        /// What the client said.
        detail: String,
    },
}

/// What a probe says about a member, by the table of probe verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Success in time.
    Good,
    /// Unreachable or failing: a reason to move away.
    Bad,
    /// 503 `SlowDown` or 429: says nothing about a source, disqualifies a target.
    Throttled,
    /// 403, KMS errors, `NoSuchBucket`, other 4xx: a page, never a reason to move.
    Misconfigured,
    /// Clock skew or no credentials: says nothing about the member.
    ObserverSick,
    /// Never probed, or what was probed says nothing.
    Unknown,
}

impl Verdict {
    /// Whether traffic may be sent to a member of which this is said.
    #[must_use]
    pub fn is_healthy_target(self) -> bool {
        self == Self::Good
    }

    /// The verdict as printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Throttled => "throttled",
            Self::Misconfigured => "misconfigured",
            Self::ObserverSick => "observer sick",
            Self::Unknown => "unknown",
        }
    }
}

impl ProbeOutcome {
    /// The verdict of the table of probe verdicts.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Success => Verdict::Good,
            Self::Connection { .. } | Self::Deadline => Verdict::Bad,
            Self::NoCredentials { .. } => Verdict::ObserverSick,
            Self::Status { status, code } => match (*status, code.as_deref()) {
                (
                    _,
                    Some(
                        "RequestTimeTooSkewed"
                        | "ExpiredToken"
                        | "ExpiredTokenException"
                        | "InvalidToken"
                        | "InvalidAccessKeyId"
                        | "SignatureDoesNotMatch"
                        | "RequestExpired",
                    ),
                ) => Verdict::ObserverSick,
                (429, _) | (_, Some("SlowDown" | "TooManyRequestsException" | "Throttling")) => {
                    Verdict::Throttled
                }
                (_, Some(code)) if code.starts_with("KMS.") => Verdict::Misconfigured,
                // What S3 does not do or does not understand is our request's fault.
                (501 | 505, _) => Verdict::Misconfigured,
                (500..=599, _) => Verdict::Bad,
                _ => Verdict::Misconfigured,
            },
        }
    }

    /// Whether no answer was had at all: such failures of every member at once discredit the observer.
    #[must_use]
    pub fn is_connection_level(&self) -> bool {
        matches!(self, Self::Connection { .. } | Self::Deadline)
    }
}

impl std::fmt::Display for ProbeOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Success => f.write_str("answers"),
            Self::Connection { detail } => write!(f, "no connection ({detail})"),
            Self::Deadline => f.write_str("no answer in time"),
            Self::Status {
                status,
                code: Some(code),
            } => write!(f, "HTTP {status} {code}"),
            Self::Status { status, code: None } => write!(f, "HTTP {status}"),
            Self::NoCredentials { detail } => write!(f, "no credentials ({detail})"),
        }
    }
}

/// One member as one round saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRound {
    /// The member's Region.
    pub region: Region,
    /// How writing the member's own canary went.
    pub write: ProbeOutcome,
    /// How reading the member's own canary went.
    pub read: ProbeOutcome,
    /// For every member whose canary was readable here: the time at which it was written at its origin.
    pub seen: BTreeMap<Region, Timestamp>,
    /// Members whose canary may not be read here (403), so that nobody can tell whether it arrived.
    pub refused: BTreeSet<Region>,
    /// Members whose canary is not here: nothing is under its key (404), or nothing that a probe
    /// wrote. A request that got no answer says nothing of the kind.
    pub absent: BTreeSet<Region>,
    /// The slower of write and read, in milliseconds.
    pub latency_millis: u64,
    /// Whether S3 says that the member's own canary is subject to replication: what is in the scope
    /// of a rule has a replication status. Nothing if the canary could not be read.
    pub replicates: Option<bool>,
    /// The version that S3 made of the member's own canary, if writing it succeeded.
    pub version: Option<String>,
}

/// One look at all members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// When the round began; the canaries written in it carry this time.
    pub at: Timestamp,
    /// How S3 of the observer's own Region answered: the observer's health.
    pub observer: ProbeOutcome,
    /// The members, in order of preference.
    pub members: Vec<MemberRound>,
}

/// One member as the evidence describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberEvidence {
    /// The member's Region.
    pub region: Region,
    /// What the latest round says of it.
    pub verdict: Verdict,
    /// The verdict's reason, for people.
    pub detail: String,
    /// Since when every round has given this verdict.
    pub since: Timestamp,
    /// The last successful canary write: the origin's side of the exposure, frozen while the member is bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_write: Option<Timestamp>,
    /// Per member, the origin time of its newest canary that was readable here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<Region, Timestamp>,
    /// The members whose canaries no rule brings here, each with the origin time of the copy that is
    /// here of a time when one did. Such a copy bounds nothing, so it does not stand in `seen`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub out_of_scope: BTreeMap<Region, Option<Timestamp>>,
    /// Those of `out_of_scope` whose canaries a rule does bring somewhere, only not here. That they
    /// have a replication status then says nothing of this member.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub passed_over: BTreeSet<Region>,
    /// A canary of this member that is followed because one was waited for too long somewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracked: Option<TrackedCanary>,
    /// How long the latest round of the health check took here, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_millis: Option<u64>,
    /// Rounds of the health check in a row that found the member bad; 0 in evidence of anybody else.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bad_rounds: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Whether the observer's own view can be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Observer {
    /// Its own Region's S3 answers and it reaches somebody.
    Well,
    /// It cannot be believed.
    Sick {
        /// Why.
        reason: String,
    },
}

/// The latest health snapshot of all members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Version of this document's form: 1.
    pub schema: u32,
    /// When the latest round was made.
    pub observed_at: Timestamp,
    /// Whether the observer can be believed.
    pub observer: Observer,
    /// From how many Regions the members were looked at.
    pub vantage_points: u8,
    /// The members, in order of preference.
    pub members: Vec<MemberEvidence>,
    /// The run of the health check that made the round; none if the failover function probed itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// Replication of every ordered pair of members, as the health check sees it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PairEvidence>,
    /// Which Regions the access point really sends requests to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<ServingEvidence>,
    /// When the health check last let the alarm of the self-test fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_test_at: Option<Timestamp>,
}

/// Clocks of two hosts may differ by so much.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Version of the evidence document that this code writes and understands.
pub const EVIDENCE_SCHEMA: u32 = 1;

impl Evidence {
    /// What a new round says, given what was known before.
    ///
    /// A verdict's `since` survives only rounds that follow one another within `gap`: after a
    /// longer silence, or while the observer was sick, nobody knows what happened in between, so
    /// the run begins anew.
    #[must_use]
    pub fn after(previous: Option<&Self>, round: &Round, gap: SignedDuration) -> Self {
        let observer = observer_of(round);
        let continuous = previous.is_some_and(|evidence| evidence.goes_on_until(round.at, gap));
        let members = round
            .members
            .iter()
            .map(|seen_now| {
                let before = previous.and_then(|evidence| evidence.member(&seen_now.region));
                let (verdict, detail) = verdict_of(seen_now);
                let out_of_scope = still_out_of_scope(before, seen_now, round);
                let mut seen = before.map(|b| b.seen.clone()).unwrap_or_default();
                for (origin, at) in &seen_now.seen {
                    let newest = seen.entry(origin.clone()).or_insert(*at);
                    *newest = (*newest).max(*at);
                }
                seen.retain(|origin, _| !out_of_scope.contains_key(origin));
                MemberEvidence {
                    region: seen_now.region.clone(),
                    verdict,
                    detail,
                    since: before
                        .filter(|b| continuous && b.verdict == verdict)
                        .map_or(round.at, |b| b.since),
                    last_write: if seen_now.write == ProbeOutcome::Success
                        && verdict != Verdict::Bad
                    {
                        Some(round.at)
                    } else {
                        before.and_then(|b| b.last_write)
                    },
                    seen,
                    passed_over: passed_over(before, &out_of_scope),
                    out_of_scope,
                    tracked: None,
                    latency_millis: None,
                    bad_rounds: 0,
                }
            })
            .collect();
        Self {
            schema: EVIDENCE_SCHEMA,
            observed_at: round.at,
            observer,
            vantage_points: 1,
            members,
            run: None,
            pairs: Vec::new(),
            serving: None,
            self_test_at: None,
        }
    }

    /// Whether a round at that moment goes on with this one: neither a silence nor a sick observer
    /// lies between them.
    fn goes_on_until(&self, at: Timestamp, gap: SignedDuration) -> bool {
        self.observer == Observer::Well && at.duration_since(self.observed_at) <= gap
    }

    /// Whether it may be decided on: not older than this, and not of a future that a wrong clock
    /// told of.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp, max_age: SignedDuration) -> bool {
        now.duration_since(self.observed_at) <= max_age && !self.is_of_the_future(now)
    }

    /// Whether it is the other one that is to be decided on: it is newer, and believable.
    #[must_use]
    pub fn yields_to(&self, other: &Self, now: Timestamp, max_age: SignedDuration) -> bool {
        other.observed_at > self.observed_at && other.is_fresh(now, max_age)
    }

    /// Whether the clock of whoever wrote it, or ours, is wrong by more than a minute.
    #[must_use]
    pub fn is_of_the_future(&self, now: Timestamp) -> bool {
        let started = self.run.as_ref().map(|run| run.started_at);
        let latest = started.map_or(self.observed_at, |started| started.max(self.observed_at));
        latest.duration_since(now) > CLOCK_SKEW
    }

    /// The same without the pairs, for a document that is written often.
    #[must_use]
    pub fn without_pairs(&self) -> Self {
        Self {
            pairs: Vec::new(),
            ..self.clone()
        }
    }

    /// What is known of the member in this Region.
    #[must_use]
    pub fn member(&self, region: &Region) -> Option<&MemberEvidence> {
        self.members.iter().find(|member| &member.region == region)
    }

    /// The verdict on this member; a sick observer knows nothing of anybody.
    #[must_use]
    pub fn verdict(&self, region: &Region) -> Verdict {
        match self.observer {
            Observer::Sick { .. } => Verdict::ObserverSick,
            Observer::Well => self
                .member(region)
                .map_or(Verdict::Unknown, |member| member.verdict),
        }
    }

    /// How much of `source`'s last writes may be missing on `target`: the time between the last
    /// successful canary write at the source and the origin time of its newest canary readable
    /// at the target. A lower bound (S3 promises no order), `None` when never measured.
    ///
    /// It cannot grow while the source is down: the last write stands still.
    #[must_use]
    pub fn exposure(&self, source: &Region, target: &Region) -> Option<SignedDuration> {
        let last_write = self.member(source)?.last_write?;
        let arrived = *self.member(target)?.seen.get(source)?;
        Some(last_write.duration_since(arrived).max(SignedDuration::ZERO))
    }
}

/// The members whose canaries still come here by no rule: until a newer one has come, or S3 says at
/// the source that they are replicated where it did not before. That their source cannot be asked
/// just now changes nothing.
fn still_out_of_scope(
    before: Option<&MemberEvidence>,
    here: &MemberRound,
    round: &Round,
) -> BTreeMap<Region, Option<Timestamp>> {
    let is_passed_over =
        |origin: &Region| before.is_some_and(|before| before.passed_over.contains(origin));
    let is_covered = |origin: &Region| {
        let mut members = round.members.iter();
        members.any(|member| &member.region == origin && member.replicates == Some(true))
    };
    let mut out_of_scope = before.map(|b| b.out_of_scope.clone()).unwrap_or_default();
    out_of_scope.retain(|origin, left| {
        let newest = here.seen.get(origin).copied();
        newest <= *left && (is_passed_over(origin) || !is_covered(origin))
    });
    out_of_scope
}

/// Those of the members out of scope that a rule brings somewhere else.
fn passed_over(
    before: Option<&MemberEvidence>,
    out_of_scope: &BTreeMap<Region, Option<Timestamp>>,
) -> BTreeSet<Region> {
    let mut passed_over = before.map(|b| b.passed_over.clone()).unwrap_or_default();
    passed_over.retain(|origin| out_of_scope.contains_key(origin));
    passed_over
}

/// The verdict of one member's write and read together: the worse one speaks.
fn verdict_of(round: &MemberRound) -> (Verdict, String) {
    let (write, read) = (round.write.verdict(), round.read.verdict());
    let (verdict, what, outcome) = match (write, read) {
        (Verdict::Good, Verdict::Good) => {
            return (
                Verdict::Good,
                format!("canary written and read in {} ms", round.latency_millis),
            );
        }
        // A failure that is the Region's outranks what is ours to fix.
        (Verdict::Bad, _) => (write, "canary write", &round.write),
        (_, Verdict::Bad) | (Verdict::Good, _) => (read, "canary read", &round.read),
        _ => (write, "canary write", &round.write),
    };
    (verdict, format!("{what}: {outcome}"))
}

/// The observer is sick only if its own Region's S3 fails, if every member fails at connection
/// level in the same round, or on credential or clock errors.
fn observer_of(round: &Round) -> Observer {
    let sick = |reason: String| Observer::Sick { reason };
    if round.observer.verdict() == Verdict::ObserverSick {
        return sick(format!("own credentials or clock: {}", round.observer));
    }
    if round.observer.verdict() == Verdict::Bad {
        return sick(format!(
            "S3 of the observer's own Region: {}",
            round.observer
        ));
    }
    if let Some(member) = round.members.iter().find(|member| {
        member.write.verdict() == Verdict::ObserverSick
            || member.read.verdict() == Verdict::ObserverSick
    }) {
        let outcome = if member.write.verdict() == Verdict::ObserverSick {
            &member.write
        } else {
            &member.read
        };
        return sick(format!(
            "own credentials or clock: {outcome} from {}",
            member.region
        ));
    }
    if !round.members.is_empty()
        && round
            .members
            .iter()
            .all(|member| member.write.is_connection_level() && member.read.is_connection_level())
    {
        return sick("no member could be reached at all in one round".to_owned());
    }
    Observer::Well
}
