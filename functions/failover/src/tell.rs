//! Getting to people what is recorded for them.

use jiff::SignedDuration;
use sentinel_aws::announce::{Published, Refusal};
use sentinel_aws::proof::ServingReport;
use sentinel_core::announce::Announcement;
use sentinel_core::answer::FailedTopic;
use sentinel_core::notice::Notices;

use crate::error::Error;
use crate::turn::{Turn, later};

/// How long publishing may take; whoever has not taken it by then gets it at the next tick, if nobody else did.
const PUBLISH: SignedDuration = SignedDuration::from_secs(5);
/// Kept free before the deadline for the answer.
const LAST_SECOND: SignedDuration = SignedDuration::from_secs(1);

impl<'a> Turn<'a> {
    /// Writes notices into the outbox of a state that is about to be saved.
    pub(crate) fn notices(&self) -> Notices<'a> {
        Notices {
            settings: &self.deps.settings,
            request_id: self.request_id,
            now: self.now(),
        }
    }

    /// Publishes what waits in the outbox and marks it. Returns the topics that failed although
    /// others did not.
    pub(crate) async fn publish_outbox(&self) -> Result<Vec<FailedTopic>, Error> {
        let waiting = self.load().await?.state.outbox;
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let published = self.publish(&waiting).await;
        let failed = published.failed_topics();
        let kept = waiting.len().saturating_sub(published.taken.len());
        self.update(|state, _| {
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

/// What the data plane showed, for people.
pub(crate) fn sight(report: &ServingReport) -> String {
    let answers: Vec<String> = report
        .per_key
        .iter()
        .map(|(region, answer)| format!("{region}: {answer}"))
        .collect();
    format!(
        "Each member's canary through the access point: {}.",
        answers.join("; ")
    )
}
