//! Triggers: reasons to act that stay open until they are gone.
//!
//! An alarm acts on transitions only and most obstacles are temporary, so a transition into
//! ALARM opens a trigger, and every tick confirms it and decides again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::alarm::{AlarmState, AlarmTransition, Suppression};
use crate::evidence::{Evidence, Verdict};
use crate::names::{AlarmArn, Region};
use crate::routes::Routes;
use crate::state::{AlarmMemory, Quiet, Source, State, Trigger};

/// What a transition meant for the triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It opened a trigger.
    Opened,
    /// It confirmed one that was open.
    Confirmed,
    /// It closed one.
    Closed,
    /// It is remembered, and changes no trigger.
    Recorded,
    /// It is older than what is known of the alarm, or known already.
    Late,
}

/// What CloudWatch says of an alarm now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlarmNow {
    /// It is in this state.
    State {
        /// The state.
        state: AlarmState,
        /// What suppresses a composite alarm's actions.
        suppressed_by: Option<String>,
    },
    /// It does not exist any more.
    Gone,
    /// CloudWatch could not be asked.
    Unreachable,
}

/// The key under which an alarm's last transition is remembered.
fn memory_key(arn: &AlarmArn, contributor: Option<&str>) -> String {
    contributor.map_or_else(|| arn.to_string(), |id| format!("{arn}#{id}"))
}

/// Whether a trigger is over when this alarm, or only this contributor of it, is OK.
fn is_over(source: &Source, arn: &AlarmArn, ok: Option<&str>) -> bool {
    match source {
        Source::Alarm { arn: own, .. } if ok.is_none() => own == arn,
        Source::Alarm {
            arn: own,
            contributor,
        } => own == arn && contributor.as_deref() == ok,
        Source::Evidence => false,
    }
}

fn quiet_of(suppression: Option<&Suppression>) -> Option<Quiet> {
    suppression.map(|suppression| match suppression {
        Suppression::Muted { by, until } => Quiet {
            by: format!("mute rule {}", by.rsplit(':').next().unwrap_or(by)),
            until: *until,
        },
        Suppression::Suppressed { by, .. } => Quiet {
            by: format!("{SUPPRESSOR} ({by})"),
            until: None,
        },
    })
}

/// A trigger that nothing has confirmed for this long is closed once our own probes find the Region good.
const UNCONFIRMED: SignedDuration = SignedDuration::from_mins(15);

/// How a composite alarm's suppressor is called in [`Quiet::by`].
const SUPPRESSOR: &str = "the composite alarm's suppressor";

impl State {
    /// Takes note of an alarm's transition for the Regions it speaks for.
    ///
    /// Duplicates, late and out-of-order deliveries change nothing.
    pub fn note_transition(
        &mut self,
        transition: &AlarmTransition,
        regions: &BTreeSet<Region>,
        now: Timestamp,
    ) -> Noted {
        let contributor = transition
            .contributor
            .as_ref()
            .map(|contributor| contributor.id.as_str());
        let key = memory_key(&transition.arn, contributor);
        let known = self.alarms.get(&key);
        if known.is_some_and(|memory| transition.changed_at < memory.changed_at) {
            return Noted::Late;
        }
        let repeated = known.is_some_and(|memory| {
            transition.changed_at == memory.changed_at && memory.state == transition.state.as_str()
        });
        self.alarms.insert(
            key,
            AlarmMemory {
                state: transition.state.as_str().to_owned(),
                changed_at: transition.changed_at,
                regions: regions.clone(),
            },
        );
        let source = Source::Alarm {
            arn: transition.arn.clone(),
            contributor: contributor.map(str::to_owned),
        };
        match transition.state {
            AlarmState::Alarm => {
                let mut noted = Noted::Late;
                for region in regions {
                    let one = self.open_trigger(
                        Trigger {
                            region: region.clone(),
                            source: source.clone(),
                            since: transition.changed_at,
                            last_confirmed: transition.changed_at,
                            quiet: quiet_of(transition.suppression.as_ref()),
                        },
                        repeated,
                        now,
                    );
                    if noted == Noted::Late || one == Noted::Opened {
                        noted = one;
                    }
                }
                noted
            }
            AlarmState::Ok => {
                let before = self.triggers.len();
                self.triggers
                    .retain(|trigger| !is_over(&trigger.source, &transition.arn, contributor));
                if self.triggers.len() < before {
                    self.note(now, format!("{source} is OK"));
                    Noted::Closed
                } else {
                    Noted::Recorded
                }
            }
            AlarmState::InsufficientData | AlarmState::Other(_) => Noted::Recorded,
        }
    }

    /// Opens a trigger or confirms the one that is open. A repeated delivery reopens nothing
    /// that was closed by an acknowledgement.
    fn open_trigger(&mut self, trigger: Trigger, repeated: bool, now: Timestamp) -> Noted {
        if let Some(open) = self
            .triggers
            .iter_mut()
            .find(|open| open.source == trigger.source && open.region == trigger.region)
        {
            open.last_confirmed = open.last_confirmed.max(trigger.last_confirmed);
            if !repeated || trigger.quiet.is_none() {
                open.quiet = trigger.quiet;
            }
            return Noted::Confirmed;
        }
        if repeated {
            return Noted::Late;
        }
        self.open_incident(trigger.since, &trigger.region, now);
        self.note(
            now,
            format!("{} opened a trigger for {}", trigger.source, trigger.region),
        );
        self.triggers.push(trigger);
        Noted::Opened
    }

    /// The Regions that this alarm spoke for last, if it was seen lately: tells a composite's children.
    #[must_use]
    pub fn alarm_regions(&self, arn: &AlarmArn) -> Option<BTreeSet<Region>> {
        self.alarms
            .get(arn.as_str())
            .map(|memory| memory.regions.clone())
            .filter(|regions| !regions.is_empty())
    }

    /// The alarms whose open triggers have to be confirmed: those last confirmed `older` ago or more.
    #[must_use]
    pub fn alarms_to_confirm(&self, older: SignedDuration, now: Timestamp) -> BTreeSet<AlarmArn> {
        self.triggers
            .iter()
            .filter(|trigger| now.duration_since(trigger.last_confirmed) >= older)
            .filter_map(|trigger| match &trigger.source {
                Source::Alarm { arn, .. } => Some(arn.clone()),
                Source::Evidence => None,
            })
            .collect()
    }

    /// Confirms, keeps or closes the open triggers: an alarm by what CloudWatch says of it now,
    /// else by our own evidence; our own by the evidence.
    ///
    /// An alarm in `INSUFFICIENT_DATA` or out of reach keeps its trigger, which only the
    /// evidence can confirm; without either it grows stale. One that was deleted keeps it until
    /// the evidence is good: nobody will ever call it OK.
    pub fn confirm_triggers(
        &mut self,
        described: &BTreeMap<AlarmArn, AlarmNow>,
        evidence: Option<&Evidence>,
        now: Timestamp,
    ) {
        let bad_at = |region: &Region| {
            evidence
                .filter(|evidence| evidence.verdict(region) == Verdict::Bad)
                .map(|evidence| evidence.observed_at)
        };
        let good = |region: &Region| {
            evidence.is_some_and(|evidence| evidence.verdict(region) == Verdict::Good)
        };
        let mut closed = Vec::new();
        self.triggers.retain_mut(|trigger| {
            let by_evidence = bad_at(&trigger.region);
            let arn = match &trigger.source {
                Source::Evidence if good(&trigger.region) => {
                    closed.push(format!("our own probes find {} good", trigger.region));
                    return false;
                }
                Source::Evidence => None,
                Source::Alarm { arn, .. } => Some(arn),
            };
            match arn.and_then(|arn| described.get(arn)) {
                Some(AlarmNow::State {
                    state: AlarmState::Ok,
                    ..
                }) => {
                    closed.push(format!("{} is OK", trigger.source));
                    return false;
                }
                Some(AlarmNow::State {
                    state: AlarmState::Alarm,
                    suppressed_by,
                }) => {
                    trigger.last_confirmed = trigger.last_confirmed.max(now);
                    trigger.quiet = match suppressed_by {
                        Some(by) => Some(Quiet {
                            by: format!("{SUPPRESSOR} ({by})"),
                            until: None,
                        }),
                        // A mute window ends by its own time; a suppression ends when CloudWatch shows none.
                        None => trigger.quiet.take().filter(|quiet| {
                            quiet.until.is_some() || !quiet.by.starts_with(SUPPRESSOR)
                        }),
                    };
                }
                Some(AlarmNow::Gone) if good(&trigger.region) => {
                    closed.push(format!(
                        "{} was deleted and our own probes find {} good",
                        trigger.source, trigger.region
                    ));
                    return false;
                }
                _ => match by_evidence {
                    Some(seen) => trigger.last_confirmed = trigger.last_confirmed.max(seen),
                    // An alarm over sparse metrics may never say OK: that alone pages nobody for ever.
                    None if good(&trigger.region)
                        && now.duration_since(trigger.last_confirmed) >= UNCONFIRMED =>
                    {
                        closed.push(format!(
                            "{} was not confirmed any more and our own probes find {} good",
                            trigger.source, trigger.region
                        ));
                        return false;
                    }
                    None => {}
                },
            }
            true
        });
        for text in closed {
            self.note(now, text);
        }
    }

    /// Opens a trigger for every active member that the evidence has shown bad for long enough, or
    /// that so many rounds of the health check in a row found bad.
    pub fn open_evidence_triggers(
        &mut self,
        evidence: &Evidence,
        routes: &Routes,
        (bad_for, bad_rounds): (SignedDuration, u32),
        now: Timestamp,
    ) {
        for region in routes.active() {
            if evidence.verdict(&region) != Verdict::Bad {
                continue;
            }
            let Some(member) = evidence.member(&region) else {
                continue;
            };
            // An acknowledgement begins afresh: what lasts is waited for anew.
            let since = self
                .cooldown_ended
                .map_or(member.since, |acknowledged| member.since.max(acknowledged));
            // Which of the rounds came after the acknowledgement is not told.
            let by_rounds = since == member.since && member.bad_rounds >= bad_rounds;
            if evidence.observed_at.duration_since(since) < bad_for && !by_rounds {
                continue;
            }
            let trigger = Trigger {
                since,
                last_confirmed: evidence.observed_at,
                source: Source::Evidence,
                quiet: None,
                region: region.clone(),
            };
            self.open_trigger(trigger, false, now);
        }
    }

    /// Ends an incident that led to no change once all its triggers are closed.
    /// Returns the id of the incident that ended.
    pub fn end_idle_incident(&mut self, now: Timestamp) -> Option<String> {
        let idle = self.triggers.is_empty() && self.claim.is_none() && self.proof.is_none();
        let incident = self
            .incident
            .as_ref()
            .filter(|incident| idle && incident.routes_before.is_none())?;
        let id = incident.id.clone();
        self.close_incident(now, "all triggers closed without a change");
        Some(id)
    }

    /// Lifts the protection of a person's choice once the member was seen good, or serves no more.
    ///
    /// What counts is the settled routes: a reading that is not yet accounted for may be an old copy.
    pub fn review_accepted(&mut self, evidence: Option<&Evidence>) {
        let settled = self.settled.as_ref().map(|settled| &settled.routes);
        self.accepted.retain(|region, _| {
            settled.is_none_or(|routes| routes.is_active(region))
                && evidence.is_none_or(|evidence| evidence.verdict(region) != Verdict::Good)
        });
    }
}
