//! Getting to people what is recorded for them.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use jiff::SignedDuration;
use sentinel_aws::announce::OutgoingMessage;
use sentinel_core::announce::Announcement;
use sentinel_core::answer::FailedTopic;

use crate::error::Error;
use crate::record::Record;
use crate::turn::{Turn, later};

/// How long publishing may take; whoever has not taken it by then gets it at the next tick, if nobody else did.
const PUBLISH: SignedDuration = SignedDuration::from_secs(5);
/// Kept free before the deadline for the answer.
const LAST_SECOND: SignedDuration = SignedDuration::from_secs(1);

impl Turn<'_> {
    /// Publishes what waits in the outbox and marks it. Returns the topics that failed although
    /// others did not.
    pub(crate) async fn publish_outbox(
        &self,
        record: &mut Record,
    ) -> Result<Vec<FailedTopic>, Error> {
        let waiting = record.state.outbox.clone();
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let mut published = BTreeSet::new();
        let mut failed = Vec::new();
        // All at once: a topic that hangs delays no other announcement.
        let results = join_all(waiting.iter().map(|one| self.publish(one))).await;
        for (announcement, (taken, errors)) in waiting.iter().zip(results) {
            if taken {
                published.insert(announcement.event_id.clone());
            }
            for error in errors {
                if !failed.contains(&error) {
                    failed.push(error);
                }
            }
        }
        let kept = waiting.len().saturating_sub(published.len());
        self.change(record, |_, state| {
            state
                .outbox
                .retain(|one| !published.contains(&one.event_id));
            Ok(())
        })
        .await?;
        if kept > 0 {
            let detail: Vec<String> = failed
                .iter()
                .map(|one| format!("{}: {}", one.topic, one.error))
                .collect();
            return Err(Error::Unannounced {
                count: kept,
                detail: detail.join("; "),
            });
        }
        Ok(failed)
    }

    /// Publishes one announcement on all topics; whether one took it, and who did not.
    pub(crate) async fn publish(&self, announcement: &Announcement) -> (bool, Vec<FailedTopic>) {
        let message = OutgoingMessage::of(announcement);
        let until = later(self.now(), PUBLISH)
            .min(later(self.deadline, -LAST_SECOND))
            .max(self.now());
        let mut taken = false;
        let mut failed = Vec::new();
        for (topic, result) in self.deps.publisher.publish(&message, until).await {
            match result {
                Ok(_) => taken = true,
                Err(error) => {
                    self.warn(
                        &format!("topic {topic} did not take {}", announcement.event_id),
                        &error,
                    );
                    failed.push(FailedTopic {
                        topic: topic.to_string(),
                        error: error.to_string(),
                    });
                }
            }
        }
        (taken, failed)
    }
}
