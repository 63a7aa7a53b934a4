//! Announcements over SNS.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_sns::types::MessageAttributeValue;
use futures_util::future::join_all;
use jiff::Timestamp;
use sentinel_core::announce::Announcement;
use sentinel_core::answer::FailedTopic;
use sentinel_core::names::TopicArn;
use serde_json::{Map, Value};

use crate::edge::Edge;
use crate::failure::{Failure, failure_of};
use crate::limits::Purpose;

/// What is to be announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// Subject of e-mails, beginning with the severity. SNS takes at most 100 printable ASCII characters.
    pub subject: String,
    /// The text for people.
    pub default_text: String,
    /// The JSON document for machines.
    pub json: String,
    /// Message attributes for filter policies, by name.
    pub attributes: Vec<(String, String)>,
}

impl OutgoingMessage {
    /// The message that carries an announcement: the same attributes for every function's, so that
    /// one filter policy serves all.
    #[must_use]
    pub fn of(announcement: &Announcement) -> Self {
        let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut attributes = vec![
            attribute("severity", announcement.severity.as_str()),
            attribute("event", announcement.event.as_str()),
            attribute("event_id", &announcement.event_id),
            attribute("mrap", announcement.mrap.as_str()),
        ];
        if !announcement.region.is_empty() {
            // SNS refuses an attribute without a value.
            attributes.push(attribute("region", &announcement.region));
        }
        Self {
            subject: announcement.subject.clone(),
            default_text: announcement.text.clone(),
            json: announcement.body.to_string(),
            attributes,
        }
    }
}

/// Why a topic did not take a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The request failed.
    #[error("the topic did not take the message: {0}")]
    Failed(Failure),
    /// The topic's ARN names no Region.
    #[error("the topic's ARN names no Region")]
    NoRegion,
}

/// The id that SNS gave a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageId(pub String);

/// What came of publishing several announcements.
#[derive(Debug, Default)]
pub struct Published {
    /// Event ids of those that at least one topic took.
    pub taken: BTreeSet<String>,
    /// What a topic did not take.
    pub refused: Vec<Refusal>,
}

/// A topic did not take an announcement.
#[derive(Debug)]
pub struct Refusal {
    /// The announcement.
    pub event_id: String,
    /// The topic.
    pub topic: TopicArn,
    /// Why.
    pub error: PublishError,
}

impl Published {
    /// The topics that did not take something, each reason once.
    #[must_use]
    pub fn failed_topics(&self) -> Vec<FailedTopic> {
        let mut failed = Vec::new();
        for refusal in &self.refused {
            let one = FailedTopic {
                topic: refusal.topic.to_string(),
                error: refusal.error.to_string(),
            };
            if !failed.contains(&one) {
                failed.push(one);
            }
        }
        failed
    }
}

/// Publishes on every topic.
#[derive(Debug, Clone)]
pub struct Publisher {
    edge: Arc<Edge>,
    topics: Vec<TopicArn>,
}

impl Publisher {
    /// Publishes on these topics.
    #[must_use]
    pub fn new(edge: Arc<Edge>, topics: Vec<TopicArn>) -> Self {
        Self { edge, topics }
    }

    /// Publishes on all topics at once, each through its own Region; returns by `until` with an
    /// entry for each topic, in their order.
    pub async fn publish(
        &self,
        message: &OutgoingMessage,
        until: Timestamp,
    ) -> Vec<(TopicArn, Result<MessageId, PublishError>)> {
        let subject = subject(&message.subject);
        let body = body(message);
        join_all(self.topics.iter().map(|topic| {
            let (subject, body) = (&subject, &body);
            async move {
                let outcome = self.send(topic, subject, body, message, until).await;
                (topic.clone(), outcome)
            }
        }))
        .await
    }

    /// Publishes all announcements on all topics at once, so that a topic that hangs delays no
    /// other announcement; returns by `until`.
    pub async fn publish_all(&self, announcements: &[Announcement], until: Timestamp) -> Published {
        let results = join_all(announcements.iter().map(|announcement| async move {
            let message = OutgoingMessage::of(announcement);
            (announcement, self.publish(&message, until).await)
        }))
        .await;
        let mut published = Published::default();
        for (announcement, topics) in results {
            let event_id = &announcement.event_id;
            for (topic, result) in topics {
                match result {
                    Ok(_) => {
                        published.taken.insert(event_id.clone());
                    }
                    Err(error) => published.refused.push(Refusal {
                        event_id: event_id.clone(),
                        topic,
                        error,
                    }),
                }
            }
        }
        published
    }

    async fn send(
        &self,
        topic: &TopicArn,
        subject: &str,
        body: &str,
        message: &OutgoingMessage,
        until: Timestamp,
    ) -> Result<MessageId, PublishError> {
        let region = topic.region().ok_or(PublishError::NoRegion)?;
        let mut request = self
            .edge
            .sns(&region, Purpose::Announce)
            .publish()
            .topic_arn(topic.as_str())
            .subject(subject)
            .message_structure("json")
            .message(body);
        // SNS refuses the whole message for one empty attribute.
        for (name, value) in message.attributes.iter().filter(|(_, v)| !v.is_empty()) {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build()
                .map_err(|error| {
                    PublishError::Failed(Failure::Client {
                        detail: error.to_string(),
                    })
                })?;
            request = request.message_attributes(name, value);
        }
        match self
            .edge
            .within(self.edge.left(until), request.send())
            .await
        {
            Some(Ok(answer)) => Ok(MessageId(answer.message_id.unwrap_or_default())),
            Some(Err(error)) => Err(PublishError::Failed(failure_of(&error))),
            None => Err(PublishError::Failed(Failure::Deadline)),
        }
    }
}

/// The limit of a message, all protocols' versions together (SNS API reference, `Publish`).
const MAX_BYTES: usize = 256 * 1024;

/// Protocols behind which machines listen. All others get the text.
const MACHINES: [&str; 5] = ["sqs", "lambda", "http", "https", "firehose"];

/// The message by protocol. Whatever is too long for SNS is cut rather than not said: first the
/// machines get the text instead of the document, then the text is shortened.
fn body(message: &OutgoingMessage) -> String {
    let full = by_protocol(&message.default_text, Some(&message.json));
    if full.len() <= MAX_BYTES {
        return full;
    }
    let mut text = message.default_text.clone();
    loop {
        let short = by_protocol(&text, None);
        if short.len() <= MAX_BYTES || text.is_empty() {
            return short;
        }
        let half = text.chars().count() / 2;
        text = text.chars().take(half).collect();
    }
}

fn by_protocol(text: &str, json: Option<&str>) -> String {
    let mut body = Map::new();
    body.insert("default".to_owned(), text.into());
    body.insert("email".to_owned(), text.into());
    if let Some(json) = json {
        body.extend(MACHINES.map(|protocol| (protocol.to_owned(), json.into())));
    }
    Value::Object(body).to_string()
}

/// A subject that SNS takes: printable ASCII, 1 to 100 characters, not beginning with a space.
/// A page must not be refused because of its subject.
fn subject(text: &str) -> String {
    let printable: String = text
        .trim()
        .chars()
        .map(|c| {
            if c == ' ' || c.is_ascii_graphic() {
                c
            } else {
                '?'
            }
        })
        .take(100)
        .collect();
    if printable.is_empty() {
        "mrap-sentinel".to_owned()
    } else {
        printable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: String, json: String) -> OutgoingMessage {
        OutgoingMessage {
            subject: "critical".to_owned(),
            default_text: text,
            json,
            attributes: Vec::new(),
        }
    }

    #[test]
    fn people_get_text_and_machines_the_document() {
        let body: Value =
            serde_json::from_str(&body(&message("moved".to_owned(), r#"{"a":1}"#.to_owned())))
                .unwrap();
        for protocol in ["default", "email"] {
            assert_eq!(body[protocol], "moved");
        }
        for protocol in MACHINES {
            assert_eq!(body[protocol], r#"{"a":1}"#);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_still_said() {
        let long_json = body(&message("moved".to_owned(), "x".repeat(60_000)));
        assert_eq!(long_json, r#"{"default":"moved","email":"moved"}"#);

        let long_text = body(&message("ü\n".repeat(200_000), String::new()));
        assert!(long_text.len() <= MAX_BYTES && long_text.len() > MAX_BYTES / 3);
        assert!(serde_json::from_str::<Value>(&long_text).is_ok());
    }

    #[test]
    fn subjects_are_what_sns_takes() {
        for (given, taken) in [
            ("critical: moved", "critical: moved"),
            ("  warning: Zürich\n", "warning: Z?rich"),
            ("", "mrap-sentinel"),
        ] {
            assert_eq!(subject(given), taken);
        }
        assert_eq!(subject(&"x".repeat(300)).len(), 100);
    }
}
