//! Keeping the ledger's files few.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sentinel_core::ledger::{
    ContentHash, Destination, Group, OpenName, Row, Rows, RowsHeader, SETTLED, Settled,
    SettledHeader, SettledName, SettledRow,
};
use sentinel_core::names::BucketName;
use sentinel_core::redrive::merge::{Merge, Peek, compacted, latest};

use super::error::WorkError;
use super::feed::{Feed, window};
use super::write::write_exactly;
use super::{COMPACT_BYTES, Work};

/// Most files that one compaction reads.
const MAX_FILES: usize = 200;

/// A lane with more settled files than this is worth compacting.
const SETTLED_FILES: usize = 24;

/// Merges these open files of a group into one, and then deletes them. The caller names only files
/// that no open job has among its inputs; together they should have at most [`COMPACT_BYTES`],
/// and what is over that is left for the next time.
///
/// # Errors
/// [`WorkError`].
pub async fn compact(work: &Work<'_>, group: &Group, names: &[OpenName]) -> Result<(), WorkError> {
    let keys: Vec<String> = names.iter().take(MAX_FILES).map(OpenName::key).collect();
    let left = work.edge().left(work.until);
    let done = work.edge().within(left, merge_open(work, group, &keys));
    // Cut off is as good as crashed: the next time does it again.
    done.await.unwrap_or(Ok(()))
}

async fn merge_open(work: &Work<'_>, group: &Group, keys: &[String]) -> Result<(), WorkError> {
    let files = work.files();
    let (mut feed, mut merge) = Feed::open::<Rows>(files, keys, &[], window(keys.len())).await?;
    let mut body = Vec::new();
    let groups = vec![group.clone()];
    RowsHeader { groups }.encode(&mut body)?;
    let header = body.len();
    let (mut oldest, mut newest, mut rows) = (None, None, 0_u64);
    let limit = usize::try_from(COMPACT_BYTES).unwrap_or(usize::MAX);
    while let Some(same) = next_bundle(&mut feed, &mut merge).await? {
        for row in compacted(same) {
            oldest = oldest.min(Some(row.failed_at)).or(Some(row.failed_at));
            newest = newest.max(Some(row.failed_at));
            rows += 1;
            row.encode(&mut body)?;
        }
        if body.len() > limit.saturating_mul(2) {
            // The listing told another size: better many files than no memory.
            return Ok(());
        }
    }
    let (Some(oldest), Some(newest)) = (oldest, newest) else {
        return Ok(());
    };
    debug_assert!(body.len() > header);
    let name = OpenName {
        group: group.id(),
        oldest,
        newest,
        rows,
        hash: ContentHash::of(&body),
    };
    let key = name.key();
    files.append(&key, body).await?;
    // All others may say nothing that one of them does not say already.
    let used: Vec<String> = keys.iter().filter(|used| **used != key).cloned().collect();
    files.delete(&used).await?;
    Ok(())
}

/// Merges the smallest settled files of a lane into one, if there are many, without what was
/// settled before a moment.
///
/// Not while a job of this lane gathers: it has fixed the files that it reads.
///
/// # Errors
/// [`WorkError`].
pub async fn compact_settled(
    work: &Work<'_>,
    source: &BucketName,
    before: Timestamp,
) -> Result<(), WorkError> {
    let left = work.edge().left(work.until);
    let done = work
        .edge()
        .within(left, merge_settled(work, source, before));
    done.await.unwrap_or(Ok(()))
}

async fn merge_settled(
    work: &Work<'_>,
    source: &BucketName,
    before: Timestamp,
) -> Result<(), WorkError> {
    let files = work.files();
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = files
            .list(&SettledName::prefix(source), after.as_deref())
            .await?;
        listed.extend(page.files.into_iter().map(|file| (file.size, file.key)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if listed.len() <= SETTLED_FILES {
        return Ok(());
    }
    listed.sort_unstable();
    let mut total = 0;
    let fits = |(size, _): &&(u64, String)| {
        total += size;
        total <= COMPACT_BYTES
    };
    let keys: Vec<String> = listed
        .iter()
        .take(MAX_FILES)
        .take_while(fits)
        .map(|(_, key)| key.clone())
        .collect();
    if keys.len() < 2 {
        return Ok(());
    }
    let (mut feed, mut merge) =
        Feed::open::<Settled>(files, &keys, &[], window(keys.len())).await?;
    let mut destinations: Vec<Destination> = Vec::new();
    let mut kept: Vec<SettledRow> = Vec::new();
    while let Some(same) = next_settled(&mut feed, &mut merge, &mut destinations).await? {
        let fresh = |entry: &SettledRow| entry.settled_at.timestamp() >= before;
        kept.extend(latest(same).into_iter().filter(fresh));
    }
    let until = kept.iter().map(|entry| entry.settled_at).max();
    let mut key = None;
    if let Some(until) = until {
        let mut body = Vec::with_capacity(kept.len() * 80);
        let header = SettledHeader {
            source: source.clone(),
            destinations,
        };
        header.encode(&mut body)?;
        for entry in &kept {
            entry.encode(&mut body)?;
        }
        let name = SettledName {
            source: source.clone(),
            until,
            rows: u64::try_from(kept.len()).unwrap_or(u64::MAX),
            job: format!("merged-{}", ContentHash::of(&body)),
            part: 0,
        };
        write_exactly(files, &name.key(), body).await?;
        key = Some(name.key());
    }
    let used: Vec<String> = keys
        .into_iter()
        .filter(|used| Some(used) != key.as_ref())
        .collect();
    files.delete(&used).await?;
    Ok(())
}

/// All rows of the next identity.
async fn next_bundle(
    feed: &mut Feed,
    merge: &mut Merge<Rows>,
) -> Result<Option<Vec<Row>>, WorkError> {
    let mut bundle = Vec::new();
    let mut identity = None;
    loop {
        match merge.peek()? {
            Peek::Starved => feed.feed(merge).await?,
            Peek::Ready(next) if identity.is_none_or(|known| known == next) => {
                identity = Some(next);
                bundle.extend(merge.pop().map(|(_, row)| row));
            }
            Peek::End if bundle.is_empty() => return Ok(None),
            Peek::Ready(_) | Peek::End => return Ok(Some(bundle)),
        }
    }
}

/// All entries of the next identity, their destinations in one list.
async fn next_settled(
    feed: &mut Feed,
    merge: &mut Merge<Settled>,
    destinations: &mut Vec<Destination>,
) -> Result<Option<Vec<SettledRow>>, WorkError> {
    let mut bundle: Vec<SettledRow> = Vec::new();
    let mut identity = None;
    loop {
        match merge.peek()? {
            Peek::Starved => feed.feed(merge).await?,
            Peek::Ready(next) if identity.is_none_or(|known| known == next) => {
                identity = Some(next);
                let Some((place, mut entry)) = merge.pop() else {
                    continue;
                };
                let named = merge
                    .header(place)
                    .and_then(|header| header.destinations.get(usize::from(entry.destination)));
                if let Some(named) = named {
                    let known = destinations.iter().position(|to| to == named);
                    let known = known.unwrap_or_else(|| {
                        destinations.push(named.clone());
                        destinations.len() - 1
                    });
                    entry.destination = u16::try_from(known).unwrap_or(u16::MAX);
                    bundle.push(entry);
                }
            }
            Peek::End if bundle.is_empty() => return Ok(None),
            Peek::Ready(_) | Peek::End => return Ok(Some(bundle)),
        }
    }
}

/// Deletes the settled files of these sources in which everything was settled before a moment.
///
/// # Errors
/// [`WorkError`].
pub async fn trim(
    work: &Work<'_>,
    before: &BTreeMap<BucketName, Timestamp>,
) -> Result<(), WorkError> {
    let files = work.files();
    let mut after: Option<String> = None;
    loop {
        let page = files.list(SETTLED, after.as_deref()).await?;
        let mut old = Vec::new();
        for file in page.files {
            let name = file.key.parse::<SettledName>()?;
            let is_old = |before: &Timestamp| name.until.timestamp() < *before;
            if before.get(&name.source).is_some_and(is_old) {
                old.push(file.key);
            }
        }
        files.delete(&old).await?;
        after = page.next;
        if after.is_none() || !work.has_time() {
            return Ok(());
        }
    }
}
