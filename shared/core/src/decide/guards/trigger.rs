//! Is there a reason to act that counts, and does a person forbid acting on it?

use jiff::SignedDuration;

use super::{Says, block, pass, seconds, unknown};
use crate::decide::{Basis, Context, Move, text};
use crate::names::Region;
use crate::rehearsal::blocks_rehearsals;
use crate::settings::Mode;
use crate::state::{Source, Trigger};

impl Context<'_> {
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

    pub(super) fn trigger_is_fresh(&self, wanted: &Move) -> Says {
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

    /// Why nothing may move away from this Region automatically, if a person wants it so: its
    /// alarms are muted or suppressed, or somebody made it active although nothing showed it good. Our own
    /// evidence never outvotes a silenced alarm.
    pub(in crate::decide) fn silence(&self, region: &Region) -> Option<String> {
        if let Some(since) = self.state.accepted.get(region) {
            return Some(format!(
                "a person made {region} active at {} although it was not known to be good; acknowledge the incident to let it be left automatically",
                text::clock(*since)
            ));
        }
        let mut silenced = Vec::new();
        for trigger in self.triggers(region) {
            if trigger.source == Source::Evidence {
                continue;
            }
            let quiet = trigger.quiet.as_ref();
            let quiet = quiet.filter(|quiet| quiet.is_active(self.now))?;
            let until = quiet.until.map_or_else(
                || "until further notice".to_owned(),
                |until| format!("until {}", text::clock(until)),
            );
            silenced.push(format!(
                "{} is silenced by {} {until}",
                trigger.source, quiet.by
            ));
        }
        (!silenced.is_empty()).then(|| silenced.join("; "))
    }

    pub(super) fn trigger_not_suppressed(&self, wanted: &Move) -> Says {
        let silences: Vec<String> = wanted
            .from
            .iter()
            .filter_map(|region| self.silence(region))
            .collect();
        if silences.is_empty() {
            pass("no trigger is muted or suppressed")
        } else {
            block(silences.join("; "))
        }
    }

    pub(super) fn mode_allows(&self, basis: Basis, wanted: &Move) -> Says {
        match basis {
            Basis::Automatic { approved: true } | Basis::Homeward { approved: true } => {
                return pass("approved by an operator");
            }
            Basis::Homeward { approved: false } => return self.may_go_home(wanted),
            Basis::Rehearsal { .. } => return self.may_rehearse(),
            _ => {}
        }
        match self.settings.mode {
            Mode::Automatic => pass("MODE is automatic"),
            Mode::Approve => block("MODE is approve: an operator has to approve this decision"),
            Mode::Observe => block("MODE is observe: decisions are reported only"),
        }
    }

    fn may_go_home(&self, wanted: &Move) -> Says {
        let reasons = self.permission(wanted).reasons();
        if reasons.is_empty() {
            let windows = &self.settings.failback_windows;
            pass(format!(
                "FAILBACK is automatic, FAILBACK_WINDOWS ({windows}) are open"
            ))
        } else {
            block(reasons.join("; "))
        }
    }

    /// The schedule's rehearsals have windows and alarms that stand in their way.
    fn may_rehearse(&self) -> Says {
        let windows = &self.settings.rehearsal_windows;
        if !windows.is_open(self.now) {
            let opens = windows.next_opening(self.now).map_or_else(
                || "not within two weeks".to_owned(),
                |at| format!("at {}", text::clock(at)),
            );
            return block(format!(
                "REHEARSAL_WINDOWS ({windows}) are shut and open next {opens}"
            ));
        }
        let mut unasked = Vec::new();
        for (arn, now) in self.observation.blocking_alarms {
            match blocks_rehearsals(now) {
                Some(true) => {
                    return block(format!(
                        "alarm {} of REHEARSAL_BLOCKING_ALARMS is in ALARM or does not exist",
                        arn.name()
                    ));
                }
                Some(false) => {}
                None => unasked.push(arn.name()),
            }
        }
        if unasked.is_empty() {
            pass(format!(
                "REHEARSAL_WINDOWS ({windows}) are open, {} blocking alarms are quiet",
                self.observation.blocking_alarms.len()
            ))
        } else {
            unknown(format!(
                "CloudWatch does not tell of REHEARSAL_BLOCKING_ALARMS {}",
                unasked.join(", ")
            ))
        }
    }

    pub(super) fn not_on_hold(&self) -> Says {
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
}
