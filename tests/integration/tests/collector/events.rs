//! What S3 itself sends, as far as the simulator knows it: every version that it says it gave up
//! is in the ledger.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use simulator::WorldConfig;

use crate::messages::{batch, given_back, message};
use crate::world::World;

const KEYS: [&str; 6] = [
    "plain.txt",
    "with blanks and+plus",
    "100%2B.txt",
    "ümläut/\u{1F600}",
    "quote\",comma,'apostrophe'",
    "line\nbreak",
];

/// Everything that has arrived, as the queue hands it over.
fn delivered(world: &World) -> Vec<Value> {
    let messages = world.sim.with(simulator::World::take_replication_messages);
    messages
        .iter()
        .map(|one| message(&one.id, one.body.as_str()))
        .collect()
}

/// Denies one pair, writes, and gives the collector what S3 sent.
async fn collects_what_failed(change: impl FnOnce(&mut WorldConfig)) {
    let world = World::with(|config| {
        config.timing.duplicate_event = 0.3;
        config.timing.late_event = 0.2;
        change(config);
    });
    let reason = "DstPutObjectNotPermitted";
    let mut written = BTreeSet::new();
    world.sim.with(|world| {
        world.deny_replication("app-use1", "app-euw1", Some(reason));
        for key in KEYS {
            for _ in 0..2 {
                let version = world.put_object_as_person("app-use1", key, "a body");
                written.insert((key.to_owned(), version));
            }
            // The other way nothing is wrong.
            world.put_object_as_person("app-euw1", &format!("back/{key}"), "a body");
        }
    });
    let mut messages = 0;
    for _ in 0..20 {
        world.sim.sleep(Duration::from_secs(30)).await;
        let delivered = delivered(&world);
        messages += delivered.len();
        let answer = world.answer(batch(&delivered)).await;
        assert_eq!(given_back(&answer), [""; 0]);
    }
    assert!(messages > 1, "{messages}");
    let found: BTreeSet<(String, String)> = world
        .groups()
        .into_iter()
        .map(|(group, row)| {
            assert_eq!(group.source.as_str(), "app-use1");
            assert_eq!(group.destination.as_str(), "app-euw1");
            assert_eq!(group.reason, reason);
            (row.key, row.version)
        })
        .collect();
    assert_eq!(found, written);
}

#[tokio::test(start_paused = true)]
async fn failures_as_s3_sends_them() {
    collects_what_failed(|_| {}).await;
}

#[tokio::test(start_paused = true)]
async fn failures_over_a_topic() {
    collects_what_failed(|config| {
        config.replication_events.through_topic =
            Some("arn:aws:sns:us-east-1:111122223333:replication".to_owned());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn failures_several_in_a_message() {
    collects_what_failed(|config| config.timing.records_per_message = 1..=5).await;
}
