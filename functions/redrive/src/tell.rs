//! Getting to people what is recorded for them.

use jiff::SignedDuration;
use sentinel_aws::announce::{Published, Refusal};
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
        let published = self.publish(&waiting).await;
        let failed = published.failed_topics();
        let kept = waiting.len().saturating_sub(published.taken.len());
        self.change(record, |_, state| {
            state
                .outbox
                .retain(|one| !published.taken.contains(&one.event_id));
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

    /// Publishes on all topics, and logs what one did not take.
    pub(crate) async fn publish(&self, announcements: &[Announcement]) -> Published {
        let until = later(self.now(), PUBLISH)
            .min(later(self.deadline, -LAST_SECOND))
            .max(self.now());
        let publisher = &self.deps.publisher;
        let round = publisher.publish_all(announcements, until).await;
        for Refusal {
            event_id,
            topic,
            error,
        } in &round.refused
        {
            self.warn(&format!("topic {topic} did not take {event_id}"), error);
        }
        round
    }
}
