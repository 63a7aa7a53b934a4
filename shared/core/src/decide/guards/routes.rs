//! Whether the change makes sense for the routes as they are, and nobody else is at them.

use super::{Says, block, pass, seconds};
use crate::decide::{Basis, Context, Move, text};
use crate::routes::{Dial, Routes};
use crate::state::Plan;

impl Context<'_> {
    /// Named Regions are members, and the routes agree with the settings about their buckets.
    pub(super) fn region_is_member(&self, wanted: &Move) -> Says {
        for region in wanted.from.union(&wanted.to) {
            let Some(member) = self.settings.members.in_region(region) else {
                return block(format!(
                    "{region} is not among MEMBERS ({})",
                    self.settings.members
                ));
            };
            match self
                .observation
                .routes
                .iter()
                .find(|route| &route.region == region)
            {
                None => {
                    return block(format!(
                        "the access point has no route to {region}: MEMBERS is out of date"
                    ));
                }
                Some(route) if route.bucket != member.bucket => {
                    return block(format!(
                        "the route to {region} leads to bucket {}, MEMBERS says {}",
                        route.bucket, member.bucket
                    ));
                }
                Some(_) => {}
            }
        }
        pass("every Region is a member")
    }

    pub(super) fn region_is_active(&self, wanted: &Move) -> Says {
        for region in wanted.from.union(&wanted.to) {
            if let Some(Dial::Undefined(dial)) = self.observation.routes.dial(region) {
                return block(format!(
                    "the dial of {region} is {dial}, which AWS does not define: set it to 0 or 100 by hand first"
                ));
            }
        }
        for region in &wanted.from {
            if !self.observation.routes.is_active(region) {
                return block(format!("{region} is not active"));
            }
        }
        pass(format!(
            "active: {}",
            text::list(&self.observation.routes.active())
        ))
    }

    /// Somebody has to serve; an undefined dial is nobody's to touch, and people are told of it.
    pub(super) fn target_exists(&self, wanted: &Move) -> Says {
        if !wanted.to.is_empty() {
            return pass(format!("{} would serve", text::list(&wanted.to)));
        }
        let undefined = self
            .observation
            .routes
            .iter()
            .filter_map(|route| match route.dial {
                Dial::Undefined(dial) => Some(format!(
                    "; the dial of {} is {dial}, which AWS does not define: set it to 0 or 100 by hand",
                    route.region
                )),
                Dial::Passive | Dial::Active => None,
            });
        block(format!(
            "no member is left to serve from{}",
            undefined.collect::<String>()
        ))
    }

    /// Whoever is changing the routes right now, or may be: nothing is decided until that is over.
    pub(in crate::decide) fn others_are_acting(&self) -> Option<String> {
        if let Some(claim) = self.state.foreign_claim(&self.request.id, self.now) {
            return Some(format!(
                "another invocation is moving the dial to {} until {}",
                text::list(&claim.plan.to),
                text::clock(claim.expires)
            ));
        }
        let settled = self.state.settled.as_ref()?;
        (settled.routes != *self.observation.routes).then(|| {
            format!(
                "the routes read {} although {} was settled at {}: an old copy, or somebody is changing them; waiting until they are stable",
                self.observation.routes,
                settled.routes,
                text::clock(settled.at)
            )
        })
    }

    /// A rehearsal needs peace: nothing open that it could get in the way of.
    fn is_no_time_to_rehearse(&self) -> Option<String> {
        // The incident of a rehearsal that has moved nothing yet is its own.
        let own = self.state.rehearsal.as_ref().map(|own| &own.incident);
        let incident = self.state.incident.as_ref()?;
        (own != Some(&incident.id) || !self.state.triggers.is_empty()).then(|| {
            format!(
                "incident {} is open: acknowledge it first, or wait for its end",
                incident.id
            )
        })
    }

    /// One change at a time, and none against one that may still land.
    pub(super) fn nobody_else_is_acting(&self, basis: Basis, after: &Routes) -> Says {
        if let Some(why) = self.others_are_acting() {
            return block(why);
        }
        if matches!(basis, Basis::Rehearsal { .. })
            && let Some(why) = self.is_no_time_to_rehearse()
        {
            return block(why);
        }
        let settle = self.settings.thresholds.settle;
        let settled = self.state.settled.as_ref().map(|settled| settled.at);
        for abandoned in &self.state.abandoned {
            // The routes are stable since they were settled last, at best.
            let stable_since = settled.map_or(abandoned.at, |at| at.max(abandoned.at));
            let stable = self.now.duration_since(stable_since);
            if stable < settle && contradicts(after, &abandoned.plan) {
                return block(format!(
                    "a request of {} to move the dial to {} may still land; waiting until the routes have been stable for {}",
                    text::clock(abandoned.at),
                    text::list(&abandoned.plan.to),
                    seconds(settle)
                ));
            }
        }
        pass("no other claim")
    }
}

/// Whether what a plan submitted would, landing late, turn a dial away from where `after` wants it.
fn contradicts(after: &Routes, plan: &Plan) -> bool {
    plan.before
        .changes_to(&plan.after)
        .iter()
        .any(|submitted| after.dial(&submitted.region) != Some(submitted.dial))
}

pub(super) fn at_least_one_active(after: &Routes) -> Says {
    if after.active().is_empty() {
        block("no member would be active")
    } else {
        pass(format!(
            "active afterwards: {}",
            text::list(&after.active())
        ))
    }
}
