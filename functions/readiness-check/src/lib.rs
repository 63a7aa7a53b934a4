//! The `readiness-check` function: would a failover work right now?
//!
//! [`handle`] is the whole function; `main.rs` only wires it to the Lambda runtime. What is
//! expected and how it is told is `sentinel-core`'s; what stands here is the order of things:
//!
//! 1. read the configuration of everything at once, and the report before;
//! 2. judge, compare, and write the report with what is to be told, by compare-and-swap and never
//!    in place of a newer one ([`look`]);
//! 3. publish, and mark it published. Whoever dies in between leaves it to the next look.
//!
//! It reads, and changes nothing but its own report.

mod deps;
mod error;
mod look;
mod report;
mod turn;

use jiff::Timestamp;
use sentinel_core::readiness::notice::{ReadinessAnswer, ReadinessCommand};
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
/// Whatever could not be done: the caller and the function's error metric have to see it. That a
/// permission is missing, or that something does not answer, is a finding and no error.
pub async fn handle(
    deps: &Deps,
    payload: Value,
    deadline: Timestamp,
    request_id: &str,
) -> Result<ReadinessAnswer, Error> {
    let turn = Turn::new(deps, deadline, request_id);
    let result = match ReadinessCommand::parse(&payload) {
        Err(error) => Err(Error::Payload(error)),
        Ok(command) => Box::pin(turn.look(command)).await,
    };
    turn.report(&result);
    result
}
