//! The `replication-events` function: understands each replication failure and appends it to the
//! ledger.
//!
//! [`handle`] is the whole function; `main.rs` only wires it to the Lambda runtime. One batch of
//! the queue becomes at most one file for each group of failures:
//!
//! 1. read every message, and put what it says to its group ([`collect`]);
//! 2. write the groups' files, and merge signs of lag into `lag.json` ([`record`]);
//! 3. name the messages that were refused or could not be recorded: the queue delivers those
//!    again, and in the end they are dead letters.
//!
//! It may die after any request: what it wrote is met again by the next delivery, under the same
//! name.

mod batch;
mod collect;
mod deps;
mod error;
mod record;
mod report;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use batch::PayloadError;
pub use deps::Deps;
pub use error::{Error, RecordError};
use report::Counts;

/// Handles one batch of the queue, and gives SQS's partial batch response: the messages that were
/// not dealt with.
///
/// `deadline` is when Lambda ends the invocation; the answer comes before.
///
/// # Errors
/// [`Error`] if the payload is no batch, or nothing of it could be recorded: then nothing is
/// acknowledged.
pub async fn handle(
    deps: &Deps,
    payload: Value,
    deadline: Timestamp,
    request_id: &str,
) -> Result<Value, Error> {
    let result = Box::pin(collect_batch(deps, payload, deadline, request_id)).await;
    if let Err(error) = &result {
        report::report_error(deps, request_id, error);
    }
    result
}

async fn collect_batch(
    deps: &Deps,
    payload: Value,
    deadline: Timestamp,
    request_id: &str,
) -> Result<Value, Error> {
    let mut messages = batch::messages(payload)?;
    let mut collected = collect::collect(&mut messages, &deps.settings.members, deps.edge.now());
    let counts = Counts {
        messages: messages.len(),
        failures: collected.failures(),
    };
    let mut recorded = record::record(deps, &mut collected, deadline, request_id).await;
    let refused = collected.refused.iter().map(|(place, _)| *place);
    let given_back: BTreeSet<usize> = refused.chain(recorded.given_back.iter().copied()).collect();
    let nothing = given_back.len() == messages.len() && !recorded.anything();
    if nothing && !recorded.errors.is_empty() {
        return Err(Error::Nothing {
            messages: counts.messages,
            source: recorded.errors.swap_remove(0),
        });
    }
    report::report(
        deps,
        request_id,
        &messages,
        counts,
        &collected,
        &recorded,
        &given_back,
    );
    // The queue may deliver a message twice in one batch: named once, it is given back once.
    let ids: BTreeSet<&str> = given_back
        .iter()
        .filter_map(|place| messages.get(*place))
        .map(|message| message.id.as_str())
        .collect();
    let failures: Vec<Value> = ids
        .into_iter()
        .map(|id| json!({"itemIdentifier": id}))
        .collect();
    Ok(json!({"batchItemFailures": failures}))
}
