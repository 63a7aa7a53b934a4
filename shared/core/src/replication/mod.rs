//! S3's replication events: what failed, what is late, and what is no longer watched.
//!
//! They come as S3 writes them, or inside an SNS notification. Of the format the major version is
//! compared and everything unknown left alone, as AWS asks consumers to. What cannot be
//! understood is refused with a reason and goes to the dead-letter queue, because a failure that
//! was misread is worse than one that waits there; the other records of a message are not held
//! up by it.

mod key;
mod lag;
mod record;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::excerpt::{Excerpt, listing};
use crate::ledger::{Group, Millis, Row};
use crate::names::BucketName;

pub use key::KeyError;
pub use lag::{LAG_KEY, LAG_SCHEMA, LagDocument, LagError, Late, PairLag};
pub use record::RecordError;

/// What one record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A version was not replicated, and S3 will not try again by itself.
    Failed(Failure),
    /// A version is not there after the time that the rule allows; S3 goes on trying.
    MissedThreshold(Lag),
    /// A version is no longer counted in the replication metrics.
    NotTracked(Lag),
    /// A version arrived after the time that the rule allows.
    ReplicatedAfterThreshold(Lag),
}

impl Event {
    /// The bucket that holds the version.
    #[must_use]
    pub fn source(&self) -> &BucketName {
        match self {
            Self::Failed(failure) => &failure.group.source,
            Self::MissedThreshold(lag)
            | Self::NotTracked(lag)
            | Self::ReplicatedAfterThreshold(lag) => &lag.source,
        }
    }

    /// When S3 says that it happened.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Failed(failure) => failure.failed_at.timestamp(),
            Self::MissedThreshold(lag)
            | Self::NotTracked(lag)
            | Self::ReplicatedAfterThreshold(lag) => lag.at,
        }
    }
}

/// A version that was not replicated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it shares with others that failed.
    pub group: Group,
    /// The object's key, decoded.
    pub key: String,
    /// The version's id; `null` for what was written before the bucket was versioned.
    pub version: String,
    /// When it failed.
    pub failed_at: Millis,
    /// When the operation to be replicated was asked for, if it is told.
    pub requested_at: Option<Timestamp>,
    /// The operation, if it is told; only `OBJECT_PUT` is documented.
    pub operation: Option<String>,
    /// Bytes, if told.
    pub size: Option<u64>,
}

impl Failure {
    /// What the ledger keeps of it, for a file of its group alone.
    #[must_use]
    pub fn into_row(self) -> (Group, Row) {
        let row = Row {
            key: self.key,
            version: self.version,
            failed_at: self.failed_at,
            attempts: 0,
            size: self.size,
            group: 0,
        };
        (self.group, row)
    }
}

/// A version that is late, or that nobody times any more. It tells of the pair rather than of
/// itself: S3 sees to the version, so it is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The bucket that holds the version.
    pub source: BucketName,
    /// The bucket where it belongs too.
    pub destination: BucketName,
    /// The replication rule's id.
    pub rule: String,
    /// When S3 said so.
    pub at: Timestamp,
    /// How long ago the operation had been asked for then, if that is told.
    pub delay: Option<SignedDuration>,
}

/// A message that was understood, at least in part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// What its records say, in their order. Nothing in the test message that S3 sends when
    /// notifications are set up.
    pub events: Vec<Event>,
    /// The records that were refused.
    pub refused: Vec<Refused>,
}

/// A record that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {position} of {count}")]
pub struct Refused {
    /// Which record of the message, counted from 1.
    pub position: usize,
    /// How many there are.
    pub count: usize,
    /// Why.
    pub source: RecordError,
}

/// Why a message was refused as a whole. The text says what was recognised of it and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is not JSON.
    #[error("{what} is not JSON (line {line}, column {column}): {TAKES}")]
    NotJson {
        /// The message, or the text inside of its SNS envelope.
        what: &'static str,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// It is something, but no event notification of S3.
    #[error("{what}: {remedy}")]
    Unwanted {
        /// What was recognised.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
}

/// What the queue is for, for those who sent something else.
const TAKES: &str =
    "let only S3 send s3:Replication:* notifications to this queue, directly or through SNS";

/// Reads the body of a queue's message.
///
/// # Errors
/// [`MessageError`] if nothing in it is a record of S3. Single records that cannot be understood
/// are in [`Message::refused`].
pub fn parse(body: &str) -> Result<Message, MessageError> {
    let value = json(body, "the message")?;
    match value.get("Message") {
        // With raw message delivery SNS leaves its envelope away, and this is not reached.
        Some(inner) if value.get("Records").is_none() => {
            let Some(text) = inner.as_str() else {
                return unwanted("an SNS envelope whose message is no text".to_owned(), TAKES);
            };
            match value.get("Type").and_then(Value::as_str) {
                None | Some("Notification") => notification(&json(text, "the SNS message")?),
                Some(kind) => unwanted(
                    format!("an SNS message of type {}", Excerpt(kind)),
                    "subscribe the queue in the account that owns it, then nothing has to be \
                     confirmed",
                ),
            }
        }
        _ => notification(&value),
    }
}

fn json(text: &str, what: &'static str) -> Result<Value, MessageError> {
    // Editors and shells put a byte order mark in front of what people send by hand.
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).map_err(|error| MessageError::NotJson {
        what,
        line: error.line(),
        column: error.column(),
    })
}

fn unwanted<T>(what: String, remedy: &'static str) -> Result<T, MessageError> {
    Err(MessageError::Unwanted { what, remedy })
}

/// What S3 itself wrote.
fn notification(value: &Value) -> Result<Message, MessageError> {
    if value.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(Message::default());
    }
    let records = match value.get("Records") {
        Some(Value::Array(records)) => records,
        Some(_) => {
            return unwanted("a message whose Records are no list".to_owned(), TAKES);
        }
        None => return unwanted(describe(value), TAKES),
    };
    if records.is_empty() {
        return unwanted("a message without records".to_owned(), TAKES);
    }
    let count = records.len();
    let mut message = Message::default();
    for (index, record) in records.iter().enumerate() {
        match record::read(record) {
            Ok(event) => message.events.push(event),
            Err(source) => message.refused.push(Refused {
                position: index.saturating_add(1),
                count,
                source,
            }),
        }
    }
    Ok(message)
}

/// What a message without records is.
fn describe(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.contains_key("detail-type") => {
            "an EventBridge event, and EventBridge carries no replication events".to_owned()
        }
        Value::Object(fields) if fields.is_empty() => "an empty object".to_owned(),
        Value::Object(fields) => {
            let keys = listing(fields.keys().map(|key| Excerpt(key)));
            format!("an object with the keys {keys}")
        }
        Value::Array(items) => format!("a list of {} items", items.len()),
        other => crate::command::json_type(other).to_owned(),
    }
}
