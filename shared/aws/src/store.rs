//! A compare-and-swap store of JSON documents in one versioned bucket.
//!
//! S3's conditional writes (`If-Match`, `If-None-Match`) are strongly consistent within one
//! bucket, so the bucket must lie in one Region and never be replicated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sentinel_core::evidence::ProbeOutcome;
use sentinel_core::names::BucketName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::edge::Edge;
use crate::failure::Failure;

/// The version of a document: S3's entity tag, quotes included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(String);

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key of the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded<T> {
    /// Nothing, and it never held anything.
    FirstStart,
    /// Nothing now, but there are older versions or a delete marker: the document was deleted.
    Deleted,
    /// A document.
    Found {
        /// The document.
        document: T,
        /// Its version.
        etag: ETag,
    },
}

/// What must be true of the key for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// There is no document.
    Absent,
    /// The document is still this version.
    Version(ETag),
}

/// Why a document could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote first: load again and decide anew.
    #[error("{key} was changed by somebody else")]
    Lost {
        /// The document's key.
        key: String,
    },
    /// The document to be replaced is gone.
    #[error("{key} is gone")]
    Missing {
        /// The document's key.
        key: String,
    },
    /// The document is not what this version of the code writes: cut off, foreign or of a later schema.
    #[error("{key} cannot be understood: {detail}")]
    Torn {
        /// The document's key.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The document could not be turned into JSON; nothing was sent.
    #[error("{key} cannot be written as JSON: {detail}")]
    Unwritable {
        /// The document's key.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
    /// S3 gave no usable answer. After a write: whether it was or will be applied is not known.
    #[error("{key}: the state store cannot be reached")]
    Unreachable {
        /// The document's key.
        key: String,
        /// How the request failed.
        source: Failure,
    },
    /// S3 refused: permissions, KMS, no such bucket. Nothing was written.
    #[error("{key}: the state store refuses")]
    Denied {
        /// The document's key.
        key: String,
        /// Status, code and message.
        source: Failure,
    },
}

/// The documents in one bucket of the control Region.
#[derive(Debug, Clone)]
pub struct Store {
    edge: Arc<Edge>,
    bucket: BucketName,
}

impl Store {
    /// The store in this bucket, which lies in the edge's Region.
    #[must_use]
    pub fn new(edge: Arc<Edge>, bucket: BucketName) -> Self {
        Self { edge, bucket }
    }

    /// Reads a document and tells a first start from a deletion.
    ///
    /// # Errors
    /// `Torn`, `Unreachable` or `Denied`.
    pub async fn load<T: DeserializeOwned>(&self, key: &str) -> Result<Loaded<T>, StoreError> {
        todo!("{key}")
    }

    /// Reads a document whose absence means nothing.
    ///
    /// # Errors
    /// `Torn`, `Unreachable` or `Denied`.
    pub async fn load_optional<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<(T, ETag)>, StoreError> {
        todo!("{key}")
    }

    /// Writes a document if the key is still as expected, and gives its new version.
    ///
    /// `writer` identifies this very write (such as the request id and a counter) and is stored
    /// with it. When the answer to a write that was applied is lost, the SDK's retry meets its
    /// own document; by `writer` it is recognised and the write counts as done.
    ///
    /// # Errors
    /// [`StoreError`]; `Unreachable` leaves open whether the document was or will be written.
    pub async fn save<T: Serialize>(
        &self,
        key: &str,
        document: &T,
        expected: &Expected,
        writer: &str,
    ) -> Result<ETag, StoreError> {
        let _ = serde_json::to_vec(document);
        todo!("{key} {expected:?} {writer}")
    }

    /// Whether S3 of the control Region answers, within `limit`. An answer that the object does
    /// not exist is a success: the service works.
    pub async fn ping(&self, limit: Duration) -> ProbeOutcome {
        todo!("{limit:?} {:?} {}", self.edge, self.bucket)
    }
}
