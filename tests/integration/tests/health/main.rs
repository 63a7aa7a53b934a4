//! The health check: in process on virtual time, and as the process that Lambda runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "tests"
)]

mod binary;
mod runs;
mod store;
mod waking;
mod witness;
mod world;
