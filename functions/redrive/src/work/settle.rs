//! Joining a job's rows with its report.

use std::cell::RefCell;
use std::ops::Range;

use futures_util::stream::iter;
use futures_util::{StreamExt, TryStreamExt};
use sentinel_aws::ledger::{FileError, Files};
use sentinel_core::ledger::{
    Destination, Group, Identity, Row, Rows, RowsHeader, report_key, rows_key,
};
use sentinel_core::names::BucketName;
use sentinel_core::reasons::{Class, classify, is_about_source};
use sentinel_core::redrive::job::{
    Ended, Gathered, Job, JobKind, Outcome, Phase, SettleCursor, Settled, Slice, SweptCursor, Tally,
};
use sentinel_core::redrive::merge::{Lookup, Peek};
use sentinel_core::redrive::report::{ReportReader, ReportRow, Task, Verdicts};

use super::error::WorkError;
use super::feed::{Feed, read_all, window};
use super::report::{is_exhaustive, report_files, swept_group};
use super::sought::SoughtBody;
use super::write::{Findings, SETTLED, write_exactly};
use super::{MAX_WINDOW, Work, job_key, settled_as_of};

/// Reason of versions that a sweep initiated and that did not arrive.
const NOT_ARRIVED: &str = "ReplicationNotSeen";

/// Bytes that are read to find one row of a report in the midst of a file.
const SAMPLE_BYTES: u64 = 16 << 10;

/// Such pieces, or sizes of files, that are read before it is noted how far that came.
const AT_ONCE: usize = 64;

/// Those of them that are read at the same time.
const READS: usize = 16;

/// Does a part of joining the job's rows with its report: what is final is settled, what failed
/// or did not run is open again, and what was initiated is written down to be looked for. Without
/// a report all rows did not run.
///
/// # Errors
/// [`WorkError`].
pub async fn settle(
    work: &Work<'_>,
    job: &Job,
    cursor: SettleCursor,
) -> Result<Slice<SettleCursor, Settled>, WorkError> {
    let Phase::Settle {
        gathered,
        ended,
        tally,
        ..
    } = &job.phase
    else {
        return Err(WorkError::Phase("settle"));
    };
    let slice = async |progress: &RefCell<SettleCursor>| {
        let cursor = progress.borrow().clone();
        let joining = Joining {
            work,
            job,
            gathered,
            ended,
            tally,
            cursor,
        };
        match job.kind {
            JobKind::Sweep(_) => joining.sweep(progress).await,
            _ => joining.run(progress).await,
        }
    };
    work.bounded(cursor, slice).await
}

/// The group of what a sweep initiated.
pub(super) fn sweep_group_of(job: &Job) -> Group {
    swept_group(job, NOT_ARRIVED.to_owned())
}

/// Whether a code can settle a row of this group: one of which the destinations are not known
/// stands for all of them, and what one of them says must not settle the others.
fn settles_row(own: &Group, code: &str) -> bool {
    let is_final = classify(code).class.settles_as().is_some();
    own.destination != Destination::Any || is_about_source(code) || !is_final
}

/// Whether a source has more destinations than that of this group, as far as is known: members,
/// and those of the job's other groups.
pub(super) fn has_several(work: &Work<'_>, job: &Job, own: &Group) -> bool {
    let members = &work.settings().members;
    let mut members = members.iter().map(|member| &member.bucket);
    let other =
        |bucket: &BucketName| *bucket != job.source && own.destination.bucket() != Some(bucket);
    members.any(other)
        || job.groups.iter().any(|group| {
            let bucket = group.destination.bucket();
            bucket.is_some_and(other)
        })
}

/// One slice of settling.
struct Joining<'a> {
    work: &'a Work<'a>,
    job: &'a Job,
    gathered: &'a Gathered,
    ended: &'a Ended,
    tally: &'a Tally,
    cursor: SettleCursor,
}

/// What the report says of a row.
enum Said {
    Initiated,
    Failed(String),
    Nothing,
}

impl Joining<'_> {
    async fn run(
        mut self,
        progress: &RefCell<SettleCursor>,
    ) -> Result<Slice<SettleCursor, Settled>, WorkError> {
        let files = self.work.files();
        let keys: Vec<String> = (0..self.tally.chunks)
            .map(|chunk| report_key(self.job.name.as_str(), chunk))
            .collect();
        let window = window(keys.len());
        let (mut feed, merge) =
            Feed::open::<Verdicts>(files, &keys, &self.cursor.report_at, window).await?;
        let mut report = Lookup::new(merge);
        let before = self.cursor.unmatched;
        while self.cursor.chunk < self.gathered.chunks {
            let rows = self.rows(self.cursor.chunk).await?;
            let mut out = Out::new(self.job);
            for (identity, row) in rows {
                let said = self.said(&mut report, &mut feed, identity).await?;
                self.see_to(identity, row, said, &mut out)?;
            }
            out.write(self.work, self.job, &mut self.cursor).await?;
            self.cursor.chunk += 1;
            self.cursor.report_at = report.merge.offsets();
            self.cursor.unmatched = before + report.passed();
            progress.replace(self.cursor.clone());
            if !self.work.has_time() && self.cursor.chunk < self.gathered.chunks {
                return Ok(Slice::More(self.cursor));
            }
        }
        // Verdicts after the last row belong to no row either.
        let rest = report_rest(&mut report, &mut feed).await?;
        let unmatched = before + report.passed() + rest;
        let every = self.every();
        let mut settled = self.cursor.settled;
        let groups = self.job.groups.len().max(settled.groups.len());
        settled.groups.resize(groups, Outcome::default());
        // What the report says of nobody may have been meant for somebody.
        settled.proof.must_be_all |= every == 1 || unmatched > 0 || self.tally.odd > 0;
        Ok(Slice::Done(settled))
    }

    /// The rows of one of the job's files, which have about the size of a part of its manifest.
    async fn rows(&self, chunk: u32) -> Result<Vec<(Identity, Row)>, WorkError> {
        let key = rows_key(self.job.name.as_str(), chunk);
        let mut rows = Vec::new();
        read_all::<Rows>(self.work.files(), &key, |_, row| {
            rows.push((row.identity(), row));
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    async fn said(
        &self,
        report: &mut Lookup<Verdicts>,
        feed: &mut Feed,
        identity: Identity,
    ) -> Result<Said, WorkError> {
        if !self.tally.found {
            return Ok(Said::Nothing);
        }
        let mut found = None;
        loop {
            // In two steps: what is found borrows the merge that has to be fed.
            if let Some(verdicts) = report.find(identity)? {
                // Should it say both, the failure counts.
                for (place, verdict) in verdicts {
                    match (verdict.failed, &found) {
                        (Some(code), _) => found = Some((*place, Some(code))),
                        (None, None) => found = Some((*place, None)),
                        (None, Some(_)) => {}
                    }
                }
                break;
            }
            feed.feed(&mut report.merge).await?;
        }
        Ok(match found {
            Some((_, None)) => Said::Initiated,
            Some((place, Some(code))) => {
                let header = report.merge.header(place);
                let code = header.and_then(|header| header.codes.get(usize::from(code)));
                Said::Failed(code.cloned().unwrap_or_default())
            }
            None if is_exhaustive(self.ended) => Said::Initiated,
            None => Said::Nothing,
        })
    }

    fn see_to(
        &mut self,
        identity: Identity,
        row: Row,
        said: Said,
        out: &mut Out,
    ) -> Result<(), WorkError> {
        let place = usize::from(row.group);
        let at = settled_as_of(self.ended.at, row.failed_at);
        let Some(own) = self.job.groups.get(place) else {
            return Ok(());
        };
        let elsewhere = matches!(&said, Said::Failed(code) if self.may_be_elsewhere(own, code));
        let settled = &mut self.cursor.settled;
        match said {
            // Looked for where it should have gone, like what was initiated.
            Said::Failed(code) if elsewhere => {
                settled.count(place, |outcome| outcome.initiated += 1);
                out.doubted.push(&row, Some(&code))?;
            }
            Said::Initiated => {
                settled.count(place, |outcome| outcome.initiated += 1);
                out.initiated.push(&row, None)?;
                if out.counted.is_multiple_of(self.every()) {
                    out.sample.push(&row, None)?;
                }
                out.counted += 1;
            }
            Said::Nothing => {
                settled.count(place, |outcome| outcome.not_run += 1);
                settled.reopen(own, 1);
                out.findings.reopen(own, row);
            }
            Said::Failed(code) => {
                let class = classify(&code).class;
                let once_more = class == Class::OnceMore && own.reason != code;
                let settles = settles_row(own, &code);
                match class.settles_as() {
                    Some(how) if settles && !once_more => {
                        settled.count(place, |outcome| match class {
                            Class::AlreadyReplicated => outcome.already += 1,
                            _ => outcome.finals += 1,
                        });
                        out.findings.settle(identity, row.group, at, how);
                    }
                    _ => {
                        let mut group = own.clone();
                        group.reason = if settles {
                            code
                        } else {
                            // Under the code its group would be settled as a whole.
                            NOT_ARRIVED.to_owned()
                        };
                        settled.count(place, |outcome| outcome.failed += 1);
                        settled.reopen(&group, 1);
                        if !self.gathered.complete && group != *own {
                            // The row stays in its old group too, as the inputs stay: with its
                            // attempts, or a sample would take the same ones again and again.
                            out.findings.reopen(own, row.clone());
                        }
                        out.findings.reopen(&group, row);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a verdict may be about another destination than the row's: a task replicates by
    /// every matching rule, and its one code does not say which of them failed. Settling the row
    /// with it would give up a copy that may have arrived, or may yet; booking it would keep a
    /// version open that is where it should be. There may be destinations that nobody told us
    /// of, so a code that the row did not have before is always such.
    fn may_be_elsewhere(&self, own: &Group, code: &str) -> bool {
        own.destination != Destination::Any
            && !is_about_source(code)
            && (own.reason != code || has_several(self.work, self.job, own))
    }

    /// Every how manieth initiated row is looked for.
    fn every(&self) -> u64 {
        let objects = self.work.settings().thresholds.proof_objects.max(1);
        self.tally.succeeded.div_ceil(objects).max(1)
    }

    /// A sweep has no rows: what failed is in the report's files, what was initiated is looked up
    /// in the report itself.
    async fn sweep(
        mut self,
        progress: &RefCell<SettleCursor>,
    ) -> Result<Slice<SettleCursor, Settled>, WorkError> {
        while self.cursor.chunk < self.tally.chunks {
            let key = report_key(self.job.name.as_str(), self.cursor.chunk);
            let any = sweep_group_of(self.job);
            let mut findings = Findings::new(&self.job.source, std::slice::from_ref(&any));
            let (ended, settled) = (self.ended, &mut self.cursor.settled);
            read_all::<Rows>(self.work.files(), &key, |header: &RowsHeader, row| {
                let identity = row.identity();
                let Some(group) = header.groups.get(usize::from(row.group)) else {
                    return Ok(());
                };
                let class = classify(&group.reason).class;
                let settles = settles_row(&any, &group.reason);
                let group = if settles { group } else { &any };
                match class.settles_as() {
                    Some(how) if settles && class != Class::OnceMore => {
                        settled.count(0, |outcome| match class {
                            Class::AlreadyReplicated => outcome.already += 1,
                            _ => outcome.finals += 1,
                        });
                        let at = settled_as_of(ended.at, row.failed_at);
                        findings.settle(identity, 0, at, how);
                    }
                    _ => {
                        settled.count(0, |outcome| outcome.failed += 1);
                        settled.reopen(group, 1);
                        findings.reopen(group, row);
                    }
                }
                Ok(())
            })
            .await?;
            let part = SETTLED + self.cursor.chunk;
            findings.write(self.work.files(), self.job, part).await?;
            self.cursor.chunk += 1;
            progress.replace(self.cursor.clone());
            if !self.work.has_time() {
                return Ok(Slice::More(self.cursor));
            }
        }
        if self.tally.found && !self.swept_sample(progress).await? {
            return Ok(Slice::More(self.cursor));
        }
        let initiated = match self.ended.progress.succeeded {
            0 => self.tally.succeeded,
            succeeded => succeeded,
        };
        let mut settled = self.cursor.settled;
        settled.count(0, |outcome| outcome.initiated = initiated);
        settled.proof.must_be_all |= settled.proof.all > 0;
        Ok(Slice::Done(settled))
    }

    /// Writes down an even sample of the tasks of a sweep that initiated replication, or all if
    /// they are few; false if time is up before that is done.
    async fn swept_sample(&mut self, progress: &RefCell<SettleCursor>) -> Result<bool, WorkError> {
        let Some(files) = report_files(self.work, self.job, self.ended).await? else {
            return Ok(true);
        };
        let reports = self.work.reports(self.job)?;
        let keys: Vec<String> = files
            .results
            .into_iter()
            .filter(|file| !file.is_failed && file.bucket == reports.bucket().as_str())
            .map(|file| file.key)
            .collect();
        let objects = self.work.settings().thresholds.proof_objects.max(1);
        while self.cursor.swept.file < keys.len() {
            let swept = &mut self.cursor.swept;
            let rest = keys.get(swept.file..).unwrap_or_default();
            match swept.total {
                None => {
                    let sizes = sizes(&reports, rest).await?;
                    swept.file += sizes.len();
                    swept.before += sizes.iter().sum::<u64>();
                    if swept.file >= keys.len() {
                        *swept = SweptCursor {
                            total: Some(swept.before),
                            ..SweptCursor::default()
                        };
                    }
                }
                Some(total) if total <= MAX_WINDOW => {
                    let tasks = pieces(&reports, whole(&keys), |_, bytes| parse(self.job, bytes));
                    let tasks = tasks.await?;
                    let every = u64::try_from(tasks.len()).unwrap_or(u64::MAX);
                    let every = usize::try_from(every.div_ceil(objects).max(1)).unwrap_or(1);
                    swept.file = keys.len();
                    self.write_swept(tasks.into_iter().step_by(every)).await?;
                }
                Some(total) => {
                    let sizes = sizes(&reports, rest).await?;
                    let step = (total / objects).max(SAMPLE_BYTES);
                    let wanted = next_pieces(swept, rest, &sizes, step);
                    let tasks = pieces(&reports, wanted, |at, bytes| first(self.job, at, bytes));
                    let tasks = tasks.await?;
                    self.write_swept(tasks.into_iter()).await?;
                }
            }
            progress.replace(self.cursor.clone());
            if !self.work.has_time() {
                return Ok(self.cursor.swept.file >= keys.len());
            }
        }
        Ok(true)
    }

    async fn write_swept(&mut self, tasks: impl Iterator<Item = Task>) -> Result<(), WorkError> {
        let mut body = SoughtBody::new(&[sweep_group_of(self.job)]);
        for task in tasks {
            let row = Row {
                key: task.key,
                version: task.version,
                failed_at: self.ended.at.into(),
                attempts: 1,
                size: None,
                group: 0,
            };
            body.push(&row, None)?;
        }
        if !body.is_empty() {
            let proof = &mut self.cursor.settled.proof;
            let key = job_key(self.job, "initiated", proof.all);
            write_exactly(self.work.files(), &key, body.into_file()?).await?;
            proof.all += 1;
        }
        Ok(())
    }
}

/// The sizes of the first few of these files.
async fn sizes(reports: &Files, keys: &[String]) -> Result<Vec<u64>, WorkError> {
    let sizes = keys.iter().take(AT_ONCE).map(|key| async move {
        match reports.read(key, 0..1).await {
            Ok(piece) => Ok(piece.total),
            Err(FileError::PastTheEnd { .. }) => Ok(0),
            Err(error) => Err(WorkError::from(error)),
        }
    });
    iter(sizes).buffered(READS).try_collect().await
}

/// Files as a whole: what is read has at most [`MAX_WINDOW`] bytes together.
fn whole(keys: &[String]) -> Vec<(String, Range<u64>)> {
    let keys = keys.iter();
    keys.map(|key| (key.clone(), 0..MAX_WINDOW)).collect()
}

/// The next few pieces of a report, every `step` bytes of all of its files, and the cursor after
/// them.
fn next_pieces(
    swept: &mut SweptCursor,
    keys: &[String],
    sizes: &[u64],
    step: u64,
) -> Vec<(String, Range<u64>)> {
    let mut pieces = Vec::new();
    for (key, size) in keys.iter().zip(sizes) {
        while swept.at < swept.before + size {
            if pieces.len() >= AT_ONCE {
                return pieces;
            }
            let from = swept.at - swept.before;
            pieces.push((key.clone(), from..from + SAMPLE_BYTES));
            swept.at += step;
        }
        swept.before += size;
        swept.file += 1;
    }
    pieces
}

/// Reads pieces of a report, several at once, and gives the tasks that `take` finds in them.
async fn pieces<T>(
    reports: &Files,
    wanted: Vec<(String, Range<u64>)>,
    take: impl Fn(u64, &[u8]) -> T,
) -> Result<Vec<Task>, WorkError>
where
    T: IntoIterator<Item = Task>,
{
    let reads = wanted.into_iter().map(|(key, range)| async move {
        let from = range.start;
        match reports.read(&key, range).await {
            Ok(piece) => Ok((from, piece.bytes)),
            Err(FileError::PastTheEnd { .. }) => Ok((from, Vec::new())),
            Err(error) => Err(WorkError::from(error)),
        }
    });
    let mut reads = iter(reads).buffered(READS);
    let mut tasks = Vec::new();
    while let Some((from, bytes)) = reads.try_next().await? {
        tasks.extend(take(from, &bytes));
    }
    Ok(tasks)
}

/// The first task that begins in a piece of a report, if it initiated replication.
fn first(job: &Job, from: u64, bytes: &[u8]) -> Option<Task> {
    // Keys are encoded, so a line that begins with the bucket begins a row.
    let mark = format!("\n{},", job.source);
    let begin = match from {
        0 => 0,
        _ => find(bytes, mark.as_bytes())? + 1,
    };
    parse(job, bytes.get(begin..)?).into_iter().next()
}

/// The tasks in a piece of a report that initiated replication.
fn parse(job: &Job, bytes: &[u8]) -> Vec<Task> {
    let mut reader = ReportReader::new(&job.source, 0);
    reader.feed(bytes);
    let mut tasks = Vec::new();
    while let Some(row) = reader.next_row() {
        match row {
            ReportRow::Task(task) if task.failed.is_none() => tasks.push(task),
            ReportRow::Task(_) | ReportRow::Odd => {}
        }
    }
    tasks
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|found| found == wanted)
}

/// Verdicts that no row asked for any more.
async fn report_rest(report: &mut Lookup<Verdicts>, feed: &mut Feed) -> Result<u64, WorkError> {
    let mut rest = 0;
    loop {
        match report.merge.peek()? {
            Peek::Starved => feed.feed(&mut report.merge).await?,
            Peek::Ready(_) => {
                report.merge.pop();
                rest += 1;
            }
            Peek::End => return Ok(rest),
        }
    }
}

/// What one file of rows comes to.
struct Out {
    findings: Findings,
    initiated: SoughtBody,
    doubted: SoughtBody,
    sample: SoughtBody,
    counted: u64,
}

impl Out {
    fn new(job: &Job) -> Self {
        Self {
            findings: Findings::new(&job.source, &job.groups),
            initiated: SoughtBody::new(&job.groups),
            doubted: SoughtBody::new(&job.groups),
            sample: SoughtBody::new(&job.groups),
            counted: 0,
        }
    }

    async fn write(
        mut self,
        work: &Work<'_>,
        job: &Job,
        cursor: &mut SettleCursor,
    ) -> Result<(), WorkError> {
        let files = work.files();
        if !self.initiated.is_empty() {
            let key = job_key(job, "initiated", cursor.settled.proof.all);
            write_exactly(files, &key, self.initiated.into_file()?).await?;
            cursor.settled.proof.all += 1;
        }
        if !self.doubted.is_empty() {
            let key = job_key(job, "doubted", cursor.settled.proof.doubted);
            write_exactly(files, &key, self.doubted.into_file()?).await?;
            cursor.settled.proof.doubted += 1;
        }
        if !self.sample.is_empty() {
            let key = job_key(job, "sample", cursor.settled.proof.sample);
            write_exactly(files, &key, self.sample.into_file()?).await?;
            cursor.settled.proof.sample += 1;
        }
        let part = SETTLED + cursor.chunk;
        self.findings.write(files, job, part).await
    }
}
