//! Whether a version is in a bucket: the proof that it arrived.

use std::sync::Arc;

use sentinel_core::names::{BucketName, Region};

use crate::edge::Edge;
use crate::failure::{Failure, failure_of};
use crate::limits::Purpose;

/// Looks for versions in buckets.
#[derive(Debug, Clone)]
pub struct Arrivals {
    edge: Arc<Edge>,
}

/// What was found of a version in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// It is there, with S3's word for its replication status, if it has one.
    There(Option<Status>),
    /// It is there and is a delete marker, of which S3 tells no status.
    DeleteMarker,
    /// It is not there.
    Absent,
    /// We may not look there, or there is no such bucket for us.
    Refused(Failure),
    /// No usable answer.
    Unknown(Failure),
}

/// The replication status of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Replicated to all destinations. S3 has two spellings for it.
    Completed,
    /// On its way to at least one destination.
    Pending,
    /// Failed towards at least one destination.
    Failed,
    /// Is itself a replica.
    Replica,
}

impl Arrivals {
    /// Looks through this edge.
    #[must_use]
    pub fn new(edge: Arc<Edge>) -> Self {
        Self { edge }
    }

    /// Looks for a version in a bucket of this Region.
    pub async fn look(
        &self,
        region: &Region,
        bucket: &BucketName,
        key: &str,
        version: &str,
    ) -> Sighting {
        let request = self
            .edge
            .s3(region, Purpose::Arrival)
            .head_object()
            .bucket(bucket.as_str())
            .key(key)
            .version_id(version);
        let failure = match Box::pin(request.send()).await {
            Ok(answer) => {
                let status = answer.replication_status.as_ref();
                return Sighting::There(status.and_then(|status| status_of(status.as_str())));
            }
            Err(error) => failure_of(&error),
        };
        match failure.status() {
            Some(404) => Sighting::Absent,
            Some(405) => Sighting::DeleteMarker,
            Some(401 | 403 | 301) => Sighting::Refused(failure),
            // A 400 above all: S3 answers so where the object is encrypted with a key of the
            // client's own, and to expired credentials. It says nothing of the version.
            _ => Sighting::Unknown(failure),
        }
    }
}

fn status_of(word: &str) -> Option<Status> {
    match word {
        "COMPLETED" | "COMPLETE" => Some(Status::Completed),
        "PENDING" => Some(Status::Pending),
        "FAILED" => Some(Status::Failed),
        "REPLICA" => Some(Status::Replica),
        _ => None,
    }
}
