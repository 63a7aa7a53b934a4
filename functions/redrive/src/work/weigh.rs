//! Holding files against what is settled, without a job.

use sentinel_core::ledger::{Group, OpenName};
use sentinel_core::redrive::merge::{Next, OpenRows};

use super::Work;
use super::error::WorkError;
use super::feed::{Feed, window};
use super::gather::relevant_settled;

/// Whether something in these open files of a group is not settled. If all is, they say nothing
/// new, and are deleted.
///
/// # Errors
/// [`WorkError`].
pub async fn weigh(work: &Work<'_>, group: &Group, names: &[OpenName]) -> Result<bool, WorkError> {
    let keys: Vec<String> = names.iter().map(OpenName::key).collect();
    let weighing = async {
        let has_open = has_open(work, group, &keys).await?;
        if !has_open {
            work.files().delete(&keys).await?;
        }
        Ok(has_open)
    };
    let left = work.edge().left(work.until);
    // Too much to look through in time: better one page too many than none.
    let weighed = work.edge().within(left, weighing).await;
    weighed.unwrap_or(Ok(true))
}

async fn has_open(work: &Work<'_>, group: &Group, keys: &[String]) -> Result<bool, WorkError> {
    let files = work.files();
    let settled = relevant_settled(work, &group.source, keys).await?;
    let window = window(keys.len() + settled.len());
    let (mut inputs, rows) = Feed::open(files, keys, &[], window).await?;
    let (mut settled, entries) = Feed::open(files, &settled, &[], window).await?;
    let mut open = OpenRows::new(std::slice::from_ref(group), rows, entries);
    loop {
        match open.next_version()? {
            Next::Version(..) => return Ok(true),
            Next::Settled => {}
            Next::End => return Ok(false),
            Next::Starved => {
                inputs.feed(&mut open.rows).await?;
                settled.feed(&mut open.settled.merge).await?;
            }
        }
    }
}
