//! A cause that the readiness check no longer finds brings its sample forward.

use jiff::{SignedDuration, Timestamp};
use sentinel_core::readiness::Report;
use sentinel_core::redrive::state::GroupPhase;
use serde_json::json;

use super::common::{Bench, group, unversioned};

const MRAP: &str = "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap";

/// A report with these checks' findings about these subjects.
fn report(at: Timestamp, findings: &[(&str, &str)]) -> Report {
    let findings: Vec<_> = findings
        .iter()
        .map(|(check, subject)| {
            json!({
                "id": format!("{check}/{subject}"), "check": check, "severity": "critical",
                "subject": subject, "evidence": "…", "consequence": "…", "remedy": "…", "since": at,
            })
        })
        .collect();
    let document = json!({
        "schema": 1, "mrap": MRAP, "observedAt": at, "checked": 70, "findings": findings,
        "digestAt": at, "writtenBy": "a-look",
    });
    Report::parse(document, &MRAP.parse().unwrap()).unwrap()
}

impl Bench {
    fn told(&mut self, findings: &[(&str, &str)]) {
        self.inventory.readiness = Some(report(self.now, findings));
        self.look();
    }

    fn next_sample(&self) -> Timestamp {
        let record = self.state.groups.values().next().expect("a group");
        let GroupPhase::Held { next_sample_at, .. } = record.phase else {
            panic!("{:?}", record.phase)
        };
        next_sample_at
    }

    fn due_in(&self) -> SignedDuration {
        self.next_sample().duration_since(self.now)
    }
}

const VERSIONING: (&str, &str) = ("versioning", "app-euw1");

#[test]
fn what_is_found_no_more_is_sampled_at_once() {
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 5);
    bench.wait(60);
    bench.told(&[VERSIONING, ("rule", "app-use1 to app-euw1")]);
    let waits = bench.next_sample();
    assert!(bench.due_in().is_positive());
    bench.wait(60);
    bench.told(&[VERSIONING]);
    assert_eq!(bench.next_sample(), waits, "it is found still");
    bench.wait(60);
    bench.told(&[("rule", "app-use1 to app-euw1")]);
    assert_eq!(bench.due_in(), SignedDuration::ZERO);
    assert_eq!(bench.begun().len(), 1, "the sample");
    // The same report says so only once.
    bench.look();
    assert_eq!(bench.next_sample(), bench.now);
}

#[test]
fn what_the_check_never_found_waits_for_its_time() {
    type Found = &'static [(&'static str, &'static str)];
    let unrelated: &[Found] = &[
        &[],
        &[("versioning", "app-use1")],
        &[("rule", "app-use1 to app-euw1")],
        &[("kms-replica-key", "app-use1 to app-euw1")],
    ];
    for findings in unrelated {
        let mut bench = Bench::new(&[]);
        bench.fail(&unversioned(), 5);
        bench.wait(60);
        bench.told(findings);
        bench.wait(60);
        bench.told(&[]);
        assert!(bench.due_in().is_positive(), "{findings:?}");
    }
    // No report, no hurry; a report from before the group was held neither.
    let mut bench = Bench::new(&[]);
    bench.inventory.readiness = Some(report(bench.now, &[VERSIONING]));
    bench.wait(60);
    bench.fail(&unversioned(), 5);
    bench.inventory.readiness = Some(report(bench.now, &[]));
    bench.look();
    assert!(bench.due_in().is_positive(), "looked at while it began");
    bench.wait(60);
    bench.inventory.readiness = None;
    bench.look();
    assert!(bench.due_in().is_positive());
}

/// What explained an earlier episode says nothing about the next one.
#[test]
fn a_new_episode_is_explained_anew() {
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 5);
    bench.wait(60);
    bench.told(&[VERSIONING]);
    // Somebody mends it and asks for a retry, and it arrives before the check looks again.
    bench.inventory.open.clear();
    bench.look();
    bench.wait(60);
    bench.fail(&unversioned(), 5);
    bench.wait(60);
    bench.told(&[]);
    assert!(bench.due_in().is_positive());
}

#[test]
fn a_finding_explains_a_reason_between_these_two() {
    let cases = [
        ("DstBucketUnversioned", "versioning", "app-euw1", true),
        ("DstBucketUnversioned", "versioning", "app-use1", false),
        ("DstBucketNotFound", "bucket-exists", "app-euw1", true),
        ("SrcBucketNotFound", "bucket-exists", "app-use1", true),
        ("SrcBucketNotFound", "bucket-exists", "app-euw1", false),
        (
            "DstBucketObjectLockConfigMissing",
            "object-lock",
            "app-use1 to app-euw1",
            true,
        ),
        (
            "DstKmsKeyNotFound",
            "kms-replica-key",
            "app-use1 to app-euw1",
            true,
        ),
        (
            "DstKmsKeyNotFound",
            "kms-replica-key",
            "app-euw1 to app-use1",
            false,
        ),
        (
            "SrcBucketReplicationConfigMissing",
            "rule",
            "app-use1 to app-euw1",
            true,
        ),
        (
            "AssumeRoleNotPermitted",
            "rule",
            "app-use1 to app-euw1",
            false,
        ),
    ];
    for (reason, check, subject, expected) in cases {
        let mut bench = Bench::new(&[]);
        bench.fail(&group("app-use1", "app-euw1", reason), 5);
        bench.wait(60);
        bench.told(&[(check, subject)]);
        bench.wait(60);
        bench.told(&[]);
        let is_due = bench.due_in() == SignedDuration::ZERO;
        assert_eq!(is_due, expected, "{reason}: {check}/{subject}");
    }
}
