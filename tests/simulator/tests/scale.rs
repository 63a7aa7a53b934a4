//! A storm of failures and the job after it, large enough to show what each version costs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fmt::Write;
use std::time::Duration;

use aws_sdk_s3control::types::{
    JobManifest, JobManifestFieldName, JobManifestFormat, JobManifestLocation, JobManifestSpec,
    JobOperation, JobReport, JobReportFormat, JobReportScope, S3ReplicateObjectOperation,
};
use bytes::Bytes;
use common::{ACCOUNT, AWAY, HOME, config, s3control, secs, start};
use simulator::Simulator;
use simulator::truth::{JobState, ReplicationState};

const WORK: &str = "work-use1";

#[tokio::test(start_paused = true)]
async fn fifty_thousand_failures_come_home_in_one_job() {
    storm(50_000).await;
}

/// What the drill's event storm costs here: `cargo test --workspace --test scale -- --ignored`.
#[tokio::test(start_paused = true)]
#[ignore = "takes half a minute"]
async fn a_million_failures_come_home_in_one_job() {
    storm(1_000_000).await;
}

async fn storm(count: usize) {
    let sim = start(config(1).bucket(WORK, "us-east-1"));
    sim.with(|w| w.deny_replication(HOME, AWAY, Some("AssumeRoleNotPermitted")));
    let body = Bytes::from_static(b"content");
    let key = |number: usize| format!("app/{number:07}");
    for number in 0..count {
        sim.with(|w| w.put_object_as_person(HOME, &key(number), body.clone()));
    }
    tell("written");
    sim.sleep(secs(400)).await;
    sim.with(|w| w.now()); // the world catches up when somebody looks
    tell("failed");
    let mut events = 0;
    loop {
        let messages = sim.with(|w| w.take_some_replication_messages(10_000));
        if messages.is_empty() {
            break;
        }
        events += messages.len();
    }
    assert_eq!(events, count + 2, "with the test events of two buckets");
    tell("told");
    sim.with(|w| w.deny_replication(HOME, AWAY, None));
    let manifest = sim.with(|w| {
        (0..count).fold(String::new(), |mut rows, number| {
            let key = key(number);
            let version = &w.versions(HOME, &key)[0].version_id;
            writeln!(rows, "{HOME},{key},{version}").unwrap();
            rows
        })
    });
    sim.with(|w| w.put_object_as_person(WORK, "manifest.csv", manifest));
    create(&sim).await;
    tell("job created");
    while !sim.with(|w| w.jobs()[0].state.is_terminal()) {
        sim.sleep(secs(10)).await;
    }
    sim.sleep(secs(10)).await;
    tell("job over");
    sim.with(|w| {
        let job = &w.jobs()[0];
        assert_eq!(job.state, JobState::Complete);
        assert_eq!(job.succeeded, count as u64);
        assert!(w.repeated_tasks().is_empty());
        for number in 0..count {
            let replica = w.object(AWAY, &key(number)).unwrap();
            assert_eq!(replica.replication(), Some(ReplicationState::Replica));
        }
    });
    tell("looked at");
}

async fn create(sim: &Simulator) {
    let etag = sim.with(|w| w.object(WORK, "manifest.csv").unwrap().etag.to_string());
    let spec = JobManifestSpec::builder()
        .format(JobManifestFormat::S3BatchOperationsCsv20180820)
        .fields(JobManifestFieldName::Bucket)
        .fields(JobManifestFieldName::Key)
        .fields(JobManifestFieldName::VersionId);
    let location = JobManifestLocation::builder()
        .object_arn(format!("arn:aws:s3:::{WORK}/manifest.csv"))
        .e_tag(etag.trim_matches('"'));
    let manifest = JobManifest::builder()
        .spec(spec.build().unwrap())
        .location(location.build().unwrap());
    let report = JobReport::builder()
        .enabled(true)
        .bucket(format!("arn:aws:s3:::{WORK}"))
        .prefix("report")
        .format(JobReportFormat::ReportCsv20180820)
        .report_scope(JobReportScope::AllTasks);
    let replicate = S3ReplicateObjectOperation::builder().build();
    let operation = JobOperation::builder().s3_replicate_object(replicate);
    let create = s3control(sim, "redrive", "us-east-1")
        .create_job()
        .account_id(ACCOUNT)
        .operation(operation.build())
        .client_request_token("token")
        .priority(0)
        .role_arn("arn:aws:iam::111122223333:role/batch")
        .confirmation_required(false)
        .manifest(manifest.build())
        .report(report.build());
    create.send().await.unwrap();
}

/// How far it is, after how long, and how much memory it took so far.
#[expect(
    clippy::print_stderr,
    reason = "figures for those who ask with --nocapture"
)]
fn tell(what: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    eprintln!("{what}: {:?} {}", elapsed(), peak.unwrap_or_default());
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time that the test itself takes"
)]
fn elapsed() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
