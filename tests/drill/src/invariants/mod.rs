//! The invariants that hold in every run, whatever fails. Each is a pure function over the
//! [`History`]; number 7 (a crash and a retry end like no crash) compares two runs and is a test.
//!
//! Whatever is judged against the last moments of a run gets [`GRACE`]: the run may end between
//! a change and its announcement.

mod announced;
mod automatic;
mod backlog;
mod data;
mod homeward;
mod jobs;
mod logs;
mod prompt;
mod routes;
#[cfg(test)]
pub(crate) mod testing;

use std::time::Duration;

pub use announced::announced;
pub use automatic::{person_respected, restrained};
pub use backlog::failed_replication_is_not_forgotten;
pub use data::converged;
pub use homeward::safe_way_home;
pub use jobs::sparing;
pub use logs::well_formed;
pub use prompt::prompt;
pub use routes::{healthy_target, one_active};

use crate::history::History;
use crate::verdict::Violation;

/// What happened this shortly before the end is not judged by what should have followed.
pub(crate) const GRACE: Duration = Duration::from_mins(2);

/// An invariant: its name and its judge.
#[derive(Debug, Clone, Copy)]
pub struct Invariant {
    /// Number and name.
    pub name: &'static str,
    /// The judge.
    pub check: fn(&History) -> Vec<Violation>,
}

/// Everything that is checked after a run, in order.
pub const ALL: [Invariant; 11] = [
    Invariant {
        name: "1 at least one member is active",
        check: one_active,
    },
    Invariant {
        name: "2 the dial moves to healthy members only",
        check: healthy_target,
    },
    Invariant {
        name: "3 hold, cooldown and budget are kept",
        check: restrained,
    },
    Invariant {
        name: "4 no failed replication is forgotten",
        check: failed_replication_is_not_forgotten,
    },
    Invariant {
        name: "5 everything acknowledged is everywhere in the end",
        check: converged,
    },
    Invariant {
        name: "6 every change and block is recorded, then announced",
        check: announced,
    },
    Invariant {
        name: "8 the dial moves within two ticks when it can",
        check: prompt,
    },
    Invariant {
        name: "9 nobody's change is undone",
        check: person_respected,
    },
    Invariant {
        name: "the machine goes home only when that is safe",
        check: safe_way_home,
    },
    Invariant {
        name: "jobs are few, cheap, and about nothing but failed versions",
        check: sparing,
    },
    Invariant {
        name: "logs and metrics are well-formed",
        check: well_formed,
    },
];

/// Checks them all.
#[must_use]
pub fn check(history: &History) -> Vec<Violation> {
    ALL.iter()
        .flat_map(|invariant| (invariant.check)(history))
        .collect()
}
