//! Feeding merges with ranged reads.

use std::fmt::Debug;

use futures_util::StreamExt;
use futures_util::stream::iter;
use sentinel_aws::ledger::{FileError, Files};
use sentinel_core::ledger::{Format, LineError, MAX_LINE, Reader};
use sentinel_core::redrive::merge::{ByIdentity, Merge};

use super::error::WorkError;
use super::{MAX_WINDOW, MIN_WINDOW, STREAMS_BYTES};

/// Ranged reads at once.
const READS: usize = 16;

/// Bytes that are read to find a file's first line.
const FIRST_BYTES: u64 = 16 << 10;

/// The files of a merge and how far each was read.
#[derive(Debug)]
pub(super) struct Feed {
    files: Files,
    keys: Vec<String>,
    read: Vec<u64>,
    window: u64,
    /// Files that were not there.
    pub(super) missing: u32,
}

impl Feed {
    /// Opens files at these offsets; missing ones count as 0, the beginning.
    pub(super) async fn open<F: ByIdentity>(
        files: &Files,
        keys: &[String],
        offsets: &[u64],
        window: u64,
    ) -> Result<(Self, Merge<F>), WorkError> {
        let mut feed = Self {
            files: files.clone(),
            keys: keys.to_vec(),
            read: Vec::with_capacity(keys.len()),
            window,
            missing: 0,
        };
        let mut merge = Merge::default();
        let resumed = keys.iter().enumerate().map(|(place, key)| {
            let offset = offsets.get(place).copied().unwrap_or(0);
            async move {
                match offset {
                    0 => Ok(Some((0, Reader::<F>::new(key)))),
                    _ => resume::<F>(files, key, offset).await,
                }
            }
        });
        let mut resumed = iter(resumed).buffered(READS);
        while let Some(reader) = resumed.next().await {
            let key = keys.get(merge.len()).map_or("", String::as_str);
            if let Some((offset, reader)) = reader? {
                merge.add(key, reader);
                feed.read.push(offset);
            } else {
                let place = merge.add(key, Reader::new(key));
                merge.forget(place);
                feed.read.push(0);
                feed.missing += 1;
            }
        }
        Ok((feed, merge))
    }

    /// Reads on wherever the merge starves.
    pub(super) async fn feed<F: ByIdentity>(
        &mut self,
        merge: &mut Merge<F>,
    ) -> Result<(), WorkError> {
        let wanted: Vec<usize> = merge.starving().collect();
        let Self {
            files,
            keys,
            read,
            window,
            ..
        } = &*self;
        let reads = wanted.into_iter().filter_map(|place| {
            let (key, from) = (keys.get(place)?, *read.get(place)?);
            Some(async move { (place, from, files.read(key, from..from + window).await) })
        });
        // Borrows end before the results are taken in.
        let done: Vec<_> = iter(reads).buffered(READS).collect().await;
        for (place, from, piece) in done {
            match piece {
                Ok(piece) => {
                    let end = from + u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX);
                    merge.feed(place, &piece.bytes);
                    if end >= piece.total || piece.bytes.is_empty() {
                        merge.end(place);
                    }
                    if let Some(read) = self.read.get_mut(place) {
                        *read = end;
                    }
                }
                Err(FileError::PastTheEnd { .. }) => merge.end(place),
                Err(FileError::Missing { .. }) => {
                    merge.forget(place);
                    self.missing += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// How much of each of so many streams is read at once.
pub(super) fn window(streams: usize) -> u64 {
    let streams = u64::try_from(streams.max(1)).unwrap_or(u64::MAX);
    (STREAMS_BYTES / streams).clamp(MIN_WINDOW, MAX_WINDOW)
}

/// A reader that goes on within a file whose first line was read by an earlier slice; nothing if
/// the file is gone.
async fn resume<F: Format>(
    files: &Files,
    key: &str,
    offset: u64,
) -> Result<Option<(u64, Reader<F>)>, WorkError> {
    let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    let mut bytes = FIRST_BYTES;
    loop {
        let piece = match files.read(key, 0..bytes).await {
            Ok(piece) => piece,
            Err(FileError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if let Some(end) = piece.bytes.iter().position(|byte| *byte == b'\n') {
            let line = piece.bytes.get(..end).unwrap_or_default();
            let header = F::header(line).map_err(|error| error.at(key, 1))?;
            return Ok(Some((offset, Reader::resume(key, header, offset))));
        }
        if bytes >= limit {
            return Err(LineError::TooLong.at(key, 1).into());
        }
        bytes *= 4;
    }
}

/// Reads a whole file of at most a few megabytes record by record; nothing if it is not there.
pub(super) async fn read_all<F: Format>(
    files: &Files,
    key: &str,
    mut take: impl FnMut(&F::Header, F::Record) -> Result<(), WorkError>,
) -> Result<bool, WorkError>
where
    F::Header: Clone + Debug,
{
    let mut reader = Reader::<F>::new(key);
    let mut from = 0;
    let mut header = None;
    loop {
        let piece = match files.read(key, from..from + MAX_WINDOW).await {
            Ok(piece) => piece,
            Err(FileError::Missing { .. }) if from == 0 => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        from += u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX);
        reader.feed(&piece.bytes);
        while let Some(record) = reader.next_record()? {
            if header.is_none() {
                header = reader.header().cloned();
            }
            if let Some(header) = &header {
                take(header, record)?;
            }
        }
        if from >= piece.total || piece.bytes.is_empty() {
            reader.finish()?;
            return Ok(true);
        }
    }
}
