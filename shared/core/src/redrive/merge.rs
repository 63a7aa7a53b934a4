//! Merging sorted files in bounded memory.
//!
//! Everything the ledger has to answer is one pass over files that are sorted by [`Identity`]:
//! which rows are open and not settled, what a report says of them, what one compacted file holds.
//! Nothing here reads a file. Whoever does feeds pieces as they are asked for, and may stop and go
//! on later from the offsets that were given: the output is the same wherever it was cut.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::ledger::{
    Destination, Format, Group, Identity, LedgerError, Millis, Reader, Row, Rows, RowsHeader,
    Settled, SettledHeader, SettledRow, sort_rows,
};

/// A format whose records are sorted by identity.
pub trait ByIdentity: Format<Header: std::fmt::Debug + Clone, Record: std::fmt::Debug> {
    /// The record's identity.
    fn identity(record: &Self::Record) -> Identity;
}

impl ByIdentity for Rows {
    fn identity(record: &Row) -> Identity {
        record.identity()
    }
}

impl ByIdentity for Settled {
    fn identity(record: &SettledRow) -> Identity {
        record.identity
    }
}

/// Why merging cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// A file cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A file is not sorted: merging it would lose rows.
    #[error("{file}: its lines are not in the order of their identities near byte {offset}")]
    Unsorted {
        /// The file's key.
        file: String,
        /// Where.
        offset: u64,
    },
    /// A file holds rows of a group that is none of the job's.
    #[error("{file}: it holds rows of a group that does not belong to the job")]
    Foreign {
        /// The file's key.
        file: String,
    },
}

/// What is next in a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// A record of this identity.
    Ready(Identity),
    /// Some files have to be fed first: [`Merge::starving`].
    Starved,
    /// Nothing: all files were read to their end.
    End,
}

/// Several sorted files as one sorted stream.
#[derive(Debug)]
pub struct Merge<F: ByIdentity> {
    inputs: Vec<Input<F>>,
    heads: BinaryHeap<Reverse<Head<F::Record>>>,
    /// Inputs that are not at their end and have no record among the heads.
    headless: Vec<usize>,
}

#[derive(Debug)]
struct Input<F: ByIdentity> {
    file: String,
    /// None once the file was read to its end.
    reader: Option<Reader<F>>,
    /// The first line, from the first record on.
    header: Option<F::Header>,
    /// Nothing more comes.
    is_whole: bool,
    last: Option<Identity>,
    /// Where the first record begins that was not taken.
    offset: u64,
}

#[derive(Debug)]
struct Head<R> {
    identity: Identity,
    input: usize,
    record: R,
}

impl<R> Head<R> {
    fn rank(&self) -> (Identity, usize) {
        (self.identity, self.input)
    }
}

impl<R> PartialEq for Head<R> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl<R> Eq for Head<R> {}

impl<R> PartialOrd for Head<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<R> Ord for Head<R> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<F: ByIdentity> Default for Merge<F> {
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            heads: BinaryHeap::new(),
            headless: Vec::new(),
        }
    }
}

impl<F: ByIdentity> Merge<F> {
    /// Adds a file and gives its place.
    pub fn add(&mut self, file: &str, reader: Reader<F>) -> usize {
        let place = self.inputs.len();
        self.inputs.push(Input {
            file: file.to_owned(),
            offset: reader.offset(),
            reader: Some(reader),
            header: None,
            is_whole: false,
            last: None,
        });
        self.headless.push(place);
        place
    }

    /// Number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// There are no files.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// The files that have to be fed before the merge can go on.
    pub fn starving(&self) -> impl Iterator<Item = usize> + '_ {
        let open = |place: &usize| self.inputs.get(*place).is_some_and(|input| !input.is_whole);
        self.headless.iter().copied().filter(open)
    }

    /// Takes the next bytes of a file.
    pub fn feed(&mut self, place: usize, piece: &[u8]) {
        let input = self.inputs.get_mut(place);
        if let Some(reader) = input.and_then(|input| input.reader.as_mut()) {
            reader.feed(piece);
        }
    }

    /// Everything of this file was fed.
    pub fn end(&mut self, place: usize) {
        if let Some(input) = self.inputs.get_mut(place) {
            input.is_whole = true;
        }
    }

    /// This file is not there: it has no records, or none any more.
    pub fn forget(&mut self, place: usize) {
        if let Some(input) = self.inputs.get_mut(place) {
            input.is_whole = true;
            input.reader = None;
        }
    }

    /// What is next.
    ///
    /// # Errors
    /// [`MergeError`].
    pub fn peek(&mut self) -> Result<Peek, MergeError> {
        let mut starved = false;
        let mut place = 0;
        while let Some(input) = self.headless.get(place).copied() {
            match self.advance(input)? {
                Advance::Head | Advance::Ended => {
                    self.headless.swap_remove(place);
                }
                Advance::Starved => {
                    starved = true;
                    place += 1;
                }
            }
        }
        if starved {
            return Ok(Peek::Starved);
        }
        Ok(match self.heads.peek() {
            Some(Reverse(head)) => Peek::Ready(head.identity),
            None => Peek::End,
        })
    }

    /// Takes the record that [`Merge::peek`] said is ready, with the place of its file.
    pub fn pop(&mut self) -> Option<(usize, F::Record)> {
        let Reverse(head) = self.heads.pop()?;
        if let Some(input) = self.inputs.get_mut(head.input) {
            input.offset = input.reader.as_ref().map_or(input.offset, Reader::offset);
            self.headless.push(head.input);
        }
        Some((head.input, head.record))
    }

    /// What the first line of a file says: known from its first record on.
    #[must_use]
    pub fn header(&self, place: usize) -> Option<&F::Header> {
        self.inputs.get(place)?.header.as_ref()
    }

    /// Name of a file.
    #[must_use]
    pub fn file(&self, place: usize) -> &str {
        self.inputs
            .get(place)
            .map_or("", |input| input.file.as_str())
    }

    /// For each file, where the first record begins that was not taken.
    #[must_use]
    pub fn offsets(&self) -> Vec<u64> {
        self.inputs.iter().map(|input| input.offset).collect()
    }

    fn advance(&mut self, place: usize) -> Result<Advance, MergeError> {
        let Some(input) = self.inputs.get_mut(place) else {
            return Ok(Advance::Ended);
        };
        let Some(reader) = &mut input.reader else {
            return Ok(Advance::Ended);
        };
        if let Some(record) = reader.next_record()? {
            let identity = F::identity(&record);
            if input.last.is_some_and(|last| identity < last) {
                return Err(MergeError::Unsorted {
                    file: input.file.clone(),
                    offset: input.offset,
                });
            }
            input.last = Some(identity);
            if input.header.is_none() {
                input.header = reader.header().cloned();
            }
            self.heads.push(Reverse(Head {
                identity,
                input: place,
                record,
            }));
            return Ok(Advance::Head);
        }
        if !input.is_whole {
            return Ok(Advance::Starved);
        }
        input.offset = reader.offset();
        if let Some(reader) = input.reader.take() {
            reader.finish()?;
        }
        Ok(Advance::Ended)
    }
}

enum Advance {
    Head,
    Starved,
    Ended,
}

/// A record with the place of its file.
pub type Found<F> = (usize, <F as Format>::Record);

/// Finds the records of one identity after another in a merge, identities ascending.
#[derive(Debug)]
pub struct Lookup<F: ByIdentity> {
    /// What is looked in.
    pub merge: Merge<F>,
    wanted: Option<Identity>,
    found: Vec<Found<F>>,
    passed: u64,
}

impl<F: ByIdentity> Lookup<F> {
    /// Looks in these files.
    #[must_use]
    pub fn new(merge: Merge<F>) -> Self {
        Self {
            merge,
            wanted: None,
            found: Vec::new(),
            passed: 0,
        }
    }

    /// The records of this identity with the places of their files; nothing if files have to be
    /// fed first. Asking again for the same identity gives the same.
    ///
    /// # Errors
    /// [`MergeError`].
    pub fn find(&mut self, identity: Identity) -> Result<Option<&[Found<F>]>, MergeError> {
        if self.wanted != Some(identity) {
            self.wanted = Some(identity);
            self.found.clear();
        }
        loop {
            match self.merge.peek()? {
                Peek::Starved => return Ok(None),
                Peek::Ready(next) if next <= identity => {
                    let Some(record) = self.merge.pop() else {
                        break;
                    };
                    if next == identity {
                        self.found.push(record);
                    } else {
                        self.passed += 1;
                    }
                }
                Peek::Ready(_) | Peek::End => break,
            }
        }
        Ok(Some(&self.found))
    }

    /// Records of identities that nobody asked for.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed
    }
}

/// Rows that were left out of a merge, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// They were settled not before they failed.
    pub settled: u64,
    /// They stood more than once.
    pub duplicates: u64,
}

/// What [`OpenRows::next_version`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// All open rows of one identity: at least one, sorted by key, version and group, each of them once.
    Version(Identity, Vec<Row>),
    /// All rows of a version were left out. Told, so that whoever has little time can stop here
    /// however many of them follow each other.
    Settled,
    /// Some files have to be fed first.
    Starved,
    /// There are no more.
    End,
}

/// Open rows of some groups without what is settled, each version once for each group.
///
/// Every row is held against what is settled before duplicates are folded: an old duplicate that
/// is done with must not take a new failure along. Of duplicates remain the earliest time, the
/// most attempts and whatever size is known.
#[derive(Debug)]
pub struct OpenRows {
    /// The open files.
    pub rows: Merge<Rows>,
    /// The settled files.
    pub settled: Lookup<Settled>,
    groups: Vec<Group>,
    /// For each of `groups` the place of its destination in `destinations`.
    towards: Vec<u16>,
    destinations: Vec<Destination>,
    /// For each open file, where its groups are in `groups`.
    known_groups: Vec<Option<Vec<u16>>>,
    /// For each settled file, what its destinations are.
    known_targets: Vec<Option<Vec<Target>>>,
    current: Option<Current>,
    dropped: Dropped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Whichever rules match.
    Any,
    /// One of the groups' destinations.
    One(u16),
    /// None of them.
    Other,
}

#[derive(Debug)]
struct Current {
    identity: Identity,
    /// When it was last settled, by destination; none while that is not known.
    settled: Option<Vec<(Target, Millis)>>,
    rows: Vec<Row>,
}

impl OpenRows {
    /// The rows of these groups in these open files, without those that are settled.
    #[must_use]
    pub fn new(groups: &[Group], rows: Merge<Rows>, settled: Merge<Settled>) -> Self {
        let mut destinations: Vec<Destination> = Vec::new();
        let mut towards = Vec::with_capacity(groups.len());
        for group in groups {
            let known = destinations
                .iter()
                .position(|known| *known == group.destination);
            let place = known.unwrap_or_else(|| {
                destinations.push(group.destination.clone());
                destinations.len() - 1
            });
            towards.push(narrow(place));
        }
        Self {
            known_groups: vec![None; rows.len()],
            known_targets: vec![None; settled.len()],
            rows,
            settled: Lookup::new(settled),
            groups: groups.to_vec(),
            towards,
            destinations,
            current: None,
            dropped: Dropped::default(),
        }
    }

    /// The next version.
    ///
    /// # Errors
    /// [`MergeError`].
    pub fn next_version(&mut self) -> Result<Next, MergeError> {
        if self.current.is_none() {
            let identity = match self.rows.peek()? {
                Peek::Ready(identity) => identity,
                Peek::Starved => return Ok(Next::Starved),
                Peek::End => return Ok(Next::End),
            };
            self.current = Some(Current {
                identity,
                settled: None,
                rows: Vec::new(),
            });
        }
        if !self.collect()? {
            return Ok(Next::Starved);
        }
        let Some(mut done) = self.current.take().filter(|done| !done.rows.is_empty()) else {
            return Ok(Next::Settled);
        };
        let order = |row: &Row| (row.key.clone(), row.version.clone(), row.group);
        if done.rows.len() > 1 {
            done.rows.sort_by_cached_key(order);
        }
        Ok(Next::Version(done.identity, done.rows))
    }

    /// Where to go on, for the open and for the settled files. Nothing in the midst of a version,
    /// that is after [`Next::Starved`].
    #[must_use]
    pub fn offsets(&self) -> Option<(Vec<u64>, Vec<u64>)> {
        match self.current {
            None => Some((self.rows.offsets(), self.settled.merge.offsets())),
            Some(_) => None,
        }
    }

    /// What was left out so far.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Collects the current version; false if files have to be fed first.
    fn collect(&mut self) -> Result<bool, MergeError> {
        let Some(mut current) = self.current.take() else {
            return Ok(true);
        };
        let whole = self.collect_into(&mut current);
        self.current = Some(current);
        whole
    }

    fn collect_into(&mut self, current: &mut Current) -> Result<bool, MergeError> {
        if current.settled.is_none() {
            if self.settled.find(current.identity)?.is_none() {
                return Ok(false);
            }
            current.settled = Some(self.settled_targets()?);
        }
        let settled = current.settled.as_deref().unwrap_or_default();
        loop {
            match self.rows.peek()? {
                Peek::Starved => return Ok(false),
                Peek::Ready(next) if next == current.identity => {}
                Peek::Ready(_) | Peek::End => return Ok(true),
            }
            let Some((place, mut row)) = self.rows.pop() else {
                return Ok(true);
            };
            row.group = self.group_of(place, row.group)?;
            let target = self.towards.get(usize::from(row.group)).copied();
            let is_done = settled.iter().any(|(to, at)| {
                *at >= row.failed_at
                    && (*to == Target::Any || target.is_some_and(|own| *to == Target::One(own)))
            });
            if is_done {
                self.dropped.settled += 1;
            } else if !fold(&mut current.rows, row) {
                self.dropped.duplicates += 1;
            }
        }
    }

    /// When the identity that was just found was settled, by destination.
    fn settled_targets(&mut self) -> Result<Vec<(Target, Millis)>, MergeError> {
        let mut targets = Vec::new();
        for (place, entry) in &self.settled.found {
            let Some(known) = self.known_targets.get_mut(*place) else {
                continue;
            };
            let known = match known {
                Some(known) => known,
                unknown => {
                    let header = self.settled.merge.header(*place);
                    let of = |header: &SettledHeader| targets_of(header, &self.destinations);
                    unknown.insert(header.map(of).unwrap_or_default())
                }
            };
            let target = known.get(usize::from(entry.destination));
            match target {
                Some(Target::Other) => {}
                Some(target) => targets.push((*target, entry.settled_at)),
                None => {
                    return Err(MergeError::Foreign {
                        file: self.settled.merge.file(*place).to_owned(),
                    });
                }
            }
        }
        Ok(targets)
    }

    /// The place among all groups of a file's group.
    fn group_of(&mut self, place: usize, group: u16) -> Result<u16, MergeError> {
        let foreign = || MergeError::Foreign {
            file: self.rows.file(place).to_owned(),
        };
        let known = self.known_groups.get_mut(place).ok_or_else(foreign)?;
        if known.is_none() {
            let header = self.rows.header(place).ok_or_else(foreign)?;
            *known = Some(places_of(header, &self.groups).ok_or_else(foreign)?);
        }
        let places = known.as_ref().ok_or_else(foreign)?;
        places.get(usize::from(group)).copied().ok_or_else(foreign)
    }
}

/// Adds a row to those of its version; false if it stands there already and was folded in.
fn fold(rows: &mut Vec<Row>, row: Row) -> bool {
    let same = |known: &&mut Row| {
        known.group == row.group && known.key == row.key && known.version == row.version
    };
    if let Some(known) = rows.iter_mut().find(same) {
        known.failed_at = known.failed_at.min(row.failed_at);
        known.attempts = known.attempts.max(row.attempts);
        known.size = known.size.max(row.size);
        return false;
    }
    rows.push(row);
    true
}

fn places_of(header: &RowsHeader, groups: &[Group]) -> Option<Vec<u16>> {
    let place = |group| groups.iter().position(|known| known == group).map(narrow);
    header.groups.iter().map(place).collect()
}

fn targets_of(header: &SettledHeader, destinations: &[Destination]) -> Vec<Target> {
    let target = |destination: &Destination| match destination {
        Destination::Any => Target::Any,
        one @ Destination::Bucket(_) => destinations
            .iter()
            .position(|known| known == one)
            .map_or(Target::Other, |place| Target::One(narrow(place))),
    };
    header.destinations.iter().map(target).collect()
}

/// Places fit: a file's first line has at most 65,536 groups.
fn narrow(place: usize) -> u16 {
    u16::try_from(place).unwrap_or(u16::MAX)
}

/// What a compacted file holds of one identity: rows that say the same of the same failure once,
/// with the most attempts. Failures at different times all stay, because only the merge with what
/// is settled can tell which of them are done with.
#[must_use]
pub fn compacted(mut rows: Vec<Row>) -> Vec<Row> {
    sort_rows(&mut rows);
    rows.dedup_by(|later, kept| {
        let same = later.key == kept.key
            && later.version == kept.version
            && later.group == kept.group
            && later.failed_at == kept.failed_at;
        if same {
            kept.attempts = kept.attempts.max(later.attempts);
            kept.size = kept.size.max(later.size);
        }
        same
    });
    rows
}

/// What a compacted settled file holds of one identity: for each destination the latest entry.
#[must_use]
pub fn latest(mut entries: Vec<SettledRow>) -> Vec<SettledRow> {
    entries.sort_by_key(|entry| (entry.identity, entry.destination, Reverse(entry.settled_at)));
    entries.dedup_by_key(|entry| (entry.identity, entry.destination));
    entries
}
