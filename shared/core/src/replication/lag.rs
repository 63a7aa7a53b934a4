//! `lag.json`: the latest signs of lag of each ordered pair of buckets.
//!
//! Only latest times are kept, so a redelivered event, or two functions that merge at once,
//! change nothing that was not to be changed:
//!
//! ```json
//! {"schema":1,"pairs":[{"source":"app-use1","destination":"app-euw1",
//!   "missedThreshold":{"at":"2026-11-20T16:59:03.25Z","delaySeconds":900},
//!   "arrivedLate":{"at":"2026-11-20T17:04:11.03Z","delaySeconds":1208},
//!   "notTracked":{"at":"2026-11-19T03:12:40.118Z"}}]}
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Event, Lag};
use crate::names::BucketName;

/// Key of the document in the state bucket.
pub const LAG_KEY: &str = "lag.json";

/// Version of the document that this code writes and understands.
pub const LAG_SCHEMA: u32 = 1;

/// Most pairs that are kept: the ones that were late last. 17 members have 272.
const PAIRS_KEPT: usize = 1000;

/// Why the document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LagError {
    /// It was written by a later version.
    #[error(
        "{LAG_KEY} has schema {found}, this version understands {LAG_SCHEMA}: deploy the version that wrote it"
    )]
    Schema {
        /// What stands in it.
        found: String,
    },
    /// It cannot be read.
    #[error(
        "{LAG_KEY} cannot be read ({detail}): it only tells of the past, so delete it and it begins anew"
    )]
    Torn {
        /// What the parser said.
        detail: String,
    },
}

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LagDocument {
    schema: u32,
    /// The pairs, sorted by source and destination.
    pub pairs: Vec<PairLag>,
}

impl Default for LagDocument {
    fn default() -> Self {
        Self {
            schema: LAG_SCHEMA,
            pairs: Vec::new(),
        }
    }
}

/// What is known of one ordered pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PairLag {
    /// The source bucket.
    pub source: BucketName,
    /// The destination bucket, a member's or not.
    pub destination: BucketName,
    /// The last version that was not there in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_threshold: Option<Late>,
    /// The last version that arrived late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived_late: Option<Late>,
    /// The last version that nobody counts any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_tracked: Option<Late>,
}

/// A sign of lag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Late {
    /// When S3 gave it.
    pub at: Timestamp,
    /// How long ago the operation had been asked for then, in whole seconds, if that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<i64>,
}

impl LagDocument {
    /// Reads the document.
    ///
    /// # Errors
    /// [`LagError`] if it is of a later schema or no such document.
    pub fn parse(document: Value) -> Result<Self, LagError> {
        let schema = document.get("schema");
        if schema.and_then(Value::as_u64) != Some(LAG_SCHEMA.into()) {
            let found = schema.map_or("none".to_owned(), |value| {
                value.to_string().chars().take(64).collect()
            });
            return Err(LagError::Schema { found });
        }
        serde_json::from_value(document).map_err(|error| LagError::Torn {
            detail: error.to_string().chars().take(200).collect(),
        })
    }

    /// Takes note of an event; a failure is no sign of lag.
    pub fn note(&mut self, event: &Event) {
        let late = |lag: &Lag| Late {
            at: lag.at,
            delay_seconds: lag.delay.map(|delay| delay.as_secs()),
        };
        let (lag, missed, arrived, untracked) = match event {
            Event::Failed(_) => return,
            Event::MissedThreshold(lag) => (lag, Some(late(lag)), None, None),
            Event::ReplicatedAfterThreshold(lag) => (lag, None, Some(late(lag)), None),
            Event::NotTracked(lag) => (lag, None, None, Some(late(lag))),
        };
        self.add(&PairLag {
            source: lag.source.clone(),
            destination: lag.destination.clone(),
            missed_threshold: missed,
            arrived_late: arrived,
            not_tracked: untracked,
        });
    }

    /// Takes over what the other one knows; of both the latest. Whether that changed anything.
    pub fn merge(&mut self, other: &Self) -> bool {
        let before = self.clone();
        for pair in &other.pairs {
            self.add(pair);
        }
        *self != before
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn add(&mut self, pair: &PairLag) {
        let of = |pair: &PairLag| (pair.source.clone(), pair.destination.clone());
        match self.pairs.binary_search_by_key(&of(pair), of) {
            Ok(place) => {
                if let Some(known) = self.pairs.get_mut(place) {
                    // Nothing is less than something, and a later time more than an earlier one.
                    known.missed_threshold = known.missed_threshold.max(pair.missed_threshold);
                    known.arrived_late = known.arrived_late.max(pair.arrived_late);
                    known.not_tracked = known.not_tracked.max(pair.not_tracked);
                }
            }
            Err(place) => self.pairs.insert(place, pair.clone()),
        }
        if self.pairs.len() > PAIRS_KEPT {
            self.forget_one();
        }
    }

    /// Forgets the pair that gave no sign for longest.
    fn forget_one(&mut self) {
        let oldest = self
            .pairs
            .iter()
            .enumerate()
            .min_by_key(|(_, pair)| pair.last())
            .map(|(place, _)| place);
        if let Some(place) = oldest {
            self.pairs.remove(place);
        }
    }
}

impl PairLag {
    /// The last sign of any kind.
    fn last(&self) -> Option<Timestamp> {
        [self.missed_threshold, self.arrived_late, self.not_tracked]
            .into_iter()
            .flatten()
            .map(|late| late.at)
            .max()
    }
}
