//! The outside world of mrap-sentinel: adapters over the official AWS SDK clients.
//!
//! Nothing here decides anything. Each adapter carries out one kind of request and reports what
//! came of it as a typed outcome; what it means is for `sentinel-core` to say. Clock, sleep,
//! connections, credentials and standard output are injected through the [`edge::Edge`], so the
//! same code runs against AWS, an emulator and a simulated world on virtual time.

pub mod alarms;
pub mod announce;
pub mod arrival;
pub mod batch;
pub mod control;
pub mod edge;
pub mod endpoints;
pub mod failure;
pub mod heartbeat;
mod hedge;
pub mod inventory;
pub mod lag;
pub mod ledger;
pub mod limits;
pub mod log;
pub mod objects;
pub mod pairs;
pub mod pending;
pub mod probe;
pub mod proof;
pub mod readiness;
pub mod size;
pub mod store;
