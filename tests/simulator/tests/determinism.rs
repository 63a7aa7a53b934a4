//! The same seed gives the same run: twice in one process, and in another one.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod common;

use std::hash::{Hash, Hasher};

use aws_sdk_s3control::types::{
    JobManifestGenerator, JobManifestGeneratorFilter, JobOperation, JobReport, ReplicationStatus,
    S3JobManifestGenerator, S3ReplicateObjectOperation,
};
use common::{ALIAS, AWAY, HOME, MRAP, config, s3, s3control, secs, sns, start};
use simulator::cloudwatch::{AlarmConfig, MetricName};
use simulator::{Fault, FaultKind, Outage, Service, Simulator};

const SHOW: &str = "SIMULATOR_SHOW_HASH";

/// Ten virtual minutes of traffic with trouble; returns the log's hash.
fn run(seed: u64) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(scenario(seed))
}

async fn scenario(seed: u64) -> String {
    let metric = MetricName::of_bucket("5xxErrors", HOME);
    let sim = start(config(seed).alarm(AlarmConfig::metric("us-east-1", "errors", metric, 0.1)));
    sim.with(|w| {
        w.add_fault(
            Fault::new(FaultKind::SlowDown)
                .service(Service::S3)
                .probability(0.2),
        );
        w.add_fault(
            Fault::new(FaultKind::AnswerLost)
                .operation("PutObject")
                .probability(0.1),
        );
        w.add_fault(Fault::new(FaultKind::LateLanding { millis: 900 }).probability(0.02));
        w.region_down(Outage::hang("us-east-1", w.now() + secs(120), secs(200)));
    });
    let writer = s3(&sim, "app", "us-east-2");
    let reader = s3(&sim, "reader", "us-east-2");
    let control = s3control(&sim, "control", "us-west-2");
    let pager = sns(&sim, "pager", "us-east-2");
    for round in 0..120_u32 {
        let key = format!("k{}", round % 7);
        let write = writer.put_object().bucket(MRAP).key(&key);
        let write = write.body(round.to_string().into_bytes().into()).send();
        let read = reader.get_object().bucket(MRAP).key(&key).send();
        let (_, _) = tokio::join!(write, read);
        if round == 40 {
            let route = |bucket: &str, dial| {
                aws_sdk_s3control::types::MultiRegionAccessPointRoute::builder()
                    .bucket(bucket)
                    .traffic_dial_percentage(dial)
                    .build()
                    .unwrap()
            };
            let submit = control.submit_multi_region_access_point_routes();
            let submit = submit.account_id(common::ACCOUNT).mrap(MRAP);
            let submit = submit
                .route_updates(route(HOME, 0))
                .route_updates(route(AWAY, 100));
            submit.send().await.unwrap();
            let publish = pager.publish().topic_arn(common::TOPIC).message("moved");
            publish.send().await.unwrap();
        }
        sim.sleep(secs(3)).await;
    }
    replicate_again(&sim).await;
    let (hash, moved) = sim.with(|w| (w.log_hash(), w.route_history(ALIAS).len()));
    assert_eq!(moved, 2);
    format!("{hash} {}", told(&sim))
}

/// Fails some replication and lets a job do it again.
async fn replicate_again(sim: &Simulator) {
    sim.with(|w| {
        w.clear_faults();
        w.deny_replication(AWAY, HOME, Some("DstPutObjectNotPermitted"));
        for number in 0..200 {
            w.put_object_as_person(AWAY, &format!("again/{number}"), "v");
        }
    });
    sim.sleep(secs(60)).await;
    let control = s3control(sim, "control", "eu-west-1");
    let filter = JobManifestGeneratorFilter::builder()
        .eligible_for_replication(true)
        .object_replication_statuses(ReplicationStatus::Failed);
    let generator = S3JobManifestGenerator::builder()
        .source_bucket(format!("arn:aws:s3:::{AWAY}"))
        .enable_manifest_output(false)
        .filter(filter.build());
    let generator = JobManifestGenerator::S3JobManifestGenerator(generator.build().unwrap());
    let replicate = S3ReplicateObjectOperation::builder().build();
    let create = control
        .create_job()
        .account_id(common::ACCOUNT)
        .operation(
            JobOperation::builder()
                .s3_replicate_object(replicate)
                .build(),
        )
        .client_request_token("token")
        .priority(0)
        .role_arn("arn:aws:iam::111122223333:role/batch")
        .confirmation_required(false)
        .manifest_generator(generator)
        .report(JobReport::builder().enabled(false).build());
    create.send().await.unwrap();
    sim.sleep(secs(600)).await;
}

/// A hash of what S3 told of replication, and of what the job did.
fn told(sim: &Simulator) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    sim.with(|w| {
        let job = w.jobs().remove(0);
        assert!(job.state.is_terminal());
        format!("{job:?} {:?}", w.job_tasks(&job.id)).hash(&mut hasher);
        for message in w.take_replication_messages() {
            (message.id, message.at, message.body).hash(&mut hasher);
        }
    });
    hasher.finish()
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let first = run(1);
    if std::env::args().any(|argument| argument == "--nocapture") {
        println!("{SHOW} {first}");
    }
    assert_eq!(run(1), first);
    assert_ne!(run(2), first);
}

#[test]
fn another_process_gives_the_same_log() {
    let this = std::env::current_exe().unwrap();
    let output = std::process::Command::new(this)
        .args(["--exact", "the_same_seed_gives_the_same_log", "--nocapture"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let shown = text
        .lines()
        .find_map(|line| Some(line.split_once(SHOW)?.1.trim().to_owned()));
    assert_eq!(shown.unwrap(), run(1));
}
