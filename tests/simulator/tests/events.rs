//! Events about replication: their form, and how they travel.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use common::{AWAY, HOME, config, put, s3, secs, start};
use serde_json::Value;
use simulator::{Encryption, ReplicationMessage, Simulator, Timing, World};

fn take(sim: &Simulator) -> Vec<ReplicationMessage> {
    sim.with(World::take_replication_messages)
}

/// The records of messages, test events aside.
fn records(messages: &[ReplicationMessage]) -> Vec<Value> {
    let bodies = messages.iter().map(|message| {
        let body: Value = serde_json::from_str(&message.body).unwrap();
        body["Records"].as_array().cloned().unwrap_or_default()
    });
    bodies.flatten().collect()
}

#[tokio::test(start_paused = true)]
async fn a_test_event_for_each_source_comes_first() {
    let sim = start(config(1));
    let first = sim.next_replication_message().await;
    let second = sim.next_replication_message().await;
    let buckets = BTreeSet::from([first.bucket, second.bucket]);
    assert_eq!(buckets, BTreeSet::from([HOME.to_owned(), AWAY.to_owned()]));
    for body in [first.body, second.body] {
        let event: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(event["Event"], "s3:TestEvent");
        assert!(event.get("Records").is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_as_s3_tells_it() {
    let sim = start(config(1));
    sim.sleep(secs(60)).await;
    take(&sim);
    sim.with(|w| w.deny_replication(HOME, AWAY, Some("AssumeRoleNotPermitted")));
    let etag = put(
        &s3(&sim, "app", "us-east-1"),
        HOME,
        "red flower+1,\"ü\".jpg",
        "v",
    )
    .await;
    let message = sim.next_replication_message().await;
    assert_eq!(message.bucket, HOME);
    let record = &records(&[message])[0];
    assert_eq!(
        record["eventName"],
        "Replication:OperationFailedReplication"
    );
    assert!(record["eventVersion"].as_str().unwrap().starts_with("2."));
    assert_eq!(record["awsRegion"], "us-east-1");
    let object = &record["s3"]["object"];
    assert_eq!(object["key"], "red+flower%2B1%2C%22%C3%BC%22.jpg");
    assert_eq!(object["eTag"], etag.trim_matches('"'));
    assert_eq!(object["size"], 1);
    let version = sim.with(|w| {
        w.versions(HOME, "red flower+1,\"ü\".jpg")[0]
            .version_id
            .clone()
    });
    assert_eq!(object["versionId"], *version);
    let data = &record["replicationEventData"];
    assert_eq!(data["replicationRuleId"], format!("to-{AWAY}"));
    assert_eq!(data["destinationBucket"], format!("arn:aws:s3:::{AWAY}"));
    assert_eq!(data["s3Operation"], "OBJECT_PUT");
    assert_eq!(data["failureReason"], "AssumeRoleNotPermitted");
    let times = [&record["eventTime"], &data["requestTime"]];
    let times = times.map(|time| time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
    assert!(times[0] > times[1]);
}

#[tokio::test(start_paused = true)]
async fn events_are_duplicated_late_reordered_and_several_in_a_message() {
    let mut config = config(1);
    config.replication_events.through_topic = Some(common::TOPIC.to_owned());
    let sim = start(config.timing(Timing {
        duplicate_event: 0.5,
        late_event: 0.5,
        records_per_message: 1..=5,
        replication: 1_000..=1_000,
        ..Timing::default()
    }));
    sim.with(|w| {
        w.deny_replication(HOME, AWAY, Some("Unheard"));
        for number in 0..100 {
            w.put_object_as_person(HOME, &format!("k{number:03}"), "v");
        }
    });
    sim.sleep(secs(3)).await;
    sim.sleep(secs(300)).await;
    let some = sim.with(|w| w.take_some_replication_messages(5));
    assert_eq!(some.len(), 5);
    let messages: Vec<_> = some.into_iter().chain(take(&sim)).collect();
    assert_eq!(sim.with(|w| w.waiting_replication_messages()), 0);
    let ids: BTreeSet<&str> = messages.iter().map(|m| m.id.as_str()).collect();
    assert_eq!(
        ids.len(),
        messages.len(),
        "every message has an id of its own"
    );
    let unwrapped: Vec<ReplicationMessage> = messages
        .iter()
        .map(|message| {
            let envelope: Value = serde_json::from_str(&message.body).unwrap();
            assert_eq!(envelope["Type"], "Notification");
            assert_eq!(envelope["TopicArn"], common::TOPIC);
            let body = envelope["Message"].as_str().unwrap().to_owned();
            ReplicationMessage {
                body,
                ..message.clone()
            }
        })
        .collect();
    let records = records(&unwrapped);
    let keys = records
        .iter()
        .map(|r| r["s3"]["object"]["key"].as_str().unwrap());
    let keys: Vec<&str> = keys.collect();
    let distinct: BTreeSet<&str> = keys.iter().copied().collect();
    assert_eq!(distinct.len(), 100, "none is lost");
    assert!(keys.len() > 110, "some come twice");
    assert!(!keys.is_sorted());
    assert!(messages.len() < keys.len() / 2);
    let versions = records.iter().map(|r| r["eventVersion"].as_str().unwrap());
    assert!(versions.collect::<BTreeSet<_>>().len() > 1);
}

#[tokio::test(start_paused = true)]
async fn time_control_tells_what_takes_too_long() {
    let sim = start(config(1).with_time_control());
    sim.sleep(secs(60)).await;
    take(&sim);
    sim.with(|w| {
        w.set_replication_delay(HOME, AWAY, 1_000_000..=1_000_000);
        w.put_object_as_person(HOME, "late", "v");
        w.set_replication_delay(HOME, AWAY, 1_000..=1_000);
        w.put_object_as_person(HOME, "fast", "v");
        w.set_replication_delay(HOME, AWAY, 200_000_000..=200_000_000);
        w.put_object_as_person(HOME, "endless", "v");
    });
    let mut seen = Vec::new();
    for wait in [800, 150, 300, 90_000, 200_000] {
        sim.sleep(secs(wait)).await;
        let records = records(&take(&sim));
        let told = records.iter().map(|record| {
            let name = record["eventName"].as_str().unwrap();
            let key = record["s3"]["object"]["key"].as_str().unwrap();
            (name.rsplit(':').next().unwrap().to_owned(), key.to_owned())
        });
        let mut told: Vec<(String, String)> = told.collect();
        told.sort();
        seen.push(told);
    }
    let pair = |name: &str, key: &str| (name.to_owned(), key.to_owned());
    let expected = [
        vec![],
        vec![
            pair("OperationMissedThreshold", "endless"),
            pair("OperationMissedThreshold", "late"),
        ],
        vec![pair("OperationReplicatedAfterThreshold", "late")],
        vec![pair("OperationNotTracked", "endless")],
        vec![pair("OperationReplicatedAfterThreshold", "endless")],
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn without_metrics_there_are_no_events() {
    let mut rule = simulator::ReplicationRule::new(format!("to-{AWAY}"), HOME, AWAY);
    rule.metrics = false;
    let sim = start(config(1));
    sim.with(|w| {
        w.set_replication_rule(rule);
        w.deny_replication(HOME, AWAY, Some("DstPutObjectNotPermitted"));
    });
    sim.sleep(secs(60)).await;
    take(&sim);
    put(&s3(&sim, "app", "us-east-1"), HOME, "k", "v").await;
    sim.sleep(secs(600)).await;
    assert_eq!(take(&sim), []);
}

#[tokio::test(start_paused = true)]
async fn keys_decide_what_can_be_replicated_and_read() {
    let (home_key, away_key) = (
        "arn:aws:kms:us-east-1:111122223333:key/1",
        "arn:aws:kms:eu-west-1:111122223333:key/2",
    );
    let sim = start(
        config(1)
            .encrypted(HOME, home_key)
            .encrypted(AWAY, away_key),
    );
    let client = s3(&sim, "app", "us-east-1");
    sim.with(|w| w.disable_kms_key(away_key));
    put(&client, HOME, "k", "v").await;
    sim.sleep(secs(30)).await;
    let told = records(&take(&sim));
    assert_eq!(
        told[0]["replicationEventData"]["failureReason"],
        "DstKmsKeyInvalidState"
    );
    sim.with(|w| w.enable_kms_key(away_key));
    put(&client, HOME, "l", "v").await;
    sim.sleep(secs(30)).await;
    let replica = sim.with(|w| w.object(AWAY, "l").unwrap().properties.encryption.clone());
    assert_eq!(
        replica,
        Encryption::SseKms {
            key: away_key.to_owned()
        }
    );
    let head = client
        .head_object()
        .bucket(HOME)
        .key("l")
        .send()
        .await
        .unwrap();
    assert_eq!(head.server_side_encryption().unwrap().as_str(), "aws:kms");
    assert_eq!(head.ssekms_key_id(), Some(home_key));
    sim.with(|w| w.disable_kms_key(home_key));
    let get = client.get_object().bucket(HOME).key("l").send().await;
    assert_eq!(
        common::refusal(get),
        (400, "KMS.DisabledException".to_owned())
    );
    let put = client.put_object().bucket(HOME).key("m").send().await;
    assert_eq!(common::refusal(put).1, "KMS.DisabledException");
    let plain = client.put_object().bucket(HOME).key("m");
    let plain = plain.server_side_encryption(aws_sdk_s3::types::ServerSideEncryption::Aes256);
    plain.send().await.unwrap();
    let stored = sim.with(|w| w.object(HOME, "m").unwrap().properties.encryption.clone());
    assert_eq!(stored, Encryption::SseS3);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_deleted_before_its_copy_fails() {
    let sim = start(config(1));
    sim.sleep(secs(60)).await;
    take(&sim);
    sim.with(|w| {
        let version = w.put_object_as_person(HOME, "k", "v");
        w.delete_version_as_person(HOME, "k", &version);
    });
    sim.sleep(secs(600)).await;
    let told = records(&take(&sim));
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0]["replicationEventData"]["failureReason"],
        "SrcKeyNotFound"
    );
}

#[tokio::test(start_paused = true)]
async fn delete_markers_are_replicated_where_the_rule_says_so() {
    let sim = start(config(1));
    let mut rule = simulator::ReplicationRule::new(format!("to-{AWAY}"), HOME, AWAY);
    for (key, replicated) in [("stays", false), ("goes", true)] {
        rule.delete_markers = replicated;
        sim.with(|w| {
            w.set_replication_rule(rule.clone());
            w.put_object_as_person(HOME, key, "v");
        });
        sim.sleep(secs(30)).await;
        sim.with(|w| w.delete_object_as_person(HOME, key));
        sim.sleep(secs(30)).await;
        assert_eq!(
            sim.with(|w| w.object(AWAY, key).is_none()),
            replicated,
            "{key}"
        );
    }
}
