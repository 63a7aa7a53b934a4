//! The slices of work of a job, from its ledger files to the proof that its versions arrived.
//!
//! Each function does a part of one phase and gives the cursor from which the next call goes on.
//! It may be cut off after any request: whatever it does a second time has the same effect as the
//! first time. Files are written under names that follow from job and place, and when a repeated
//! slice cuts the work otherwise than the one that died, the later content replaces the earlier.
//!
//! Memory is bounded by the sizes in this module and the number of streams, never by the backlog:
//!
//! | what | bytes |
//! |---|---|
//! | all streams of a merge together | [`STREAMS_BYTES`], each at least [`MIN_WINDOW`] |
//! | a part of a manifest and the file of its rows | [`PART_BYTES`], and about 1.3 times as much |
//! | a slice of a report in memory | 24 for each of [`VERDICTS`] |
//! | a compacted file | [`COMPACT_BYTES`] |

mod close;
mod compact;
mod create;
mod error;
mod feed;
mod gather;
mod prove;
mod report;
mod settle;
mod sought;
mod weigh;
mod write;

use std::cell::RefCell;

use jiff::Timestamp;
use sentinel_aws::arrival::Arrivals;
use sentinel_aws::batch::BatchJobs;
use sentinel_aws::edge::Edge;
use sentinel_aws::ledger::Files;
use sentinel_aws::objects::Uploads;
use sentinel_core::ledger::{JOBS, Millis};
use sentinel_core::names::{BucketName, Region};
use sentinel_core::redrive::job::{Job, JobName, Slice};
use sentinel_core::settings::RedriveSettings;

use crate::Deps;
pub use close::close;
pub use compact::{compact, compact_settled, trim};
pub use create::{create, find, poll};
pub use error::WorkError;
pub use gather::gather;
pub use prove::prove;
pub use report::report;
pub use settle::settle;
pub use weigh::weigh;

/// Bytes that all streams of one merge hold together.
const STREAMS_BYTES: u64 = 48 << 20;

/// Least bytes of one ranged read: smaller ones cost more in requests than they save in memory.
const MIN_WINDOW: u64 = 128 << 10;

/// Most bytes of one ranged read.
const MAX_WINDOW: u64 = 4 << 20;

/// Bytes of a part of a manifest: above the 5 MiB that S3 demands.
const PART_BYTES: usize = 8 << 20;

/// Most parts of a manifest: their entity tags stand in the function's document.
const MAX_PARTS: usize = 1000;

/// Tasks of a report that are sorted in memory at once.
const VERDICTS: usize = 400_000;

/// Most bytes of a compacted file.
const COMPACT_BYTES: u64 = 64 << 20;

/// A slice does not begin another step with less than this many seconds left.
const MARGIN_SECONDS: u64 = 8;

/// What a slice works with, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    deps: &'a Deps,
    until: Timestamp,
}

impl<'a> Work<'a> {
    /// Work that ends at `until`.
    #[must_use]
    pub fn new(deps: &'a Deps, until: Timestamp) -> Self {
        Self { deps, until }
    }

    fn edge(&self) -> &'a Edge {
        &self.deps.edge
    }

    fn settings(&self) -> &'a RedriveSettings {
        &self.deps.settings
    }

    /// The state bucket's files.
    fn files(&self) -> &'a Files {
        &self.deps.files
    }

    /// Whether another step may begin.
    fn has_time(&self) -> bool {
        self.edge().left(self.until).as_secs() >= MARGIN_SECONDS
    }

    /// The Region of a job's source bucket.
    fn region(&self, job: &Job) -> Result<&'a Region, WorkError> {
        self.settings()
            .region_of(&job.source)
            .ok_or_else(|| WorkError::NoMember(job.source.clone()))
    }

    /// The work bucket of a job and its Region.
    fn work_bucket(&self, job: &Job) -> Result<(&'a Region, &'a BucketName), WorkError> {
        let region = self.region(job)?;
        let bucket = self.settings().work_buckets.in_region(region);
        let bucket = bucket.ok_or_else(|| WorkError::NoMember(job.source.clone()))?;
        Ok((region, bucket))
    }

    fn uploads(&self, job: &Job) -> Result<Uploads, WorkError> {
        let (region, bucket) = self.work_bucket(job)?;
        Ok(Uploads::new(
            self.deps.edge.clone(),
            region.clone(),
            bucket.clone(),
        ))
    }

    /// The files of a job's work bucket.
    fn reports(&self, job: &Job) -> Result<Files, WorkError> {
        let (region, bucket) = self.work_bucket(job)?;
        Ok(Files::new(
            self.deps.edge.clone(),
            region.clone(),
            bucket.clone(),
        ))
    }

    fn jobs(&self) -> BatchJobs {
        BatchJobs::new(self.deps.edge.clone(), self.settings().mrap.account())
    }

    fn arrivals(&self) -> Arrivals {
        Arrivals::new(self.deps.edge.clone())
    }

    /// `mrap-sentinel/<alias>/<job>`: where a job's manifest and report lie in the work bucket.
    fn work_prefix(&self, job: &Job) -> String {
        format!(
            "mrap-sentinel/{}/{}",
            self.settings().mrap.alias(),
            job.name
        )
    }

    /// Runs a slice that notes its progress, and cuts it off when the time is up: that is what a
    /// crash would do, and it is as harmless.
    async fn bounded<C: Clone, D>(
        &self,
        cursor: C,
        slice: impl AsyncFnOnce(&RefCell<C>) -> Result<Slice<C, D>, WorkError>,
    ) -> Result<Slice<C, D>, WorkError> {
        let progress = RefCell::new(cursor);
        let left = self.edge().left(self.until);
        match self.edge().within(left, slice(&progress)).await {
            Some(done) => done,
            None => Ok(Slice::More(progress.into_inner())),
        }
    }
}

/// The key of one of a job's files other than rows and report.
fn job_key(job: &Job, kind: &str, number: u32) -> String {
    key_of(&job.name, kind, number)
}

fn key_of(job: &JobName, kind: &str, number: u32) -> String {
    format!("{JOBS}{job}/{kind}/{number:05}.jsonl")
}

/// When something is settled as of `at` that failed at `failed_at`: clocks differ, and an entry
/// that is older than the failure would not settle it.
fn settled_as_of(at: Timestamp, failed_at: Millis) -> Millis {
    Millis::from(at).max(failed_at)
}
