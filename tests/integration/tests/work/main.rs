//! Jobs from the ledger's files to the proof, through the real SDK in the simulated world, with a
//! process that dies after any request.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod jobs;
mod ledger;
mod stage;
mod verdicts;
