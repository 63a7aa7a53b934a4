//! The look: read, judge, record, tell.

use jiff::SignedDuration;
use sentinel_aws::announce::Refusal;
use sentinel_aws::store::{Expected, StoreError};
use sentinel_core::announce::enqueue;
use sentinel_core::answer::FailedTopic;
use sentinel_core::readiness::notice::{ReadinessAnswer, ReadinessCommand, tell};
use sentinel_core::readiness::{Changes, REPORT_KEY, Report, ReportError, assess};
use serde_json::Value;

use crate::error::Error;
use crate::turn::{Turn, later};

/// How often a lost race is run again. Each loss means that somebody else looked too.
const RACES: usize = 4;
/// How long publishing may take; what no topic took by then waits for the next look.
const PUBLISH: SignedDuration = SignedDuration::from_secs(8);
/// Kept free before the deadline for the answer.
const LAST_SECOND: SignedDuration = SignedDuration::from_secs(1);

/// The report as it was read, and what a write depends on.
struct Record {
    report: Option<Report>,
    expected: Expected,
}

impl Turn<'_> {
    /// Looks at everything, whoever asked.
    pub(crate) async fn look(&self, command: ReadinessCommand) -> Result<ReadinessAnswer, Error> {
        let inventory = self.deps.inventory.read(self.end).await;
        // What is judged is what was there when the last answer came.
        let now = self.now();
        for _ in 0..RACES {
            let record = self.load().await?;
            let previous = record.report.as_ref();
            let (mut report, changes) = assess(&inventory, &self.deps.settings, previous, now);
            // One wrong clock must not stop all looks to come: a report of the future is replaced.
            if previous.is_some_and(|previous| {
                previous.observed_at > report.observed_at && !previous.is_of_the_future(now)
            }) {
                // Another look ended in between; it recorded and told what it saw.
                self.info("a newer report is there already");
                return Ok(ReadinessAnswer::of(command, &report, &Changes::default()));
            }
            for announcement in tell(&mut report, &changes) {
                for gone in enqueue(&mut report.outbox, announcement) {
                    self.warn("an announcement nobody took is given up", &gone.subject);
                }
            }
            let Some(expected) = self.save(&mut report, record.expected).await? else {
                continue;
            };
            self.measure(&report);
            let mut answer = ReadinessAnswer::of(command, &report, &changes);
            let (failed, kept) = self.publish(report, expected).await?;
            // Who asks gets the report whether or not anybody hears of it; of a look that nobody
            // asked for an alarm has to tell.
            if kept > 0 && command == ReadinessCommand::Tick {
                return Err(unannounced(kept, &failed));
            }
            answer.failed_topics = failed;
            return Ok(answer);
        }
        Err(Error::Contended)
    }

    /// The report before. A torn one is replaced: everything is found anew. A later version's, with
    /// what it has yet to tell, is not.
    async fn load(&self) -> Result<Record, Error> {
        let store = &self.deps.store;
        match store.load_optional::<Value>(REPORT_KEY).await {
            Ok(None) => Ok(Record {
                report: None,
                expected: Expected::Absent,
            }),
            Ok(Some((document, etag))) => Ok(Record {
                report: match Report::parse(document, &self.deps.settings.mrap) {
                    Ok(report) => Some(report),
                    Err(error @ (ReportError::Foreign(_) | ReportError::Schema(_))) => {
                        return Err(Error::NotOurs(error));
                    }
                    Err(error) => {
                        self.warn("the report before cannot be used", &error);
                        None
                    }
                },
                expected: Expected::Version(etag),
            }),
            Err(StoreError::Torn { detail, etag, .. }) => {
                self.warn("the report before cannot be used", &detail);
                Ok(Record {
                    report: None,
                    expected: Expected::Version(etag),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the report; nothing if somebody else wrote meanwhile.
    async fn save(
        &self,
        report: &mut Report,
        expected: Expected,
    ) -> Result<Option<Expected>, Error> {
        let writer = self.next_writer();
        report.written_by.clone_from(&writer);
        let store = &self.deps.store;
        match store.save(REPORT_KEY, report, &expected, &writer).await {
            Ok(etag) => Ok(Some(Expected::Version(etag))),
            Err(StoreError::Lost { .. } | StoreError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Publishes what waits and marks it. Returns the topics that failed, and how many announcements
    /// no topic took.
    async fn publish(
        &self,
        mut report: Report,
        expected: Expected,
    ) -> Result<(Vec<FailedTopic>, usize), Error> {
        if report.outbox.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let until = later(self.now(), PUBLISH)
            .min(later(self.deadline, -LAST_SECOND))
            .max(self.now());
        let publisher = &self.deps.publisher;
        let told = publisher.publish_all(&report.outbox, until).await;
        for Refusal {
            event_id,
            topic,
            error,
        } in &told.refused
        {
            self.warn(&format!("topic {topic} did not take {event_id}"), error);
        }
        report
            .outbox
            .retain(|one| !told.taken.contains(&one.event_id));
        let kept = report.outbox.len();
        // If another look wrote meanwhile it tells the same again, under the same event ids.
        if !told.taken.is_empty() && self.save(&mut report, expected).await?.is_none() {
            self.info("another look wrote the report before it was marked as published");
        }
        Ok((told.failed_topics(), kept))
    }
}

fn unannounced(count: usize, failed: &[FailedTopic]) -> Error {
    let detail: Vec<String> = failed
        .iter()
        .map(|one| format!("{}: {}", one.topic, one.error))
        .collect();
    Error::Unannounced {
        count,
        detail: detail.join("; "),
    }
}
