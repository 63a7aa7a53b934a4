//! Batch Operations jobs through the real SDK: what they do to replication, what they report.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use aws_sdk_s3control::Client;
use aws_sdk_s3control::types::builders::JobManifestBuilder;
use aws_sdk_s3control::types::{
    JobDescriptor, JobManifest, JobManifestFieldName, JobManifestFormat, JobManifestLocation,
    JobManifestSpec, JobOperation, JobReport, JobReportFormat, JobReportScope, JobStatus,
    S3ReplicateObjectOperation,
};
use common::{ACCOUNT, AWAY, HOME, config, get, put, s3, s3control, secs, start};
use simulator::truth::{JobState, ReplicationState};
use simulator::{Simulator, WorldConfig};

const WORK: &str = "work-use1";
const ROLE: &str = "arn:aws:iam::111122223333:role/batch";
const KEY: &str = "jobs/1/manifest.csv";

fn world(seed: u64) -> WorldConfig {
    config(seed).bucket(WORK, "us-east-1")
}

/// Every failing version of home as manifest rows.
fn rows(sim: &Simulator, keys: &[&str]) -> String {
    sim.with(|world| {
        let versions = keys.iter().map(|key| {
            let version = &world.versions(HOME, key)[0].version_id;
            format!("{HOME},{},{version}\n", key.replace(' ', "%20"))
        });
        versions.collect()
    })
}

fn manifest(etag: &str) -> JobManifestBuilder {
    let spec = JobManifestSpec::builder()
        .format(JobManifestFormat::S3BatchOperationsCsv20180820)
        .fields(JobManifestFieldName::Bucket)
        .fields(JobManifestFieldName::Key)
        .fields(JobManifestFieldName::VersionId);
    let location = JobManifestLocation::builder()
        .object_arn(format!("arn:aws:s3:::{WORK}/{KEY}"))
        .e_tag(etag.trim_matches('"'));
    JobManifest::builder()
        .spec(spec.build().unwrap())
        .location(location.build().unwrap())
}

fn report(scope: JobReportScope) -> JobReport {
    JobReport::builder()
        .enabled(true)
        .bucket(format!("arn:aws:s3:::{WORK}"))
        .prefix("jobs/1")
        .format(JobReportFormat::ReportCsv20180820)
        .report_scope(scope)
        .build()
}

fn replicate() -> JobOperation {
    let operation = S3ReplicateObjectOperation::builder().build();
    JobOperation::builder()
        .s3_replicate_object(operation)
        .build()
}

async fn create(client: &Client, etag: &str, token: &str) -> String {
    let create = client
        .create_job()
        .account_id(ACCOUNT)
        .operation(replicate())
        .client_request_token(token)
        .description("a job")
        .priority(1)
        .role_arn(ROLE)
        .confirmation_required(false)
        .manifest(manifest(etag).build())
        .report(report(JobReportScope::AllTasks));
    create.send().await.unwrap().job_id.unwrap()
}

async fn describe(client: &Client, id: &str) -> JobDescriptor {
    let describe = client.describe_job().account_id(ACCOUNT).job_id(id);
    describe.send().await.unwrap().job.unwrap()
}

async fn ended(sim: &Simulator, client: &Client, id: &str) -> JobDescriptor {
    for _ in 0..100 {
        let job = describe(client, id).await;
        if job.termination_date.is_some() {
            return job;
        }
        sim.sleep(secs(30)).await;
    }
    unreachable!("the job does not end")
}

fn state(sim: &Simulator, bucket: &str, key: &str) -> Option<ReplicationState> {
    sim.with(|world| {
        world
            .object(bucket, key)
            .and_then(simulator::truth::ObjectVersion::replication)
    })
}

/// The rows of a report by key.
async fn reported(sim: &Simulator, id: &str) -> BTreeMap<String, Vec<String>> {
    let client = s3(sim, "reader", "us-east-1");
    let manifest = get(&client, WORK, &format!("jobs/1/job-{id}/manifest.json")).await;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let mut rows = BTreeMap::new();
    for result in manifest["Results"].as_array().unwrap() {
        let body = get(&client, WORK, result["Key"].as_str().unwrap()).await;
        for line in body.lines() {
            let fields: Vec<String> = line.split(',').map(str::to_owned).collect();
            assert_eq!(fields[3], result["TaskExecutionStatus"].as_str().unwrap());
            rows.insert(fields[1].clone(), fields);
        }
    }
    rows
}

#[tokio::test(start_paused = true)]
async fn a_job_re_drives_what_failed_once_the_cause_is_gone() {
    let sim = start(world(1));
    let home = s3(&sim, "app", "us-east-1");
    sim.with(|w| w.deny_replication(HOME, AWAY, Some("AssumeRoleNotPermitted")));
    for key in ["a b", "c"] {
        put(&home, HOME, key, "v").await;
    }
    sim.sleep(secs(60)).await;
    assert_eq!(state(&sim, HOME, "a b"), Some(ReplicationState::Failed));
    sim.with(|w| w.deny_replication(HOME, AWAY, None));
    let rows = rows(&sim, &["a b", "c"]) + &format!("{HOME},gone,1\n");
    let etag = put(&home, WORK, KEY, &rows).await;
    let control = s3control(&sim, "redrive", "us-east-1");
    let id = create(&control, &etag, "token").await;
    assert_eq!(create(&control, &etag, "token").await, id, "the same token");
    assert_eq!(
        describe(&control, &id).await.status(),
        Some(&JobStatus::New)
    );
    let job = ended(&sim, &control, &id).await;
    assert_eq!(job.status(), Some(&JobStatus::Complete));
    let progress = job.progress_summary().unwrap();
    assert_eq!(progress.total_number_of_tasks(), Some(3));
    assert_eq!(progress.number_of_tasks_succeeded(), Some(2));
    assert_eq!(progress.number_of_tasks_failed(), Some(1));
    let reported = reported(&sim, &id).await;
    assert_eq!(reported["a%20b"][3..6], ["succeeded", "200", ""]);
    assert_eq!(reported["gone"][3..6], ["failed", "404", "SrcKeyNotFound"]);
    sim.sleep(secs(10)).await;
    for key in ["a b", "c"] {
        assert_eq!(state(&sim, HOME, key), Some(ReplicationState::Completed));
        assert_eq!(state(&sim, AWAY, key), Some(ReplicationState::Replica));
    }
    let truth = sim.with(|w| w.jobs());
    assert_eq!(truth.len(), 1);
    assert_eq!(truth[0].state, JobState::Complete);
    assert_eq!(truth[0].bucket.as_deref(), Some(HOME));
    assert_eq!(sim.with(|w| w.job_tasks(&id).len()), 3);
}
