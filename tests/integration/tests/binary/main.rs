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
mod panics;
mod races;
mod refusals;

use std::path::PathBuf;

use integration::Stage;
use integration::process::{Function, failover_binary};

/// The function's binary.
fn binary() -> PathBuf {
    failover_binary(env!("CARGO_BIN_EXE_failover-under-test"))
}

/// Starts the function on a stage, with these changes of its environment.
async fn start(stage: &Stage, changes: &[(&str, &str)]) -> Function {
    Function::start(&binary(), &stage.environment(changes)).await
}
