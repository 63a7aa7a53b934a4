//! What really happened, for invariants: never what a client believes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Index;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::SimTime;
use crate::config::Encryption;

/// Replication state of an object version, as `x-amz-replication-status` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReplicationState {
    /// On its way to at least one destination.
    Pending,
    /// At every destination.
    Completed,
    /// Given up for at least one destination.
    Failed,
    /// A copy made by replication.
    Replica,
}

impl ReplicationState {
    /// As AWS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Replica => "REPLICA",
        }
    }
}

/// Replication of a version to one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transfer {
    /// Not there yet.
    Pending,
    /// Readable there since that moment.
    Completed {
        /// When.
        at: SimTime,
    },
    /// Given up, with S3's reason.
    Failed {
        /// When.
        at: SimTime,
        /// Such as `DstBucketUnversioned`.
        reason: Reason,
    },
}

/// S3's reason for a failure of replication, such as `DstBucketUnversioned`. The documented ones
/// are constants, so that a million failures cost no memory of their own.
pub type Reason = Cow<'static, str>;

/// Replication of a version to each of its destination buckets. There are few, so a sorted list
/// is both smaller and faster than a map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfers(Vec<(Arc<str>, Transfer)>);

impl Transfers {
    /// The transfer to a bucket.
    #[must_use]
    pub fn get(&self, destination: &str) -> Option<&Transfer> {
        let place = self.place(destination).ok()?;
        Some(&self.0[place].1)
    }

    /// Every destination with its transfer, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Transfer)> {
        self.0
            .iter()
            .map(|(bucket, transfer)| (&**bucket, transfer))
    }

    /// Whether no rule applied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A map by destination.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<String, Transfer> {
        let pairs = self.iter();
        pairs
            .map(|(bucket, transfer)| (bucket.to_owned(), transfer.clone()))
            .collect()
    }

    pub(crate) fn set(&mut self, destination: &Arc<str>, transfer: Transfer) {
        match self.place(destination) {
            Ok(place) => self.0[place].1 = transfer,
            Err(place) => {
                self.0.reserve_exact(1);
                self.0.insert(place, (Arc::clone(destination), transfer));
            }
        }
    }

    fn place(&self, destination: &str) -> Result<usize, usize> {
        self.0
            .binary_search_by(|(bucket, _)| (**bucket).cmp(destination))
    }
}

impl Index<&str> for Transfers {
    type Output = Transfer;

    fn index(&self, destination: &str) -> &Transfer {
        self.get(destination).expect("a destination of the version")
    }
}

/// One version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    /// Version id; `null` in buckets without versioning. A replica has its source's.
    pub version_id: Arc<str>,
    /// `ETag` with its quotes; empty for a delete marker.
    pub etag: Arc<str>,
    /// Content.
    pub body: Bytes,
    /// What else it was written with; a replica shares it with its source.
    pub properties: Arc<Properties>,
    /// When it was written; a replica has its source's time.
    pub last_modified: SimTime,
    /// When it became readable in this bucket.
    pub visible_since: SimTime,
    /// Whether it is a delete marker.
    pub delete_marker: bool,
    /// Whether replication made it.
    pub is_replica: bool,
    /// Per destination bucket.
    pub transfers: Transfers,
    /// Order of writing in the whole world: decides between versions of the same millisecond.
    pub(crate) ordinal: u64,
}

/// What an object was written with besides its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// User metadata without the `x-amz-meta-` prefix.
    pub metadata: BTreeMap<String, String>,
    /// Content type.
    pub content_type: String,
    /// How it is encrypted at rest.
    pub encryption: Encryption,
    /// Checksum header and value that came with the content.
    pub(crate) checksum: Option<(String, String)>,
}

impl ObjectVersion {
    /// The state that `x-amz-replication-status` shows, over all destinations; `None` where no
    /// rule applies. A replica that a job sends on is one again once it arrived.
    #[must_use]
    pub fn replication(&self) -> Option<ReplicationState> {
        let any = |wanted: fn(&Transfer) -> bool| self.transfers.iter().any(|(_, t)| wanted(t));
        if any(|t| matches!(t, Transfer::Failed { .. })) {
            Some(ReplicationState::Failed)
        } else if any(|t| matches!(t, Transfer::Pending)) {
            Some(ReplicationState::Pending)
        } else if self.is_replica {
            Some(ReplicationState::Replica)
        } else if self.transfers.is_empty() {
            None
        } else {
            Some(ReplicationState::Completed)
        }
    }
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteKind {
    /// An object version was written.
    Put,
    /// A delete marker was written.
    DeleteMarker,
    /// A version was deleted for good.
    DeleteVersion,
}

/// A write that the service applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// When it was applied.
    pub at: SimTime,
    /// When its success reached the client; `None` if it never did.
    pub acknowledged_at: Option<SimTime>,
    /// Label of the client.
    pub client: String,
    /// Log position of the request.
    pub seq: u64,
    /// Bucket that took it.
    pub bucket: String,
    /// Key.
    pub key: String,
    /// Version.
    pub version_id: String,
    /// `ETag`; empty for deletes.
    pub etag: String,
    /// What it did.
    pub kind: WriteKind,
    /// Whether it came through an MRAP.
    pub through_mrap: bool,
}

/// One line of an MRAP's routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Bucket.
    pub bucket: String,
    /// Its Region.
    pub region: String,
    /// 100 active, 0 passive.
    pub dial: u8,
}

/// Who changed routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// The configuration of the world.
    Start,
    /// A request of a client.
    Client {
        /// Its label.
        label: String,
        /// Log position of the request.
        seq: u64,
    },
    /// The harness, in the role of a person at the console.
    Person,
}

/// A change of an MRAP's routes, also one that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteChange {
    /// When it was accepted. From then on the routes API shows it.
    pub at: SimTime,
    /// Who made it.
    pub by: Actor,
    /// The routes before.
    pub before: Vec<Route>,
    /// The routes after.
    pub after: Vec<Route>,
    /// From when new connections follow it, per client location.
    pub effective: BTreeMap<String, SimTime>,
}

/// State of a Batch Operations job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are AWS's")]
pub enum JobState {
    New,
    Preparing,
    Suspended,
    Ready,
    Active,
    Pausing,
    Paused,
    Completing,
    Complete,
    Cancelling,
    Cancelled,
    Failing,
    Failed,
}

impl JobState {
    const ALL: [(Self, &'static str); 13] = [
        (Self::New, "New"),
        (Self::Preparing, "Preparing"),
        (Self::Suspended, "Suspended"),
        (Self::Ready, "Ready"),
        (Self::Active, "Active"),
        (Self::Pausing, "Pausing"),
        (Self::Paused, "Paused"),
        (Self::Completing, "Completing"),
        (Self::Complete, "Complete"),
        (Self::Cancelling, "Cancelling"),
        (Self::Cancelled, "Cancelled"),
        (Self::Failing, "Failing"),
        (Self::Failed, "Failed"),
    ];

    /// As AWS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(state, _)| *state == self)
            .map_or("", |(_, name)| name)
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(_, known)| *known == name)
            .map(|(state, _)| *state)
    }

    /// Whether nothing more happens to the job.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Cancelled | Self::Failed)
    }

    pub(crate) fn can_be_cancelled(self) -> bool {
        !self.is_terminal() && !matches!(self, Self::Completing | Self::Cancelling | Self::Failing)
    }
}

/// A Batch Operations job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// Its Region.
    pub region: String,
    /// `ClientRequestToken`.
    pub token: String,
    /// Description.
    pub description: Option<String>,
    /// Tags, in the order of the request.
    pub tags: Vec<(String, String)>,
    /// Priority.
    pub priority: u32,
    /// State.
    pub state: JobState,
    /// The bucket that its manifest names, once that is known.
    pub bucket: Option<String>,
    /// Whether S3 generated the manifest.
    pub is_generated: bool,
    /// When it was created.
    pub created: SimTime,
    /// When it ended.
    pub terminated: Option<SimTime>,
    /// Rows of its manifest, once that is read.
    pub total: Option<u64>,
    /// Tasks that succeeded in initiating replication.
    pub succeeded: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// Codes and texts of why it failed.
    pub failures: Vec<(String, String)>,
}

/// A transfer that S3 gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationFailure {
    /// When.
    pub at: SimTime,
    /// Bucket that holds the version.
    pub source: Arc<str>,
    /// Bucket that should have got it.
    pub destination: Arc<str>,
    /// Key.
    pub key: Arc<str>,
    /// Version.
    pub version_id: Arc<str>,
    /// Why.
    pub reason: Reason,
    /// Whether a job had asked for it.
    pub by_job: bool,
}

/// A task of a job: one row of its manifest that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// When.
    pub at: SimTime,
    /// Key.
    pub key: Arc<str>,
    /// Version.
    pub version_id: Arc<str>,
    /// Why it failed; `None` if it succeeded in initiating replication.
    pub failure: Option<Reason>,
}

/// A version that jobs ran more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepeatedTask {
    /// Bucket.
    pub bucket: String,
    /// Key.
    pub key: String,
    /// Version.
    pub version_id: String,
    /// Ids of the jobs that ran it, in order of creation; one that ran it twice is there twice.
    pub jobs: Vec<String>,
    /// Whether two of those jobs were open at the same time, or are the same.
    pub overlapping: bool,
}

/// A message published to SNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// When.
    pub at: SimTime,
    /// Label of the client.
    pub client: String,
    /// Log position of the request.
    pub seq: u64,
    /// Topic.
    pub topic_arn: String,
    /// Message id.
    pub message_id: String,
    /// Subject.
    pub subject: Option<String>,
    /// Message; with `MessageStructure: json` the whole JSON text.
    pub message: String,
    /// Whether the message is JSON with one text per protocol.
    pub json_structure: bool,
    /// String attributes.
    pub attributes: BTreeMap<String, String>,
}

/// A span in which a Region was down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownInterval {
    /// The Region.
    pub region: String,
    /// First moment.
    pub from: SimTime,
    /// First moment up again; `None` while it is not known.
    pub until: Option<SimTime>,
}
