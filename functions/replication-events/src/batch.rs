//! A batch of the queue's messages, as Lambda hands it over.

use serde_json::Value;

/// One message.
#[derive(Debug)]
pub(crate) struct QueueMessage {
    /// What a partial batch response calls it.
    pub(crate) id: String,
    /// Its text; nothing if it has none.
    pub(crate) body: Option<String>,
}

/// Why a payload is no batch that could be answered for message by message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It is something else.
    #[error("the payload is {0}: this function takes batches of its SQS queue and nothing else")]
    NoBatch(String),
    /// A record is no SQS message.
    #[error(
        "record {position} of {count} comes from {found}: this function takes batches of its SQS queue and nothing else"
    )]
    Source {
        /// Which record, counted from 1.
        position: usize,
        /// How many there are.
        count: usize,
        /// Where it says that it comes from.
        found: String,
    },
    /// A message cannot be named in an answer, hence none is acknowledged.
    #[error(
        "record {position} of {count} has no messageId: without it the queue cannot be told which message failed, so the whole batch is given back"
    )]
    NoId {
        /// Which record, counted from 1.
        position: usize,
        /// How many there are.
        count: usize,
    },
}

/// Longest text repeated of a payload, in characters.
const EXCERPT: usize = 64;

fn excerpt(text: &str) -> String {
    format!("{:?}", text.chars().take(EXCERPT).collect::<String>())
}

/// The messages of a payload, in their order.
pub(crate) fn messages(payload: Value) -> Result<Vec<QueueMessage>, PayloadError> {
    let records = match payload {
        Value::Object(mut fields) => match fields.remove("Records") {
            Some(Value::Array(records)) => records,
            Some(_) => {
                return Err(PayloadError::NoBatch(
                    "an object whose Records are no list".to_owned(),
                ));
            }
            None => {
                let what = match fields.keys().next() {
                    None => "an empty object".to_owned(),
                    Some(key) => format!("an object without Records, with {}", excerpt(key)),
                };
                return Err(PayloadError::NoBatch(what));
            }
        },
        _ => return Err(PayloadError::NoBatch("no object".to_owned())),
    };
    let count = records.len();
    let numbered = (1..).zip(records);
    numbered
        .map(|(position, record)| message(position, count, record))
        .collect()
}

fn message(position: usize, count: usize, mut record: Value) -> Result<QueueMessage, PayloadError> {
    // Taken, not copied: the body is nearly all there is.
    let mut text = |name: &str| match record.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let source = text("eventSource");
    if source.as_deref() != Some("aws:sqs") {
        let found = source.map_or("an unknown place".to_owned(), |source| excerpt(&source));
        return Err(PayloadError::Source {
            position,
            count,
            found,
        });
    }
    let id = text("messageId").filter(|id| !id.is_empty());
    let id = id.ok_or(PayloadError::NoId { position, count })?;
    let body = text("body");
    Ok(QueueMessage { id, body })
}
