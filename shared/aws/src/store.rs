//! A compare-and-swap store of JSON documents in one versioned bucket.
//!
//! S3's conditional writes (`If-Match`, `If-None-Match`) are strongly consistent within one
//! bucket, so the bucket must lie in one Region and never be replicated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sentinel_core::evidence::ProbeOutcome;
use sentinel_core::names::{BucketName, Region};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::edge::Edge;
use crate::failure::{Failure, failure_of, words};
use crate::limits::Purpose;

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
        /// Its version, for whoever is told to replace it.
        etag: ETag,
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

/// The documents in one bucket.
#[derive(Debug, Clone)]
pub struct Store {
    edge: Arc<Edge>,
    region: Region,
    bucket: BucketName,
}

impl Store {
    /// The store in this bucket, which lies in the edge's Region.
    #[must_use]
    pub fn new(edge: Arc<Edge>, bucket: BucketName) -> Self {
        let region = edge.region().clone();
        Self::in_region(edge, region, bucket)
    }

    /// The store in this bucket of another Region than the edge's.
    #[must_use]
    pub fn in_region(edge: Arc<Edge>, region: Region, bucket: BucketName) -> Self {
        Self {
            edge,
            region,
            bucket,
        }
    }

    /// Reads a document and tells a first start from a deletion.
    ///
    /// # Errors
    /// `Torn`, `Unreachable` or `Denied`.
    pub async fn load<T: DeserializeOwned>(&self, key: &str) -> Result<Loaded<T>, StoreError> {
        if let Some((document, etag)) = self.load_optional(key).await? {
            return Ok(Loaded::Found { document, etag });
        }
        match self.ever_existed(key).await {
            Ok(false) => Ok(Loaded::FirstStart),
            // Unless somebody wrote the first one between the two looks.
            Ok(true) => Ok(match self.load_optional(key).await? {
                Some((document, etag)) => Loaded::Found { document, etag },
                None => Loaded::Deleted,
            }),
            Err(failure) => Err(failed(key, failure)),
        }
    }

    /// Reads a document whose absence means nothing.
    ///
    /// # Errors
    /// `Torn`, `Unreachable` or `Denied`.
    pub async fn load_optional<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<(T, ETag)>, StoreError> {
        let Some((body, etag)) = self
            .get(key)
            .await
            .map_err(|failure| failed(key, failure))?
        else {
            return Ok(None);
        };
        match serde_json::from_slice(&body) {
            Ok(document) => Ok(Some((document, etag))),
            Err(error) => Err(StoreError::Torn {
                key: key.to_owned(),
                detail: detail_of(&error, &body),
                etag,
            }),
        }
    }

    /// Writes a document if the key is still as expected, and gives its new version.
    ///
    /// `writer` identifies this very write (such as the request id and a counter) and is stored
    /// with it. When the answer to a write that was applied is lost, the SDK's retry meets its
    /// own document; by `writer` it is recognised and the write counts as done. If somebody has
    /// built on it by then it is reported as `Lost`; the document then shows that it was applied.
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
        let body = serde_json::to_vec(document).map_err(|error| StoreError::Unwritable {
            key: key.to_owned(),
            detail: error.to_string(),
        })?;
        let request = self
            .client()
            .put_object()
            .bucket(self.bucket.as_str())
            .key(key)
            .content_type("application/json")
            .metadata(WRITER, writer)
            .body(body.into());
        let request = match expected {
            Expected::Absent => request.if_none_match("*"),
            Expected::Version(etag) => request.if_match(&etag.0),
        };
        let failure = match Box::pin(request.send()).await {
            Ok(answer) => match answer.e_tag {
                Some(etag) => return Ok(ETag(etag)),
                None => no_etag(),
            },
            Err(error) => failure_of(&error),
        };
        let conflict = matches!(failure.status(), Some(409 | 412));
        if !conflict && !failure.is_ambiguous() {
            return Err(match (failure.status(), expected) {
                (Some(404), Expected::Version(_)) if failure.code() != Some("NoSuchBucket") => {
                    StoreError::Missing {
                        key: key.to_owned(),
                    }
                }
                _ => failed(key, failure),
            });
        }
        match self.own_write(key, writer).await {
            Ok(Some(etag)) => Ok(etag),
            Ok(None) if conflict => Err(StoreError::Lost {
                key: key.to_owned(),
            }),
            Ok(None) => Err(failed(key, failure)),
            // Whose write it was cannot be told.
            Err(source) => Err(StoreError::Unreachable {
                key: key.to_owned(),
                source,
            }),
        }
    }

    /// Whether S3 of the store's Region answers, within `limit`. An answer that the object does
    /// not exist is a success: the service works.
    ///
    /// `limit` should be a setting: a client is kept for every value of it.
    pub async fn ping(&self, limit: Duration) -> ProbeOutcome {
        let request = self
            .edge
            .s3(&self.region, Purpose::Probe(limit))
            .get_object()
            .bucket(self.bucket.as_str())
            .key("ping");
        match self.edge.within(limit, request.send()).await {
            None => ProbeOutcome::Deadline,
            Some(Ok(_)) => ProbeOutcome::Success,
            Some(Err(error)) => match failure_of(&error) {
                failure if is_absent(&failure) => ProbeOutcome::Success,
                failure => failure.into(),
            },
        }
    }

    fn client(&self) -> aws_sdk_s3::Client {
        self.edge.s3(&self.region, Purpose::Store)
    }

    /// The current version, or nothing. A body that breaks off is asked for once more: the SDK's
    /// retries end with the headers.
    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, ETag)>, Failure> {
        let work = async {
            let first = self.get_once(key).await?;
            let body = match first {
                Body::Broken(_) => self.get_once(key).await?,
                whole @ Body::Whole(_) => whole,
            };
            match body {
                Body::Whole(found) => Ok(found),
                Body::Broken(failure) => Err(failure),
            }
        };
        let limit = Purpose::Store.limits().operation;
        let done = self.edge.within(limit, work).await;
        done.unwrap_or(Err(Failure::Deadline))
    }

    async fn get_once(&self, key: &str) -> Result<Body, Failure> {
        let request = self
            .client()
            .get_object()
            .bucket(self.bucket.as_str())
            .key(key);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let failure = failure_of(&error);
                return if is_absent(&failure) {
                    Ok(Body::Whole(None))
                } else {
                    Err(failure)
                };
            }
        };
        let etag = ETag(answer.e_tag.ok_or_else(no_etag)?);
        let limit = Purpose::Store.limits().attempt;
        Ok(match self.edge.within(limit, answer.body.collect()).await {
            Some(Ok(body)) => Body::Whole(Some((body.to_vec(), etag))),
            Some(Err(error)) => Body::Broken(Failure::Connection {
                detail: words(&error),
            }),
            None => Body::Broken(Failure::Deadline),
        })
    }

    /// The version of the document if this writer wrote it.
    async fn own_write(&self, key: &str, writer: &str) -> Result<Option<ETag>, Failure> {
        let request = self
            .client()
            .head_object()
            .bucket(self.bucket.as_str())
            .key(key);
        match Box::pin(request.send()).await {
            Ok(answer) => {
                let is_ours = answer
                    .metadata()
                    .and_then(|metadata| metadata.get(WRITER))
                    .is_some_and(|found| found == writer);
                Ok(answer.e_tag.filter(|_| is_ours).map(ETag))
            }
            Err(error) => match failure_of(&error) {
                failure if is_absent(&failure) => Ok(None),
                failure => Err(failure),
            },
        }
    }

    /// Whether the key has any version or delete marker.
    async fn ever_existed(&self, key: &str) -> Result<bool, Failure> {
        let mut markers = (None, None);
        loop {
            let request = self
                .client()
                .list_object_versions()
                .bucket(self.bucket.as_str())
                .prefix(key)
                .set_key_marker(markers.0)
                .set_version_id_marker(markers.1);
            let page = Box::pin(request.send())
                .await
                .map_err(|error| failure_of(&error))?;
            let mut keys = page
                .versions()
                .iter()
                .map(|version| version.key())
                .chain(page.delete_markers().iter().map(|marker| marker.key()))
                .peekable();
            let is_empty = keys.peek().is_none();
            if keys.any(|found| found == Some(key)) {
                return Ok(true);
            }
            // Keys come sorted, and none with this prefix comes before the key itself.
            let goes_on = page.is_truncated() == Some(true) && page.next_key_marker.is_some();
            if !is_empty || !goes_on {
                return Ok(false);
            }
            markers = (page.next_key_marker, page.next_version_id_marker);
        }
    }
}

/// Name of the metadata that tells whose write a document is.
const WRITER: &str = "writer";

/// What came after the headers of an answer.
enum Body {
    /// All of it, or nothing because there is no such object.
    Whole(Option<(Vec<u8>, ETag)>),
    /// It broke off or stalled.
    Broken(Failure),
}

/// Whether S3 says that the object, rather than its bucket, does not exist. Answers to HEAD carry no code.
fn is_absent(failure: &Failure) -> bool {
    failure.status() == Some(404) && failure.code() != Some("NoSuchBucket")
}

fn no_etag() -> Failure {
    Failure::Connection {
        detail: "an answer without an ETag".to_owned(),
    }
}

/// A refusal is told apart from a failure that may pass.
fn failed(key: &str, source: Failure) -> StoreError {
    let key = key.to_owned();
    match source.status() {
        Some(408 | 429 | 500..) | None => StoreError::Unreachable { key, source },
        Some(_) => StoreError::Denied { key, source },
    }
}

/// What is wrong with a document, with its schema if it tells one: a later schema is the likeliest
/// reason for not understanding it.
fn detail_of(error: &serde_json::Error, body: &[u8]) -> String {
    let schema = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|value| value.get("schema").cloned());
    match schema {
        Some(schema) => format!("{error} (a document of schema {schema})"),
        None => error.to_string(),
    }
}
