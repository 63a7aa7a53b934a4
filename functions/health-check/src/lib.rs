//! The `health-check` function: looks at the members every few seconds, writes down what it saw, and
//! wakes the failover function when an active member stays bad.
//!
//! [`handle`] is the whole function; `main.rs` only wires it to the Lambda runtime. One invocation is
//! a *run* of several rounds:
//!
//! 1. read the evidence; whoever finds a newer run's ends at once ([`record`]);
//! 2. beside the rounds, once: which Region serves, S3's own replication metrics, late canaries, the
//!    heartbeat ([`look`]);
//! 3. every `PROBE_INTERVAL_SECONDS` a round: probe, record it by compare-and-swap, print the
//!    metrics ([`rounds`], [`report`]), wake the failover function if it is time to ([`wake`]).
//!
//! A schedule fires anywhere inside its minute, so a run goes on for longer than that, until the next
//! one has written. It may die at any point: the next run goes on from the evidence.

mod answer;
mod deps;
mod error;
mod look;
mod record;
mod report;
mod rounds;
mod wake;

use jiff::Timestamp;
use serde_json::Value;

pub use answer::{Answer, Outcome};
pub use deps::Deps;
pub use error::{Error, PayloadError};
use rounds::Turn;

/// Handles one invocation of the schedule.
///
/// `deadline` is when Lambda ends the invocation; the answer comes before.
///
/// # Errors
/// [`Error`] if the payload is not the schedule's, or no round could be recorded.
pub async fn handle(
    deps: &Deps,
    payload: Value,
    deadline: Timestamp,
    request_id: &str,
) -> Result<Answer, Error> {
    let turn = Turn::new(deps, deadline, request_id);
    let result = match is_tick(&payload) {
        Ok(()) => Box::pin(turn.run()).await,
        Err(error) => Err(error.into()),
    };
    turn.report(&result);
    result
}

/// Only the schedule invokes this function: anything else was meant for another one.
fn is_tick(payload: &Value) -> Result<(), PayloadError> {
    let object = payload.as_object();
    let command = object.and_then(|object| object.get("command")?.as_str());
    match (command, object.map_or(0, serde_json::Map::len)) {
        (Some("tick"), 1) => Ok(()),
        (Some("tick"), _) => Err(PayloadError::Fields),
        (Some(command), _) => Err(PayloadError::Command(command.chars().take(40).collect())),
        (None, _) => Err(PayloadError::Shape),
    }
}
