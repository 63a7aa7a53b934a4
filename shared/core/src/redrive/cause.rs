//! Causes that the readiness check sees: when one is gone, a sample need not wait for its time.

use crate::ledger::{Destination, Group};
use crate::readiness::{Check, Finding, Report};
use crate::reasons::is_about_source;
use crate::redrive::apply::Desk;
use crate::redrive::state::{GroupPhase, RedriveState};

/// The check that looks for what S3 gives as this reason. Most reasons are about the policies of
/// roles, buckets and keys, which the readiness check does not evaluate.
fn check_for(reason: &str) -> Option<Check> {
    match reason.trim() {
        "DstBucketNotFound"
        | "DstBucketInvalidRegion"
        | "SrcBucketNotFound"
        | "SrcBucketInvalidRegion" => Some(Check::BucketExists),
        "DstBucketUnversioned" => Some(Check::Versioning),
        "DstBucketObjectLockConfigMissing" => Some(Check::ObjectLock),
        "DstKmsKeyNotFound" | "DstKmsKeyInvalidState" => Some(Check::KmsReplicaKey),
        "SrcBucketReplicationConfigMissing" => Some(Check::Rule),
        "DstPutAclNotPermitted" => Some(Check::Ownership),
        _ => None,
    }
}

/// Whether the finding is why these versions fail.
fn explains(finding: &Finding, group: &Group) -> bool {
    let source = group.source.as_str();
    let Destination::Bucket(destination) = &group.destination else {
        return false;
    };
    let destination = destination.as_str();
    let words: Vec<&str> = finding.subject.split_whitespace().collect();
    let is_between = match words.as_slice() {
        [bucket] if is_about_source(&group.reason) => *bucket == source,
        [bucket] => *bucket == destination,
        [from, "to", to] => (*from, *to) == (source, destination),
        [one, "and", other] => {
            [(source, destination), (destination, source)].contains(&(*one, *other))
        }
        _ => false,
    };
    check_for(&group.reason) == Some(finding.check) && is_between
}

impl Desk<'_> {
    /// Takes note of findings that explain why a group is held, and makes its sample due when a
    /// later report no longer has the one that did.
    pub(super) fn heed(&self, state: &mut RedriveState, report: &Report) {
        for record in state.groups.values_mut() {
            let GroupPhase::Held {
                since,
                next_sample_at,
            } = record.phase
            else {
                continue;
            };
            let mut findings = report.findings.iter();
            let explanation = findings.find(|finding| explains(finding, &record.group));
            match (explanation, &record.cause) {
                (Some(finding), _) => record.cause = Some(finding.id.clone()),
                (None, Some(_)) if report.observed_at > since => {
                    record.cause = None;
                    record.phase = GroupPhase::Held {
                        since,
                        next_sample_at: next_sample_at.min(self.now),
                    };
                }
                (None, _) => {}
            }
        }
    }
}
