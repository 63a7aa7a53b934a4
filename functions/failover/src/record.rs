//! The shared state: reading it and changing it by compare-and-swap.

use jiff::Timestamp;
use sentinel_aws::store::{Expected, Loaded, StoreError};
use sentinel_core::state::State;
use serde_json::Value;

use crate::error::Error;
use crate::turn::Turn;

/// The key of the state document.
pub(crate) const STATE_KEY: &str = "state.json";
/// The key of the readiness check's report.
pub(crate) const DRIFT_KEY: &str = "drift.json";
/// The key of the health check's evidence.
pub(crate) const EVIDENCE_KEY: &str = "evidence.json";

/// How often a lost race is run again. Each loss means that another invocation wrote.
const RACES: usize = 8;

/// The state as it was read, and what a write depends on.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) state: State,
    expected: Expected,
}

/// Whether a write was made.
#[derive(Debug)]
pub(crate) enum Written {
    /// It was made, or there was nothing to write.
    Done,
    /// Somebody else wrote first.
    Lost,
}

impl Turn<'_> {
    /// Reads the state; a first start gives a fresh one.
    pub(crate) async fn load(&self) -> Result<Record, Error> {
        let mrap = &self.deps.settings.mrap;
        match self.deps.store.load::<Value>(STATE_KEY).await? {
            Loaded::FirstStart => Ok(Record {
                state: State::first(mrap.clone(), self.now()),
                expected: Expected::Absent,
            }),
            Loaded::Deleted => Err(Error::StateDeleted),
            Loaded::Found { document, etag } => Ok(Record {
                state: State::parse(document, mrap)?,
                expected: Expected::Version(etag),
            }),
        }
    }

    /// Writes `next` in place of `record` if it differs and nobody else wrote meanwhile.
    pub(crate) async fn save(&self, record: &mut Record, next: State) -> Result<Written, Error> {
        if next == record.state {
            return Ok(Written::Done);
        }
        let writer = self.next_writer();
        let mut next = next;
        next.written_by.clone_from(&writer);
        next.written_at = self.now();
        next.forget_old(next.written_at);
        match self
            .deps
            .store
            .save(STATE_KEY, &next, &record.expected, &writer)
            .await
        {
            Ok(etag) => {
                record.expected = Expected::Version(etag);
                self.remember_incident(&next);
                record.state = next;
                Ok(Written::Done)
            }
            Err(StoreError::Lost { .. }) => Ok(Written::Lost),
            Err(StoreError::Missing { .. }) => Err(Error::StateDeleted),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes the state whatever others do to it meanwhile: `change` is applied to what is
    /// there, again and again until the write is made.
    pub(crate) async fn update<T>(
        &self,
        mut change: impl FnMut(&mut State, Timestamp) -> Result<T, Error>,
    ) -> Result<(State, T), Error> {
        for race in 0..RACES {
            // Time may be up, but what was done has to be recorded: the first race is always run.
            if race > 0 && self.now() >= self.deadline {
                break;
            }
            let mut record = self.load().await?;
            let mut next = record.state.clone();
            let result = change(&mut next, self.now())?;
            if let Written::Done = self.save(&mut record, next).await? {
                return Ok((record.state, result));
            }
        }
        Err(Error::Contended)
    }

    /// Puts a fresh state in place of one that was deleted or cannot be understood.
    pub(crate) async fn overwrite(&self, next: State) -> Result<(), Error> {
        let expected = match self.deps.store.load::<Value>(STATE_KEY).await {
            Ok(Loaded::Found { etag, .. }) | Err(StoreError::Torn { etag, .. }) => {
                Expected::Version(etag)
            }
            Ok(Loaded::FirstStart | Loaded::Deleted) => Expected::Absent,
            Err(error) => return Err(error.into()),
        };
        let mut next = next;
        let writer = self.next_writer();
        next.written_by.clone_from(&writer);
        self.deps
            .store
            .save(STATE_KEY, &next, &expected, &writer)
            .await?;
        Ok(())
    }
}
