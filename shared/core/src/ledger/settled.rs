//! Settled identities: what became of versions, and when that was found.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::group::Destination;
use super::row::{Identity, Millis};
use super::stream::{Format, LineError, check_header, read_line, write_line};
use crate::names::BucketName;

/// How a version was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It is in the destination.
    Replicated,
    /// S3 had replicated it before anybody asked.
    Already,
    /// It no longer exists in the source.
    Gone,
    /// Its copy was deleted in the destination by version, or is missing there: S3 does not copy
    /// it again.
    HardDeleted,
    /// No rule covers it, or S3 cannot replicate what it is.
    Ineligible,
    /// It was given to a person.
    HandedOver,
    /// A person gave it up.
    Abandoned,
    /// S3 still replicates it: a job looks for it, and has its row.
    Moving,
}

impl How {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Replicated,
        Self::Already,
        Self::Gone,
        Self::HardDeleted,
        Self::Ineligible,
        Self::HandedOver,
        Self::Abandoned,
        Self::Moving,
    ];

    /// As it is written in files, logs and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replicated => "replicated",
            Self::Already => "already",
            Self::Gone => "gone",
            Self::HardDeleted => "hard-deleted",
            Self::Ineligible => "ineligible",
            Self::HandedOver => "handed-over",
            Self::Abandoned => "abandoned",
            Self::Moving => "moving",
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One settled version towards one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettledRow {
    /// Which version.
    pub identity: Identity,
    /// The place of its destination in the file's first line.
    pub destination: u16,
    /// When it was settled. Failures up to then are done with.
    pub settled_at: Millis,
    /// How.
    pub how: How,
}

impl SettledRow {
    /// Appends the line.
    ///
    /// # Errors
    /// [`LineError::TooLong`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), LineError> {
        let fields = (self.identity, self.destination, self.settled_at, self.how);
        write_line(out, &fields)
    }

    /// Reads the line, with or without its line feed, in a file of so many destinations.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn decode(line: &[u8], destinations: usize) -> Result<Self, LineError> {
        let (identity, destination, settled_at, how) = read_line(line, "a settled identity")?;
        if usize::from(destination) >= destinations {
            return Err(LineError::Index {
                what: "destination",
                index: destination,
                count: destinations,
            });
        }
        Ok(Self {
            identity,
            destination,
            settled_at,
            how,
        })
    }
}

/// The first line of a settled file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledHeader {
    /// Whose versions they are.
    pub source: BucketName,
    /// Towards where they were settled; at most 65,536.
    pub destinations: Vec<Destination>,
}

/// How `format` of a settled file is called.
const FORMAT: &str = "mrap-sentinel/settled";

#[derive(Serialize)]
struct Written<'a> {
    format: &'static str,
    schema: u32,
    source: &'a BucketName,
    destinations: &'a [Destination],
}

#[derive(Deserialize)]
struct Read {
    source: BucketName,
    destinations: Vec<Destination>,
}

impl SettledHeader {
    /// Appends the line.
    ///
    /// # Errors
    /// [`LineError::TooLong`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), LineError> {
        let header = Written {
            format: FORMAT,
            schema: super::SCHEMA,
            source: &self.source,
            destinations: &self.destinations,
        };
        write_line(out, &header)
    }

    /// Reads the line, with or without its line feed.
    ///
    /// # Errors
    /// [`LineError`]: another format or a later schema among them.
    pub fn decode(line: &[u8]) -> Result<Self, LineError> {
        check_header(line, FORMAT)?;
        let Read {
            source,
            destinations,
        } = read_line(line, "the first line of a settled file")?;
        Ok(Self {
            source,
            destinations,
        })
    }
}

/// The format of a settled file, for [`super::Reader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled;

impl Format for Settled {
    type Header = SettledHeader;
    type Record = SettledRow;

    fn header(line: &[u8]) -> Result<SettledHeader, LineError> {
        SettledHeader::decode(line)
    }

    fn record(line: &[u8], header: &SettledHeader) -> Result<SettledRow, LineError> {
        SettledRow::decode(line, header.destinations.len())
    }
}
