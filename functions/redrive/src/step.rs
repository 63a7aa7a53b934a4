//! Carrying out one planned step, and recording what came of it before the next is planned.

use jiff::Timestamp;
use sentinel_aws::ledger::FileError;
use sentinel_aws::size::bucket_size;
use sentinel_core::ledger::{GroupId, HandedOverName, OpenName, RowsHeader};
use sentinel_core::names::BucketName;
use sentinel_core::redrive::apply::{Happening, Worked};
use sentinel_core::redrive::job::{Job, JobName, Phase};
use sentinel_core::redrive::plan::Step;
use sentinel_core::redrive::state::{RedriveState, phase_name};

use crate::error::Error;
use crate::record::Record;
use crate::turn::Turn;
use crate::work::{self, Work, WorkError};

/// The first line of a file is read with this many bytes; it is longer only with a rule's name
/// that S3 would not take.
const HEAD_BYTES: u64 = 64 * 1024;

/// What a step is about, to tell whether it failed in this invocation already.
pub(crate) fn name_of(step: &Step) -> String {
    match step {
        Step::Learn { group, .. } => format!("learning about group {group}"),
        Step::Drop { group } => format!("dropping counted files of group {group}"),
        Step::Discard { job } => format!("giving job {job} up"),
        Step::Work { job } => format!("working on job {job}"),
        Step::Find { job } => format!("looking for job {job}"),
        Step::Forget { group } => format!("deleting what was handed over of group {group}"),
        Step::Size { source } => format!("asking for the size of {source}"),
        Step::Plan { open, .. } => format!("beginning a job for {}", open.job.source),
        Step::TellBudget { .. } => "telling about the budget".to_owned(),
        Step::Restore { group } => format!("bringing back what was handed over of group {group}"),
        Step::Weigh { group, .. } => format!("weighing late files of group {group}"),
        Step::Compact { group, .. } => format!("compacting group {group}"),
        Step::CompactSettled { source, .. } => format!("compacting the settled files of {source}"),
        Step::Trim { .. } => "trimming settled files".to_owned(),
    }
}

impl Turn<'_> {
    /// Does one step and records it.
    pub(crate) async fn carry_out(&self, record: &mut Record, step: &Step) -> Result<(), Error> {
        let happening = match step {
            Step::Discard { job } => Happening::Discarded { job: job.clone() },
            Step::Plan { open, cost } => Happening::Planned {
                open: open.clone(),
                cost: *cost,
            },
            Step::TellBudget { what, cost } => Happening::BudgetUsedUp {
                what: what.clone(),
                cost: *cost,
            },
            Step::Learn { group, file } => match self.learn(*group, file).await? {
                Some(happening) => happening,
                None => return Ok(()),
            },
            Step::Drop { group } => self.drop_files(record, *group).await?,
            Step::Work { job } => return Box::pin(self.work_on(record, job)).await,
            Step::Find { job } => return self.find(record, job).await,
            Step::Forget { group } => self.forget(*group).await?,
            Step::Size { source } => self.size(source).await,
            Step::Restore { group } => match Box::pin(self.restore(record, *group)).await? {
                Some(happening) => happening,
                None => return Ok(()),
            },
            Step::Weigh { group, files } => {
                if !self.weigh(record, step, *group, files).await? {
                    return Ok(());
                }
                Happening::Reopened { group: *group }
            }
            Step::Compact { group, files } => {
                return self.compact(record, step, *group, files).await;
            }
            Step::CompactSettled { source, before } => {
                let work = Work::new(self.deps, self.end);
                return work::compact_settled(&work, source, *before)
                    .await
                    .map_err(|source| upkeep(step, source));
            }
            Step::Trim { before } => {
                let work = Work::new(self.deps, self.end);
                work::trim(&work, before)
                    .await
                    .map_err(|source| upkeep(step, source))?;
                Happening::Trimmed
            }
        };
        self.record(record, &happening).await
    }

    /// Writes down what happened, if the work is still ours.
    pub(crate) async fn record(
        &self,
        record: &mut Record,
        happening: &Happening,
    ) -> Result<(), Error> {
        self.change(record, |desk, state| {
            self.must_be_ours(state)?;
            desk.apply(state, happening);
            Ok(())
        })
        .await
    }

    fn must_be_ours(&self, state: &RedriveState) -> Result<(), Error> {
        match &state.claim {
            Some(claim) if claim.request_id == self.claimant => Ok(()),
            _ => Err(Error::TakenOver),
        }
    }

    /// Reads the first line of a file of a group of which nothing is known.
    pub(crate) async fn learn(
        &self,
        group: GroupId,
        file: &OpenName,
    ) -> Result<Option<Happening>, Error> {
        let key = file.key();
        let piece = match self.deps.files.read(&key, 0..HEAD_BYTES).await {
            Ok(piece) => piece,
            // It was compacted or deleted meanwhile: the next listing shows.
            Err(FileError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let foreign = |detail: String| Error::Foreign {
            place: format!("{}/{key}", self.deps.settings.state_bucket),
            detail,
        };
        let line = piece
            .bytes
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let header = RowsHeader::decode(line).map_err(|error| foreign(error.to_string()))?;
        match header.groups.as_slice() {
            [found] if found.id() == group => Ok(Some(Happening::Learnt(found.clone()))),
            [found] => Err(foreign(format!(
                "it holds group {}, not the one that its key names",
                found.id()
            ))),
            groups => Err(foreign(format!(
                "it holds {} groups, not one",
                groups.len()
            ))),
        }
    }

    async fn drop_files(&self, record: &Record, group: GroupId) -> Result<Happening, Error> {
        let keys: Vec<String> = record
            .state
            .groups
            .get(&group)
            .and_then(|known| known.overflow.as_ref())
            .map(|overflow| overflow.dropping.iter().map(OpenName::key).collect())
            .unwrap_or_default();
        self.deps.files.delete(&keys).await?;
        Ok(Happening::Dropped { group })
    }

    /// Asks how many objects a bucket has. That nobody knows is an answer, too: the price then
    /// leaves them out.
    async fn size(&self, source: &BucketName) -> Happening {
        let member = self.deps.settings.members.with_bucket(source.as_str());
        let objects = match member {
            None => None,
            Some(member) => {
                let size = bucket_size(&self.deps.edge, member, self.now(), self.end).await;
                match size {
                    Ok(measured) => measured.objects,
                    Err(error) => {
                        self.warn(&format!("the size of {source} is not known"), &error);
                        None
                    }
                }
            }
        };
        Happening::Sized {
            source: source.clone(),
            objects,
        }
    }

    /// Whether something in these files of a closed group is not settled.
    async fn weigh(
        &self,
        record: &Record,
        step: &Step,
        group: GroupId,
        files: &[OpenName],
    ) -> Result<bool, Error> {
        let Some(known) = record.state.groups.get(&group) else {
            return Ok(false);
        };
        let work = Work::new(self.deps, self.slice_end());
        work::weigh(&work, &known.group, files)
            .await
            .map_err(|source| upkeep(step, source))
    }

    async fn compact(
        &self,
        record: &Record,
        step: &Step,
        group: GroupId,
        files: &[OpenName],
    ) -> Result<(), Error> {
        let Some(known) = record.state.groups.get(&group) else {
            return Ok(());
        };
        let work = Work::new(self.deps, self.end);
        work::compact(&work, &known.group, files)
            .await
            .map_err(|source| upkeep(step, source))
    }

    /// Does a slice of a job's current phase.
    async fn work_on(&self, record: &mut Record, name: &JobName) -> Result<(), Error> {
        let Some(job) = record.state.jobs.get(name).map(|open| open.job.clone()) else {
            return Ok(());
        };
        if let Phase::Create { .. } = &job.phase {
            // Recorded before each try: whoever comes after a crash looks first whether it
            // succeeded, and knows how long S3 may take to list it.
            let trying = worked(name, Worked::Trying);
            let may_try = self
                .change(record, |desk, state| {
                    self.must_be_ours(state)?;
                    let may_try = desk.may_try(state, name);
                    desk.apply(state, &trying);
                    Ok(may_try)
                })
                .await?;
            if !may_try {
                // A hold came in between; what is planned next gives the job up.
                return Ok(());
            }
        }
        match self.slice(&job).await {
            Ok(work) => self.record(record, &worked(name, work)).await,
            Err(source) => self.stumble(record, &job, source).await,
        }
    }

    async fn stumble(
        &self,
        record: &mut Record,
        job: &Job,
        source: WorkError,
    ) -> Result<(), Error> {
        let error = Error::Work {
            job: job.name.to_string(),
            phase: phase_name(&job.phase),
            source: Box::new(source),
        };
        let stumbled = Happening::Stumbled {
            job: job.name.clone(),
            error: error.chain(),
        };
        self.record(record, &stumbled).await?;
        Err(error)
    }

    /// Looks for a job that may exist and must not be created.
    async fn find(&self, record: &mut Record, name: &JobName) -> Result<(), Error> {
        let Some(job) = record.state.jobs.get(name).map(|open| open.job.clone()) else {
            return Ok(());
        };
        let work = Work::new(self.deps, self.slice_end());
        match Box::pin(work::find(&work, &job)).await {
            Ok(found) => {
                let job = name.clone();
                self.record(record, &Happening::Looked { job, found }).await
            }
            Err(source) => self.stumble(record, &job, source).await,
        }
    }

    /// Deletes a listing's page of what was handed over and is given up now.
    async fn forget(&self, group: GroupId) -> Result<Happening, Error> {
        let files = &self.deps.files;
        let page = files.list(&HandedOverName::prefix(group), None).await?;
        let keys: Vec<String> = page.files.into_iter().map(|file| file.key).collect();
        files.delete(&keys).await?;
        Ok(Happening::Forgotten {
            group,
            done: page.next.is_none(),
        })
    }

    async fn slice(&self, job: &Job) -> Result<Worked, WorkError> {
        let work = Work::new(self.deps, self.slice_end());
        Ok(match job.phase.clone() {
            Phase::Gather { cursor } => {
                Worked::Gather(Box::pin(work::gather(&work, job, cursor)).await?)
            }
            Phase::Create { .. } => Worked::Create(Box::pin(work::create(&work, job)).await?),
            Phase::Poll { .. } => Worked::Poll(Box::pin(work::poll(&work, job)).await?),
            Phase::Report { cursor, .. } => {
                Worked::Report(Box::pin(work::report(&work, job, cursor)).await?)
            }
            Phase::Settle { cursor, .. } => {
                Worked::Settle(Box::pin(work::settle(&work, job, cursor)).await?)
            }
            Phase::Prove { cursor, .. } => {
                Worked::Prove(Box::pin(work::prove(&work, job, cursor)).await?)
            }
            Phase::Close { cursor, .. } => {
                Worked::Close(Box::pin(work::close(&work, job, cursor)).await?)
            }
        })
    }

    /// When a slice ends: its cursor is recorded then, and other lanes have their turn.
    fn slice_end(&self) -> Timestamp {
        crate::turn::later(self.now(), SLICE).min(self.end)
    }
}

/// The longest slice: what a crash repeats at most.
const SLICE: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

fn worked(job: &JobName, work: Worked) -> Happening {
    Happening::Worked {
        job: job.clone(),
        work: Box::new(work),
    }
}

fn upkeep(step: &Step, source: WorkError) -> Error {
    Error::Upkeep {
        what: name_of(step),
        source: Box::new(source),
    }
}
