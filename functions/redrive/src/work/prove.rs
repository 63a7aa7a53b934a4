//! The proof that what was initiated arrived.

use std::cell::RefCell;

use futures_util::StreamExt;
use futures_util::stream::iter;
use jiff::{SignedDuration, Timestamp};
use sentinel_aws::arrival::{Arrivals, Sighting, Status};
use sentinel_core::ledger::{Destination, Group, How, Millis, Row};
use sentinel_core::names::{BucketName, Member};
use sentinel_core::reasons::{classify, may_be_about_metadata};
use sentinel_core::redrive::job::{
    Ended, Gathered, Job, JobKind, Phase, ProveCursor, ProveStage, Settled, Slice,
};

use super::error::WorkError;
use super::settle::{has_several, sweep_group_of};
use super::sought::{Sought, SoughtBody, read_sought};
use super::write::{Findings, PROVED, write_exactly};
use super::{Work, job_key, key_of, settled_as_of};

/// Versions that are looked for at once: enough to hide the way to another continent, few enough
/// for one prefix of a bucket.
const LOOKS: usize = 64;

/// Versions after which the clock is looked at and findings are counted.
const BATCH: usize = 1024;

/// The first pause before what is pending is looked for again; each further one is twice as long.
const PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// The longest of a job that keeps its lane.
const MAX_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// The longest of one that only looks.
const MAX_LATE_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// So long is waited for a version that the report calls failed, although it can only have meant
/// this destination: the verdict may be older than what mended it.
const DOUBT: SignedDuration = SignedDuration::from_mins(3);

/// So long a job looks for what the source calls pending: S3 replicates it by itself, and another
/// job would only do it twice.
const PENDING: SignedDuration = SignedDuration::from_hours(24);

/// Does a part of the proof: each version is looked for in its destination, or, where that cannot
/// be read, judged by the source's status. Few versions are all looked for, many by an even sample;
/// if any of the sample did not arrive, all are. Those that the report leaves doubts about are
/// looked for one by one. What is not there when the patience ends is open again; but what the
/// source calls pending is left to a job that looks for it up to a day and keeps nothing waiting.
///
/// A source has one status for all of its destinations together. Where there are several, its
/// `FAILED` says nothing of a version that is not in this one yet, so it is waited for as well.
///
/// # Errors
/// [`WorkError`].
pub async fn prove(
    work: &Work<'_>,
    job: &Job,
    cursor: ProveCursor,
) -> Result<Slice<ProveCursor, Settled>, WorkError> {
    let Phase::Prove {
        gathered,
        ended,
        settled,
        ..
    } = &job.phase
    else {
        return Err(WorkError::Phase("prove"));
    };
    let slice = async |progress: &RefCell<ProveCursor>| {
        let mut cursor = progress.borrow().clone();
        if cursor.settled.is_none() {
            cursor.settled = Some(settled.clone());
        }
        let swept = [sweep_group_of(job)];
        let groups = match job.kind {
            // Also where it looks for what a sweep left.
            _ if job.groups.is_empty() => &swept[..],
            _ => &job.groups,
        };
        let proving = Proving {
            work,
            job,
            gathered,
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
    gathered: &'a Gathered,
    ended: &'a Ended,
    groups: &'a [Group],
    arrivals: Arrivals,
    /// What settling gave.
    settled: Settled,
    cursor: ProveCursor,
}

/// What became of a version towards its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Arrived,
    /// Not there yet, or nothing is known.
    Pending,
    /// The source says that it is on its way.
    Moving,
    /// Failed for the reason that it had.
    Failed,
    /// Failed for another reason.
    FailedFor(String),
    /// No job can help it.
    Final(How),
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
                if proof.must_be_all || proof.sample == 0 {
                    self.stage(ProveStage::All, proof.all);
                } else {
                    self.stage(ProveStage::Sample, proof.sample);
                }
            }
            while self.cursor.file < self.cursor.files {
                let goes_on = match self.cursor.stage {
                    ProveStage::Trust => self.book().await?,
                    ProveStage::Leave => self.leave().await?,
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
        let patience = self.patience_ends();
        let pending = self.cursor.pending_files;
        let proof = self.settled.proof;
        match self.cursor.stage {
            ProveStage::Leave => return Some(self.done()),
            ProveStage::Sample if pending > 0 && now >= patience => {
                self.stage(ProveStage::All, proof.all);
            }
            _ if pending > 0 => {
                let longest = match self.job.kind {
                    JobKind::Look => MAX_LATE_PAUSE,
                    _ => MAX_PAUSE,
                };
                let pause = wait(self.cursor.round).min(longest);
                self.cursor.round += 1;
                self.cursor.file = 0;
                self.cursor.row = 0;
                self.cursor.files = pending;
                self.cursor.pending_files = 0;
                // Once the patience is over they are looked for a last time, at once.
                if now < patience {
                    let until: Timestamp = patience.min(now + pause);
                    return Some(Slice::Wait(self.cursor.clone(), until));
                }
            }
            ProveStage::Sample => self.stage(ProveStage::Trust, proof.all),
            ProveStage::Doubted => {
                let left = self.cursor.moving;
                self.stage(ProveStage::Leave, left);
            }
            ProveStage::Start | ProveStage::All | ProveStage::Trust => {
                self.stage(ProveStage::Doubted, proof.doubted);
            }
        }
        None
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
        let mut settled = self.cursor.settled.take().unwrap_or_default();
        settled.proof.moving = self.cursor.moving;
        Slice::Done(settled)
    }

    /// When whatever is not there is open again, or left to the job that looks for it.
    fn patience_ends(&self) -> Timestamp {
        let patience = self.work.settings().thresholds.proof;
        self.ended.at
            + match self.job.kind {
                JobKind::Look => patience.max(PENDING),
                _ => patience,
            }
    }

    /// The rows of the file that is next.
    async fn rows(&self) -> Result<Vec<Sought>, WorkError> {
        let (stage, number) = (self.cursor.stage, self.cursor.file);
        let key = match (self.cursor.round, stage) {
            (0, ProveStage::Sample) => job_key(self.job, "sample", number),
            (0, ProveStage::Doubted) => job_key(self.job, "doubted", number),
            (0, ProveStage::Leave) => job_key(self.job, "moving", number),
            (0, _) => job_key(self.job, "initiated", number),
            (round, _) => self.pending_key(round, number),
        };
        read_sought(self.work.files(), &key, self.groups).await
    }

    /// Rows that were pending before this round.
    fn pending_key(&self, round: u32, number: u32) -> String {
        let kind = match self.cursor.stage {
            ProveStage::Sample => "sample",
            ProveStage::Doubted => "doubted",
            _ => "pending",
        };
        job_key(self.job, &format!("{kind}-{round:03}"), number)
    }

    /// Looks for the rows of the next file, from where the last slice stopped; false if time is up.
    async fn look(&mut self) -> Result<bool, WorkError> {
        let rows = self.rows().await?;
        let is_sample = self.cursor.stage == ProveStage::Sample;
        let mut findings = Findings::new(&self.job.source, self.groups);
        let mut pending = SoughtBody::new(self.groups);
        let mut moving = SoughtBody::new(self.groups);
        let mut settled = self.cursor.settled.clone().unwrap_or_default();
        let from = usize::try_from(self.cursor.row).unwrap_or(usize::MAX);
        let mut seen = from;
        let mut is_bad = false;
        for batch in rows.get(from..).unwrap_or_default().chunks(BATCH) {
            let now = self.work.edge().now();
            let fates = batch.iter().map(|sought| self.fate(sought, now));
            let fates: Vec<Fate> = iter(fates).buffered(LOOKS).collect().await;
            for (sought, fate) in batch.iter().zip(fates) {
                let is_late = now >= self.patience_ends();
                let goes_on = !is_late && matches!(fate, Fate::Pending | Fate::Moving);
                let is_left = fate == Fate::Moving && self.job.kind != JobKind::Look;
                if is_sample {
                    match fate {
                        Fate::Arrived => {}
                        Fate::Pending | Fate::Moving => {
                            pending.push(&sought.row, sought.verdict.as_deref())?;
                        }
                        _ => is_bad = true,
                    }
                } else if goes_on {
                    pending.push(&sought.row, sought.verdict.as_deref())?;
                } else if is_left {
                    let place = usize::from(sought.row.group);
                    settled.count(place, |outcome| outcome.moving += 1);
                    moving.push(&sought.row, None)?;
                } else {
                    let at = self.ended.at;
                    self.note(&sought.row, fate, at, &mut settled, &mut findings);
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
            let key = self.pending_key(round, self.cursor.pending_files);
            write_exactly(files, &key, pending.into_file()?).await?;
            self.cursor.pending_files += 1;
        }
        if !moving.is_empty() {
            let key = job_key(self.job, "moving", self.cursor.moving);
            write_exactly(files, &key, moving.into_file()?).await?;
            self.cursor.moving += 1;
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

    /// Books the rows of the next file as arrived, like the sample, without looking.
    async fn book(&mut self) -> Result<bool, WorkError> {
        let rows = self.rows().await?;
        let mut findings = Findings::new(&self.job.source, self.groups);
        let mut settled = self.cursor.settled.clone().unwrap_or_default();
        for Sought { row, .. } in &rows {
            // What was not looked for is settled as it was when the job was planned: a failure
            // since then is news of it.
            let at = self.job.planned_at;
            self.note(row, Fate::Arrived, at, &mut settled, &mut findings);
        }
        let part = PROVED + self.cursor.parts;
        findings.write(self.work.files(), self.job, part).await?;
        self.cursor.parts += 1;
        self.cursor.file += 1;
        self.cursor.settled = Some(settled);
        Ok(true)
    }

    /// Gives the rows of the next file to the job that looks for them. Whatever else the ledger
    /// has of them counts no more, so that no other job takes them meanwhile: should they be open
    /// again, then as of a moment later.
    async fn leave(&mut self) -> Result<bool, WorkError> {
        let rows = self.rows().await?;
        let mut findings = Findings::new(&self.job.source, self.groups);
        let mut body = SoughtBody::new(self.groups);
        for Sought { row, .. } in rows {
            let at = settled_as_of(self.ended.at, row.failed_at);
            let to = self.groups.get(usize::from(row.group));
            // A sweep's row stands for all destinations; of the others nothing is known here.
            if to.is_some_and(|group| group.destination != Destination::Any) {
                findings.settle(row.identity(), row.group, at, How::Moving);
            }
            let failed_at = Millis::new(at.get() + 1).unwrap_or(at);
            body.push(&Row { failed_at, ..row }, None)?;
        }
        let files = self.work.files();
        let name = self.job.name.follow_up();
        let key = key_of(&name, "initiated", self.cursor.file);
        write_exactly(files, &key, body.into_file()?).await?;
        let part = PROVED + self.cursor.parts;
        findings.write(files, self.job, part).await?;
        self.cursor.parts += 1;
        self.cursor.file += 1;
        Ok(true)
    }

    fn note(
        &self,
        row: &Row,
        fate: Fate,
        at: Timestamp,
        settled: &mut Settled,
        findings: &mut Findings,
    ) {
        let place = usize::from(row.group);
        let Some(group) = self.groups.get(place) else {
            return;
        };
        let at = settled_as_of(at, row.failed_at);
        let how = match fate {
            Fate::Arrived => {
                settled.count(place, |outcome| outcome.arrived += 1);
                How::Replicated
            }
            Fate::Gone => {
                settled.count(place, |outcome| outcome.finals += 1);
                How::Gone
            }
            Fate::Final(how) => {
                settled.count(place, |outcome| outcome.finals += 1);
                how
            }
            Fate::Failed => {
                settled.count(place, |outcome| outcome.failed += 1);
                settled.reopen(group, 1);
                findings.reopen(group, row.clone());
                return;
            }
            Fate::FailedFor(reason) => {
                settled.count(place, |outcome| outcome.failed += 1);
                if !self.gathered.complete {
                    // As its input stays in the old group: with its attempts.
                    findings.reopen(group, row.clone());
                }
                let group = Group {
                    reason,
                    ..group.clone()
                };
                settled.reopen(&group, 1);
                findings.reopen(&group, row.clone());
                return;
            }
            Fate::Pending | Fate::Moving => {
                settled.count(place, |outcome| outcome.pending += 1);
                settled.reopen(group, 1);
                findings.reopen(group, row.clone());
                return;
            }
        };
        findings.settle(row.identity(), row.group, at, how);
    }

    async fn fate(&self, sought: &Sought, now: Timestamp) -> Fate {
        let members = &self.work.settings().members;
        let Some(group) = self.groups.get(usize::from(sought.row.group)) else {
            return Fate::Pending;
        };
        let member = group.destination.bucket();
        let member = member.and_then(|bucket| members.with_bucket(bucket.as_str()));
        let readable = match (member, &group.destination) {
            (Some(member), _) => match self.look_into(member, &sought.row).await {
                seen if is_copy(&seen, &sought.row) => Readable::There,
                Sighting::Unknown(_) => Readable::Unknown,
                Sighting::Refused(_) => Readable::No,
                // Also another version that has no id either.
                Sighting::There(_) | Sighting::DeleteMarker | Sighting::Absent => Readable::Absent,
            },
            (None, Destination::Any) => Readable::Any,
            (None, Destination::Bucket(_)) => Readable::No,
        };
        if readable == Readable::There && !may_be_about_metadata(&group.reason) {
            return Fate::Arrived;
        }
        self.by_source(sought, group, readable, now).await
    }

    async fn look_into(&self, member: &Member, row: &Row) -> Sighting {
        self.arrivals
            .look(&member.region, &member.bucket, &row.key, &row.version)
            .await
    }

    /// What the source says of a version that is not in its destination, or whose destination
    /// cannot tell.
    async fn by_source(
        &self,
        sought: &Sought,
        group: &Group,
        readable: Readable,
        now: Timestamp,
    ) -> Fate {
        let members = &self.work.settings().members;
        let Some(source) = members.with_bucket(self.job.source.as_str()) else {
            return Fate::Pending;
        };
        let status = match self.look_into(source, &sought.row).await {
            Sighting::Absent => return Fate::Gone,
            Sighting::Unknown(_) | Sighting::Refused(_) => return Fate::Pending,
            Sighting::There(status) => status,
            Sighting::DeleteMarker => None,
        };
        let verdict = sought.verdict.as_deref();
        if status == Some(Status::Pending) {
            // Of a failed task it may be another destination that is pending.
            return verdict.map_or(Fate::Moving, |_| Fate::Pending);
        }
        match readable {
            Readable::Unknown => Fate::Pending,
            Readable::There if status == Some(Status::Failed) => self.waited_for(group, now),
            Readable::There => Fate::Arrived,
            Readable::Any => match status {
                Some(Status::Failed) => Fate::Failed,
                Some(Status::Completed) => Fate::Arrived,
                _ if self.is_everywhere_but(None, &sought.row).await => Fate::Arrived,
                _ => Fate::Pending,
            },
            Readable::Absent | Readable::No => match (status, verdict) {
                (Some(Status::Completed), _) if readable == Readable::No => Fate::Arrived,
                (Some(Status::Failed), None) => self.waited_for(group, now),
                // Replicated, and yet not there: somebody deleted it there, or the status is of
                // another destination. Another job will say.
                (Some(Status::Completed), _) | (_, None) => Fate::Pending,
                (_, Some(code)) => self.judged(&sought.row, group, code, now).await,
            },
        }
    }

    /// What a `FAILED` of the source means for a version that is not in the group's destination.
    fn waited_for(&self, group: &Group, now: Timestamp) -> Fate {
        if has_several(self.work, self.job, group) && now < self.patience_ends() {
            return Fate::Pending;
        }
        Fate::Failed
    }

    /// What the report's verdict means for a version that is not in the group's destination.
    async fn judged(&self, row: &Row, group: &Group, code: &str, now: Timestamp) -> Fate {
        let is_own = group.reason == code;
        let is_of_another =
            |other: &Group| other.destination != group.destination && other.reason == code;
        let but = group.destination.bucket();
        let is_unclear = !is_own
            && (self.job.groups.iter().any(is_of_another)
                || !self.is_everywhere_but(but, row).await);
        let patience = self.patience_ends();
        let deadline = if is_unclear {
            patience
        } else {
            patience.min(self.ended.at + DOUBT)
        };
        if now < deadline {
            return Fate::Pending;
        }
        match classify(code).class.settles_as() {
            Some(how) if is_own => Fate::Final(how),
            None if !is_own && !is_unclear => Fate::FailedFor(code.to_owned()),
            // A final verdict may be that of a destination that nobody told us of.
            _ => Fate::Failed,
        }
    }

    /// Whether a version is in all members other than its source and this bucket.
    async fn is_everywhere_but(&self, but: Option<&BucketName>, row: &Row) -> bool {
        for member in &self.work.settings().members {
            if member.bucket == self.job.source || Some(&member.bucket) == but {
                continue;
            }
            if !is_copy(&self.look_into(member, row).await, row) {
                return false;
            }
        }
        true
    }
}

/// Whether what was found is a copy of the version. An id is enough, but `null` is the id of every
/// version from before versioning.
fn is_copy(seen: &Sighting, row: &Row) -> bool {
    match seen {
        Sighting::There(Some(Status::Replica)) => true,
        Sighting::There(_) | Sighting::DeleteMarker => row.version != "null",
        _ => false,
    }
}

/// Whether a version's destination could be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readable {
    /// It was, and the version is there.
    There,
    /// It was, and the version is not there.
    Absent,
    /// It gave no answer, as while its Region is down.
    Unknown,
    /// It cannot be.
    No,
    /// Whichever rules match.
    Any,
}

/// How long to wait before the round after this one.
fn wait(round: u32) -> SignedDuration {
    PAUSE
        .checked_mul(1 << round.min(10))
        .unwrap_or(MAX_LATE_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_another_version_without_an_id_is_no_copy() {
        let seen = |status| Sighting::There(status);
        let row = |version: &str| Row {
            key: "k".to_owned(),
            version: version.to_owned(),
            failed_at: Millis::from(Timestamp::UNIX_EPOCH),
            attempts: 0,
            size: None,
            group: 0,
        };
        for (sighting, of_an_id, of_null) in [
            (seen(Some(Status::Replica)), true, true),
            (seen(Some(Status::Completed)), true, false),
            (seen(Some(Status::Pending)), true, false),
            (seen(None), true, false),
            (Sighting::DeleteMarker, true, false),
            (Sighting::Absent, false, false),
        ] {
            assert_eq!(
                is_copy(&sighting, &row("3sL4kqtJlcpX")),
                of_an_id,
                "{sighting:?}"
            );
            assert_eq!(is_copy(&sighting, &row("null")), of_null, "{sighting:?}");
        }
    }
}
