//! Why a slice of work could not go on.

use sentinel_aws::failure::Failure;
use sentinel_aws::ledger::FileError;
use sentinel_aws::objects::UploadError;
use sentinel_core::ledger::{LedgerError, LedgerNameError, LineError};
use sentinel_core::names::BucketName;
use sentinel_core::redrive::merge::MergeError;
use sentinel_core::redrive::report::ReportError;

/// Why a slice of work could not go on. Nothing is lost: the same slice can be done again.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// A file in the state or work bucket could not be read, written or deleted.
    #[error("a file of the ledger or of a job cannot be used")]
    File(#[from] FileError),
    /// The manifest could not be uploaded.
    #[error("the manifest cannot be uploaded")]
    Upload(#[from] UploadError),
    /// The ledger's files cannot be merged.
    #[error("the ledger cannot be read")]
    Merge(#[from] MergeError),
    /// A file of the ledger cannot be understood.
    #[error("the ledger cannot be read")]
    Ledger(#[from] LedgerError),
    /// A key in the ledger is none of ours.
    #[error("the ledger holds a file that is none of its own: move it away")]
    Name(#[from] LedgerNameError),
    /// A line cannot be written.
    #[error("a file of the ledger cannot be written")]
    Line(#[from] LineError),
    /// The report cannot be understood.
    #[error("the job's report cannot be used")]
    Report(#[from] ReportError),
    /// S3 Control gave no usable answer.
    #[error("S3 Batch Operations cannot be asked")]
    Jobs(#[source] Failure),
    /// The job's source is no member any more, so nobody knows where its work bucket is.
    #[error(
        "{0} is no member (any more), so its work bucket is not known: add it to MEMBERS and WORK_BUCKETS again until its job is closed"
    )]
    NoMember(BucketName),
    /// The job is in another phase than the one that was asked for.
    #[error("the job is not in the phase {0}: this is a bug")]
    Phase(&'static str),
}
