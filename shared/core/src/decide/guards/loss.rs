//! What a change may lose.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::{Says, block, pass, seconds, unknown};
use crate::decide::{Context, Drift, Move, Redrives, Unfit, text};
use crate::evidence::Verdict;
use crate::guard::GuardVerdict;
use crate::names::Region;

/// What is said of each of these Regions that counts for this change.
fn said_of<'a>(
    said: &BTreeMap<Region, Vec<Unfit>>,
    regions: &'a BTreeSet<Region>,
    wanted: &Move,
) -> BTreeMap<&'a Region, String> {
    let counts = |one: &&Unfit| {
        let leaving = one.leaving.as_ref();
        leaving.is_none_or(|region| wanted.from.contains(region))
    };
    let of_region = |region: &'a Region| {
        let list = said.get(region)?.iter().filter(counts);
        let list: Vec<&str> = list.map(|one| one.what.as_str()).collect();
        (!list.is_empty()).then(|| (region, format!("{region}: {}", list.join(", "))))
    };
    regions.iter().filter_map(of_region).collect()
}

/// How old the newest replication metric may be. S3 publishes them by the minute, some minutes
/// late, and promises nothing.
const METRICS_FRESH: SignedDuration = SignedDuration::from_mins(10);
/// The longest silence between two data points of the drain window that proves nothing yet.
const METRICS_GAP: SignedDuration = SignedDuration::from_mins(5);

impl Context<'_> {
    pub(super) fn target_not_drifted(&self, wanted: &Move) -> Says {
        match self.observation.drift {
            Drift::Unknown => unknown("no report of the readiness check"),
            Drift::Known {
                observed_at,
                findings,
                unknown: unseen,
            } => {
                let age = seconds(self.now.duration_since(*observed_at));
                let judged = self.who_must_be_fit(wanted);
                let found = said_of(findings, &judged, wanted);
                let unseen = said_of(unseen, &judged, wanted);
                // Nobody begins to serve: then one who goes on and is fit is enough.
                let is_enough = |bad: &BTreeMap<&Region, String>| {
                    wanted.activated(self.observation.routes).is_empty()
                        && judged.iter().any(|region| !bad.contains_key(region))
                };
                let doubtful = found.clone().into_iter().chain(unseen.clone()).collect();
                if found.is_empty() && unseen.is_empty() {
                    pass(format!("no finding, checked {age} ago"))
                } else if is_enough(&doubtful) {
                    pass(format!(
                        "somebody who goes on serving has no finding, checked {age} ago"
                    ))
                } else if found.is_empty() || is_enough(&found) {
                    let unseen: Vec<String> = unseen.into_values().collect();
                    unknown(format!(
                        "could not be looked at: {}; checked {age} ago",
                        unseen.join("; ")
                    ))
                } else {
                    let found: Vec<String> = found.into_values().collect();
                    block(format!("{}; checked {age} ago", found.join("; ")))
                }
            }
        }
    }

    /// Whoever begins to serve; if nobody begins, those who go on and are good: they have served
    /// before, whatever is found.
    fn who_must_be_fit(&self, wanted: &Move) -> BTreeSet<Region> {
        let activated = wanted.activated(self.observation.routes);
        if !activated.is_empty() {
            return activated;
        }
        let stay = wanted.to.iter();
        stay.filter(|region| self.verdict(region) == Verdict::Good)
            .cloned()
            .collect()
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
        // When canaries came by a rule, the last of them tells how old what is there may be.
        let since = |source: &Region, target: &Region| {
            let left = evidence
                .member(target)?
                .out_of_scope
                .get(source)
                .copied()??;
            Some(format!(" (no canary since {})", text::clock(left)))
        };
        for source in &wanted.from {
            for target in &wanted.to {
                match evidence.exposure(source, target) {
                    None => {
                        let since = since(source, target).unwrap_or_default();
                        unmeasured.push(format!("{source} to {target}{since}"));
                    }
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
            let missing = format!("exposure not measured: {}", unmeasured.join(", "));
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

    /// Nothing may be on its way home any more, over the whole of the drain window and by every
    /// sign there is: replication metrics, canaries, re-drives. What is absent proves nothing.
    pub(super) fn drained(&self, wanted: &Move) -> Says {
        let home = wanted.activated(self.observation.routes);
        let way_home = self.observation.way_home;
        if let (Redrives::Unknown { why }, true) = (&way_home.redrives, way_home.drains.is_empty())
        {
            return unknown(format!("nothing is known of the way home: {why}"));
        }
        let mut found = Vec::new();
        for acting in self.observation.routes.active() {
            for target in &home {
                found.push(self.is_empty(&acting, target));
                found.push(self.canaries_arrive(&acting, target));
            }
        }
        found.push(match &way_home.redrives {
            Redrives::Unknown { why } => unknown(format!("re-drives are not known: {why}")),
            Redrives::Known(_) => match self.on_the_way(wanted, false).as_slice() {
                [] => pass("no re-drive towards home is under way"),
                moving => block(moving.join("; ")),
            },
        });
        let held = self.on_the_way(wanted, true);
        if !held.is_empty() {
            found.push(pass(format!("waiting for a person: {}", held.join("; "))));
        }
        let worst = [GuardVerdict::Block, GuardVerdict::Unknown]
            .into_iter()
            .find(|verdict| found.iter().any(|(one, _)| one == verdict))
            .unwrap_or(GuardVerdict::Pass);
        // What blocks is said first and what is fine only if all is.
        found.retain(|(verdict, _)| *verdict != GuardVerdict::Pass || worst == *verdict);
        found.sort_by_key(|(verdict, _)| *verdict != GuardVerdict::Block);
        let details: Vec<String> = found.into_iter().map(|(_, detail)| detail).collect();
        (worst, details.join("; "))
    }

    /// What S3's metrics say of one pair over the drain window.
    fn is_empty(&self, acting: &Region, target: &Region) -> Says {
        let window = self.settings.thresholds.drain;
        let pair = (acting.clone(), target.clone());
        let drains = self.observation.way_home.drains.get(&pair);
        let Some(drains) = drains.filter(|drains| !drains.is_empty()) else {
            return unknown(format!("no replication metrics for {acting} to {target}"));
        };
        for drain in drains {
            let age = self.now.duration_since(drain.last);
            if age > METRICS_FRESH {
                return unknown(format!(
                    "the newest replication metric for {acting} to {target} is {} old, limit {}",
                    seconds(age),
                    seconds(METRICS_FRESH)
                ));
            }
        }
        let canaries = self.canaries_in_flight(acting, target);
        let traffic = self.settings.thresholds.drain_operations;
        let most: u64 = drains
            .iter()
            .map(|drain| drain.most)
            .fold(0, u64::saturating_add);
        let worst = drains.iter().max_by_key(|drain| drain.most);
        let at = worst.map_or(self.now, |drain| drain.most_at);
        if most > canaries.saturating_add(traffic) {
            return block(format!(
                "{most} operations pending {acting} to {target} at {}; canaries explain {canaries}, DRAIN_OPERATIONS allows {traffic}, for {}",
                text::clock(at),
                seconds(window)
            ));
        }
        for drain in drains {
            if drain.covered < window || drain.gap > METRICS_GAP {
                return unknown(format!(
                    "the replication metrics for {acting} to {target} cover {} of {}, with gaps of up to {}",
                    seconds(drain.covered.min(window)),
                    seconds(window),
                    seconds(drain.gap)
                ));
            }
        }
        if most == 0 {
            return pass(format!(
                "nothing pending {acting} to {target} over {}",
                seconds(window)
            ));
        }
        pass(format!(
            "at most {most} operations pending {acting} to {target} over {}, canaries explain {canaries}, DRAIN_OPERATIONS allows {traffic}",
            seconds(window)
        ))
    }

    /// Our own canaries are replicated too, so some of what is pending may be they: one of each
    /// round that has not arrived yet, and the round's own. Replication is now slower, now faster,
    /// and the window is judged by its worst minute, so one minute of rounds may always be on its
    /// way, and, however slow it is, two at most. A witness writes as many again, and this
    /// function's own round may have come in between.
    fn canaries_in_flight(&self, acting: &Region, target: &Region) -> u64 {
        let exposure = self
            .observation
            .evidence
            .and_then(|evidence| evidence.exposure(acting, target))
            .unwrap_or_default();
        let interval = self.settings.thresholds.probe_interval.unsigned_abs();
        let interval = interval.as_secs().max(1);
        let per_minute = 60_u64.div_ceil(interval);
        let late = exposure.unsigned_abs().as_secs() / interval;
        let rounds = late.saturating_add(1).clamp(per_minute, 2 * per_minute);
        let writers = if self.settings.witness.is_some() {
            2
        } else {
            1
        };
        rounds * writers + 1
    }

    /// What the canaries say of one pair. A large backlog can lie behind quick canaries, so they
    /// alone prove nothing; slow ones disprove.
    fn canaries_arrive(&self, acting: &Region, target: &Region) -> Says {
        let limit = self.settings.thresholds.max_lag;
        let evidence = self.observation.evidence;
        match evidence.and_then(|evidence| evidence.exposure(acting, target)) {
            None => unknown(format!("no canary of {acting} was ever seen in {target}")),
            Some(lag) if lag > limit => block(format!(
                "canaries of {acting} arrive in {target} {} late, limit {}",
                seconds(lag),
                seconds(limit)
            )),
            Some(lag) => pass(format!(
                "canaries of {acting} arrive in {target} within {}",
                seconds(lag)
            )),
        }
    }
}
