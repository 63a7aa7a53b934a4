//! Batch Operations jobs through the real SDK: what they do to replication, what they report.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;

use aws_sdk_s3::types::ServerSideEncryption;
use aws_sdk_s3control::Client;
use aws_sdk_s3control::operation::create_job::builders::CreateJobFluentBuilder;
use aws_sdk_s3control::primitives::DateTime;
use aws_sdk_s3control::types::builders::JobManifestBuilder;
use aws_sdk_s3control::types::{
    GeneratedManifestFormat, JobDescriptor, JobManifest, JobManifestFieldName, JobManifestFormat,
    JobManifestGenerator, JobManifestGeneratorFilter, JobManifestLocation, JobManifestSpec,
    JobOperation, JobReport, JobReportFormat, JobReportScope, JobStatus, ReplicationStatus,
    RequestedJobStatus, S3JobManifestGenerator, S3ManifestOutputLocation,
    S3ReplicateObjectOperation,
};
use common::{ACCOUNT, AWAY, HOME, config, get, put, refusal, s3, s3control, secs, start};
use simulator::truth::{JobState, ReplicationState};
use simulator::{
    AlreadyReplicated, BatchDenial, Fault, FaultKind, Outage, RepeatedToken, ReplicationRule,
    Simulator, Versioning, WorldConfig,
};

const WORK: &str = "work-use1";
const ROLE: &str = "arn:aws:iam::111122223333:role/batch";
const KEY: &str = "jobs/1/manifest.csv";

fn world(seed: u64) -> WorldConfig {
    let mut config = config(seed).bucket(WORK, "us-east-1");
    config.jobs.late_failures = 0.0;
    config
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
    let created = plain(client, etag, token).send().await;
    created.unwrap().job_id.unwrap()
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

/// A job as most tests want it, to change before it is sent.
fn plain(client: &Client, etag: &str, token: &str) -> CreateJobFluentBuilder {
    client
        .create_job()
        .account_id(ACCOUNT)
        .operation(replicate())
        .client_request_token(token)
        .description("a job")
        .priority(1)
        .role_arn(ROLE)
        .confirmation_required(false)
        .manifest(manifest(etag).build())
        .report(report(JobReportScope::AllTasks))
}

/// Writes keys of home while nothing can be replicated to `AWAY`, and waits until that failed.
async fn fail(sim: &Simulator, keys: &[&str]) {
    let home = s3(sim, "app", "us-east-1");
    sim.with(|w| w.deny_replication(HOME, AWAY, Some("DstPutObjectNotPermitted")));
    for key in keys {
        put(&home, HOME, key, "v").await;
    }
    sim.sleep(secs(60)).await;
    sim.with(|w| w.deny_replication(HOME, AWAY, None));
}

async fn upload(sim: &Simulator, rows: &str) -> String {
    put(&s3(sim, "app", "us-east-1"), WORK, KEY, rows).await
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("k{number:04}")).collect()
}

fn reasons(job: &JobDescriptor) -> String {
    let reasons = job.failure_reasons().iter();
    let texts = reasons.map(|reason| reason.failure_reason().unwrap());
    texts.collect::<Vec<_>>().join("; ")
}

#[tokio::test(start_paused = true)]
async fn what_a_request_lacks_is_a_bad_request() {
    let sim = start(world(1));
    let control = s3control(&sim, "redrive", "us-east-1");
    let job = |token: &str| plain(&control, "e", token);
    let generator = |eligible: bool| generated(&[], eligible);
    let no_bucket = JobReport::builder().enabled(true).build();
    let cases = vec![
        (
            "role",
            job("1").role_arn("arn:aws:iam::111122223333:user/x"),
        ),
        (
            "another account's role",
            job("1").role_arn("arn:aws:iam::444455556666:role/x"),
        ),
        ("long token", job(&"x".repeat(65))),
        ("long description", job("1").description("x".repeat(257))),
        ("empty description", job("1").description("")),
        ("negative priority", job("1").priority(-1)),
        ("report without a bucket", job("1").report(no_bucket)),
        ("two sources", job("1").manifest_generator(generator(true))),
        ("no source", job("1").set_manifest(None)),
        (
            "nothing that is eligible",
            job("1")
                .set_manifest(None)
                .manifest_generator(generator(false)),
        ),
    ];
    for (what, request) in cases {
        let expected = (400, "BadRequestException".to_owned());
        assert_eq!(refusal(request.send().await), expected, "{what}");
    }
    let foreign = job("1").account_id("444455556666");
    assert_eq!(refusal(foreign.send().await).0, 403);
    assert!(sim.with(|w| w.jobs().is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_token_makes_no_second_job() {
    for (rule, code) in [
        (RepeatedToken::SameJob, ""),
        (RepeatedToken::IdempotencyException, "IdempotencyException"),
    ] {
        let mut config = world(1);
        config.jobs.repeated_token = rule;
        let sim = start(config);
        let control = s3control(&sim, "redrive", "us-east-1");
        create(&control, "e", "token").await;
        assert_eq!(refusal(plain(&control, "e", "token").send().await).1, code);
        let other = plain(&control, "other", "token").send().await;
        assert_eq!(refusal(other).1, "IdempotencyException", "another request");
        assert_eq!(sim.with(|w| w.jobs().len()), 1);
        let elsewhere = s3control(&sim, "redrive", "eu-west-1");
        create(&elsewhere, "e", "token").await;
        assert_eq!(sim.with(|w| w.jobs().len()), 2, "tokens are per Region");
    }
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_cannot_be_used_fails_the_job_without_a_report() {
    let sim = start(world(1).bucket("work-euw1", "eu-west-1"));
    fail(&sim, &["k"]).await;
    let good = rows(&sim, &["k"]);
    let away = s3(&sim, "app", "us-east-1");
    let kms = away.put_object().bucket(WORK).key(KEY);
    let kms = kms.server_side_encryption(ServerSideEncryption::AwsKms);
    let control = s3control(&sim, "redrive", "us-east-1");
    let mut cases = Vec::new();
    for (body, why) in [
        (
            format!("Bucket,Key,VersionId\n{good}"),
            "more than one bucket",
        ),
        (format!("{good}{HOME},k\n"), "columns"),
        ("nowhere,k,1\n".to_owned(), "does not exist"),
        (String::new(), "no rows"),
    ] {
        let etag = upload(&sim, &body).await;
        let id = create(&control, &etag, why).await;
        cases.push((ended(&sim, &control, &id).await, why));
    }
    let etag = upload(&sim, &good).await;
    let id = create(&control, "another", "etag").await;
    cases.push((ended(&sim, &control, &id).await, "ETag"));
    sim.with(|w| w.deny_batch_role(BatchDenial::ReadManifest, true));
    let id = create(&control, &etag, "denied").await;
    cases.push((
        ended(&sim, &control, &id).await,
        "Reading the manifest is forbidden",
    ));
    sim.with(|w| {
        w.deny_batch_role(BatchDenial::ReadManifest, false);
        w.deny_batch_role(BatchDenial::AssumeRole, true);
    });
    let id = create(&control, &etag, "role").await;
    cases.push((
        ended(&sim, &control, &id).await,
        "role could not be assumed",
    ));
    sim.with(|w| w.deny_batch_role(BatchDenial::AssumeRole, false));
    let body = good.clone().into_bytes();
    let etag = kms.body(body.into()).send().await.unwrap().e_tag.unwrap();
    let id = create(&control, &etag, "kms").await;
    cases.push((ended(&sim, &control, &id).await, "AWS KMS"));
    for (job, why) in cases {
        assert_eq!(job.status(), Some(&JobStatus::Failed), "{why}");
        assert!(reasons(&job).contains(why), "{why}: {}", reasons(&job));
    }
    let reports = sim.with(|w| w.keys(WORK).len());
    assert_eq!(reports, 1, "the manifest, and no report");
    assert_eq!(state(&sim, HOME, "k"), Some(ReplicationState::Failed));
}

#[tokio::test(start_paused = true)]
async fn jobs_belong_to_the_region_of_their_source() {
    let sim = start(world(1).bucket("work-euw1", "eu-west-1"));
    fail(&sim, &["k"]).await;
    let rows = rows(&sim, &["k"]);
    let etag = put(&s3(&sim, "app", "eu-west-1"), "work-euw1", KEY, &rows).await;
    let control = s3control(&sim, "redrive", "eu-west-1");
    let location = JobManifestLocation::builder()
        .object_arn(format!("arn:aws:s3:::work-euw1/{KEY}"))
        .e_tag(etag.trim_matches('"'));
    let manifest = manifest(&etag).location(location.build().unwrap());
    let report = JobReport::builder()
        .bucket("arn:aws:s3:::work-euw1")
        .enabled(true)
        .format(JobReportFormat::ReportCsv20180820)
        .report_scope(JobReportScope::AllTasks);
    let job = plain(&control, &etag, "token").manifest(manifest.build());
    let id = job.report(report.build()).send().await.unwrap();
    let id = id.job_id.unwrap();
    let job = ended(&sim, &control, &id).await;
    assert_eq!(job.status(), Some(&JobStatus::Complete));
    let tasks = sim.with(|w| w.job_tasks(&id).to_vec());
    assert_eq!(tasks[0].failure.as_deref(), Some("SrcBucketInvalidRegion"));
    let home = s3control(&sim, "redrive", "us-east-1");
    let elsewhere = home.describe_job().account_id(ACCOUNT).job_id(&id);
    let expected = (404, "NotFoundException".to_owned());
    assert_eq!(refusal(elsewhere.send().await), expected);
}

#[tokio::test(start_paused = true)]
async fn each_version_fails_for_its_own_reason() {
    let sim = start(world(1));
    let keys = [
        "arrives",
        "hard-deleted",
        "gone",
        "newer",
        "out/of/scope",
        "twice",
    ];
    let mut rule = ReplicationRule::new(format!("to-{AWAY}"), HOME, AWAY);
    fail(&sim, &keys).await;
    let rows = rows(&sim, &keys) + &rows(&sim, &["twice"]);
    let etag = upload(&sim, &rows).await;
    sim.with(|w| {
        let version = w.versions(HOME, "gone")[0].version_id.to_string();
        assert!(w.delete_version_as_person(HOME, "gone", &version));
        // The newer version takes the older one's place.
        w.put_object_as_person(HOME, "newer", "w");
        let version = w.versions(HOME, "newer")[1].version_id.to_string();
        assert!(w.delete_version_as_person(HOME, "newer", &version));
        "a".clone_into(&mut rule.prefix);
        w.set_replication_rule(ReplicationRule {
            prefix: String::new(),
            ..rule.clone()
        });
    });
    // It arrives once, and is deleted for good at the destination.
    let control = s3control(&sim, "redrive", "us-east-1");
    let first = create(&control, &etag, "first").await;
    ended(&sim, &control, &first).await;
    sim.sleep(secs(30)).await;
    sim.with(|w| {
        let version = w.versions(AWAY, "hard-deleted")[0].version_id.to_string();
        assert!(w.delete_version_as_person(AWAY, "hard-deleted", &version));
        w.set_replication_rule(ReplicationRule {
            prefix: "out".to_owned(),
            enabled: false,
            ..rule.clone()
        });
    });
    let ineligible = create(&control, &etag, "ineligible").await;
    ended(&sim, &control, &ineligible).await;
    let found = reported(&sim, &ineligible).await;
    assert_eq!(
        found["arrives"][3..6],
        ["failed", "500", "SrcObjectNotEligible"]
    );
    rule.prefix = String::new();
    sim.with(|w| w.set_replication_rule(rule));
    let second = create(&control, &etag, "second").await;
    let job = ended(&sim, &control, &second).await;
    assert_eq!(job.status(), Some(&JobStatus::Complete), "with failures");
    let found = reported(&sim, &second).await;
    for (key, expected) in [
        ("arrives", ["succeeded", "200", ""]),
        ("hard-deleted", ["failed", "400", "DstObjectHardDeleted"]),
        ("gone", ["failed", "404", "SrcKeyNotFound"]),
        ("newer", ["failed", "404", "SrcVersionNotFound"]),
    ] {
        assert_eq!(found[key][3..6], expected, "{key}");
    }
    sim.sleep(secs(30)).await;
    assert_eq!(
        state(&sim, HOME, "hard-deleted"),
        Some(ReplicationState::Failed)
    );
    let repeated = sim.with(|w| w.repeated_tasks());
    let of = |key: &str| repeated.iter().find(|r| r.key == key).unwrap();
    assert_eq!(of("arrives").jobs.len(), 3);
    assert!(!of("arrives").overlapping);
    assert!(of("twice").overlapping, "twice in one job");
}

#[tokio::test(start_paused = true)]
async fn one_broken_destination_fails_a_task_but_not_the_others() {
    let sim = start(world(1).member("app-apne1", "ap-northeast-1"));
    sim.with(|w| w.set_versioning(AWAY, Versioning::Suspended));
    put(&s3(&sim, "app", "us-east-1"), HOME, "k", "v").await;
    sim.sleep(secs(30)).await;
    assert_eq!(state(&sim, HOME, "k"), Some(ReplicationState::Failed));
    assert_eq!(
        state(&sim, "app-apne1", "k"),
        Some(ReplicationState::Replica)
    );
    let etag = upload(&sim, &rows(&sim, &["k"])).await;
    let control = s3control(&sim, "redrive", "us-east-1");
    sim.with(|w| w.delete_bucket_as_person("app-apne1"));
    let id = create(&control, &etag, "token").await;
    ended(&sim, &control, &id).await;
    let rows = reported(&sim, &id).await;
    assert_eq!(rows["k"][3], "failed");
    sim.with(|w| w.set_versioning(AWAY, Versioning::Enabled));
    let id = create(&control, &etag, "again").await;
    ended(&sim, &control, &id).await;
    sim.sleep(secs(30)).await;
    assert_eq!(reported(&sim, &id).await["k"][5], "DstBucketNotFound");
    assert_eq!(state(&sim, AWAY, "k"), Some(ReplicationState::Replica));
    assert_eq!(
        state(&sim, HOME, "k"),
        Some(ReplicationState::Failed),
        "over all destinations"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_succeeds_long_before_its_replica_arrives() {
    let mut config = world(1);
    config.jobs.late_failures = 1.0;
    let sim = start(config);
    fail(&sim, &["k"]).await;
    let etag = upload(&sim, &rows(&sim, &["k"])).await;
    let control = s3control(&sim, "redrive", "us-east-1");
    sim.with(|w| w.region_down(Outage::refuse("eu-west-1", w.now(), secs(7200))));
    let id = create(&control, &etag, "down").await;
    let job = ended(&sim, &control, &id).await;
    assert_eq!(
        job.progress_summary().unwrap().number_of_tasks_succeeded(),
        Some(1)
    );
    sim.sleep(secs(3600)).await;
    assert_eq!(state(&sim, HOME, "k"), Some(ReplicationState::Pending));
    sim.sleep(secs(7200)).await;
    assert_eq!(state(&sim, HOME, "k"), Some(ReplicationState::Completed));
    sim.with(|w| {
        w.purge_as_person(AWAY, "");
        w.take_replication_messages();
    });
    let id = create(&control, &etag, "late").await;
    ended(&sim, &control, &id).await;
    assert_eq!(reported(&sim, &id).await["k"][3], "succeeded");
    sim.sleep(secs(600)).await;
    assert_eq!(state(&sim, HOME, "k"), Some(ReplicationState::Failed));
    let messages = sim.with(simulator::World::take_replication_messages);
    assert_eq!(
        messages.len(),
        1,
        "a failure that a job caused is an event too"
    );
    assert!(messages[0].body.contains("DstObjectHardDeleted"));
}

#[tokio::test(start_paused = true)]
async fn replicas_are_replicated_by_jobs_only() {
    let sim = start(
        world(1)
            .bucket("work-euw1", "eu-west-1")
            .member("app-apne1", "ap-northeast-1"),
    );
    sim.sleep(secs(5)).await;
    put(&s3(&sim, "app", "us-east-1"), HOME, "k", "v").await;
    sim.sleep(secs(30)).await;
    let control = s3control(&sim, "redrive", "eu-west-1");
    let job = plain(&control, "", "token")
        .set_manifest(None)
        .manifest_generator(generated_of(AWAY, &[ReplicationStatus::Replica], true));
    let report = JobReport::builder().enabled(false).build();
    let id = job.report(report).send().await.unwrap().job_id.unwrap();
    let job = ended(&sim, &control, &id).await;
    assert_eq!(
        job.status(),
        Some(&JobStatus::Complete),
        "{}",
        reasons(&job)
    );
    sim.sleep(secs(30)).await;
    assert_eq!(sim.with(|w| w.job_tasks(&id).len()), 1);
    assert_eq!(state(&sim, AWAY, "k"), Some(ReplicationState::Replica));
    let both = sim.with(|w| w.object(AWAY, "k").unwrap().transfers.to_map());
    assert_eq!(both.len(), 2, "by every matching rule of the bucket");
}

fn generated(statuses: &[ReplicationStatus], eligible: bool) -> JobManifestGenerator {
    generated_of(HOME, statuses, eligible)
}

fn generated_of(
    bucket: &str,
    statuses: &[ReplicationStatus],
    eligible: bool,
) -> JobManifestGenerator {
    let filter = JobManifestGeneratorFilter::builder()
        .eligible_for_replication(eligible)
        .set_object_replication_statuses(Some(statuses.to_vec()))
        .created_after(DateTime::from_secs(simulator::DEFAULT_EPOCH.as_second()));
    let generator = S3JobManifestGenerator::builder()
        .source_bucket(format!("arn:aws:s3:::{bucket}"))
        .enable_manifest_output(false)
        .filter(filter.build());
    JobManifestGenerator::S3JobManifestGenerator(generator.build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn generated_manifests_have_what_matches_their_filter() {
    let sim = start(world(1));
    let home = s3(&sim, "app", "us-east-1");
    let mut rule = ReplicationRule::new(format!("to-{AWAY}"), HOME, AWAY);
    rule.enabled = false;
    sim.with(|w| w.set_replication_rule(rule.clone()));
    sim.sleep(secs(5)).await;
    put(&home, HOME, "none", "v").await;
    rule.enabled = true;
    sim.with(|w| w.set_replication_rule(rule));
    put(&home, HOME, "completed", "v").await;
    put(&s3(&sim, "app", "eu-west-1"), AWAY, "replica", "v").await;
    sim.sleep(secs(10)).await;
    fail(&sim, &["failed"]).await;
    sim.with(|w| w.set_replication_delay(HOME, AWAY, 100_000_000..=100_000_000));
    put(&home, HOME, "pending", "v").await;
    let control = s3control(&sim, "redrive", "us-east-1");
    let report = JobReport::builder().enabled(false).build();
    for (status, expected) in [
        (ReplicationStatus::Failed, "failed"),
        (ReplicationStatus::None, "none"),
        (ReplicationStatus::Completed, "completed"),
        (ReplicationStatus::Replica, "replica"),
    ] {
        let job = plain(&control, "", expected)
            .report(report.clone())
            .set_manifest(None);
        let job = job.manifest_generator(generated(&[status], true));
        let id = job.send().await.unwrap().job_id.unwrap();
        let job = ended(&sim, &control, &id).await;
        assert_eq!(job.status(), Some(&JobStatus::Complete), "{expected}");
        let tasks = sim.with(|w| w.job_tasks(&id).to_vec());
        let keys: Vec<&str> = tasks.iter().map(|task| &*task.key).collect();
        assert_eq!(keys, [expected]);
    }
    // All of them are pending now.
    let job = plain(&control, "", "again")
        .report(report)
        .set_manifest(None);
    let job = job.manifest_generator(generated(&[ReplicationStatus::Failed], true));
    let id = job.send().await.unwrap().job_id.unwrap();
    let job = ended(&sim, &control, &id).await;
    assert_eq!(job.status(), Some(&JobStatus::Failed));
    let expected = "Manifest generation found no keys matching the filter criteria.";
    assert_eq!(reasons(&job), expected);
}

#[tokio::test(start_paused = true)]
async fn a_generated_manifest_can_be_kept() {
    let sim = start(world(1));
    fail(&sim, &["a b", "c"]).await;
    let output = S3ManifestOutputLocation::builder()
        .bucket(format!("arn:aws:s3:::{WORK}"))
        .manifest_prefix("made")
        .manifest_format(GeneratedManifestFormat::S3InventoryReportCsv20211130);
    let filter = JobManifestGeneratorFilter::builder().eligible_for_replication(true);
    let generator = S3JobManifestGenerator::builder()
        .source_bucket(format!("arn:aws:s3:::{HOME}"))
        .enable_manifest_output(true)
        .manifest_output_location(output.build().unwrap())
        .filter(filter.build());
    let generator = JobManifestGenerator::S3JobManifestGenerator(generator.build().unwrap());
    let control = s3control(&sim, "redrive", "us-east-1");
    let job = plain(&control, "", "token").set_manifest(None);
    let id = job.manifest_generator(generator).send().await.unwrap();
    let id = id.job_id.unwrap();
    let job = ended(&sim, &control, &id).await;
    let made = job.generated_manifest_descriptor().unwrap();
    let arn = made.location().unwrap().object_arn();
    let key = arn.strip_prefix(&format!("arn:aws:s3:::{WORK}/")).unwrap();
    let client = s3(&sim, "reader", "us-east-1");
    let manifest: serde_json::Value = serde_json::from_str(&get(&client, WORK, key).await).unwrap();
    let data = manifest["files"][0]["key"].as_str().unwrap();
    let rows = get(&client, WORK, data).await;
    assert!(rows.starts_with(&format!("{HOME},a%20b,")), "{rows}");
    assert_eq!(rows.lines().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn more_than_half_of_a_thousand_failures_fail_the_job() {
    for (good, bad, expected) in [
        (0, 999, JobStatus::Complete),
        (600, 600, JobStatus::Complete),
        (500, 700, JobStatus::Failed),
    ] {
        let mut config = world(1);
        config.jobs.report_rows = 250;
        let sim = start(config);
        let keys = numbered(good);
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        sim.with(|w| {
            for key in &keys {
                w.put_object_as_person(HOME, key, "v");
            }
        });
        sim.sleep(secs(30)).await;
        let gone = (0..bad).fold(String::new(), |mut rows, number| {
            writeln!(rows, "{HOME},gone{number},1").unwrap();
            rows
        });
        let etag = upload(&sim, &(rows(&sim, &names) + &gone)).await;
        let control = s3control(&sim, "redrive", "us-east-1");
        let id = create(&control, &etag, "token").await;
        let job = ended(&sim, &control, &id).await;
        assert_eq!(job.status(), Some(&expected), "{good} {bad}");
        let found = reported(&sim, &id).await;
        assert_eq!(found.len(), good + bad, "in several files");
        if expected == JobStatus::Failed {
            assert!(reasons(&job).contains("more than half"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_of_failures_only_has_no_file_without_failures() {
    let sim = start(world(1));
    fail(&sim, &["k"]).await;
    let control = s3control(&sim, "redrive", "us-east-1");
    for (rows, expected) in [
        (rows(&sim, &["k"]), 0),
        (rows(&sim, &["k"]) + &format!("{HOME},gone,1\n"), 1),
    ] {
        let etag = upload(&sim, &rows).await;
        let job = plain(&control, &etag, &format!("only {expected}"));
        let job = job.report(report(JobReportScope::FailedTasksOnly));
        let id = job.send().await.unwrap().job_id.unwrap();
        ended(&sim, &control, &id).await;
        assert_eq!(reported(&sim, &id).await.len(), expected);
    }
    let client = s3(&sim, "reader", "us-east-1");
    let id = sim.with(|w| w.jobs()[1].id.clone());
    let folder = format!("jobs/1/job-{id}");
    let manifest = get(&client, WORK, &format!("{folder}/manifest.json")).await;
    let checksum = get(&client, WORK, &format!("{folder}/manifest.json.md5")).await;
    let etag = sim.with(|w| {
        let key = format!("{folder}/manifest.json");
        w.object(WORK, &key).unwrap().etag.to_string()
    });
    assert_eq!(checksum, etag.trim_matches('"'));
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(
        manifest["ReportSchema"],
        "Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage",
        "which is not the order of the rows"
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_can_wait_for_confirmation_and_be_cancelled() {
    let sim = start(world(1));
    fail(&sim, &["k"]).await;
    let etag = upload(&sim, &rows(&sim, &["k"])).await;
    let control = s3control(&sim, "redrive", "us-east-1");
    let update = async |id: &str, status| {
        let update = control.update_job_status().account_id(ACCOUNT).job_id(id);
        refusal(update.requested_job_status(status).send().await)
    };
    let waiting = |token| {
        plain(&control, &etag, token)
            .confirmation_required(true)
            .send()
    };
    let id = waiting("1").await.unwrap().job_id.unwrap();
    sim.sleep(secs(120)).await;
    let job = describe(&control, &id).await;
    assert_eq!(job.status(), Some(&JobStatus::Suspended));
    assert_eq!(
        job.progress_summary().unwrap().total_number_of_tasks(),
        Some(1)
    );
    assert_eq!(update(&id, RequestedJobStatus::Ready).await.0, 200);
    assert_eq!(
        ended(&sim, &control, &id).await.status(),
        Some(&JobStatus::Complete)
    );
    let refused = update(&id, RequestedJobStatus::Cancelled).await;
    assert_eq!(refused, (400, "JobStatusException".to_owned()));
    let id = waiting("2").await.unwrap().job_id.unwrap();
    sim.sleep(secs(120)).await;
    assert_eq!(update(&id, RequestedJobStatus::Cancelled).await.0, 200);
    assert_eq!(
        ended(&sim, &control, &id).await.status(),
        Some(&JobStatus::Cancelled)
    );
    let id = waiting("3").await.unwrap().job_id.unwrap();
    sim.sleep(secs(31 * 86_400)).await;
    assert_eq!(
        describe(&control, &id).await.status(),
        Some(&JobStatus::Failed)
    );
    sim.sleep(secs(91 * 86_400)).await;
    let gone = control.describe_job().account_id(ACCOUNT).job_id(&id);
    assert_eq!(refusal(gone.send().await).0, 404, "after 90 days");
}

#[tokio::test(start_paused = true)]
async fn six_jobs_run_at_once_and_priority_decides_which() {
    let mut config = world(1);
    config.timing.job_tasks_per_second = 1;
    config.jobs.active_quota = 2;
    let sim = start(config);
    fail(&sim, &["k"]).await;
    let long = rows(&sim, &["k"]).repeat(300);
    let etag = upload(&sim, &long).await;
    let control = s3control(&sim, "redrive", "us-east-1");
    let mut ids = Vec::new();
    for (token, priority) in [("a", 1), ("b", 2), ("c", 3), ("d", 0)] {
        let job = plain(&control, &etag, token).priority(priority);
        ids.push(job.send().await.unwrap().job_id.unwrap());
        sim.sleep(secs(30)).await;
    }
    let states = || sim.with(|w| w.jobs().iter().map(|job| job.state).collect::<Vec<_>>());
    let (paused, active) = (JobState::Paused, JobState::Active);
    assert_eq!(states(), [paused, active, active, JobState::Ready]);
    let update = control
        .update_job_priority()
        .account_id(ACCOUNT)
        .job_id(&ids[3]);
    update.priority(9).send().await.unwrap();
    sim.sleep(secs(30)).await;
    assert_eq!(states(), [paused, paused, active, active]);
    let list = control
        .list_jobs()
        .account_id(ACCOUNT)
        .job_statuses(JobStatus::Paused);
    let listed = list.job_statuses(JobStatus::Ready).send().await.unwrap();
    assert_eq!(listed.jobs().len(), 2);
    sim.sleep(secs(3600)).await;
    assert_eq!(states(), [JobState::Complete; 4]);
    assert_eq!(describe(&control, &ids[3]).await.priority(), 9);
}

#[tokio::test(start_paused = true)]
async fn jobs_are_listed_in_pages_newest_first() {
    let mut config = world(1);
    config.timing.job_unknown = 60_000..=60_000;
    let sim = start(config);
    let control = s3control(&sim, "redrive", "us-east-1");
    let mut ids = Vec::new();
    for token in ["a", "b", "c"] {
        ids.push(create(&control, "e", token).await);
    }
    let soon = control.describe_job().account_id(ACCOUNT).job_id(&ids[0]);
    assert_eq!(
        refusal(soon.send().await).1,
        "NotFoundException",
        "not known yet"
    );
    sim.sleep(secs(61)).await;
    let page = |token: Option<String>| {
        let list = control.list_jobs().account_id(ACCOUNT).max_results(2);
        list.set_next_token(token).send()
    };
    let first = page(None).await.unwrap();
    let second = page(first.next_token.clone()).await.unwrap();
    assert_eq!(second.next_token, None);
    let pages = first.jobs().iter().chain(second.jobs());
    let listed: Vec<&str> = pages.map(|job| job.job_id().unwrap()).collect();
    ids.reverse();
    assert_eq!(listed, ids);
    let wrong = page(Some("nonsense".to_owned())).await;
    assert_eq!(refusal(wrong).1, "InvalidNextTokenException");
    sim.with(|w| {
        let fault = Fault::new(FaultKind::TooManyRequests).operation("CreateJob");
        w.add_fault(fault)
    });
    let throttled = plain(&control, "e", "d").send().await;
    let expected = (400, "TooManyRequestsException".to_owned());
    assert_eq!(refusal(throttled), expected);
}

#[tokio::test(start_paused = true)]
async fn a_job_waits_while_its_region_is_down() {
    let sim = start(world(1));
    fail(&sim, &["k"]).await;
    let etag = upload(&sim, &rows(&sim, &["k"])).await;
    let control = s3control(&sim, "redrive", "us-east-1");
    let id = create(&control, &etag, "token").await;
    sim.with(|w| w.region_down(Outage::refuse("us-east-1", w.now(), secs(3600))));
    let down = control.describe_job().account_id(ACCOUNT).job_id(&id);
    assert_eq!(refusal(down.send().await).0, 0, "no answer");
    sim.sleep(secs(3500)).await;
    assert_eq!(sim.with(|w| w.jobs()[0].state), JobState::New);
    sim.sleep(secs(600)).await;
    assert_eq!(sim.with(|w| w.jobs()[0].state), JobState::Complete);
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_may_be_told_as_not_pending() {
    let mut config = world(1);
    config.jobs.already_replicated = AlreadyReplicated::NotPending;
    let sim = start(config);
    put(&s3(&sim, "app", "us-east-1"), HOME, "k", "v").await;
    sim.sleep(secs(30)).await;
    let etag = upload(&sim, &rows(&sim, &["k"])).await;
    let control = s3control(&sim, "redrive", "us-east-1");
    let id = create(&control, &etag, "token").await;
    ended(&sim, &control, &id).await;
    assert_eq!(
        reported(&sim, &id).await["k"][5],
        "SrcReplicationNotPending"
    );
    assert_eq!(state(&sim, HOME, "k"), Some(ReplicationState::Completed));
}
