//! What is to be done next, given the document, a listing of the ledger and the time.
//!
//! [`plan`] is pure and total. Whatever it proposes is carried out elsewhere and comes back as a
//! [`Happening`](super::apply::Happening); a crash in between means that the same is proposed again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::apply::may_be_settled;
use super::inventory::{Extent, Inventory, Listed};
use super::job::{
    GatherCursor, Gathered, Job, JobKind, JobName, MAX_INPUTS, Phase, Sweep, SweepStatus, Token,
};
use super::price::{self, Micros};
use super::state::{
    GroupPhase, GroupRecord, OpenJob, Overflow, REMEMBERED, RedriveState, SweepWish,
};
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
/// When a size that was not known is asked for again.
const SIZE_AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// How long before the oldest failure a sweep begins: S3 selects by the time of creation.
pub const SWEEP_MARGIN: SignedDuration = SignedDuration::from_hours(1);
/// Largest sample: it is chosen in memory, and its rows are one file that is read as a whole.
const LARGEST_SAMPLE: u64 = 10_000;
/// Rows that are too old wait this much longer for the others of their file, so that a trickle of
/// failures is not written again every minute.
const TOO_OLD_TOGETHER: SignedDuration = SignedDuration::from_hours(5 * 24);
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
    /// Look whether a job exists whose creation was tried, without creating it.
    Find {
        /// The job.
        job: JobName,
    },
    /// Delete what was handed over and is given up.
    Forget {
        /// The group.
        group: GroupId,
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
    /// Hold what came after a group was closed against what is settled, and delete it if that is
    /// all that it says.
    Weigh {
        /// The group.
        group: GroupId,
        /// Its files.
        files: Vec<OpenName>,
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
        /// What was settled before this moment matters no more.
        before: Timestamp,
    },
    /// Delete settled files that matter no more.
    Trim {
        /// For each source, the moment before which what was settled matters no more.
        before: BTreeMap<BucketName, Timestamp>,
    },
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
        // Each version for itself, when its one more try has failed.
        Class::OnceMore => None,
        class => class.settles_as(),
    }
}

/// Whether there are more files than should be, and two of them can become one.
fn are_too_many(sizes: &[u64]) -> bool {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    sizes.len() > COMPACT_FILES && sizes.iter().take(2).sum::<u64>() <= COMPACT_BYTES
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

impl Candidate {
    /// What comes first: what an operator asked for and waits for, then what is due longest.
    /// Releases that were asked for take what has come since again and again: they have no
    /// precedence.
    fn rank(&self) -> (bool, Timestamp, &str) {
        let is_release = matches!(self.open.job.kind, JobKind::Release);
        let is_awaited = self.open.asked && !is_release;
        (!is_awaited, self.due, &self.what)
    }
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
            // A job may hand more over.
            let gives_up = record.abandon.is_some() && record.handed_over > 0;
            if gives_up && !self.state.is_in_job(&record.group) {
                steps.push(Step::Forget { group: *id });
            }
            if let Some(files) = self.weighable(*id, record) {
                steps.push(Step::Weigh { group: *id, files });
            }
            if let Some(files) = self.compactable(*id) {
                steps.push(Step::Compact { group: *id, files });
            }
        }
        for (source, files) in &self.inventory.settled {
            // A job that reads them must find them again.
            if are_too_many(files) && self.state.lane(source).is_none() {
                steps.push(Step::CompactSettled {
                    source: source.clone(),
                    before: self.forgettable(source),
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
            let sources = self.inventory.settled.keys();
            let before = sources.map(|source| (source.clone(), self.forgettable(source)));
            steps.push(Step::Trim {
                before: before.collect(),
            });
        }
    }

    /// The moment before which it matters no more what of a source was settled: a late duplicate
    /// comes within [`REMEMBERED`], and what is settled in an open file has to stay settled as
    /// long as that file is there.
    fn forgettable(&self, source: &BucketName) -> Timestamp {
        let is_other = |group: &GroupId| {
            let record = self.state.groups.get(group);
            record.is_some_and(|record| record.group.source != *source)
        };
        let files = self.inventory.open.iter();
        let oldest = files
            .filter(|(group, _)| !is_other(group))
            .flat_map(|(_, files)| files)
            .map(|file| file.name.oldest.timestamp())
            .min();
        let remembered = minus(self.now, REMEMBERED);
        oldest.map_or(remembered, |oldest| oldest.min(remembered))
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
        // What is given up is told from what came later by when its file was written.
        let is_given_up = |record: &GroupRecord| record.abandon.is_some();
        if self.state.groups.get(&group).is_some_and(is_given_up) {
            return None;
        }
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

    /// The files of a closed group that may all be settled: late duplicates, mostly.
    fn weighable(&self, id: GroupId, record: &GroupRecord) -> Option<Vec<OpenName>> {
        let extent = self.inventory.extent(id)?;
        let is_final = settles_as(record).is_some();
        let waits = is_final || record.reopens || self.state.is_in_job(&record.group);
        if waits || !may_be_settled(record, &extent) {
            return None;
        }
        // As many as are merged at once; the others have their turn with the next listing.
        let files = self.free_files(id);
        let names: Vec<OpenName> = files
            .iter()
            .take(MAX_INPUTS)
            .map(|file| file.name)
            .collect();
        (!names.is_empty()).then_some(names)
    }

    fn work(&self, steps: &mut Vec<Step>) {
        let is_due = |open: &OpenJob| open.wait_until.is_none_or(|until| self.now >= until);
        for (name, open) in &self.state.jobs {
            let job = name.clone();
            if let Phase::Create { tried, .. } = &open.job.phase {
                let stopped = self.state.is_stopped(open, self.settings.mode, self.now);
                match (stopped, tried) {
                    (true, false) => {
                        steps.push(Step::Discard { job });
                        continue;
                    }
                    // It may exist, and must not be created if it does not.
                    (true, true) => {
                        if is_due(open) {
                            steps.push(Step::Find { job });
                        }
                        continue;
                    }
                    (false, _) => {}
                }
            }
            if is_due(open) {
                steps.push(Step::Work { job });
            }
        }
    }

    fn begin(&self, plan: &mut Plan) {
        let members = self.settings.members.iter().map(|member| &member.bucket);
        // What can be done for a bucket that is no member any more is to give up what is open.
        let former = self
            .state
            .groups
            .values()
            .filter(|record| record.abandon.is_some())
            .map(|record| &record.group.source);
        let lanes: BTreeSet<&BucketName> = members.chain(former).collect();
        let mut candidates: Vec<Candidate> = lanes
            .into_iter()
            .filter(|source| self.state.lane(source).is_none())
            .flat_map(|source| self.candidates(source))
            .filter(|candidate| candidate.due <= self.now)
            .collect();
        candidates.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let mut admission = Admission {
            lanes: BTreeSet::new(),
            jobs: self.state.jobs_of_s3(),
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
            if self.needs_size(&open) {
                plan.steps.push(Step::Size { source });
                return;
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
            if open.trial {
                admission.gate = Gate::Shut;
            }
            admission.jobs += 1;
            admission.spent = admission.spent + cost;
        }
        admission.lanes.insert(source);
        let sequence = self.state.sequence + admission.lanes.len() as u64;
        open.job.name = JobName::new(self.now, &open.job.source, sequence);
        if matches!(open.job.kind, JobKind::Sweep(_)) {
            // S3 makes the manifest: there is nothing to gather.
            let gathered = Gathered::default();
            open.job.phase = Phase::Create {
                token: Token::new(&open.job, &gathered),
                gathered,
                tried: false,
            };
        }
        plan.steps.push(Step::Plan {
            open: Box::new(open),
            cost,
        });
    }

    /// The one sample that is let through when the breaker has been open long enough.
    fn as_trial(&self, open: OpenJob) -> Option<OpenJob> {
        let mut trial = match open.job.kind {
            JobKind::Sample => open,
            JobKind::Release => {
                let group = open.job.groups.first()?.clone();
                let record = self.state.groups.get(&group.id())?;
                self.sample(record)?
            }
            // Nothing small can be made of a sweep, and the others are no jobs of S3.
            JobKind::Settle { .. } | JobKind::Sweep(_) | JobKind::Look => return None,
        };
        trial.trial = true;
        Some(trial)
    }

    /// What is set aside for a job over so many objects; limits it to what is left of the day's
    /// money. `Err` is what it would have cost.
    fn price(&self, open: &mut OpenJob, objects: u64, spent: Micros) -> Result<Micros, Micros> {
        let thresholds = &self.settings.thresholds;
        if let JobKind::Sweep(_) = open.job.kind {
            let budget = Micros::dollars(thresholds.daily_dollars);
            let known = price::sweep(objects, open.in_bucket.unwrap_or_default());
            // What nobody knows the price of may cost all that a day allows.
            let is_unknown = open.in_bucket.is_none() && !open.asked;
            let cost = if is_unknown { known.max(budget) } else { known };
            let left = budget.less(spent);
            return if open.asked || cost <= left {
                Ok(cost)
            } else {
                Err(cost)
            };
        }
        let objects = objects.min(open.job.limit);
        if open.asked {
            return Ok(price::job(objects));
        }
        let budget = Micros::dollars(thresholds.daily_dollars);
        let affordable = price::affordable(budget.less(spent));
        // A remainder of the day's money is not spent on many small jobs, unless that is all
        // that a whole day would allow.
        let worth = objects
            .min(thresholds.batch_objects)
            .min(price::affordable(budget))
            .max(1);
        if affordable < worth {
            return Err(price::job(objects));
        }
        open.job.limit = open.job.limit.min(affordable);
        Ok(price::job(objects.min(affordable)))
    }

    /// Whether the size of the bucket has to be asked for before a sweep can be priced.
    fn needs_size(&self, open: &OpenJob) -> bool {
        matches!(open.job.kind, JobKind::Sweep(_))
            && !open.asked
            && self.state.sizes.get(&open.job.source).is_none_or(|size| {
                let fresh = size.objects.map_or(SIZE_AGAIN, |_| SIZE_FRESH);
                self.now.duration_since(size.at) > fresh
            })
    }

    /// The jobs that this lane's groups call for, whatever stands in their way.
    fn candidates(&self, source: &BucketName) -> Vec<Candidate> {
        let records: Vec<(GroupId, &GroupRecord)> = self
            .state
            .groups
            .iter()
            .filter(|(_, record)| record.group.source == *source)
            .map(|(id, record)| (*id, record))
            .collect();
        let mut candidates = Vec::new();
        for (id, record) in &records {
            // What an operator gives up is given up on hold, too.
            candidates.extend(self.abandoned(*id, record));
        }
        if self.state.active_hold(self.now).is_some() || self.settings.region_of(source).is_none() {
            return candidates;
        }
        let free: Vec<(GroupId, &GroupRecord)> = records
            .into_iter()
            .filter(|(_, record)| {
                record.active_hold(self.now).is_none()
                    && record.abandon.is_none()
                    && record.restore.is_none()
            })
            .collect();
        for (id, record) in &free {
            candidates.extend(self.finals(*id, record));
            candidates.extend(self.too_old(*id, record));
            candidates.extend(self.due_sample(record));
            candidates.extend(self.overflowed(*id, record));
        }
        for asked in [true, false] {
            candidates.extend(self.release(source, &free, asked));
        }
        candidates.extend(self.wished_sweep(source));
        candidates
    }

    /// A job of this kind over these files.
    fn job(&self, kind: JobKind, groups: Vec<Group>, files: &[&Listed], limit: u64) -> Option<Job> {
        let source = groups.first()?.source.clone();
        let settles = matches!(kind, JobKind::Settle { .. });
        let hands_over = matches!(
            kind,
            JobKind::Settle {
                how: How::HandedOver
            }
        );
        let thresholds = &self.settings.thresholds;
        Some(Job {
            name: JobName::new(self.now, &source, 0),
            kind,
            source,
            groups,
            inputs: files
                .iter()
                .take(MAX_INPUTS)
                .map(|file| file.name.key())
                .collect(),
            limit,
            // What is settled with a reason is settled with that, however often it was tried.
            attempts: if settles && !hands_over {
                u32::MAX
            } else {
                thresholds.attempts
            },
            not_before: if settles && !hands_over {
                Timestamp::MIN
            } else {
                minus(self.now, thresholds.age)
            },
            planned_at: self.now,
            phase: Phase::Gather {
                cursor: GatherCursor::default(),
            },
        })
    }

    fn settle(
        &self,
        record: &GroupRecord,
        how: How,
        files: &[&Listed],
        due: Timestamp,
    ) -> Option<Candidate> {
        if files.is_empty() {
            return None;
        }
        let groups = vec![record.group.clone()];
        let job = self.job(JobKind::Settle { how }, groups, files, NO_LIMIT)?;
        Some(Candidate {
            due,
            open: OpenJob::new(job),
            objects: 0,
            what: format!("settle group {} as {how}", record.group.id()),
        })
    }

    fn abandoned(&self, id: GroupId, record: &GroupRecord) -> Option<Candidate> {
        let asked = record.abandon.as_ref()?;
        let mut files = self.free_files(id);
        files.retain(|file| file.is_from_before(asked.at));
        self.settle(record, How::Abandoned, &files, asked.at)
    }

    fn finals(&self, id: GroupId, record: &GroupRecord) -> Option<Candidate> {
        let GroupPhase::Final { .. } = record.phase else {
            return None;
        };
        let how = settles_as(record)?;
        let files = self.ready_files(id)?;
        let due = self.batch_due(&files);
        self.settle(record, how, &files, due)
    }

    /// Files whose rows are all too old, or some of them for long: the others are written again.
    fn too_old(&self, id: GroupId, record: &GroupRecord) -> Option<Candidate> {
        let waits = matches!(
            record.phase,
            GroupPhase::Held { .. } | GroupPhase::Released { .. }
        );
        if !waits || record.asked.is_some() {
            return None;
        }
        let limit = minus(self.now, self.settings.thresholds.age);
        let mut files = self.free_files(id);
        let long = minus(limit, TOO_OLD_TOGETHER);
        files.retain(|file| {
            file.name.newest.timestamp() < limit || file.name.oldest.timestamp() < long
        });
        self.settle(record, How::HandedOver, &files, self.now)
    }

    /// The files of a group that a job can take; nothing while they are to be compacted first,
    /// because a job takes few files and costs the same for few rows.
    fn ready_files(&self, id: GroupId) -> Option<Vec<&'a Listed>> {
        let mut files = self.free_files(id);
        if files.is_empty() || (files.len() > MAX_INPUTS && self.compactable(id).is_some()) {
            return None;
        }
        files.sort_by_key(|file| (file.name.oldest, file.name));
        Some(files)
    }

    /// When these files are worth a job: at once if they are many, else when the first has waited
    /// long enough.
    fn batch_due(&self, files: &[&Listed]) -> Timestamp {
        let thresholds = &self.settings.thresholds;
        match Extent::of(files.iter().copied()) {
            None => Timestamp::MAX,
            Some(extent) if extent.rows >= thresholds.batch_objects => extent.first_appended,
            // Compaction writes a new file: when its rows failed stays what it was.
            Some(extent) => plus(extent.first_appended.min(extent.oldest), thresholds.batch),
        }
    }

    /// When these files are worth a released job: one that is not full also waits as long after
    /// the source's last one. Late failures waited elsewhere, so their age alone would make a
    /// trickle of them a job a minute.
    fn release_due(&self, last: Option<&Timestamp>, files: &[&Listed]) -> Timestamp {
        let thresholds = &self.settings.thresholds;
        let due = self.batch_due(files);
        let rows = Extent::of(files.iter().copied()).map_or(0, |extent| extent.rows);
        match last {
            Some(last) if rows < thresholds.batch_objects => due.max(plus(*last, thresholds.batch)),
            _ => due,
        }
    }

    fn due_sample(&self, record: &GroupRecord) -> Option<Candidate> {
        let GroupPhase::Held { next_sample_at, .. } = record.phase else {
            return None;
        };
        let open = self.sample(record)?;
        let objects = open.job.limit;
        Some(Candidate {
            due: next_sample_at,
            what: format!(
                "re-drive a sample of up to {objects} versions of group {} ({})",
                record.group.id(),
                price::job(objects)
            ),
            objects,
            open,
        })
    }

    fn sample(&self, record: &GroupRecord) -> Option<OpenJob> {
        let files = self.ready_files(record.group.id())?;
        let thresholds = &self.settings.thresholds;
        let tenfold = 10_u64.saturating_pow(record.widen);
        let limit = thresholds
            .sample_objects
            .saturating_mul(tenfold)
            .min(LARGEST_SAMPLE)
            .min(thresholds.job_objects);
        let groups = vec![record.group.clone()];
        let job = self.job(JobKind::Sample, groups, &files, limit)?;
        Some(OpenJob {
            asked: record.asked.is_some(),
            ..OpenJob::new(job)
        })
    }

    /// All that the lane's released groups hold; of those that an operator asked for, or the others.
    fn release(
        &self,
        source: &BucketName,
        records: &[(GroupId, &GroupRecord)],
        asked: bool,
    ) -> Option<Candidate> {
        let mut files: Vec<&Listed> = records
            .iter()
            .filter(|(_, record)| {
                matches!(record.phase, GroupPhase::Released { .. })
                    && record.asked.is_some() == asked
            })
            .filter_map(|(id, _)| self.ready_files(*id))
            .flatten()
            .collect();
        files.sort_by_key(|file| (file.name.oldest, file.name));
        let last = self.state.last_release.get(source);
        // What an operator asked for does not wait, but what fails after that waits like the rest.
        let is_asked_anew = records
            .iter()
            .filter_map(|(_, record)| record.asked.as_ref())
            .any(|asked| last.is_none_or(|last| *last < asked.at));
        let due = if asked && is_asked_anew && !files.is_empty() {
            self.now
        } else {
            self.release_due(last, &files)
        };
        files.truncate(MAX_INPUTS);
        let taken: BTreeSet<GroupId> = files.iter().map(|file| file.name.group).collect();
        let groups: Vec<Group> = records
            .iter()
            .filter(|(id, _)| taken.contains(id))
            .map(|(_, record)| record.group.clone())
            .collect();
        let rows = Extent::of(files.iter().copied()).map_or(0, |extent| extent.rows);
        let limit = self.settings.thresholds.job_objects;
        let objects = rows.min(limit);
        let job = self.job(JobKind::Release, groups, &files, limit)?;
        Some(Candidate {
            due,
            open: OpenJob {
                asked,
                ..OpenJob::new(job)
            },
            objects,
            what: format!(
                "re-drive {objects} versions of {source} ({})",
                price::job(objects)
            ),
        })
    }

    /// A released group of which more failed than is kept: a sweep, when the rows that were kept
    /// are re-driven. The other way round they would be re-driven twice.
    fn overflowed(&self, id: GroupId, record: &GroupRecord) -> Option<Candidate> {
        let overflow = record.overflow.as_ref()?;
        let GroupPhase::Released { since } = record.phase else {
            return None;
        };
        // What fails after the release keeps nothing waiting.
        let files = self.inventory.files(id);
        if files
            .iter()
            .any(|file| file.name.oldest.timestamp() <= since)
        {
            return None;
        }
        let Overflow { rows, oldest, .. } = *overflow;
        let sweep = Sweep {
            statuses: vec![SweepStatus::Failed],
            created_after: Some(minus(oldest, SWEEP_MARGIN)),
        };
        let source = record.group.source.clone();
        let in_bucket = self.state.sizes.get(&source).and_then(|size| size.objects);
        let costs = match in_bucket {
            Some(objects) => price::sweep(rows, objects).to_string(),
            None => format!(
                "at least {}; how many objects the bucket has is not known, so it takes a day on which nothing else is spent",
                price::sweep(rows, 0)
            ),
        };
        let what = format!("sweep {source} for the {rows} versions of group {id} ({costs})");
        Some(Candidate {
            due: since,
            open: OpenJob {
                asked: record.asked.is_some(),
                sweeps: Some(id),
                in_bucket,
                ..OpenJob::new(self.sweep(source, sweep))
            },
            objects: rows,
            what,
        })
    }

    /// The sweep that an operator confirmed.
    fn wished_sweep(&self, source: &BucketName) -> Option<Candidate> {
        let wish = self
            .state
            .sweeps
            .iter()
            .find(|wish| wish.source == *source && !self.is_group_held(wish))?;
        let sweep = Sweep {
            statuses: wish.statuses.iter().copied().collect(),
            created_after: wish.created_after,
        };
        Some(Candidate {
            due: wish.asked.at,
            open: OpenJob {
                asked: true,
                sweeps: wish.group.filter(|id| self.covers_overflow(wish, *id)),
                in_bucket: wish.in_bucket,
                ..OpenJob::new(self.sweep(source.clone(), sweep))
            },
            // How many of them have failed nobody knows beforehand; the job tells when it ends.
            objects: if wish.statuses == BTreeSet::from([SweepStatus::Failed]) {
                0
            } else {
                wish.in_bucket.unwrap_or_default()
            },
            what: format!("sweep {source}"),
        })
    }

    /// Whether the group that a sweep was asked for is held by itself: it waits for that to end.
    fn is_group_held(&self, wish: &SweepWish) -> bool {
        let record = wish.group.and_then(|id| self.state.groups.get(&id));
        record.is_some_and(|record| record.active_hold(self.now).is_some())
    }

    /// Whether a sweep takes all that was counted of an overflowed group and not kept.
    fn covers_overflow(&self, wish: &SweepWish, group: GroupId) -> bool {
        let record = self.state.groups.get(&group);
        let overflow = record.and_then(|record| record.overflow.as_ref());
        wish.statuses.contains(&SweepStatus::Failed)
            && overflow.is_some_and(|overflow| {
                let first = minus(overflow.oldest, SWEEP_MARGIN);
                wish.created_after.is_none_or(|after| after <= first)
            })
    }

    fn sweep(&self, source: BucketName, sweep: Sweep) -> Job {
        Job {
            name: JobName::new(self.now, &source, 0),
            kind: JobKind::Sweep(sweep),
            source,
            groups: Vec::new(),
            inputs: Vec::new(),
            limit: 0,
            attempts: self.settings.thresholds.attempts,
            not_before: minus(self.now, self.settings.thresholds.age),
            planned_at: self.now,
            phase: Phase::Gather {
                cursor: GatherCursor::default(),
            },
        }
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
