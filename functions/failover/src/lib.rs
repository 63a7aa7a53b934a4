//! The `failover` function: decides, turns the dial of the routes, verifies, records and announces.
//!
//! [`handle`] is the whole function; `main.rs` only wires it to the Lambda runtime. Decisions are
//! made in `sentinel-core`, requests are made by `sentinel-aws`; what stands here is the order of
//! things:
//!
//! 1. read the state, the routes and the evidence, and take note of what arrived ([`cycle`]);
//! 2. decide, and record the decision and its claim in one compare-and-swap ([`cycle`]);
//! 3. submit, read back, settle ([`act`]);
//! 4. publish what was recorded ([`tell`]);
//! 5. prove it on the data plane ([`prove`]).
//!
//! It may die after any of these steps: the next invocation finds in the state what to go on with.

mod act;
mod cycle;
mod deps;
mod error;
mod observe;
mod operator;
mod prove;
mod record;
mod report;
mod tell;
mod turn;
mod unrecorded;

use jiff::Timestamp;
use sentinel_core::answer::{Answer, Outcome};
use sentinel_core::payload::{Payload, parse};
use serde_json::Value;

pub use deps::Deps;
pub use error::Error;
use turn::Turn;

/// Handles one invocation.
///
/// `deadline` is when Lambda ends the invocation; `request_id` is the same for a retry of the
/// same event.
///
/// # Errors
/// Whatever could not be done: the retry, the on-failure destination and the caller have to see
/// it. What was recorded before the failure stays recorded, and the next tick goes on with it.
pub async fn handle(
    deps: &Deps,
    payload: Value,
    deadline: Timestamp,
    request_id: &str,
) -> Result<Answer, Error> {
    let turn = Turn::new(deps, deadline, request_id);
    let result = match parse(&payload) {
        Err(error) => Err(Error::Payload(error)),
        Ok(Payload::Ignored { what }) => Ok(Answer::plain(
            Outcome::NoChange,
            format!("Received {what}: no reason to act."),
        )),
        // What it says is not believed: the evidence in the store is looked at, as in every tick.
        Ok(Payload::Wake(_)) => Box::pin(turn.automatic(&[])).await,
        Ok(Payload::Alarms(transitions)) => Box::pin(turn.alarms(&transitions)).await,
        Ok(Payload::Command(command)) => Box::pin(turn.command(command)).await,
    };
    turn.report(&result);
    result
}
