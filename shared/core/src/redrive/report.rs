//! Completion reports of jobs, as S3 writes them.
//!
//! The report's `manifest.json` names result files; their rows are
//! `Bucket, Key, VersionId, TaskStatus, HTTPStatusCode, ErrorCode, ResultMessage`. The order that
//! `ReportSchema` declares for the fifth and sixth column is not the one that is written, so they
//! are told apart by content. What cannot be understood is counted and never taken for a success.

use csv_core::{ReadRecordResult, Reader};
use percent_encoding::percent_decode;
use serde::{Deserialize, Serialize};

use super::merge::ByIdentity;
use crate::ledger::{Format, Identity, LineError};
use crate::names::BucketName;

/// Longest row that is read: key, version and message are bounded by S3; what is longer is a
/// quote that was never closed.
const MAX_ROW: usize = 64 * 1024;

/// The columns of a row.
const COLUMNS: usize = 7;

/// Longest reason made of a result message, when a failed row has no error code.
const MAX_REASON: usize = 64;

/// The report's own list of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFiles {
    /// The files, in the order of the list.
    pub results: Vec<ResultFile>,
}

/// One file of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultFile {
    /// Whether its rows succeeded or failed, by the list.
    pub is_failed: bool,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
}

/// Why a report's list of files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// It is not what S3 writes.
    #[error("the report's manifest.json cannot be understood: {0}")]
    Shape(String),
    /// It is a later format.
    #[error("the report has the format {0:?}; Report_CSV_20180820 was asked for")]
    Format(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawFiles {
    format: String,
    #[serde(default)]
    results: Vec<RawFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawFile {
    task_execution_status: String,
    bucket: String,
    key: String,
}

impl ReportFiles {
    /// Reads `manifest.json`.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn parse(text: &[u8]) -> Result<Self, ReportError> {
        let raw: RawFiles =
            serde_json::from_slice(text).map_err(|error| ReportError::Shape(error.to_string()))?;
        if raw.format != "Report_CSV_20180820" {
            return Err(ReportError::Format(raw.format));
        }
        let file = |raw: RawFile| {
            let is_failed = match raw.task_execution_status.to_ascii_lowercase().as_str() {
                "succeeded" => false,
                "failed" => true,
                other => {
                    return Err(ReportError::Shape(format!(
                        "a file of tasks that are {other:?}, neither succeeded nor failed"
                    )));
                }
            };
            Ok(ResultFile {
                is_failed,
                bucket: raw.bucket,
                key: raw.key,
            })
        };
        let results: Result<Vec<_>, _> = raw.results.into_iter().map(file).collect();
        Ok(Self { results: results? })
    }
}

/// What a report says of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The key, decoded.
    pub key: String,
    /// The version.
    pub version: String,
    /// The error code, if it failed.
    pub failed: Option<String>,
}

/// A row of a result file, or that there is one that says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportRow {
    /// What it says.
    Task(Task),
    /// It cannot be understood.
    Odd,
}

/// Reads a result file that arrives in pieces, from its beginning or from where a row began.
#[derive(Debug)]
pub struct ReportReader {
    bucket: BucketName,
    csv: Reader,
    piece: Vec<u8>,
    /// How much of `piece` was read.
    read: usize,
    is_whole: bool,
    fields: Vec<u8>,
    filled: usize,
    ends: [usize; COLUMNS + 1],
    columns: usize,
    /// The row has more columns than it may, or is too long.
    is_odd: bool,
    length: usize,
    position: u64,
    offset: u64,
}

impl ReportReader {
    /// A reader of tasks on this source bucket, for what is fed from `offset` on.
    #[must_use]
    pub fn new(bucket: &BucketName, offset: u64) -> Self {
        Self {
            bucket: bucket.clone(),
            csv: Reader::new(),
            piece: Vec::new(),
            read: 0,
            is_whole: false,
            fields: vec![0; 8 * 1024],
            filled: 0,
            ends: [0; COLUMNS + 1],
            columns: 0,
            is_odd: false,
            length: 0,
            position: offset,
            offset,
        }
    }

    /// Takes the file's next bytes.
    pub fn feed(&mut self, piece: &[u8]) {
        self.piece.drain(..self.read);
        self.read = 0;
        self.piece.extend_from_slice(piece);
    }

    /// Everything was fed.
    pub fn end(&mut self) {
        self.is_whole = true;
    }

    /// All rows were given out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_whole && self.read >= self.piece.len()
    }

    /// Where the first row begins that was not given out.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next row; nothing if more has to be fed, or after the end if there is no more.
    pub fn next_row(&mut self) -> Option<ReportRow> {
        loop {
            let input = self.piece.get(self.read..).unwrap_or_default();
            if input.is_empty() && !self.is_whole {
                return None;
            }
            let output = self.fields.get_mut(self.filled..).unwrap_or_default();
            let ends = self.ends.get_mut(self.columns..).unwrap_or_default();
            let (result, read, written, ended) = self.csv.read_record(input, output, ends);
            self.read += read;
            self.length += read;
            self.position += u64::try_from(read).unwrap_or(u64::MAX);
            self.filled += written;
            self.columns += ended;
            match result {
                ReadRecordResult::InputEmpty => {
                    if !self.is_whole {
                        return None;
                    }
                }
                ReadRecordResult::OutputFull => {
                    if self.fields.len() < MAX_ROW {
                        self.fields.resize(self.fields.len() * 2, 0);
                    } else {
                        self.is_odd = true;
                        self.filled = 0;
                        self.columns = 0;
                    }
                }
                ReadRecordResult::OutputEndsFull => {
                    self.is_odd = true;
                    self.columns = 0;
                }
                ReadRecordResult::Record => {
                    let row = self.row();
                    self.restart();
                    return Some(row);
                }
                ReadRecordResult::End => {
                    self.restart();
                    return None;
                }
            }
        }
    }

    fn restart(&mut self) {
        self.filled = 0;
        self.columns = 0;
        self.length = 0;
        self.is_odd = false;
        self.offset = self.position;
    }

    fn row(&self) -> ReportRow {
        if self.is_odd || self.columns != COLUMNS {
            return ReportRow::Odd;
        }
        self.task().map_or(ReportRow::Odd, ReportRow::Task)
    }

    fn task(&self) -> Option<Task> {
        let column = |place: usize| {
            let start = match place.checked_sub(1) {
                None => 0,
                Some(before) => *self.ends.get(before)?,
            };
            self.fields.get(start..*self.ends.get(place)?)
        };
        let text = |place| std::str::from_utf8(column(place)?).ok();
        if text(0)? != self.bucket.as_str() {
            return None;
        }
        let key = decoded(column(1)?)?;
        let version = text(2)?;
        if key.is_empty() || version.is_empty() {
            return None;
        }
        let failed = match text(3)? {
            "succeeded" => None,
            "failed" => Some(reason(text(4)?, text(5)?, text(6)?)),
            _ => return None,
        };
        Some(Task {
            key,
            version: version.to_owned(),
            failed,
        })
    }
}

/// The key as it is. Whoever percent-encodes writes a literal `+` as `%2B`, so a bare one stands
/// for a blank.
fn decoded(encoded: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = encoded
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    let key = percent_decode(&spaced).decode_utf8().ok()?;
    Some(key.into_owned())
}

/// The error code, whichever of the two columns it stands in. Without one the message, or the
/// status, is the reason: unknown, but kept.
fn reason(fifth: &str, sixth: &str, message: &str) -> String {
    let is_status = |text: &str| text.is_empty() || text.bytes().all(|b| b.is_ascii_digit());
    let (fifth, sixth, message) = (fifth.trim(), sixth.trim(), message.trim());
    let code = [sixth, fifth].into_iter().find(|text| !is_status(text));
    if let Some(code) = code {
        return code.chars().take(MAX_REASON).collect();
    }
    if !message.is_empty() {
        return message.chars().take(MAX_REASON).collect();
    }
    match [fifth, sixth].into_iter().find(|text| !text.is_empty()) {
        Some(status) => format!("HTTP {status}"),
        None => "failed without a reason".to_owned(),
    }
}

/// A line of a file that holds part of a report, sorted: what became of one version's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verdict {
    /// Which version.
    pub identity: Identity,
    /// The place of the error code in the file's first line; none if replication was initiated.
    pub failed: Option<u16>,
}

/// The first line of such a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictsHeader {
    format: String,
    schema: u32,
    /// Error codes.
    pub codes: Vec<String>,
}

/// The format of files that hold parts of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdicts;

/// How `format` of such a file is called.
const FORMAT: &str = "mrap-sentinel/report";

impl Verdicts {
    /// A whole file: sorted, with its first line.
    #[must_use]
    pub fn file(codes: Vec<String>, mut verdicts: Vec<Verdict>) -> Vec<u8> {
        verdicts.sort_unstable();
        let header = VerdictsHeader {
            format: FORMAT.to_owned(),
            schema: crate::ledger::SCHEMA,
            codes,
        };
        let mut out = Vec::with_capacity(verdicts.len() * 44);
        // Texts and numbers are always JSON.
        let _ = serde_json::to_writer(&mut out, &header);
        out.push(b'\n');
        for verdict in verdicts {
            let _ = serde_json::to_writer(&mut out, &(verdict.identity, verdict.failed));
            out.push(b'\n');
        }
        out
    }
}

impl Format for Verdicts {
    type Header = VerdictsHeader;
    type Record = Verdict;

    fn header(line: &[u8]) -> Result<VerdictsHeader, LineError> {
        let header: VerdictsHeader = parsed(line, "the first line of a part of a report")?;
        if header.format != FORMAT {
            return Err(LineError::Format {
                found: header.format.chars().take(64).collect(),
                expected: FORMAT,
            });
        }
        if header.schema != crate::ledger::SCHEMA {
            return Err(LineError::Schema {
                found: header.schema.to_string(),
            });
        }
        Ok(header)
    }

    fn record(line: &[u8], header: &VerdictsHeader) -> Result<Verdict, LineError> {
        let (identity, failed): (Identity, Option<u16>) = parsed(line, "a task of a report")?;
        let count = header.codes.len();
        match failed {
            Some(index) if usize::from(index) >= count => Err(LineError::Index {
                what: "code",
                index,
                count,
            }),
            failed => Ok(Verdict { identity, failed }),
        }
    }
}

impl ByIdentity for Verdicts {
    fn identity(record: &Verdict) -> Identity {
        record.identity
    }
}

fn parsed<'a, T: Deserialize<'a>>(line: &'a [u8], what: &'static str) -> Result<T, LineError> {
    serde_json::from_slice(line).map_err(|error| LineError::Malformed {
        what,
        column: error.column(),
    })
}
