//! S3 Batch Operations: the jobs of every Region, their states and who may run.
//!
//! What a job does to objects is the world's business (`world/jobs.rs`); here is what it is.

mod api;
mod generator;
mod manifest;
mod report;
mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::SimTime;
use crate::config::{JobRules, Timing, WorldConfig};
use crate::dice::span;
use crate::log::sha256_hex;
use crate::truth::{JobState, Task};

pub(crate) use api::{Moment, iso};
pub(crate) use generator::{Generator, Output};
pub(crate) use manifest::{Row, rows, survey};
pub(crate) use report::Report;
pub(crate) use request::{JobRequest, Manifest, Source};

/// Milliseconds between the steps of an active job.
pub(crate) const STEP_MILLIS: u64 = 1_000;

/// All jobs of the account, in order of creation.
#[derive(Debug)]
pub(crate) struct Jobs {
    seed: u64,
    account: String,
    timing: Timing,
    rules: JobRules,
    list: Vec<Job>,
    by_id: BTreeMap<String, usize>,
    /// Region and token of every job.
    by_token: BTreeMap<(String, String), usize>,
    timers: Vec<Timer>,
    denials: BTreeSet<BatchDenial>,
}

/// What the role of Batch Operations lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchDenial {
    /// Batch Operations cannot assume the role: the job fails before its first task.
    AssumeRole,
    /// `s3:GetObject` on the manifest: the job fails before its first task.
    ReadManifest,
    /// `s3:PutObject` on the report: the job fails at its end.
    WriteReport,
    /// `s3:InitiateReplication`: every task fails.
    InitiateReplication,
}

/// When a job's next step is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timer {
    pub(crate) at: SimTime,
    pub(crate) job: usize,
    /// A step that was planned for an earlier state is void.
    pub(crate) generation: u64,
}

/// A job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) request: JobRequest,
    /// Hash of what was asked, to compare repeated requests.
    asked: String,
    priority: u32,
    state: JobState,
    pub(crate) since: SimTime,
    created: SimTime,
    known_from: SimTime,
    terminated: Option<SimTime>,
    suspended_since: Option<SimTime>,
    reason: Option<String>,
    failures: Vec<(String, String)>,
    /// The bucket of its versions, once that is known.
    pub(crate) bucket: Option<String>,
    pub(crate) total: Option<u64>,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    active_millis: u64,
    generation: u64,
    /// Ready, and waiting for nothing but the quota.
    pub(crate) waits_for_room: bool,
    /// A step fell due while its Region was down.
    stalled: bool,
    pub(crate) work: Work,
    pub(crate) generated: Option<GeneratedManifest>,
    pub(crate) report: Report,
    pub(crate) tasks: Vec<Task>,
}

/// A manifest that S3 wrote.
#[derive(Debug, Clone)]
pub(crate) struct GeneratedManifest {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) etag: String,
}

/// What is left to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// The manifest was not read yet, or everything is done.
    Nothing,
    /// The rows from `offset` on.
    Csv { body: Bytes, offset: usize },
    /// These versions, from `next` on.
    List {
        versions: Vec<(Arc<str>, Arc<str>)>,
        next: usize,
    },
}

impl Job {
    pub(crate) fn state(&self) -> JobState {
        self.state
    }

    pub(crate) fn priority(&self) -> u32 {
        self.priority
    }

    pub(crate) fn created(&self) -> SimTime {
        self.created
    }

    pub(crate) fn terminated(&self) -> Option<SimTime> {
        self.terminated
    }

    pub(crate) fn failures(&self) -> &[(String, String)] {
        &self.failures
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.is_terminal()
    }

    fn arn(&self, account: &str) -> String {
        format!("arn:aws:s3:{}:{account}:job/{}", self.region, self.id)
    }
}

impl Jobs {
    pub(crate) fn new(config: &WorldConfig) -> Self {
        Self {
            seed: config.seed,
            account: config.account.clone(),
            timing: config.timing.clone(),
            rules: config.jobs.clone(),
            list: Vec::new(),
            by_id: BTreeMap::new(),
            by_token: BTreeMap::new(),
            timers: Vec::new(),
            denials: BTreeSet::new(),
        }
    }

    pub(crate) fn rules(&self) -> &JobRules {
        &self.rules
    }

    pub(crate) fn get(&self, job: usize) -> &Job {
        &self.list[job]
    }

    pub(crate) fn get_mut(&mut self, job: usize) -> &mut Job {
        &mut self.list[job]
    }

    pub(crate) fn all(&self) -> &[Job] {
        &self.list
    }

    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn deny(&mut self, denial: BatchDenial, on: bool) {
        if on {
            self.denials.insert(denial);
        } else {
            self.denials.remove(&denial);
        }
    }

    pub(crate) fn is_denied(&self, denial: BatchDenial) -> bool {
        self.denials.contains(&denial)
    }

    pub(crate) fn take_timers(&mut self) -> Vec<Timer> {
        std::mem::take(&mut self.timers)
    }

    /// Whether a timer is for the state that its job is in.
    pub(crate) fn is_current(&self, timer: Timer) -> bool {
        self.list[timer.job].generation == timer.generation
    }

    /// Puts a step off until the job's Region is back.
    pub(crate) fn stall(&mut self, job: usize) {
        self.list[job].stalled = true;
    }

    /// Plans the stalled steps of Regions that are back.
    pub(crate) fn resume(&mut self, is_up: impl Fn(&str) -> bool, now: SimTime, rng: &mut Rng) {
        let resume = self.timing.replication_resume.clone();
        for (place, job) in self.list.iter_mut().enumerate() {
            if job.stalled && is_up(&job.region) {
                job.stalled = false;
                self.timers.push(Timer {
                    at: now + span(rng, &resume),
                    job: place,
                    generation: job.generation,
                });
            }
        }
    }

    /// Adds a job.
    fn add(
        &mut self,
        region: &str,
        request: JobRequest,
        asked: String,
        now: SimTime,
        rng: &mut Rng,
    ) -> usize {
        let place = self.list.len();
        let id = self.id_of(place);
        let known_from = now + span(rng, &self.timing.job_unknown);
        let report = Report::new(&request.report, self.rules.report_rows);
        self.by_id.insert(id.clone(), place);
        let token = (region.to_owned(), request.token.clone());
        self.by_token.insert(token, place);
        self.list.push(Job {
            id,
            region: region.to_owned(),
            asked,
            priority: request.priority,
            request,
            state: JobState::New,
            since: now,
            created: now,
            known_from,
            terminated: None,
            suspended_since: None,
            reason: None,
            failures: Vec::new(),
            bucket: None,
            total: None,
            succeeded: 0,
            failed: 0,
            active_millis: 0,
            generation: 0,
            waits_for_room: false,
            stalled: false,
            work: Work::Nothing,
            generated: None,
            report,
            tasks: Vec::new(),
        });
        let new = self.timing.job_new.clone();
        self.plan(place, &new, now, rng);
        place
    }

    fn id_of(&self, place: usize) -> String {
        let hash = sha256_hex(format!("job-{}-{place}", self.seed).as_bytes());
        let parts = [
            &hash[..8],
            &hash[8..12],
            &hash[12..16],
            &hash[16..20],
            &hash[20..32],
        ];
        parts.join("-")
    }

    /// Moves a job to a state and plans its next step, if time alone brings it.
    pub(crate) fn enter(&mut self, place: usize, state: JobState, now: SimTime, rng: &mut Rng) {
        let job = &mut self.list[place];
        if job.state == JobState::Active {
            job.active_millis += now.since(job.since).as_secs() * 1000;
        }
        job.state = state;
        job.since = now;
        job.generation += 1;
        job.waits_for_room = false;
        job.stalled = false;
        let timing = &self.timing;
        let confirmation = timing.job_confirmation..=timing.job_confirmation;
        let wait = match state {
            JobState::New | JobState::Paused => None,
            JobState::Complete | JobState::Failed | JobState::Cancelled => {
                job.terminated = Some(now);
                job.work = Work::Nothing;
                None
            }
            JobState::Preparing => Some(match job.request.source {
                Source::Csv(_) => timing.job_preparing.clone(),
                Source::Generated(_) => timing.job_generating.clone(),
            }),
            JobState::Suspended => {
                job.suspended_since = Some(now);
                Some(confirmation)
            }
            JobState::Ready => Some(timing.job_ready.clone()),
            JobState::Active => Some(STEP_MILLIS..=STEP_MILLIS),
            JobState::Completing => Some(timing.job_completing.clone()),
            JobState::Pausing | JobState::Cancelling | JobState::Failing => {
                Some(timing.job_stopping.clone())
            }
        };
        if let Some(wait) = wait {
            self.plan(place, &wait, now, rng);
        }
    }

    /// Plans the next step of a job that stays in its state.
    pub(crate) fn plan(
        &mut self,
        place: usize,
        wait: &RangeInclusive<u64>,
        now: SimTime,
        rng: &mut Rng,
    ) {
        self.timers.push(Timer {
            at: now + span(rng, wait),
            job: place,
            generation: self.list[place].generation,
        });
    }

    /// Gives a reason for a failure that is to come or has come.
    pub(crate) fn explain(&mut self, place: usize, code: &str, reason: &str) {
        let reason: String = reason.chars().take(256).collect();
        self.list[place].failures.push((code.to_owned(), reason));
    }

    /// Lets jobs run as far as the quota allows, the highest priority first, then the oldest. One
    /// that must wait pauses a running one of lower priority.
    pub(crate) fn schedule(&mut self, now: SimTime, rng: &mut Rng) {
        loop {
            let running = |state| matches!(state, JobState::Active | JobState::Pausing);
            let busy = self.list.iter().filter(|job| running(job.state)).count();
            let waiting = self.list.iter().enumerate().filter(|(_, job)| {
                job.state == JobState::Paused
                    || (job.state == JobState::Ready && job.waits_for_room)
            });
            let Some((next, priority)) = waiting
                .map(|(place, job)| (place, job.priority))
                .min_by_key(|(place, priority)| (std::cmp::Reverse(*priority), *place))
            else {
                return;
            };
            if busy < self.rules.active_quota {
                self.enter(next, JobState::Active, now, rng);
                continue;
            }
            if self.list.iter().any(|job| job.state == JobState::Pausing) {
                return;
            }
            let active = self.list.iter().enumerate();
            let lowest = active
                .filter(|(_, job)| job.state == JobState::Active && job.priority < priority)
                .min_by_key(|(place, job)| (job.priority, std::cmp::Reverse(*place)));
            let Some((lowest, _)) = lowest else { return };
            self.enter(lowest, JobState::Pausing, now, rng);
            return;
        }
    }
}
