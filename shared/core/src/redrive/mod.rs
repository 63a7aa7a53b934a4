//! Re-drives: S3 Batch Operations jobs over what replication failed to copy.
//!
//! `job` holds the types of one job from planning until it is closed; `manifest`, `report` and
//! `merge` are the formats and the data path.

pub mod apply;
mod cause;
pub mod command;
pub mod inventory;
pub mod job;
pub mod manifest;
pub mod merge;
pub mod notice;
pub mod operator;
pub mod plan;
pub mod price;
pub mod report;
pub mod state;
pub mod status;
