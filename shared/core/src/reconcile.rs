//! Comparing the routes with what is recorded: settled, expired, landed late, or changed by somebody else.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::evidence::{Evidence, Verdict};
use crate::names::Region;
use crate::routes::Routes;
use crate::state::{Abandoned, Actor, Change, Plan, Settled, State};

/// What the comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reconciled {
    /// The routes are as recorded, or nobody can tell yet.
    Same,
    /// First sight of the routes: the baseline.
    Baseline,
    /// The routes show what an expired (or our own) claim intended: it is settled.
    Settled(Box<Plan>),
    /// The routes show an intention that had been given up.
    LateLanding(Box<Change>),
    /// Somebody else changed the routes.
    Outside(Box<Change>),
}

impl State {
    /// Takes the routes as they were read into account. Never asks for them to be reverted.
    ///
    /// `settle` is how long a reading that merely shows the routes from before the last change
    /// is taken for an old copy.
    pub fn reconcile(
        &mut self,
        routes: &Routes,
        evidence: Option<&Evidence>,
        request_id: &str,
        settle: SignedDuration,
        now: Timestamp,
    ) -> Reconciled {
        if self.foreign_claim(request_id, now).is_some() {
            return Reconciled::Same;
        }
        if let Some(claim) = self.claim.take() {
            let intention = Abandoned {
                at: claim.expires.min(now),
                plan: claim.plan,
            };
            if intention.plan.after == *routes {
                return self.settle_intention(intention, now);
            }
            self.abandoned.push(intention);
        }
        let Some(settled) = &self.settled else {
            self.settled = Some(Settled {
                routes: routes.clone(),
                at: now,
            });
            return Reconciled::Baseline;
        };
        if settled.routes == *routes {
            return Reconciled::Same;
        }
        if let Some(landed) = self
            .abandoned
            .iter()
            .rev()
            .find(|one| one.plan.after == *routes)
        {
            let landed = landed.clone();
            if settled.routes == landed.plan.before && settled.at <= landed.at {
                // Nothing happened in between: simply a slow answer to what was wanted.
                return self.settle_intention(landed, now);
            }
            let reason = format!("a request of {} to move the dial landed late", landed.at);
            let change = self.change_seen(Actor::LateLanding, routes, reason, now);
            self.record_change(change.clone());
            self.proof = None;
            return Reconciled::LateLanding(Box::new(change));
        }
        let old_copy = self.changes.last().is_some_and(|change| {
            change.before == *routes && now.duration_since(change.at) < settle
        });
        if old_copy {
            return Reconciled::Same;
        }
        // Somebody has to be able to acknowledge it: it is an incident of its own.
        if let Some(region) = settled
            .routes
            .active()
            .union(&routes.active())
            .next()
            .cloned()
        {
            self.open_incident(now, &region, now);
        }
        let change = self.change_seen(
            Actor::Outside,
            routes,
            "changed outside of mrap-sentinel".to_owned(),
            now,
        );
        self.record_change(change.clone());
        self.proof = None;
        // Whoever leaves nobody healthy active wants the others that remain, new or not.
        let healthy = |region: &Region| {
            evidence.is_none_or(|evidence| evidence.verdict(region) == Verdict::Good)
        };
        let active = routes.active();
        let chosen = if active.iter().any(healthy) {
            &change.to
        } else {
            &active
        };
        self.accept_chosen(chosen, evidence, now);
        self.failback_suspended =
            Some(format!("the routes were changed by somebody else at {now}"));
        Reconciled::Outside(Box::new(change))
    }

    /// Settles what was intended, however late. A sibling of the request that landed may still
    /// hang somewhere, so the intention is remembered.
    fn settle_intention(&mut self, intention: Abandoned, now: Timestamp) -> Reconciled {
        let plan = intention.plan.clone();
        self.settle(&plan, now);
        self.abandoned.push(intention);
        Reconciled::Settled(Box::new(plan))
    }

    fn change_seen(&self, by: Actor, routes: &Routes, reason: String, now: Timestamp) -> Change {
        let before = self
            .settled
            .as_ref()
            .map_or_else(|| routes.clone(), |settled| settled.routes.clone());
        Change {
            at: now,
            by,
            kind: None,
            incident: self.incident.as_ref().map(|incident| incident.id.clone()),
            decision: None,
            from: before
                .active()
                .difference(&routes.active())
                .cloned()
                .collect(),
            to: routes
                .active()
                .difference(&before.active())
                .cloned()
                .collect(),
            before,
            after: routes.clone(),
            reason,
        }
    }

    /// Records a planned change that the routes show.
    pub fn settle(&mut self, plan: &Plan, now: Timestamp) {
        self.claim = None;
        self.abandoned
            .retain(|one| one.plan.decision != plan.decision);
        if self.incident.is_none() {
            self.incident = Some(crate::state::Incident {
                id: plan.incident.clone(),
                opened_at: now,
                routes_before: None,
                notes: Vec::new(),
            });
        }
        self.record_change(Change {
            at: now,
            by: plan.by,
            kind: Some(plan.kind),
            incident: Some(plan.incident.clone()),
            decision: Some(plan.decision.clone()),
            from: plan.from.clone(),
            to: plan
                .after
                .active()
                .difference(&plan.before.active())
                .cloned()
                .collect(),
            before: plan.before.clone(),
            after: plan.after.clone(),
            reason: plan.reason.clone(),
        });
        self.leg_settled(&plan.decision, now);
        for region in &plan.accepts {
            self.accepted.insert(region.clone(), now);
        }
        self.problems
            .retain(|key, _| !key.starts_with(crate::notice::SUBMIT));
        self.proof = Some(crate::state::PendingProof {
            plan: plan.clone(),
            settled_at: now,
            overdue_announced: false,
        });
    }

    /// Remembers members that a person made active although nothing showed them good: bad, or not
    /// known, as when the observer was sick. The first good look ends it.
    pub fn accept_chosen(
        &mut self,
        activated: &BTreeSet<Region>,
        evidence: Option<&Evidence>,
        now: Timestamp,
    ) {
        for region in activated {
            if evidence.is_none_or(|evidence| evidence.verdict(region) != Verdict::Good) {
                self.accepted.insert(region.clone(), now);
            }
        }
    }
}
