//! What a run answers, and prints as its last line.

use std::collections::BTreeMap;

use sentinel_core::names::Region;
use serde::Serialize;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its time was up.
    Observed,
    /// A newer run's evidence was there.
    TakenOver,
}

impl Outcome {
    /// The outcome as printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::TakenOver => "taken-over",
        }
    }
}

/// A run in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// Rounds that it made.
    pub rounds: u32,
    /// Rounds that it wrote down.
    pub recorded: u32,
    /// Wake-ups that the topic took.
    pub wakes: u32,
    /// What its last round said of each member.
    pub verdicts: BTreeMap<Region, &'static str>,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            outcome: Outcome::Observed,
            rounds: 0,
            recorded: 0,
            wakes: 0,
            verdicts: BTreeMap::new(),
        }
    }
}
