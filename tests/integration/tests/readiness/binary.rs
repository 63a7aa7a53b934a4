//! The real binary: the process that Lambda runs.

use std::time::Duration;

use integration::process::{Environment, Function, readiness_binary};
use integration::{SECRET, command, pause};
use serde_json::json;
use simulator::{Simulator, Versioning, WorldConfig, server};

use crate::stage::{AWAY, CONTROL, NOTHING, STATE, begin, blueprint, ids, variables};

async fn world() -> (Simulator, String) {
    let config = WorldConfig {
        epoch: integration::now(),
        ..blueprint()
    };
    let sim = begin(config);
    let address = server::spawn(sim.clone()).await.expect("a port");
    (sim, format!("http://{address}"))
}

async fn start(endpoint: &str, changes: &[(&str, &str)]) -> Function {
    let mut environment: Environment = variables()
        .into_iter()
        .chain([
            ("AWS_ENDPOINT_URL", endpoint.to_owned()),
            ("AWS_REGION", CONTROL.to_owned()),
            ("AWS_ACCESS_KEY_ID", "111122223333".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ])
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    for (name, value) in changes {
        environment.insert((*name).to_owned(), (*value).to_owned());
    }
    let binary = readiness_binary(env!("CARGO_BIN_EXE_readiness-check-under-test"));
    Function::start(&binary, &environment).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_answers_the_schedule_and_people() {
    let (sim, endpoint) = world().await;
    let mut function = start(&endpoint, &[]).await;
    let answer = function
        .answer(command(&json!({"command": "tick"}), "tick-1"))
        .await;
    // Nobody has looked yet whether canaries arrive.
    assert_eq!(answer["outcome"], "unknown", "{answer:#}");
    sim.with(|world| world.set_versioning(AWAY, Versioning::Suspended));
    let asked = command(&json!({"command": "readiness"}), "asked");
    let answer = function.answer(asked).await;
    assert_eq!(answer["outcome"], "findings", "{answer:#}");
    assert_eq!(ids(&answer), ["versioning/app-euw1", NOTHING[0]]);
    let report = answer["report"].as_str().unwrap();
    assert!(
        report.contains("$ aws s3api put-bucket-versioning --region eu-west-1"),
        "{report}"
    );
    assert!(sim.with(|world| world.object(STATE, "drift.json").is_some()));

    let refused = command(&json!({"command": "readiness", "dryrun": true}), "refused");
    let failure = function.failure(refused).await;
    assert!(failure.message.contains("no field"), "{failure:?}");
    let output = function.kill().await;
    assert!(!output.all().contains(SECRET), "a secret was printed");
    for line in output.stdout() {
        serde_json::from_str::<serde_json::Value>(&line).expect(&line);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_setting_ends_it_with_its_name() {
    let (_sim, endpoint) = world().await;
    let mut function = start(&endpoint, &[("REPLICATION_TIME_CONTROL", "maybe")]).await;
    let status = function.ended().await;
    assert!(!status.success());
    pause(Duration::from_millis(50)).await;
    let said = function.output().all();
    assert!(said.contains("REPLICATION_TIME_CONTROL"), "{said}");
}
