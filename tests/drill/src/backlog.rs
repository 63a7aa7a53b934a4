//! What replication failed to copy in a run, and what became of it: the simulator's truth beside
//! what the ledger says at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use sentinel_core::ledger::{Group, GroupId, How, Identity};
use simulator::SimTime;

use crate::history::Letters;

/// Truth: a version that S3 gave up copying to one destination, at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCopy {
    /// Bucket that holds the version.
    pub source: Arc<str>,
    /// Bucket that should have got it.
    pub destination: Arc<str>,
    /// Key.
    pub key: String,
    /// Version.
    pub version: String,
    /// When S3 first gave it up.
    pub first: SimTime,
    /// When S3 last gave it up.
    pub last: SimTime,
    /// How often it did.
    pub times: u32,
    /// S3's last reason.
    pub reason: Arc<str>,
    /// Whether a client was told that the version is safe.
    pub acknowledged: bool,
    /// Since when the destination holds it, if it does at the end.
    pub arrived: Option<SimTime>,
    /// Whether the source no longer holds it at the end.
    pub gone: bool,
}

/// Truth: a job of S3 Batch Operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// S3's id.
    pub id: String,
    /// Bucket whose versions it replicates.
    pub source: String,
    /// When it was created.
    pub created: SimTime,
    /// When it ended, if it did.
    pub ended: Option<SimTime>,
    /// Its state at the end.
    pub status: String,
    /// Whether S3 generated its manifest.
    pub generated: bool,
    /// Versions that S3 looked at for that.
    pub scanned: u64,
    /// What it invoked: key and version.
    pub tasks: Vec<(String, String)>,
    /// Tasks that succeeded in initiating replication.
    pub succeeded: u64,
}

/// Dollars for a job, for each object that it processes, and for each object of a bucket whose
/// manifest S3 generates. Source: S3's price page for us-east-1.
const PER_JOB: f64 = 0.25;
const PER_OBJECT: f64 = 1.0 / 1e6;
const PER_SCANNED: f64 = 0.015 / 1e6;

impl Job {
    /// What it costs, in dollars.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub fn dollars(&self) -> f64 {
        let scanned = self.scanned as f64 * PER_SCANNED;
        PER_JOB + self.tasks.len() as f64 * PER_OBJECT + scanned
    }
}

/// A row that lies in the ledger at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRow {
    /// Its group.
    pub group: Arc<Group>,
    /// Key.
    pub key: String,
    /// Version.
    pub version: String,
    /// When it failed.
    pub failed_at: SimTime,
    /// Jobs that were created with it.
    pub attempts: u32,
}

/// A group as the function's document had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSeen {
    /// What its failures have in common.
    pub group: Group,
    /// From when it was in which state: `held`, `sampled`, `released`, `final` or `closed`.
    pub phases: Vec<(SimTime, String)>,
}

impl GroupSeen {
    /// What a person calls it.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.group)
    }
}

/// What a person calls a group.
#[must_use]
pub fn label(group: &Group) -> String {
    let Group {
        source,
        destination,
        reason,
        ..
    } = group;
    format!("{source} -> {destination}, {reason}")
}

/// Bounds that the function was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// `REDRIVE_JOBS`.
    pub jobs: usize,
    /// `REDRIVE_ATTEMPTS`.
    pub attempts: usize,
    /// `REDRIVE_DAILY_DOLLARS`.
    pub daily_dollars: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            jobs: 4,
            attempts: 10,
            daily_dollars: 50.0,
        }
    }
}

/// Version, source and destination of what was settled; a sweep's destination is `*`.
pub type SettledKey = (Identity, Arc<str>, Arc<str>);

/// Settled versions: when they last were, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettledVersions(BTreeMap<SettledKey, (SimTime, How)>);

impl SettledVersions {
    /// Takes note of an entry; the latest one counts.
    pub fn insert(&mut self, version: SettledKey, at: SimTime, how: How) {
        let entry = self.0.entry(version).or_insert((at, how));
        *entry = (*entry).max((at, how));
    }

    /// When and how a row was last settled.
    #[must_use]
    pub fn of(&self, row: &OpenRow) -> Option<(SimTime, How)> {
        let group = &row.group;
        self.get(
            group.source.as_str(),
            (&row.key, &row.version),
            group.destination.as_str(),
        )
    }

    /// When and how a version was last settled towards a destination.
    #[must_use]
    pub fn get(
        &self,
        source: &str,
        (key, version): (&str, &str),
        destination: &str,
    ) -> Option<(SimTime, How)> {
        let identity = Identity::of(key, version);
        let source: Arc<str> = source.into();
        let of = |destination: &str| {
            let key = (identity, source.clone(), destination.into());
            self.0.get(&key).copied()
        };
        of(destination).max(of("*"))
    }
}

/// Everything about failed copies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Backlog {
    /// Truth, sorted by source, key, version, destination.
    pub copies: Vec<FailedCopy>,
    /// Truth, by creation.
    pub jobs: Vec<Job>,
    /// Truth: what S3 would still refuse at the end, by source and destination, with its reason.
    pub refusals: BTreeMap<(String, String), String>,
    /// Rows that are not settled.
    pub open: Vec<OpenRow>,
    /// Rows that were given to people.
    pub handed_over: Vec<OpenRow>,
    /// Settled versions.
    pub settled: SettledVersions,
    /// Groups of all versions of the document.
    pub groups: BTreeMap<GroupId, GroupSeen>,
    /// Announcements by event id: when the document had them first, and whether a newer one may
    /// replace them.
    pub recorded: BTreeMap<String, (SimTime, bool)>,
    /// The queue.
    pub letters: Letters,
    /// Bounds.
    pub limits: Limits,
}

/// Ends that a failed copy can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate<'a> {
    /// The destination holds it.
    Arrived,
    /// Nothing is left to copy.
    Gone,
    /// Settled with a final reason.
    Settled(How),
    /// Given to a person or given up by one; with the row, as long as its list is kept.
    Abandoned(Option<&'a OpenRow>),
    /// It waits in this group.
    Open(&'a OpenRow),
    /// The ledger knows nothing of it.
    Unknown,
}

/// The ledger by version, for many questions.
#[derive(Debug)]
pub struct Index<'a> {
    backlog: &'a Backlog,
    open: BTreeMap<(&'a str, &'a str), Vec<&'a OpenRow>>,
    handed_over: BTreeMap<(&'a str, &'a str, &'a str), &'a OpenRow>,
}

impl Backlog {
    /// Makes questions about single versions cheap.
    #[must_use]
    pub fn index(&self) -> Index<'_> {
        let mut open: BTreeMap<_, Vec<&OpenRow>> = BTreeMap::new();
        for row in &self.open {
            let version = (row.key.as_str(), row.version.as_str());
            open.entry(version).or_default().push(row);
        }
        let handed_over = self.handed_over.iter().map(|row| {
            let destination = row.group.destination.as_str();
            ((row.key.as_str(), row.version.as_str(), destination), row)
        });
        Index {
            backlog: self,
            open,
            handed_over: handed_over.collect(),
        }
    }

    /// The failed copies of a version.
    #[must_use]
    pub fn copies_of(&self, source: &str, key: &str, version: &str) -> &[FailedCopy] {
        let place = |copy: &FailedCopy| {
            let of = (&*copy.source, copy.key.as_str(), copy.version.as_str());
            of.cmp(&(source, key, version))
        };
        let from = self.copies.partition_point(|copy| place(copy).is_lt());
        let rest = &self.copies[from..];
        &rest[..rest.partition_point(|copy| place(copy).is_eq())]
    }
}

impl<'a> Index<'a> {
    /// What became of a failed copy.
    #[must_use]
    pub fn fate(&self, copy: &FailedCopy) -> Fate<'a> {
        let settled = self.settled(copy);
        if copy.arrived.is_some() {
            return Fate::Arrived;
        }
        if copy.gone {
            return Fate::Gone;
        }
        let waiting = self.open_row(copy);
        let version = (&*copy.key, &*copy.version, &*copy.destination);
        let handed_over = self.handed_over.get(&version).copied();
        match (settled, waiting) {
            (_, Some(row)) => Fate::Open(row),
            (Some(How::HandedOver | How::Abandoned), None) => Fate::Abandoned(handed_over),
            (_, None) if handed_over.is_some() => Fate::Abandoned(handed_over),
            // What is moving has its row in the files of a job, where nothing looks here.
            (None | Some(How::Moving), None) => Fate::Unknown,
            (Some(how), None) => Fate::Settled(how),
        }
    }

    /// How the ledger settled it.
    #[must_use]
    pub fn settled(&self, copy: &FailedCopy) -> Option<How> {
        let version = (copy.key.as_str(), copy.version.as_str());
        let settled = &self.backlog.settled;
        let (_, how) = settled.get(&copy.source, version, &copy.destination)?;
        Some(how)
    }

    fn open_row(&self, copy: &FailedCopy) -> Option<&'a OpenRow> {
        let rows = self.open.get(&(copy.key.as_str(), copy.version.as_str()))?;
        let mut rows = rows.iter();
        let towards = |row: &&&OpenRow| {
            let group = &row.group;
            let bucket = group.destination.bucket();
            group.source.as_str() == &*copy.source
                && bucket.is_none_or(|bucket| bucket.as_str() == &*copy.destination)
        };
        rows.find(towards).copied()
    }
}
