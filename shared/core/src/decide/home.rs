//! The way home: what is still on it, and whether the machine may take it by itself.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{Assessment, Basis, Context, Decision, Move, text};
use crate::guard::Guard;
use crate::names::{BucketName, Members, Region};
use crate::redrive::state::{GroupPhase, RedriveState, kind_name};
use crate::routes::Routes;
use crate::settings::FailbackMode;
use crate::state::{Actor, Change, Kind};

/// Replication metrics are published by the minute.
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// What the metrics of one replication rule said over the drain window, which ends with the newest
/// data point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// The minute of the newest data point.
    pub last: Timestamp,
    /// The time that the data points stand for: of the window, or, if its first minutes have none,
    /// since the last one before it.
    pub covered: SignedDuration,
    /// The longest time of that between two data points.
    pub gap: SignedDuration,
    /// The most operations that were pending in one minute of the window.
    pub most: u64,
    /// The last minute in which that many were.
    pub most_at: Timestamp,
}

impl Drain {
    /// Sums up data points, in any order; `None` without any.
    #[must_use]
    pub fn of(points: &[(Timestamp, u64)], window: SignedDuration) -> Option<Self> {
        let last = points.iter().map(|(at, _)| *at).max()?;
        let mut inside: Vec<(Timestamp, u64)> = points
            .iter()
            .filter(|(at, _)| *at == last || last.duration_since(*at) < window)
            .copied()
            .collect();
        inside.sort_unstable();
        let (most_at, most) = inside.iter().max_by_key(|(at, value)| (*value, *at))?;
        let mut times: Vec<Timestamp> = inside.iter().map(|(at, _)| *at).collect();
        let covers = |first: &Timestamp| last.duration_since(*first) + MINUTE;
        // A missing minute at the far edge is a gap like any other, from the point before it.
        if times.first().is_some_and(|first| covers(first) < window) {
            let outside = points.iter().map(|(at, _)| *at);
            let before = outside.filter(|at| last.duration_since(*at) >= window);
            times.splice(0..0, before.max());
        }
        let gaps = times.iter().zip(times.iter().skip(1));
        Some(Self {
            last,
            covered: times.first().map(covers)?,
            gap: gaps
                .map(|(earlier, later)| later.duration_since(*earlier))
                .max()
                .unwrap_or_default(),
            most: *most,
            most_at: *most_at,
        })
    }
}

/// What re-drives have to do with the way from one member to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The source's Region.
    pub source: Region,
    /// The destination's; `None` if it may be any of them.
    pub target: Option<Region>,
    /// Whether it waits for a person: such a group does not move by itself.
    pub is_held: bool,
    /// What it is, for people.
    pub what: String,
}

/// What is known of re-drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redrives {
    /// Nothing.
    Unknown {
        /// Why.
        why: String,
    },
    /// Everything that is open between members.
    Known(Vec<Redrive>),
}

impl Default for Redrives {
    fn default() -> Self {
        Self::Unknown {
            why: "nobody looked".to_owned(),
        }
    }
}

impl Redrives {
    /// What the `redrive` function's document says of open groups and jobs between members.
    #[must_use]
    pub fn of(state: &RedriveState, members: &Members) -> Self {
        let region = |bucket: &BucketName| {
            let found = members.iter().find(|member| member.bucket == *bucket);
            found.map(|member| member.region.clone())
        };
        let groups = state.groups.iter().filter_map(|(id, record)| {
            let is_held = match &record.phase {
                GroupPhase::Held { .. } => true,
                GroupPhase::Sampled { .. } | GroupPhase::Released { .. } => false,
                // What is open is settled, not copied.
                GroupPhase::Final { .. } | GroupPhase::Closed { .. } => return None,
            };
            let target = match record.group.destination.bucket() {
                Some(bucket) => Some(region(bucket)?),
                None => None,
            };
            Some(Redrive {
                source: region(&record.group.source)?,
                target,
                is_held,
                what: format!(
                    "group {id} is {} ({})",
                    record.phase.as_str(),
                    record.group.reason
                ),
            })
        });
        let jobs = state
            .jobs
            .iter()
            .filter(|(_, open)| open.is_of_s3())
            .flat_map(|(name, open)| {
                let groups = open.job.groups.iter();
                let mut targets: BTreeSet<Option<Region>> = groups
                    .filter_map(|group| match group.destination.bucket() {
                        Some(bucket) => region(bucket).map(Some),
                        None => Some(None),
                    })
                    .collect();
                if open.job.groups.is_empty() {
                    targets.insert(None);
                }
                let source = region(&open.job.source);
                targets.into_iter().filter_map(move |target| {
                    Some(Redrive {
                        source: source.clone()?,
                        target,
                        is_held: false,
                        what: format!("{} job {name} is open", kind_name(&open.job.kind)),
                    })
                })
            });
        // A confirmed sweep has no job yet, but it will.
        let sweeps = state.sweeps.iter().filter_map(|wish| {
            Some(Redrive {
                source: region(&wish.source)?,
                target: None,
                is_held: false,
                what: format!("a sweep of {} is about to begin", wish.source),
            })
        });
        Self::Known(groups.chain(jobs).chain(sweeps).collect())
    }

    /// What concerns the way from one member to another.
    pub(super) fn between<'a>(
        &'a self,
        source: &'a Region,
        target: &'a Region,
    ) -> impl Iterator<Item = &'a Redrive> {
        let known = match self {
            Self::Unknown { .. } => &[],
            Self::Known(all) => all.as_slice(),
        };
        known.iter().filter(move |one| {
            one.source == *source && one.target.as_ref().is_none_or(|to| to == target)
        })
    }
}

/// What is still on its way home, as far as it can be seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WayHome {
    /// Replication metrics per (acting member, home) and rule; absent where there are none.
    pub drains: BTreeMap<(Region, Region), Vec<Drain>>,
    /// Re-drives.
    pub redrives: Redrives,
}

/// What the machine may do about the way home by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Permission {
    /// `FAILBACK` leaves it to an operator's command.
    manual: bool,
    /// Why an operator has to approve it.
    asks: Vec<String>,
    /// Why not now.
    shut: Option<String>,
}

impl Permission {
    /// Everything that stands in the way.
    pub(super) fn reasons(&self) -> Vec<String> {
        let manual = "FAILBACK is manual: an operator's command goes home";
        let manual = self.manual.then(|| manual.to_owned());
        let asks = self.asks.iter().cloned();
        manual
            .into_iter()
            .chain(asks)
            .chain(self.shut.clone())
            .collect()
    }
}

/// Whether nothing but the mode stands in the way of going home.
fn only_the_mode(assessment: &Assessment) -> bool {
    assessment.blocking == BTreeSet::from([Guard::ModeAllows])
}

impl Context<'_> {
    /// The dials from before the open incident, unless they are what the routes show.
    pub(super) fn dials_before(&self) -> Option<BTreeSet<Region>> {
        let incident = self.state.incident.as_ref()?;
        let before = incident.routes_before.as_ref().map(Routes::active)?;
        (!before.is_empty()).then_some(before)
    }

    /// The way home without a command, `nothing` if there is none to go.
    pub(super) fn decide_homeward(&self, approved: bool, nothing: Decision) -> Decision {
        let active = self.observation.routes.active();
        let is_triggered = active.iter().any(|region| self.is_triggered(region));
        let Some(home) = self.dials_before().filter(|home| *home != active) else {
            return nothing;
        };
        if is_triggered || self.state.rehearsal.is_some() || self.others_are_acting().is_some() {
            return nothing;
        }
        let wanted = Move {
            from: active.difference(&home).cloned().collect(),
            to: home,
        };
        if let Some(change) = self.chosen_by_a_person(&wanted)
            && change.kind != Some(Kind::Failover)
        {
            return Decision::NoChange {
                explanation: format!(
                    "The routes stay as they are, {}: a person wanted them so at {} ({}). Going home is an operator's command.",
                    self.observation.routes,
                    text::clock(change.at),
                    change.reason
                ),
            };
        }
        let basis = Basis::Homeward { approved };
        let assessment = self.assess(basis, &wanted);
        if assessment.plan.after == assessment.plan.before {
            return nothing;
        }
        if assessment.blocking.is_empty() {
            return Decision::Act(assessment);
        }
        if approved {
            return Decision::Blocked(assessment);
        }
        let permission = self.permission(&wanted);
        if !only_the_mode(&assessment) || permission.shut.is_some() {
            return Decision::Waits(assessment);
        }
        if permission.manual {
            return Decision::WouldAct(assessment);
        }
        Decision::NeedsApproval(assessment)
    }

    /// The last change of a dial that is to be turned back, if a person made it.
    pub(super) fn chosen_by_a_person(&self, wanted: &Move) -> Option<&Change> {
        let activated = wanted.activated(self.observation.routes);
        let turned = wanted.from.union(&activated);
        let last = |region: &Region| {
            let mut changes = self.state.changes.iter().rev();
            changes.find(|change| change.from.contains(region) || change.to.contains(region))
        };
        turned
            .filter_map(last)
            .filter(|change| change.by.is_person())
            .max_by_key(|change| change.at)
    }

    /// What stands in the way of the machine's going home by itself, other than the world.
    pub(super) fn permission(&self, wanted: &Move) -> Permission {
        let settings = self.settings;
        let mut permission = Permission {
            manual: settings.failback == FailbackMode::Manual,
            ..Permission::default()
        };
        if settings.failback == FailbackMode::Approve {
            let asks = "FAILBACK is approve: an operator has to approve this decision";
            permission.asks.push(asks.to_owned());
        }
        if let Some(why) = &self.state.failback_suspended {
            permission.asks.push(format!(
                "automatic failback is suspended until the incident is acknowledged: {why}"
            ));
        }
        if let Some(change) = self.chosen_by_a_person(wanted) {
            permission.asks.push(format!(
                "an operator moved the dial at {} ({}): a person has to approve the way back",
                text::clock(change.at),
                change.reason
            ));
        }
        let held = self.on_the_way(wanted, true);
        if !held.is_empty() {
            permission.asks.push(format!(
                "failed replications towards home wait for a person, and home lacks them until they are mended: {}",
                held.join("; ")
            ));
        }
        let windows = &settings.failback_windows;
        if !permission.manual && !windows.is_open(self.now) {
            let opens = windows.next_opening(self.now).map_or_else(
                || "not within two weeks".to_owned(),
                |at| format!("at {}", text::clock(at)),
            );
            permission.shut = Some(format!(
                "FAILBACK_WINDOWS ({windows}) are shut and open next {opens}"
            ));
        }
        permission
    }

    /// Re-drives from an acting member towards one that would be activated.
    pub(super) fn on_the_way(&self, wanted: &Move, held: bool) -> Vec<String> {
        let redrives = &self.observation.way_home.redrives;
        let home = wanted.activated(self.observation.routes);
        let acting = self.observation.routes.active();
        let mut all = Vec::new();
        for source in &acting {
            for target in &home {
                for one in redrives.between(source, target) {
                    if one.is_held == held {
                        all.push(format!("{source} to {target}: {}", one.what));
                    }
                }
            }
        }
        all
    }
}

/// What `by` stands for in a plan that goes home.
pub(super) fn actor(approved: bool) -> Actor {
    if approved {
        Actor::Operator
    } else {
        Actor::Automatic
    }
}
