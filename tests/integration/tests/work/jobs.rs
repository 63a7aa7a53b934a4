//! Jobs.

use jiff::SignedDuration;
use sentinel_core::ledger::{
    Group, How, Identity, Millis, Row, SettledHeader, SettledName, SettledRow,
};
use sentinel_core::redrive::job::{EndStatus, JobKind, Sweep, SweepStatus};
use simulator::{AlreadyReplicated, Fault, FaultKind, RepeatedToken, Service};

use crate::stage::{AWAY, HOME, Stage, WORK, config};

const REASON: &str = "AssumeRoleNotPermitted";

fn group(reason: &str) -> Group {
    Group {
        source: HOME.parse().unwrap(),
        destination: AWAY.parse().unwrap(),
        rule: "mesh".to_owned(),
        reason: reason.to_owned(),
    }
}

/// Versions whose replication failed, and the ledger's files about them.
struct Failed {
    inputs: Vec<String>,
    keys: Vec<String>,
}

/// Puts objects while replication is denied, and writes what failed to the ledger: in two files
/// that overlap.
async fn failed(stage: &Stage, objects: usize) -> Failed {
    stage
        .sim
        .with(|world| world.deny_replication(HOME, AWAY, Some(REASON)));
    let keys: Vec<String> = (0..objects)
        .map(|number| format!("photos/{number} +,\"ü\".jpg"))
        .collect();
    for key in &keys {
        stage.put(key);
    }
    stage.sleep(1800).await;
    assert_eq!(stage.failed().len(), objects, "all failed");
    let rows = |keys: &[String]| keys.iter().map(|key| stage.row(key, 0)).collect();
    let half = objects / 2;
    let first = rows(&keys[..=half]);
    let second = rows(&keys[half..]);
    let inputs = vec![
        stage.append(&group(REASON), first).await,
        stage.append(&group(REASON), second).await,
    ];
    Failed { inputs, keys }
}

fn mend(stage: &Stage) {
    stage
        .sim
        .with(|world| world.deny_replication(HOME, AWAY, None));
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_driven_again_and_proven() {
    let stage = Stage::new(config(1));
    let Failed { inputs, keys } = failed(&stage, 9).await;
    mend(&stage);
    let end = stage
        .run(stage.job(JobKind::Release, &[group(REASON)], &inputs))
        .await;
    assert_eq!(end.gathered.rows, [9]);
    assert_eq!(end.gathered.duplicates, 1);
    assert!(end.gathered.complete);
    assert_eq!(end.ended.unwrap().status, EndStatus::Complete);
    let outcome = end.settled.unwrap().groups[0];
    assert_eq!((outcome.initiated, outcome.arrived), (9, 9));
    assert!(keys.iter().all(|key| stage.has_arrived(key)));
    let ledger = stage.ledger().await;
    assert!(ledger.open.is_empty(), "{ledger:?}");
    assert_eq!(ledger.settled.len(), 9);
    assert_eq!(ledger.job_files, 0);
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_is_open_under_its_new_reason() {
    let stage = Stage::new(config(2));
    let Failed { inputs, keys } = failed(&stage, 5).await;
    stage
        .sim
        .with(|world| world.deny_replication(HOME, AWAY, Some("DstKmsKeyNotFound")));
    let end = stage
        .run(stage.job(JobKind::Release, &[group(REASON)], &inputs))
        .await;
    let settled = end.settled.unwrap();
    assert_eq!(settled.groups[0].failed, 5);
    assert_eq!(settled.reopened.len(), 1);
    assert_eq!(settled.reopened[0].group, group("DstKmsKeyNotFound"));
    assert_eq!(settled.reopened[0].rows, 5);
    let ledger = stage.ledger().await;
    let expected = keys
        .iter()
        .map(|key| (key.clone(), "DstKmsKeyNotFound".to_owned(), 1))
        .collect();
    assert_eq!(ledger.open, expected);
}

#[tokio::test(start_paused = true)]
async fn a_sample_takes_the_fewest_attempts_and_leaves_the_rest() {
    let stage = Stage::new(config(3));
    let Failed { mut inputs, keys } = failed(&stage, 8).await;
    // Three of them were tried before.
    let tried = keys[..3].iter().map(|key| stage.row(key, 2)).collect();
    inputs.push(stage.append(&group(REASON), tried).await);
    let mut job = stage.job(JobKind::Sample, &[group(REASON)], &inputs);
    job.limit = 4;
    let end = stage.run(job).await;
    assert_eq!(end.gathered.rows, [4]);
    assert!(!end.gathered.complete);
    let ledger = stage.ledger().await;
    assert_eq!(ledger.open.len(), 8, "inputs stay");
    let mut attempts: Vec<u32> = ledger.open.iter().map(|(_, _, tries)| *tries).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [0, 1, 1, 1, 1, 2, 2, 2]);

    // Whose reason changes stays in the old group with its attempt counted, and is open in the new.
    stage
        .sim
        .with(|world| world.deny_replication(HOME, AWAY, Some("DstKmsKeyNotFound")));
    stage.sleep(60).await;
    let mut job = stage.job(JobKind::Sample, &[group(REASON)], &inputs);
    job.limit = 8;
    stage.run(job).await;
    let ledger = stage.ledger().await;
    let new = ledger.open.iter().filter(|(_, why, _)| why != REASON);
    assert_eq!(new.count(), 8);
}

#[tokio::test(start_paused = true)]
async fn rows_leave_for_a_person_after_their_attempts_or_age() {
    let stage = Stage::new(config(4));
    let Failed { mut inputs, keys } = failed(&stage, 6).await;
    let mut old = stage.row(&keys[0], 0);
    old.failed_at = Millis::from(stage.now() - SignedDuration::from_hours(24 * 40));
    let tired = stage.row(&keys[1], 10);
    inputs.push(stage.append(&group(REASON), vec![old, tired]).await);
    mend(&stage);
    let end = stage
        .run(stage.job(JobKind::Release, &[group(REASON)], &inputs))
        .await;
    assert_eq!(end.gathered.rows, [4]);
    assert_eq!(end.gathered.handed_over, [2]);
    let ledger = stage.ledger().await;
    assert!(ledger.open.is_empty(), "{ledger:?}");
    assert_eq!(ledger.handed_over, keys[..2].iter().cloned().collect());
    assert!(!stage.has_arrived(&keys[0]) && stage.has_arrived(&keys[2]));
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_settled_as_gone() {
    let stage = Stage::new(config(5));
    let Failed { inputs, keys } = failed(&stage, 4).await;
    let versions: Vec<String> = keys.iter().map(|key| stage.version(key)).collect();
    for (key, version) in keys.iter().zip(&versions).take(2) {
        let deleted = stage
            .sim
            .with(|world| world.delete_version_as_person(HOME, key, version));
        assert!(deleted);
    }
    mend(&stage);
    let end = stage
        .run(stage.job(JobKind::Release, &[group(REASON)], &inputs))
        .await;
    let outcome = end.settled.unwrap().groups[0];
    assert_eq!((outcome.arrived, outcome.finals), (2, 2), "{outcome:?}");
    let ledger = stage.ledger().await;
    assert!(ledger.open.is_empty());
    let gone = Identity::of(&keys[0], &versions[0]);
    assert!(ledger.settled[&(gone, AWAY.to_owned())].contains("gone"));
}

#[tokio::test(start_paused = true)]
async fn nothing_settled_is_driven_again_and_late_failures_are() {
    let stage = Stage::new(config(6));
    let Failed { inputs, keys } = failed(&stage, 4).await;
    let failed_at = Millis::from(stage.now());
    let mut body = Vec::new();
    let header = SettledHeader {
        source: HOME.parse().unwrap(),
        destinations: vec![AWAY.parse().unwrap(), "app-usw2".parse().unwrap()],
    };
    header.encode(&mut body).unwrap();
    let entry = |key: &str, destination, at| SettledRow {
        identity: Identity::of(key, &stage.version(key)),
        destination,
        settled_at: at,
        how: How::Abandoned,
    };
    let before = Millis::new(failed_at.get() - 3_600_000).unwrap();
    let mut entries = vec![
        entry(&keys[0], 0, failed_at),
        entry(&keys[1], 0, before),
        entry(&keys[2], 1, failed_at),
    ];
    entries.sort_unstable();
    for entry in &entries {
        entry.encode(&mut body).unwrap();
    }
    let name = SettledName {
        source: header.source,
        until: failed_at,
        rows: 3,
        job: "earlier".to_owned(),
        part: 0,
    };
    stage.files.append(&name.key(), body).await.unwrap();
    mend(&stage);
    let end = stage
        .run(stage.job(JobKind::Release, &[group(REASON)], &inputs))
        .await;
    assert_eq!(end.gathered.rows, [3]);
    assert_eq!(end.gathered.dropped, 1);
    assert!(!stage.has_arrived(&keys[0]));
}

#[tokio::test(start_paused = true)]
async fn settling_needs_no_job() {
    let stage = Stage::new(config(7));
    let Failed { inputs, keys } = failed(&stage, 4).await;
    let kind = JobKind::Settle {
        how: How::Ineligible,
    };
    let end = stage.run(stage.job(kind, &[group(REASON)], &inputs)).await;
    assert_eq!((end.gathered.rows[0], end.gathered.manifest), (4, None));
    let ledger = stage.ledger().await;
    assert!(ledger.open.is_empty());
    assert_eq!(ledger.settled.len(), 4);

    // What is not too old yet is written again.
    let row = |key: &String| Row {
        failed_at: Millis::new(Millis::from(stage.now()).get() + 1).unwrap(),
        ..stage.row(key, 3)
    };
    let old = row(&keys[0]);
    stage.sleep(60).await;
    let rows = vec![old.clone(), row(&keys[1])];
    let inputs = [stage.append(&group(REASON), rows).await];
    let kind = JobKind::Settle {
        how: How::HandedOver,
    };
    let mut job = stage.job(kind, &[group(REASON)], &inputs);
    job.not_before = old.failed_at.timestamp() + SignedDuration::from_secs(1);
    let end = stage.run(job).await;
    assert_eq!(end.gathered.handed_over, [1]);
    let ledger = stage.ledger().await;
    let young = [(keys[1].clone(), REASON.to_owned(), 3)];
    assert_eq!(ledger.open, young.into());
    assert_eq!(ledger.handed_over, [keys[0].clone()].into());
    assert!(stage.sim.with(|world| world.jobs().is_empty()));
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_bucket_that_is_no_member_any_more_can_be_settled() {
    let stage = Stage::new(config(16));
    let left = Group {
        source: "app-apn1".parse().unwrap(),
        ..group(REASON)
    };
    let row = Row {
        key: "k".to_owned(),
        version: "v".to_owned(),
        failed_at: Millis::from(stage.now()),
        attempts: 0,
        size: None,
        group: 0,
    };
    let inputs = [stage.append(&left, vec![row]).await];
    let kind = JobKind::Settle {
        how: How::Abandoned,
    };
    let mut job = stage.job(kind, std::slice::from_ref(&left), &inputs);
    job.source = left.source;
    stage.run(job).await;
    let ledger = stage.ledger().await;
    assert!(ledger.open.is_empty());
    assert_eq!(ledger.settled.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_leaves_the_rest_open() {
    let mut config = config(8);
    config.jobs.failure_threshold = 4;
    config.timing.job_tasks_per_second = 1;
    let stage = Stage::new(config);
    let Failed { inputs, keys } = failed(&stage, 12).await;
    let end = stage
        .run(stage.job(JobKind::Release, &[group(REASON)], &inputs))
        .await;
    assert_eq!(end.ended.unwrap().status, EndStatus::Failed);
    let outcome = end.settled.unwrap().groups[0];
    assert_eq!(outcome.failed + outcome.not_run, 12);
    assert!(outcome.not_run > 0, "{outcome:?}");
    let ledger = stage.ledger().await;
    let expected = keys
        .iter()
        .map(|key| (key.clone(), REASON.to_owned(), 1))
        .collect();
    assert_eq!(ledger.open, expected, "every one counts as tried");
}

#[tokio::test(start_paused = true)]
async fn a_few_of_many_are_looked_for() {
    let mut config = config(9);
    config.jobs.late_failures = 0.0;
    let mut stage = Stage::new(config);
    stage.settings.thresholds.proof_objects = 3;
    let Failed { inputs, keys } = failed(&stage, 12).await;
    mend(&stage);
    let end = stage
        .run(stage.job(JobKind::Release, &[group(REASON)], &inputs))
        .await;
    assert_eq!(end.settled.unwrap().groups[0].arrived, 12);
    assert!(keys.iter().all(|key| stage.has_arrived(key)));
    assert_eq!(stage.ledger().await.settled.len(), 12);
    let looks = stage.sim.with(|world| {
        let heads = world.log().iter();
        heads
            .filter(|entry| entry.operation.as_str() == "HeadObject")
            .count()
    });
    assert!((1..12).contains(&looks), "{looks}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_the_sample_makes_all_be_looked_for() {
    let mut config = config(10);
    // Every task initiates, and every transfer fails afterwards.
    config.jobs.late_failures = 1.0;
    let mut stage = Stage::new(config);
    stage.settings.thresholds.proof_objects = 2;
    let Failed { inputs, .. } = failed(&stage, 8).await;
    let end = stage
        .run(stage.job(JobKind::Release, &[group(REASON)], &inputs))
        .await;
    let outcome = end.settled.unwrap().groups[0];
    assert_eq!(outcome.arrived, 0, "{outcome:?}");
    assert_eq!(outcome.failed + outcome.pending, 8, "{outcome:?}");
    let ledger = stage.ledger().await;
    assert_eq!(ledger.open.len(), 8, "{ledger:?}");
    assert!(ledger.settled.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_sweep_brings_its_failures_into_the_ledger() {
    let stage = Stage::new(config(11));
    let Failed { keys, .. } = failed(&stage, 6).await;
    let sweep = || {
        JobKind::Sweep(Sweep {
            statuses: vec![SweepStatus::Failed],
            created_after: None,
        })
    };
    // Another member's replicas are none of its business; all fail again.
    let end = stage.run(stage.job(sweep(), &[], &[])).await;
    let settled = end.settled.unwrap();
    assert_eq!(settled.groups[0].failed, 6, "{settled:?}");
    let swept = &settled.reopened[0].group;
    assert_eq!(
        (swept.destination.as_str(), swept.reason.as_str()),
        ("*", REASON)
    );

    mend(&stage);
    stage.sleep(600).await;
    let end = stage.run(stage.job(sweep(), &[], &[])).await;
    let settled = end.settled.unwrap();
    assert_eq!(settled.groups[0].initiated, 6, "{settled:?}");
    assert_eq!(settled.groups[0].arrived, 6, "{settled:?}");
    assert!(keys.iter().all(|key| stage.has_arrived(key)));

    // The rows that the first one brought are driven again: there is nothing left to do.
    stage.sleep(600).await;
    let end = stage.run(stage.job(sweep(), &[], &[])).await;
    assert_eq!(end.ended.unwrap().status, EndStatus::Failed);
    assert!(end.tally.unwrap().nothing_to_do);
    let outcomes = end.settled.unwrap().groups;
    assert!(outcomes.iter().all(|outcome| outcome.failed == 0));
}

#[tokio::test(start_paused = true)]
async fn regression_a_large_sweep_ends_however_short_the_slices_are() {
    let mut stage = Stage::new(config(17));
    stage
        .sim
        .with(|world| world.deny_replication(HOME, AWAY, Some(REASON)));
    // Keys that are three times as long in a report.
    for number in 0..1600 {
        stage.put(&format!("{number:06}{}", "ü".repeat(480)));
    }
    stage.sleep(1800).await;
    mend(&stage);
    // About two seconds of work, in which every read of the report takes a fifth of one.
    stage.slice = 10;
    stage.settings.thresholds.proof_objects = 200;
    stage.sim.with(|world| {
        let fault = Fault::new(FaultKind::Slow { millis: 200 }).operation("GetObject");
        world.add_fault(fault.path_contains(WORK));
    });
    let kind = JobKind::Sweep(Sweep {
        statuses: vec![SweepStatus::Failed],
        created_after: None,
    });
    let end = stage.run(stage.job(kind, &[], &[])).await;
    let outcome = end.settled.unwrap().groups[0];
    assert_eq!(outcome.initiated, 1600);
    assert!((150..=200).contains(&outcome.arrived), "{outcome:?}");
    let ledger = stage.ledger().await;
    assert_eq!(ledger.job_files, 0);
    // Of all parts of the report: pieces at even distances hold different rows.
    let looked = ledger.settled.len();
    assert_eq!(u64::try_from(looked).unwrap(), outcome.arrived);
}

#[tokio::test(start_paused = true)]
async fn regression_a_sample_behind_many_settled_rows_ends() {
    let mut stage = Stage::new(config(18));
    let Failed { keys, .. } = failed(&stage, 3).await;
    mend(&stage);
    let failed_at = Millis::from(stage.now());
    let settled = (0..30_000).map(|number| Row {
        key: format!("gone/{number}"),
        version: "v".to_owned(),
        ..stage.row(&keys[0], 0)
    });
    let mut rows: Vec<Row> = settled.collect();
    let header = SettledHeader {
        source: HOME.parse().unwrap(),
        destinations: vec![AWAY.parse().unwrap()],
    };
    let mut entries: Vec<SettledRow> = rows
        .iter()
        .map(|row| SettledRow {
            identity: row.identity(),
            destination: 0,
            settled_at: failed_at,
            how: How::Gone,
        })
        .collect();
    entries.sort_unstable();
    let mut body = Vec::new();
    header.encode(&mut body).unwrap();
    for entry in &entries {
        entry.encode(&mut body).unwrap();
    }
    let name = SettledName {
        source: header.source,
        until: failed_at,
        rows: 30_000,
        job: "earlier".to_owned(),
        part: 0,
    };
    stage.files.append(&name.key(), body).await.unwrap();
    rows.extend(keys.iter().map(|key| stage.row(key, 0)));
    let inputs = [stage.append(&group(REASON), rows).await];
    // The whole file takes more than a slice.
    stage.slice = 30;
    stage.sim.with(|world| {
        let fault = Fault::new(FaultKind::Slow { millis: 1500 }).operation("GetObject");
        world.add_fault(fault.path_contains("ledger/"));
    });
    let end = stage
        .run(stage.job(JobKind::Sample, &[group(REASON)], &inputs))
        .await;
    assert!(end.gathered.dropped > 8192, "in several slices");
    let arrived = end.settled.unwrap().groups[0].arrived;
    assert!(arrived > 0);
    assert_eq!(end.gathered.rows, [arrived]);
}

#[tokio::test(start_paused = true)]
async fn already_replicated_is_success() {
    let mut config = config(12);
    config.jobs.already_replicated = AlreadyReplicated::NotPending;
    let stage = Stage::new(config);
    stage.put("there");
    stage.sleep(1800).await;
    assert!(stage.has_arrived("there"));
    let row = stage.row("there", 0);
    let inputs = [stage.append(&group(REASON), vec![row]).await];
    let end = stage
        .run(stage.job(JobKind::Release, &[group(REASON)], &inputs))
        .await;
    assert_eq!(end.settled.unwrap().groups[0].already, 1);
    assert!(stage.ledger().await.open.is_empty());
}

#[tokio::test(start_paused = true)]
async fn throttling_only_delays() {
    let stage = Stage::new(config(13));
    let Failed { inputs, .. } = failed(&stage, 3).await;
    mend(&stage);
    stage.sim.with(|world| {
        let soon = world.now() + std::time::Duration::from_mins(5);
        let fault = Fault::new(FaultKind::TooManyRequests).service(Service::S3Control);
        world.add_fault(fault.until(soon));
    });
    let end = stage
        .run(stage.job(JobKind::Release, &[group(REASON)], &inputs))
        .await;
    assert_eq!(end.settled.unwrap().groups[0].arrived, 3);
    assert_eq!(stage.sim.with(|world| world.jobs().len()), 1);
}

/// A world in which every kind of end occurs, and the job over it.
async fn everything(seed: u64, token: RepeatedToken) -> (Stage, sentinel_core::redrive::job::Job) {
    let mut config = config(seed);
    config.jobs.repeated_token = token;
    let mut stage = Stage::new(config);
    stage.settings.thresholds.proof_objects = 4;
    let Failed { mut inputs, keys } = failed(&stage, 12).await;
    let version = stage.version(&keys[3]);
    let mut old = stage.row(&keys[0], 0);
    old.failed_at = Millis::from(stage.now() - SignedDuration::from_hours(24 * 40));
    let tired = stage.row(&keys[1], 10);
    inputs.push(stage.append(&group(REASON), vec![old, tired]).await);
    let gone = stage.row(&keys[3], 1);
    assert!(
        stage
            .sim
            .with(|world| world.delete_version_as_person(HOME, &keys[3], &version))
    );
    let other = group("DstKmsKeyNotFound");
    inputs.push(
        stage
            .append(&other, vec![gone, stage.row(&keys[4], 1)])
            .await,
    );
    mend(&stage);
    let job = stage.job(JobKind::Release, &[group(REASON), other], &inputs);
    (stage, job)
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_any_request_changes_nothing() {
    for token in [RepeatedToken::SameJob, RepeatedToken::IdempotencyException] {
        let (stage, job) = everything(14, token).await;
        let end = stage.run(job).await;
        let requests = stage.requests();
        let ledger = stage.ledger().await;
        let outcomes = end.settled.clone().unwrap().groups;
        assert!(ledger.open.is_empty(), "{ledger:?}");
        assert_eq!(ledger.handed_over.len(), 2);
        assert!(requests > 20, "{requests}");
        for n in 1..=requests {
            let (stage, job) = everything(14, token).await;
            let (end, crashed) = stage.run_crashing_once(job, n).await;
            assert!(crashed, "{n}");
            assert_eq!(stage.ledger().await, ledger, "after request {n}");
            assert_eq!(end.settled.unwrap().groups, outcomes, "after request {n}");
            assert_eq!(
                stage.sim.with(|world| world.jobs().len()),
                1,
                "one job, after request {n}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_again_and_again_comes_to_the_same_end() {
    let (stage, job) = everything(15, RepeatedToken::SameJob).await;
    stage.run(job).await;
    let ledger = stage.ledger().await;
    // No slice needs as many requests.
    for after in [10, 16] {
        let (stage, job) = everything(15, RepeatedToken::SameJob).await;
        let (_, crashes) = stage.run_crashing(job, after).await;
        assert!(crashes > 0);
        assert_eq!(stage.ledger().await, ledger);
        assert_eq!(stage.sim.with(|world| world.jobs().len()), 1);
    }
}
