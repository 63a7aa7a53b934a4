//! The `redrive` function: samples, releases and sweeps; jobs from their manifest to their proof.
//!
//! [`handle`] is the whole function; `main.rs` only wires it to the Lambda runtime. What is to be
//! done is planned in `sentinel-core`; what stands here is the order of things:
//!
//! 1. read the document and list the ledger; without anything to do that is all ([`tick`]);
//! 2. claim the work, and do one planned step after the other, each recorded by compare-and-swap
//!    before the next is planned ([`tick`], [`step`]);
//! 3. with little time left, or nothing more to do: publish what was recorded, give the claim up.
//!
//! It may die after any request: what was not recorded is planned again, and comes to the same.
//! Operators' commands never wait for the claim ([`operator`]).

mod deps;
mod error;
mod operator;
mod record;
mod report;
mod restore;
mod step;
mod tell;
mod tick;
mod turn;
pub mod work;

use jiff::Timestamp;
use sentinel_core::redrive::command::RedriveCommand;
use sentinel_core::redrive::status::RedriveAnswer;
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
/// Whatever could not be done: the caller and the function's error metric have to see it. What was
/// recorded before the failure stays recorded, and the next tick goes on with it.
pub async fn handle(
    deps: &Deps,
    payload: Value,
    deadline: Timestamp,
    request_id: &str,
) -> Result<RedriveAnswer, Error> {
    let turn = Turn::new(deps, deadline, request_id);
    let result = match RedriveCommand::parse(&payload) {
        Err(error) => Err(Error::Payload(error)),
        Ok(RedriveCommand::Tick) => Box::pin(turn.tick()).await,
        Ok(command) => Box::pin(turn.operate(command)).await,
    };
    turn.report(&result);
    result
}
