//! The state store: conditions on the wire, lost answers, deletions and torn documents.

use sentinel_aws::store::{ETag, Expected, Loaded, Store, StoreError};
use sentinel_core::evidence::ProbeOutcome;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::wire::{Reply, Request, World, after, answer, answer_with, error};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Document {
    schema: u32,
    holds: u32,
}

const DOCUMENT: Document = Document {
    schema: 1,
    holds: 2,
};
const KEY: &str = "state/current.json";

fn world(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (World, Store) {
    let world = World::new(script);
    let store = Store::new(world.edge(), "sentinel-state".parse().unwrap());
    (world, store)
}

/// The version of a document that a scripted bucket serves.
async fn etag() -> ETag {
    let (_, store) =
        world(|_| answer_with(200, &[("etag", "\"v1\"")], r#"{"schema":1,"holds":2}"#));
    match store.load::<Document>(KEY).await.unwrap() {
        Loaded::Found { document, etag } => {
            assert_eq!(document, DOCUMENT);
            etag
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_states_what_it_expects() {
    let version = Expected::Version(etag().await);
    for (expected, header, value) in [
        (&Expected::Absent, "if-none-match", "*"),
        (&version, "if-match", "\"v1\""),
    ] {
        let (world, store) = world(|_| answer_with(200, &[("etag", "\"v2\"")], ""));
        let written = store
            .save(KEY, &DOCUMENT, expected, "request-1/1")
            .await
            .unwrap();
        assert_eq!(written.to_string(), "\"v2\"");
        let [request] = &world.requests()[..] else {
            panic!("one request")
        };
        assert_eq!(request.method, "PUT");
        assert_eq!(request.region(), "eu-central-1", "the control Region");
        assert_eq!(request.header(header), Some(value));
        assert_eq!(request.header("x-amz-meta-writer"), Some("request-1/1"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert!(request.header("x-amz-checksum-crc32").is_some());
        assert_eq!(request.body, r#"{"schema":1,"holds":2}"#);
    }
}

/// What a save came to, and the methods that it took.
async fn save(
    expected: &Expected,
    script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Result<ETag, StoreError>, String) {
    let (world, store) = world(script);
    let result = store.save(KEY, &DOCUMENT, expected, "ours").await;
    let methods: Vec<String> = world
        .requests()
        .into_iter()
        .map(|request| request.method)
        .collect();
    (result, methods.join(" "))
}

fn head(writer: &str) -> Reply {
    answer_with(
        200,
        &[("etag", "\"v9\""), ("x-amz-meta-writer", writer)],
        "",
    )
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_recognised_as_our_own_write() {
    // Applied, answer lost, and the retry meets our own document.
    let (result, methods) = save(&Expected::Absent, |request| {
        match (request.method.as_str(), request.at) {
            ("PUT", 0) => Reply::Hang,
            ("PUT", _) => error(412, "PreconditionFailed"),
            _ => head("ours"),
        }
    })
    .await;
    assert_eq!(result.unwrap().to_string(), "\"v9\"");
    assert_eq!(methods, "PUT PUT HEAD");

    // Applied, every answer lost.
    let (result, _) = save(&Expected::Absent, |request| match request.method.as_str() {
        "PUT" => Reply::Hang,
        _ => head("ours"),
    })
    .await;
    assert!(result.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_somebody_elses_write() {
    for (status, code) in [
        (412, "PreconditionFailed"),
        (409, "ConditionalRequestConflict"),
    ] {
        let (result, methods) = save(&Expected::Absent, move |request| {
            match request.method.as_str() {
                "PUT" => error(status, code),
                _ => head("theirs"),
            }
        })
        .await;
        assert_eq!(
            result,
            Err(StoreError::Lost {
                key: KEY.to_owned()
            })
        );
        assert_eq!(methods, "PUT HEAD");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_write_is_not_called_lost_or_won() {
    // Whose write the 412 met cannot be told.
    let (result, _) = save(&Expected::Absent, |request| match request.method.as_str() {
        "PUT" => error(412, "PreconditionFailed"),
        _ => Reply::Refuse,
    })
    .await;
    assert!(
        matches!(result, Err(StoreError::Unreachable { .. })),
        "{result:?}"
    );

    // No answer, and not there (yet).
    let (result, _) = save(&Expected::Absent, |request| match request.method.as_str() {
        "PUT" => Reply::Hang,
        _ => answer(404, ""),
    })
    .await;
    assert!(
        matches!(result, Err(StoreError::Unreachable { .. })),
        "{result:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn refusals_are_told_apart() {
    let version = Expected::Version(etag().await);
    let (result, methods) = save(&version, |_| error(404, "NoSuchKey")).await;
    assert_eq!(
        result,
        Err(StoreError::Missing {
            key: KEY.to_owned()
        })
    );
    assert_eq!(methods, "PUT");
    for (status, code) in [
        (403, "AccessDenied"),
        (404, "NoSuchBucket"),
        (400, "KMS.DisabledException"),
    ] {
        let (result, methods) = save(&version, move |_| error(status, code)).await;
        assert!(
            matches!(result, Err(StoreError::Denied { .. })),
            "{code}: {result:?}"
        );
        assert_eq!(methods, "PUT");
    }
}

fn versions(entries: &str, rest: &str) -> Reply {
    answer(
        200,
        format!("<ListVersionsResult>{entries}{rest}</ListVersionsResult>"),
    )
}

#[tokio::test(start_paused = true)]
async fn a_first_start_is_not_a_deletion() {
    let version =
        |key: &str| format!("<Version><Key>{key}</Key><VersionId>1</VersionId></Version>");
    let marker = |key: &str| {
        format!("<DeleteMarker><Key>{key}</Key><VersionId>2</VersionId></DeleteMarker>")
    };
    let longer = format!("{KEY}.bak");
    for (entries, expected) in [
        (String::new(), Loaded::FirstStart),
        (version(&longer), Loaded::FirstStart),
        (version(KEY), Loaded::Deleted),
        (marker(KEY), Loaded::Deleted),
        (
            format!("{}{}", version(KEY), version(&longer)),
            Loaded::Deleted,
        ),
    ] {
        let (_, store) = world(move |request| {
            if request.path().contains("versions") {
                versions(&entries, "<IsTruncated>false</IsTruncated>")
            } else {
                error(404, "NoSuchKey")
            }
        });
        assert_eq!(store.load::<Document>(KEY).await, Ok(expected));
    }

    // An empty page that goes on says nothing yet.
    let (_, store) = world(move |request| match request.path() {
        path if path.contains("key-marker") => {
            versions(&marker(KEY), "<IsTruncated>false</IsTruncated>")
        }
        path if path.contains("versions") => versions(
            "",
            "<IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker>",
        ),
        _ => error(404, "NoSuchKey"),
    });
    assert_eq!(store.load::<Document>(KEY).await, Ok(Loaded::Deleted));
}

#[tokio::test(start_paused = true)]
async fn a_missing_bucket_is_no_first_start() {
    let (_, store) = world(|_| error(404, "NoSuchBucket"));
    let result = store.load::<Document>(KEY).await;
    assert!(
        matches!(result, Err(StoreError::Denied { .. })),
        "{result:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_optional_document_may_be_absent() {
    let (world, store) = world(|_| error(404, "NoSuchKey"));
    assert_eq!(store.load_optional::<Document>(KEY).await, Ok(None));
    assert_eq!(
        world.requests().len(),
        1,
        "nobody asks whether it was deleted"
    );
}

#[tokio::test(start_paused = true)]
async fn torn_documents_are_errors() {
    for (body, said) in [
        (r#"{"schema":1,"ho"#, "EOF"),
        ("", "EOF"),
        ("not JSON", "expected"),
        (r#"{"schema":7,"holds":[]}"#, "schema 7"),
    ] {
        let (_, store) = world(move |_| answer_with(200, &[("etag", "\"v1\"")], body));
        match store.load::<Document>(KEY).await {
            Err(StoreError::Torn { detail, .. }) => assert!(detail.contains(said), "{detail}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reads_are_retried_and_end() {
    let (world_, store) = world(|request| match request.at {
        0 => error(503, "SlowDown"),
        _ => answer_with(200, &[("etag", "\"v1\"")], r#"{"schema":1,"holds":2}"#),
    });
    assert!(store.load::<Document>(KEY).await.is_ok());
    assert_eq!(world_.requests().len(), 2);

    let (world_, store) = world(|_| Reply::Hang);
    let result = store.load::<Document>(KEY).await;
    assert!(
        matches!(result, Err(StoreError::Unreachable { .. })),
        "{result:?}"
    );
    assert!(world_.elapsed() <= 6_000, "{}", world_.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_ping_asks_whether_the_service_works() {
    let denied = ProbeOutcome::Status {
        status: 403,
        code: Some("AccessDenied".to_owned()),
    };
    for (reply, expected) in [
        (answer(200, ""), ProbeOutcome::Success),
        (error(404, "NoSuchKey"), ProbeOutcome::Success),
        (error(403, "AccessDenied"), denied),
        (Reply::Hang, ProbeOutcome::Deadline),
        (after(900, answer(200, "")), ProbeOutcome::Success),
    ] {
        let (_, store) = world(move |_| reply.clone());
        assert_eq!(store.ping(Duration::from_secs(1)).await, expected);
    }
}
