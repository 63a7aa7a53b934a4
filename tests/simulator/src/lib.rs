//! AWS as one deterministic state machine: several Regions of S3 with replication, its events and
//! Batch Operations jobs, a Multi-Region Access Point and its routes API, SNS and CloudWatch, on
//! virtual time, with faults.
//!
//! Two ways in:
//! - in process: [`Simulator::http_client`] is an HTTP client for the real AWS SDK; on a paused
//!   tokio runtime hours of virtual time take seconds, and the same seed gives the same run;
//! - on loopback: [`server::serve`], or `cargo run -p simulator -- serve --port 0`.
//!
//! The harness builds a [`WorldConfig`], makes trouble with [`World::add_fault`] and
//! [`World::region_down`], feeds each [`Delivery`](cloudwatch::Delivery) of an alarm and each
//! [`ReplicationMessage`] to the function under test, and judges by [`truth`], never by what the
//! function believes.
//!
//! ```no_run
//! use std::time::Duration;
//! use simulator::cloudwatch::{AlarmConfig, MetricName};
//! use simulator::{Fault, FaultKind, Outage, Service, SimTime, Simulator, WorldConfig};
//!
//! # async fn example() {
//! // On a runtime with `start_paused(true)`, after `fastrand::seed(1)`:
//! let down = MetricName::new("Canary", "Failed").dimension("Region", "us-east-1");
//! let sim = Simulator::new(
//!     WorldConfig::new(1)
//!         .mrap("mfzwi23gnjvgw.mrap")
//!         .member("app-use1", "us-east-1")
//!         .member("app-euw1", "eu-west-1")
//!         .bucket("state", "us-east-2")
//!         .topic("us-east-2", "pages")
//!         .client("app", "us-east-1")
//!         .alarm(AlarmConfig::metric("us-east-2", "use1-down", down, 0.5)),
//! );
//! let start = sim.now();
//! let client = sim.http_client("failover"); // for `.http_client(…)` of the SDK's config
//! let time_source = sim.time_source(); // for `.time_source(…)`
//! sim.with(|world| {
//!     world.region_down(Outage::hang("us-east-1", start + Duration::from_secs(60), Duration::from_secs(3600)));
//!     world.add_fault(Fault::new(FaultKind::SlowDown).service(Service::S3Control).probability(0.1));
//! });
//! client.crash_after(3); // `client.crashed().await` resolves when the third request was delivered
//! let delivery = sim.next_delivery().await; // feed `delivery.eventbridge_json` to the function
//! let moved = sim.with(|world| world.routes("mfzwi23gnjvgw.mrap"));
//! let hash = sim.with(|world| world.log_hash());
//! # let _ = (time_source, delivery, moved, hash, SimTime::ZERO);
//! # }
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test tool: a broken assumption must stop the run"
)]

mod call;
mod canonical;
pub mod cloudwatch;
mod config;
mod connector;
mod dice;
mod faults;
mod jobs;
mod log;
mod mrap;
mod notifications;
mod reasons;
mod regions;
mod replication;
mod s3;
pub mod server;
mod simulator;
mod sns;
mod time;
pub mod truth;
mod wire;
mod world;

pub use config::{
    AlreadyReplicated, BucketConfig, BucketSettings, ClientConfig, DEFAULT_EPOCH, Encryption,
    EventRules, JobRules, LifecycleRule, MemberConfig, MrapConfig, RepeatedToken, ReplicationRule,
    Timing, TopicConfig, UnknownJob, Versioning, WorldConfig,
};
pub use connector::SimClient;
pub use faults::{Fault, FaultId, FaultKind, Outage, Service};
pub use jobs::BatchDenial;
pub use log::{Fate, LogEntry};
pub use mrap::CONTROL_REGIONS;
pub use notifications::ReplicationMessage;
pub use simulator::Simulator;
pub use time::{Clock, SimTime};
pub use world::World;
