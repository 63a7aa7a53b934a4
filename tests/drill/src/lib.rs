//! Rehearsed outages: the deployed functions, unchanged, in a simulated AWS.
//!
//! One run is one [`Scenario`](scenario::Scenario) with one seed. [`harness::run`] plays it on
//! virtual time and returns its [`History`](history::History): what really happened, by the
//! simulator's account, beside what the functions recorded, logged and announced.
//! [`invariants`] and the scenario's own expectations judge the history, [`numbers`] measures it,
//! [`document`], [`report`] and [`narration`] show it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test tool: a broken assumption must stop the run"
)]

pub mod backlog;
pub mod document;
pub mod harness;
pub mod history;
pub mod invariants;
pub mod narration;
pub mod numbers;
pub mod report;
pub mod scenario;
pub mod scenarios;
pub mod verdict;

/// The access point of every drill.
pub const ALIAS: &str = "mfzwi23gnjvgw.mrap";
/// The account of every drill.
pub const ACCOUNT: &str = "111122223333";
/// Where the automation runs.
pub const CONTROL_REGION: &str = "us-east-2";
/// The bucket of the function's state.
pub const STATE_BUCKET: &str = "mrap-sentinel-state";
/// The Regions of the topics, both named [`TOPIC`].
pub const TOPIC_REGIONS: [&str; 2] = ["us-east-2", "us-west-2"];
/// The name of the topics.
pub const TOPIC: &str = "mrap-sentinel";
/// The topic through which alarms and the health check reach the function, in the control Region.
pub const ALARM_TOPIC: &str = "mrap-sentinel-alarms";
/// Where the witness runs, in scenarios that have one.
pub const WITNESS_REGION: &str = "us-west-2";
/// Where the watchdog waits for heartbeats.
pub const WATCHDOG_REGION: &str = "us-west-2";
/// The name of its alarm.
pub const WATCHDOG: &str = "mrap-sentinel-mfzwi23gnjvgw-watchdog";
/// Everything that the client workload writes lies under this prefix.
pub const DATA_PREFIX: &str = "data/";

/// The ARN of the access point.
#[must_use]
pub fn mrap_arn() -> String {
    format!("arn:aws:s3::{ACCOUNT}:accesspoint/{ALIAS}")
}

/// The ARN of [`ALARM_TOPIC`].
#[must_use]
pub fn alarm_topic_arn() -> String {
    format!("arn:aws:sns:{CONTROL_REGION}:{ACCOUNT}:{ALARM_TOPIC}")
}

/// The name of the alarm about a member Region.
#[must_use]
pub fn alarm_name(region: &str) -> String {
    format!("mrap-sentinel-unavailable-{region}")
}
