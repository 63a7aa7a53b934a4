//! The adapters against scripted answers, on paused time: what they send, when, and how they
//! understand what comes back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod announce;
mod arrival;
mod batch;
mod cloudwatch;
mod control;
mod endpoints;
mod failure;
mod health;
mod inventory;
mod lag;
mod ledger;
mod objects;
mod probe;
mod sockets;
mod store;
mod wire;
