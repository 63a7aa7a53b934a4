//! A round of the health check: what the failover function's own rounds do not tell.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Evidence, Observer, Round, Verdict, pairs};

/// A run of the health check: one invocation, several rounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The invocation's request id.
    pub id: String,
    /// When it began.
    pub started_at: Timestamp,
}

impl Run {
    /// Whether this run began after the other one, which then has to end. Of two that began at the
    /// same moment one is the newer all the same.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.started_at, &self.id) > (other.started_at, &other.id)
    }
}

/// What makes rounds follow one another, and when replication is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundRules {
    /// From one round of a run to the next (`PROBE_INTERVAL_SECONDS`).
    pub interval: SignedDuration,
    /// Rounds further apart than this do not follow one another (`EVIDENCE_MAX_AGE_SECONDS`).
    pub gap: SignedDuration,
    /// The largest acceptable lag (`MAX_LAG_SECONDS`).
    pub max_lag: SignedDuration,
}

impl Evidence {
    /// What a round of the health check says, given what was known before.
    ///
    /// Which Region serves and the metrics of the pairs are kept from before: they are looked at
    /// less often, and put in by whoever looked.
    #[must_use]
    pub fn observed(previous: Option<&Self>, round: &Round, rules: RoundRules, run: Run) -> Self {
        let mut evidence = Self::after(previous, round, rules.gap);
        let continuous =
            previous.is_some_and(|previous| previous.goes_on_until(round.at, rules.gap));
        let well = evidence.observer == Observer::Well;
        // Two runs overlap where one takes over from the other. Their rounds may follow each other
        // at once, and then are one look at the members, not two.
        let looks = previous.is_none_or(|previous| {
            round
                .at
                .duration_since(previous.observed_at)
                .saturating_mul(2)
                >= rules.interval
        });
        for (member, seen_now) in evidence.members.iter_mut().zip(&round.members) {
            let before = previous
                .filter(|_| continuous)
                .and_then(|previous| previous.member(&member.region))
                .map_or(0, |before| before.bad_rounds);
            member.latency_millis = Some(seen_now.latency_millis);
            member.bad_rounds = if well && member.verdict == Verdict::Bad {
                before.saturating_add(u32::from(looks)).max(1)
            } else {
                0
            };
        }
        pairs::tell(&mut evidence, previous, round, rules.max_lag);
        evidence.run = Some(run);
        evidence.serving = previous.and_then(|previous| previous.serving.clone());
        evidence.self_test_at = previous.and_then(|previous| previous.self_test_at);
        evidence
    }
}
