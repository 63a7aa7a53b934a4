//! The real binary: the process that Lambda runs, from its environment to its exit status.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod alarms;
mod commands;
mod crashes;
mod homeward;
mod panics;
mod people;
mod races;
mod refusals;
mod state;

use std::collections::BTreeMap;
use std::path::PathBuf;

use integration::process::{Function, failover_binary};
use integration::{Announced, Stage};

/// The function's binary.
fn binary() -> PathBuf {
    failover_binary(env!("CARGO_BIN_EXE_failover-under-test"))
}

/// Starts the function on a stage, with these changes of its environment.
async fn start(stage: &Stage, changes: &[(&str, &str)]) -> Function {
    Function::start(&binary(), &stage.environment(changes)).await
}

/// The copies of each message about this event, by the message's id.
fn told(stage: &Stage, event: &str) -> BTreeMap<String, Vec<Announced>> {
    let mut messages: BTreeMap<String, Vec<Announced>> = BTreeMap::new();
    for one in stage.announced() {
        if one.event() == event {
            let copies = messages.entry(one.event_id().to_owned()).or_default();
            copies.push(one);
        }
    }
    messages
}

/// The only message about this event, told to both topics once.
fn told_once(stage: &Stage, event: &str) -> Announced {
    let messages = told(stage, event);
    assert_eq!(messages.len(), 1, "{event}: {messages:#?}");
    let copies = messages.into_values().next().unwrap();
    assert_eq!(copies.len(), 2, "{event}: {copies:#?}");
    copies[0].clone()
}
