//! Makes what was collected durable, before anything of it is acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;
use sentinel_aws::ledger::Written;
use sentinel_core::ledger::{Destination, Group, OpenFile, OpenName};
use sentinel_core::names::BucketName;
use sentinel_core::replication::LagDocument;

use crate::collect::{Collected, Rows};
use crate::deps::Deps;
use crate::error::RecordError;

/// Files written at once.
const AT_ONCE: usize = 8;

/// What is kept of the invocation's time for its answer.
const RESERVE: Duration = Duration::from_secs(3);

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// Files that are new, with their groups.
    pub(crate) new: Vec<(Group, OpenName)>,
    /// Files that an earlier delivery had written.
    pub(crate) already_there: u64,
    /// Whether the signs of lag, if there were any, are recorded.
    pub(crate) lag: bool,
    /// Places of the messages of which something could not be recorded.
    pub(crate) given_back: BTreeSet<usize>,
    /// Why, one for each file and one for the signs of lag.
    pub(crate) errors: Vec<RecordError>,
}

impl Recorded {
    /// Whether anything at all was recorded.
    pub(crate) fn anything(&self) -> bool {
        !self.new.is_empty() || self.already_there > 0 || self.lag
    }

    /// New rows by source and destination.
    pub(crate) fn new_rows(&self) -> BTreeMap<(&BucketName, Option<&BucketName>), u64> {
        let mut rows = BTreeMap::new();
        for (group, name) in &self.new {
            let destination = match &group.destination {
                Destination::Any => None,
                Destination::Bucket(bucket) => Some(bucket),
            };
            *rows.entry((&group.source, destination)).or_default() += name.rows;
        }
        rows
    }

    fn failed(&mut self, messages: &BTreeSet<usize>, error: RecordError) {
        self.given_back.extend(messages);
        self.errors.push(error);
    }
}

/// Writes one file for each group, then merges the signs of lag.
pub(crate) async fn record(
    deps: &Deps,
    collected: &mut Collected,
    deadline: Timestamp,
    request_id: &str,
) -> Recorded {
    let mut recorded = Recorded::default();
    let groups = std::mem::take(&mut collected.groups);
    let mut writes = stream::iter(groups)
        .map(|(group, rows)| write(deps, group, rows, deadline))
        .buffer_unordered(AT_ONCE);
    while let Some((group, messages, result)) = writes.next().await {
        match result {
            Ok(Some((name, Written::New))) => recorded.new.push((group, name)),
            Ok(Some((_, Written::AlreadyThere))) => recorded.already_there += 1,
            Ok(None) => {}
            Err(error) => recorded.failed(&messages, error),
        }
    }
    if !collected.lag.is_empty() {
        match merge(deps, &collected.lag, deadline, request_id).await {
            Ok(()) => recorded.lag = true,
            Err(error) => recorded.failed(&collected.lag_messages, error),
        }
    }
    recorded
}

/// The rows of a group as one file, whose name follows from them: a batch that is delivered again
/// meets its own file.
async fn write(
    deps: &Deps,
    group: Group,
    rows: Rows,
    deadline: Timestamp,
) -> (
    Group,
    BTreeSet<usize>,
    Result<Option<(OpenName, Written)>, RecordError>,
) {
    let Rows { rows, messages } = rows;
    let work = async {
        let Some(file) = OpenFile::new(&group, rows)? else {
            return Ok(None);
        };
        let key = file.name.key();
        let written = in_time(deps, deadline, deps.files.append(&key, file.body)).await?;
        Ok(Some((file.name, written?)))
    };
    let result = work.await;
    (group, messages, result)
}

async fn merge(
    deps: &Deps,
    news: &LagDocument,
    deadline: Timestamp,
    request_id: &str,
) -> Result<(), RecordError> {
    in_time(deps, deadline, deps.lag.merge(news, request_id)).await??;
    Ok(())
}

/// What `work` gives, unless the answer would be late then.
async fn in_time<T>(
    deps: &Deps,
    deadline: Timestamp,
    work: impl Future<Output = T>,
) -> Result<T, RecordError> {
    let left = deps.edge.left(deadline).saturating_sub(RESERVE);
    if left.is_zero() {
        return Err(RecordError::NoTime);
    }
    let done = deps.edge.within(left, work).await;
    done.ok_or(RecordError::NoTime)
}
