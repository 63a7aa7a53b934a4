//! Writing the ledger's files.

use std::collections::BTreeMap;

use sentinel_aws::ledger::{FileError, Files, Written};
use sentinel_core::ledger::{
    Destination, Group, HandedOverName, How, Identity, Millis, OpenFile, Row, RowsHeader,
    SettledHeader, SettledName, SettledRow,
};
use sentinel_core::names::BucketName;
use sentinel_core::redrive::job::Job;

use super::error::WorkError;

/// Where the numbers of settled files begin that gathering writes.
pub(super) const GATHERED: u32 = 0;
/// The same of settling.
pub(super) const SETTLED: u32 = 100_000;
/// The same of proving.
pub(super) const PROVED: u32 = 200_000;

/// Writes a file whose name does not follow from its content. A slice that died may have written
/// another content under it, cut at another place; nobody has built on that, so it is replaced.
pub(super) async fn write_exactly(
    files: &Files,
    key: &str,
    body: Vec<u8>,
) -> Result<(), WorkError> {
    // Asked for before the body is given away: the usual case is that there is none.
    if files.append(key, body.clone()).await? == Written::New {
        return Ok(());
    }
    let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let is_same = match files.read(key, 0..length + 1).await {
        Ok(there) => there.bytes == body,
        Err(FileError::Missing { .. } | FileError::PastTheEnd { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    if !is_same {
        files.delete(&[key.to_owned()]).await?;
        files.append(key, body).await?;
    }
    Ok(())
}

/// Rows of several groups for one of a job's own files, in the order in which they are given.
#[derive(Debug)]
pub(super) struct RowsBody {
    pub(super) bytes: Vec<u8>,
    pub(super) rows: u64,
    header: usize,
}

impl RowsBody {
    pub(super) fn new(groups: &[Group]) -> Result<Self, WorkError> {
        let mut bytes = Vec::new();
        let groups = groups.to_vec();
        RowsHeader { groups }.encode(&mut bytes)?;
        Ok(Self {
            header: bytes.len(),
            bytes,
            rows: 0,
        })
    }

    pub(super) fn push(&mut self, row: &Row) -> Result<(), WorkError> {
        row.encode(&mut self.bytes)?;
        self.rows += 1;
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The file, and an empty one of the same groups in its place.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let header = self.bytes.get(..self.header).unwrap_or_default().to_vec();
        self.rows = 0;
        std::mem::replace(&mut self.bytes, header)
    }
}

/// What a slice found out of rows, to be written together.
#[derive(Debug)]
pub(super) struct Findings {
    source: BucketName,
    destinations: Vec<Destination>,
    /// For each of the job's groups, the place of its destination.
    towards: Vec<u16>,
    settled: Vec<SettledRow>,
    reopened: BTreeMap<Group, Vec<Row>>,
    handed_over: BTreeMap<u16, Vec<Row>>,
}

impl Findings {
    /// Findings about rows of these groups.
    pub(super) fn new(source: &BucketName, groups: &[Group]) -> Self {
        let mut destinations: Vec<Destination> = Vec::new();
        let mut towards = Vec::new();
        for group in groups {
            let known = destinations.iter().position(|to| *to == group.destination);
            let place = known.unwrap_or_else(|| {
                destinations.push(group.destination.clone());
                destinations.len() - 1
            });
            towards.push(u16::try_from(place).unwrap_or(u16::MAX));
        }
        Self {
            source: source.clone(),
            destinations,
            towards,
            settled: Vec::new(),
            reopened: BTreeMap::new(),
            handed_over: BTreeMap::new(),
        }
    }

    /// A row is settled. Rows have to come in the order of their identities.
    pub(super) fn settle(&mut self, identity: Identity, group: u16, at: Millis, how: How) {
        let destination = self.towards.get(usize::from(group)).copied().unwrap_or(0);
        self.settled.push(SettledRow {
            identity,
            destination,
            settled_at: at,
            how,
        });
    }

    /// A row is open again, in this group.
    pub(super) fn reopen(&mut self, group: &Group, row: Row) {
        match self.reopened.get_mut(group) {
            Some(rows) => rows.push(row),
            None => {
                self.reopened.insert(group.clone(), vec![row]);
            }
        }
    }

    /// A row is given to a person.
    pub(super) fn hand_over(&mut self, row: Row) {
        self.handed_over.entry(row.group).or_default().push(row);
    }

    /// How many entries and rows are held.
    pub(super) fn len(&self) -> usize {
        let reopened: usize = self.reopened.values().map(Vec::len).sum();
        let handed_over: usize = self.handed_over.values().map(Vec::len).sum();
        self.settled.len() + reopened + handed_over
    }

    /// Writes everything. First what is open again or handed over, then what is settled: a row
    /// that is settled before its copy is written would be lost by a crash between.
    pub(super) async fn write(
        &mut self,
        files: &Files,
        job: &Job,
        part: u32,
    ) -> Result<(), WorkError> {
        for (group, rows) in std::mem::take(&mut self.reopened) {
            if let Some(file) = OpenFile::new(&group, rows)? {
                files.append(&file.name.key(), file.body).await?;
            }
        }
        for (place, rows) in std::mem::take(&mut self.handed_over) {
            let Some(group) = job.groups.get(usize::from(place)) else {
                continue;
            };
            // The format of open files, under a name of its own. Never replaced: a slice that
            // died may have settled what only its own, longer file holds.
            if let Some(file) = OpenFile::new(group, rows)? {
                let name = HandedOverName {
                    group: group.id(),
                    job: job.name.to_string(),
                    part,
                    rows: file.name.rows,
                    hash: file.name.hash,
                };
                files.append(&name.key(), file.body).await?;
            }
        }
        let mut settled = std::mem::take(&mut self.settled);
        settled.sort_unstable();
        settled.dedup();
        if let Some(until) = settled.iter().map(|entry| entry.settled_at).max() {
            let header = SettledHeader {
                source: self.source.clone(),
                destinations: self.destinations.clone(),
            };
            let mut body = Vec::with_capacity(settled.len() * 80);
            header.encode(&mut body)?;
            for entry in &settled {
                entry.encode(&mut body)?;
            }
            let name = SettledName {
                source: self.source.clone(),
                until,
                rows: u64::try_from(settled.len()).unwrap_or(u64::MAX),
                job: job.name.to_string(),
                part,
            };
            write_exactly(files, &name.key(), body).await?;
        }
        Ok(())
    }
}
