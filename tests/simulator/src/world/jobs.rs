//! What Batch Operations jobs do to the world, and what the harness sees of them.

use std::sync::Arc;

use bytes::Bytes;

use super::World;
use crate::call::Call;
use crate::config::{AlreadyReplicated, Encryption};
use crate::dice::chance;
use crate::faults::Service;
use crate::jobs::{
    self, BatchDenial, GeneratedManifest, Generator, Manifest, Moment, Output, Row, Source, Timer,
    Work,
};
use crate::notifications::ReplicationMessage;
use crate::reasons;
use crate::s3::{Author, Eligibility, Outgoing};
use crate::truth::{Job, JobState, Reason, RepeatedTask, Task, Transfer};
use crate::wire::{Answer, ServiceError, query};

/// A code and a text of why a job fails.
type Failure = (&'static str, String);

/// A job that knows what to do.
struct Prepared {
    bucket: String,
    total: u64,
    work: Work,
}

/// One task: the key as the report shows it, the key, the version.
struct Todo {
    written_key: String,
    key: Arc<str>,
    version_id: Arc<str>,
}

impl World {
    pub(super) fn serve_jobs(&mut self, call: &Call) -> Result<Answer, ServiceError> {
        let moment = Moment {
            now: self.now,
            epoch: self.config.epoch,
        };
        let answer = self.jobs.handle(call, moment, &mut self.dice.jobs);
        self.jobs.schedule(self.now, &mut self.dice.jobs);
        answer
    }

    /// Lets a job do what is due.
    pub(super) fn step_job(&mut self, timer: Timer) {
        if !self.jobs.is_current(timer) {
            return;
        }
        let place = timer.job;
        if !self.is_up(&self.jobs.get(place).region, Service::S3) {
            self.jobs.stall(place);
            return;
        }
        match self.jobs.get(place).state() {
            JobState::New => self.enter(place, JobState::Preparing),
            JobState::Preparing => self.prepare(place),
            JobState::Suspended => {
                let text = "The job was not confirmed in time";
                self.jobs.explain(place, "JobNotConfirmed", text);
                self.enter(place, JobState::Failed);
            }
            JobState::Ready => self.jobs.get_mut(place).waits_for_room = true,
            JobState::Active => self.run_tasks(place),
            JobState::Pausing => self.enter(place, JobState::Paused),
            JobState::Completing => self.finish(place, JobState::Complete),
            JobState::Cancelling => self.finish(place, JobState::Cancelled),
            JobState::Failing => self.finish(place, JobState::Failed),
            JobState::Paused | JobState::Complete | JobState::Cancelled | JobState::Failed => {}
        }
        self.jobs.schedule(self.now, &mut self.dice.jobs);
    }

    fn enter(&mut self, place: usize, state: JobState) {
        self.jobs.enter(place, state, self.now, &mut self.dice.jobs);
    }

    /// Reads or generates the manifest.
    fn prepare(&mut self, place: usize) {
        let source = self.jobs.get(place).request.source.clone();
        let prepared = if self.jobs.is_denied(BatchDenial::AssumeRole) {
            let text = "The role could not be assumed by Batch Operations";
            Err(("AssumeRoleNotPermitted", text.to_owned()))
        } else {
            match &source {
                Source::Csv(manifest) => self.read_manifest(place, manifest),
                Source::Generated(generator) => self.generate_manifest(place, generator),
            }
        };
        match prepared {
            Ok(Prepared {
                bucket,
                total,
                work,
            }) => {
                let job = self.jobs.get_mut(place);
                job.bucket = Some(bucket);
                job.total = Some(total);
                job.work = work;
                let confirmed = !job.request.confirmation;
                let next = if confirmed {
                    JobState::Ready
                } else {
                    JobState::Suspended
                };
                self.enter(place, next);
            }
            Err((code, text)) => {
                self.jobs.explain(place, code, &text);
                self.enter(place, JobState::Failed);
            }
        }
    }

    fn read_manifest(&self, place: usize, manifest: &Manifest) -> Result<Prepared, Failure> {
        let Manifest {
            bucket,
            key,
            version,
            etag,
            fields,
        } = manifest;
        let unreadable = |why: &str| {
            let text = format!("Reading the manifest is forbidden: {why}");
            ("ManifestNotReadable", text)
        };
        if self.jobs.is_denied(BatchDenial::ReadManifest) {
            return Err(unreadable("AccessDenied"));
        }
        let home = self
            .s3
            .bucket(bucket)
            .ok_or_else(|| unreadable("NoSuchBucket"))?;
        if home.region != self.jobs.get(place).region {
            return Err(unreadable("PermanentRedirect"));
        }
        let versions = self.s3.versions(bucket, key);
        let object = match version {
            Some(id) => versions
                .into_iter()
                .find(|version| *version.version_id == **id),
            None => self.s3.object(bucket, key),
        };
        let object = object
            .filter(|version| !version.delete_marker)
            .ok_or_else(|| unreadable("NoSuchKey"))?;
        if object.properties.encryption != Encryption::SseS3 {
            return Err(unreadable(
                "manifests encrypted with AWS KMS are not supported",
            ));
        }
        if object.etag.trim_matches('"') != etag.trim_matches('"') {
            let text = "The manifest's ETag is not the one of the request";
            return Err(("ManifestETagMismatch", text.to_owned()));
        }
        let body = object.body.clone();
        let (total, source_bucket) =
            jobs::survey(&body, *fields).map_err(|text| ("InvalidManifest", text))?;
        if self.s3.bucket(&source_bucket).is_none() {
            let text =
                format!("The manifest names the bucket {source_bucket}, which does not exist");
            return Err(("InvalidManifest", text));
        }
        if !fields.has_versions() {
            let text = "A manifest for replication must name versions";
            return Err(("InvalidManifest", text.to_owned()));
        }
        Ok(Prepared {
            bucket: source_bucket,
            total,
            work: Work::Csv { body, offset: 0 },
        })
    }

    fn generate_manifest(
        &mut self,
        place: usize,
        generator: &Generator,
    ) -> Result<Prepared, Failure> {
        let bucket = &generator.source;
        let region = self.jobs.get(place).region.clone();
        match self.s3.bucket(bucket) {
            None => {
                let text = format!("The bucket {bucket} does not exist");
                return Err(("ManifestGenerationFailed", text));
            }
            Some(source) if source.region != region => {
                let text = "The source bucket is in another Region than the job";
                return Err(("SrcBucketInvalidRegion", text.to_owned()));
            }
            Some(source) if source.rules().next().is_none() => {
                let text = "The source bucket has no replication configuration";
                return Err(("ManifestGenerationFailed", text.to_owned()));
            }
            Some(_) => {}
        }
        if self.jobs.is_denied(BatchDenial::ReadManifest) {
            let text = "The manifest could not be generated: AccessDenied";
            return Err(("ManifestGenerationFailed", text.to_owned()));
        }
        let epoch = self.config.epoch;
        let versions = self.s3.eligible(bucket, |key, version| {
            let created = crate::time::calendar(epoch, version.last_modified);
            generator.wants(key, version, created)
        });
        if versions.is_empty() {
            let text = "Manifest generation found no keys matching the filter criteria.";
            return Err(("ManifestGenerationFailed", text.to_owned()));
        }
        if let Some(output) = &generator.output {
            let written = self.write_generated(place, bucket, output, &versions)?;
            self.jobs.get_mut(place).generated = Some(written);
        }
        Ok(Prepared {
            bucket: bucket.clone(),
            total: versions.len() as u64,
            work: Work::List { versions, next: 0 },
        })
    }

    /// Writes what was generated as S3 does: an inventory-like manifest and its data file.
    fn write_generated(
        &mut self,
        place: usize,
        source: &str,
        output: &Output,
        versions: &[(Arc<str>, Arc<str>)],
    ) -> Result<GeneratedManifest, Failure> {
        let job = self.jobs.get(place);
        let home = self.s3.bucket(&output.bucket);
        if home.is_none_or(|bucket| bucket.region != job.region) {
            let text =
                "The generated manifest cannot be written: its bucket is not in the job's Region";
            return Err(("ManifestGenerationFailed", text.to_owned()));
        }
        let folder = match &output.prefix {
            Some(prefix) => format!("{prefix}/job-{}", job.id),
            None => format!("job-{}", job.id),
        };
        let mut rows = csv::Writer::from_writer(Vec::new());
        for (key, version) in versions {
            let row = [source, &query::encode(key), version];
            rows.write_record(row).expect("memory takes everything");
        }
        let rows = Bytes::from(rows.into_inner().expect("memory takes everything"));
        let data = format!("{folder}/data/manifest.csv");
        let manifest = serde_json::json!({
            "sourceBucket": source,
            "destinationBucket": format!("arn:aws:s3:::{}", output.bucket),
            "version": "2021-11-30",
            "fileFormat": "CSV",
            "fileSchema": "Bucket, Key, VersionId",
            "files": [{"key": data, "size": rows.len()}],
        });
        let key = format!("{folder}/manifest.json");
        let body = Bytes::from(manifest.to_string());
        self.write_as_service(&output.bucket, &data, rows);
        self.write_as_service(&output.bucket, &key, body);
        let etag = self.s3.object(&output.bucket, &key);
        let etag = etag.map(|object| object.etag.trim_matches('"').to_owned());
        Ok(GeneratedManifest {
            bucket: output.bucket.clone(),
            key,
            etag: etag.unwrap_or_default(),
        })
    }

    /// Batch Operations writes, under SSE-S3 whatever the bucket's default.
    fn write_as_service(&mut self, bucket: &str, key: &str, body: Bytes) {
        let author = Author {
            at: self.now,
            client: "batch-operations",
            seq: None,
            through_mrap: false,
        };
        self.s3
            .put_plain(author, bucket, key, body, Some(Encryption::SseS3));
    }

    /// Runs the tasks of one step, and sees whether the job is done or beyond help.
    fn run_tasks(&mut self, place: usize) {
        let limit = self.config.timing.job_tasks_per_second.max(1);
        let (bucket, todo) = self.next_tasks(place, limit);
        let region = self.jobs.get(place).region.clone();
        for task in todo {
            let failure = self.run_task(&region, &bucket, &task);
            let now = self.now;
            let job = self.jobs.get_mut(place);
            match failure {
                None => job.succeeded += 1,
                Some(_) => job.failed += 1,
            }
            job.report.add(
                &bucket,
                &task.written_key,
                &task.version_id,
                failure.as_deref(),
            );
            job.tasks.push(Task {
                at: now,
                key: task.key,
                version_id: task.version_id,
                failure,
            });
        }
        let threshold = self.jobs.rules().failure_threshold;
        let job = self.jobs.get(place);
        let run = job.succeeded + job.failed;
        if run >= threshold && job.failed * 2 > run {
            let text = format!(
                "{} of {run} tasks failed, more than half of them",
                job.failed
            );
            self.jobs.explain(place, "FailureThresholdExceeded", &text);
            self.enter(place, JobState::Failing);
        } else if job.total.is_none_or(|total| run >= total) {
            self.enter(place, JobState::Completing);
        } else {
            let step = jobs::STEP_MILLIS..=jobs::STEP_MILLIS;
            self.jobs.plan(place, &step, self.now, &mut self.dice.jobs);
        }
    }

    /// The next tasks of a job, and the bucket they are for.
    fn next_tasks(&mut self, place: usize, limit: u64) -> (String, Vec<Todo>) {
        let plus_is_space = self.jobs.rules().plus_is_space;
        let job = self.jobs.get_mut(place);
        let bucket = job.bucket.clone().unwrap_or_default();
        match (&mut job.work, &job.request.source) {
            (Work::Csv { body, offset }, Source::Csv(manifest)) => {
                let (rows, after) =
                    jobs::rows(body, *offset, limit, manifest.fields, plus_is_space);
                *offset = after;
                let todo = rows.into_iter().map(|row| self.todo(&bucket, row));
                let todo = todo.collect();
                (bucket, todo)
            }
            (Work::List { versions, next }, _) => {
                let end = versions
                    .len()
                    .min(*next + usize::try_from(limit).unwrap_or(usize::MAX));
                let todo = versions[*next..end].iter().map(|(key, version_id)| Todo {
                    written_key: query::encode(key),
                    key: Arc::clone(key),
                    version_id: Arc::clone(version_id),
                });
                let todo = todo.collect();
                *next = end;
                (bucket, todo)
            }
            (Work::Nothing | Work::Csv { .. }, _) => (bucket, Vec::new()),
        }
    }

    /// A row as a task; names that the bucket knows are shared with it.
    fn todo(&self, bucket: &str, row: Row) -> Todo {
        let known = self.s3.names(bucket, &row.key, &row.version_id);
        let (key, version_id) = known.unwrap_or_else(|| (row.key.into(), row.version_id.into()));
        Todo {
            written_key: row.written_key,
            key,
            version_id,
        }
    }

    /// Initiates the replication of a version by every rule that applies; the first failure, if
    /// one shows at once.
    fn run_task(&mut self, region: &str, bucket: &str, task: &Todo) -> Option<Reason> {
        if self.jobs.is_denied(BatchDenial::InitiateReplication) {
            return Some(reasons::known("InitiateReplicationNotPermitted"));
        }
        if self.s3.bucket(bucket).is_some_and(|b| b.region != region) {
            return Some(reasons::known("SrcBucketInvalidRegion"));
        }
        let transfers = match self
            .s3
            .eligibility(bucket, &task.key, &task.version_id, self.now)
        {
            Eligibility::Refused(reason) => return Some(reasons::known(reason)),
            Eligibility::Lanes(transfers) => transfers,
        };
        if self.jobs.rules().already_replicated == AlreadyReplicated::NotPending
            && transfers.iter().all(|t| self.has_arrived(t))
        {
            return Some(reasons::known("SrcReplicationNotPending"));
        }
        let mut failure = None;
        for transfer in transfers {
            let refusal = if self.can_replicate(&transfer) {
                self.refusal(&transfer)
            } else {
                None
            };
            let late = self.jobs.rules().late_failures;
            match refusal {
                Some(reason) if !chance(&mut self.dice.jobs, late) => {
                    failure.get_or_insert_with(|| reason.clone());
                    self.give_up(transfer, reason);
                }
                _ => {
                    self.s3.settle_transfer(&transfer, Transfer::Pending);
                    self.s3.send(transfer);
                }
            }
        }
        failure
    }

    fn has_arrived(&self, transfer: &Outgoing) -> bool {
        let done = |state: &Transfer| matches!(state, Transfer::Completed { .. });
        let source = self.s3.source_version(transfer);
        source
            .and_then(|version| version.transfers.get(&transfer.lane.destination))
            .is_some_and(done)
            && self.s3.replica(transfer).is_some()
    }

    /// Writes the report, if there is anything to report, and ends the job.
    fn finish(&mut self, place: usize, state: JobState) {
        let job = self.jobs.get(place);
        let wanted = job.request.report.enabled && !job.tasks.is_empty();
        if !wanted {
            self.enter(place, state);
            return;
        }
        let request = job.request.report.clone();
        let home = self.s3.bucket(&request.bucket);
        let why = match home {
            _ if self.jobs.is_denied(BatchDenial::WriteReport) => Some("AccessDenied"),
            None => Some("NoSuchBucket"),
            Some(bucket) if bucket.region != job.region => Some("PermanentRedirect"),
            Some(_) => None,
        };
        if let Some(why) = why {
            let text = format!("Writing the report is forbidden: {why}");
            self.jobs.explain(place, "ReportNotWritable", &text);
            self.enter(place, JobState::Failed);
            return;
        }
        let created = jobs::iso(self.config.epoch, self.now);
        let job = self.jobs.get_mut(place);
        let id = job.id.clone();
        let files = job.report.finish(&request, &id, &created);
        for (key, body) in files {
            self.write_as_service(&request.bucket, &key, body);
        }
        self.enter(place, state);
    }
}

/// Jobs.
impl World {
    /// Every job, in order of creation.
    #[must_use]
    pub fn jobs(&self) -> Vec<Job> {
        self.jobs.all().iter().map(describe).collect()
    }

    /// The tasks of a job so far, in order; none for an unknown id.
    #[must_use]
    pub fn job_tasks(&self, id: &str) -> &[Task] {
        let place = self.jobs.position(id);
        place.map_or(&[], |place| &self.jobs.get(place).tasks)
    }

    /// Versions that were a job's task more than once. Looks at every task of every job.
    #[must_use]
    pub fn repeated_tasks(&self) -> Vec<RepeatedTask> {
        let mut tasks: Vec<(&str, &str, &str, usize)> = Vec::new();
        for (place, job) in self.jobs.all().iter().enumerate() {
            let bucket = job.bucket.as_deref().unwrap_or_default();
            let of_job = job.tasks.iter();
            tasks.extend(of_job.map(|task| (bucket, &*task.key, &*task.version_id, place)));
        }
        tasks.sort_unstable();
        let same = |a: &(&str, &str, &str, usize), b: &(&str, &str, &str, usize)| {
            (a.0, a.1, a.2) == (b.0, b.1, b.2)
        };
        let repeated = tasks.chunk_by(same).filter(|chunk| chunk.len() > 1);
        repeated
            .map(|chunk| {
                let places: Vec<usize> = chunk.iter().map(|task| task.3).collect();
                RepeatedTask {
                    bucket: chunk[0].0.to_owned(),
                    key: chunk[0].1.to_owned(),
                    version_id: chunk[0].2.to_owned(),
                    jobs: places
                        .iter()
                        .map(|p| self.jobs.get(*p).id.clone())
                        .collect(),
                    overlapping: places.windows(2).any(|pair| self.overlap(pair[0], pair[1])),
                }
            })
            .collect()
    }

    /// Whether two jobs, the earlier one first, were open at the same time.
    fn overlap(&self, earlier: usize, later: usize) -> bool {
        let end = self.jobs.get(earlier).terminated();
        earlier == later || end.is_none_or(|end| self.jobs.get(later).created() < end)
    }

    /// Takes a permission from the role of Batch Operations, or gives it back.
    pub fn deny_batch_role(&mut self, denial: BatchDenial, on: bool) {
        self.jobs.deny(denial, on);
    }
}

/// Replication events.
impl World {
    /// Takes every message about replication that has arrived by now, in order of arrival.
    pub fn take_replication_messages(&mut self) -> Vec<ReplicationMessage> {
        self.take_some_replication_messages(usize::MAX)
    }

    /// As [`take_replication_messages`](Self::take_replication_messages), at most so many: what is
    /// left costs little memory.
    pub fn take_some_replication_messages(&mut self, limit: usize) -> Vec<ReplicationMessage> {
        let s3 = &self.s3;
        let region_of = |bucket: &str| {
            let bucket = s3.bucket(bucket);
            bucket
                .map(|bucket| bucket.region.clone())
                .unwrap_or_default()
        };
        self.notifications.take(limit, self.now, region_of)
    }

    /// How many messages about replication have arrived and were not taken.
    #[must_use]
    pub fn waiting_replication_messages(&self) -> usize {
        self.notifications.waiting(self.now)
    }

    /// When the next message about replication arrives, or arrived if it was not taken.
    #[must_use]
    pub fn next_replication_message_at(&self) -> Option<crate::SimTime> {
        self.notifications.next_at()
    }
}

fn describe(job: &jobs::Job) -> Job {
    Job {
        id: job.id.clone(),
        region: job.region.clone(),
        token: job.request.token.clone(),
        description: job.request.description.clone(),
        tags: job.request.tags.clone(),
        priority: job.priority(),
        state: job.state(),
        bucket: job.bucket.clone(),
        is_generated: matches!(job.request.source, Source::Generated(_)),
        created: job.created(),
        terminated: job.terminated(),
        total: job.total,
        succeeded: job.succeeded,
        failed: job.failed,
        failures: job.failures().to_vec(),
    }
}
