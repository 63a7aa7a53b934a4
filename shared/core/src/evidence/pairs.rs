//! Replication of every ordered pair of members, told by the canaries.
//!
//! A member's canary is one key that every round overwrites, so a destination shows the newest one
//! that arrived. Whether that is the one of the latest round says how far behind it is: canaries
//! written after it have not arrived, and the oldest of them is the lag's lower bound.
//!
//! Waiting must not be endless where no rule brings the canaries. S3 has one replication status for
//! all destinations of an object: without any there is no rule at all, and with `COMPLETED` every
//! destination that a rule names has it, so whoever has nothing as new is no destination. The newest
//! canary is too young to be completed, so an older version is followed ([`TrackedCanary`]), and only
//! once one has been waited for too long.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Evidence, MemberRound, Round, Verdict};
use crate::names::Region;

/// How long replication takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "state",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Lag {
    /// The newest canary that can be told apart arrived within this time; an upper bound.
    Arrived {
        /// From its writing to the round that saw it.
        within_seconds: u64,
    },
    /// A canary has not arrived; a lower bound.
    Waiting {
        /// The age of the oldest one known not to have arrived.
        older_than_seconds: u64,
    },
    /// Nobody can tell.
    Unknown {
        /// Why.
        reason: String,
    },
}

impl std::fmt::Display for Lag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Arrived { within_seconds } => write!(f, "within {within_seconds} s"),
            Self::Waiting { older_than_seconds } => write!(f, "older than {older_than_seconds} s"),
            Self::Unknown { reason } => write!(f, "unknown ({reason})"),
        }
    }
}

/// A canary whose replication is followed, by its version: its key is overwritten every round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackedCanary {
    /// The version that S3 made of it.
    pub version: String,
    /// When it was written.
    pub written_at: Timestamp,
    /// Whether S3 has said that every destination has it.
    #[serde(default)]
    pub completed: bool,
}

/// What S3 says of a canary's replication, all destinations together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copying {
    /// Every destination that a rule names has it.
    Completed,
    /// One of them does not have it yet, as while its Region is down.
    Pending,
    /// It failed for one of them, or is gone: of the others nothing can be told.
    Lost,
}

/// `CloudWatch`'s own replication metrics of a pair, all rules together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PairMetrics {
    /// Operations that wait, by the destination's Region.
    pub pending_operations: Option<u64>,
    /// Bytes that wait, by the destination's Region.
    pub pending_bytes: Option<u64>,
    /// The longest replication of the latest minute in seconds, by the destination's Region.
    pub latency_seconds: Option<u64>,
    /// Operations that failed in the last quarter of an hour, by the source's Region.
    pub failed_operations: Option<u64>,
    /// The oldest minute that any of them speaks of.
    pub at: Option<Timestamp>,
}

/// Replication from one member to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PairEvidence {
    /// Where it is written.
    pub source: Region,
    /// Where it should arrive.
    pub destination: Region,
    /// How much of the source's last writes may be missing, see [`Evidence::exposure`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure_seconds: Option<u64>,
    /// How long replication takes.
    pub lag: Lag,
    /// When the oldest canary known not to have arrived was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Timestamp>,
    /// See [`PairMetrics::pending_operations`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_operations: Option<u64>,
    /// See [`PairMetrics::pending_bytes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_bytes: Option<u64>,
    /// See [`PairMetrics::latency_seconds`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_seconds: Option<u64>,
    /// See [`PairMetrics::failed_operations`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_operations: Option<u64>,
    /// See [`PairMetrics::at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_at: Option<Timestamp>,
}

impl Evidence {
    /// What is known of replication from one member to another.
    #[must_use]
    pub fn pair(&self, source: &Region, destination: &Region) -> Option<&PairEvidence> {
        self.pairs
            .iter()
            .find(|pair| &pair.source == source && &pair.destination == destination)
    }

    /// Puts in what `CloudWatch` told of a pair; nothing of it is kept from before.
    pub fn measured(&mut self, source: &Region, destination: &Region, metrics: &PairMetrics) {
        let mut pairs = self.pairs.iter_mut();
        if let Some(pair) =
            pairs.find(|pair| &pair.source == source && &pair.destination == destination)
        {
            pair.pending_operations = metrics.pending_operations;
            pair.pending_bytes = metrics.pending_bytes;
            pair.latency_seconds = metrics.latency_seconds;
            pair.failed_operations = metrics.failed_operations;
            pair.metrics_at = metrics.at;
        }
    }

    /// Puts in what S3 said of a canary that is followed; of one that no longer is, nothing is kept.
    pub fn followed(&mut self, source: &Region, version: &str, copying: Copying) {
        let mut members = self.members.iter_mut();
        let Some(member) = members.find(|member| &member.region == source) else {
            return;
        };
        let tracked = member.tracked.as_mut();
        let Some(tracked) = tracked.filter(|tracked| tracked.version == version) else {
            return;
        };
        match copying {
            Copying::Completed => tracked.completed = true,
            Copying::Pending => {}
            // The next round follows a younger one.
            Copying::Lost => member.tracked = None,
        }
    }
}

/// Whole seconds, never negative.
fn seconds(duration: SignedDuration) -> u64 {
    u64::try_from(duration.as_secs()).unwrap_or(0)
}

/// Puts the pairs into evidence that was just made of this round.
pub(super) fn tell(
    evidence: &mut Evidence,
    previous: Option<&Evidence>,
    round: &Round,
    max_lag: SignedDuration,
) {
    let regions: Vec<Region> = evidence
        .members
        .iter()
        .map(|member| member.region.clone())
        .collect();
    let limit = max_lag.saturating_mul(2);
    let mut pairs = Vec::new();
    for source in &regions {
        // Of each destination that has waited too long, the newest canary that is there.
        let mut late = Vec::new();
        for destination in regions.iter().filter(|region| *region != source) {
            let look = Look {
                source,
                destination,
                previous,
                round,
                limit,
            };
            let (lag, waiting_since) = look.lag(evidence);
            if look.is_late(waiting_since) {
                late.push(look.arrived(evidence));
            }
            if let Told::OutOfScope(why) = lag
                && let Some(member) = evidence
                    .members
                    .iter_mut()
                    .find(|member| &member.region == destination)
            {
                // The copy that is there is of a time when a rule covered it. Kept, it would make an
                // exposure that grows without an end.
                let left = member.seen.remove(source);
                member.out_of_scope.entry(source.clone()).or_insert(left);
                if why == Uncovered::Here {
                    member.passed_over.insert(source.clone());
                }
            }
            let before = previous.and_then(|previous| previous.pair(source, destination));
            pairs.push(PairEvidence {
                source: source.clone(),
                destination: destination.clone(),
                exposure_seconds: evidence.exposure(source, destination).map(seconds),
                lag: look.said(lag),
                waiting_since,
                pending_operations: before.and_then(|before| before.pending_operations),
                pending_bytes: before.and_then(|before| before.pending_bytes),
                latency_seconds: before.and_then(|before| before.latency_seconds),
                failed_operations: before.and_then(|before| before.failed_operations),
                metrics_at: before.and_then(|before| before.metrics_at),
            });
        }
        let tracked = track(source, &late, previous, round);
        let mut members = evidence.members.iter_mut();
        if let Some(member) = members.find(|member| &member.region == source) {
            member.tracked = tracked;
        }
    }
    evidence.pairs = pairs;
}

/// Which canary of the source is followed: the one that was, as long as it can tell something of every
/// destination that is late, else this round's. Whom the former can tell of was judged by it already.
fn track(
    source: &Region,
    late: &[Option<Timestamp>],
    previous: Option<&Evidence>,
    round: &Round,
) -> Option<TrackedCanary> {
    if late.is_empty() {
        return None;
    }
    let before = previous.and_then(|previous| previous.member(source)?.tracked.clone());
    let tells = |tracked: &TrackedCanary| {
        !tracked.completed || late.iter().all(|newest| *newest < Some(tracked.written_at))
    };
    before.filter(tells).or_else(|| {
        let mut members = round.members.iter();
        let now = members.find(|member| &member.region == source)?;
        Some(TrackedCanary {
            version: now.version.clone()?,
            written_at: round.at,
            completed: false,
        })
    })
}

/// A lag, or why no rule brings the canaries.
enum Told {
    Lag(Lag),
    OutOfScope(Uncovered),
}

/// How far the rules of a source leave its canaries out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Uncovered {
    /// No rule covers them at all.
    Everywhere,
    /// None brings them to this destination.
    Here,
}

/// One pair in one round.
struct Look<'a> {
    source: &'a Region,
    destination: &'a Region,
    previous: Option<&'a Evidence>,
    round: &'a Round,
    /// When a canary that did not arrive was waited for long enough.
    limit: SignedDuration,
}

impl Look<'_> {
    /// The lag, and since when the oldest canary that did not arrive waits.
    fn lag(&self, evidence: &Evidence) -> (Told, Option<Timestamp>) {
        let written = |evidence: &Evidence| evidence.member(self.source)?.last_write;
        let before = self
            .previous
            .and_then(|previous| previous.pair(self.source, self.destination));
        let newest = self.arrived(evidence);
        if let Some(there) = evidence.member(self.destination)
            && there.out_of_scope.contains_key(self.source)
        {
            let why = if there.passed_over.contains(self.source) {
                Uncovered::Here
            } else {
                Uncovered::Everywhere
            };
            return (Told::OutOfScope(why), None);
        }
        let known = [
            before.and_then(|before| before.waiting_since),
            self.previous.and_then(written),
            written(evidence),
        ];
        let waiting_since = known
            .into_iter()
            .flatten()
            .filter(|at| newest.is_none_or(|newest| *at > newest))
            .min();
        let age = waiting_since.map(|at| self.round.at.duration_since(at));
        if self.is_late(waiting_since) {
            if self.is_out_of_scope(evidence) {
                return (Told::OutOfScope(Uncovered::Everywhere), None);
            }
            if self.is_passed_over(evidence, newest) {
                return (Told::OutOfScope(Uncovered::Here), None);
            }
        }
        let newest_before = self.previous.and_then(|previous| {
            let there = previous.member(self.destination)?;
            let left = there.out_of_scope.get(self.source).copied().flatten();
            self.arrived(previous).or(left)
        });
        let lag = self.lag_of(evidence, newest, age, newest_before, before);
        (Told::Lag(lag), waiting_since)
    }

    /// The newest canary of the source that is at the destination.
    fn arrived(&self, evidence: &Evidence) -> Option<Timestamp> {
        let there = evidence.member(self.destination)?;
        there.seen.get(self.source).copied()
    }

    /// Whether a canary that did not arrive was waited for long enough.
    fn is_late(&self, waiting_since: Option<Timestamp>) -> bool {
        waiting_since.is_some_and(|at| self.round.at.duration_since(at) >= self.limit)
    }

    fn said(&self, told: Told) -> Lag {
        let (source, destination) = (self.source, self.destination);
        let reason = match told {
            Told::Lag(lag) => return lag,
            Told::OutOfScope(Uncovered::Everywhere) => {
                format!("the canaries of {source} have no replication status: no rule covers them")
            }
            Told::OutOfScope(Uncovered::Here) => format!(
                "S3 has replicated a canary of {source}, and nothing as new is in {destination}: no \
                 rule brings them there"
            ),
        };
        Lag::Unknown { reason }
    }

    fn lag_of(
        &self,
        evidence: &Evidence,
        newest: Option<Timestamp>,
        age: Option<SignedDuration>,
        newest_before: Option<Timestamp>,
        before: Option<&PairEvidence>,
    ) -> Lag {
        let unknown = |reason: String| Lag::Unknown { reason };
        let verdict = evidence.verdict(self.destination);
        if verdict != Verdict::Good {
            let (region, verdict) = (self.destination, verdict.as_str());
            return unknown(format!(
                "{region} is {verdict}, so what arrived there cannot be seen"
            ));
        }
        if self.is_refused() {
            return unknown(format!(
                "the canary of {} may not be read in {}",
                self.source, self.destination
            ));
        }
        let waiting = age.filter(jiff::SignedDuration::is_positive).map(seconds);
        match (newest, waiting) {
            (None, Some(older_than_seconds)) => Lag::Waiting { older_than_seconds },
            (None, None) => unknown(format!(
                "no canary of {} was written before this round",
                self.source
            )),
            // Nothing newer arrived since the last round, and something newer was written.
            (Some(newest), Some(older_than_seconds)) if newest_before == Some(newest) => {
                Lag::Waiting { older_than_seconds }
            }
            (Some(newest), _) => {
                let within_seconds = seconds(self.round.at.duration_since(newest));
                let kept = before.map(|before| &before.lag);
                match kept {
                    // The source writes no more: what was true of its last canary stays true.
                    Some(Lag::Arrived { within_seconds }) if newest_before == Some(newest) => {
                        Lag::Arrived {
                            within_seconds: *within_seconds,
                        }
                    }
                    _ => Lag::Arrived { within_seconds },
                }
            }
        }
    }

    /// What this round found at the destination.
    fn there(&self) -> Option<&MemberRound> {
        let mut members = self.round.members.iter();
        members.find(|member| &member.region == self.destination)
    }

    /// Whether the source's canary may not be read at the destination.
    fn is_refused(&self) -> bool {
        self.there()
            .is_some_and(|there| there.refused.contains(self.source))
    }

    /// Whether this round knows which of the source's canaries is at the destination, if any.
    fn is_told(&self) -> bool {
        self.there().is_some_and(|there| {
            there.seen.contains_key(self.source) || there.absent.contains(self.source)
        })
    }

    /// Whether S3 said before this round that a canary has arrived wherever it should, and the
    /// destination, which has told of it since, has nothing as new.
    fn is_passed_over(&self, evidence: &Evidence, newest: Option<Timestamp>) -> bool {
        let tracked = self
            .previous
            .and_then(|previous| previous.member(self.source)?.tracked.as_ref());
        tracked.is_some_and(|tracked| tracked.completed && newest < Some(tracked.written_at))
            && evidence.verdict(self.destination) == Verdict::Good
            && self.is_told()
    }

    /// Whether S3 has said for long that it copies nothing of the source's canaries.
    fn is_out_of_scope(&self, evidence: &Evidence) -> bool {
        let mut rounds = self.round.members.iter();
        let now = rounds.find(|member| &member.region == self.source);
        let uncovered = now.is_some_and(|member| member.replicates == Some(false));
        uncovered
            && evidence.member(self.source).is_some_and(|member| {
                member.verdict == Verdict::Good
                    && self.round.at.duration_since(member.since) >= self.limit
            })
    }
}
