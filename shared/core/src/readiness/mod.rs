//! Readiness: would a failover work right now?
//!
//! An [`inventory`] of what is configured is judged by the [`TABLE`] of checks; what is not as it
//! should be is a [`Finding`] with its evidence, its consequence and a command. A [`Report`] is
//! compared with the one before, so that people hear of what changed and of nothing else.
//!
//! What could not be read is no proof of anything: a finding stands as it was last seen until
//! somebody can look again.

mod check;
mod finding;
pub mod inventory;
mod judge;
pub mod notice;
mod report;

pub use check::{Check, Row, TABLE};
pub use finding::Finding;
pub use report::{
    Changes, REPORT_KEY, REPORT_MAX_AGE, REPORT_SCHEMA, Report, ReportError, Tried, Unchecked,
    assess,
};
