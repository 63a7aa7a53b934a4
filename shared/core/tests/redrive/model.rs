//! A small model of what S3 and the ledger would do, for random histories.
//!
//! Rows are numbers. A cause is broken or not; a row that is re-driven while its cause is broken
//! fails again. Jobs are refused, throttled, fail, are cancelled or lose their report at will.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sentinel_core::ledger::{ContentHash, Group, GroupId, How, Millis, OpenName};
use sentinel_core::names::BucketName;
use sentinel_core::redrive::apply::{Desk, Happening, Worked};
use sentinel_core::redrive::inventory::{Inventory, Listed};
use sentinel_core::redrive::job::{
    Creation, EndStatus, Ended, Gathered, JobId, JobKind, JobName, Manifest, Outcome, Phase,
    Polled, Progress, Reopened, Settled, Slice, Sweep, Tally,
};
use sentinel_core::redrive::plan::{Step, plan, settles_as};
use sentinel_core::redrive::state::{GroupPhase, GroupRecord, OpenJob, RedriveState};
use sentinel_core::settings::RedriveSettings;

use super::common::start;

/// A version that failed to replicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: u32,
    pub(crate) attempts: u32,
    pub(crate) failed_at: Timestamp,
}

/// A file of the ledger.
#[derive(Debug, Clone)]
struct File {
    listed: Listed,
    rows: Vec<Row>,
}

/// What becomes of the next job, one digit of luck at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Luck {
    Good,
    Throttled,
    Refused,
    Failed,
    Cancelled,
    NoReport,
    Pending,
    Gone,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) state: RedriveState,
    pub(crate) settings: RedriveSettings,
    pub(crate) now: Timestamp,
    pub(crate) groups: Vec<Group>,
    pub(crate) broken: BTreeSet<GroupId>,
    pub(crate) luck: Luck,
    files: BTreeMap<GroupId, Vec<File>>,
    /// Rows that arrived or are gone: nothing may ever be done for them again.
    over: BTreeSet<(GroupId, u32)>,
    /// Settled rows and when.
    settled: BTreeMap<(GroupId, u32), Timestamp>,
    pub(crate) handed_over: BTreeMap<GroupId, Vec<Row>>,
    /// Rows whose files were counted and deleted.
    dropped: BTreeMap<GroupId, Vec<Row>>,
    /// Rows of open jobs by the place of their group.
    in_job: BTreeMap<JobName, Vec<Vec<Row>>>,
    /// Jobs that S3 knows.
    at_s3: BTreeSet<JobName>,
    /// When S3 created jobs that nobody asked for, and what they cost.
    automatic: Vec<(Timestamp, u64)>,
    /// What the manifests of sweeps hold.
    swept: BTreeMap<JobName, Vec<Row>>,
    /// When the versions were created.
    created: BTreeMap<u32, Timestamp>,
    /// What was published.
    pub(crate) told: BTreeMap<String, String>,
    next_row: u32,
    files_written: u64,
    pub(crate) jobs_created: u32,
}

const TICK: SignedDuration = SignedDuration::from_secs(60);

impl Model {
    pub(crate) fn new(settings: RedriveSettings, groups: Vec<Group>) -> Self {
        Self {
            state: RedriveState::first(settings.mrap.clone(), start()),
            settings,
            now: start(),
            broken: groups.iter().map(Group::id).collect(),
            groups,
            luck: Luck::Good,
            files: BTreeMap::new(),
            over: BTreeSet::new(),
            settled: BTreeMap::new(),
            handed_over: BTreeMap::new(),
            dropped: BTreeMap::new(),
            in_job: BTreeMap::new(),
            at_s3: BTreeSet::new(),
            automatic: Vec::new(),
            swept: BTreeMap::new(),
            created: BTreeMap::new(),
            told: BTreeMap::new(),
            next_row: 0,
            files_written: 0,
            jobs_created: 0,
        }
    }

    pub(crate) fn desk(&self) -> Desk<'_> {
        Desk {
            settings: &self.settings,
            request_id: "model",
            now: self.now,
        }
    }

    /// Changes the document as a compare-and-swap would: whole, or not at all.
    pub(crate) fn change(&mut self, change: impl FnOnce(&Desk<'_>, &mut RedriveState)) {
        let mut next = self.state.clone();
        change(&self.desk(), &mut next);
        next.forget_old(self.now);
        for announcement in std::mem::take(&mut next.outbox) {
            let text = announcement.text.clone();
            self.told.insert(announcement.event_id, text);
        }
        let before = std::mem::replace(&mut self.state, next);
        for (id, record) in &self.state.groups {
            let ended = |known: &GroupRecord| known.abandon.is_some() && record.abandon.is_none();
            // A retry takes the word back, and keeps what was counted.
            if record.overflow.is_none() && before.groups.get(id).is_some_and(ended) {
                self.dropped.remove(id);
            }
        }
        self.check();
    }

    pub(crate) fn inventory(&self) -> Inventory {
        Inventory {
            readiness: None,
            open: self
                .files
                .iter()
                .filter(|(_, files)| !files.is_empty())
                .map(|(id, files)| (*id, files.iter().map(|file| file.listed).collect()))
                .collect(),
            settled: self
                .settled
                .keys()
                .map(|(id, _)| (self.source_of(*id), vec![80]))
                .collect(),
        }
    }

    fn source_of(&self, id: GroupId) -> BucketName {
        let known = self.groups.iter().find(|group| group.id() == id);
        known.unwrap().source.clone()
    }

    /// When the oldest of what is still known to be settled was.
    pub(crate) fn settled_since(&self) -> Option<Timestamp> {
        self.settled.values().min().copied()
    }

    /// So many versions fail.
    pub(crate) fn fail(&mut self, group: &Group, rows: u32) {
        let rows = (0..rows)
            .map(|_| {
                self.next_row += 1;
                self.created.insert(self.next_row, self.now);
                Row {
                    id: self.next_row,
                    attempts: 0,
                    failed_at: self.now,
                }
            })
            .collect();
        self.write(group, rows);
    }

    fn write(&mut self, group: &Group, rows: Vec<Row>) {
        let times = || rows.iter().map(|row| row.failed_at);
        let (Some(oldest), Some(newest)) = (times().min(), times().max()) else {
            return;
        };
        self.files_written += 1;
        let name = OpenName {
            group: group.id(),
            oldest: Millis::from(oldest),
            newest: Millis::from(newest),
            rows: rows.len() as u64,
            hash: ContentHash::of(&self.files_written.to_be_bytes()),
        };
        let listed = Listed {
            name,
            bytes: 150 * rows.len() as u64,
            appended: self.now,
        };
        let file = File { listed, rows };
        self.files.entry(group.id()).or_default().push(file);
    }

    fn is_open(&self, group: GroupId, row: &Row) -> bool {
        self.settled
            .get(&(group, row.id))
            .is_none_or(|at| row.failed_at > *at)
    }

    /// Rows that are neither settled nor handed over.
    pub(crate) fn open(&self) -> BTreeSet<(GroupId, u32)> {
        let mut open: BTreeSet<(GroupId, u32)> = self
            .files
            .iter()
            .flat_map(|(id, files)| {
                files
                    .iter()
                    .flat_map(|file| &file.rows)
                    .filter(|row| self.is_open(*id, row))
                    .map(|row| (*id, row.id))
            })
            .collect();
        for (id, rows) in &self.dropped {
            let rows = rows.iter().filter(|row| self.is_open(*id, row));
            open.extend(rows.map(|row| (*id, row.id)));
        }
        for (name, parts) in &self.in_job {
            let groups = &self.state.jobs[name].job.groups;
            for (group, rows) in groups.iter().zip(parts) {
                open.extend(
                    rows.iter()
                        .filter(|row| self.is_open(group.id(), row))
                        .map(|row| (group.id(), row.id)),
                );
            }
        }
        open
    }

    /// One tick; `crash` is the step after which the invocation dies before it recorded it.
    pub(crate) fn tick(&mut self, crash: Option<usize>) {
        self.now = self.now.checked_add(TICK).unwrap();
        for number in 0..200 {
            let inventory = self.inventory();
            self.change(|desk, state| desk.look(state, &inventory));
            let steps = plan(&self.state, &inventory, &self.settings, self.now).steps;
            // Throttled jobs and the like wait: what is planned again in the same tick is a bug.
            let Some(step) = steps.into_iter().next() else {
                return;
            };
            let happening = self.carry_out(&step);
            if crash == Some(number) {
                return;
            }
            if let Some(happening) = happening {
                self.change(|desk, state| desk.apply(state, &happening));
            }
        }
        panic!("a tick does not end");
    }

    fn carry_out(&mut self, step: &Step) -> Option<Happening> {
        Some(match step {
            Step::Learn { group, .. } => {
                let known = self.groups.iter().find(|known| known.id() == *group);
                Happening::Learnt(known.unwrap().clone())
            }
            Step::Drop { group } => {
                let dropping = self.state.groups[group].overflow.clone().unwrap().dropping;
                let files = self.files.get_mut(group).unwrap();
                let (gone, kept) = std::mem::take(files)
                    .into_iter()
                    .partition(|file: &File| dropping.contains(&file.listed.name));
                *files = kept;
                let dropped = self.dropped.entry(*group).or_default();
                dropped.extend(gone.into_iter().flat_map(|file| file.rows));
                Happening::Dropped { group: *group }
            }
            Step::Discard { job } => Happening::Discarded { job: job.clone() },
            Step::Find { job } => Happening::Looked {
                job: job.clone(),
                found: self.at_s3.contains(job).then(|| JobId(job.to_string())),
            },
            Step::Forget { group } => {
                for row in self.handed_over.remove(group).unwrap_or_default() {
                    self.settled.insert((*group, row.id), self.now);
                }
                Happening::Forgotten {
                    group: *group,
                    done: true,
                }
            }
            Step::Size { source } => Happening::Sized {
                source: source.clone(),
                objects: Some(1_000_000),
            },
            Step::Plan { open, cost } => {
                assert!(
                    self.state.lane(&open.job.source).is_none(),
                    "one job a lane"
                );
                for input in &open.job.inputs {
                    assert!(
                        self.files
                            .values()
                            .flatten()
                            .any(|file| file.listed.name.key() == *input)
                    );
                }
                Happening::Planned {
                    open: open.clone(),
                    cost: *cost,
                }
            }
            Step::TellBudget { what, cost } => Happening::BudgetUsedUp {
                what: what.clone(),
                cost: *cost,
            },
            Step::Restore { group } => self.restore(*group),
            Step::Weigh { group, files } => {
                let weighed = |file: &&File| files.contains(&file.listed.name);
                let mut known = self.files[group].iter().filter(weighed);
                if known.any(|file| file.rows.iter().any(|row| self.is_open(*group, row))) {
                    return Some(Happening::Reopened { group: *group });
                }
                let kept = |file: &File| !files.contains(&file.listed.name);
                self.files.get_mut(group).unwrap().retain(kept);
                return None;
            }
            Step::Compact { group, files } => {
                self.compact(*group, files);
                return None;
            }
            Step::CompactSettled { .. } => return None,
            Step::Trim { before } => {
                let groups: BTreeMap<GroupId, BucketName> = self
                    .groups
                    .iter()
                    .map(|group| (group.id(), group.source.clone()))
                    .collect();
                self.settled
                    .retain(|(id, _), at| *at >= before[&groups[id]]);
                Happening::Trimmed
            }
            Step::Work { job } => {
                if let Phase::Create { tried: false, .. } = self.state.jobs[job].job.phase {
                    let trying = Self::worked(job, Worked::Trying);
                    self.change(|desk, state| desk.apply(state, &trying));
                }
                let work = self.work(job);
                Self::worked(job, work)
            }
        })
    }

    fn worked(job: &JobName, work: Worked) -> Happening {
        Happening::Worked {
            job: job.clone(),
            work: Box::new(work),
        }
    }

    fn restore(&mut self, group: GroupId) -> Happening {
        let at = self.state.groups[&group].restore.clone().unwrap().at;
        let rows = self.handed_over.remove(&group).unwrap_or_default();
        let count = rows.len() as u64;
        let rows = rows
            .into_iter()
            .map(|row| Row {
                attempts: 0,
                failed_at: at,
                ..row
            })
            .collect();
        let known = self.state.groups[&group].group.clone();
        self.write(&known, rows);
        Happening::Restored {
            group,
            rows: count,
            done: true,
        }
    }

    fn compact(&mut self, group: GroupId, names: &[OpenName]) {
        assert!(names.len() > 1);
        let frozen: BTreeSet<String> = self
            .state
            .jobs
            .values()
            .flat_map(|open| open.job.inputs.clone())
            .collect();
        let files = self.files.get_mut(&group).unwrap();
        let (taken, kept): (Vec<File>, Vec<File>) = std::mem::take(files)
            .into_iter()
            .partition(|file| names.contains(&file.listed.name));
        assert_eq!(taken.len(), names.len());
        assert!(names.iter().all(|name| !frozen.contains(&name.key())));
        *files = kept;
        let rows = taken.into_iter().flat_map(|file| file.rows).collect();
        let known = self.state.groups[&group].group.clone();
        self.write(&known, rows);
    }

    fn work(&mut self, name: &JobName) -> Worked {
        let open = self.state.jobs[name].clone();
        match &open.job.phase {
            Phase::Gather { .. } => Worked::Gather(Slice::Done(self.gather(&open))),
            Phase::Create { .. } => Worked::Create(self.create(&open)),
            Phase::Poll { id, .. } => Worked::Poll(self.poll(id)),
            Phase::Report { ended, .. } => {
                let found = self.luck != Luck::NoReport && ended.status != EndStatus::Cancelled;
                Worked::Report(Slice::Done(Tally {
                    found,
                    nothing_to_do: false,
                    ..Tally::default()
                }))
            }
            Phase::Settle { ended, tally, .. } => {
                Worked::Settle(Slice::Done(self.settle(&open, ended, tally.found)))
            }
            Phase::Prove { settled, .. } => Worked::Prove(Slice::Done(self.prove(&open, settled))),
            Phase::Close { gathered, .. } => {
                if gathered.complete {
                    for files in self.files.values_mut() {
                        files.retain(|file| !open.job.inputs.contains(&file.listed.name.key()));
                    }
                }
                self.in_job.remove(name);
                Worked::Close(Slice::Done(()))
            }
        }
    }

    fn gather(&mut self, open: &OpenJob) -> Gathered {
        let job = &open.job;
        let mut parts = Vec::new();
        let mut gathered = Gathered {
            complete: true,
            ..Gathered::default()
        };
        let mut left = job.limit;
        for group in &job.groups {
            let id = group.id();
            let mut rows: BTreeMap<u32, Row> = BTreeMap::new();
            for file in self.files.get(&id).into_iter().flatten() {
                if !job.inputs.contains(&file.listed.name.key()) {
                    continue;
                }
                for row in file.rows.iter().filter(|row| self.is_open(id, row)) {
                    let known = rows.entry(row.id).or_insert_with(|| row.clone());
                    known.attempts = known.attempts.max(row.attempts);
                    known.failed_at = known.failed_at.min(row.failed_at);
                }
            }
            let (exhausted, mut rows): (Vec<Row>, Vec<Row>) = rows
                .into_values()
                .partition(|row| row.attempts >= job.attempts || row.failed_at < job.not_before);
            for row in exhausted.iter().chain(&rows) {
                let over = self.over.contains(&(id, row.id));
                assert!(!over, "row {} was settled and is back", row.id);
            }
            for row in &exhausted {
                self.settled
                    .insert((id, row.id), job.planned_at.max(row.failed_at));
            }
            gathered.handed_over.push(exhausted.len() as u64);
            self.handed_over.entry(id).or_default().extend(exhausted);
            rows.sort_by_key(|row| row.attempts);
            let take = rows.len().min(usize::try_from(left).unwrap());
            if take < rows.len() {
                gathered.complete = false;
                rows.truncate(take);
            }
            left -= take as u64;
            for row in &mut rows {
                row.attempts += 1;
            }
            gathered.rows.push(rows.len() as u64);
            parts.push(rows);
        }
        let objects: u64 = gathered.rows.iter().sum();
        if let JobKind::Settle { how } = job.kind {
            for (group, rows) in job.groups.iter().zip(&parts) {
                if how == How::HandedOver {
                    // Not too old yet.
                    self.write(group, rows.clone());
                    continue;
                }
                for row in rows {
                    self.settled
                        .insert((group.id(), row.id), job.planned_at.max(row.failed_at));
                }
            }
            return gathered;
        }
        if objects > 0 {
            gathered.manifest = Some(Manifest {
                bucket: "work-use1".parse().unwrap(),
                key: "manifest".to_owned(),
                etag: "etag".to_owned(),
                objects,
            });
            self.in_job.insert(job.name.clone(), parts);
        }
        gathered
    }

    fn create(&mut self, open: &OpenJob) -> Creation {
        let name = &open.job.name;
        if !self.at_s3.contains(name) {
            match self.luck {
                Luck::Throttled => return Creation::Throttled("slow down".to_owned()),
                Luck::Refused => return Creation::Refused("access denied".to_owned()),
                _ => {}
            }
            assert!(
                self.state.active_hold(self.now).is_none(),
                "no job while held"
            );
            for group in &open.job.groups {
                let hold = self.state.groups[&group.id()].active_hold(self.now);
                assert!(hold.is_none(), "no job of a held group");
            }
            self.at_s3.insert(name.clone());
            self.jobs_created += 1;
            if let JobKind::Sweep(sweep) = &open.job.kind {
                self.list(open, sweep);
                return Creation::Created(JobId(name.to_string()));
            }
            let rows: u64 = self.in_job[name].iter().map(|rows| rows.len() as u64).sum();
            if !open.asked {
                self.automatic.push((open.job.planned_at, 250_000 + rows));
            }
            let attempts = self.settings.thresholds.attempts;
            assert!(
                self.in_job[name]
                    .iter()
                    .flatten()
                    .all(|row| row.attempts <= attempts)
            );
        }
        Creation::Created(JobId(name.to_string()))
    }

    /// S3 makes the manifest of a sweep: of what failed of versions that are new enough.
    fn list(&mut self, open: &OpenJob, sweep: &Sweep) {
        let id = open.sweeps.unwrap();
        let after = sweep.created_after.unwrap();
        let files = self.files.get(&id).into_iter().flatten();
        let rows: BTreeMap<u32, Row> = files
            .flat_map(|file| &file.rows)
            .chain(self.dropped.get(&id).into_iter().flatten())
            .filter(|row| self.is_open(id, row))
            // A version is created before its replication fails, and long before it comes back.
            .filter(|row| self.created[&row.id] > after)
            .map(|row| (row.id, row.clone()))
            .collect();
        let rows = rows.into_values().collect();
        self.swept.insert(open.job.name.clone(), rows);
    }

    /// What failed is written down row by row; of what was initiated only the first is looked for.
    fn settle_sweep(&mut self, open: &OpenJob, ended: &Ended, found: bool) -> Settled {
        let id = open.sweeps.unwrap();
        let rows = self.swept.get(&open.job.name).cloned().unwrap_or_default();
        let mut result = Settled::default();
        let mut outcome = Outcome::default();
        if found && ended.status != EndStatus::Cancelled {
            if self.broken.contains(&id) {
                outcome.failed = rows.len() as u64;
                let known = self.state.groups[&id].group.clone();
                self.reopen(&mut result, &known, rows, ended.at);
            } else {
                outcome.initiated = rows.len() as u64;
            }
        }
        result.groups.push(outcome);
        result
    }

    fn prove_sweep(&mut self, open: &OpenJob, settled: &Settled) -> Settled {
        let id = open.sweeps.unwrap();
        let rows = self.swept[&open.job.name].clone();
        let mut result = settled.clone();
        if self.luck == Luck::Pending {
            let known = self.state.groups[&id].group.clone();
            result.groups[0].pending += 1;
            self.reopen(&mut result, &known, rows[..1].to_vec(), self.now);
        } else {
            result.groups[0].arrived += 1;
            for row in rows {
                self.settled.insert((id, row.id), self.now);
            }
        }
        result
    }

    fn poll(&self, id: &JobId) -> Polled {
        let status = match self.luck {
            Luck::Failed => EndStatus::Failed,
            Luck::Cancelled => EndStatus::Cancelled,
            _ => EndStatus::Complete,
        };
        Polled::Ended(Ended {
            id: id.clone(),
            status,
            at: self.now,
            progress: Progress::default(),
            reasons: Vec::new(),
        })
    }

    fn settle(&mut self, open: &OpenJob, ended: &Ended, found: bool) -> Settled {
        if let JobKind::Sweep(_) = open.job.kind {
            return self.settle_sweep(open, ended, found);
        }
        let mut result = Settled::default();
        let mut parts = self.in_job[&open.job.name].clone();
        for (group, rows) in open.job.groups.iter().zip(&mut parts) {
            let id = group.id();
            let mut outcome = Outcome::default();
            let mut again = Vec::new();
            let count = rows.len() as u64;
            for row in std::mem::take(rows) {
                // Failures dated inside the job's life belong to it.
                self.settled.insert((id, row.id), ended.at);
                if !found || ended.status == EndStatus::Cancelled {
                    outcome.not_run += 1;
                    again.push(row);
                } else if self.luck == Luck::Gone {
                    self.over.insert((id, row.id));
                    outcome.finals += 1;
                } else if self.broken.contains(&id) {
                    outcome.failed += 1;
                    again.push(row);
                } else {
                    outcome.initiated += 1;
                    rows.push(row);
                }
            }
            assert_eq!(
                count,
                outcome.not_run + outcome.finals + outcome.failed + outcome.initiated
            );
            self.reopen(&mut result, group, again, ended.at);
            result.groups.push(outcome);
        }
        self.in_job.insert(open.job.name.clone(), parts);
        result
    }

    fn reopen(&mut self, result: &mut Settled, group: &Group, rows: Vec<Row>, at: Timestamp) {
        if rows.is_empty() {
            return;
        }
        result.reopened.push(Reopened {
            group: group.clone(),
            rows: rows.len() as u64,
        });
        for row in &rows {
            self.settled.remove(&(group.id(), row.id));
        }
        let _ = at;
        self.write(group, rows);
    }

    fn prove(&mut self, open: &OpenJob, settled: &Settled) -> Settled {
        if let JobKind::Sweep(_) = open.job.kind {
            return self.prove_sweep(open, settled);
        }
        let mut result = settled.clone();
        let mut parts = self.in_job[&open.job.name].clone();
        for (index, (group, rows)) in open.job.groups.iter().zip(&mut parts).enumerate() {
            let rows = std::mem::take(rows);
            let outcome = &mut result.groups[index];
            if self.luck == Luck::Pending {
                outcome.pending += outcome.initiated;
                let again = rows
                    .into_iter()
                    .map(|row| Row {
                        attempts: row.attempts - 1,
                        ..row
                    })
                    .collect();
                outcome.initiated = 0;
                self.reopen(&mut result, group, again, self.now);
            } else {
                self.over
                    .extend(rows.iter().map(|row| (group.id(), row.id)));
                outcome.arrived += outcome.initiated;
                outcome.initiated = 0;
            }
        }
        self.in_job.insert(open.job.name.clone(), parts);
        result
    }

    /// What must be true at every moment.
    fn check(&self) {
        let state = &self.state;
        for (id, rows) in &self.dropped {
            let known = state
                .groups
                .get(id)
                .is_some_and(|record| record.overflow.is_some());
            let in_files = |row: &Row| {
                let files = self.files.get(id).into_iter().flatten();
                let handed_over = self.handed_over.get(id).into_iter().flatten();
                let of_jobs = self.in_job.values().flatten().flatten();
                files
                    .flat_map(|file| &file.rows)
                    .chain(handed_over)
                    .chain(of_jobs)
                    .any(|known| known.id == row.id)
            };
            for row in rows.iter().filter(|row| !known && self.is_open(*id, row)) {
                assert!(in_files(row), "{id} has forgotten row {}", row.id);
            }
        }
        let mut lanes = BTreeSet::new();
        for open in state.jobs.values() {
            assert!(lanes.insert(&open.job.source), "one job a lane");
        }
        let jobs = state.jobs.values().filter(|open| open.is_of_s3()).count();
        assert!(jobs <= self.settings.thresholds.jobs, "too many jobs");
        let day = SignedDuration::from_hours(24);
        let limit = u64::from(self.settings.thresholds.daily_dollars) * 1_000_000;
        let spent: u64 = self
            .automatic
            .iter()
            .filter(|(at, _)| self.now.duration_since(*at) < day)
            .map(|(_, micros)| micros)
            .sum();
        assert!(spent <= limit, "{spent} of {limit} millionths of a dollar");
        for (id, record) in &state.groups {
            match &record.phase {
                GroupPhase::Held { next_sample_at, .. } => {
                    let longest = self.settings.thresholds.sample_max;
                    assert!(
                        next_sample_at.duration_since(self.now) <= longest,
                        "{id} waits too long"
                    );
                    let page = format!("{id}/replication-failing/{}", record.episode);
                    // A reason that is final is no page's business, until a person asks for it.
                    assert!(
                        self.told.contains_key(&page)
                            || record.asked.is_some()
                            || settles_as(record).is_some(),
                        "nobody was told of {page}: {record:?}"
                    );
                }
                GroupPhase::Sampled { job, .. } => {
                    assert!(state.jobs.contains_key(job), "{id} waits for no job");
                }
                _ => {}
            }
        }
    }
}
