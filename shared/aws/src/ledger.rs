//! Files in a bucket: written once, listed, read in pieces, deleted.
//!
//! The ledger's files carry names that follow from their content (`sentinel_core::ledger`), so
//! writing one again, after a crash or a lost answer, changes nothing.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use jiff::Timestamp;
use sentinel_core::names::{BucketName, Region};

use crate::edge::Edge;
use crate::failure::{Failure, failure_of, words};
use crate::limits::Purpose;

/// Most keys in one `DeleteObjects` request.
const DELETE_BATCH: usize = 1000;

/// Tries of a write that meets another one of the same key, and of a body that breaks off.
const TRIES: u32 = 3;

/// The pause after the first of them; one longer by as much after each other.
const PAUSE: Duration = Duration::from_millis(200);

/// Files in one bucket.
#[derive(Debug, Clone)]
pub struct Files {
    edge: Arc<Edge>,
    region: Region,
    bucket: BucketName,
}

/// What a write that must not replace anything came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The file is new.
    New,
    /// There was one of this name: with a name that follows from the content, the same one.
    AlreadyThere,
}

/// A file in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was written; S3 always tells.
    pub modified: Option<Timestamp>,
}

/// A part of a listing, sorted by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// At most 1,000 files.
    pub files: Vec<Listed>,
    /// After which key to go on; nothing if that was all.
    pub next: Option<String>,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes; fewer than asked for only at the end of the file.
    pub bytes: Vec<u8>,
    /// Bytes of the whole file.
    pub total: u64,
}

/// Why a file could not be written, listed, read or deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("{place} does not exist")]
    Missing {
        /// Bucket and key.
        place: String,
    },
    /// The file ends before the part that was asked for.
    #[error("{place} ends before the part that is to be read")]
    PastTheEnd {
        /// Bucket and key.
        place: String,
    },
    /// S3 gave no usable answer. After a write: whether it was or will be applied is not known,
    /// and repeating it is safe.
    #[error("{place}: S3 cannot be reached")]
    Unreachable {
        /// Bucket and key or prefix.
        place: String,
        /// How the request failed.
        source: Failure,
    },
    /// S3 refused: permissions, KMS, no such bucket. Nothing was changed.
    #[error("{place}: S3 refuses")]
    Denied {
        /// Bucket and key or prefix.
        place: String,
        /// Status, code and message.
        source: Failure,
    },
    /// Some files were not deleted; the others were.
    #[error("{count} files of {bucket} could not be deleted, among them {key} ({detail})")]
    NotDeleted {
        /// The bucket.
        bucket: BucketName,
        /// How many.
        count: usize,
        /// One of them.
        key: String,
        /// What S3 said of it.
        detail: String,
    },
}

impl Files {
    /// The files of a bucket in this Region.
    #[must_use]
    pub fn new(edge: Arc<Edge>, region: Region, bucket: BucketName) -> Self {
        Self {
            edge,
            region,
            bucket,
        }
    }

    /// The files of the state bucket, which lies in the edge's Region.
    #[must_use]
    pub fn of_state(edge: Arc<Edge>, bucket: BucketName) -> Self {
        let region = edge.region().clone();
        Self::new(edge, region, bucket)
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &BucketName {
        &self.bucket
    }

    /// Writes a file if there is none of this name.
    ///
    /// # Errors
    /// `Unreachable` or `Denied`.
    pub async fn append(&self, key: &str, body: Vec<u8>) -> Result<Written, FileError> {
        // In memory: the SDK states its checksum, and a retry sends the same bytes without a copy.
        let body = SdkBody::from(body);
        let mut tries = 1;
        loop {
            let request = self
                .client()
                .put_object()
                .bucket(self.bucket.as_str())
                .key(key)
                .content_type("application/x-ndjson")
                .if_none_match("*")
                .body(ByteStream::new(
                    body.try_clone().unwrap_or_else(SdkBody::taken),
                ));
            let failure = match Box::pin(request.send()).await {
                Ok(_) => return Ok(Written::New),
                Err(error) => failure_of(&error),
            };
            match failure.status() {
                Some(412) => return Ok(Written::AlreadyThere),
                // Somebody is writing or deleting the same file: then it will be there or not.
                Some(409) if tries < TRIES => self.pause(&mut tries).await,
                _ => return Err(self.failed(key, failure)),
            }
        }
    }

    /// The next files with this prefix, sorted by key: those after the key `after`, which need
    /// not exist, or the first ones.
    ///
    /// # Errors
    /// `Unreachable` or `Denied`.
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, FileError> {
        let request = self
            .client()
            .list_objects_v2()
            .bucket(self.bucket.as_str())
            .prefix(prefix)
            .set_start_after(after.map(str::to_owned));
        let answer = Box::pin(request.send())
            .await
            .map_err(|error| self.failed(prefix, failure_of(&error)))?;
        let files: Vec<Listed> = answer
            .contents
            .unwrap_or_default()
            .into_iter()
            .filter_map(|object| {
                Some(Listed {
                    key: object.key?,
                    size: object.size.and_then(|size| size.try_into().ok())?,
                    modified: object.last_modified.and_then(|at| {
                        Timestamp::new(at.secs(), at.subsec_nanos().try_into().ok()?).ok()
                    }),
                })
            })
            .collect();
        let goes_on = answer.is_truncated == Some(true);
        let next = files
            .last()
            .filter(|_| goes_on)
            .map(|file| file.key.clone());
        Ok(Page { files, next })
    }

    /// Reads a part of a file: `range` counts bytes from 0 and may reach past the end.
    ///
    /// # Errors
    /// `Missing`, `PastTheEnd` if nothing of the range is there, `Unreachable` or `Denied`.
    pub async fn read(&self, key: &str, range: Range<u64>) -> Result<Piece, FileError> {
        let mut tries = 1;
        loop {
            match self.read_once(key, &range).await {
                Ok(piece) => return Ok(piece),
                // The SDK's retries end with the headers.
                Err(Read::Broken(_)) if tries < TRIES => self.pause(&mut tries).await,
                Err(Read::Broken(failure)) => return Err(self.failed(key, failure)),
                Err(Read::Refused(failure)) => {
                    let place = self.place(key);
                    return Err(match (failure.status(), failure.code()) {
                        (Some(404), code) if code != Some("NoSuchBucket") => {
                            FileError::Missing { place }
                        }
                        (Some(416), _) => FileError::PastTheEnd { place },
                        _ => self.failed(key, failure),
                    });
                }
            }
        }
    }

    /// Deletes files; those that do not exist count as deleted.
    ///
    /// # Errors
    /// `NotDeleted` if some could not be, `Unreachable` or `Denied`. Repeating it is safe.
    pub async fn delete(&self, keys: &[String]) -> Result<(), FileError> {
        let mut count = 0;
        let mut first = None;
        for batch in keys.chunks(DELETE_BATCH) {
            for (key, detail) in self.delete_batch(batch).await? {
                count += 1;
                first.get_or_insert((key, detail));
            }
        }
        match first {
            None => Ok(()),
            Some((key, detail)) => Err(FileError::NotDeleted {
                bucket: self.bucket.clone(),
                count,
                key,
                detail,
            }),
        }
    }

    /// Deletes at most 1,000 files and gives those that were not.
    async fn delete_batch(&self, batch: &[String]) -> Result<Vec<(String, String)>, FileError> {
        let place = batch.first().map(String::as_str).unwrap_or_default();
        let objects = batch
            .iter()
            .map(|key| ObjectIdentifier::builder().key(key).build())
            .collect::<Result<Vec<_>, _>>();
        let delete = objects.and_then(|objects| {
            Delete::builder()
                .quiet(true)
                .set_objects(Some(objects))
                .build()
        });
        let delete = delete.map_err(|error| {
            let detail = words(&error);
            self.failed(place, Failure::Client { detail })
        })?;
        let request = self
            .client()
            .delete_objects()
            .bucket(self.bucket.as_str())
            .delete(delete);
        let answer = Box::pin(request.send())
            .await
            .map_err(|error| self.failed(place, failure_of(&error)))?;
        // A success may list failures: of each key that it is silent about it was deleted.
        let failed = answer.errors.unwrap_or_default().into_iter();
        Ok(failed
            .map(|error| {
                let code = error.code.unwrap_or_default();
                let message = error.message.unwrap_or_default();
                (error.key.unwrap_or_default(), format!("{code}: {message}"))
            })
            .collect())
    }

    async fn read_once(&self, key: &str, range: &Range<u64>) -> Result<Piece, Read> {
        let last = range.end.saturating_sub(1);
        let request = self
            .client()
            .get_object()
            .bucket(self.bucket.as_str())
            .key(key)
            .range(format!("bytes={}-{last}", range.start));
        let answer = Box::pin(request.send())
            .await
            .map_err(|error| Read::Refused(failure_of(&error)))?;
        let total = total_of(&answer).ok_or_else(|| {
            let detail = "an answer without a size".to_owned();
            Read::Broken(Failure::Connection { detail })
        })?;
        let limit = Purpose::Files.limits().attempt;
        match self.edge.within(limit, answer.body.collect()).await {
            Some(Ok(body)) => Ok(Piece {
                bytes: body.to_vec(),
                total,
            }),
            Some(Err(error)) => {
                let detail = words(&error);
                Err(Read::Broken(Failure::Connection { detail }))
            }
            None => Err(Read::Broken(Failure::Deadline)),
        }
    }

    async fn pause(&self, tries: &mut u32) {
        self.edge.sleep(PAUSE * *tries).await;
        *tries += 1;
    }

    fn client(&self) -> aws_sdk_s3::Client {
        self.edge.s3(&self.region, Purpose::Files)
    }

    fn place(&self, key: &str) -> String {
        format!("{}/{key}", self.bucket)
    }

    /// A refusal is told apart from a failure that may pass.
    fn failed(&self, key: &str, source: Failure) -> FileError {
        let place = self.place(key);
        match source.status() {
            Some(408 | 409 | 429 | 500..) | None => FileError::Unreachable { place, source },
            Some(_) => FileError::Denied { place, source },
        }
    }
}

/// Why a part of a file was not read.
enum Read {
    /// The answer broke off.
    Broken(Failure),
    /// There was no answer, or an error.
    Refused(Failure),
}

/// Bytes of the whole file: `bytes 0-9/42` in the answer to a ranged read.
fn total_of(answer: &GetObjectOutput) -> Option<u64> {
    match &answer.content_range {
        Some(range) => range.rsplit('/').next()?.parse().ok(),
        None => answer.content_length?.try_into().ok(),
    }
}
