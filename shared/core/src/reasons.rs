//! Why S3 says that it did not replicate: the one table of every documented reason, what it
//! means, and what to do about it.
//!
//! The codes of replication events and those in the reports of Batch Operations jobs are the
//! same. `docs/redrive.md` shows this table; a test holds it to [`markdown`].

use std::fmt::Write;

use crate::ledger::{Destination, Group, How};

/// What a reason makes of the versions that failed with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Somebody has to mend something; until then re-driving only costs money.
    Configuration,
    /// One more try after a while may succeed; if it fails likewise, it is final.
    OnceMore,
    /// No re-drive can help: the version is settled like this.
    Final(How),
    /// There is nothing left to do.
    AlreadyReplicated,
}

impl Class {
    /// How versions are settled for which nothing more is tried; `None` where a person has to
    /// mend something first.
    #[must_use]
    pub fn settles_as(self) -> Option<How> {
        match self {
            Self::Configuration => None,
            // The one reason of this class misses a version in the destination.
            Self::OnceMore => Some(How::HardDeleted),
            Self::Final(how) => Some(how),
            Self::AlreadyReplicated => Some(How::Already),
        }
    }

    /// What is done about it, in a few words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Configuration => "held until it is mended",
            Self::OnceMore => "tried once more, then settled as hard-deleted",
            Self::Final(How::Gone) => "settled as gone",
            Self::Final(How::HardDeleted) => "settled as hard-deleted",
            Self::Final(_) => "settled as ineligible",
            Self::AlreadyReplicated => "settled as replicated already",
        }
    }
}

/// A reason that S3 gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// S3's code; [`UNKNOWN`] has none that could be named.
    pub code: &'static str,
    /// What it makes of the versions.
    pub class: Class,
    /// What went wrong.
    pub meaning: &'static str,
    /// What an operator can do. `SOURCE` and `DESTINATION` stand for the buckets' names.
    pub remedy: &'static str,
    /// A command of the AWS CLI that shows the cause and changes nothing, with the same stand-ins,
    /// and `KEY`, `KEY_ARN`, `BATCH_ROLE_ARN` and `REGION` for what only the object or the configuration tells.
    pub look: &'static str,
}

impl Reason {
    /// The remedy with the group's buckets filled in.
    #[must_use]
    pub fn remedy_for(&self, group: &Group) -> String {
        fill_in(self.remedy, group)
    }

    /// The command that shows the cause, with the group's buckets filled in.
    #[must_use]
    pub fn look_for(&self, group: &Group) -> String {
        fill_in(self.look, group)
    }
}

fn fill_in(text: &str, group: &Group) -> String {
    let text = text.replace("SOURCE", group.source.as_str());
    match &group.destination {
        Destination::Any => text,
        Destination::Bucket(bucket) => text.replace("DESTINATION", bucket.as_str()),
    }
}

/// What is known of a reason. Blanks around it do not matter: AWS documents one code with them.
///
/// A reason that nobody has documented is [`UNKNOWN`], never an error: the caller keeps its text.
#[must_use]
pub fn classify(reason: &str) -> &'static Reason {
    let code = reason.trim();
    REASONS
        .iter()
        .find(|known| known.code == code)
        .unwrap_or(&UNKNOWN)
}

/// Whether a reason is about the source alone. Any other may be about one of several destinations:
/// a job's report gives one code for a version, whichever of its destinations that came from.
#[must_use]
pub fn is_about_source(reason: &str) -> bool {
    let code = reason.trim();
    code.starts_with("Src") || code == "InitiateReplicationNotPermitted"
}

/// Whether a reason may be about what belongs to a version (tags, ACL, locks, annotations): then
/// the version itself may have been in the destination all along.
#[must_use]
pub fn may_be_about_metadata(reason: &str) -> bool {
    let code = reason.trim();
    let parts = ["Acl", "Annotation", "LegalHold", "Retention", "Tagging"];
    code == "DstVersionNotFound" || parts.iter().any(|part| code.contains(part))
}

/// What is said of a reason that is not in the table: it is held for a person to look at, and
/// sampled like any other.
pub const UNKNOWN: Reason = Reason {
    code: "unknown",
    class: Class::Configuration,
    meaning: "S3 gave a reason that is not documented, or none.",
    remedy: "Look the code up in the S3 User Guide (\"Amazon S3 replication failure reasons\") and \
             mend what it names. A sample is re-driven from time to time; if its versions arrive, \
             the rest follows.",
    look: GET_REPLICATION,
};

const GET_REPLICATION: &str = "aws s3api get-bucket-replication --bucket SOURCE";
const ROLE_TRUST: &str = "aws iam get-role --role-name \"$(basename \"$(aws s3api get-bucket-replication --bucket SOURCE --query ReplicationConfiguration.Role --output text)\")\" --query Role.AssumeRolePolicyDocument";
const DESTINATION_EXISTS: &str = "aws s3api head-bucket --bucket DESTINATION";
const SOURCE_EXISTS: &str = "aws s3api head-bucket --bucket SOURCE";
const SOURCE_OWNERSHIP: &str = "aws s3api get-bucket-ownership-controls --bucket SOURCE";
const SOURCE_VERSIONS: &str = "aws s3api list-object-versions --bucket SOURCE --prefix KEY";
const DESTINATION_VERSIONS: &str =
    "aws s3api list-object-versions --bucket DESTINATION --prefix KEY";
const REPLICA_KEY: &str = "aws s3api get-bucket-replication --bucket SOURCE --query 'ReplicationConfiguration.Rules[].Destination.EncryptionConfiguration.ReplicaKmsKeyID'";
const SOURCE_KEY: &str = "aws kms describe-key --region REGION --key-id KEY_ARN";
const BATCH_ROLE: &str = "aws iam simulate-principal-policy --policy-source-arn BATCH_ROLE_ARN --action-names s3:InitiateReplication --resource-arns arn:aws:s3:::SOURCE/KEY --query 'EvaluationResults[].[EvalActionName,EvalDecision]' --output text";

/// Whether the replication role's own policies allow an action on the objects of a bucket.
macro_rules! role_may {
    ($action:literal, $bucket:literal) => {
        concat!(
            "aws iam simulate-principal-policy --policy-source-arn \"$(aws s3api get-bucket-replication --bucket SOURCE --query ReplicationConfiguration.Role --output text)\" --action-names ",
            $action,
            " --resource-arns arn:aws:s3:::",
            $bucket,
            "/KEY --query 'EvaluationResults[].[EvalActionName,EvalDecision]' --output text",
        )
    };
}

const fn needs_mending(
    code: &'static str,
    meaning: &'static str,
    remedy: &'static str,
    look: &'static str,
) -> Reason {
    Reason {
        code,
        class: Class::Configuration,
        meaning,
        remedy,
        look,
    }
}

const fn is_final(
    code: &'static str,
    how: How,
    meaning: &'static str,
    remedy: &'static str,
    look: &'static str,
) -> Reason {
    Reason {
        code,
        class: Class::Final(how),
        meaning,
        remedy,
        look,
    }
}

/// Every documented reason, in alphabetical order.
pub const REASONS: &[Reason] = &[
    needs_mending(
        "AnnotationLimitExceeded",
        "The copy in the destination has as many annotations as an object may have.",
        "Delete annotations of the objects in DESTINATION that are no longer needed.",
        DESTINATION_VERSIONS,
    ),
    needs_mending(
        "AssumeRoleNotPermitted",
        "S3 may not assume the role of the replication configuration, or of the Batch Operations \
         job.",
        "Let the trust policy of the role allow `sts:AssumeRole` to `s3.amazonaws.com` (the Batch \
         Operations role: to `batchoperations.s3.amazonaws.com`), and see that the role exists. A \
         new role is known everywhere only after some minutes.",
        ROLE_TRUST,
    ),
    needs_mending(
        "DstBucketInvalidRegion",
        "The destination is not in the Region that the Batch Operations job names.",
        "Correct the destination of the replication rule on SOURCE; if it is right, correct the \
         Regions in MEMBERS of this deployment.",
        "aws s3api get-bucket-location --bucket DESTINATION",
    ),
    needs_mending(
        "DstBucketNotFound",
        "The destination bucket does not exist.",
        "Create DESTINATION again, with versioning, or let the replication rule on SOURCE name \
         another bucket or go.",
        DESTINATION_EXISTS,
    ),
    needs_mending(
        "DstBucketObjectLockConfigMissing",
        "The source has Object Lock, the destination has not.",
        "Switch Object Lock on for DESTINATION (`put-object-lock-configuration`); it cannot be \
         switched off again.",
        "aws s3api get-object-lock-configuration --bucket DESTINATION",
    ),
    needs_mending(
        "DstBucketUnversioned",
        "Versioning is off or suspended in the destination.",
        "Switch it on: `aws s3api put-bucket-versioning --bucket DESTINATION \
         --versioning-configuration Status=Enabled`.",
        "aws s3api get-bucket-versioning --bucket DESTINATION",
    ),
    needs_mending(
        "DstDelObjNotPermitted",
        "A delete marker may not be written to the destination.",
        "Allow the replication role `s3:ReplicateDelete` on `arn:aws:s3:::DESTINATION/*`; if the \
         bucket belongs to another account, in its bucket policy too.",
        role_may!("s3:ReplicateDelete", "DESTINATION"),
    ),
    needs_mending(
        "DstKmsKeyInvalidState",
        "The KMS key for replicas is disabled, or is going to be deleted.",
        "Enable the key (`aws kms enable-key`; before that `cancel-key-deletion` if it is to be \
         deleted), or let the replication rule on SOURCE name another one.",
        REPLICA_KEY,
    ),
    needs_mending(
        "DstKmsKeyNotFound",
        "The KMS key for replicas does not exist.",
        "Let `ReplicaKmsKeyID` of the replication rule on SOURCE be the ARN of a key in the Region \
         of DESTINATION. S3 takes any ARN without looking.",
        REPLICA_KEY,
    ),
    needs_mending(
        "DstMultipartCompleteNotPermitted",
        "A multipart upload to the destination may not be completed.",
        "Allow the replication role `s3:ReplicateObject` on `arn:aws:s3:::DESTINATION/*`; if the \
         bucket belongs to another account, in its bucket policy too.",
        role_may!("s3:ReplicateObject", "DESTINATION"),
    ),
    needs_mending(
        "DstMultipartInitNotPermitted",
        "A multipart upload to the destination may not be begun.",
        "Allow the replication role `s3:ReplicateObject` on `arn:aws:s3:::DESTINATION/*`, and the \
         use of the KMS key for replicas; if the bucket belongs to another account, in its bucket \
         and key policies too.",
        role_may!("s3:ReplicateObject", "DESTINATION"),
    ),
    needs_mending(
        "DstMultipartUploadNotPermitted",
        "Parts of a multipart upload may not be written to the destination.",
        "Allow the replication role `s3:ReplicateObject` on `arn:aws:s3:::DESTINATION/*`, and the \
         use of the KMS key for replicas; if the bucket belongs to another account, in its bucket \
         and key policies too.",
        role_may!("s3:ReplicateObject", "DESTINATION"),
    ),
    is_final(
        "DstObjectHardDeleted",
        How::HardDeleted,
        "The copy was deleted in the destination by its version id; S3 never copies that version \
         there again.",
        "If it is wanted there after all, copy the object onto itself in SOURCE: that makes a new \
         version, which is replicated.",
        DESTINATION_VERSIONS,
    ),
    needs_mending(
        "DstPutAclNotPermitted",
        "An ACL may not be written to the destination.",
        "Allow the replication role `s3:ReplicateObject` on `arn:aws:s3:::DESTINATION/*`; if the \
         bucket belongs to another account, in its bucket policy too.",
        role_may!("s3:ReplicateObject", "DESTINATION"),
    ),
    needs_mending(
        "DstPutLegalHoldNotPermitted",
        "A legal hold may not be placed in the destination.",
        "Allow the replication role `s3:PutObjectLegalHold` on `arn:aws:s3:::DESTINATION/*`; if \
         the bucket belongs to another account, in its bucket policy too.",
        role_may!("s3:PutObjectLegalHold", "DESTINATION"),
    ),
    needs_mending(
        "DstPutObjectAnnotationNotPermitted",
        "An annotation may not be written to the destination.",
        "Allow the replication role to write annotations on `arn:aws:s3:::DESTINATION/*`; if the \
         bucket belongs to another account, in its bucket policy too.",
        role_may!("s3:ReplicateObject", "DESTINATION"),
    ),
    needs_mending(
        "DstPutObjectNotPermitted",
        "The object may not be written to the destination, or not be encrypted there.",
        "Allow the replication role `s3:ReplicateObject` on `arn:aws:s3:::DESTINATION/*` (with \
         owner override `s3:ObjectOwnerOverrideToBucketOwner` too), and in the policy of the KMS \
         key for replicas `kms:Encrypt`, `kms:Decrypt` and `kms:GenerateDataKey*`. If the bucket \
         belongs to another account, its bucket policy has to allow the same.",
        role_may!("s3:ReplicateObject", "DESTINATION"),
    ),
    needs_mending(
        "DstPutRetentionNotPermitted",
        "A retention period may not be set in the destination.",
        "Allow the replication role `s3:PutObjectRetention` on `arn:aws:s3:::DESTINATION/*`; if \
         the bucket belongs to another account, in its bucket policy too.",
        role_may!("s3:PutObjectRetention", "DESTINATION"),
    ),
    needs_mending(
        "DstPutTaggingNotPermitted",
        "Tags may not be written to the destination.",
        "Allow the replication role `s3:ReplicateObject` and `s3:ReplicateTags` on \
         `arn:aws:s3:::DESTINATION/*`; if the bucket belongs to another account, in its bucket \
         policy too.",
        role_may!("s3:ReplicateTags", "DESTINATION"),
    ),
    Reason {
        code: "DstVersionNotFound",
        class: Class::OnceMore,
        meaning: "A change of tags, ACL or lock should have been copied, but the version it \
                  belongs to is not in the destination.",
        remedy: "If the version was deleted there, nothing can be done. Otherwise it was not \
                 replicated yet: the next try finds it.",
        look: DESTINATION_VERSIONS,
    },
    needs_mending(
        "InitiateReplicationNotPermitted",
        "The Batch Operations role may not start a replication.",
        "Allow the Batch Operations role (BATCH_ROLE_ARN of this deployment) \
         `s3:InitiateReplication` on `arn:aws:s3:::SOURCE/*`.",
        BATCH_ROLE,
    ),
    is_final(
        "SrcAnnotationEncryptionUnsupported",
        How::Ineligible,
        "An annotation is encrypted in a way that S3 cannot replicate.",
        "Write the annotation again with an encryption that S3 replicates: the change is \
         replicated by itself.",
        GET_REPLICATION,
    ),
    is_final(
        "SrcAnnotationNotFound",
        How::Gone,
        "An annotation was deleted in the source before it was copied.",
        "Nothing needs to be done.",
        SOURCE_VERSIONS,
    ),
    needs_mending(
        "SrcBucketInvalidRegion",
        "The Batch Operations job was not created in the Region of the source.",
        "Correct the Region of SOURCE in MEMBERS of this deployment.",
        "aws s3api get-bucket-location --bucket SOURCE",
    ),
    needs_mending(
        "SrcBucketNotFound",
        "The source bucket does not exist.",
        "If SOURCE was deleted on purpose, take it out of MEMBERS and give the group up with \
         `abandon`.",
        SOURCE_EXISTS,
    ),
    needs_mending(
        "SrcBucketReplicationConfigMissing",
        "The source has no replication configuration.",
        "Put the replication rules of SOURCE back. The console's templates, and every \
         `put-bucket-replication`, replace all rules.",
        GET_REPLICATION,
    ),
    needs_mending(
        "SrcGetAclNotPermitted",
        "The object's ACL may not be read, often because another account owns the object.",
        "Allow the replication role `s3:GetObjectVersionAcl` on `arn:aws:s3:::SOURCE/*`; if \
         another account owns the objects, set Object Ownership of SOURCE to bucket owner \
         enforced.",
        SOURCE_OWNERSHIP,
    ),
    needs_mending(
        "SrcGetLegalHoldNotPermitted",
        "The object's legal hold may not be read.",
        "Allow the replication role `s3:GetObjectLegalHold` on `arn:aws:s3:::SOURCE/*`.",
        role_may!("s3:GetObjectLegalHold", "SOURCE"),
    ),
    needs_mending(
        "SrcGetObjectAnnotationNotPermitted",
        "The object's annotations may not be read.",
        "Allow the replication role `s3:GetObjectVersionAnnotationForReplication` on \
         `arn:aws:s3:::SOURCE/*`.",
        role_may!("s3:GetObjectVersionAnnotationForReplication", "SOURCE"),
    ),
    needs_mending(
        "SrcGetObjectNotPermitted",
        "The object may not be read, or not be decrypted.",
        "Allow the replication role `s3:GetObjectVersionForReplication` on \
         `arn:aws:s3:::SOURCE/*`, and `kms:Decrypt` on the KMS key of the objects.",
        role_may!("s3:GetObjectVersionForReplication", "SOURCE"),
    ),
    needs_mending(
        "SrcGetRetentionNotPermitted",
        "The object's retention period may not be read.",
        "Allow the replication role `s3:GetObjectRetention` on `arn:aws:s3:::SOURCE/*`.",
        role_may!("s3:GetObjectRetention", "SOURCE"),
    ),
    needs_mending(
        "SrcGetTaggingNotPermitted",
        "The object's tags may not be read.",
        "Allow the replication role `s3:GetObjectVersionTagging` on `arn:aws:s3:::SOURCE/*`.",
        role_may!("s3:GetObjectVersionTagging", "SOURCE"),
    ),
    needs_mending(
        "SrcHeadObjectNotPermitted",
        "The object's metadata may not be read.",
        "Allow the replication role `s3:GetObjectVersionForReplication` on \
         `arn:aws:s3:::SOURCE/*`, and `kms:Decrypt` on the KMS key of the objects.",
        role_may!("s3:GetObjectVersionForReplication", "SOURCE"),
    ),
    is_final(
        "SrcKeyNotFound",
        How::Gone,
        "The key is not in the source: it was deleted before it was copied.",
        "Nothing needs to be done, unless it should not have been deleted.",
        SOURCE_VERSIONS,
    ),
    needs_mending(
        "SrcKmsKeyInvalidState",
        "The KMS key of the objects is disabled, or is going to be deleted.",
        "Enable the key (`aws kms enable-key`; before that `cancel-key-deletion` if it is to be \
         deleted). Without it the objects in SOURCE cannot be read by anybody.",
        SOURCE_KEY,
    ),
    is_final(
        "SrcObjectNotEligible",
        How::Ineligible,
        "No rule covers the object (prefix, tags, a disabled rule), or its storage class is an \
         archive that S3 does not replicate.",
        "If it should be covered, change the rule of SOURCE (or restore the object from the \
         archive) and start a `sweep`.",
        GET_REPLICATION,
    ),
    is_final(
        "SrcObjectNotFound",
        How::Gone,
        "The object is not in the source: it was deleted before it was copied.",
        "Nothing needs to be done, unless it should not have been deleted.",
        SOURCE_VERSIONS,
    ),
    Reason {
        code: "SrcReplicationNotPending",
        class: Class::AlreadyReplicated,
        meaning: "S3 has replicated the version in the meantime.",
        remedy: "Nothing needs to be done.",
        look: DESTINATION_VERSIONS,
    },
    is_final(
        "SrcVersionNotFound",
        How::Gone,
        "The version is not in the source: it was deleted before it was copied.",
        "Nothing needs to be done, unless it should not have been deleted.",
        SOURCE_VERSIONS,
    ),
];

/// The table as it stands in `docs/redrive.md`.
#[must_use]
pub fn markdown() -> String {
    let mut table =
        "| reason | what it means | what is done | remedy |\n|---|---|---|---|\n".to_owned();
    for reason in REASONS.iter().chain([&UNKNOWN]) {
        let code = match reason.code {
            code if code == UNKNOWN.code => "anything else".to_owned(),
            code => format!("`{code}`"),
        };
        let cell = |text: &str| text.replace('|', "\\|");
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {code} | {} | {} | {} Look with `{}`. |",
            cell(reason.meaning),
            reason.class.describe(),
            cell(reason.remedy),
            cell(reason.look),
        );
    }
    table
}
