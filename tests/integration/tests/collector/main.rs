//! The `replication-events` function: its handler in the simulated AWS on virtual time, and the
//! real binary as a process. What it did is judged by the files in the state bucket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests, one of which measures"
)]

mod batches;
mod binary;
mod crashes;
mod events;
mod failures;
mod lag;
mod messages;
mod sets;
mod world;
