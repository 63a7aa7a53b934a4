//! Reading a job's report into sorted files.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sentinel_aws::ledger::{FileError, Files};
use sentinel_core::ledger::{Destination, Group, Identity, Millis, Row, report_key, sort_rows};
use sentinel_core::redrive::job::{
    EndStatus, Ended, Gathered, Job, JobKind, Phase, ReportCursor, Slice, Tally,
};
use sentinel_core::redrive::report::{
    ReportFiles, ReportReader, ReportRow, ResultFile, Task, Verdict, Verdicts,
};

use super::error::WorkError;
use super::write::{RowsBody, write_exactly};
use super::{MAX_WINDOW, VERDICTS, Work};

/// So long after a job's end its report may still be missing.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// How long to wait for it at a time.
const PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// Largest list of result files that is read.
const LIST_BYTES: u64 = 16 << 20;

/// Rows of a sweep's report that are sorted in memory at once: with their keys they are larger.
const SWEPT_ROWS: usize = 50_000;

/// The error codes of one file: those beyond are one.
const CODES: usize = 1000;

/// Does a part of reading a job's report: result files become sorted files of verdicts, or, for a
/// sweep, of failed rows. A complete job lists every task, so for it only the failed ones are
/// read. If no task was invoked there is no report: then the job's failure reasons explain it.
///
/// # Errors
/// [`WorkError`].
pub async fn report(
    work: &Work<'_>,
    job: &Job,
    cursor: ReportCursor,
) -> Result<Slice<ReportCursor, Tally>, WorkError> {
    let Phase::Report {
        gathered, ended, ..
    } = &job.phase
    else {
        return Err(WorkError::Phase("report"));
    };
    let slice = async |progress: &RefCell<ReportCursor>| {
        let cursor = progress.borrow().clone();
        let Some(files) = report_files(work, job, ended).await? else {
            return Ok(without_report(work, ended, cursor));
        };
        let mut reading = Reading {
            work,
            job,
            ended,
            files: wanted(job, ended, files),
            reports: work.reports(job)?,
            cursor,
            verdicts: Vec::new(),
            rows: Vec::new(),
            codes: Codes::default(),
        };
        if reading.run(progress).await? {
            let tally = finished(reading.cursor.tally, gathered, ended);
            return Ok(Slice::Done(tally));
        }
        Ok(Slice::More(reading.cursor))
    };
    work.bounded(cursor, slice).await
}

/// The result files of a job's report; nothing if there is none.
pub(super) async fn report_files(
    work: &Work<'_>,
    job: &Job,
    ended: &Ended,
) -> Result<Option<ReportFiles>, WorkError> {
    let reports = work.reports(job)?;
    let key = format!("{}/job-{}/manifest.json", work.work_prefix(job), ended.id);
    match reports.read(&key, 0..LIST_BYTES).await {
        Ok(piece) => Ok(Some(ReportFiles::parse(&piece.bytes)?)),
        Err(FileError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether every task of a job that says nothing else succeeded.
pub(super) fn is_exhaustive(ended: &Ended) -> bool {
    ended.status == EndStatus::Complete
}

/// Which of the files have to be read, in a fixed order.
fn wanted(job: &Job, ended: &Ended, files: ReportFiles) -> Vec<ResultFile> {
    let only_failed = is_exhaustive(ended) || matches!(job.kind, JobKind::Sweep(_));
    let mut files = files.results;
    files.retain(|file| file.is_failed || !only_failed);
    files.sort_by(|a, b| a.key.cmp(&b.key));
    files
}

fn without_report(
    work: &Work<'_>,
    ended: &Ended,
    cursor: ReportCursor,
) -> Slice<ReportCursor, Tally> {
    let ran = ended.status == EndStatus::Complete
        || ended.progress.succeeded > 0
        || ended.progress.failed > 0;
    let now = work.edge().now();
    if ran && now.duration_since(ended.at) < PATIENCE {
        let at: Timestamp = now + PAUSE;
        return Slice::Wait(cursor, at);
    }
    let is_empty = |reason: &String| reason.to_lowercase().contains("no keys matching");
    Slice::Done(Tally {
        found: false,
        nothing_to_do: ended.reasons.iter().any(is_empty),
        reasons: ended.reasons.clone(),
        ..Tally::default()
    })
}

fn finished(mut tally: Tally, gathered: &Gathered, ended: &Ended) -> Tally {
    tally.found = true;
    tally.reasons.clone_from(&ended.reasons);
    if is_exhaustive(ended) {
        let objects = match &gathered.manifest {
            Some(manifest) => manifest.objects,
            None => ended.progress.total,
        };
        let failed: u64 = tally.failed.values().sum();
        tally.succeeded = objects.saturating_sub(failed);
    }
    tally
}

/// Error codes and their places.
#[derive(Debug, Default)]
pub(super) struct Codes {
    places: BTreeMap<String, u16>,
    list: Vec<String>,
}

impl Codes {
    /// The place of a code. Free texts could be any number: beyond a bound they share one.
    pub(super) fn place(&mut self, code: &str) -> u16 {
        let code = if self.list.len() < CODES {
            code
        } else {
            "one of many reasons"
        };
        if let Some(place) = self.places.get(code) {
            return *place;
        }
        let place = u16::try_from(self.list.len()).unwrap_or(u16::MAX);
        self.places.insert(code.to_owned(), place);
        self.list.push(code.to_owned());
        place
    }
}

/// One slice of reading.
struct Reading<'a> {
    work: &'a Work<'a>,
    job: &'a Job,
    ended: &'a Ended,
    files: Vec<ResultFile>,
    reports: Files,
    cursor: ReportCursor,
    verdicts: Vec<Verdict>,
    /// For a sweep, failed rows; `group` is the place of the code.
    rows: Vec<Row>,
    codes: Codes,
}

impl Reading<'_> {
    /// Reads until time is up or, then true, to the end.
    async fn run(&mut self, progress: &RefCell<ReportCursor>) -> Result<bool, WorkError> {
        let mut reader = None;
        let mut read = self.cursor.offset;
        while let Some(file) = self.files.get(self.cursor.file).cloned() {
            if file.bucket != self.reports.bucket().as_str() {
                // Reports go where the job was told to put them.
                self.cursor.tally.odd += 1;
                self.next_file();
                continue;
            }
            let csv = reader
                .get_or_insert_with(|| ReportReader::new(&self.job.source, self.cursor.offset));
            match self.reports.read(&file.key, read..read + MAX_WINDOW).await {
                Ok(piece) => {
                    read += u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX);
                    csv.feed(&piece.bytes);
                    if read >= piece.total || piece.bytes.is_empty() {
                        csv.end();
                    }
                }
                Err(FileError::PastTheEnd { .. }) => csv.end(),
                Err(FileError::Missing { .. }) => {
                    // A listed file that is gone: nothing is known of its tasks.
                    self.cursor.tally.odd += 1;
                    csv.end();
                }
                Err(error) => return Err(error.into()),
            }
            while let Some(row) = csv.next_row() {
                let tally = &mut self.cursor.tally;
                match row {
                    ReportRow::Odd => tally.odd += 1,
                    ReportRow::Task(task) => take(
                        task,
                        tally,
                        &mut self.codes,
                        &mut self.verdicts,
                        &mut self.rows,
                        (matches!(self.job.kind, JobKind::Sweep(_))).then_some(self.ended),
                    ),
                }
            }
            self.cursor.offset = csv.offset();
            if csv.is_done() {
                self.next_file();
                reader = None;
                read = 0;
            }
            if self.verdicts.len() >= VERDICTS || self.rows.len() >= SWEPT_ROWS {
                self.flush(progress).await?;
            }
            if !self.work.has_time() {
                self.flush(progress).await?;
                return Ok(false);
            }
        }
        self.flush(progress).await?;
        Ok(true)
    }

    fn next_file(&mut self) {
        self.cursor.file += 1;
        self.cursor.offset = 0;
    }

    async fn flush(&mut self, progress: &RefCell<ReportCursor>) -> Result<(), WorkError> {
        let codes = std::mem::take(&mut self.codes).list;
        let verdicts = std::mem::take(&mut self.verdicts);
        let mut rows = std::mem::take(&mut self.rows);
        let key = report_key(self.job.name.as_str(), self.cursor.tally.chunks);
        let body = if !verdicts.is_empty() {
            Some(Verdicts::file(codes, verdicts))
        } else if !rows.is_empty() {
            sort_rows(&mut rows);
            let groups: Vec<Group> = codes
                .into_iter()
                .map(|code| swept_group(self.job, code))
                .collect();
            let mut body = RowsBody::new(&groups)?;
            for row in &rows {
                body.push(row)?;
            }
            Some(body.take())
        } else {
            None
        };
        if let Some(body) = body {
            write_exactly(self.work.files(), &key, body).await?;
            self.cursor.tally.chunks += 1;
        }
        progress.replace(self.cursor.clone());
        Ok(())
    }
}

/// The group of what a sweep found: which rule failed, and towards where, the report does not say.
pub(super) fn swept_group(job: &Job, reason: String) -> Group {
    Group {
        source: job.source.clone(),
        destination: Destination::Any,
        rule: "*".to_owned(),
        reason,
    }
}

fn take(
    task: Task,
    tally: &mut Tally,
    codes: &mut Codes,
    verdicts: &mut Vec<Verdict>,
    rows: &mut Vec<Row>,
    sweep: Option<&Ended>,
) {
    let place = task.failed.as_deref().map(|code| codes.place(code));
    match &task.failed {
        None => tally.succeeded += 1,
        Some(code) => {
            // As bounded as the files: free texts beyond the first thousand are one.
            let known = tally.failed.len() < CODES || tally.failed.contains_key(code);
            let code = if known { code } else { "one of many reasons" };
            *tally.failed.entry(code.to_owned()).or_default() += 1;
        }
    }
    match (sweep, place) {
        // Of a sweep only what failed is written down.
        (Some(_), None) => {}
        (Some(ended), Some(group)) => rows.push(Row {
            key: task.key,
            version: task.version,
            failed_at: Millis::from(ended.at),
            attempts: 1,
            size: None,
            group,
        }),
        (None, _) => verdicts.push(Verdict {
            identity: Identity::of(&task.key, &task.version),
            failed: place,
        }),
    }
}
