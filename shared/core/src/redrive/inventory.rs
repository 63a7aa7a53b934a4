//! What a listing of the ledger shows: names alone tell groups, counts and ages.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::ledger::{GroupId, OpenName};
use crate::names::BucketName;
use crate::readiness::Report;

/// An open file as the listing shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: OpenName,
    /// Bytes.
    pub bytes: u64,
    /// When it was written.
    pub appended: Timestamp,
}

impl Listed {
    /// Whether it was written by then, or holds only what had failed by then: a job that ends
    /// later gives rows back in files of its own.
    #[must_use]
    pub fn is_from_before(&self, at: Timestamp) -> bool {
        self.appended <= at || self.name.newest.timestamp() <= at
    }
}

/// The open files, how large the settled ones are, and the readiness check's report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The open files by group.
    pub open: BTreeMap<GroupId, Vec<Listed>>,
    /// Bytes of each settled file of each source.
    pub settled: BTreeMap<BucketName, Vec<u64>>,
    /// What the readiness check found last, if that can be told.
    pub readiness: Option<Report>,
}

/// What a group's open files come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Files.
    pub files: usize,
    /// Rows, duplicates counted.
    pub rows: u64,
    /// When the first of them failed.
    pub oldest: Timestamp,
    /// When the last of them failed.
    pub newest: Timestamp,
    /// When the first of the files was written.
    pub first_appended: Timestamp,
}

impl Extent {
    /// What these files come to; nothing if there are none.
    #[must_use]
    pub fn of<'a>(files: impl IntoIterator<Item = &'a Listed>) -> Option<Self> {
        files.into_iter().fold(None, |extent, file| {
            let (oldest, newest) = (file.name.oldest.timestamp(), file.name.newest.timestamp());
            Some(match extent {
                None => Self {
                    files: 1,
                    rows: file.name.rows,
                    oldest,
                    newest,
                    first_appended: file.appended,
                },
                Some(known) => Self {
                    files: known.files + 1,
                    rows: known.rows.saturating_add(file.name.rows),
                    oldest: known.oldest.min(oldest),
                    newest: known.newest.max(newest),
                    first_appended: known.first_appended.min(file.appended),
                },
            })
        })
    }
}

impl Inventory {
    /// The open files of a group.
    #[must_use]
    pub fn files(&self, group: GroupId) -> &[Listed] {
        self.open.get(&group).map_or(&[], Vec::as_slice)
    }

    /// What the open files of a group come to.
    #[must_use]
    pub fn extent(&self, group: GroupId) -> Option<Extent> {
        Extent::of(self.files(group))
    }
}
