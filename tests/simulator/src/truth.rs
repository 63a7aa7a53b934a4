//! What really happened, for invariants: never what a client believes.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::SimTime;

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
        reason: String,
    },
}

/// One version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    /// Version id; `null` in buckets without versioning. A replica has its source's.
    pub version_id: String,
    /// `ETag` with its quotes; empty for a delete marker.
    pub etag: String,
    /// Content.
    pub body: Bytes,
    /// User metadata without the `x-amz-meta-` prefix.
    pub metadata: BTreeMap<String, String>,
    /// Content type.
    pub content_type: String,
    /// When it was written; a replica has its source's time.
    pub last_modified: SimTime,
    /// When it became readable in this bucket.
    pub visible_since: SimTime,
    /// Whether it is a delete marker.
    pub delete_marker: bool,
    /// Whether replication made it.
    pub is_replica: bool,
    /// Per destination bucket.
    pub transfers: BTreeMap<String, Transfer>,
    /// Order of writing in the whole world: decides between versions of the same millisecond.
    pub(crate) ordinal: u64,
    /// Checksum header and value that came with the content.
    pub(crate) checksum: Option<(String, String)>,
}

impl ObjectVersion {
    /// The state that `x-amz-replication-status` shows; `None` where no rule applies.
    #[must_use]
    pub fn replication(&self) -> Option<ReplicationState> {
        if self.is_replica {
            return Some(ReplicationState::Replica);
        }
        if self.transfers.is_empty() {
            return None;
        }
        let any = |wanted: fn(&Transfer) -> bool| self.transfers.values().any(wanted);
        Some(if any(|t| matches!(t, Transfer::Failed { .. })) {
            ReplicationState::Failed
        } else if any(|t| matches!(t, Transfer::Pending)) {
            ReplicationState::Pending
        } else {
            ReplicationState::Completed
        })
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
