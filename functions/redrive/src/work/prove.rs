//! The proof that what was initiated arrived.

use std::cell::RefCell;

use futures_util::StreamExt;
use futures_util::stream::iter;
use jiff::{SignedDuration, Timestamp};
use sentinel_aws::arrival::{Arrivals, Sighting, Status};
use sentinel_core::ledger::{Destination, Group, How, Row, Rows};
use sentinel_core::names::Members;
use sentinel_core::redrive::job::{
    Ended, Job, JobKind, Phase, ProveCursor, ProveStage, Settled, Slice,
};

use super::error::WorkError;
use super::feed::read_all;
use super::settle::sweep_group_of;
use super::write::{Findings, PROVED, RowsBody, write_exactly};
use super::{Work, job_key, settled_as_of};

/// Versions that are looked for at once: enough to hide the way to another continent, few enough
/// for one prefix of a bucket.
const LOOKS: usize = 64;

/// Versions after which the clock is looked at and findings are counted.
const BATCH: usize = 1024;

/// The first pause before what is pending is looked for again; each further one is twice as long.
const PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// The longest.
const MAX_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// Does a part of the proof: each version is looked for in its destination, or, where that cannot
/// be read, judged by the source's status. Few versions are all looked for, many by an even sample;
/// if any of the sample did not arrive, all are. What is still on its way when the patience ends is
/// open again, without another attempt counted.
///
/// # Errors
/// [`WorkError`].
pub async fn prove(
    work: &Work<'_>,
    job: &Job,
    cursor: ProveCursor,
) -> Result<Slice<ProveCursor, Settled>, WorkError> {
    let Phase::Prove { ended, settled, .. } = &job.phase else {
        return Err(WorkError::Phase("prove"));
    };
    let slice = async |progress: &RefCell<ProveCursor>| {
        let mut cursor = progress.borrow().clone();
        if cursor.settled.is_none() {
            cursor.settled = Some(settled.clone());
        }
        let swept = [sweep_group_of(job)];
        let groups = match job.kind {
            JobKind::Sweep(_) => &swept[..],
            _ => &job.groups,
        };
        let proving = Proving {
            work,
            job,
            ended,
            groups,
            arrivals: work.arrivals(),
            settled: settled.clone(),
            cursor,
        };
        proving.run(progress).await
    };
    work.bounded(cursor, slice).await
}

/// One slice of the proof.
struct Proving<'a> {
    work: &'a Work<'a>,
    job: &'a Job,
    ended: &'a Ended,
    groups: &'a [Group],
    arrivals: Arrivals,
    /// What settling gave.
    settled: Settled,
    cursor: ProveCursor,
}

/// What became of a version towards its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrived,
    /// Not there yet, or nothing is known.
    Pending,
    Failed,
    Gone,
}

impl Proving<'_> {
    async fn run(
        mut self,
        progress: &RefCell<ProveCursor>,
    ) -> Result<Slice<ProveCursor, Settled>, WorkError> {
        loop {
            if self.cursor.stage == ProveStage::Start {
                let proof = self.settled.proof;
                if proof.all == 0 {
                    return Ok(self.done());
                }
                if proof.must_be_all || proof.sample == 0 {
                    self.stage(ProveStage::All, proof.all);
                } else {
                    self.stage(ProveStage::Sample, proof.sample);
                }
            }
            while self.cursor.file < self.cursor.files {
                let goes_on = match self.cursor.stage {
                    ProveStage::Trust | ProveStage::GiveUp => self.book().await?,
                    _ => self.look().await?,
                };
                progress.replace(self.cursor.clone());
                if !goes_on || !self.work.has_time() {
                    return Ok(Slice::More(self.cursor));
                }
            }
            if let Some(slice) = self.turn() {
                return Ok(slice);
            }
            progress.replace(self.cursor.clone());
        }
    }

    /// After the last file of a round: what comes next. A slice if this one is over.
    fn turn(&mut self) -> Option<Slice<ProveCursor, Settled>> {
        let now = self.work.edge().now();
        let pending = self.cursor.pending_files;
        let is_over = now >= self.ended.at + self.work.settings().thresholds.proof;
        match self.cursor.stage {
            ProveStage::Trust | ProveStage::GiveUp => Some(self.done()),
            _ if pending > 0 && !is_over => {
                let pause = wait(self.cursor.round);
                self.cursor.round += 1;
                self.cursor.file = 0;
                self.cursor.row = 0;
                self.cursor.files = pending;
                self.cursor.pending_files = 0;
                let until: Timestamp = now + pause;
                Some(Slice::Wait(self.cursor.clone(), until))
            }
            ProveStage::Sample if pending > 0 => {
                self.stage(ProveStage::All, self.settled.proof.all);
                None
            }
            ProveStage::Sample => {
                self.stage(ProveStage::Trust, self.settled.proof.all);
                None
            }
            _ if pending > 0 => {
                self.cursor.stage = ProveStage::GiveUp;
                self.cursor.round += 1;
                self.cursor.file = 0;
                self.cursor.row = 0;
                self.cursor.files = pending;
                self.cursor.pending_files = 0;
                None
            }
            _ => Some(self.done()),
        }
    }

    fn stage(&mut self, stage: ProveStage, files: u32) {
        self.cursor.stage = stage;
        self.cursor.round = 0;
        self.cursor.file = 0;
        self.cursor.row = 0;
        self.cursor.files = files;
        self.cursor.pending_files = 0;
    }

    fn done(&mut self) -> Slice<ProveCursor, Settled> {
        Slice::Done(self.cursor.settled.take().unwrap_or_default())
    }

    /// The rows of the file that is next.
    async fn rows(&self) -> Result<Vec<Row>, WorkError> {
        let (stage, number) = (self.cursor.stage, self.cursor.file);
        let key = match (self.cursor.round, stage) {
            (0, ProveStage::Sample) => job_key(self.job, "sample", number),
            (0, _) => job_key(self.job, "initiated", number),
            (round, ProveStage::Sample) => self.pending_key(true, round, number),
            (round, _) => self.pending_key(false, round, number),
        };
        let mut rows = Vec::new();
        read_all::<Rows>(self.work.files(), &key, |_, row| {
            rows.push(row);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// Rows that were pending before this round.
    fn pending_key(&self, is_sample: bool, round: u32, number: u32) -> String {
        let kind = if is_sample { "sample" } else { "pending" };
        job_key(self.job, &format!("{kind}-{round:03}"), number)
    }

    /// Looks for the rows of the next file, from where the last slice stopped; false if time is up.
    async fn look(&mut self) -> Result<bool, WorkError> {
        let rows = self.rows().await?;
        let is_sample = self.cursor.stage == ProveStage::Sample;
        let mut findings = Findings::new(&self.job.source, self.groups);
        let mut pending = RowsBody::new(self.groups)?;
        let mut settled = self.cursor.settled.clone().unwrap_or_default();
        let from = usize::try_from(self.cursor.row).unwrap_or(usize::MAX);
        let mut seen = from;
        let mut is_bad = false;
        for batch in rows.get(from..).unwrap_or_default().chunks(BATCH) {
            let fates = batch.iter().map(|row| self.fate(row));
            let fates: Vec<Fate> = iter(fates).buffered(LOOKS).collect().await;
            for (row, fate) in batch.iter().zip(fates) {
                if is_sample {
                    match fate {
                        Fate::Arrived => {}
                        Fate::Pending => pending.push(row)?,
                        Fate::Failed | Fate::Gone => is_bad = true,
                    }
                } else if fate == Fate::Pending {
                    pending.push(row)?;
                } else {
                    self.note(row, fate, &mut settled, &mut findings);
                }
            }
            seen += batch.len();
            if is_bad || !self.work.has_time() {
                break;
            }
        }
        if is_bad {
            // Not even the sample arrived: nothing may be assumed of the others.
            self.stage(ProveStage::All, self.settled.proof.all);
            return Ok(true);
        }
        let files = self.work.files();
        if !pending.is_empty() {
            let round = self.cursor.round + 1;
            let key = self.pending_key(is_sample, round, self.cursor.pending_files);
            write_exactly(files, &key, pending.take()).await?;
            self.cursor.pending_files += 1;
        }
        if findings.len() > 0 {
            let part = PROVED + self.cursor.parts;
            findings.write(files, self.job, part).await?;
            self.cursor.parts += 1;
        }
        self.cursor.settled = Some(settled);
        let is_whole = seen >= rows.len();
        if is_whole {
            self.cursor.file += 1;
            self.cursor.row = 0;
        } else {
            self.cursor.row = u64::try_from(seen).unwrap_or(u64::MAX);
        }
        Ok(is_whole)
    }

    /// Books the rows of the next file without looking: as arrived like the sample, or as still
    /// pending.
    async fn book(&mut self) -> Result<bool, WorkError> {
        let rows = self.rows().await?;
        let fate = match self.cursor.stage {
            ProveStage::Trust => Fate::Arrived,
            _ => Fate::Pending,
        };
        let mut findings = Findings::new(&self.job.source, self.groups);
        let mut settled = self.cursor.settled.clone().unwrap_or_default();
        for row in &rows {
            self.note(row, fate, &mut settled, &mut findings);
        }
        let part = PROVED + self.cursor.parts;
        findings.write(self.work.files(), self.job, part).await?;
        self.cursor.parts += 1;
        self.cursor.file += 1;
        self.cursor.settled = Some(settled);
        Ok(true)
    }

    fn note(&self, row: &Row, fate: Fate, settled: &mut Settled, findings: &mut Findings) {
        let place = usize::from(row.group);
        let Some(group) = self.groups.get(place) else {
            return;
        };
        let at = settled_as_of(self.ended.at, row.failed_at);
        match fate {
            Fate::Arrived => {
                settled.count(place, |outcome| outcome.arrived += 1);
                findings.settle(row.identity(), row.group, at, How::Replicated);
            }
            Fate::Gone => {
                settled.count(place, |outcome| outcome.finals += 1);
                findings.settle(row.identity(), row.group, at, How::Gone);
            }
            Fate::Failed => {
                settled.count(place, |outcome| outcome.failed += 1);
                settled.reopen(group, 1);
                findings.reopen(group, row.clone());
            }
            Fate::Pending => {
                settled.count(place, |outcome| outcome.pending += 1);
                settled.reopen(group, 1);
                findings.reopen(group, row.clone());
            }
        }
    }

    async fn fate(&self, row: &Row) -> Fate {
        let members = &self.work.settings().members;
        let group = self.groups.get(usize::from(row.group));
        let destination = group.map(|group| &group.destination);
        let member = destination
            .and_then(Destination::bucket)
            .and_then(|bucket| members.with_bucket(bucket.as_str()));
        if let Some(member) = member {
            let seen = self
                .arrivals
                .look(&member.region, &member.bucket, &row.key, &row.version);
            match seen.await {
                Sighting::There(_) | Sighting::DeleteMarker => return Fate::Arrived,
                Sighting::Unknown(_) => return Fate::Pending,
                Sighting::Absent => return self.by_source(row, Readable::Yes).await,
                Sighting::Refused(_) => {}
            }
        }
        let readable = match destination {
            Some(Destination::Any) => Readable::Any,
            _ => Readable::No,
        };
        self.by_source(row, readable).await
    }

    /// What the source says of a version that is not in its destination, or whose destination
    /// cannot be read.
    async fn by_source(&self, row: &Row, readable: Readable) -> Fate {
        let members = &self.work.settings().members;
        let Some(source) = members.with_bucket(self.job.source.as_str()) else {
            return Fate::Pending;
        };
        let seen = self
            .arrivals
            .look(&source.region, &source.bucket, &row.key, &row.version);
        match (seen.await, readable) {
            (Sighting::Absent, _) => Fate::Gone,
            (Sighting::There(Some(Status::Failed)), _) => Fate::Failed,
            // Replicated, and yet not there: somebody deleted it there, or the status is of
            // another destination. Another job will say.
            (Sighting::There(Some(Status::Completed)), Readable::No | Readable::Any) => {
                Fate::Arrived
            }
            (
                Sighting::There(None | Some(Status::Replica)) | Sighting::DeleteMarker,
                Readable::Any,
            ) => self.everywhere(row, members).await,
            _ => Fate::Pending,
        }
    }

    /// Whether a version of which the source tells nothing is in all other members.
    async fn everywhere(&self, row: &Row, members: &Members) -> Fate {
        for member in members {
            if member.bucket == self.job.source {
                continue;
            }
            let seen = self
                .arrivals
                .look(&member.region, &member.bucket, &row.key, &row.version);
            match seen.await {
                Sighting::There(_) | Sighting::DeleteMarker => {}
                _ => return Fate::Pending,
            }
        }
        Fate::Arrived
    }
}

/// Whether a version's destination could be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readable {
    /// It was, and the version is not there.
    Yes,
    /// It cannot be.
    No,
    /// Whichever rules match.
    Any,
}

/// How long to wait before the round after this one.
fn wait(round: u32) -> SignedDuration {
    PAUSE
        .checked_mul(1 << round.min(10))
        .map_or(MAX_PAUSE, |pause| pause.min(MAX_PAUSE))
}
