//! What is refused: payloads, after which the process lives on, and environments, in which it does
//! not start.

use std::time::Duration;

use integration::runtime_api::Invocation;
use integration::{HOME, SECRET, Stage, assert_answer, assert_log, command};
use serde_json::{Value, json};

use crate::start;

/// Payloads, and what the refusal must say.
fn refused() -> Vec<(Value, &'static str)> {
    let queued = json!({ "Records": [{
        "messageId": "19dd0b57-b21e-4ac1-bd88-01bbb068cb78", "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-2:111122223333:q", "body": "{}",
    }]});
    let torn = json!({
        "version": "0", "source": "aws.cloudwatch", "region": "us-east-2",
        "detail-type": "CloudWatch Alarm State Change",
        "detail": { "alarmName": "home-is-down" },
    });
    vec![
        (queued, "SQS"),
        (torn, "alarm"),
        (json!({}), "empty object"),
        (json!({ "hello": "world" }), "hello"),
        (json!("a text"), "text"),
        (json!([1, 2]), "a list of 2 items"),
        (json!(null), "null"),
        (json!({ "command": "explode" }), "explode"),
        (json!({ "command": "status", "colour": "red" }), "colour"),
        (
            json!({ "command": "failover", "reason": "x", "dryrun": true }),
            "dryrun",
        ),
        (json!({ "command": "failover" }), "reason"),
        (
            json!({ "command": "failover", "reason": "x", "override": ["target-exists"] }),
            "target-exists",
        ),
        (
            json!({ "command": "acknowledge", "incident": "no-such-incident" }),
            "no-such-incident",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_payload_is_an_error_and_the_process_lives_on() {
    let stage = Stage::set(21).await;
    let mut function = start(&stage, &[]).await;
    let process = function.id().expect("running");
    for (number, (payload, expected)) in refused().into_iter().enumerate() {
        let invocation = command(&payload, &format!("refused-{number}"));
        let failure = function.failure(invocation).await;
        assert!(
            failure.message.contains(expected),
            "{payload} -> {failure:?}"
        );
    }
    let mut not_json = command(&Value::Null, "refused-bytes");
    not_json.payload = b"{\"command\":".to_vec();
    let failure = function.failure(not_json).await;
    assert!(!failure.message.is_empty());

    let status = command(&json!({ "command": "status" }), "status-1");
    assert_answer(&function.answer(status).await, "status");
    assert_eq!(function.id(), Some(process), "the same process answered");
    assert_eq!(stage.active(), [HOME]);
    assert_eq!(stage.changes(), []);
    assert_eq!(function.api().unexpected(), [""; 0]);
    let output = function.kill().await;
    assert!(
        output.stdout().iter().any(|line| line.contains("colour")),
        "refusals are logged"
    );
    assert_log(&output);
}

/// Changes of the environment, and the variable that the process must name.
const ENVIRONMENTS: [(&str, &str); 11] = [
    ("MRAP_ARN", ""),
    ("MRAP_ARN", "arn:aws:s3:::a-bucket"),
    ("MEMBERS", ""),
    ("MEMBERS", "app-use1@us-east-1"),
    ("STATE_BUCKET", ""),
    ("TOPIC_ARNS", ""),
    ("TOPIC_ARNS", "me@example.com"),
    ("MODE", "Automatic"),
    ("COOLDOWN_SECONDS", "half an hour"),
    ("AWS_REGION", ""),
    ("AWS_ENDPOINT_URL", "not a url"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_that_is_missing_or_wrong_ends_the_start_and_is_named() {
    let stage = Stage::set(22).await;
    for (name, value) in ENVIRONMENTS {
        let mut function = start(&stage, &[(name, value)]).await;
        // Whatever waits must not be taken by a process that cannot do its work.
        let status = json!({ "command": "status" });
        let invocation = Invocation::new(&status, "status-1", Duration::from_secs(5));
        let mut outcome = function.begin(invocation);
        let status = function.ended().await;
        assert!(!status.success(), "{name}={value}: {status}");
        assert!(outcome.try_recv().is_err(), "{name}={value}");
        let printed = function.output().all();
        let reported = function.api().init_error();
        assert!(
            printed.contains(name) || reported.is_some_and(|error| error.message.contains(name)),
            "{name}={value}: {printed}"
        );
        assert!(!printed.contains(SECRET), "{printed}");
        assert_log(function.output());
    }
    assert_eq!(stage.requests(), 0, "no request left the process");
}
