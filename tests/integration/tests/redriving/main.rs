//! The `redrive` function and the collector in process, on virtual time, against the simulated
//! AWS: commands, claims, and the way of a version from its failure to its proof.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken assumption must fail the test"
)]

mod commands;
mod duplicates;
mod holds;
mod home;
mod overflow;
mod races;
mod restore;
mod stage;
