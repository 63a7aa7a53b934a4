//! Writing manifests into the work bucket of a member's Region.
//!
//! Batch Operations reads no manifest that is encrypted with KMS, whatever the bucket's default is,
//! so every upload asks for S3's own encryption. Bodies are in memory: a retry sends the same
//! bytes. No checksums are stated beside the entity tags: see [`Edge::s3`].

use std::fmt;
use std::sync::Arc;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use sentinel_core::names::{BucketName, Region};

use crate::edge::Edge;
use crate::failure::{Failure, failure_of};
use crate::ledger::FileError;
use crate::limits::Purpose;

/// Smallest part of a multipart upload but the last, in bytes: S3's limit.
pub const MIN_PART: usize = 5 * 1024 * 1024;

/// Most parts of a multipart upload: S3's limit.
pub const MAX_PARTS: usize = 10_000;

/// Uploads to one bucket, which may lie in another Region than this runs in.
#[derive(Debug, Clone)]
pub struct Uploads {
    edge: Arc<Edge>,
    region: Region,
    bucket: BucketName,
}

/// Why an upload did not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// S3 does not know the multipart upload: it was completed, or somebody aborted it.
    #[error("{place}: the multipart upload is gone")]
    Gone {
        /// Bucket and key.
        place: String,
    },
    /// Unreachable or refused.
    #[error(transparent)]
    File(#[from] FileError),
}

/// S3's id of a multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadId(pub String);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Uploads {
    /// Uploads to this bucket, which lies in this Region.
    #[must_use]
    pub fn new(edge: Arc<Edge>, region: Region, bucket: BucketName) -> Self {
        Self {
            edge,
            region,
            bucket,
        }
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &BucketName {
        &self.bucket
    }

    /// Writes a whole object, whatever was there, and gives its entity tag without quotes.
    ///
    /// # Errors
    /// [`FileError`]; repeating it is safe.
    pub async fn put(&self, key: &str, body: Vec<u8>) -> Result<String, FileError> {
        let request = self
            .client()
            .put_object()
            .bucket(self.bucket.as_str())
            .key(key)
            .content_type(CSV)
            .server_side_encryption(ServerSideEncryption::Aes256)
            .body(ByteStream::new(SdkBody::from(body)));
        match Box::pin(request.send()).await {
            Ok(answer) => self.etag(key, answer.e_tag),
            Err(error) => Err(self.failed(key, failure_of(&error))),
        }
    }

    /// Begins a multipart upload. Repeated after a crash it leaves one behind that the bucket's
    /// lifecycle has to abort.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn begin(&self, key: &str) -> Result<UploadId, FileError> {
        let request = self
            .client()
            .create_multipart_upload()
            .bucket(self.bucket.as_str())
            .key(key)
            .content_type(CSV)
            .server_side_encryption(ServerSideEncryption::Aes256);
        match Box::pin(request.send()).await {
            Ok(answer) => match answer.upload_id {
                Some(id) => Ok(UploadId(id)),
                None => Err(self.failed(key, incomplete("without an upload id"))),
            },
            Err(error) => Err(self.failed(key, failure_of(&error))),
        }
    }

    /// Uploads a part, numbered from 1, and gives its entity tag without quotes. Another try with
    /// the same number replaces it.
    ///
    /// # Errors
    /// [`UploadError`]; repeating it is safe.
    pub async fn part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        body: Vec<u8>,
    ) -> Result<String, UploadError> {
        let request = self
            .client()
            .upload_part()
            .bucket(self.bucket.as_str())
            .key(key)
            .upload_id(&upload.0)
            .part_number(i32::try_from(number).unwrap_or(i32::MAX))
            .body(ByteStream::new(SdkBody::from(body)));
        match Box::pin(request.send()).await {
            Ok(answer) => Ok(self.etag(key, answer.e_tag)?),
            Err(error) => Err(self.gone_or_failed(key, failure_of(&error))),
        }
    }

    /// Puts the parts, numbered from 1 and given by their entity tags, together to an object of
    /// `bytes` bytes, and gives its entity tag without quotes.
    ///
    /// If the upload is gone and there is such an object, an earlier try succeeded whose answer
    /// was lost.
    ///
    /// # Errors
    /// [`UploadError`]; repeating it is safe.
    pub async fn complete(
        &self,
        key: &str,
        upload: &UploadId,
        parts: &[String],
        bytes: u64,
    ) -> Result<String, UploadError> {
        let part = |(number, etag): (i32, &String)| {
            CompletedPart::builder()
                .part_number(number)
                .e_tag(format!("\"{etag}\""))
                .build()
        };
        let parts = (1..).zip(parts).map(part).collect();
        let request = self
            .client()
            .complete_multipart_upload()
            .bucket(self.bucket.as_str())
            .key(key)
            .upload_id(&upload.0)
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(parts))
                    .build(),
            );
        let failure = match Box::pin(request.send()).await {
            Ok(answer) => return Ok(self.etag(key, answer.e_tag)?),
            Err(error) => failure_of(&error),
        };
        match self.gone_or_failed(key, failure) {
            UploadError::Gone { place } => match self.size_and_etag(key).await? {
                Some((size, etag)) if size == bytes => Ok(etag),
                _ => Err(UploadError::Gone { place }),
            },
            error @ UploadError::File(_) => Err(error),
        }
    }

    /// Gives up a multipart upload; one that is gone counts as given up.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn abort(&self, key: &str, upload: &UploadId) -> Result<(), FileError> {
        let request = self
            .client()
            .abort_multipart_upload()
            .bucket(self.bucket.as_str())
            .key(key)
            .upload_id(&upload.0);
        match Box::pin(request.send()).await {
            Ok(_) => Ok(()),
            Err(error) => match self.gone_or_failed(key, failure_of(&error)) {
                UploadError::Gone { .. } => Ok(()),
                UploadError::File(error) => Err(error),
            },
        }
    }

    async fn size_and_etag(&self, key: &str) -> Result<Option<(u64, String)>, FileError> {
        let request = self
            .client()
            .head_object()
            .bucket(self.bucket.as_str())
            .key(key);
        match Box::pin(request.send()).await {
            Ok(answer) => {
                let size = answer.content_length.and_then(|size| size.try_into().ok());
                Ok(Some((size.unwrap_or(0), self.etag(key, answer.e_tag)?)))
            }
            Err(error) => match failure_of(&error) {
                failure if failure.status() == Some(404) => Ok(None),
                failure => Err(self.failed(key, failure)),
            },
        }
    }

    fn client(&self) -> aws_sdk_s3::Client {
        self.edge.s3(&self.region, Purpose::Upload)
    }

    fn etag(&self, key: &str, etag: Option<String>) -> Result<String, FileError> {
        match etag {
            Some(etag) => Ok(etag.trim_matches('"').to_owned()),
            None => Err(self.failed(key, incomplete("without an ETag"))),
        }
    }

    fn gone_or_failed(&self, key: &str, failure: Failure) -> UploadError {
        if failure.code() == Some("NoSuchUpload") {
            let place = self.place(key);
            UploadError::Gone { place }
        } else {
            UploadError::File(self.failed(key, failure))
        }
    }

    fn failed(&self, key: &str, source: Failure) -> FileError {
        let place = self.place(key);
        match source.status() {
            Some(408 | 409 | 429 | 500..) | None => FileError::Unreachable { place, source },
            Some(_) => FileError::Denied { place, source },
        }
    }

    fn place(&self, key: &str) -> String {
        format!("{}/{key}", self.bucket)
    }
}

const CSV: &str = "text/csv";

fn incomplete(what: &str) -> Failure {
    Failure::Connection {
        detail: format!("an answer {what}"),
    }
}
