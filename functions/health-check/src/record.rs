//! Writing the evidence by compare-and-swap: one writer wins, and nothing newer is replaced.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sentinel_aws::store::{Expected, StoreError};
use sentinel_core::evidence::{EVIDENCE_SCHEMA, Evidence, Round, Run};
use serde_json::Value;

use crate::error::RecordError;
use crate::look::Looked;
use crate::rounds::Turn;

/// The key of the control Region's evidence.
pub(crate) const EVIDENCE_KEY: &str = "evidence.json";
/// The key of the witness's.
pub(crate) const WITNESS_KEY: &str = "evidence-witness.json";

/// Tries against a run that ends: it writes once more at most.
const RACES: usize = 4;

/// What is known of the document.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The newest evidence, written down or not.
    evidence: Option<Evidence>,
    /// What the next write depends on; nothing if the store could not be read.
    expected: Option<Expected>,
    /// The round that was to be the day's self-test but could not be recorded, so its alarm did not
    /// fire: another one is to be it.
    untold: Option<Timestamp>,
}

/// What became of a round.
#[derive(Debug)]
pub(crate) enum Recorded {
    /// It was written.
    Written,
    /// A newer round is there already.
    Superseded,
    /// A newer run has written: this one ends.
    TakenOver,
    /// It could not be written.
    Failed(RecordError),
}

impl Known {
    pub(crate) fn evidence(&self) -> Option<&Evidence> {
        self.evidence.as_ref()
    }

    /// Whether a newer run has written.
    pub(crate) fn is_taken_over(&self, own: &Run) -> bool {
        let other = self.evidence.as_ref().and_then(|known| known.run.as_ref());
        other.is_some_and(|other| other.is_newer_than(own))
    }

    /// Takes over what was read. Rounds of this run that could not be written are still newer.
    fn adopt(&mut self, read: Self, own: &Run) {
        let ours = self.evidence.take();
        let untold = self.untold;
        *self = Self { untold, ..read };
        if let Some(ours) = ours
            && !self.is_taken_over(own)
            && self
                .evidence
                .as_ref()
                .is_none_or(|theirs| theirs.observed_at < ours.observed_at)
        {
            self.evidence = Some(ours);
        }
    }
}

impl Turn<'_> {
    pub(crate) fn key(&self) -> &'static str {
        if self.deps.settings.witness_of.is_some() {
            WITNESS_KEY
        } else {
            EVIDENCE_KEY
        }
    }

    /// What the store holds at the start. If it cannot be read, probing goes on without.
    pub(crate) async fn begin(&self) -> Known {
        match self.read().await {
            Ok(known) => known,
            Err(error) => {
                self.warn("the evidence cannot be read; probing goes on", &error);
                Known::default()
            }
        }
    }

    async fn read(&self) -> Result<Known, RecordError> {
        let key = self.key();
        match self.deps.store.load_optional::<Value>(key).await {
            Ok(None) => Ok(Known {
                evidence: None,
                expected: Some(Expected::Absent),
                ..Known::default()
            }),
            Ok(Some((document, etag))) => Ok(Known {
                evidence: self.understand(key, document)?,
                expected: Some(Expected::Version(etag)),
                ..Known::default()
            }),
            Err(StoreError::Torn { detail, etag, .. }) => {
                self.warn("the evidence is torn and written anew", &detail);
                Ok(Known {
                    evidence: None,
                    expected: Some(Expected::Version(etag)),
                    ..Known::default()
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Evidence is made anew every few seconds, so what is torn is replaced; a later version's is not.
    fn understand(
        &self,
        key: &'static str,
        document: Value,
    ) -> Result<Option<Evidence>, RecordError> {
        let schema = document.get("schema");
        let later = schema
            .and_then(Value::as_u64)
            .is_some_and(|schema| schema > u64::from(EVIDENCE_SCHEMA));
        if later {
            return Err(RecordError::Schema {
                key,
                found: schema.map(ToString::to_string).unwrap_or_default(),
            });
        }
        match serde_json::from_value::<Evidence>(document) {
            // Left alone it would stop every run until that time has come.
            Ok(evidence) if evidence.is_of_the_future(self.now()) => {
                let from = evidence.observed_at;
                self.warn("the evidence is of the future and written anew", &from);
                Ok(None)
            }
            Ok(evidence) => Ok(Some(evidence)),
            Err(error) => {
                self.warn("the evidence is torn and written anew", &error);
                Ok(None)
            }
        }
    }

    /// Writes a round down, unless something newer is there. Ends before the invocation does.
    pub(crate) async fn record(
        &self,
        known: &mut Known,
        round: &Round,
        looked: &Looked,
    ) -> Recorded {
        let left = self.deps.edge.left(self.deadline);
        let work = self.race(known, round, looked);
        let recorded = self.deps.edge.within(left, work).await;
        let recorded = recorded.unwrap_or_else(|| {
            known.evidence = Some(self.evidence_of(known, round, looked));
            Recorded::Failed(RecordError::Slow)
        });
        if let Recorded::Failed(_) = recorded {
            let chosen = known.evidence().and_then(|evidence| evidence.self_test_at);
            known.untold = chosen.filter(|at| *at == round.at).or(known.untold);
        }
        recorded
    }

    async fn race(&self, known: &mut Known, round: &Round, looked: &Looked) -> Recorded {
        for _ in 0..RACES {
            if known.expected.is_none() {
                match self.read().await {
                    Ok(read) => known.adopt(read, &self.run),
                    Err(error) => {
                        known.evidence = Some(self.evidence_of(known, round, looked));
                        return Recorded::Failed(error);
                    }
                }
            }
            if known.is_taken_over(&self.run) {
                return Recorded::TakenOver;
            }
            if known
                .evidence()
                .is_some_and(|before| before.observed_at >= round.at)
            {
                return Recorded::Superseded;
            }
            let evidence = self.evidence_of(known, round, looked);
            let Some(expected) = known.expected.take() else {
                continue;
            };
            let number = self.writes.fetch_add(1, Ordering::Relaxed);
            let writer = format!(
                "{}@{}#{number}",
                self.request_id,
                self.run.started_at.as_millisecond()
            );
            match self
                .deps
                .store
                .save(self.key(), &evidence, &expected, &writer)
                .await
            {
                Ok(etag) => {
                    known.evidence = Some(evidence);
                    known.expected = Some(Expected::Version(etag));
                    return Recorded::Written;
                }
                // What stands there now is read before the next try.
                Err(StoreError::Lost { .. } | StoreError::Missing { .. }) => {}
                Err(error) => {
                    known.evidence = Some(evidence);
                    return Recorded::Failed(error.into());
                }
            }
        }
        known.evidence = Some(self.evidence_of(known, round, looked));
        Recorded::Failed(RecordError::Contended(self.key()))
    }

    fn evidence_of(&self, known: &Known, round: &Round, looked: &Looked) -> Evidence {
        let before = known.evidence();
        let mut evidence = Evidence::observed(before, round, self.rules(), self.run.clone());
        looked.put_into(&mut evidence);
        let last = before.and_then(|before| before.self_test_at);
        let last = last.filter(|at| known.untold != Some(*at));
        let due = is_another_day(last, round.at);
        if due && self.deps.control.is_some() {
            evidence.self_test_at = Some(round.at);
        }
        evidence
    }
}

/// Whether the last self-test was not on this (UTC) day.
fn is_another_day(last: Option<Timestamp>, now: Timestamp) -> bool {
    let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    last.is_none_or(|last| day(last) != day(now))
}
