//! Bringing back rows that were handed over to a person.

use jiff::Timestamp;
use sentinel_aws::ledger::FileError;
use sentinel_core::ledger::{Group, GroupId, HandedOverName, Millis, OpenFile, Reader, Row, Rows};
use sentinel_core::redrive::apply::Happening;

use crate::error::Error;
use crate::record::Record;
use crate::turn::{Turn, later};

/// Bytes read at once.
const PIECE: u64 = 4 << 20;
/// Rows of one file that is written.
const ROWS: usize = 20_000;
/// With less time than this left no further file is begun.
const LEAST: jiff::SignedDuration = jiff::SignedDuration::from_secs(20);

impl Turn<'_> {
    /// Writes handed-over rows into the ledger again, as if they had failed when the operator
    /// asked for it: their old failure is settled, and too old.
    ///
    /// File by file: what was written is the same when it is written again, and only then is what
    /// it came from deleted.
    pub(crate) async fn restore(
        &self,
        record: &Record,
        group: GroupId,
    ) -> Result<Option<Happening>, Error> {
        let known = record.state.groups.get(&group);
        let Some((known, asked)) = known.and_then(|known| Some((known, known.restore.as_ref()?)))
        else {
            return Ok(None);
        };
        let files = &self.deps.files;
        let page = files.list(&HandedOverName::prefix(group), None).await?;
        let mut rows = 0;
        let mut left = page.files.len();
        for file in page.files {
            // One file is always done: the turn saw to it that there is time.
            if rows > 0 && later(self.now(), LEAST) > self.end {
                break;
            }
            rows += self.restore_file(&file.key, &known.group, asked.at).await?;
            files.delete(&[file.key]).await?;
            left -= 1;
        }
        Ok(Some(Happening::Restored {
            group,
            rows,
            done: left == 0 && page.next.is_none(),
        }))
    }

    async fn restore_file(&self, key: &str, group: &Group, at: Timestamp) -> Result<u64, Error> {
        let foreign = |detail: String| Error::Foreign {
            place: format!("{}/{key}", self.deps.settings.state_bucket),
            detail,
        };
        let mut reader = Reader::<Rows>::new(key);
        let mut offset = 0;
        let mut restored = 0;
        let mut waiting: Vec<Row> = Vec::new();
        loop {
            let piece = match self.deps.files.read(key, offset..offset + PIECE).await {
                Ok(piece) => piece,
                // Deleted by the lifecycle rule since it was listed.
                Err(FileError::Missing { .. }) if offset == 0 => return Ok(0),
                Err(error) => return Err(error.into()),
            };
            offset += u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX);
            reader.feed(&piece.bytes);
            while let Some(row) = reader
                .next_record()
                .map_err(|error| foreign(crate::error::chain(&error)))?
            {
                waiting.push(Row {
                    attempts: 0,
                    failed_at: Millis::from(at),
                    ..row
                });
                if waiting.len() >= ROWS {
                    restored += self.reopen(group, std::mem::take(&mut waiting)).await?;
                }
            }
            if offset >= piece.total {
                break;
            }
        }
        let is_ours = reader
            .header()
            .is_some_and(|header| header.groups.contains(group));
        if !is_ours {
            return Err(foreign(format!("it does not hold group {}", group.id())));
        }
        reader
            .finish()
            .map_err(|error| foreign(crate::error::chain(&error)))?;
        Ok(restored + self.reopen(group, waiting).await?)
    }

    async fn reopen(&self, group: &Group, rows: Vec<Row>) -> Result<u64, Error> {
        let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let file = OpenFile::new(group, rows).map_err(|error| Error::Foreign {
            place: format!("group {}", group.id()),
            detail: error.to_string(),
        })?;
        if let Some(file) = file {
            self.deps.files.append(&file.name.key(), file.body).await?;
        }
        Ok(count)
    }
}
