//! Replication: states, outages, failures, metrics.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};
use common::{AWAY, HOME, cloudwatch, config, put, s3, secs, start};
use simulator::truth::{ReplicationState, Transfer};
use simulator::{Outage, Simulator, Versioning};

fn state(sim: &Simulator, bucket: &str, key: &str) -> Option<ReplicationState> {
    sim.with(|world| {
        world
            .object(bucket, key)
            .and_then(simulator::truth::ObjectVersion::replication)
    })
}

#[tokio::test(start_paused = true)]
async fn a_write_is_pending_then_completed_and_its_copy_a_replica() {
    let sim = start(config(1));
    let home = s3(&sim, "app", "us-east-1");
    put(&home, HOME, "k", "v").await;
    let head = home
        .head_object()
        .bucket(HOME)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(head.replication_status().unwrap().as_str(), "PENDING");
    sim.sleep(secs(5)).await;
    let head = home
        .head_object()
        .bucket(HOME)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(head.replication_status().unwrap().as_str(), "COMPLETED");
    let away = s3(&sim, "app", "eu-west-1");
    let copy = away
        .head_object()
        .bucket(AWAY)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(copy.replication_status().unwrap().as_str(), "REPLICA");
    assert_eq!(copy.version_id(), head.version_id());
    assert_eq!(copy.e_tag(), head.e_tag());
    assert_eq!(copy.last_modified(), head.last_modified());
    sim.sleep(secs(60)).await;
    assert_eq!(
        sim.with(|w| w.versions(HOME, "k").len()),
        1,
        "replicas are not sent back"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_bound_for_a_region_that_is_down_waits_and_resumes() {
    for down in ["eu-west-1", "us-east-1"] {
        let sim = start(config(1));
        let home = s3(&sim, "app", "us-east-1");
        put(&home, HOME, "k", "v").await;
        sim.with(|w| w.region_down(Outage::refuse(down, w.now(), secs(3600))));
        sim.sleep(secs(3500)).await;
        assert_eq!(
            state(&sim, HOME, "k"),
            Some(ReplicationState::Pending),
            "{down}"
        );
        assert_eq!(state(&sim, AWAY, "k"), None, "{down}");
        assert_eq!(sim.with(|w| w.pending_replication(HOME, AWAY)), 1);
        sim.sleep(secs(200)).await;
        assert_eq!(
            state(&sim, HOME, "k"),
            Some(ReplicationState::Completed),
            "{down}"
        );
        assert_eq!(
            state(&sim, AWAY, "k"),
            Some(ReplicationState::Replica),
            "{down}"
        );
        assert_eq!(sim.with(|w| w.pending_replication(HOME, AWAY)), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_without_end_ends_when_the_harness_says_so() {
    let sim = start(config(1));
    let mut outage = Outage::hang("eu-west-1", sim.now(), secs(0));
    outage.until = None;
    sim.with(|w| w.region_down(outage));
    put(&s3(&sim, "app", "us-east-1"), HOME, "k", "v").await;
    sim.sleep(secs(9999)).await;
    assert_eq!(state(&sim, HOME, "k"), Some(ReplicationState::Pending));
    sim.with(|w| w.region_up("eu-west-1"));
    sim.sleep(secs(60)).await;
    assert_eq!(state(&sim, HOME, "k"), Some(ReplicationState::Completed));
    let interval = sim.with(|w| w.outages()[0].clone());
    assert!(interval.until.is_some());
}

#[tokio::test(start_paused = true)]
async fn configuration_errors_fail_with_their_reason() {
    let sim = start(config(1));
    let home = s3(&sim, "app", "us-east-1");
    sim.with(|w| w.set_versioning(AWAY, Versioning::Suspended));
    put(&home, HOME, "unversioned", "v").await;
    sim.sleep(secs(10)).await;
    sim.with(|w| {
        w.set_versioning(AWAY, Versioning::Enabled);
        w.deny_replication(HOME, AWAY, Some("DstPutObjectNotPermitted"));
    });
    put(&home, HOME, "denied", "v").await;
    sim.sleep(secs(10)).await;
    sim.with(|w| w.deny_replication(HOME, AWAY, None));
    put(&home, HOME, "fine", "v").await;
    sim.sleep(secs(10)).await;
    for (key, expected) in [
        ("unversioned", "DstBucketUnversioned"),
        ("denied", "DstPutObjectNotPermitted"),
    ] {
        assert_eq!(state(&sim, HOME, key), Some(ReplicationState::Failed));
        let transfer = sim.with(|w| w.object(HOME, key).unwrap().transfers[AWAY].clone());
        let Transfer::Failed { reason, .. } = transfer else {
            unreachable!("{transfer:?}")
        };
        assert_eq!(reason, expected);
        assert_eq!(state(&sim, AWAY, key), None);
    }
    assert_eq!(state(&sim, HOME, "fine"), Some(ReplicationState::Completed));
}

#[tokio::test(start_paused = true)]
async fn rules_have_prefixes_switches_and_delays() {
    let sim = start(config(1));
    sim.with(|w| {
        let mut rule = simulator::ReplicationRule::new(format!("to-{AWAY}"), HOME, AWAY);
        "in/".clone_into(&mut rule.prefix);
        w.set_replication_rule(rule.clone());
        rule.source = AWAY.to_owned();
        rule.destination = HOME.to_owned();
        rule.id = format!("to-{HOME}");
        rule.enabled = false;
        w.set_replication_rule(rule);
        w.set_replication_delay(HOME, AWAY, 100_000..=100_000);
    });
    let home = s3(&sim, "app", "us-east-1");
    put(&home, HOME, "in/k", "v").await;
    put(&home, HOME, "out/k", "v").await;
    put(&s3(&sim, "app", "eu-west-1"), AWAY, "in/back", "v").await;
    sim.sleep(secs(90)).await;
    assert_eq!(state(&sim, HOME, "in/k"), Some(ReplicationState::Pending));
    assert_eq!(state(&sim, HOME, "out/k"), None);
    assert_eq!(state(&sim, AWAY, "in/back"), None);
    sim.sleep(secs(20)).await;
    assert_eq!(state(&sim, AWAY, "in/k"), Some(ReplicationState::Replica));
}

#[tokio::test(start_paused = true)]
async fn some_keys_may_take_longer_than_others() {
    let sim = start(config(1));
    sim.with(|w| {
        w.set_replication_delay(HOME, AWAY, 1_000..=1_000);
        w.set_replication_delay_under(HOME, AWAY, "in/", 100_000..=100_000);
        w.set_replication_delay_under(HOME, AWAY, "in/quick/", 2_000..=2_000);
    });
    let home = s3(&sim, "app", "us-east-1");
    for key in ["out", "in/slow", "in/quick/k"] {
        put(&home, HOME, key, "v").await;
    }
    sim.sleep(secs(10)).await;
    assert_eq!(state(&sim, AWAY, "out"), Some(ReplicationState::Replica));
    assert_eq!(
        state(&sim, AWAY, "in/quick/k"),
        Some(ReplicationState::Replica)
    );
    assert_eq!(state(&sim, AWAY, "in/slow"), None);
    sim.sleep(secs(100)).await;
    assert_eq!(
        state(&sim, AWAY, "in/slow"),
        Some(ReplicationState::Replica)
    );
}

#[tokio::test(start_paused = true)]
async fn versions_keep_their_order_whatever_the_order_of_arrival() {
    let sim = start(config(1));
    let home = s3(&sim, "app", "us-east-1");
    sim.with(|w| w.set_replication_delay(HOME, AWAY, 50_000..=50_000));
    put(&home, HOME, "k", "old").await;
    sim.with(|w| w.set_replication_delay(HOME, AWAY, 100..=100));
    put(&home, HOME, "k", "new").await;
    for wait in [5, 100] {
        sim.sleep(secs(wait)).await;
        let current = sim.with(|w| w.object(AWAY, "k").unwrap().body.clone());
        assert_eq!(current, "new");
    }
    assert_eq!(sim.with(|w| w.versions(AWAY, "k").len()), 2);
}

#[tokio::test(start_paused = true)]
async fn the_backlog_shows_in_the_destinations_region() {
    let sim = start(config(1));
    sim.with(|w| w.set_replication_delay(HOME, AWAY, 600_000..=600_000));
    put(&s3(&sim, "app", "us-east-1"), HOME, "k", "12345").await;
    sim.sleep(secs(300)).await;
    for (region, expected) in [("eu-west-1", Some(5.0)), ("us-east-1", None)] {
        let metric = Metric::builder()
            .namespace("AWS/S3")
            .metric_name("BytesPendingReplication")
            .dimensions(dimension("SourceBucket", HOME))
            .dimensions(dimension("DestinationBucket", AWAY))
            .dimensions(dimension("RuleId", &format!("to-{AWAY}")))
            .build();
        let stat = MetricStat::builder()
            .metric(metric)
            .period(60)
            .stat("Maximum")
            .build();
        let query = MetricDataQuery::builder().id("m").metric_stat(stat).build();
        let now = sim.with(|w| w.calendar(w.now())).as_second();
        let data = cloudwatch(&sim, "watcher", region)
            .get_metric_data()
            .start_time(DateTime::from_secs(now - 240))
            .end_time(DateTime::from_secs(now))
            .metric_data_queries(query)
            .send()
            .await
            .unwrap();
        let values = data.metric_data_results()[0].values();
        assert_eq!(values.first().copied(), expected, "{region}");
    }
}

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(value).build()
}
