//! Creating a job at S3 and asking how it stands.

use jiff::SignedDuration;
use sentinel_aws::batch::{Created, NewJob, Work as What, is_passing};
use sentinel_aws::failure::Failure;
use sentinel_core::redrive::job::{
    Creation, EndStatus, Ended, Job, JobId, JobKind, Phase, Polled, Progress, Token,
};

use super::Work;
use super::error::WorkError;

/// So long after its creation S3 may not know a job yet.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);

/// Creates the job, unless an earlier try did.
///
/// `tried` in the job's phase says that an earlier try may have succeeded: then S3's list is asked
/// first. The same token makes a second job impossible whichever way S3 answers its repetition.
///
/// # Errors
/// [`WorkError`]; whether the job exists is looked up next time.
pub async fn create(work: &Work<'_>, job: &Job) -> Result<Creation, WorkError> {
    let Phase::Create {
        gathered,
        token,
        tried,
    } = &job.phase
    else {
        return Err(WorkError::Phase("create"));
    };
    let (region, bucket) = work.work_bucket(job)?;
    let what = match (&job.kind, &gathered.manifest) {
        (JobKind::Sweep(filter), _) => What::Sweep {
            source: &job.source,
            filter,
        },
        (_, Some(manifest)) => What::Manifest(manifest),
        (_, None) => return Err(WorkError::Phase("create, with a manifest")),
    };
    let description = description(work, job, token);
    let jobs = work.jobs();
    if *tried {
        match jobs.find(region, &description).await {
            Ok(Some(id)) => return Ok(Creation::Created(id)),
            Ok(None) => {}
            Err(failure) => return later(failure),
        }
    }
    let alias = work.settings().mrap.alias();
    let new = NewJob {
        region,
        what,
        token,
        description: &description,
        role: work.settings().batch_role.as_str(),
        report_bucket: bucket,
        report_prefix: &work.work_prefix(job),
        tags: &[("mrap-sentinel", alias), ("job", job.name.as_str())],
    };
    Ok(match jobs.create(&new).await {
        Created::Job(id) => Creation::Created(id),
        Created::Later(failure) => Creation::Throttled(failure.to_string()),
        Created::Refused(failure) => Creation::Refused(failure.to_string()),
        Created::TokenUsed => match jobs.find(region, &description).await {
            Ok(Some(id)) => Creation::Created(id),
            Ok(None) => Creation::Throttled(
                "S3 says that there is a job with this token, but does not list it yet".to_owned(),
            ),
            Err(failure) => return later(failure),
        },
    })
}

/// What a failed look for the job comes to: if it may pass, the next time looks again.
fn later(failure: Failure) -> Result<Creation, WorkError> {
    if is_passing(&failure) {
        Ok(Creation::Throttled(failure.to_string()))
    } else {
        Err(WorkError::Jobs(failure))
    }
}

/// Looks for a job whose creation was tried, without creating it.
///
/// # Errors
/// [`WorkError`].
pub async fn find(work: &Work<'_>, job: &Job) -> Result<Option<JobId>, WorkError> {
    let Phase::Create { token, .. } = &job.phase else {
        return Err(WorkError::Phase("create"));
    };
    let description = description(work, job, token);
    let found = work.jobs().find(work.region(job)?, &description).await;
    found.map_err(WorkError::Jobs)
}

/// Asks how the job stands. Where S3 has no time for an answer it counts as open.
///
/// # Errors
/// [`WorkError`].
pub async fn poll(work: &Work<'_>, job: &Job) -> Result<Polled, WorkError> {
    let Phase::Poll { id, created_at, .. } = &job.phase else {
        return Err(WorkError::Phase("poll"));
    };
    let facts = match work.jobs().describe(work.region(job)?, id).await {
        Err(failure) if is_passing(&failure) => return Ok(Polled::Open(Progress::default())),
        facts => facts.map_err(WorkError::Jobs)?,
    };
    let now = work.edge().now();
    let Some(facts) = facts else {
        if now.duration_since(*created_at) < PATIENCE {
            return Ok(Polled::Open(Progress::default()));
        }
        return Ok(Polled::Ended(Ended {
            id: id.clone(),
            status: EndStatus::Unknown,
            at: now,
            progress: Progress::default(),
            reasons: vec!["S3 does not know the job".to_owned()],
        }));
    };
    let status = match facts.progress.status.as_str() {
        "Complete" => EndStatus::Complete,
        "Failed" => EndStatus::Failed,
        "Cancelled" => EndStatus::Cancelled,
        _ => return Ok(Polled::Open(facts.progress)),
    };
    Ok(Polled::Ended(Ended {
        id: id.clone(),
        status,
        at: now,
        progress: facts.progress,
        reasons: facts.reasons,
    }))
}

/// By which the job is found in S3's list: unique, because the token is.
fn description(work: &Work<'_>, job: &Job, token: &Token) -> String {
    let alias = work.settings().mrap.alias();
    let short: String = token.as_str().chars().take(16).collect();
    format!("mrap-sentinel {alias} {} {short}", job.name)
}
