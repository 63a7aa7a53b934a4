//! The record of lag: merged under compare-and-swap, and never written without need.

use sentinel_aws::lag::{LagStore, LagStoreError};
use sentinel_aws::store::{Store, StoreError};
use sentinel_core::replication::{LagDocument, parse};

use crate::wire::{Reply, Request, World, answer, answer_with, error};

fn world(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (World, LagStore) {
    let world = World::new(script);
    let store = Store::new(world.edge(), "sentinel-state".parse().unwrap());
    let lag = LagStore::new(world.edge(), store);
    (world, lag)
}

/// What an event of this name and time tells.
fn news(at: &str) -> LagDocument {
    let body = format!(
        r#"{{"Records":[{{"eventVersion":"2.2","eventSource":"aws:s3","eventTime":"{at}",
            "eventName":"Replication:OperationMissedThreshold","s3":{{"bucket":{{"name":"app-use1"}}}},
            "replicationEventData":{{"replicationRuleId":"r","destinationBucket":"arn:aws:s3:::app-euw1"}}}}]}}"#
    );
    let mut news = LagDocument::default();
    for event in parse(&body).unwrap().events {
        news.note(&event);
    }
    assert!(!news.is_empty());
    news
}

fn document(at: &str) -> Reply {
    answer_with(
        200,
        &[("etag", "\"v1\"")],
        serde_json::to_vec(&news(at)).unwrap(),
    )
}

const EARLIER: &str = "2026-11-20T16:00:00Z";
const LATER: &str = "2026-11-20T16:30:00Z";

#[tokio::test(start_paused = true)]
async fn the_first_sign_makes_the_document() {
    let (world, lag) = world(|request| match request.method.as_str() {
        "GET" => error(404, "NoSuchKey"),
        _ => answer_with(200, &[("etag", "\"v1\"")], ""),
    });
    assert_eq!(lag.load().await, Ok(LagDocument::default()));
    assert_eq!(lag.merge(&news(LATER), "r").await, Ok(true));
    let requests = world.requests();
    let put = requests.last().unwrap();
    assert_eq!(put.method, "PUT");
    assert!(put.path().starts_with("/lag.json"), "{}", put.path());
    assert_eq!(put.header("if-none-match"), Some("*"));
    assert_eq!(put.header("x-amz-meta-writer"), Some("r/1"));
    assert_eq!(put.body, serde_json::to_string(&news(LATER)).unwrap());
}

#[tokio::test(start_paused = true)]
async fn only_what_is_new_is_written() {
    let (world_, lag) = world(|_| document(LATER));
    assert_eq!(lag.merge(&news(LATER), "r").await, Ok(false));
    assert_eq!(lag.merge(&news(EARLIER), "r").await, Ok(false));
    assert!(world_.requests().iter().all(|r| r.method == "GET"));

    let (world_, lag) = world(|request| match request.method.as_str() {
        "GET" => document(EARLIER),
        _ => answer_with(200, &[("etag", "\"v2\"")], ""),
    });
    assert_eq!(lag.merge(&news(LATER), "r").await, Ok(true));
    assert_eq!(world_.requests()[1].header("if-match"), Some("\"v1\""));
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_run_again_and_not_for_ever() {
    let lost = |request: &Request| match request.method.as_str() {
        "GET" => document(EARLIER),
        "PUT" => error(412, "PreconditionFailed"),
        _ => answer_with(200, &[("etag", "\"v2\"")], ""),
    };
    let (world, lag) = world(lost);
    assert_eq!(
        lag.merge(&news(LATER), "r").await,
        Err(LagStoreError::Contended)
    );
    let puts = world
        .requests()
        .iter()
        .filter(|r| r.method == "PUT")
        .count();
    assert_eq!(puts, 8);
    assert!(world.elapsed() < 5_000, "{}", world.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_document_that_cannot_be_trusted_is_left_alone() {
    for (body, says) in [
        ("{\"schema\":2}", "schema 2"),
        ("{\"schema\":1,\"pairs\":[7]}", "begins anew"),
        ("{\"schema\":1,", "cannot be understood"),
    ] {
        let (world, lag) = world(move |_| answer_with(200, &[("etag", "\"v1\"")], body));
        let error = lag.merge(&news(LATER), "r").await.expect_err(says);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(says), "{cause}");
        assert!(world.requests().iter().all(|r| r.method == "GET"));
    }
    let (_, lag) = world(|_| answer(403, ""));
    assert!(matches!(
        lag.load().await,
        Err(LagStoreError::Store(StoreError::Denied { .. }))
    ));
}
