//! The `readiness-check` function against the simulated AWS: over the real wire formats on virtual
//! time, and as the process that Lambda runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken assumption must fail the test"
)]

mod binary;
mod drift;
mod records;
mod stage;
mod trouble;
