//! Deleting what a job used up.

use std::cell::RefCell;

use sentinel_core::ledger::job_prefix;
use sentinel_core::redrive::job::{CloseCursor, Job, Phase, Slice};

use super::Work;
use super::error::WorkError;

/// Deletes the job's inputs, if they were used up and all of their rows were seen to, and then the
/// job's own files. The manifest and the report stay in the work bucket until its lifecycle
/// deletes them: they are what S3 has to say, should somebody ask.
///
/// # Errors
/// [`WorkError`].
pub async fn close(
    work: &Work<'_>,
    job: &Job,
    cursor: CloseCursor,
) -> Result<Slice<CloseCursor, ()>, WorkError> {
    let Phase::Close { gathered, .. } = &job.phase else {
        return Err(WorkError::Phase("close"));
    };
    let slice = async |progress: &RefCell<CloseCursor>| {
        let files = work.files();
        if gathered.complete && !progress.borrow().inputs {
            files.delete(&job.inputs).await?;
        }
        progress.replace(CloseCursor { inputs: true });
        let prefix = job_prefix(job.name.as_str());
        loop {
            let page = files.list(&prefix, None).await?;
            let keys: Vec<String> = page.files.into_iter().map(|file| file.key).collect();
            if keys.is_empty() {
                return Ok(Slice::Done(()));
            }
            files.delete(&keys).await?;
            if !work.has_time() {
                return Ok(Slice::More(CloseCursor { inputs: true }));
            }
        }
    };
    work.bounded(cursor, slice).await
}
