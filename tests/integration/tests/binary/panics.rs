//! A panic ends the invocation, not the process.
//!
//! The function has no payload that makes it panic, and none is smuggled in for this. What is
//! proven are the two things that it depends on: that the runtime it is wired to turns a panic
//! into an invocation error and goes on, tried with a handler that panics; and that the profile
//! that deployed binaries are built with unwinds, without which there is nothing to catch.

use std::path::Path;
use std::time::Duration;

use integration::process::{Environment, Function};
use integration::runtime_api::Invocation;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runtime_survives_a_panicking_handler() {
    let binary = Path::new(env!("CARGO_BIN_EXE_panicking-handler"));
    let mut function = Function::start(binary, &Environment::new()).await;
    let invocation = |payload, id| Invocation::new(&payload, id, Duration::from_secs(10));

    let before = function.answer(invocation(json!({}), "one")).await;
    for round in ["two", "three"] {
        let failure = function
            .failure(invocation(json!({ "panic": round }), round))
            .await;
        let text = format!("asked to panic: \"{round}\"");
        assert!(failure.message.contains(&text), "{failure:?}");
    }
    let after = function.answer(invocation(json!({}), "four")).await;

    assert_eq!(before, after, "the same process answered");
    assert_eq!(function.api().unexpected(), [""; 0]);
}

#[test]
fn what_is_deployed_unwinds() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let (_, profile) = manifest.split_once("\n[profile.release]\n").unwrap();
    let profile = profile.split("\n[").next().unwrap();
    let setting = profile.lines().find(|line| line.starts_with("panic"));
    assert!(
        setting.is_some_and(|line| line.starts_with("panic = \"unwind\"")),
        "{profile}"
    );
}
