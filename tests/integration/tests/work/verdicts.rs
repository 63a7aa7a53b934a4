//! What a report, a source's status and a look into a bucket may and may not be taken for. Most of
//! it needs more than one destination.

use jiff::SignedDuration;
use redrive::work::{Work, gather};
use sentinel_core::ledger::{Group, How, Identity, Millis, Row};
use sentinel_core::redrive::job::{GatherCursor, Job, JobKind, Outcome, Slice, Sweep, SweepStatus};
use simulator::{Fault, FaultKind, ReplicationRule, Service};

use crate::stage::{AWAY, HOME, Stage, THIRD, config, config_of_three};

/// Why replication to [`AWAY`] fails.
const KEY_LOST: &str = "DstKmsKeyNotFound";
/// Why replication to [`THIRD`] fails.
const UNVERSIONED: &str = "DstBucketUnversioned";

fn group(destination: &str, reason: &str) -> Group {
    Group {
        source: HOME.parse().unwrap(),
        destination: destination.parse().unwrap(),
        rule: format!("to-{destination}"),
        reason: reason.to_owned(),
    }
}

fn deny(stage: &Stage, destination: &str, reason: Option<&str>) {
    stage
        .sim
        .with(|world| world.deny_replication(HOME, destination, reason));
}

/// Puts objects, and waits until what can be replicated is.
async fn put(stage: &Stage, objects: usize) -> Vec<String> {
    let keys: Vec<String> = (0..objects).map(|number| format!("k{number}")).collect();
    for key in &keys {
        stage.put(key);
    }
    stage.sleep(1800).await;
    keys
}

/// A release of what failed towards these destinations.
async fn release(stage: &Stage, keys: &[String], groups: &[Group]) -> Job {
    let mut inputs = Vec::new();
    for group in groups {
        let rows = keys.iter().map(|key| stage.row(key, 0)).collect();
        inputs.push(stage.append(group, rows).await);
    }
    stage.job(JobKind::Release, groups, &inputs)
}

async fn run(stage: &Stage, job: Job) -> Vec<Outcome> {
    stage.run(job).await.settled.unwrap().groups
}

async fn open(stage: &Stage) -> Vec<(String, String)> {
    let open = stage.ledger().await.open;
    open.into_iter().map(|(key, why, _)| (key, why)).collect()
}

fn of_each(keys: &[String], reasons: &[&str]) -> Vec<(String, String)> {
    let each = |key: &String| {
        let reasons = reasons.iter();
        reasons
            .map(|why| (key.clone(), (*why).to_owned()))
            .collect::<Vec<_>>()
    };
    keys.iter().flat_map(each).collect()
}

fn sweep() -> JobKind {
    JobKind::Sweep(Sweep {
        statuses: vec![SweepStatus::Failed],
        created_after: None,
    })
}

#[tokio::test(start_paused = true)]
async fn regression_a_code_of_another_destination_is_not_booked_on_what_arrived() {
    let stage = Stage::new(config_of_three(1));
    deny(&stage, AWAY, Some(KEY_LOST));
    deny(&stage, THIRD, Some(UNVERSIONED));
    let keys = put(&stage, 4).await;
    deny(&stage, AWAY, None);
    // The report calls all tasks failed, with the other's code.
    let outcomes = run(
        &stage,
        release(&stage, &keys, &[group(AWAY, KEY_LOST)]).await,
    )
    .await;
    assert_eq!((outcomes[0].arrived, outcomes[0].failed), (4, 0));
    assert!(keys.iter().all(|key| stage.has_arrived(key)));
    assert!(open(&stage).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn regression_two_broken_destinations_keep_their_own_reasons() {
    let stage = Stage::new(config_of_three(2));
    deny(&stage, AWAY, Some(KEY_LOST));
    deny(&stage, THIRD, Some(UNVERSIONED));
    let keys = put(&stage, 3).await;
    let both = [group(AWAY, KEY_LOST), group(THIRD, UNVERSIONED)];
    let outcomes = run(&stage, release(&stage, &keys, &both).await).await;
    assert_eq!((outcomes[0].failed, outcomes[1].failed), (3, 3));
    assert_eq!(open(&stage).await, of_each(&keys, &[UNVERSIONED, KEY_LOST]));
    // Alone as well: a sample has one group.
    let stage = Stage::new(config_of_three(3));
    deny(&stage, AWAY, Some(KEY_LOST));
    deny(&stage, THIRD, Some(UNVERSIONED));
    let keys = put(&stage, 3).await;
    let one = [group(THIRD, UNVERSIONED)];
    run(&stage, release(&stage, &keys, &one).await).await;
    assert_eq!(open(&stage).await, of_each(&keys, &[UNVERSIONED]));
}

#[tokio::test(start_paused = true)]
async fn the_code_is_the_rows_where_all_others_have_the_version() {
    let stage = Stage::new(config_of_three(4));
    deny(&stage, AWAY, Some(KEY_LOST));
    let keys = put(&stage, 3).await;
    deny(&stage, AWAY, Some("DstPutObjectNotPermitted"));
    let job = release(&stage, &keys, &[group(AWAY, KEY_LOST)]).await;
    let outcomes = run(&stage, job).await;
    assert_eq!(outcomes[0].failed, 3);
    let expected = of_each(&keys, &["DstPutObjectNotPermitted"]);
    assert_eq!(open(&stage).await, expected);
}

#[tokio::test(start_paused = true)]
async fn regression_a_failed_status_of_another_destination_does_not_end_the_wait() {
    let mut config = config_of_three(5);
    // Tasks only begin; what cannot be replicated fails afterwards, and the report says nothing.
    config.jobs.late_failures = 1.0;
    let stage = Stage::new(config);
    deny(&stage, AWAY, Some(KEY_LOST));
    deny(&stage, THIRD, Some(UNVERSIONED));
    let keys = put(&stage, 4).await;
    deny(&stage, AWAY, None);
    stage
        .sim
        .with(|world| world.set_replication_delay(HOME, AWAY, 900_000..=900_000));
    let job = release(&stage, &keys, &[group(AWAY, KEY_LOST)]).await;
    let outcomes = run(&stage, job).await;
    assert_eq!((outcomes[0].arrived, outcomes[0].failed), (4, 0));
    assert!(open(&stage).await.is_empty());
    assert_eq!(stage.sim.with(|world| world.jobs().len()), 1);
}

#[tokio::test(start_paused = true)]
async fn regression_what_is_pending_is_not_driven_again() {
    let stage = Stage::new(config(6));
    deny(&stage, AWAY, Some(KEY_LOST));
    let keys = put(&stage, 4).await;
    deny(&stage, AWAY, None);
    // As while the destination's Region is down.
    stage.sim.with(|world| {
        let three_hours = 3 * 3_600_000;
        world.set_replication_delay(HOME, AWAY, three_hours..=three_hours);
    });
    let mut job = release(&stage, &keys, &[group(AWAY, KEY_LOST)]).await;
    // A job that does not use its inputs up.
    job.kind = JobKind::Sample;
    job.limit = 3;
    let begun = stage.now();
    let end = stage.run(job).await;
    let outcome = end.settled.unwrap().groups[0];
    assert_eq!((outcome.moving, outcome.pending), (3, 0), "{outcome:?}");
    let patience = stage.settings.thresholds.proof.as_secs();
    let seconds = stage.now().duration_since(begun).as_secs();
    assert!(seconds < patience + 600, "{seconds} for {patience}");
    // They are in the inputs, and no other job takes them.
    assert_eq!(open(&stage).await.len(), 1);
    let look = end.left.unwrap();
    let end = stage.run(look).await;
    assert_eq!(end.settled.unwrap().groups[0].arrived, 3);
    let ledger = stage.ledger().await;
    assert_eq!((ledger.open.len(), ledger.job_files), (1, 0));
    let how = |how: &str| {
        ledger
            .settled
            .values()
            .filter(|all| all.contains(how))
            .count()
    };
    assert_eq!(how("replicated"), 3);
    assert_eq!(stage.sim.with(|world| world.jobs().len()), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_pending_for_more_than_a_day_is_open_again() {
    let stage = Stage::new(config(7));
    deny(&stage, AWAY, Some(KEY_LOST));
    let keys = put(&stage, 2).await;
    deny(&stage, AWAY, None);
    stage.sim.with(|world| {
        let days = 3 * 86_400_000;
        world.set_replication_delay(HOME, AWAY, days..=days);
    });
    let job = release(&stage, &keys, &[group(AWAY, KEY_LOST)]).await;
    let begun = stage.now();
    let look = stage.run(job).await.left.unwrap();
    assert!(open(&stage).await.is_empty());
    let outcomes = run(&stage, look).await;
    assert_eq!((outcomes[0].arrived, outcomes[0].pending), (0, 2));
    let hours = stage.now().duration_since(begun).as_hours();
    assert!((24..26).contains(&hours), "{hours}");
    assert_eq!(open(&stage).await, of_each(&keys, &[KEY_LOST]));
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_pending_versions_are_left_changes_nothing() {
    async fn pending() -> (Stage, Job) {
        let stage = Stage::new(config(15));
        deny(&stage, AWAY, Some(KEY_LOST));
        let keys = put(&stage, 3).await;
        deny(&stage, AWAY, None);
        stage.sim.with(|world| {
            let three_hours = 3 * 3_600_000;
            world.set_replication_delay(HOME, AWAY, three_hours..=three_hours);
        });
        let mut job = release(&stage, &keys, &[group(AWAY, KEY_LOST)]).await;
        job.limit = 2;
        (stage, job)
    }
    let (stage, job) = pending().await;
    let look = stage.run(job).await.left.unwrap();
    let between = stage.ledger().await;
    let requests = stage.requests();
    stage.run(look).await;
    let after = stage.ledger().await;
    for n in 1..=requests {
        let (stage, job) = pending().await;
        let (end, crashed) = stage.run_crashing_once(job, n).await;
        assert!(crashed, "{n}");
        assert_eq!(stage.ledger().await, between, "after request {n}");
        let look = end.left.unwrap();
        // The other one dies as well.
        let (_, crashed) = stage.run_crashing_once(look, n % 20 + 1).await;
        assert!(crashed, "{n}");
        assert_eq!(stage.ledger().await, after, "after request {n}");
    }
}

#[tokio::test(start_paused = true)]
async fn regression_one_doubtful_row_does_not_make_all_be_looked_for() {
    let mut stage = Stage::new(config_of_three(16));
    stage.settings.thresholds.proof_objects = 3;
    deny(&stage, AWAY, Some(KEY_LOST));
    let keys = put(&stage, 24).await;
    // Its task fails, for the other destination.
    let version = stage.version(&keys[5]);
    let delete =
        |world: &mut simulator::World| world.delete_version_as_person(THIRD, &keys[5], &version);
    assert!(stage.sim.with(delete));
    deny(&stage, AWAY, None);
    let job = release(&stage, &keys, &[group(AWAY, KEY_LOST)]).await;
    let end = stage.run(job).await;
    assert_eq!(end.tally.unwrap().failed.values().sum::<u64>(), 1);
    let outcomes = end.settled.unwrap().groups;
    assert_eq!((outcomes[0].arrived, outcomes[0].failed), (24, 0));
    let looks = stage.count("HeadObject");
    assert!((2..10).contains(&looks), "{looks}");
    assert!(open(&stage).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn regression_a_final_code_of_a_foreign_destination_settles_nothing_else() {
    let partner = "partner-data";
    let config = config(8)
        .bucket(partner, "eu-west-2")
        .replicate(ReplicationRule::new("to-partner", HOME, partner));
    let stage = Stage::new(config);
    deny(&stage, AWAY, Some(KEY_LOST));
    let keys = put(&stage, 2).await;
    for key in &keys {
        let version = stage.version(key);
        assert!(stage.is_in(partner, key));
        let delete =
            |world: &mut simulator::World| world.delete_version_as_person(partner, key, &version);
        assert!(stage.sim.with(delete));
    }
    // Still broken: neither arrived nor hard-deleted here.
    let job = release(&stage, &keys, &[group(AWAY, KEY_LOST)]).await;
    run(&stage, job).await;
    assert_eq!(open(&stage).await, of_each(&keys, &[KEY_LOST]));
    // Mended: it arrives, although the report calls it hard-deleted.
    deny(&stage, AWAY, None);
    stage.sleep(3600).await;
    let job = release(&stage, &keys, &[group(AWAY, KEY_LOST)]).await;
    let outcomes = run(&stage, job).await;
    assert_eq!((outcomes[0].arrived, outcomes[0].finals), (2, 0));
    let settled = stage.ledger().await.settled;
    let identity = Identity::of(&keys[0], &stage.version(&keys[0]));
    let how = &settled[&(identity, AWAY.to_owned())];
    assert_eq!(how.iter().copied().collect::<Vec<_>>(), ["replicated"]);
}

#[tokio::test(start_paused = true)]
async fn regression_a_sweep_does_not_settle_one_destination_for_all() {
    let stage = Stage::new(config_of_three(9));
    deny(&stage, THIRD, Some(UNVERSIONED));
    let keys = put(&stage, 3).await;
    for key in &keys {
        let version = stage.version(key);
        let delete =
            |world: &mut simulator::World| world.delete_version_as_person(AWAY, key, &version);
        assert!(stage.sim.with(delete));
    }
    let rows = keys.iter().map(|key| stage.row(key, 0)).collect();
    stage.append(&group(THIRD, UNVERSIONED), rows).await;
    stage.run(stage.job(sweep(), &[], &[])).await;
    let ledger = stage.ledger().await;
    let all = |(_, to): &(Identity, String)| to == "*";
    assert!(!ledger.settled.keys().any(all), "{ledger:?}");
    let open = open(&stage).await;
    for row in of_each(&keys, &[UNVERSIONED]) {
        assert!(open.contains(&row), "{row:?} in {open:?}");
    }
    // In a group that is not settled as a whole either.
    let reasons = open.iter().map(|(_, why)| why.as_str());
    assert!(reasons.into_iter().all(|why| why != "DstObjectHardDeleted"));
}

#[tokio::test(start_paused = true)]
async fn regression_a_bad_request_says_nothing_of_a_version() {
    let stage = Stage::new(config(10));
    deny(&stage, AWAY, Some(KEY_LOST));
    let keys = put(&stage, 3).await;
    deny(&stage, AWAY, None);
    stage.sim.with(|world| {
        let soon = world.now() + std::time::Duration::from_mins(20);
        let fault = Fault::new(FaultKind::TooManyRequests).service(Service::S3);
        world.add_fault(fault.operation("HeadObject").until(soon));
    });
    let job = release(&stage, &keys, &[group(AWAY, KEY_LOST)]).await;
    let outcomes = run(&stage, job).await;
    assert_eq!((outcomes[0].arrived, outcomes[0].finals), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn regression_a_failure_of_what_was_not_looked_for_stays_open() {
    let mut stage = Stage::new(config(11));
    stage.settings.thresholds.proof_objects = 3;
    deny(&stage, AWAY, Some(KEY_LOST));
    let keys = put(&stage, 12).await;
    deny(&stage, AWAY, None);
    let job = release(&stage, &keys, &[group(AWAY, KEY_LOST)]).await;
    // Of the job itself: S3 began the replication, and it failed afterwards.
    let during = Millis::from(job.planned_at + SignedDuration::from_secs(1));
    let outcomes = run(&stage, job).await;
    assert_eq!(outcomes[0].arrived, 12);
    let rows = keys.iter().map(|key| Row {
        failed_at: during,
        ..stage.row(key, 0)
    });
    stage.append(&group(AWAY, KEY_LOST), rows.collect()).await;
    assert_eq!(open(&stage).await, {
        let mut all = of_each(&keys, &[KEY_LOST]);
        all.sort();
        all
    });
}

#[tokio::test(start_paused = true)]
async fn regression_a_version_does_not_prove_its_tags() {
    let reason = "DstPutTaggingNotPermitted";
    let mut config = config_of_three(12);
    config.jobs.late_failures = 1.0;
    let stage = Stage::new(config);
    // The version is there all along; its source still says that something failed.
    deny(&stage, THIRD, Some(UNVERSIONED));
    let keys = put(&stage, 2).await;
    assert!(keys.iter().all(|key| stage.has_arrived(key)));
    let job = release(&stage, &keys, &[group(AWAY, reason)]).await;
    let outcomes = run(&stage, job).await;
    assert_eq!((outcomes[0].arrived, outcomes[0].failed), (0, 2));
    deny(&stage, THIRD, None);
    stage.sleep(60).await;
    let job = release(&stage, &keys, &[group(AWAY, reason)]).await;
    let outcomes = run(&stage, job).await;
    assert_eq!((outcomes[0].arrived, outcomes[0].failed), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn regression_what_is_settled_as_handed_over_is_listed_whatever_slice_died() {
    let stage = Stage::new(config(13));
    let failed_at = Millis::from(stage.now());
    let rows = (0..12_000).map(|number| Row {
        key: format!("k{number}"),
        version: "v".to_owned(),
        failed_at,
        attempts: 0,
        size: None,
        group: 0,
    });
    let inputs = [stage.append(&group(AWAY, KEY_LOST), rows.collect()).await];
    let kind = JobKind::Settle {
        how: How::HandedOver,
    };
    let mut job = stage.job(kind, &[group(AWAY, KEY_LOST)], &inputs);
    job.not_before = stage.now() + SignedDuration::from_secs(1);
    let deps = stage.deps();
    let mut cursor = GatherCursor::default();
    // The first slice fixes what is read. The second writes all and dies before that is saved;
    // its repetition has less time.
    for seconds in [240, 240, 5] {
        let work = Work::new(&deps, stage.now() + SignedDuration::from_secs(seconds));
        match gather(&work, &job, cursor.clone()).await.unwrap() {
            Slice::More(next) if cursor.settled.is_none() => cursor = next,
            Slice::More(_) | Slice::Done(_) => {}
            Slice::Wait(..) => panic!("gathering waits for nothing"),
        }
    }
    let ledger = stage.ledger().await;
    assert_eq!(ledger.settled.len(), 12_000);
    assert_eq!(ledger.handed_over.len(), 12_000);
}

#[tokio::test(start_paused = true)]
async fn regression_an_upload_that_is_given_up_is_aborted() {
    let stage = Stage::new(config(14));
    let failed_at = Millis::from(stage.now());
    let rows = (0..4000).map(|number| Row {
        key: format!("{number:06}{}", "ü".repeat(480)),
        version: "v".to_owned(),
        failed_at,
        attempts: 0,
        size: None,
        group: 0,
    });
    let inputs = [stage.append(&group(AWAY, KEY_LOST), rows.collect()).await];
    let mut job = stage.job(JobKind::Release, &[group(AWAY, KEY_LOST)], &inputs);
    job.limit = 1_000_000;
    stage.sim.with(|world| {
        let fault = Fault::new(FaultKind::AccessDenied).operation("UploadPart");
        world.add_fault(fault);
    });
    let deps = stage.deps();
    let work = Work::new(&deps, stage.now() + SignedDuration::from_secs(240));
    let Slice::More(cursor) = gather(&work, &job, GatherCursor::default()).await.unwrap() else {
        panic!("the first slice fixes what is read");
    };
    gather(&work, &job, cursor).await.unwrap_err();
    assert_eq!(stage.count("CreateMultipartUpload"), 1);
    assert_eq!(stage.count("AbortMultipartUpload"), 1);
}
