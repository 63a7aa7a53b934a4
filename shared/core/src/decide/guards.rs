//! What each guard says about a change.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{Basis, Context, Drift, Move, text};
use crate::evidence::{Observer, Verdict};
use crate::guard::{Guard, GuardReport, GuardVerdict};
use crate::names::Region;
use crate::routes::{Dial, Routes};
use crate::settings::Mode;
use crate::state::{Plan, Trigger};

/// The budget's window.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A guard's verdict and its reason.
type Says = (GuardVerdict, String);

fn pass(detail: impl Into<String>) -> Says {
    (GuardVerdict::Pass, detail.into())
}

fn block(detail: impl Into<String>) -> Says {
    (GuardVerdict::Block, detail.into())
}

fn unknown(detail: impl Into<String>) -> Says {
    (GuardVerdict::Unknown, detail.into())
}

/// Whether the guard has a say at all: the guard table.
fn applies(guard: Guard, basis: Basis) -> bool {
    let automatic = matches!(basis, Basis::Automatic { .. });
    match guard {
        Guard::TriggerIsFresh
        | Guard::TriggerNotSuppressed
        | Guard::ModeAllows
        | Guard::Cooldown
        | Guard::DailyBudget => automatic,
        Guard::EvidenceAgrees => basis != Basis::OperatorFailover,
        Guard::Drained => basis == Basis::Failback,
        Guard::NotOnHold
        | Guard::TargetIsHealthy
        | Guard::TargetNotDrifted
        | Guard::LossIsAcceptable
        | Guard::RegionIsMember
        | Guard::RegionIsActive
        | Guard::TargetExists
        | Guard::NobodyElseIsActing
        | Guard::AtLeastOneActive => true,
    }
}

/// Whether not knowing stands in the way: unknown loss and drift must not stop a failover.
fn unknown_blocks(guard: Guard, basis: Basis) -> bool {
    match guard {
        Guard::TargetNotDrifted | Guard::LossIsAcceptable => {
            !matches!(basis, Basis::Automatic { .. } | Basis::OperatorFailover)
        }
        _ => true,
    }
}

fn seconds(duration: SignedDuration) -> String {
    format!("{} s", duration.as_secs())
}

impl Context<'_> {
    /// One guard's line of the report, and whether it stands in the way.
    pub(super) fn judge(
        &self,
        guard: Guard,
        basis: Basis,
        wanted: &Move,
        after: &Routes,
    ) -> (GuardReport, bool) {
        if !applies(guard, basis) {
            let report = GuardReport {
                guard,
                verdict: GuardVerdict::Pass,
                detail: "-".to_owned(),
                overridden: false,
            };
            return (report, false);
        }
        let (verdict, detail) = match guard {
            Guard::TriggerIsFresh => self.trigger_is_fresh(wanted),
            Guard::TriggerNotSuppressed => self.trigger_not_suppressed(wanted),
            Guard::ModeAllows => self.mode_allows(basis),
            Guard::EvidenceAgrees => self.evidence_agrees(basis, wanted),
            Guard::NotOnHold => self.not_on_hold(),
            Guard::TargetIsHealthy => self.target_is_healthy(wanted),
            Guard::TargetNotDrifted => self.target_not_drifted(wanted),
            Guard::LossIsAcceptable => self.loss_is_acceptable(wanted),
            Guard::Drained => self.drained(wanted),
            Guard::Cooldown => self.cooldown(wanted),
            Guard::DailyBudget => self.daily_budget(),
            Guard::RegionIsMember => self.region_is_member(wanted),
            Guard::RegionIsActive => self.region_is_active(wanted),
            Guard::TargetExists => target_exists(wanted),
            Guard::NobodyElseIsActing => self.nobody_else_is_acting(after),
            Guard::AtLeastOneActive => at_least_one_active(after),
        };
        let stands = match verdict {
            GuardVerdict::Pass => false,
            GuardVerdict::Block => true,
            GuardVerdict::Unknown => unknown_blocks(guard, basis),
        };
        let overridden = stands && guard.may_be_overridden() && self.overrides.contains(&guard);
        let report = GuardReport {
            guard,
            verdict,
            detail,
            overridden,
        };
        (report, stands && !overridden)
    }

    /// The Regions to leave that have triggers; a member that goes because nobody healthy stays has none.
    fn triggered<'a>(
        &'a self,
        wanted: &'a Move,
    ) -> impl Iterator<Item = (&'a Region, Vec<&'a Trigger>)> {
        wanted.from.iter().filter_map(|region| {
            let triggers: Vec<&Trigger> = self.triggers(region).collect();
            (!triggers.is_empty()).then_some((region, triggers))
        })
    }

    fn is_fresh(&self, trigger: &Trigger) -> bool {
        self.now.duration_since(trigger.last_confirmed) <= self.settings.thresholds.trigger_fresh
    }

    fn trigger_is_fresh(&self, wanted: &Move) -> Says {
        let limit = seconds(self.settings.thresholds.trigger_fresh);
        let mut newest = Vec::new();
        for (region, triggers) in self.triggered(wanted) {
            let Some(latest) = triggers.iter().max_by_key(|trigger| trigger.last_confirmed) else {
                continue;
            };
            let age = seconds(
                self.now
                    .duration_since(latest.last_confirmed)
                    .max(SignedDuration::ZERO),
            );
            if !self.is_fresh(latest) {
                return block(format!(
                    "{} for {region} was last confirmed {age} ago, limit {limit}",
                    latest.source
                ));
            }
            newest.push(format!(
                "{} for {region}, confirmed {age} ago",
                latest.source
            ));
        }
        if newest.is_empty() {
            return block("no open trigger");
        }
        pass(format!("{}, limit {limit}", newest.join("; ")))
    }

    /// A person's silence is respected: muted and suppressed alarms, and a member that somebody
    /// made active although it was bad. Our own evidence never outvotes a silenced alarm.
    fn trigger_not_suppressed(&self, wanted: &Move) -> Says {
        for (region, triggers) in self.triggered(wanted) {
            if let Some(since) = self.state.accepted.get(region) {
                return block(format!(
                    "a person made {region} active at {} although it was bad; acknowledge the incident to let it be left automatically",
                    text::clock(*since)
                ));
            }
            let quiet = |trigger: &Trigger| {
                trigger
                    .quiet
                    .clone()
                    .filter(|quiet| quiet.is_active(self.now))
            };
            let alarms: Vec<&&Trigger> = triggers
                .iter()
                .filter(|trigger| trigger.source != crate::state::Source::Evidence)
                .collect();
            let speaking = if alarms.is_empty() {
                true
            } else {
                alarms.iter().any(|trigger| quiet(trigger).is_none())
            };
            if !speaking {
                let silenced: Vec<String> = alarms
                    .iter()
                    .filter_map(|trigger| {
                        let quiet = quiet(trigger)?;
                        let until = quiet.until.map_or_else(
                            || "until further notice".to_owned(),
                            |until| format!("until {}", text::clock(until)),
                        );
                        Some(format!(
                            "{} is silenced by {} {until}",
                            trigger.source, quiet.by
                        ))
                    })
                    .collect();
                return block(silenced.join("; "));
            }
        }
        pass("no trigger is muted or suppressed")
    }

    fn mode_allows(&self, basis: Basis) -> Says {
        if basis == (Basis::Automatic { approved: true }) {
            return pass("approved by an operator");
        }
        match self.settings.mode {
            Mode::Automatic => pass("MODE is automatic"),
            Mode::Approve => block("MODE is approve: an operator has to approve this decision"),
            Mode::Observe => block("MODE is observe: decisions are reported only"),
        }
    }

    /// What the evidence says of one Region, with the age of the evidence.
    fn sight(&self, region: &Region) -> String {
        let Some(evidence) = self.observation.evidence else {
            return format!("{region} has never been probed");
        };
        let age = seconds(
            self.now
                .duration_since(evidence.observed_at)
                .max(SignedDuration::ZERO),
        );
        if self.evidence().is_none() {
            return format!(
                "the evidence is {age} old, limit {}",
                seconds(self.settings.thresholds.evidence_max_age)
            );
        }
        if let Observer::Sick { reason } = &evidence.observer {
            return format!("the observer cannot be believed: {reason}");
        }
        match evidence.member(region) {
            None => format!("{region} has never been probed"),
            Some(member) => format!(
                "{region} {} since {} ({}), seen {age} ago",
                member.verdict.as_str(),
                text::clock(member.since),
                member.detail
            ),
        }
    }

    fn vantage(&self) -> &'static str {
        match self.evidence().map(|evidence| evidence.vantage_points) {
            Some(2..) => "two vantage points",
            _ => "single vantage point",
        }
    }

    fn evidence_agrees(&self, basis: Basis, wanted: &Move) -> Says {
        let sights = |regions: &BTreeSet<Region>| {
            let all: Vec<String> = regions.iter().map(|region| self.sight(region)).collect();
            format!("{}; {}", all.join("; "), self.vantage())
        };
        match basis {
            Basis::Failback => self.home_is_stable(wanted),
            Basis::Switchover => {
                let detail = sights(&wanted.from);
                if wanted
                    .from
                    .iter()
                    .all(|region| self.verdict(region) == Verdict::Good)
                {
                    pass(detail)
                } else {
                    unknown(detail)
                }
            }
            Basis::Automatic { .. } | Basis::OperatorFailover => {
                let detail = sights(&wanted.from);
                let verdicts: Vec<Verdict> = wanted
                    .from
                    .iter()
                    .map(|region| self.verdict(region))
                    .collect();
                if verdicts.iter().all(|verdict| *verdict == Verdict::Bad) {
                    pass(detail)
                } else if verdicts.contains(&Verdict::Good) {
                    block(detail)
                } else {
                    unknown(detail)
                }
            }
        }
    }

    /// Home must have been good for the whole stabilization window.
    fn home_is_stable(&self, wanted: &Move) -> Says {
        let window = self.settings.thresholds.stabilization;
        let home = wanted.activated(self.observation.routes);
        for region in &home {
            let sight = self.sight(region);
            match self.verdict(region) {
                Verdict::Good => {}
                Verdict::Bad => return block(sight),
                _ => return unknown(sight),
            }
            let since = self
                .evidence()
                .and_then(|evidence| evidence.member(region))
                .map_or(self.now, |member| member.since);
            let healthy = self.now.duration_since(since);
            if healthy < window {
                return block(format!(
                    "{region} has been good for {} of {}",
                    seconds(healthy),
                    seconds(window)
                ));
            }
        }
        pass(format!(
            "{} good for at least {}; {}",
            text::list(&home),
            seconds(window),
            self.vantage()
        ))
    }

    fn not_on_hold(&self) -> Says {
        match self.state.active_hold(self.now) {
            None => pass("no hold is set"),
            Some(hold) => {
                let until = hold.until.map_or_else(
                    || "until released".to_owned(),
                    |until| format!("until {}", text::clock(until)),
                );
                block(format!(
                    "held since {} {until}: {}",
                    text::clock(hold.since),
                    hold.reason
                ))
            }
        }
    }

    /// Whoever begins to serve must be good; if nobody begins, somebody good must go on.
    fn target_is_healthy(&self, wanted: &Move) -> Says {
        let activated = wanted.activated(self.observation.routes);
        let (judged, all) = if activated.is_empty() {
            (&wanted.to, false)
        } else {
            (&activated, true)
        };
        let detail = if judged.is_empty() {
            "there is no target".to_owned()
        } else {
            judged
                .iter()
                .map(|region| self.sight(region))
                .collect::<Vec<_>>()
                .join("; ")
        };
        let healthy = |region: &Region| self.verdict(region).is_healthy_target();
        let enough = if all {
            judged.iter().all(healthy)
        } else {
            judged.iter().any(healthy)
        };
        if enough {
            pass(detail)
        } else if judged.iter().any(|region| {
            matches!(
                self.verdict(region),
                Verdict::Bad | Verdict::Throttled | Verdict::Misconfigured
            )
        }) {
            block(detail)
        } else {
            unknown(detail)
        }
    }

    fn target_not_drifted(&self, wanted: &Move) -> Says {
        match self.observation.drift {
            Drift::Unknown => unknown("no report of the readiness check"),
            Drift::Known {
                observed_at,
                findings,
            } => {
                let found: Vec<String> = wanted
                    .to
                    .iter()
                    .filter_map(|region| {
                        findings
                            .get(region)
                            .map(|list| format!("{region}: {}", list.join(", ")))
                    })
                    .collect();
                let age = seconds(self.now.duration_since(*observed_at));
                if found.is_empty() {
                    pass(format!("no finding, checked {age} ago"))
                } else {
                    block(format!("{}; checked {age} ago", found.join("; ")))
                }
            }
        }
    }

    /// The exposure of every pair of a Region that is left and one that serves afterwards.
    ///
    /// It does not look at the clock: an outage must not block its own failover by lasting.
    fn loss_is_acceptable(&self, wanted: &Move) -> Says {
        let limit = self.settings.thresholds.max_lag;
        let Some(evidence) = self.observation.evidence else {
            return unknown("exposure was never measured");
        };
        let mut worst: Option<(SignedDuration, &Region, &Region)> = None;
        let mut unmeasured = Vec::new();
        for source in &wanted.from {
            for target in &wanted.to {
                match evidence.exposure(source, target) {
                    None => unmeasured.push(format!("{source} to {target}")),
                    Some(exposure) => {
                        if worst.is_none_or(|(most, _, _)| exposure > most) {
                            worst = Some((exposure, source, target));
                        }
                    }
                }
            }
        }
        let mut detail = match worst {
            None => String::new(),
            Some((exposure, source, target)) => format!(
                "{target} may miss the last {} of writes made in {source} (at least), limit {}",
                seconds(exposure),
                seconds(limit)
            ),
        };
        if !unmeasured.is_empty() {
            let missing = format!("exposure never measured: {}", unmeasured.join(", "));
            detail = if detail.is_empty() {
                missing
            } else {
                format!("{detail}; {missing}")
            };
        }
        for ((source, target), pending) in self.observation.pending {
            if wanted.from.contains(source) && wanted.to.contains(target) {
                detail = format!(
                    "{detail}; {} operations pending {source} to {target} at {}",
                    pending.operations,
                    text::clock(pending.at)
                );
            }
        }
        if worst.is_some_and(|(exposure, _, _)| exposure > limit) {
            block(detail)
        } else if worst.is_none() && unmeasured.is_empty() {
            pass("nothing is left behind")
        } else if unmeasured.is_empty() {
            pass(detail)
        } else {
            unknown(detail)
        }
    }

    /// Nothing may be on its way home any more. Metrics that are absent prove nothing.
    fn drained(&self, wanted: &Move) -> Says {
        let home = wanted.activated(self.observation.routes);
        let mut details = Vec::new();
        let mut missing = Vec::new();
        for acting in self.observation.routes.active() {
            for target in &home {
                match self
                    .observation
                    .pending
                    .get(&(acting.clone(), target.clone()))
                {
                    None => missing.push(format!("{acting} to {target}")),
                    Some(pending) if pending.operations > 0 => {
                        return block(format!(
                            "{} operations still pending {acting} to {target}",
                            pending.operations
                        ));
                    }
                    Some(pending) => {
                        details.push(format!(
                            "nothing pending {acting} to {target} at {}",
                            text::clock(pending.at)
                        ));
                    }
                }
            }
        }
        if missing.is_empty() {
            pass(details.join("; "))
        } else {
            unknown(format!("no replication metrics for {}", missing.join(", ")))
        }
    }

    /// Cooldown is about returning, not leaving; any other move only waits a short while.
    fn cooldown(&self, wanted: &Move) -> Says {
        let thresholds = &self.settings.thresholds;
        let ended = self.state.cooldown_ended;
        let counts = |at: jiff::Timestamp| ended.is_none_or(|ended| at > ended);
        let activated = wanted.activated(self.observation.routes);
        for region in &activated {
            let Some(departure) = self
                .state
                .last_automatic_departure(region)
                .filter(|change| counts(change.at))
            else {
                continue;
            };
            let ago = self.now.duration_since(departure.at);
            if ago < thresholds.cooldown && !self.may_return_early(region) {
                return block(format!(
                    "{region} was left {} ago, cooldown {}; sooner only if every active member is bad and {region} was good for {}",
                    seconds(ago),
                    seconds(thresholds.cooldown),
                    seconds(thresholds.return_healthy)
                ));
            }
        }
        match self.state.changes.last().filter(|change| counts(change.at)) {
            Some(last) => {
                let ago = self.now.duration_since(last.at);
                if ago < thresholds.min_dwell {
                    block(format!(
                        "last change {} ago, shortest stay {}",
                        seconds(ago),
                        seconds(thresholds.min_dwell)
                    ))
                } else {
                    pass(format!(
                        "last change {} ago, cooldown {}",
                        seconds(ago),
                        seconds(thresholds.cooldown)
                    ))
                }
            }
            None => pass("no change on record"),
        }
    }

    fn may_return_early(&self, region: &Region) -> bool {
        let all_bad = self
            .observation
            .routes
            .active()
            .iter()
            .all(|active| self.verdict(active) == Verdict::Bad);
        let healthy_long_enough = self
            .evidence()
            .and_then(|evidence| evidence.member(region))
            .is_some_and(|member| {
                member.verdict == Verdict::Good
                    && self.now.duration_since(member.since)
                        >= self.settings.thresholds.return_healthy
            });
        all_bad && healthy_long_enough
    }

    fn daily_budget(&self) -> Says {
        let limit = self.settings.thresholds.daily_budget;
        let start = self.now.checked_sub(DAY).unwrap_or(jiff::Timestamp::MIN);
        let used = self.state.automatic_changes_since(start);
        let detail = format!("{used} of {limit} automatic changes in the last 24 hours");
        if used < usize::try_from(limit).unwrap_or(usize::MAX) {
            pass(detail)
        } else {
            block(detail)
        }
    }

    /// Named Regions are members, and the routes agree with the settings about their buckets.
    fn region_is_member(&self, wanted: &Move) -> Says {
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

    fn region_is_active(&self, wanted: &Move) -> Says {
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

    /// Whoever is changing the routes right now, or may be: nothing is decided until that is over.
    pub(super) fn others_are_acting(&self) -> Option<String> {
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

    /// One change at a time, and none against one that may still land.
    fn nobody_else_is_acting(&self, after: &Routes) -> Says {
        if let Some(why) = self.others_are_acting() {
            return block(why);
        }
        let settle = self.settings.thresholds.settle;
        for abandoned in &self.state.abandoned {
            let age = self.now.duration_since(abandoned.at);
            if age < settle && contradicts(after, &abandoned.plan) {
                return block(format!(
                    "a request of {} to move the dial to {} got no answer and may still land; waiting {}",
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

fn at_least_one_active(after: &Routes) -> Says {
    if after.active().is_empty() {
        block("no member would be active")
    } else {
        pass(format!(
            "active afterwards: {}",
            text::list(&after.active())
        ))
    }
}

fn target_exists(wanted: &Move) -> Says {
    if wanted.to.is_empty() {
        block("no member is left to serve from")
    } else {
        pass(format!("{} would serve", text::list(&wanted.to)))
    }
}
