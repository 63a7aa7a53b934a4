//! The shared document and the ledger's listing: reading them, and changing the former by
//! compare-and-swap.

use sentinel_aws::ledger::Files;
use sentinel_aws::readiness::report;
use sentinel_aws::store::{Expected, Loaded, StoreError};
use sentinel_core::ledger::{OPEN, OpenName, SETTLED, SettledName};
use sentinel_core::readiness::Report;
use sentinel_core::redrive::apply::Desk;
use sentinel_core::redrive::inventory::{Inventory, Listed};
use sentinel_core::redrive::state::{REDRIVE_KEY, RedriveState, RedriveStateError};
use serde_json::Value;

use crate::error::Error;
use crate::turn::Turn;

/// How often a lost race is run again. Each loss means that somebody else wrote.
const RACES: usize = 8;

/// The document as it was read, and what a write depends on.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) state: RedriveState,
    expected: Expected,
}

impl Turn<'_> {
    /// Reads the document; a first start gives a fresh one.
    pub(crate) async fn load(&self) -> Result<Record, Error> {
        let mrap = &self.deps.settings.mrap;
        match self.deps.store.load::<Value>(REDRIVE_KEY).await {
            Ok(Loaded::FirstStart) => Ok(Record {
                state: RedriveState::first(mrap.clone(), self.now()),
                expected: Expected::Absent,
            }),
            Ok(Loaded::Deleted) => Err(Error::Deleted {
                restore: self.how_to_restore(),
            }),
            Ok(Loaded::Found { document, etag }) => Ok(Record {
                state: RedriveState::parse(document, mrap).map_err(|source| Error::State {
                    source,
                    restore: self.how_to_restore(),
                })?,
                expected: Expected::Version(etag),
            }),
            Err(StoreError::Torn { detail, .. }) => Err(Error::State {
                source: RedriveStateError::Torn { detail },
                restore: self.how_to_restore(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// The commands that bring the document's last version back.
    fn how_to_restore(&self) -> String {
        let bucket = &self.deps.settings.state_bucket;
        let region = self.deps.edge.region();
        format!(
            "To see its versions: aws s3api list-object-versions --region {region} --bucket {bucket} --prefix {REDRIVE_KEY}. To restore one of them: aws s3api copy-object --region {region} --bucket {bucket} --key {REDRIVE_KEY} --copy-source \"{bucket}/{REDRIVE_KEY}?versionId=VERSION\""
        )
    }

    /// Writes `next` in place of `record` if it differs; whether nobody else wrote meanwhile.
    async fn save(&self, record: &mut Record, next: RedriveState) -> Result<bool, Error> {
        if next == record.state {
            return Ok(true);
        }
        let writer = self.next_writer();
        let mut next = next;
        next.written_by.clone_from(&writer);
        next.written_at = self.now();
        next.forget_old(next.written_at);
        let store = &self.deps.store;
        match store
            .save(REDRIVE_KEY, &next, &record.expected, &writer)
            .await
        {
            Ok(etag) => {
                record.expected = Expected::Version(etag);
                record.state = next;
                Ok(true)
            }
            Err(StoreError::Lost { .. }) => Ok(false),
            Err(StoreError::Missing { .. }) => Err(Error::Deleted {
                restore: self.how_to_restore(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes the document whatever others do to it meanwhile: `change` is applied to what is
    /// there, again and again until the write is made.
    pub(crate) async fn change<T>(
        &self,
        record: &mut Record,
        mut change: impl FnMut(&Desk<'_>, &mut RedriveState) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for race in 0..RACES {
            if race > 0 {
                // Time may be up, but what was done has to be recorded: the first race is always run.
                if self.now() >= self.deadline {
                    break;
                }
                *record = self.load().await?;
            }
            let mut next = record.state.clone();
            let result = change(&self.desk(), &mut next)?;
            if self.save(record, next).await? {
                return Ok(result);
            }
        }
        Err(Error::Contended)
    }

    /// Lists the ledger.
    pub(crate) async fn inventory(&self) -> Result<Inventory, Error> {
        let mut inventory = Inventory::default();
        let foreign = |source| Error::Name {
            bucket: self.deps.settings.state_bucket.clone(),
            source,
        };
        let files = &self.deps.files;
        list(files, OPEN, |file| {
            let name: OpenName = file.key.parse().map_err(foreign)?;
            inventory.open.entry(name.group).or_default().push(Listed {
                name,
                bytes: file.size,
                appended: file.modified.unwrap_or_else(|| name.newest.timestamp()),
            });
            Ok(())
        })
        .await?;
        list(files, SETTLED, |file| {
            let name: SettledName = file.key.parse().map_err(foreign)?;
            let sizes = inventory.settled.entry(name.source).or_default();
            sizes.push(file.size);
            Ok(())
        })
        .await?;
        inventory.readiness = self.readiness().await;
        Ok(inventory)
    }

    /// What the readiness check found. Without it samples come at their time.
    async fn readiness(&self) -> Option<Report> {
        let found = report(&self.deps.store, &self.deps.settings.mrap).await;
        found.unwrap_or_else(|error| {
            self.warn("the readiness report cannot be used", &error);
            None
        })
    }
}

/// Goes through all files with this prefix.
pub(crate) async fn list(
    files: &Files,
    prefix: &str,
    mut each: impl FnMut(sentinel_aws::ledger::Listed) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page = files.list(prefix, after.as_deref()).await?;
        page.files.into_iter().try_for_each(&mut each)?;
        match page.next {
            None => return Ok(()),
            next => after = next,
        }
    }
}
