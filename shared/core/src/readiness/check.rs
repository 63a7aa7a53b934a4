//! The table of checks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::announce::Severity;

/// One thing that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the table below describes each")]
pub enum Check {
    BucketExists,
    Versioning,
    Rule,
    KmsReplication,
    KmsReplicaKey,
    ObjectLock,
    CanaryArrives,
    MembersMatch,
    ControlEndpoint,
    TopicSubscribed,
    MemberHealthy,
    RuleScope,
    RuleForm,
    RuleMetrics,
    TimeControl,
    DeleteMarkers,
    ReplicaModifications,
    CanaryScope,
    Ownership,
    PublicAccess,
    Delegation,
    ReplicationEvents,
    AlarmTopic,
    Lifecycle,
    RequesterPays,
    WorkBucket,
    WorkBucketEncryption,
    BatchJobs,
    Dials,
    Alarm,
    DeadLetters,
    ControlRegion,
    SelfTest,
    Watchdog,
    Hold,
    Permission,
    Readable,
    Topology,
    RequestMetrics,
    CanaryHygiene,
    Rehearsal,
    VantagePoint,
    BucketKey,
    /// One of a later version, as a report has it after a roll back; it stands in no table.
    #[serde(other)]
    Later,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Which check.
    pub check: Check,
    /// Its name in ids, reports and docs.
    pub name: &'static str,
    /// How bad it can be.
    pub worst: Severity,
    /// What is expected.
    pub expects: &'static str,
}

const fn row(check: Check, name: &'static str, worst: Severity, expects: &'static str) -> Row {
    Row {
        check,
        name,
        worst,
        expects,
    }
}

use Severity::{Critical, Info, Warning};

/// Every check, the worst first.
pub const TABLE: [Row; 43] = [
    row(
        Check::BucketExists,
        "bucket-exists",
        Critical,
        "every member bucket exists in its Region, in this account",
    ),
    row(
        Check::Versioning,
        "versioning",
        Critical,
        "versioning is enabled",
    ),
    row(
        Check::Rule,
        "rule",
        Critical,
        "an enabled replication rule leads from every member to every other one",
    ),
    row(
        Check::KmsReplication,
        "kms-replication",
        Critical,
        "where the default encryption is KMS, the rules replicate such objects",
    ),
    row(
        Check::KmsReplicaKey,
        "kms-replica-key",
        Critical,
        "the replicas' key lies in the destination's Region",
    ),
    row(
        Check::ObjectLock,
        "object-lock",
        Critical,
        "Object Lock is on in all members or in none",
    ),
    row(
        Check::CanaryArrives,
        "canary-arrives",
        Critical,
        "what is written in a member arrives in every other one",
    ),
    row(
        Check::MembersMatch,
        "members-match",
        Critical,
        "the access point has the members that the settings name",
    ),
    row(
        Check::ControlEndpoint,
        "control-endpoint",
        Critical,
        "each of the five control endpoints tells the routes",
    ),
    row(
        Check::TopicSubscribed,
        "topic-subscribed",
        Critical,
        "every topic has a confirmed subscription",
    ),
    row(
        Check::MemberHealthy,
        "member-healthy",
        Warning,
        "every member has been healthy at some time in the last ten minutes",
    ),
    row(
        Check::RuleScope,
        "rule-scope",
        Warning,
        "two members replicate the same objects to one another",
    ),
    row(
        Check::RuleForm,
        "rule-form",
        Warning,
        "rules have the present form and do not contradict one another",
    ),
    row(
        Check::RuleMetrics,
        "rule-metrics",
        Warning,
        "rules have replication metrics, without which failures are silent",
    ),
    row(
        Check::TimeControl,
        "time-control",
        Warning,
        "Replication Time Control is as declared",
    ),
    row(
        Check::DeleteMarkers,
        "delete-markers",
        Warning,
        "delete markers are replicated both ways or neither way",
    ),
    row(
        Check::ReplicaModifications,
        "replica-modifications",
        Warning,
        "changes of replicas flow back, both ways",
    ),
    row(
        Check::CanaryScope,
        "canary-scope",
        Warning,
        "the canaries are within the rules' scope",
    ),
    row(
        Check::Ownership,
        "ownership",
        Warning,
        "the bucket owner owns every object",
    ),
    row(
        Check::PublicAccess,
        "public-access",
        Warning,
        "public access is blocked",
    ),
    row(
        Check::Delegation,
        "delegation",
        Warning,
        "all bucket policies delegate to access points, or none",
    ),
    row(
        Check::ReplicationEvents,
        "replication-events",
        Warning,
        "replication events reach the queue",
    ),
    row(
        Check::AlarmTopic,
        "alarm-topic",
        Warning,
        "the failover function subscribes to the topic of alarms and wake-ups",
    ),
    row(
        Check::Lifecycle,
        "lifecycle",
        Warning,
        "lifecycle rules are the same in all members",
    ),
    row(
        Check::RequesterPays,
        "requester-pays",
        Warning,
        "the same side pays for requests in all members",
    ),
    row(
        Check::WorkBucket,
        "work-bucket",
        Warning,
        "a work bucket exists in each member's Region",
    ),
    row(
        Check::WorkBucketEncryption,
        "work-bucket-encryption",
        Warning,
        "work buckets encrypt with SSE-S3",
    ),
    row(
        Check::BatchJobs,
        "batch-jobs",
        Warning,
        "the last Batch Operations job, with its role and manifest, did not fail",
    ),
    row(Check::Dials, "dials", Warning, "dials are 0 or 100"),
    row(
        Check::Alarm,
        "alarm",
        Warning,
        "the stack's alarms exist with their actions enabled",
    ),
    row(
        Check::DeadLetters,
        "dead-letters",
        Warning,
        "the dead-letter queues are empty",
    ),
    row(
        Check::ControlRegion,
        "control-region",
        Warning,
        "the stack runs in a Region that holds no member",
    ),
    row(
        Check::SelfTest,
        "self-test",
        Warning,
        "the daily self-test of the alarm's way arrived within 26 hours",
    ),
    row(
        Check::Watchdog,
        "watchdog",
        Warning,
        "a watchdog in another Region tells people that the control Region is lost",
    ),
    row(
        Check::Hold,
        "hold",
        Warning,
        "no hold has been set for more than a day",
    ),
    row(
        Check::Permission,
        "permission",
        Warning,
        "everything here may be looked at",
    ),
    row(
        Check::Readable,
        "readable",
        Warning,
        "everything here could be looked at, this time or the time before",
    ),
    row(
        Check::Topology,
        "topology",
        Info,
        "those members are active that TOPOLOGY says",
    ),
    row(
        Check::RequestMetrics,
        "request-metrics",
        Info,
        "S3's request metrics are on for the whole bucket",
    ),
    row(
        Check::CanaryHygiene,
        "canary-hygiene",
        Info,
        "old versions of canaries are removed",
    ),
    row(
        Check::Rehearsal,
        "rehearsal",
        Info,
        "the routes were turned within the last 90 days",
    ),
    row(
        Check::VantagePoint,
        "vantage-point",
        Info,
        "members are observed from two Regions",
    ),
    row(
        Check::BucketKey,
        "bucket-key",
        Info,
        "where objects under KMS are replicated with a Bucket Key, canaries prove that the keys allow it",
    ),
];

impl Check {
    /// Its name in ids, reports and docs.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE
            .iter()
            .find(|row| row.check == self)
            .map_or("a-later-check", |row| row.name)
    }

    /// How bad it can be.
    #[must_use]
    pub fn worst(self) -> Severity {
        let mut rows = TABLE.iter();
        let row = rows.find(|row| row.check == self);
        row.map_or(Critical, |row| row.worst)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_stands_in_the_table_once_under_its_own_name() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(
                serde_json::to_value(row.check).unwrap(),
                row.name,
                "row {index}"
            );
            assert_eq!(row.check as usize, index, "{}", row.name);
            if let Some(next) = TABLE.get(index + 1) {
                assert!(row.worst >= next.worst, "{} stands too low", next.name);
            }
        }
    }
}
