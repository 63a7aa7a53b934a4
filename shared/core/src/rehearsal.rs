//! Rehearsals: over and back again with every guard, each step timed.
//!
//! What is under way stands in the state document, so that every tick can go on with it and a
//! crash forgets nothing. A rehearsal never insists: if somebody else moves the dial, or trouble
//! comes, it ends, and the usual rules go on from there.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::alarm::AlarmState;
use crate::decide::Order;
use crate::evidence::{Evidence, Verdict};
use crate::guard::Guard;
use crate::names::Region;
use crate::routes::Routes;
use crate::settings::Thresholds;
use crate::state::{Plan, State};
use crate::triggers::AlarmNow;

/// How long the data plane may take to follow before the rehearsal goes back: AWS names two minutes.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(300);

/// One change of the routes of a rehearsal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    /// Its decision.
    pub decision: String,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// When the routes showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
    /// When the data plane showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<Timestamp>,
}

impl Leg {
    fn new(plan: &Plan, now: Timestamp) -> Self {
        Self {
            decision: plan.decision.clone(),
            decided_at: now,
            settled_at: None,
            proven_at: None,
        }
    }
}

/// A rehearsal that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// Its incident.
    pub incident: String,
    /// Why.
    pub reason: String,
    /// Whether the schedule began it.
    #[serde(default)]
    pub scheduled: bool,
    /// The guards that were overridden for it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub overrides: BTreeSet<Guard>,
    /// The routes to return to.
    pub before: Routes,
    /// The routes meanwhile.
    pub away: Routes,
    /// The way out.
    pub out: Leg,
    /// The way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<Leg>,
    /// Why it goes back before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_short: Option<String>,
    /// When people were last told that it cannot go back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck_told: Option<Timestamp>,
}

/// One step of a rehearsal, timed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimedStep {
    /// What.
    pub step: String,
    /// When it was reached.
    pub at: Timestamp,
    /// How long it took, in seconds.
    pub seconds: i64,
}

/// The last rehearsal that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsed {
    /// Its incident.
    pub incident: String,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Whether the schedule began it.
    #[serde(default)]
    pub scheduled: bool,
    /// Over and back again and both proven, with nothing in between.
    pub complete: bool,
    /// How it ended.
    pub how: String,
    /// What it took.
    pub steps: Vec<TimedStep>,
}

/// What a rehearsal asks for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// There is none.
    Idle,
    /// Time, or somebody else's turn.
    Wait,
    /// The way back.
    Return {
        /// Why before its time, if so.
        cut_short: Option<String>,
    },
    /// Its end.
    End {
        /// Over and back again and both proven.
        complete: bool,
        /// How it ended.
        how: String,
    },
}

/// Whether an alarm keeps a scheduled rehearsal from going on: one in ALARM does, and one that does
/// not exist, because then nobody would ever know. `None` if CloudWatch does not tell.
#[must_use]
pub fn blocks_rehearsals(now: &AlarmNow) -> Option<bool> {
    match now {
        AlarmNow::State { state, .. } => Some(*state == AlarmState::Alarm),
        AlarmNow::Gone => Some(true),
        AlarmNow::Unreachable => None,
    }
}

impl Rehearsal {
    /// Everybody who serves only while it lasts.
    fn guests(&self) -> BTreeSet<Region> {
        self.away
            .active()
            .difference(&self.before.active())
            .cloned()
            .collect()
    }

    /// The way back as an order. What was overridden stays so, but nobody's later hold and no bad
    /// home is overridden by an old word.
    #[must_use]
    pub fn way_back(&self) -> Order {
        let never = [Guard::NotOnHold, Guard::TargetIsHealthy];
        Order {
            from: self.guests(),
            to: self.before.active(),
            reason: format!("back from the rehearsal: {}", self.reason),
            overrides: self
                .overrides
                .iter()
                .copied()
                .filter(|guard| !never.contains(guard))
                .collect(),
        }
    }

    /// What it took so far.
    #[must_use]
    pub fn steps(&self) -> Vec<TimedStep> {
        let to = crate::notice::list;
        let there = to(&self.away.active());
        let home = to(&self.before.active());
        let mut moments = vec![(
            format!("decided to move to {there}"),
            Some(self.out.decided_at),
        )];
        moments.push(("routes changed".to_owned(), self.out.settled_at));
        moments.push((format!("served by {there}, proven"), self.out.proven_at));
        if let Some(back) = &self.back {
            moments.push((
                format!("stayed, decided to move back to {home}"),
                Some(back.decided_at),
            ));
            moments.push(("routes changed back".to_owned(), back.settled_at));
            moments.push((format!("served by {home}, proven"), back.proven_at));
        }
        let mut last = self.out.decided_at;
        moments
            .into_iter()
            .filter_map(|(step, at)| {
                let at = at?;
                let seconds = at.duration_since(last).as_secs().max(0);
                last = at;
                Some(TimedStep { step, at, seconds })
            })
            .collect()
    }

    /// From the decision to go to the last step that was reached, in seconds.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.steps().iter().map(|step| step.seconds).sum()
    }
}

impl State {
    /// Begins a rehearsal whose way out was decided and is claimed in the same write.
    pub fn begin_rehearsal(&mut self, plan: &Plan, order: &Order, scheduled: bool, now: Timestamp) {
        self.rehearsal = Some(Rehearsal {
            incident: plan.incident.clone(),
            reason: order.reason.clone(),
            scheduled,
            overrides: order.overrides.clone(),
            before: plan.before.clone(),
            away: plan.after.clone(),
            out: Leg::new(plan, now),
            back: None,
            cut_short: None,
            stuck_told: None,
        });
    }

    /// The way back was decided and is claimed in the same write.
    pub fn return_from_rehearsal(
        &mut self,
        plan: &Plan,
        cut_short: Option<String>,
        now: Timestamp,
    ) {
        if let Some(rehearsal) = &mut self.rehearsal {
            rehearsal.back = Some(Leg::new(plan, now));
            rehearsal.cut_short = rehearsal.cut_short.take().or(cut_short);
        }
    }

    /// What speaks against a member that the way back of the rehearsal would activate.
    #[must_use]
    pub fn against_the_way_back(&self) -> Option<String> {
        let rehearsal = self.rehearsal.as_ref()?;
        let serving = rehearsal.away.active();
        let mut home = rehearsal.before.active();
        home.retain(|region| !serving.contains(region));
        let mut triggers = self.triggers.iter();
        let trigger = triggers.find(|trigger| home.contains(&trigger.region))?;
        let (source, region) = (&trigger.source, &trigger.region);
        Some(format!(
            "{source} speaks against {region}: the rehearsal goes back when it no longer does."
        ))
    }

    fn leg(&mut self, decision: &str) -> Option<&mut Leg> {
        let rehearsal = self.rehearsal.as_mut()?;
        [Some(&mut rehearsal.out), rehearsal.back.as_mut()]
            .into_iter()
            .flatten()
            .find(|leg| leg.decision == decision)
    }

    /// The routes show a change: if it is one of the rehearsal's, that is noted.
    pub(crate) fn leg_settled(&mut self, decision: &str, now: Timestamp) {
        if let Some(leg) = self.leg(decision) {
            leg.settled_at.get_or_insert(now);
        }
    }

    /// The data plane shows a change: if it is one of the rehearsal's, that is noted. Tells whether
    /// it is.
    pub fn leg_proven(&mut self, decision: &str, now: Timestamp) -> bool {
        let leg = self.leg(decision);
        leg.map(|leg| leg.proven_at.get_or_insert(now)).is_some()
    }

    /// Ends the rehearsal, and its incident if everything is as it was and nothing else is open.
    /// Returns it.
    pub fn end_rehearsal(
        &mut self,
        complete: bool,
        how: &str,
        now: Timestamp,
    ) -> Option<Rehearsal> {
        let rehearsal = self.rehearsal.take()?;
        self.note(now, format!("rehearsal ended: {how}"));
        let own = |decision: Option<&str>| {
            let back = rehearsal.back.as_ref().map(|leg| leg.decision.as_str());
            decision.is_none() || decision == back
        };
        let untouched = rehearsal.out.settled_at.is_none();
        let last = self.changes.last();
        let returned =
            last.is_some_and(|change| change.decision.is_some() && own(change.decision.as_deref()));
        let as_before = self
            .settled
            .as_ref()
            .is_some_and(|settled| settled.routes == rehearsal.before);
        let is_its_own = self
            .incident
            .as_ref()
            .is_some_and(|incident| incident.id == rehearsal.incident);
        if is_its_own && as_before && (untouched || returned) && self.triggers.is_empty() {
            self.close_incident(now, how);
        }
        self.rehearsed = Some(Rehearsed {
            incident: rehearsal.incident.clone(),
            ended_at: now,
            scheduled: rehearsal.scheduled,
            complete,
            how: how.to_owned(),
            steps: rehearsal.steps(),
        });
        Some(rehearsal)
    }

    /// What the rehearsal asks for, given the settled routes and what is seen. `alarms` are those
    /// that end a scheduled one.
    #[must_use]
    pub fn rehearsal_next<'a>(
        &self,
        evidence: Option<&Evidence>,
        mut alarms: impl Iterator<Item = (&'a str, &'a AlarmNow)>,
        thresholds: &Thresholds,
        now: Timestamp,
    ) -> Next {
        let Some(rehearsal) = &self.rehearsal else {
            return Next::Idle;
        };
        let end = |complete: bool, how: &str| Next::End {
            complete,
            how: how.to_owned(),
        };
        if self.claim.is_some() {
            return Next::Wait;
        }
        let own = self.incident.as_ref().map(|incident| &incident.id);
        if rehearsal.out.settled_at.is_some() && own != Some(&rehearsal.incident) {
            return end(
                false,
                "its incident was closed: the routes stay as they are",
            );
        }
        let routes = self.settled.as_ref().map(|settled| &settled.routes);
        let may_land = |leg: &Leg| {
            let mut abandoned = self.abandoned.iter();
            abandoned.any(|one| one.plan.decision == leg.decision)
        };
        let Some(left) = rehearsal.out.settled_at else {
            return if may_land(&rehearsal.out) {
                Next::Wait
            } else {
                end(false, "the way out was not taken: nothing was changed")
            };
        };
        if let Some(back) = &rehearsal.back
            && let Some(settled) = back.settled_at
        {
            return if routes != Some(&rehearsal.before) {
                end(false, "somebody else changed the routes after the way back")
            } else if back.proven_at.is_some() {
                match &rehearsal.cut_short {
                    None => end(true, "over and back again"),
                    Some(why) => end(false, &format!("back before its time: {why}")),
                }
            } else if now.duration_since(settled) >= PATIENCE {
                end(false, "back, but the data plane does not prove it")
            } else {
                Next::Wait
            };
        }
        if routes != Some(&rehearsal.away) {
            return end(
                false,
                "somebody else changed the routes: they stay as they are",
            );
        }
        let cut_short = |why: String| Next::Return {
            cut_short: Some(why),
        };
        let serving = rehearsal.away.active();
        if let Some(evidence) = evidence {
            for region in &serving {
                let verdict = evidence.verdict(region);
                if matches!(
                    verdict,
                    Verdict::Bad | Verdict::Throttled | Verdict::Misconfigured
                ) {
                    let verdict = verdict.as_str();
                    return cut_short(format!("the probes find {region} {verdict}"));
                }
            }
        }
        let mut triggers = self.triggers.iter();
        if let Some(trigger) = triggers.find(|trigger| serving.contains(&trigger.region)) {
            let (source, region) = (&trigger.source, &trigger.region);
            return cut_short(format!("{source} speaks against {region}"));
        }
        if rehearsal.scheduled
            && let Some((name, _)) = alarms.find(|(_, now)| blocks_rehearsals(now) == Some(true))
        {
            return cut_short(format!("alarm {name} of REHEARSAL_BLOCKING_ALARMS"));
        }
        match rehearsal.out.proven_at {
            None if now.duration_since(left) >= PATIENCE => {
                cut_short("the data plane did not follow".to_owned())
            }
            Some(proven) if now.duration_since(proven) >= thresholds.rehearsal => {
                Next::Return { cut_short: None }
            }
            // The way back was decided before and is decided anew: if the first try lands late, it
            // does no harm.
            _ if rehearsal.back.is_some() => Next::Return { cut_short: None },
            _ => Next::Wait,
        }
    }
}
