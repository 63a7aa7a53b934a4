//! Announcements over SNS.

use std::sync::Arc;

use jiff::Timestamp;
use sentinel_core::names::TopicArn;

use crate::edge::Edge;
use crate::failure::Failure;

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
        todo!("{message:?} {until} {:?} {:?}", self.edge, self.topics)
    }
}
