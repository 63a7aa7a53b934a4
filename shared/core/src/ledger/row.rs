//! Rows: versions whose replication failed.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::group::{Group, beginning, hex_newtype};
use super::name::{ContentHash, OpenName};
use super::stream::{Format, LineError, check_header, read_line, write_line};

/// A time in whole Unix milliseconds that has 13 digits or fewer: from 1970 to November 2286.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Millis(i64);

impl Millis {
    /// The earliest time that can be told.
    pub const MIN: Self = Self(0);
    /// The latest time that can be told.
    pub const MAX: Self = Self(9_999_999_999_999);

    /// This many milliseconds after 1970 began, if that can be told.
    #[must_use]
    pub fn new(millis: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0)
            .contains(&millis)
            .then_some(Self(millis))
    }

    /// Milliseconds after 1970 began.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    /// The same as a timestamp.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// Cut to the millisecond; a clock before 1970 or after 2286 tells the nearest time within.
impl From<Timestamp> for Millis {
    fn from(at: Timestamp) -> Self {
        Self(at.as_millisecond().clamp(Self::MIN.0, Self::MAX.0))
    }
}

impl TryFrom<i64> for Millis {
    type Error = &'static str;

    fn try_from(millis: i64) -> Result<Self, Self::Error> {
        Self::new(millis).ok_or("a time outside the years 1970 to 2286")
    }
}

impl From<Millis> for i64 {
    fn from(millis: Millis) -> i64 {
        millis.0
    }
}

/// Which version of which key: the beginning of SHA-256 over key, a zero byte and version. What
/// rows are sorted, deduplicated and settled by, within one source bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity([u8; 16]);

hex_newtype!(Identity);

impl Identity {
    /// The identity of this version of this key.
    #[must_use]
    pub fn of(key: &str, version: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(key);
        hash.update([0]);
        hash.update(version);
        Self(beginning(&hash.finalize()))
    }

    /// Its bytes, in which it is sorted.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// One version whose replication failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Row {
    /// The object's key, decoded.
    pub key: String,
    /// The version's id; `null` for what was written before the bucket was versioned.
    pub version: String,
    /// When S3 says that it failed.
    pub failed_at: Millis,
    /// Jobs that were created with it.
    pub attempts: u32,
    /// Bytes, if known.
    pub size: Option<u64>,
    /// The place of its group in the file's first line.
    pub group: u16,
}

impl Row {
    /// The version's identity. Costs a hash: keep it where it is needed again.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::of(&self.key, &self.version)
    }

    /// Appends the row's line.
    ///
    /// # Errors
    /// [`LineError::TooLong`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), LineError> {
        let fields = (
            &self.key,
            &self.version,
            self.failed_at,
            self.attempts,
            self.size,
            self.group,
        );
        write_line(out, &fields)
    }

    /// Reads the row's line, with or without its line feed, in a file of so many groups.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn decode(line: &[u8], groups: usize) -> Result<Self, LineError> {
        let (key, version, failed_at, attempts, size, group) = read_line(line, "a row")?;
        if usize::from(group) >= groups {
            return Err(LineError::Index {
                what: "group",
                index: group,
                count: groups,
            });
        }
        Ok(Self {
            key,
            version,
            failed_at,
            attempts,
            size,
            group,
        })
    }

    /// How rows of one file are sorted, their identities given.
    #[must_use]
    pub fn order(&self, identity: &Identity, other: &Self, of_other: &Identity) -> Ordering {
        identity.cmp(of_other).then_with(|| {
            let of = |row: &Self| (row.group, row.failed_at, row.attempts, row.size);
            (self.key.cmp(&other.key))
                .then_with(|| self.version.cmp(&other.version))
                .then_with(|| of(self).cmp(&of(other)))
        })
    }
}

/// Sorts rows as they stand in a file; each one's identity is hashed once.
pub fn sort_rows(rows: &mut Vec<Row>) {
    let mut known: Vec<(Identity, Row)> = std::mem::take(rows)
        .into_iter()
        .map(|row| (row.identity(), row))
        .collect();
    known.sort_unstable_by(|(a, left), (b, right)| left.order(a, right, b));
    rows.extend(known.into_iter().map(|(_, row)| row));
}

/// The first line of a file of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsHeader {
    /// The groups to which its rows belong; at most 65,536.
    pub groups: Vec<Group>,
}

/// How `format` of a file of rows is called.
const FORMAT: &str = "mrap-sentinel/ledger";

#[derive(Serialize)]
struct Written<'a> {
    format: &'static str,
    schema: u32,
    groups: &'a [Group],
}

#[derive(Deserialize)]
struct Read {
    groups: Vec<Group>,
}

impl RowsHeader {
    /// Appends the line.
    ///
    /// # Errors
    /// [`LineError::TooLong`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), LineError> {
        let header = Written {
            format: FORMAT,
            schema: super::SCHEMA,
            groups: &self.groups,
        };
        write_line(out, &header)
    }

    /// Reads the line, with or without its line feed.
    ///
    /// # Errors
    /// [`LineError`]: another format or a later schema among them.
    pub fn decode(line: &[u8]) -> Result<Self, LineError> {
        check_header(line, FORMAT)?;
        let Read { groups } = read_line(line, "the first line of a file of rows")?;
        Ok(Self { groups })
    }
}

/// The format of a file of rows, for [`super::Reader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows;

impl Format for Rows {
    type Header = RowsHeader;
    type Record = Row;

    fn header(line: &[u8]) -> Result<RowsHeader, LineError> {
        RowsHeader::decode(line)
    }

    fn record(line: &[u8], header: &RowsHeader) -> Result<Row, LineError> {
        Row::decode(line, header.groups.len())
    }
}

/// A whole open file of one group in memory: what one batch of messages or one slice of a report
/// comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFile {
    /// Its name, which follows from the rest.
    pub name: OpenName,
    /// Its content.
    pub body: Vec<u8>,
}

impl OpenFile {
    /// The file that holds these rows of this group: sorted, and equal ones once, so that the
    /// same rows make the same file in whatever order they came. Their `group` is set to 0.
    /// `None` if there are no rows.
    ///
    /// # Errors
    /// [`LineError::TooLong`].
    pub fn new(group: &Group, mut rows: Vec<Row>) -> Result<Option<Self>, LineError> {
        for row in &mut rows {
            row.group = 0;
        }
        sort_rows(&mut rows);
        rows.dedup();
        let times = || rows.iter().map(|row| row.failed_at);
        let (Some(oldest), Some(newest)) = (times().min(), times().max()) else {
            return Ok(None);
        };
        let mut body = Vec::new();
        let groups = vec![group.clone()];
        RowsHeader { groups }.encode(&mut body)?;
        for row in &rows {
            row.encode(&mut body)?;
        }
        let name = OpenName {
            group: group.id(),
            oldest,
            newest,
            rows: rows.len().try_into().unwrap_or(u64::MAX),
            hash: ContentHash::of(&body),
        };
        Ok(Some(Self { name, body }))
    }
}
