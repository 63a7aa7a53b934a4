//! What our own probes say about both sides of a change.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{Says, block, pass, seconds, unknown};
use crate::decide::{Basis, Context, Move, text};
use crate::evidence::{Observer, Verdict};
use crate::names::Region;

impl Context<'_> {
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

    fn vantage(&self) -> String {
        let points = self.evidence().map(|evidence| evidence.vantage_points);
        match (points, &self.settings.witness) {
            (Some(2..), _) => "two vantage points".to_owned(),
            (_, None) => "single vantage point".to_owned(),
            (_, Some(witness)) => {
                format!(
                    "single vantage point, because one of two is silent or sick (the witness is in {witness})"
                )
            }
        }
    }

    pub(super) fn evidence_agrees(&self, basis: Basis, wanted: &Move) -> Says {
        let sights = |regions: &BTreeSet<Region>| {
            let all: Vec<String> = regions.iter().map(|region| self.sight(region)).collect();
            format!("{}; {}", all.join("; "), self.vantage())
        };
        match basis {
            Basis::Failback | Basis::Homeward { .. } => self.home_is_stable(basis, wanted),
            Basis::Switchover | Basis::Rehearsal { .. } => {
                // Where nobody is left, members are added to those that serve.
                let serving = if wanted.from.is_empty() {
                    self.observation.routes.active()
                } else {
                    wanted.from.clone()
                };
                let detail = sights(&serving);
                let mut verdicts = serving.iter().map(|region| self.verdict(region));
                if verdicts.all(|verdict| verdict == Verdict::Good) {
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

    /// Home must have been good for the whole stabilization window, and for the machine no alarm
    /// about it may be open either.
    fn home_is_stable(&self, basis: Basis, wanted: &Move) -> Says {
        let window = self.settings.thresholds.stabilization;
        let home = wanted.activated(self.observation.routes);
        for region in &home {
            let sight = self.sight(region);
            let mut triggers = self.triggers(region);
            if let (Basis::Homeward { .. }, Some(trigger)) = (basis, triggers.next()) {
                return block(format!(
                    "{} still speaks against {region}, last confirmed at {}; {sight}",
                    trigger.source,
                    text::clock(trigger.last_confirmed)
                ));
            }
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

    /// Whoever begins to serve must be good; if nobody begins, somebody good must go on.
    pub(super) fn target_is_healthy(&self, wanted: &Move) -> Says {
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
}
