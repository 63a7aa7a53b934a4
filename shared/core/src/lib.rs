//! What mrap-sentinel knows and decides, apart from everything it does.
//!
//! Nothing here performs I/O, reads a clock, draws a random number or looks at the
//! environment: `now`, observations and settings are arguments, decisions and documents are
//! return values. `sentinel-aws` fetches the former and carries out the latter.

pub mod alarm;
pub mod announce;
pub mod answer;
pub mod command;
pub mod decide;
pub mod evidence;
mod excerpt;
pub mod guard;
pub mod homeward;
pub mod ledger;
pub mod names;
pub mod notice;
pub mod payload;
pub mod readiness;
pub mod reasons;
pub mod reconcile;
pub mod redrive;
pub mod rehearsal;
pub mod replication;
pub mod routes;
pub mod settings;
pub mod state;
pub mod triggers;
pub mod wake;
pub mod windows;
