//! What a run is found guilty of.

use serde::Serialize;
use simulator::SimTime;

/// A broken invariant, or an expectation of the scenario that was not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The invariant (`1 at-least-one-active`), or `scenario`.
    pub rule: String,
    /// When, in whole seconds since the start.
    pub at_s: u64,
    /// What happened and what should have.
    pub text: String,
}

impl Violation {
    /// A violation of a rule.
    #[must_use]
    pub fn new(rule: &str, at: SimTime, text: impl Into<String>) -> Self {
        Self {
            rule: rule.to_owned(),
            at_s: at.as_secs(),
            text: text.into(),
        }
    }
}
