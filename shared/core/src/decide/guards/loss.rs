//! What a change may lose.

use jiff::SignedDuration;

use super::{Says, block, pass, seconds, unknown};
use crate::decide::{Context, Drift, Move, Unfit, text};
use crate::names::Region;

impl Context<'_> {
    pub(super) fn target_not_drifted(&self, wanted: &Move) -> Says {
        match self.observation.drift {
            Drift::Unknown => unknown("no report of the readiness check"),
            Drift::Known {
                observed_at,
                findings,
            } => {
                let counts = |one: &&Unfit| {
                    let leaving = one.leaving.as_ref();
                    leaving.is_none_or(|region| wanted.from.contains(region))
                };
                let found: Vec<String> = wanted
                    .to
                    .iter()
                    .filter_map(|region| {
                        let list = findings.get(region)?.iter().filter(counts);
                        let list: Vec<&str> = list.map(|one| one.what.as_str()).collect();
                        (!list.is_empty()).then(|| format!("{region}: {}", list.join(", ")))
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
    pub(super) fn loss_is_acceptable(&self, wanted: &Move) -> Says {
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
                "{target} may miss at least the last {} of writes made in {source}, limit {}",
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
    pub(super) fn drained(&self, wanted: &Move) -> Says {
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
}
