//! Signs of lag become one document and metrics, never re-drives.

use serde_json::{Value, json};
use simulator::{Fault, FaultKind};

use crate::messages::{Failed, batch, given_back, late, message};
use crate::world::{STATE, World, expected};

const MISSED: &str = "OperationMissedThreshold";
const LATE: &str = "OperationReplicatedAfterThreshold";
const UNTRACKED: &str = "OperationNotTracked";

fn signs(records: &[(&str, &str)]) -> Value {
    let messages: Vec<Value> = records
        .iter()
        .enumerate()
        .map(|(number, (name, at))| {
            let body = json!({"Records": [late(name, at)]});
            message(&format!("late-{number}"), body.to_string())
        })
        .collect();
    batch(&messages)
}

#[tokio::test(start_paused = true)]
async fn the_latest_signs_are_kept() {
    let world = World::new();
    let payload = signs(&[
        (MISSED, "2026-11-20T16:45:00Z"),
        (MISSED, "2026-11-20T16:46:00Z"),
        (LATE, "2026-11-20T16:50:00.250Z"),
        (UNTRACKED, "2026-11-20T16:40:00Z"),
    ]);
    let answer = world.answer(payload.clone()).await;
    assert_eq!(given_back(&answer), [""; 0]);
    assert!(world.files().is_empty(), "nothing is to be re-driven");
    let expected = json!({"schema": 1, "pairs": [{
        "source": "app-use1", "destination": "app-euw1",
        "missedThreshold": {"at": "2026-11-20T16:46:00Z", "delaySeconds": 960},
        "arrivedLate": {"at": "2026-11-20T16:50:00.25Z", "delaySeconds": 1200},
        "notTracked": {"at": "2026-11-20T16:40:00Z", "delaySeconds": 600},
    }]});
    assert_eq!(world.lag(), (Some(expected.clone()), 1));

    let (_, metrics) = world.printed();
    let [line] = &metrics[..] else {
        panic!("{metrics:?}")
    };
    assert_eq!(line["SourceRegion"], "us-east-1");
    assert_eq!(line["DestinationRegion"], "eu-west-1");
    assert_eq!(line["MissedThreshold"], 2.0);
    assert_eq!(line["ReplicatedAfterThreshold"], 1.0);
    assert_eq!(line["NotTracked"], 1.0);
    assert_eq!(line["ReplicationDelay"], 1200.25);
    assert!(line["ReplicationFailures"].is_null());

    // Delivered again, and older ones.
    world.answer(payload).await;
    world
        .answer(signs(&[(MISSED, "2026-11-20T16:01:00Z")]))
        .await;
    assert_eq!(world.lag(), (Some(expected), 1), "it was not written again");
    world
        .answer(signs(&[(MISSED, "2026-11-20T16:47:00Z")]))
        .await;
    let (document, versions) = world.lag();
    assert_eq!(versions, 2);
    assert_eq!(
        document.unwrap()["pairs"][0]["missedThreshold"]["at"],
        "2026-11-20T16:47:00Z"
    );
}

#[tokio::test(start_paused = true)]
async fn functions_that_merge_at_once_lose_nothing() {
    let world = World::new();
    // Every invocation has an id of its own, by which it knows its writes.
    let invoke = async |id: &str, name: &str, at: &str| {
        let answer = world.invoke(signs(&[(name, at)]), id).await.unwrap();
        assert_eq!(given_back(&answer), [""; 0]);
    };
    futures_util::join!(
        invoke("request-1", MISSED, "2026-11-20T16:45:00Z"),
        invoke("request-2", LATE, "2026-11-20T16:46:00Z"),
        invoke("request-3", UNTRACKED, "2026-11-20T16:47:00Z"),
        invoke("request-4", MISSED, "2026-11-20T16:48:00Z"),
        invoke("request-5", LATE, "2026-11-20T16:44:00Z"),
    );
    let pair = world.lag().0.unwrap()["pairs"][0].take();
    assert_eq!(pair["missedThreshold"]["at"], "2026-11-20T16:48:00Z");
    assert_eq!(pair["arrivedLate"]["at"], "2026-11-20T16:46:00Z");
    assert_eq!(pair["notTracked"]["at"], "2026-11-20T16:47:00Z");
}

/// Failures do not wait for the record of lag.
#[tokio::test(start_paused = true)]
async fn a_record_of_lag_that_fails_gives_back_its_messages_alone() {
    let failed = Failed::number(1);
    let records = json!({"Records": [late(MISSED, "2026-11-20T16:45:00Z")]});
    let payload = batch(&[
        message("failed", failed.body()),
        message("late", records.to_string()),
    ]);
    for (document, says) in [
        (None, "refuses"),
        (Some("{\"schema\":1,\"pa"), "lag.json cannot be understood"),
        (Some("{\"schema\":2,\"pairs\":[]}"), "lag.json has schema 2"),
        (
            Some("{\"schema\":1,\"pairs\":7}"),
            "delete it and it begins anew",
        ),
    ] {
        let world = World::new();
        world.sim.with(|world| {
            if let Some(document) = document {
                world.put_object_as_person(STATE, "lag.json", document);
            } else {
                let fault = Fault::new(FaultKind::AccessDenied).path_contains("lag.json");
                world.add_fault(fault);
            }
        });
        let answer = world.answer(payload.clone()).await;
        assert_eq!(given_back(&answer), ["late"], "{says}");
        assert_eq!(world.rows(), expected([&failed]));
        let (log, _) = world.printed();
        assert!(log[0].to_string().contains(says), "{says}: {}", log[0]);
        if let Some(document) = document {
            let left = world.sim.with(|world| {
                let object = world.object(STATE, "lag.json").unwrap();
                object.body.clone()
            });
            assert_eq!(left, document.as_bytes(), "it is not written over");
        }
    }
}
