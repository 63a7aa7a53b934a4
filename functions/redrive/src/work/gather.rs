//! Inputs become a manifest and the files of its rows.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

use futures_util::future::try_join;
use sentinel_aws::objects::{UploadError, UploadId};
use sentinel_core::ledger::{How, Identity, Millis, OpenName, Row, Rows, SettledName, rows_key};
use sentinel_core::names::BucketName;
use sentinel_core::redrive::job::{
    GatherCursor, Gathered, Job, JobKind, Manifest, Phase, Slice, UploadCursor,
};
use sentinel_core::redrive::manifest;
use sentinel_core::redrive::merge::{Next, OpenRows};

use super::error::WorkError;
use super::feed::{Feed, read_all, window};
use super::write::{Findings, GATHERED, RowsBody, write_exactly};
use super::{MAX_PARTS, PART_BYTES, Work, settled_as_of};

/// Settled and handed-over rows that are held in memory before they are written.
const FINDINGS: usize = 50_000;

/// The clock is looked at once in so many versions.
const CLOCK: u64 = 8192;

/// A sample chooses among so many versions for each that it takes.
const CHOICE: u64 = 100;

/// Does a part of gathering: merges the job's inputs, drops what is settled, hands over what is
/// too old or was tried too often, and writes the rest to the manifest and to files of rows. For
/// a job that only settles, the rows are settled instead.
///
/// The first call only fixes which settled files the rows are held against, so that every
/// repetition sees the same.
///
/// # Errors
/// [`WorkError`].
pub async fn gather(
    work: &Work<'_>,
    job: &Job,
    cursor: GatherCursor,
) -> Result<Slice<GatherCursor, Gathered>, WorkError> {
    if !matches!(job.phase, Phase::Gather { .. }) {
        return Err(WorkError::Phase("gather"));
    }
    let slice = async |progress: &RefCell<GatherCursor>| {
        let cursor = progress.borrow().clone();
        let Some(settled) = &cursor.settled else {
            let settled = Some(relevant_settled(work, &job.source, &job.inputs).await?);
            return Ok(Slice::More(GatherCursor { settled, ..cursor }));
        };
        let mut slice = Gathering::open(work, job, settled.clone(), cursor.clone()).await?;
        match Box::pin(slice.run(progress)).await {
            // Somebody aborted the upload: from the beginning, with the same settled files.
            Err(WorkError::Upload(UploadError::Gone { .. })) => Ok(Slice::More(GatherCursor {
                settled: cursor.settled,
                ..GatherCursor::default()
            })),
            done => done,
        }
    };
    work.bounded(cursor, slice).await
}

/// The lane's settled files that may matter: those in which something was settled since the
/// oldest input failed.
pub(super) async fn relevant_settled(
    work: &Work<'_>,
    source: &BucketName,
    inputs: &[String],
) -> Result<Vec<String>, WorkError> {
    let mut oldest = Millis::MAX;
    for key in inputs {
        oldest = oldest.min(key.parse::<OpenName>()?.oldest);
    }
    let prefix = SettledName::prefix(source);
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let page = work.files().list(&prefix, after.as_deref()).await?;
        for file in page.files {
            if file.key.parse::<SettledName>()?.until >= oldest {
                keys.push(file.key);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(keys);
        }
    }
}

/// One slice of gathering.
struct Gathering<'a> {
    work: &'a Work<'a>,
    job: &'a Job,
    cursor: GatherCursor,
    open: OpenRows,
    inputs: Feed,
    settled: Feed,
    dropped_before: (u64, u64),
    missing_before: u32,
    key: String,
    csv: Vec<u8>,
    rows: RowsBody,
    findings: Findings,
    /// What a sample takes.
    chosen: Chosen,
}

/// A version that a sample may take.
struct Candidate {
    attempts: u32,
    identity: Identity,
    rows: Vec<Row>,
}

impl Candidate {
    fn rank(&self) -> (u32, Identity) {
        (self.attempts, self.identity)
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// The versions with the fewest attempts of those that were offered: never more than its limit.
struct Chosen {
    limit: usize,
    offered: u64,
    /// The worst of them on top.
    best: BinaryHeap<Candidate>,
}

impl Chosen {
    fn new(limit: u64) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            offered: 0,
            best: BinaryHeap::new(),
        }
    }

    fn offer(&mut self, candidate: Candidate) {
        self.offered += 1;
        if self.best.len() < self.limit {
            self.best.push(candidate);
        } else if let Some(mut worst) = self.best.peek_mut()
            && candidate < *worst
        {
            *worst = candidate;
        }
    }

    fn is_empty(&self) -> bool {
        self.best.is_empty()
    }

    /// Whether all that were offered are among them.
    fn is_all(&self) -> bool {
        self.offered <= u64::try_from(self.limit).unwrap_or(u64::MAX)
    }

    /// In the order of the manifest.
    fn take(&mut self) -> Vec<Candidate> {
        let mut best = std::mem::take(&mut self.best).into_vec();
        best.sort_unstable_by_key(|candidate| candidate.identity);
        best
    }
}

/// What is next in the inputs.
enum Ahead {
    Version(Identity, Vec<Row>),
    Settled,
    Nothing,
}

impl<'a> Gathering<'a> {
    async fn open(
        work: &'a Work<'a>,
        job: &'a Job,
        settled: Vec<String>,
        cursor: GatherCursor,
    ) -> Result<Self, WorkError> {
        let files = work.files();
        let streams = job.inputs.len() + settled.len();
        let window = match job.kind {
            // A sample reads little of each file.
            JobKind::Sample => super::MIN_WINDOW,
            _ => window(streams),
        };
        let (inputs, rows) = Feed::open(files, &job.inputs, &cursor.inputs_at, window).await?;
        let (settled, entries) = Feed::open(files, &settled, &cursor.settled_at, window).await?;
        Ok(Self {
            open: OpenRows::new(&job.groups, rows, entries),
            inputs,
            settled,
            dropped_before: (cursor.gathered.dropped, cursor.gathered.duplicates),
            missing_before: cursor.gathered.missing,
            key: format!("{}/manifest.csv", work.work_prefix(job)),
            csv: Vec::new(),
            rows: RowsBody::new(&job.groups)?,
            findings: Findings::new(&job.source, &job.groups),
            chosen: Chosen::new(job.limit),
            work,
            job,
            cursor,
        })
    }

    async fn run(
        &mut self,
        progress: &RefCell<GatherCursor>,
    ) -> Result<Slice<GatherCursor, Gathered>, WorkError> {
        if let Some(complete) = self.cursor.ended {
            return self.complete(complete).await;
        }
        self.carry().await?;
        let limit = self.job.limit;
        let is_sample = matches!(self.job.kind, JobKind::Sample);
        let choice = limit.saturating_mul(CHOICE);
        for taken in 1_u64.. {
            let is_full = self.cursor.objects >= limit
                || self.parts() >= MAX_PARTS
                || self.chosen.offered >= choice;
            match self.next().await? {
                Ahead::Nothing => return self.finish(true).await,
                // What was just read stays in the inputs for the next job.
                Ahead::Version(..) if is_full => return self.finish(false).await,
                Ahead::Version(identity, rows) => self.take(identity, rows, is_sample)?,
                Ahead::Settled => {}
            }
            let is_time = taken.is_multiple_of(CLOCK);
            if is_time && self.holds_nothing() {
                // However much is settled: a slice that is cut off has come this far.
                self.flush(false).await?;
                progress.replace(self.cursor.clone());
            }
            let is_late = is_time && !self.work.has_time();
            if is_late || self.csv.len() >= PART_BYTES || self.findings.len() >= FINDINGS {
                if !self.chosen.is_empty() {
                    // They are held in memory only, so the sample chooses among these.
                    return self.finish(false).await;
                }
                self.flush(false).await?;
                progress.replace(self.cursor.clone());
                if is_late || !self.work.has_time() {
                    break;
                }
            }
        }
        Ok(Slice::More(self.cursor.clone()))
    }

    /// Makes the lines again of which an earlier slice wrote the rows but uploaded no part.
    async fn carry(&mut self) -> Result<(), WorkError> {
        for chunk in self.cursor.uploaded_chunks..self.cursor.gathered.chunks {
            let key = rows_key(self.job.name.as_str(), chunk);
            let (csv, source) = (&mut self.csv, &self.job.source);
            let mut last = None;
            read_all::<Rows>(self.work.files(), &key, |_, row| {
                put_line(csv, source, &row, &mut last);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    fn holds_nothing(&self) -> bool {
        self.chosen.is_empty()
            && self.csv.is_empty()
            && self.rows.is_empty()
            && self.findings.len() == 0
    }

    fn parts(&self) -> usize {
        let upload = self.cursor.upload.as_ref();
        upload.map_or(0, |upload| upload.parts.len())
    }

    /// The next version.
    async fn next(&mut self) -> Result<Ahead, WorkError> {
        loop {
            match self.open.next_version()? {
                Next::Version(identity, rows) => return Ok(Ahead::Version(identity, rows)),
                Next::Settled => return Ok(Ahead::Settled),
                Next::End => return Ok(Ahead::Nothing),
                Next::Starved => {
                    self.inputs.feed(&mut self.open.rows).await?;
                    self.settled.feed(&mut self.open.settled.merge).await?;
                }
            }
        }
    }

    /// Sees to the rows of a version.
    fn take(
        &mut self,
        identity: Identity,
        rows: Vec<Row>,
        is_sample: bool,
    ) -> Result<(), WorkError> {
        let job = self.job;
        let not_before = Millis::from(job.not_before);
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows {
            let given_up = match job.kind {
                JobKind::Settle { how } if how != How::HandedOver => {
                    let at = settled_as_of(job.planned_at, row.failed_at);
                    count(&mut self.cursor.gathered.rows, row.group);
                    self.findings.settle(identity, row.group, at, how);
                    continue;
                }
                _ => row.attempts >= job.attempts || row.failed_at < not_before,
            };
            if given_up {
                let at = settled_as_of(job.planned_at, row.failed_at);
                count(&mut self.cursor.gathered.handed_over, row.group);
                self.findings
                    .settle(identity, row.group, at, How::HandedOver);
                self.findings.hand_over(row);
            } else {
                kept.push(row);
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        if let JobKind::Settle { .. } = job.kind {
            // Not too old yet: in files of their own, which do not keep what is settled of older
            // failures from being forgotten.
            for row in kept {
                if let Some(group) = job.groups.get(usize::from(row.group)) {
                    self.findings.reopen(group, row);
                }
            }
            return Ok(());
        }
        if is_sample {
            let attempts = kept.iter().map(|row| row.attempts).min().unwrap_or(0);
            self.chosen.offer(Candidate {
                attempts,
                identity,
                rows: kept,
            });
            return Ok(());
        }
        self.put(kept)
    }

    /// Puts a version into the manifest, once for each of its keys, which only a collision of
    /// hashes makes more than one.
    fn put(&mut self, rows: Vec<Row>) -> Result<(), WorkError> {
        let mut last = None;
        for mut row in rows {
            if put_line(&mut self.csv, &self.job.source, &row, &mut last) {
                self.cursor.objects += 1;
            }
            count(&mut self.cursor.gathered.rows, row.group);
            row.attempts = row.attempts.saturating_add(1);
            self.rows.push(&row)?;
        }
        Ok(())
    }

    /// Puts what a sample chose into the manifest; whether that is all there was.
    fn choose(&mut self) -> Result<bool, WorkError> {
        for candidate in self.chosen.take() {
            self.put(candidate.rows)?;
        }
        Ok(self.chosen.is_all())
    }

    /// Writes what is held and notes how far the inputs are used up.
    async fn flush(&mut self, is_last: bool) -> Result<(), WorkError> {
        let files = self.work.files();
        if self.findings.len() > 0 {
            let part = GATHERED + self.cursor.parts;
            self.findings.write(files, self.job, part).await?;
            self.cursor.parts += 1;
        }
        let chunk = self.cursor.gathered.chunks;
        let rows = (!self.rows.is_empty()).then(|| self.rows.take());
        let has_rows = rows.is_some();
        let rows = async {
            match rows {
                Some(rows) => {
                    write_exactly(files, &rows_key(self.job.name.as_str(), chunk), rows).await
                }
                None => Ok(()),
            }
        };
        // A manifest smaller than a part is written as a whole in the end.
        let is_part = self.csv.len() >= PART_BYTES
            || (is_last && !self.csv.is_empty() && self.cursor.upload.is_some());
        if is_part {
            let uploads = self.work.uploads(self.job)?;
            let is_new = self.cursor.upload.is_none();
            let mut upload = match self.cursor.upload.take() {
                Some(upload) => upload,
                None => UploadCursor {
                    id: uploads.begin(&self.key).await?.0,
                    ..UploadCursor::default()
                },
            };
            let csv = std::mem::take(&mut self.csv);
            let bytes = u64::try_from(csv.len()).unwrap_or(u64::MAX);
            let number = u32::try_from(upload.parts.len() + 1).unwrap_or(u32::MAX);
            let id = UploadId(upload.id.clone());
            let part = async {
                let part = uploads.part(&self.key, &id, number, csv).await;
                part.map_err(WorkError::from)
            };
            let etag = match try_join(rows, part).await {
                Ok(((), etag)) => etag,
                Err(error) => {
                    if is_new {
                        // Nobody will know its id any more. Where this fails too, the bucket's
                        // lifecycle aborts it; the first error is the one that explains.
                        let _ = uploads.abort(&self.key, &id).await;
                    }
                    return Err(error);
                }
            };
            upload.parts.push(etag);
            upload.bytes += bytes;
            self.cursor.upload = Some(upload);
        } else {
            rows.await?;
        }
        if has_rows {
            self.cursor.gathered.chunks += 1;
        }
        if is_part {
            self.cursor.uploaded_chunks = self.cursor.gathered.chunks;
        }
        // Always known here: nothing is flushed in the midst of a version.
        if let Some((inputs_at, settled_at)) = self.open.offsets() {
            self.cursor.inputs_at = inputs_at;
            self.cursor.settled_at = settled_at;
        }
        let dropped = self.open.dropped();
        self.cursor.gathered.dropped = self.dropped_before.0 + dropped.settled;
        self.cursor.gathered.duplicates = self.dropped_before.1 + dropped.duplicates;
        self.cursor.gathered.missing = self.missing_before + self.inputs.missing;
        Ok(())
    }

    /// Writes the rest.
    async fn finish(&mut self, at_end: bool) -> Result<Slice<GatherCursor, Gathered>, WorkError> {
        let all_chosen = self.choose()?;
        self.flush(true).await?;
        let complete = at_end && all_chosen;
        if self.cursor.upload.is_some() {
            // In a slice of its own: once an upload is completed its last part cannot be repeated.
            self.cursor.ended = Some(complete);
            return Ok(Slice::More(self.cursor.clone()));
        }
        self.complete(complete).await
    }

    /// Completes the manifest.
    async fn complete(
        &mut self,
        complete: bool,
    ) -> Result<Slice<GatherCursor, Gathered>, WorkError> {
        let mut gathered = self.cursor.gathered.clone();
        gathered.complete = complete;
        gathered.rows.resize(self.job.groups.len(), 0);
        gathered.handed_over.resize(self.job.groups.len(), 0);
        if self.cursor.objects > 0 {
            // Only here: rows of a bucket that is no member any more can still be settled.
            let uploads = self.work.uploads(self.job)?;
            let etag = match &self.cursor.upload {
                None => {
                    let csv = std::mem::take(&mut self.csv);
                    uploads.put(&self.key, csv).await?
                }
                Some(upload) => {
                    let id = UploadId(upload.id.clone());
                    uploads
                        .complete(&self.key, &id, &upload.parts, upload.bytes)
                        .await?
                }
            };
            gathered.manifest = Some(Manifest {
                bucket: uploads.bucket().clone(),
                key: self.key.clone(),
                etag,
                objects: self.cursor.objects,
            });
        }
        Ok(Slice::Done(gathered))
    }
}

/// Appends the line of a row's version unless it is the `last` one; whether it was appended.
fn put_line(
    csv: &mut Vec<u8>,
    source: &BucketName,
    row: &Row,
    last: &mut Option<(String, String)>,
) -> bool {
    let is_last = last
        .as_ref()
        .is_some_and(|(key, version)| *key == row.key && *version == row.version);
    if !is_last {
        manifest::line(csv, source, &row.key, &row.version);
        *last = Some((row.key.clone(), row.version.clone()));
    }
    !is_last
}

/// Counts a row of a group.
fn count(counts: &mut Vec<u64>, group: u16) {
    let place = usize::from(group);
    if counts.len() <= place {
        counts.resize(place + 1, 0);
    }
    if let Some(count) = counts.get_mut(place) {
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_never_holds_more_than_it_takes() {
        let mut chosen = Chosen::new(10);
        let candidate = |number: u32| Candidate {
            attempts: number % 3,
            identity: Identity::of(&number.to_string(), "v"),
            rows: Vec::new(),
        };
        for number in 0..5000 {
            chosen.offer(candidate(number));
            assert!(chosen.best.len() <= 10);
        }
        assert!(!chosen.is_all());
        let mut all: Vec<Candidate> = (0..5000).map(candidate).collect();
        all.sort_unstable();
        let mut expected: Vec<Identity> = all[..10].iter().map(|one| one.identity).collect();
        expected.sort_unstable();
        let taken: Vec<Identity> = chosen.take().iter().map(|one| one.identity).collect();
        assert_eq!(
            taken, expected,
            "the fewest attempts, in the order of the manifest"
        );

        let mut chosen = Chosen::new(10);
        (0..10).for_each(|number| chosen.offer(candidate(number)));
        assert!(chosen.is_all());
        assert_eq!(chosen.take().len(), 10);
    }
}
