//! S3's reasons for failures of replication.

use std::borrow::Cow;

use crate::truth::Reason;

/// Every documented reason with the HTTP status that a job's report shows for it.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-failure-codes.html> names no
/// statuses: but for `SrcObjectNotEligible`, which is seen with 500, they follow from the names.
const REASONS: [(&str, u16); 39] = [
    ("AssumeRoleNotPermitted", 403),
    ("DstBucketInvalidRegion", 400),
    ("DstBucketNotFound", 404),
    ("DstBucketObjectLockConfigMissing", 400),
    ("DstBucketUnversioned", 400),
    ("DstDelObjNotPermitted", 403),
    ("DstKmsKeyInvalidState", 400),
    ("DstKmsKeyNotFound", 404),
    ("DstMultipartCompleteNotPermitted", 403),
    ("DstMultipartInitNotPermitted", 403),
    ("DstMultipartUploadNotPermitted", 403),
    ("DstObjectHardDeleted", 400),
    ("DstPutAclNotPermitted", 403),
    ("DstPutLegalHoldNotPermitted", 403),
    ("DstPutObjectNotPermitted", 403),
    ("DstPutRetentionNotPermitted", 403),
    ("DstPutTaggingNotPermitted", 403),
    ("DstVersionNotFound", 404),
    ("InitiateReplicationNotPermitted", 403),
    ("SrcBucketInvalidRegion", 400),
    ("SrcBucketNotFound", 404),
    ("SrcBucketReplicationConfigMissing", 400),
    ("SrcGetAclNotPermitted", 403),
    ("SrcGetLegalHoldNotPermitted", 403),
    ("SrcGetObjectNotPermitted", 403),
    ("SrcGetRetentionNotPermitted", 403),
    ("SrcGetTaggingNotPermitted", 403),
    ("SrcHeadObjectNotPermitted", 403),
    ("SrcKeyNotFound", 404),
    ("SrcKmsKeyInvalidState", 400),
    ("SrcObjectNotEligible", 500),
    ("SrcObjectNotFound", 404),
    ("SrcReplicationNotPending", 400),
    ("SrcVersionNotFound", 404),
    ("SrcGetObjectAnnotationNotPermitted", 403),
    ("DstPutObjectAnnotationNotPermitted", 403),
    ("SrcAnnotationNotFound", 404),
    ("SrcAnnotationEncryptionUnsupported", 400),
    ("AnnotationLimitExceeded", 400),
];

/// A reason without memory of its own if it is documented.
pub(crate) fn known(reason: &str) -> Reason {
    let mut documented = REASONS.iter().map(|(name, _)| *name);
    match documented.find(|name| *name == reason) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(reason.to_owned()),
    }
}

/// The HTTP status of a reason in a job's report.
pub(crate) fn status(reason: &str) -> u16 {
    let known = REASONS.iter().find(|(name, _)| *name == reason);
    known.map_or(400, |(_, status)| *status)
}

/// What a job's report says about a reason.
pub(crate) fn message(reason: &str) -> &'static str {
    match reason {
        "SrcObjectNotEligible" => "Object is not eligible for replication",
        _ if reason.ends_with("NotPermitted") => "Access Denied",
        _ if reason.ends_with("NotFound") => "Not Found",
        _ => "Replication failed",
    }
}
