//! What people are told of the way home while nobody commands it.
//!
//! That home stabilizes and drains is no news: it is shown by `status` and logged. People are
//! reminded while an operator has to say something, and told once when it takes very long.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::decide::{Assessment, Decision};
use crate::guard::{Guard, GuardReport};
use crate::settings::Thresholds;
use crate::state::{Kind, Proposal, State};

/// What was last decided about the way home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Homeward {
    /// The decision's id: the same as long as the situation is.
    pub decision: String,
    /// `waits`, `would-act` or `needs-approval`.
    pub ruling: String,
    /// Since when it has been considered.
    pub since: Timestamp,
    /// When it was last considered.
    pub at: Timestamp,
    /// The guards that stand in the way.
    pub blocking: BTreeSet<Guard>,
    /// All guards.
    pub guards: Vec<GuardReport>,
    /// Since when something else than an outage of home stands in the way; a short one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck_since: Option<Timestamp>,
    /// Whether people were told of that.
    #[serde(default)]
    pub stuck_told: bool,
    /// What stood in the way when they were told.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stuck_on: BTreeSet<Guard>,
    /// When people were last told that an operator has to say something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_told: Option<Timestamp>,
    /// How often.
    #[serde(default)]
    pub count: u32,
}

impl Homeward {
    /// Nothing stands in the way any more, or nothing that was known.
    fn unstick(&mut self) {
        self.stuck_since = None;
        self.stuck_told = false;
        self.stuck_on.clear();
    }
}

/// What people are to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// The way home is free but for an operator's word: the how many-th time.
    Due(u32),
    /// Something has stood in the way for long.
    Stuck,
}

/// The part of a decision that is about the way home by itself.
fn about_home(decision: &Decision) -> Option<(&'static str, &Assessment)> {
    let ruled = match decision {
        Decision::Waits(assessment) => ("waits", assessment),
        Decision::WouldAct(assessment) => ("would-act", assessment),
        Decision::NeedsApproval(assessment) => ("needs-approval", assessment),
        Decision::NoChange { .. } | Decision::Blocked(_) | Decision::Act(_) => return None,
    };
    (ruled.1.plan.kind == Kind::Failback).then_some(ruled)
}

/// A tick and a half: what was not considered since is no longer so.
const CURRENT: SignedDuration = SignedDuration::from_secs(90);

impl State {
    /// What is decided about the way home, if there is one to go now.
    #[must_use]
    pub fn homeward_at(&self, now: Timestamp) -> Option<&Homeward> {
        let homeward = self.homeward.as_ref();
        homeward.filter(|homeward| now.duration_since(homeward.at) <= CURRENT)
    }

    /// Takes note of what the machine decided by itself, with the proposal that comes of it.
    /// Returns what people are to be told.
    pub fn note_homeward(
        &mut self,
        decision: &Decision,
        thresholds: &Thresholds,
        now: Timestamp,
    ) -> Option<Tell> {
        // Something else may come between: what people were told is kept until the routes change
        // or the incident ends.
        let (ruling, assessment) = about_home(decision)?;
        let plan = &assessment.plan;
        let known = self
            .homeward
            .take()
            .filter(|known| known.decision == plan.decision);
        let mut homeward = Homeward {
            decision: plan.decision.clone(),
            ruling: ruling.to_owned(),
            at: now,
            blocking: assessment.blocking.clone(),
            guards: plan.guards.clone(),
            since: known.as_ref().map_or(now, |known| known.since),
            stuck_since: known.as_ref().and_then(|known| known.stuck_since),
            stuck_told: known.as_ref().is_some_and(|known| known.stuck_told),
            stuck_on: known
                .as_ref()
                .map_or_else(BTreeSet::new, |known| known.stuck_on.clone()),
            due_told: known.as_ref().and_then(|known| known.due_told),
            count: known.map_or(0, |known| known.count),
        };
        self.proposal = (ruling == "needs-approval").then(|| Proposal {
            plan: plan.clone(),
            at: now,
        });
        let patience = thresholds.failback_reminder;
        let tell = if ruling == "waits" {
            let bad_since = assessment.target_bad_since;
            if bad_since.is_none() {
                homeward.stuck_since.get_or_insert(now);
            }
            // An outage that lasts is known; what counts is what lasts after it. A blip ends nothing:
            // a home that flaps for ever is news.
            if bad_since.is_some_and(|since| now.duration_since(since) >= thresholds.stabilization)
            {
                homeward.unstick();
            }
            // What they were told of is over, and something else is in the way.
            if homeward.stuck_told && homeward.stuck_on.is_disjoint(&homeward.blocking) {
                homeward.unstick();
                homeward.stuck_since = bad_since.is_none().then_some(now);
            }
            let long = bad_since.is_none()
                && homeward
                    .stuck_since
                    .is_some_and(|since| now.duration_since(since) >= patience);
            (long && !homeward.stuck_told).then(|| {
                homeward.stuck_told = true;
                homeward.stuck_on.clone_from(&homeward.blocking);
                Tell::Stuck
            })
        } else {
            homeward.unstick();
            let due = homeward
                .due_told
                .is_none_or(|told| now.duration_since(told) >= patience);
            due.then(|| {
                homeward.due_told = Some(now);
                homeward.count = homeward.count.saturating_add(1);
                Tell::Due(homeward.count)
            })
        };
        self.homeward = Some(homeward);
        tell
    }
}
