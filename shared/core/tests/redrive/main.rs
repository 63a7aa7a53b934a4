//! Re-drives: what is planned, what is written down, what people are told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken assumption must fail the test"
)]

mod answers;
mod breaker;
mod causes;
mod common;
mod document;
mod duplicates;
mod histories;
mod model;
mod money;
mod notices;
mod planning;
mod regressions;
