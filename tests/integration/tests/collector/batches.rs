//! What becomes of a batch when nothing fails but messages.

use serde_json::{Value, json};

use crate::messages::{Failed, batch, batch_of, given_back, late, message, record};
use crate::world::{World, expected};

fn some_failures(count: usize) -> Vec<Failed> {
    (0..count).map(Failed::number).collect()
}

/// The value of a metric under these Regions.
fn metric(metrics: &[Value], name: &str, regions: &[(&str, &str)]) -> Option<f64> {
    let is_it = |line: &&Value| regions.iter().all(|(key, value)| line[*key] == **value);
    metrics
        .iter()
        .filter(is_it)
        .find_map(|line| line[name].as_f64())
}

#[tokio::test(start_paused = true)]
async fn each_group_of_a_batch_becomes_one_file() {
    let world = World::new();
    let failures = some_failures(200);
    let answer = world.answer(batch_of(&failures)).await;
    assert_eq!(answer, json!({"batchItemFailures": []}));
    assert_eq!(world.rows(), expected(&failures));
    assert_eq!(world.files().len(), 4);
    assert_eq!(world.requests()["PutObject"], 4);
    assert_eq!(world.requests().len(), 1, "nothing else is asked");

    let (log, metrics) = world.printed();
    let [line] = &log[..] else { panic!("{log:?}") };
    assert_eq!(line["message"], "collected");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["messages"], 200);
    assert_eq!(line["failures"], 200);
    assert_eq!(line["files"], json!({"new": 4, "alreadyThere": 0}));
    assert_eq!(line["requestId"], "request-1");
    assert_eq!(line["groups"].as_array().unwrap().len(), 4);
    assert!(!line.to_string().contains("photos/"), "no keys: {line}");

    assert_eq!(metrics.len(), 2, "{metrics:?}");
    let home = ("SourceRegion", "us-east-1");
    for (destination, count) in [("eu-west-1", 150.0), ("other", 50.0)] {
        let regions = [home, ("DestinationRegion", destination)];
        assert_eq!(
            metric(&metrics, "ReplicationFailures", &regions),
            Some(count)
        );
    }
    assert!(
        metrics
            .iter()
            .all(|line| line["Mrap"] == "mfzwi23gnjvgw.mrap")
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_delivered_again_changes_nothing() {
    let world = World::new();
    let mut failures = some_failures(50);
    world.answer(batch_of(&failures)).await;
    let files = world.files();
    world.printed();

    // In another order, with duplicates, and as another invocation.
    failures.reverse();
    failures.extend(some_failures(20));
    let answer = world.answer(batch_of(&failures)).await;
    assert_eq!(given_back(&answer), [""; 0]);
    assert_eq!(world.files(), files);
    assert_eq!(world.rows(), expected(&failures));
    let (log, metrics) = world.printed();
    assert_eq!(log[0]["files"], json!({"new": 0, "alreadyThere": 4}));
    assert_eq!(metrics, [Value::Null; 0], "it failed once, not twice");
}

#[tokio::test(start_paused = true)]
async fn what_is_malformed_leaves_its_neighbours_unharmed() {
    let world = World::new();
    let failures = some_failures(8);
    let harmed = |path: &str, value: Value| {
        let mut record = Failed::number(100).record();
        *record.pointer_mut(path).unwrap() = value;
        json!({"Records": [record]}).to_string()
    };
    let mut mixed = Failed::number(101).record();
    mixed["s3"]["object"]["versionId"] = Value::Null;
    let mut bodyless = message("no-body", "");
    bodyless["body"] = json!(7);
    let stranger = json!({"Records": [
        record("OperationFailedReplication", "somebody-elses", &Failed::number(1).record()["replicationEventData"]),
        Failed::number(102).record(),
    ]});
    let bad = [
        message("not-json", "{\"Records\":["),
        message("not-s3", "{\"hello\":1}"),
        message("upload", harmed("/eventName", json!("ObjectCreated:Put"))),
        message("version-3", harmed("/eventVersion", json!("3.0"))),
        message("no-time", harmed("/eventTime", json!("noon"))),
        message(
            "future",
            harmed("/eventTime", json!("2026-11-20T17:30:00Z")),
        ),
        message(
            "one-of-two",
            json!({"Records": [mixed, Failed::number(103).record()]}).to_string(),
        ),
        message("stranger", stranger.to_string()),
        bodyless,
    ];
    let mut messages: Vec<Value> = bad.to_vec();
    for (number, failed) in failures.iter().enumerate() {
        // In between, and some twice.
        messages.insert(number, message(&format!("good-{number}"), failed.body()));
        messages.push(message(&format!("good-{number}"), failed.body()));
    }
    messages.push(message(
        "test",
        r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"app-use1"}"#,
    ));
    let answer = world.answer(batch(&messages)).await;
    let mut names: Vec<&str> = bad
        .iter()
        .map(|m| m["messageId"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(given_back(&answer), names);

    // The good records of bad messages are kept too.
    let kept = [Failed::number(102), Failed::number(103)];
    assert_eq!(world.rows(), expected(failures.iter().chain(&kept)));

    let (log, metrics) = world.printed();
    let region = [("Region", "us-east-2")];
    assert_eq!(metric(&metrics, "RefusedEvents", &region), Some(9.0));
    let said: Vec<(&str, &str)> = log
        .iter()
        .filter(|line| line["level"] == "WARN")
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap();
            (text("messageId"), text("error"))
        })
        .collect();
    for (id, says) in [
        ("not-json", "is not JSON"),
        ("upload", "not one of replication"),
        ("version-3", "its eventVersion is \"3.0\""),
        ("no-time", "its eventTime is not a time"),
        ("future", "2026-11-20T17:30:00Z, which is still to come"),
        ("one-of-two", "record 1 of 2: it has no s3.object.versionId"),
        ("stranger", "somebody-elses is no member (MEMBERS)"),
        ("no-body", "it has no body"),
    ] {
        assert!(
            said.iter()
                .any(|(of, text)| *of == id && text.contains(says)),
            "{id}: {said:#?}"
        );
    }
    let summary = log.last().unwrap();
    assert_eq!(summary["refused"], 9);
    assert_eq!(summary["givenBack"], 9);
    assert_eq!(summary["testMessages"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_refusals_does_not_flood_the_log() {
    let world = World::new();
    let messages: Vec<Value> = (0..500)
        .map(|number| message(&format!("m{number}"), "nonsense"))
        .collect();
    let answer = world.answer(batch(&messages)).await;
    assert_eq!(
        given_back(&answer).len(),
        500,
        "an answer, not an error: the store works"
    );
    let (log, metrics) = world.printed();
    assert!(log.len() < 20, "{}", log.len());
    assert_eq!(log.last().unwrap()["refused"], 500);
    assert_eq!(metric(&metrics, "RefusedEvents", &[]), Some(500.0));
    assert!(world.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_batch_is_refused() {
    let world = World::new();
    let good = message("m1", Failed::number(1).body());
    let without = |field: &str| {
        let mut message = good.clone();
        message.as_object_mut().unwrap().remove(field);
        json!({"Records": [good, message]})
    };
    let mut empty_id = good.clone();
    empty_id["messageId"] = json!("");
    let s3 = json!({"Records": [late("OperationNotTracked", "2026-11-20T16:59:00Z")]});
    for (payload, says) in [
        (
            json!({"command": "status"}),
            "an object without Records, with \"command\"",
        ),
        (json!({}), "the payload is an empty object"),
        (json!([]), "the payload is no object"),
        (json!("x"), "the payload is no object"),
        (Value::Null, "the payload is no object"),
        (json!({"Records": 7}), "whose Records are no list"),
        (s3, "record 1 of 1 comes from \"aws:s3\""),
        (
            json!({"Records": [7]}),
            "record 1 of 1 comes from an unknown place",
        ),
        (
            without("eventSource"),
            "record 2 of 2 comes from an unknown place",
        ),
        (without("messageId"), "record 2 of 2 has no messageId"),
        (
            json!({"Records": [empty_id]}),
            "record 1 of 1 has no messageId",
        ),
    ] {
        let error = world.invoke(payload, "r").await.expect_err(says);
        assert!(error.chain().contains(says), "{}", error.chain());
        let (log, metrics) = world.printed();
        assert_eq!(log[0]["level"], "ERROR");
        assert_eq!(metric(&metrics, "Errors", &[]), Some(1.0));
    }
    assert!(world.requests().is_empty(), "nothing was written");
    assert_eq!(
        world.answer(batch(&[])).await,
        json!({"batchItemFailures": []})
    );
}

#[tokio::test(start_paused = true)]
async fn messages_come_wrapped_and_with_several_records() {
    let world = World::new();
    let failures = some_failures(9);
    let records: Vec<Value> = failures.iter().map(Failed::record).collect();
    let several = json!({"Records": records[..4]}).to_string();
    let wrapped = json!({
        "Type": "Notification",
        "TopicArn": "arn:aws:sns:us-east-1:111122223333:replication",
        "Message": json!({"Records": records[4..]}).to_string(),
    });
    let messages = [
        message("several", several),
        message("wrapped", wrapped.to_string()),
    ];
    let answer = world.answer(batch(&messages)).await;
    assert_eq!(given_back(&answer), [""; 0]);
    assert_eq!(world.rows(), expected(&failures));
}
