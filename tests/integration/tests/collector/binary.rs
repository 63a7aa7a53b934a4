//! The real binary: the process that Lambda runs.

use std::time::Duration;

use integration::process::{Environment, Function, collector_binary};
use integration::runtime_api::Invocation;
use integration::{Stage, assert_log, pause};
use serde_json::{Value, json};
use simulator::{Fault, FaultKind};

use crate::messages::{Failed, batch, given_back, late, message};
use crate::world::{expected, rows_of};

/// What Lambda hands over at most: messages, and bytes of the payload.
const MESSAGES: usize = 10_000;
const PAYLOAD: usize = 6 << 20;

/// What a full batch may take of the function's 512 MB.
const PEAK_KIB: u64 = 96 << 10;

async fn start(stage: &Stage, changes: &[(&str, &str)]) -> Function {
    let mut changes = changes.to_vec();
    // Those of the other function.
    changes.extend(
        [
            "MODE",
            "TOPIC_ARNS",
            "TRIGGER_ALARMS",
            "PROBE_TIMEOUT_MILLIS",
        ]
        .map(|name| (name, "")),
    );
    let environment: Environment = stage.environment(&changes);
    let binary = collector_binary(env!("CARGO_BIN_EXE_replication-events-under-test"));
    Function::start(&binary, &environment).await
}

fn invocation(payload: &Value, request_id: &str) -> Invocation {
    Invocation::new(payload, request_id, Duration::from_mins(1))
}

/// As [`Failed::number`], but a moment ago by the wall clock, by which the process lives.
fn some_failures(count: usize) -> Vec<Failed> {
    let first = integration::now().as_millisecond() - 60_000;
    let failed = |number| Failed {
        at: first + i64::try_from(number).unwrap(),
        ..Failed::number(number)
    };
    (0..count).map(failed).collect()
}

/// A body without anything that the function does not read: 10,000 of them fit into a payload.
fn short(failed: &Failed) -> String {
    let mut record = failed.record();
    for field in [
        "awsRegion",
        "userIdentity",
        "requestParameters",
        "responseElements",
    ] {
        record.as_object_mut().unwrap().remove(field);
    }
    let data = record["replicationEventData"].as_object_mut().unwrap();
    for field in ["s3Operation", "requestTime"] {
        data.remove(field);
    }
    let s3 = record["s3"].as_object_mut().unwrap();
    for field in ["s3SchemaVersion", "configurationId"] {
        s3.remove(field);
    }
    for (part, fields) in [
        ("bucket", ["ownerIdentity", "arn"]),
        ("object", ["eTag", "sequencer"]),
    ] {
        for field in fields {
            s3[part].as_object_mut().unwrap().remove(field);
        }
    }
    json!({"Records": [record]}).to_string()
}

fn short_message(id: &str, body: &str) -> Value {
    json!({"messageId": id, "body": body, "eventSource": "aws:sqs"})
}

/// The most memory that a process ever had, in KiB.
fn peak_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

/// A full batch, every hundredth message of it nonsense, delivered twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_batch_fits_with_malformed_neighbours() {
    let stage = Stage::set(61).await;
    let mut function = start(&stage, &[]).await;
    function.api().ready().await;
    let process = function.id().expect("running");
    let before = peak_kib(process);

    let failures = some_failures(MESSAGES);
    let mut messages = Vec::new();
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for (number, failure) in failures.iter().enumerate() {
        let id = format!("{number:08x}-b21e-4ac1-bd88-01bbb068cb78");
        if number % 100 == 7 {
            messages.push(short_message(&id, "{\"Records\":[{]}"));
            bad.push(id);
        } else {
            messages.push(short_message(&id, &short(failure)));
            good.push(failure);
        }
    }
    let payload = batch(&messages);
    let size = payload.to_string().len();
    assert!(
        size < PAYLOAD && size > PAYLOAD * 3 / 4,
        "{size} bytes are not what Lambda would hand over"
    );

    for round in 1..=2 {
        let begun = integration::now();
        let answer = function
            .answer(invocation(&payload, &format!("request-{round}")))
            .await;
        let took = integration::now().duration_since(begun);
        let peak = peak_kib(process);
        println!(
            "round {round}: {MESSAGES} messages, {size} bytes, {:.2} s, peak {peak} KiB ({before} KiB at rest)",
            took.as_secs_f64()
        );
        assert_eq!(given_back(&answer), bad);
        assert!(peak < PEAK_KIB, "{peak} KiB");
        assert_eq!(rows_of(stage.simulator()), expected(good.iter().copied()));
    }
    let writes = stage.simulator().with(|world| {
        let puts = world
            .log()
            .iter()
            .filter(|entry| entry.operation == "PutObject");
        let mut statuses: Vec<Option<u16>> = puts.map(|entry| entry.status).collect();
        statuses.sort_unstable();
        statuses
    });
    assert_eq!(writes, [[Some(200); 4], [Some(412); 4]].concat());
    assert_eq!(function.api().unexpected(), [""; 0]);
    let output = function.kill().await;
    assert!(
        output.all().len() < 64 << 10,
        "the log is short whatever came"
    );
    assert!(
        !output.all().contains("photos/"),
        "keys are nobody's business"
    );
    assert_log(&output);
}

/// Messages as long as they can be: few of them, each with many records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_messages_with_many_records_fit() {
    let stage = Stage::set(62).await;
    let mut function = start(&stage, &[]).await;
    function.api().ready().await;
    let failures = some_failures(4_000);
    let messages: Vec<Value> = failures
        .chunks(200)
        .enumerate()
        .map(|(number, failures)| {
            let records: Vec<Value> = failures.iter().map(Failed::record).collect();
            message(
                &format!("m{number}"),
                json!({"Records": records}).to_string(),
            )
        })
        .collect();
    let payload = batch(&messages);
    let size = payload.to_string().len();
    assert!(size < PAYLOAD, "{size}");
    let answer = function.answer(invocation(&payload, "request-1")).await;
    assert_eq!(given_back(&answer), [""; 0]);
    assert_eq!(rows_of(stage.simulator()), expected(&failures));
    let peak = peak_kib(function.id().unwrap());
    println!("{} messages, {size} bytes, peak {peak} KiB", messages.len());
    assert!(peak < PEAK_KIB, "{peak} KiB");
    assert_log(&function.kill().await);
}

fn some_messages(failures: &[Failed]) -> Value {
    let mut messages: Vec<Value> = failures
        .iter()
        .enumerate()
        .map(|(number, failed)| message(&format!("m{number}"), failed.body()))
        .collect();
    let at = integration::now().to_string();
    let sign = json!({"Records": [late("OperationMissedThreshold", &at)]});
    messages.push(message("late", sign.to_string()));
    batch(&messages)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_store_down_the_invocation_fails_and_the_process_lives_on() {
    let stage = Stage::set(63).await;
    let mut function = start(&stage, &[]).await;
    let process = function.id();
    let failures = some_failures(50);
    let payload = some_messages(&failures);
    let fault = Fault::new(FaultKind::Refuse).path_contains("sentinel-state");
    let fault = stage.simulator().with(|world| world.add_fault(fault));
    let failure = function.failure(invocation(&payload, "request-1")).await;
    for part in [
        "none of 51 messages could be recorded",
        "the queue delivers them again",
        "sentinel-state/ledger/open/",
        "S3 cannot be reached",
    ] {
        assert!(failure.message.contains(part), "{part}: {failure:?}");
    }
    assert!(rows_of(stage.simulator()).is_empty());

    let failure = function
        .failure(invocation(&json!({"command": "status"}), "request-2"))
        .await;
    assert!(
        failure.message.contains("batches of its SQS queue"),
        "{failure:?}"
    );

    stage.simulator().with(|world| world.remove_fault(fault));
    let answer = function.answer(invocation(&payload, "request-3")).await;
    assert_eq!(answer, json!({"batchItemFailures": []}));
    assert_eq!(rows_of(stage.simulator()), expected(&failures));
    assert_eq!(function.id(), process, "the same process answered");
    assert_log(&function.kill().await);
}

/// Killed when the world has seen any number of its requests, and delivered to another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_any_request_and_delivered_again_the_ledger_is_the_same() {
    let failures = some_failures(50);
    let payload = some_messages(&failures);
    let keys = |stage: &Stage| {
        stage.simulator().with(|world| {
            let keys = world.keys("sentinel-state");
            keys.into_iter().map(str::to_owned).collect::<Vec<_>>()
        })
    };
    let stage = Stage::set(64).await;
    let before = stage.requests();
    let mut function = start(&stage, &[]).await;
    function.answer(invocation(&payload, "request-1")).await;
    let requests = stage.requests() - before;
    let files = keys(&stage);
    assert_eq!(files.len(), 5, "four groups and the record of lag");
    assert!(requests >= 6, "{requests}");

    let mut interrupted = 0;
    for point in 1..=requests {
        let stage = Stage::set(65 + u64::try_from(point).unwrap()).await;
        let before = stage.requests();
        let function = start(&stage, &[]).await;
        function.api().ready().await;
        let outcome = function.begin(invocation(&payload, "request-1"));
        let reached = async {
            while stage.requests() < before + point {
                pause(Duration::from_micros(200)).await;
            }
        };
        tokio::select! {
            () = reached => interrupted += 1,
            // Faster than the measured run: then the crash comes after the end.
            _ = outcome => {}
        }
        function.kill().await;

        let mut function = start(&stage, &[]).await;
        let answer = function.answer(invocation(&payload, "request-2")).await;
        assert_eq!(given_back(&answer), [""; 0], "killed after request {point}");
        assert_eq!(rows_of(stage.simulator()), expected(&failures));
        assert_eq!(keys(&stage), files, "killed after request {point}");
        assert_log(&function.kill().await);
    }
    assert!(interrupted * 2 > requests, "{interrupted} of {requests}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_settings_it_does_not_start() {
    let stage = Stage::set(80).await;
    for (variable, value) in [
        ("MRAP_ARN", ""),
        ("MEMBERS", "app-use1"),
        ("STATE_BUCKET", "Not A Bucket"),
        ("AWS_REGION", ""),
    ] {
        let mut function = start(&stage, &[(variable, value)]).await;
        let status = function.ended().await;
        assert!(!status.success(), "{variable}");
        let all = function.output().all();
        assert!(all.contains(variable), "{variable}: {all}");
    }
    assert!(rows_of(stage.simulator()).is_empty());
}
