//! What is to be done next, given the document, a listing of the ledger and the time.
//!
//! [`plan`] is pure and total. Whatever it proposes is carried out elsewhere and comes back as a
//! [`Happening`](super::apply::Happening); a crash in between means that the same is proposed again.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::inventory::{Extent, Inventory, Listed};
use super::job::{
    GatherCursor, Gathered, Job, JobKind, JobName, MAX_INPUTS, Phase, Sweep, SweepStatus, Token,
};
use super::price::{self, Micros};
use super::state::{GroupPhase, GroupRecord, OpenJob, RedriveState};
use crate::ledger::{Group, GroupId, How, OpenName};
use crate::names::BucketName;
use crate::reasons::{Class, classify};
use crate::settings::{RedriveMode, RedriveSettings};

/// A group with more files than this is compacted.
pub const COMPACT_FILES: usize = 24;
/// What is compacted into one file at most.
pub const COMPACT_BYTES: u64 = 64 * 1024 * 1024;
/// How often settled files are trimmed.
const TRIM_EVERY: SignedDuration = SignedDuration::from_hours(24);
/// How old a bucket's size may be for the price of a sweep: CloudWatch has it once a day.
const SIZE_FRESH: SignedDuration = SignedDuration::from_hours(24);
/// How long before the oldest failure a sweep begins: S3 selects by the time of creation.
pub const SWEEP_MARGIN: SignedDuration = SignedDuration::from_hours(1);
/// Settling takes whatever is in its inputs.
const NO_LIMIT: u64 = u32::MAX as u64;

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read what group a file belongs to: nothing is known of it yet.
    Learn {
        /// The group.
        group: GroupId,
        /// One of its files.
        file: OpenName,
    },
    /// Delete the files that an overflowed group has counted.
    Drop {
        /// The group.
        group: GroupId,
    },
    /// Give up a job of which S3 knows nothing yet.
    Discard {
        /// The job.
        job: JobName,
    },
    /// Work on a job's current phase.
    Work {
        /// The job.
        job: JobName,
    },
    /// Ask how many objects a bucket has.
    Size {
        /// The bucket.
        source: BucketName,
    },
    /// Begin a job.
    Plan {
        /// The job.
        open: Box<OpenJob>,
        /// What is set aside for it.
        cost: Micros,
    },
    /// Tell people that the budget stands in the way.
    TellBudget {
        /// What it stands in the way of.
        what: String,
        /// What that would cost.
        cost: Micros,
    },
    /// Bring back what was handed over.
    Restore {
        /// The group.
        group: GroupId,
    },
    /// Make one file of several.
    Compact {
        /// The group.
        group: GroupId,
        /// The files.
        files: Vec<OpenName>,
    },
    /// Make fewer files of a source's settled ones.
    CompactSettled {
        /// The source.
        source: BucketName,
    },
    /// Delete settled files that are too old to matter.
    Trim,
}

/// What is to be done, and what would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is to be done, in this order.
    pub steps: Vec<Step>,
    /// What mode `automatic` would do.
    pub would: Vec<String>,
}

/// Plans.
#[must_use]
pub fn plan(
    state: &RedriveState,
    inventory: &Inventory,
    settings: &RedriveSettings,
    now: Timestamp,
) -> Plan {
    Planner {
        state,
        inventory,
        settings,
        now,
        frozen: state
            .jobs
            .values()
            .flat_map(|open| open.job.inputs.iter().map(String::as_str))
            .collect(),
    }
    .plan()
}

/// How open files of a group are to be settled without a re-drive, if they are.
#[must_use]
pub fn settles_as(record: &GroupRecord) -> Option<How> {
    if record.asked.is_some() {
        // A person says that it can work after all.
        return None;
    }
    let class = classify(&record.group.reason).class;
    match class {
        Class::OnceMore if !record.tried_once_more => None,
        class => class.settles_as(),
    }
}

struct Planner<'a> {
    state: &'a RedriveState,
    inventory: &'a Inventory,
    settings: &'a RedriveSettings,
    now: Timestamp,
    /// Inputs of open jobs.
    frozen: BTreeSet<&'a str>,
}

/// A job that could be begun.
struct Candidate {
    due: Timestamp,
    open: OpenJob,
    /// Objects that it is priced for.
    objects: u64,
    what: String,
}

/// Whether the breaker lets jobs through.
#[derive(PartialEq)]
enum Gate {
    Open,
    Trial,
    Shut,
}

fn plus(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}

fn minus(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_sub(duration).unwrap_or(Timestamp::MIN)
}

impl<'a> Planner<'a> {
    fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        self.learn(&mut plan.steps);
        self.upkeep_before(&mut plan.steps);
        self.work(&mut plan.steps);
        self.begin(&mut plan);
        self.upkeep_after(&mut plan.steps);
        plan
    }

    fn learn(&self, steps: &mut Vec<Step>) {
        for (group, files) in &self.inventory.open {
            if let Some(file) = files.first()
                && !self.state.groups.contains_key(group)
            {
                steps.push(Step::Learn {
                    group: *group,
                    file: file.name,
                });
            }
        }
    }

    fn upkeep_before(&self, steps: &mut Vec<Step>) {
        for (id, record) in &self.state.groups {
            let dropping = record
                .overflow
                .as_ref()
                .is_some_and(|overflow| !overflow.dropping.is_empty());
            if dropping {
                steps.push(Step::Drop { group: *id });
            }
            if record.restore.is_some() {
                steps.push(Step::Restore { group: *id });
            }
            if let Some(files) = self.compactable(*id) {
                steps.push(Step::Compact { group: *id, files });
            }
        }
        for (source, files) in &self.inventory.settled {
            // A job that reads them must find them again.
            if *files > COMPACT_FILES && self.state.lane(source).is_none() {
                steps.push(Step::CompactSettled {
                    source: source.clone(),
                });
            }
        }
    }

    fn upkeep_after(&self, steps: &mut Vec<Step>) {
        let gathers = |open: &OpenJob| matches!(open.job.phase, Phase::Gather { .. });
        let due = self
            .state
            .trimmed_at
            .is_none_or(|at| self.now >= plus(at, TRIM_EVERY));
        if due && !self.inventory.settled.is_empty() && !self.state.jobs.values().any(gathers) {
            steps.push(Step::Trim);
        }
    }

    /// Files of a group that no job has frozen and that are not being dropped.
    fn free_files(&self, group: GroupId) -> Vec<&'a Listed> {
        let dropping: &[OpenName] = self
            .state
            .groups
            .get(&group)
            .and_then(|record| record.overflow.as_ref())
            .map_or(&[], |overflow| &overflow.dropping);
        self.inventory
            .files(group)
            .iter()
            .filter(|file| {
                !dropping.contains(&file.name) && !self.frozen.contains(file.name.key().as_str())
            })
            .collect()
    }

    /// The files of a group that are to become one: the smallest, while they are too many.
    fn compactable(&self, group: GroupId) -> Option<Vec<OpenName>> {
        // Most groups have few files: nothing is copied for them.
        if self.inventory.files(group).len() <= COMPACT_FILES {
            return None;
        }
        let mut files = self.free_files(group);
        if files.len() <= COMPACT_FILES {
            return None;
        }
        files.sort_by_key(|file| (file.bytes, file.name));
        let mut bytes = 0_u64;
        let smallest: Vec<OpenName> = files
            .iter()
            .take(MAX_INPUTS)
            .take_while(|file| {
                bytes = bytes.saturating_add(file.bytes);
                bytes <= COMPACT_BYTES
            })
            .map(|file| file.name)
            .collect();
        (smallest.len() > 1).then_some(smallest)
    }

    /// Whether a hold stops this job.
    fn is_held(&self, open: &OpenJob) -> bool {
        self.state.active_hold(self.now).is_some()
            || open.job.groups.iter().any(|group| {
                self.state
                    .groups
                    .get(&group.id())
                    .is_some_and(|record| record.active_hold(self.now).is_some())
            })
    }

    fn work(&self, steps: &mut Vec<Step>) {
        let observes = self.settings.mode == RedriveMode::Observe;
        for (name, open) in &self.state.jobs {
            let job = name.clone();
            if let Phase::Create { tried, .. } = &open.job.phase {
                let stopped = self.is_held(open) || (observes && !open.asked);
                match (stopped, tried) {
                    (true, false) => {
                        steps.push(Step::Discard { job });
                        continue;
                    }
                    // It may exist. To find out would mean to create it if it does not.
                    (true, true) => continue,
                    (false, _) => {}
                }
            }
            if open.wait_until.is_none_or(|until| self.now >= until) {
                steps.push(Step::Work { job });
            }
        }
    }

    fn begin(&self, plan: &mut Plan) {
        let mut candidates: Vec<Candidate> = self
            .settings
            .members
            .iter()
            .filter(|member| self.state.lane(&member.bucket).is_none())
            .flat_map(|member| self.candidates(&member.bucket))
            .filter(|candidate| candidate.due <= self.now)
            .collect();
        candidates.sort_by(|a, b| (a.due, &a.what).cmp(&(b.due, &b.what)));
        let mut admission = Admission {
            lanes: BTreeSet::new(),
            jobs: self
                .state
                .jobs
                .values()
                .filter(|open| open.is_of_s3())
                .count(),
            spent: self.state.spent_today(self.now),
            gate: self.gate(),
            told: self.state.budget_told.is_some(),
        };
        for candidate in candidates {
            self.admit(candidate, &mut admission, plan);
        }
    }

    fn gate(&self) -> Gate {
        match &self.state.breaker.open {
            None => Gate::Open,
            Some(open) if self.now < open.until => Gate::Shut,
            Some(_) if self.state.jobs.values().any(|open| open.trial) => Gate::Shut,
            Some(_) => Gate::Trial,
        }
    }

    /// Begins the job if nothing stands in the way.
    fn admit(&self, candidate: Candidate, admission: &mut Admission, plan: &mut Plan) {
        let Candidate {
            mut open,
            objects,
            what,
            ..
        } = candidate;
        let source = open.job.source.clone();
        if admission.lanes.contains(&source) {
            return;
        }
        let mut cost = Micros::default();
        if open.is_of_s3() {
            if self.settings.mode == RedriveMode::Observe && !open.asked {
                plan.would.push(what);
                return;
            }
            if admission.jobs >= self.settings.thresholds.jobs {
                return;
            }
            let mut objects = objects;
            if !open.asked {
                match admission.gate {
                    Gate::Shut => return,
                    Gate::Trial => {
                        let Some(trial) = self.as_trial(open) else {
                            return;
                        };
                        open = trial;
                        objects = objects.min(open.job.limit);
                    }
                    Gate::Open => {}
                }
            }
            cost = match self.price(&mut open, objects, admission.spent) {
                Ok(cost) => cost,
                Err(cost) => {
                    if !admission.told {
                        admission.told = true;
                        plan.steps.push(Step::TellBudget { what, cost });
                    }
                    return;
                }
            };
            if self.needs_size(&open) {
                plan.steps.push(Step::Size { source });
                return;
            }
            if open.trial {
                admission.gate = Gate::Shut;
            }
            admission.jobs += 1;
            admission.spent = admission.spent + cost;
        }
        admission.lanes.insert(source);
        open.job.name = JobName::new(
            self.now,
            &open.job.source,
            self.state.sequence + admission.lanes.len() as u64,
        );
        if let Phase::Create {
            gathered, token, ..
        } = &mut open.job.phase
        {
            let gathered = gathered.clone();
            *token = Token::new(&open.job.clone_without_phase(), &gathered);
        }
        plan.steps.push(Step::Plan {
            open: Box::new(open),
            cost,
        });
    }
}

/// What has been let through so far.
struct Admission {
    lanes: BTreeSet<BucketName>,
    jobs: usize,
    spent: Micros,
    gate: Gate,
    told: bool,
}
