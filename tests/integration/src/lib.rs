//! The `failover` function as a process, between a Lambda Runtime API and the simulated AWS, both
//! on loopback: everything that deployed code goes through, Lambda and AWS themselves aside.
//!
//! [`Stage`] is a world with what the function needs; [`Function`](process::Function) is the
//! process. What happened is judged by the simulator's truth, never by what the function says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test tool: a broken assumption must stop the run"
)]

pub mod process;
pub mod runtime_api;
mod stage;

pub use stage::{
    ALARM, ALIAS, AWAY, Announced, CONTROL, HOME, SECRET, Stage, assert_announced, assert_answer,
    assert_log, command, is_empty, tick,
};

use std::time::Duration;

use jiff::Timestamp;

/// The wall clock, by which the process lives too.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the edge of the tests")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Waits in real time.
#[expect(clippy::disallowed_methods, reason = "the edge of the tests")]
pub async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}
