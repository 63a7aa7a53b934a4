//! Which Region the access point really serves.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::Region;

/// What the data plane showed beside the routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServingEvidence {
    /// The Regions that answered requests through the access point; none if nobody could be
    /// recognised. Of several active ones only those near the observer are seen.
    pub regions: BTreeSet<Region>,
    /// Whether all of them are active by the routes; null if either is not known.
    pub agrees: Option<bool>,
    /// What was seen, for people.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

impl ServingEvidence {
    /// Compares what served with the active members of the routes, if these could be read.
    #[must_use]
    pub fn compared(
        regions: BTreeSet<Region>,
        seen: &str,
        active: Option<&BTreeSet<Region>>,
        at: Timestamp,
    ) -> Self {
        let list = |regions: &BTreeSet<Region>| {
            let names: Vec<&str> = regions.iter().map(Region::as_str).collect();
            names.join(", ")
        };
        let agrees = active
            .filter(|_| !regions.is_empty())
            .map(|active| regions.is_subset(active));
        let detail = match (active, agrees) {
            (None, _) => format!("{seen}; the routes could not be read"),
            (Some(active), Some(false)) => format!(
                "{seen}, but by the routes {} should; AWS names two minutes for a change to spread",
                list(active)
            ),
            (Some(_), _) => seen.to_owned(),
        };
        Self {
            regions,
            agrees,
            detail,
            at,
        }
    }
}
