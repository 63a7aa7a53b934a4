//! The decision: which change of the routes, if any, and what every guard says about it.
//!
//! [`decide`] is a pure function of what was observed, what is recorded, the settings, the
//! request and the time. Its result is data, printed the same in logs, announcements, answers
//! and the drill.

mod guards;
mod home;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::evidence::{Evidence, Verdict};
use crate::guard::{Guard, GuardReport, GuardVerdict};
use crate::names::{AlarmArn, Region};
use crate::routes::{Dial, Routes};
use crate::settings::{Mode, Settings, Topology};
use crate::state::{Actor, Kind, Plan, State, Trigger, incident_id};
use crate::triggers::AlarmNow;

pub use home::{Drain, Redrive, Redrives, WayHome};

/// What the readiness check last found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Drift {
    /// No report, or one that is too old or cannot be read.
    #[default]
    Unknown,
    /// Findings that would make a failover to the Region lose data or fail.
    Known {
        /// When the check ran.
        observed_at: Timestamp,
        /// Findings per target Region; a Region without any is absent.
        findings: BTreeMap<Region, Vec<Unfit>>,
        /// What could not be looked at and may make the Region unfit.
        unknown: BTreeMap<Region, Vec<Unfit>>,
    },
}

/// What makes a Region unfit to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Only for those who leave this Region; for everybody if none is named.
    pub leaving: Option<Region>,
    /// What it is.
    pub what: String,
}

/// What S3's own replication metrics last said about one ordered pair of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The largest `OperationsPendingReplication` in the window that was asked for.
    pub operations: u64,
    /// When the newest data point was published.
    pub at: Timestamp,
}

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// The routes as the control plane shows them.
    pub routes: &'a Routes,
    /// The latest evidence; too old counts as none.
    pub evidence: Option<&'a Evidence>,
    /// What the readiness check found.
    pub drift: &'a Drift,
    /// Replication metrics per (source, target); absent where there are none.
    pub pending: &'a BTreeMap<(Region, Region), Pending>,
    /// What is still on its way home.
    pub way_home: &'a WayHome,
    /// The alarms that stand in the way of a scheduled rehearsal, as CloudWatch shows them.
    pub blocking_alarms: &'a BTreeMap<AlarmArn, AlarmNow>,
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Order {
    /// Regions to leave; empty: every active member but the targets.
    pub from: BTreeSet<Region>,
    /// Regions to serve from; empty: the most preferred healthy one.
    pub to: BTreeSet<Region>,
    /// Why.
    pub reason: String,
    /// Guards that are to be overridden.
    pub overrides: BTreeSet<Guard>,
}

/// What a decision is wanted about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// The open triggers.
    Triggers {
        /// The decision that an operator approved, if one did.
        approved: bool,
    },
    /// An operator's failover or switchover.
    Failover(Order),
    /// The way home, by an operator.
    Failback(Order),
    /// The way home that was proposed and that an operator approved.
    Homeward,
    /// The way out of a rehearsal; the way back is a failover in the other direction.
    Rehearsal {
        /// What is asked for.
        order: Order,
        /// Whether the schedule asks and not a person.
        scheduled: bool,
    },
}

/// Who asks for a decision, and about what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The invocation's id: its own claim is no obstacle.
    pub id: String,
    /// What about.
    pub wish: Wish,
}

/// A change that was considered, with everything that was weighed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// The change.
    pub plan: Plan,
    /// The guards that stand in the way.
    pub blocking: BTreeSet<Guard>,
    /// Whether the evidence shows a Region bad that the change would leave.
    pub source_is_bad: bool,
    /// Since when the evidence has shown a Region bad that would begin to serve.
    pub target_bad_since: Option<Timestamp>,
    /// One paragraph for a person woken at night.
    pub explanation: String,
}

impl Assessment {
    /// What a guard says.
    fn verdict(&self, guard: Guard) -> Option<GuardVerdict> {
        let mut guards = self.plan.guards.iter();
        let report = guards.find(|report| report.guard == guard)?;
        Some(report.verdict)
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is wanted.
    NoChange {
        /// Why.
        explanation: String,
    },
    /// Something is wanted but a guard stands in the way.
    Blocked(Assessment),
    /// It would be done if `MODE` were not `observe`, or if this were not a dry run.
    WouldAct(Assessment),
    /// It would be done if an operator approved it.
    NeedsApproval(Assessment),
    /// It will be done once what stands in the way has passed, and nobody has to see to it: the way
    /// home while home stabilizes and drains.
    Waits(Assessment),
    /// It is to be done.
    Act(Assessment),
}

impl Decision {
    /// What was considered, if anything was.
    #[must_use]
    pub fn assessment(&self) -> Option<&Assessment> {
        match self {
            Self::NoChange { .. } => None,
            Self::Blocked(assessment)
            | Self::WouldAct(assessment)
            | Self::NeedsApproval(assessment)
            | Self::Waits(assessment)
            | Self::Act(assessment) => Some(assessment),
        }
    }

    /// One paragraph for a person woken at night.
    #[must_use]
    pub fn explanation(&self) -> &str {
        match self {
            Self::NoChange { explanation } => explanation,
            Self::Blocked(assessment)
            | Self::WouldAct(assessment)
            | Self::NeedsApproval(assessment)
            | Self::Waits(assessment)
            | Self::Act(assessment) => &assessment.explanation,
        }
    }
}

/// What governs a change: the columns of the guard table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    /// Open triggers.
    Automatic {
        /// An operator approved it.
        approved: bool,
    },
    /// An operator, away from a member that is not known to be good.
    OperatorFailover,
    /// An operator, both sides healthy.
    Switchover,
    /// Over and back again, both sides healthy.
    Rehearsal {
        /// The schedule asks and not a person.
        scheduled: bool,
    },
    /// The way home, by an operator.
    Failback,
    /// The way home, by itself.
    Homeward {
        /// An operator approved it.
        approved: bool,
    },
}

impl Basis {
    fn kind(self) -> Kind {
        match self {
            Self::Automatic { .. } | Self::OperatorFailover => Kind::Failover,
            Self::Switchover | Self::Rehearsal { .. } => Kind::Switchover,
            Self::Failback | Self::Homeward { .. } => Kind::Failback,
        }
    }

    fn actor(self) -> Actor {
        match self {
            Self::Automatic { .. } => Actor::Automatic,
            Self::Homeward { approved } => home::actor(approved),
            // Who set the schedule wants it.
            Self::Rehearsal { .. } | Self::OperatorFailover | Self::Switchover | Self::Failback => {
                Actor::Operator
            }
        }
    }
}

/// A change before it is judged.
#[derive(Debug, Clone)]
struct Move {
    from: BTreeSet<Region>,
    /// Everything that serves afterwards.
    to: BTreeSet<Region>,
}

impl Move {
    /// The Regions that begin to serve.
    fn activated(&self, routes: &Routes) -> BTreeSet<Region> {
        self.to
            .iter()
            .filter(|region| !routes.is_active(region))
            .cloned()
            .collect()
    }
}

/// Everything that the guards look at.
struct Context<'a> {
    observation: Observation<'a>,
    state: &'a State,
    settings: &'a Settings,
    request: &'a Request,
    now: Timestamp,
    overrides: &'a BTreeSet<Guard>,
    reason: &'a str,
}

impl Context<'_> {
    /// The evidence, unless it is too old to be believed.
    fn evidence(&self) -> Option<&Evidence> {
        self.observation.evidence.filter(|evidence| {
            self.now.duration_since(evidence.observed_at)
                <= self.settings.thresholds.evidence_max_age
        })
    }

    fn verdict(&self, region: &Region) -> Verdict {
        self.evidence()
            .map_or(Verdict::Unknown, |evidence| evidence.verdict(region))
    }

    /// The open triggers that speak for this Region.
    fn triggers(&self, region: &Region) -> impl Iterator<Item = &Trigger> {
        self.state
            .triggers
            .iter()
            .filter(move |trigger| &trigger.region == region)
    }

    fn is_triggered(&self, region: &Region) -> bool {
        self.triggers(region).next().is_some()
    }
}

/// Decides about a request.
///
/// Always the same for the same arguments. The decision's id depends on the incident, the kind,
/// the Regions and the routes only, so that deciding again about the same situation gives the
/// same id.
#[must_use]
pub fn decide(
    observation: Observation<'_>,
    state: &State,
    settings: &Settings,
    request: &Request,
    now: Timestamp,
) -> Decision {
    let nothing = BTreeSet::new();
    let (overrides, reason) = match &request.wish {
        Wish::Triggers { .. } | Wish::Homeward => (&nothing, ""),
        Wish::Failover(order) | Wish::Failback(order) | Wish::Rehearsal { order, .. } => {
            (&order.overrides, order.reason.as_str())
        }
    };
    let context = Context {
        observation,
        state,
        settings,
        request,
        now,
        overrides,
        reason,
    };
    match &request.wish {
        Wish::Triggers { approved } => match context.decide_triggers(*approved) {
            // Nothing is wrong where requests are served: then home is where they belong.
            nothing @ Decision::NoChange { .. } if !approved => {
                context.decide_homeward(false, nothing)
            }
            decision => decision,
        },
        Wish::Failover(order) => context.decide_order(order),
        Wish::Failback(_) => context.decide_failback(),
        Wish::Homeward => context.decide_homeward(
            true,
            Decision::NoChange {
                explanation: format!(
                    "There is no way home to go. The routes stay as they are: {}.",
                    observation.routes
                ),
            },
        ),
        Wish::Rehearsal { order, scheduled } => context.decide_rehearsal(order, *scheduled),
    }
}

impl Context<'_> {
    /// Leaves the active members whose triggers the evidence confirms.
    fn decide_triggers(&self, approved: bool) -> Decision {
        let routes = self.observation.routes;
        let active = routes.active();
        let triggered: BTreeSet<Region> = active
            .iter()
            .filter(|region| self.is_triggered(region))
            .cloned()
            .collect();
        if triggered.is_empty() {
            return Decision::NoChange {
                explanation: if self.state.triggers.is_empty() {
                    format!("No trigger is open. The routes stay as they are: {routes}.")
                } else {
                    format!(
                        "The open triggers concern no active member. The routes stay as they are: {routes}."
                    )
                },
            };
        }
        if let Some(why) = self.others_are_acting() {
            return Decision::NoChange {
                explanation: format!("Nothing is decided for now: {why}."),
            };
        }
        let mut from: BTreeSet<Region> = triggered
            .iter()
            .filter(|region| self.verdict(region) == Verdict::Bad)
            .cloned()
            .collect();
        if from.is_empty() {
            from = triggered;
        } else if from.iter().any(|region| self.silence(region).is_none()) {
            // A person's word about one member holds back no other.
            from.retain(|region| self.silence(region).is_none());
        }
        let basis = Basis::Automatic { approved };
        let stays = |from: &BTreeSet<Region>| -> BTreeSet<Region> {
            active.difference(from).cloned().collect()
        };
        if stays(&from)
            .iter()
            .any(|region| self.verdict(region) == Verdict::Good)
        {
            // Somebody healthy serves already: only the dial of the bad members is turned.
            let to = stays(&from);
            return self.rule(basis, self.assess(basis, &Move { from, to }));
        }
        // Nobody healthy stays: a member that is bad without a trigger of its own goes as well.
        from.extend(
            active
                .iter()
                .filter(|region| {
                    self.verdict(region) == Verdict::Bad && self.silence(region).is_none()
                })
                .cloned(),
        );
        let rest = stays(&from);
        self.choose(basis, &from, &rest)
    }

    /// The passive members that are not to be left, in order of preference.
    fn candidates(&self, from: &BTreeSet<Region>) -> Vec<&Region> {
        self.settings
            .members
            .regions()
            .filter(|region| {
                !from.contains(*region)
                    && self.observation.routes.dial(region) == Some(Dial::Passive)
            })
            .collect()
    }

    /// What an operator who names no Region wants to leave: of several active members the bad
    /// ones, else those that are not good, else all.
    fn ailing(&self, active: &BTreeSet<Region>) -> BTreeSet<Region> {
        let some = |ails: fn(Verdict) -> bool| -> Option<BTreeSet<Region>> {
            let ailing: BTreeSet<Region> = active
                .iter()
                .filter(|region| ails(self.verdict(region)))
                .cloned()
                .collect();
            (!ailing.is_empty()).then_some(ailing)
        };
        some(|verdict| verdict == Verdict::Bad)
            .or_else(|| some(|verdict| verdict != Verdict::Good))
            .unwrap_or_else(|| active.clone())
    }

    /// Picks the target among the passive members: the first in order of preference that no
    /// guard refuses, members with an open trigger of their own last, and before them those of
    /// which nobody knows what they miss.
    fn choose(&self, basis: Basis, from: &BTreeSet<Region>, rest: &BTreeSet<Region>) -> Decision {
        let mut candidates = self.candidates(from);
        let standing = |region: &Region| {
            (
                self.verdict(region) != Verdict::Good,
                self.is_triggered(region),
            )
        };
        candidates.sort_by_key(|region| standing(region));
        let assessed: Vec<Assessment> = candidates
            .iter()
            .map(|target| {
                let mut to = rest.clone();
                to.insert((*target).clone());
                self.assess(
                    basis,
                    &Move {
                        from: from.clone(),
                        to,
                    },
                )
            })
            .collect();
        let may = BTreeSet::from([Guard::ModeAllows]);
        let fitting = || {
            let all = candidates.iter().zip(&assessed).enumerate();
            all.filter(|(_, (_, assessment))| assessment.blocking.is_subset(&may))
        };
        let first = fitting().next();
        let best = fitting().min_by_key(|(_, (region, assessment))| {
            let loss = assessment.verdict(Guard::LossIsAcceptable);
            (standing(region), loss == Some(GuardVerdict::Unknown))
        });
        let others = match (first, best) {
            (Some((preferred, (region, _))), Some((at, _))) if preferred != at => {
                Some(text::passed(region))
            }
            (Some(_), _) => None,
            (None, _) => {
                let all = assessed.split_first();
                all.and_then(|(first, others)| text::others(first, others))
            }
        };
        let best = best.map_or(0, |(at, _)| at);
        let chosen = assessed.into_iter().nth(best).unwrap_or_else(|| {
            self.assess(
                basis,
                &Move {
                    from: from.clone(),
                    to: rest.clone(),
                },
            )
        });
        let explanation = match others {
            None => chosen.explanation,
            Some(others) => format!("{} {others}", chosen.explanation),
        };
        self.rule(
            basis,
            Assessment {
                explanation,
                ..chosen
            },
        )
    }

    /// An operator's failover or switchover.
    fn decide_order(&self, order: &Order) -> Decision {
        let active = self.observation.routes.active();
        let from: BTreeSet<Region> = if !order.from.is_empty() {
            order.from.clone()
        } else if order.to.is_empty() {
            self.ailing(&active)
        } else {
            active.difference(&order.to).cloned().collect()
        };
        // Where nobody is left, members are added to those that serve.
        let left = if from.is_empty() && !order.to.is_empty() {
            &active
        } else {
            &from
        };
        let mut verdicts = left.iter().map(|region| self.verdict(region));
        let planned = !left.is_empty() && verdicts.all(|verdict| verdict == Verdict::Good);
        let basis = if planned {
            Basis::Switchover
        } else {
            Basis::OperatorFailover
        };
        let rest: BTreeSet<Region> = active.difference(&from).cloned().collect();
        if order.to.is_empty() {
            // Somebody begins to serve only if nobody healthy goes on, and somebody healthy is there.
            let good = |region: &Region| self.verdict(region) == Verdict::Good;
            let begins = rest.is_empty()
                || !rest.iter().any(good) && self.candidates(&from).into_iter().any(good);
            return if begins {
                self.choose(basis, &from, &rest)
            } else {
                self.rule(basis, self.assess(basis, &Move { from, to: rest }))
            };
        }
        let to: BTreeSet<Region> = rest.union(&order.to).cloned().collect();
        if from.is_disjoint(&active) && to == active {
            return Decision::NoChange {
                explanation: format!(
                    "{} is what the routes show already: {}.",
                    text::list(&order.to),
                    self.observation.routes
                ),
            };
        }
        self.rule(basis, self.assess(basis, &Move { from, to }))
    }

    /// Home again: the dials from before the incident, else what `TOPOLOGY` says.
    fn decide_failback(&self) -> Decision {
        let routes = self.observation.routes;
        let active = routes.active();
        let home = self
            .dials_before()
            .unwrap_or_else(|| match self.settings.topology {
                Topology::ActivePassive => {
                    BTreeSet::from([self.settings.members.home().region.clone()])
                }
                Topology::ActiveActive => self.settings.members.regions().cloned().collect(),
            });
        if home == active {
            return Decision::NoChange {
                explanation: format!(
                    "{} serves already: there is nothing to fail back. Routes: {routes}.",
                    text::list(&home)
                ),
            };
        }
        let from = active.difference(&home).cloned().collect();
        self.rule(
            Basis::Failback,
            self.assess(Basis::Failback, &Move { from, to: home }),
        )
    }

    /// The way out of a rehearsal: to the members that were named, else to the most preferred
    /// passive one; where nobody is passive the most preferred active member is left.
    fn decide_rehearsal(&self, order: &Order, scheduled: bool) -> Decision {
        if let Some(rehearsal) = &self.state.rehearsal
            && rehearsal.out.settled_at.is_some()
        {
            return Decision::NoChange {
                explanation: format!(
                    "A rehearsal of {} is under way since {}: it goes on by itself.",
                    text::list(&rehearsal.away.active()),
                    text::clock(rehearsal.out.decided_at)
                ),
            };
        }
        let basis = Basis::Rehearsal { scheduled };
        let active = self.observation.routes.active();
        if !order.to.is_empty() {
            let from: BTreeSet<Region> = active.difference(&order.to).cloned().collect();
            let to = order.to.clone();
            return self.rule(basis, self.assess(basis, &Move { from, to }));
        }
        let preferred = self.settings.members.regions();
        let first = preferred.filter(|region| active.contains(*region)).take(1);
        if self.candidates(&active).is_empty() && active.len() > 1 {
            let from: BTreeSet<Region> = first.cloned().collect();
            let to = active.difference(&from).cloned().collect();
            return self.rule(basis, self.assess(basis, &Move { from, to }));
        }
        self.choose(basis, &active, &BTreeSet::new())
    }

    /// Judges a change by every guard.
    fn assess(&self, basis: Basis, wanted: &Move) -> Assessment {
        let routes = self.observation.routes;
        let after = routes.moved(&wanted.from, &wanted.to);
        let mut blocking = BTreeSet::new();
        let guards: Vec<GuardReport> = Guard::ALL
            .into_iter()
            .map(|guard| {
                let (report, blocks) = self.judge(guard, basis, wanted, &after);
                if blocks {
                    blocking.insert(guard);
                }
                report
            })
            .collect();
        let asked_at = wanted
            .from
            .iter()
            .flat_map(|region| self.triggers(region))
            .map(|trigger| trigger.since)
            .min()
            .filter(|_| matches!(basis, Basis::Automatic { .. }))
            .unwrap_or(self.now);
        let incident = self.incident_for(wanted, asked_at);
        let mut plan = Plan {
            decision: String::new(),
            incident,
            kind: basis.kind(),
            by: basis.actor(),
            from: wanted.from.clone(),
            to: wanted.to.clone(),
            before: routes.clone(),
            after,
            reason: self.reason_for(basis, wanted),
            guards,
            asked_at,
            accepts: BTreeSet::new(),
        };
        if plan.by.is_person() {
            plan.accepts = wanted
                .activated(routes)
                .into_iter()
                .filter(|region| self.verdict(region) != Verdict::Good)
                .collect();
        }
        plan.decision = decision_id(&plan, self.state);
        Assessment {
            source_is_bad: wanted
                .from
                .iter()
                .any(|region| self.verdict(region) == Verdict::Bad),
            target_bad_since: wanted
                .to
                .iter()
                .filter(|region| self.verdict(region) == Verdict::Bad)
                .filter_map(|region| self.evidence()?.member(region))
                .map(|member| member.since)
                .min(),
            explanation: text::explain(&plan, &blocking),
            plan,
            blocking,
        }
    }

    fn incident_for(&self, wanted: &Move, asked_at: Timestamp) -> String {
        if let Some(incident) = &self.state.incident {
            return incident.id.clone();
        }
        let region = wanted
            .from
            .iter()
            .next()
            .or_else(|| wanted.to.iter().next())
            .unwrap_or(&self.settings.members.home().region);
        incident_id(asked_at, region)
    }

    fn reason_for(&self, basis: Basis, wanted: &Move) -> String {
        if !self.reason.is_empty() {
            return self.reason.to_owned();
        }
        match basis {
            Basis::Automatic { .. } => {
                let mut sources: Vec<String> = wanted
                    .from
                    .iter()
                    .flat_map(|region| self.triggers(region))
                    .map(|trigger| {
                        format!("{} since {}", trigger.source, text::clock(trigger.since))
                    })
                    .collect();
                sources.dedup();
                sources.join("; ")
            }
            Basis::Homeward { .. } => {
                let home = wanted.activated(self.observation.routes);
                format!("{} is well again", text::list(&home))
            }
            _ => "no reason given".to_owned(),
        }
    }

    /// Turns what the guards say into what is to be done.
    fn rule(&self, basis: Basis, assessment: Assessment) -> Decision {
        let blocking = &assessment.blocking;
        if assessment.plan.after == assessment.plan.before
            && !blocking.contains(&Guard::TargetExists)
            && blocking.is_disjoint(&hard())
        {
            return Decision::NoChange {
                explanation: format!("The routes are so already: {}.", assessment.plan.before),
            };
        }
        if blocking.is_empty() {
            return Decision::Act(assessment);
        }
        if matches!(basis, Basis::Automatic { .. })
            && *blocking == BTreeSet::from([Guard::ModeAllows])
        {
            return match self.settings.mode {
                Mode::Observe => Decision::WouldAct(assessment),
                Mode::Approve | Mode::Automatic => Decision::NeedsApproval(assessment),
            };
        }
        Decision::Blocked(assessment)
    }
}

/// The guards that nobody overrides.
fn hard() -> BTreeSet<Guard> {
    BTreeSet::from([
        Guard::RegionIsMember,
        Guard::RegionIsActive,
        Guard::TargetExists,
        Guard::NobodyElseIsActing,
        Guard::AtLeastOneActive,
    ])
}

/// Twelve hexadecimal digits that are the same whenever the same change is decided in the same situation.
///
/// When the routes were settled is part of the situation: the same move made twice in one
/// incident is two decisions.
fn decision_id(plan: &Plan, state: &State) -> String {
    let identity = serde_json::json!([
        plan.incident,
        plan.kind,
        plan.from,
        plan.to,
        Vec::from(plan.before.clone()),
        state.settled.as_ref().map(|settled| settled.at),
    ]);
    let digest = Sha256::digest(identity.to_string().as_bytes());
    let mut id = String::with_capacity(12);
    for byte in digest.iter().take(6) {
        use std::fmt::Write;
        let _ = write!(id, "{byte:02x}");
    }
    id
}
