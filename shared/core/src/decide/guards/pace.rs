//! How often the dial may be turned automatically.

use std::fmt::Write;

use jiff::SignedDuration;

use super::{Says, block, pass, seconds};
use crate::decide::{Context, Move};
use crate::evidence::Verdict;
use crate::names::Region;

/// The budget's window.
const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Context<'_> {
    /// Cooldown is about returning, not leaving; any other move only waits a short while.
    pub(super) fn cooldown(&self, wanted: &Move) -> Says {
        let thresholds = &self.settings.thresholds;
        let ended = self.state.cooldown_ended;
        let counts = |at: jiff::Timestamp| ended.is_none_or(|ended| at > ended);
        let mut early = String::new();
        for region in &wanted.activated(self.observation.routes) {
            let Some(departure) = self
                .state
                .last_automatic_departure(region)
                .filter(|change| counts(change.at))
            else {
                continue;
            };
            let ago = self.now.duration_since(departure.at);
            if ago >= thresholds.cooldown {
                continue;
            }
            if self.may_return_early(region) {
                let _ = write!(
                    early,
                    "; {region} was left {} ago and may return early: every active member is bad and it has been good for {}",
                    seconds(ago),
                    seconds(thresholds.return_healthy)
                );
            } else {
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
                        "last change {} ago, cooldown {}{early}",
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

    pub(super) fn daily_budget(&self) -> Says {
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
}
