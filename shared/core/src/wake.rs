//! What the health check tells the failover function when it found an active member bad.
//!
//! A wake-up carries no authority: whoever receives it looks at the evidence in the store, and a
//! wake-up that this does not confirm changes nothing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::names::Region;

/// The `source` of the message.
pub const WAKE_SOURCE: &str = "mrap-sentinel.health-check";

/// An active member was found bad in so many rounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wake {
    /// The member's Region.
    pub region: Region,
    /// Since when every round has found it bad.
    pub since: Timestamp,
    /// How many rounds that are.
    pub rounds: u32,
    /// When the last of them was made.
    pub observed_at: Timestamp,
}

impl Wake {
    /// The message as it is published.
    #[must_use]
    pub fn message(&self) -> Value {
        json!({"source": WAKE_SOURCE, "detail": self})
    }

    /// Whether a message is a wake-up.
    pub(crate) fn is_one(message: &Value) -> bool {
        message.get("source").and_then(Value::as_str) == Some(WAKE_SOURCE)
    }

    /// Reads a message that [is one](Self::is_one).
    pub(crate) fn read(message: &Value) -> Result<Self, serde_json::Error> {
        let detail = message.get("detail").unwrap_or(&Value::Null);
        Self::deserialize(detail)
    }
}
