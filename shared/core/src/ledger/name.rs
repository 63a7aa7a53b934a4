//! Keys of the ledger's files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::group::{GroupId, beginning, hex_newtype};
use super::row::Millis;
use crate::excerpt::Excerpt;
use crate::names::BucketName;

/// Prefix of all open files.
pub const OPEN: &str = "ledger/open/";
/// Prefix of the jobs' files.
pub const JOBS: &str = "ledger/jobs/";
/// Prefix of all settled files.
pub const SETTLED: &str = "ledger/settled/";
/// Prefix of what was given to people.
pub const HANDED_OVER: &str = "ledger/handed-over/";

/// Ending of all files.
const ENDING: &str = ".jsonl";

/// A key that is not one of the ledger's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is not the key of {what}: {shape}")]
pub struct LedgerNameError {
    /// The key, shortened.
    pub key: String,
    /// What was looked for.
    pub what: &'static str,
    /// What its key looks like.
    pub shape: &'static str,
}

/// The beginning of a content's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash([u8; 8]);

hex_newtype!(ContentHash);

impl ContentHash {
    /// The hash of this content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(beginning(&Sha256::digest(content)))
    }
}

/// Name of an open file: which group, how many rows, and when the oldest and newest failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OpenName {
    /// The group of all its rows.
    pub group: GroupId,
    /// When the first of them failed.
    pub oldest: Millis,
    /// When the last of them failed.
    pub newest: Millis,
    /// How many there are.
    pub rows: u64,
    /// The hash of the file.
    pub hash: ContentHash,
}

impl OpenName {
    /// The prefix of all open files of a group.
    #[must_use]
    pub fn prefix(group: GroupId) -> String {
        format!("{OPEN}{group}/")
    }

    /// The key: the same as the `Display` form.
    #[must_use]
    pub fn key(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for OpenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{OPEN}{}/{:013}-{:013}-{}-{}{ENDING}",
            self.group,
            self.oldest.get(),
            self.newest.get(),
            self.rows,
            self.hash
        )
    }
}

impl FromStr for OpenName {
    type Err = LedgerNameError;

    fn from_str(key: &str) -> Result<Self, LedgerNameError> {
        let read = || {
            let (group, file) = key.strip_prefix(OPEN)?.split_once('/')?;
            let mut parts = file.strip_suffix(ENDING)?.split('-');
            let mut next = || parts.next();
            let name = Self {
                group: group.parse().ok()?,
                oldest: millis(next()?)?,
                newest: millis(next()?)?,
                rows: number(next()?)?,
                hash: next()?.parse().ok()?,
            };
            (next().is_none() && name.oldest <= name.newest).then_some(name)
        };
        read().ok_or_else(|| {
            refused(
                key,
                "an open file",
                "ledger/open/<group>/<oldest ms>-<newest ms>-<rows>-<hash>.jsonl",
            )
        })
    }
}

/// Name of a settled file: whose versions, how many, and when the last of them was settled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SettledName {
    /// The source bucket.
    pub source: BucketName,
    /// When the last of them was settled: the file is kept for a while from then on.
    pub until: Millis,
    /// How many there are.
    pub rows: u64,
    /// The job that settled them.
    pub job: String,
    /// Which file of that job, counted from 0.
    pub part: u32,
}

impl SettledName {
    /// The prefix of all settled files of a source bucket.
    #[must_use]
    pub fn prefix(source: &BucketName) -> String {
        format!("{SETTLED}{source}/")
    }

    /// The key: the same as the `Display` form.
    #[must_use]
    pub fn key(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for SettledName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            until,
            rows,
            job,
            part,
        } = self;
        let until = until.get();
        write!(
            f,
            "{SETTLED}{source}/{until:013}-{rows}-{job}-{part:05}{ENDING}"
        )
    }
}

impl FromStr for SettledName {
    type Err = LedgerNameError;

    fn from_str(key: &str) -> Result<Self, LedgerNameError> {
        let read = || {
            let (source, file) = key.strip_prefix(SETTLED)?.split_once('/')?;
            let (until, rest) = file.strip_suffix(ENDING)?.split_once('-')?;
            let (rows, rest) = rest.split_once('-')?;
            let (job, part) = rest.rsplit_once('-')?;
            Some(Self {
                source: source.parse().ok()?,
                until: millis(until)?,
                rows: number(rows)?,
                job: job_name(job)?,
                part: part_number(part)?,
            })
        };
        read().ok_or_else(|| {
            refused(
                key,
                "a settled file",
                "ledger/settled/<source>/<until ms>-<rows>-<job>-<nnnnn>.jsonl",
            )
        })
    }
}

/// Name of a file of rows that were given to a person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HandedOverName {
    /// The group of all its rows.
    pub group: GroupId,
    /// The job that gave them up.
    pub job: String,
    /// Which file of that job, counted from 0.
    pub part: u32,
    /// How many there are.
    pub rows: u64,
    /// The hash of the file: when a job repeats a slice and cuts it elsewhere, the file that it
    /// wrote before stays beside the new one, because what is settled already may rest on it.
    pub hash: ContentHash,
}

impl HandedOverName {
    /// The prefix of everything of a group that was given to people.
    #[must_use]
    pub fn prefix(group: GroupId) -> String {
        format!("{HANDED_OVER}{group}/")
    }

    /// The key: the same as the `Display` form.
    #[must_use]
    pub fn key(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for HandedOverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            group,
            job,
            part,
            rows,
            hash,
        } = self;
        write!(
            f,
            "{HANDED_OVER}{group}/{job}-{part:05}-{rows}-{hash}{ENDING}"
        )
    }
}

impl FromStr for HandedOverName {
    type Err = LedgerNameError;

    fn from_str(key: &str) -> Result<Self, LedgerNameError> {
        let read = || {
            let (group, file) = key.strip_prefix(HANDED_OVER)?.split_once('/')?;
            let (rest, hash) = file.strip_suffix(ENDING)?.rsplit_once('-')?;
            let (rest, rows) = rest.rsplit_once('-')?;
            let (job, part) = rest.rsplit_once('-')?;
            Some(Self {
                group: group.parse().ok()?,
                job: job_name(job)?,
                part: part_number(part)?,
                rows: number(rows)?,
                hash: hash.parse().ok()?,
            })
        };
        read().ok_or_else(|| {
            refused(
                key,
                "a file of rows given to a person",
                "ledger/handed-over/<group>/<job>-<nnnnn>-<rows>-<hash>.jsonl",
            )
        })
    }
}

/// Gives a name its way through text in JSON documents.
macro_rules! as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = LedgerNameError;

            fn try_from(key: String) -> Result<Self, LedgerNameError> {
                key.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.to_string()
            }
        }
    };
}
as_text!(OpenName);
as_text!(SettledName);
as_text!(HandedOverName);

/// The prefix of a job's files.
#[must_use]
pub fn job_prefix(job: &str) -> String {
    format!("{JOBS}{job}/")
}

/// The key of a part of what a job's manifest holds.
#[must_use]
pub fn rows_key(job: &str, part: u32) -> String {
    format!("{JOBS}{job}/rows/{part:05}{ENDING}")
}

/// The key of a part of what a job's report says.
#[must_use]
pub fn report_key(job: &str, part: u32) -> String {
    format!("{JOBS}{job}/report/{part:05}{ENDING}")
}

fn refused(key: &str, what: &'static str, shape: &'static str) -> LedgerNameError {
    LedgerNameError {
        key: Excerpt(key).to_string(),
        what,
        shape,
    }
}

/// Digits and nothing else, without a sign and without leading zeros.
fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok()).flatten()
}

fn millis(text: &str) -> Option<Millis> {
    let digits = text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Millis::new(text.parse().ok()?)).flatten()
}

fn part_number(text: &str) -> Option<u32> {
    let digits = text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text.len() == 5 || !text.starts_with('0');
    (digits && canonical).then(|| text.parse().ok()).flatten()
}

/// Jobs are named by letters, digits and hyphens.
fn job_name(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (!text.is_empty() && text.bytes().all(plain)).then(|| text.to_owned())
}
