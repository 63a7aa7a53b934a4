//! S3 Batch Operations jobs that replicate what a manifest names.
//!
//! A job lives in the Region of its source bucket. Throttling is a 400 that only its code tells
//! from a refusal. What a repeated token is answered with is not documented, so both answers that
//! are possible are understood: the same job's id, or `IdempotencyException`.

use std::sync::Arc;

use aws_sdk_s3control::primitives::DateTime;
use aws_sdk_s3control::types::{
    JobDescriptor, JobFailure, JobManifest, JobManifestFieldName, JobManifestFormat,
    JobManifestGenerator, JobManifestGeneratorFilter, JobManifestLocation, JobManifestSpec,
    JobOperation, JobProgressSummary, JobReport, JobReportFormat, JobReportScope,
    ReplicationStatus, S3JobManifestGenerator, S3ReplicateObjectOperation, S3Tag,
};
use sentinel_core::names::{BucketName, Region};
use sentinel_core::redrive::job::{JobId, Manifest, Progress, Sweep, SweepStatus, Token};

use crate::edge::Edge;
use crate::failure::{Failure, failure_of, words};
use crate::limits::Purpose;

/// Jobs of one account.
#[derive(Debug, Clone)]
pub struct BatchJobs {
    edge: Arc<Edge>,
    account: String,
}

/// A job to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob<'a> {
    /// The Region of the source bucket.
    pub region: &'a Region,
    /// What it is to replicate.
    pub what: Work<'a>,
    /// Its token: with the same one S3 creates it at most once.
    pub token: &'a Token,
    /// By which it is found again; at most 256 characters, unique.
    pub description: &'a str,
    /// The role that S3 assumes.
    pub role: &'a str,
    /// Where its report goes.
    pub report_bucket: &'a BucketName,
    /// Under which prefix, without a slash at its end.
    pub report_prefix: &'a str,
    /// Tags.
    pub tags: &'a [(&'a str, &'a str)],
}

/// What a job is to replicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work<'a> {
    /// What this manifest names.
    Manifest(&'a Manifest),
    /// What S3 finds in this bucket.
    Sweep {
        /// The bucket.
        source: &'a BucketName,
        /// Which of its versions.
        filter: &'a Sweep,
    },
}

/// What came of creating a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It exists: by this request, or by an earlier one with the same token.
    Job(JobId),
    /// The token was used: look it up by its description.
    TokenUsed,
    /// S3 wants fewer requests, or gave no answer. In the latter case it may exist: look it up.
    Later(Failure),
    /// Refused; it does not exist.
    Refused(Failure),
}

/// What S3 says of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFacts {
    /// How far it is, with S3's word for its state.
    pub progress: Progress,
    /// Why it failed: code and words.
    pub reasons: Vec<String>,
}

impl BatchJobs {
    /// The jobs of this account, whose twelve digits are given.
    #[must_use]
    pub fn new(edge: Arc<Edge>, account: &str) -> Self {
        Self {
            edge,
            account: account.to_owned(),
        }
    }

    /// Creates a job.
    pub async fn create(&self, job: &NewJob<'_>) -> Created {
        let request = match self.request(job) {
            Ok(request) => request,
            Err(error) => {
                return Created::Refused(Failure::Client {
                    detail: words(&error),
                });
            }
        };
        let failure = match Box::pin(request.send()).await {
            Ok(answer) => match answer.job_id {
                Some(id) => return Created::Job(JobId(id)),
                None => Failure::Connection {
                    detail: "an answer without a job id".to_owned(),
                },
            },
            Err(error) => failure_of(&error),
        };
        match failure.code() {
            Some("IdempotencyException") => Created::TokenUsed,
            _ if is_passing(&failure) => Created::Later(failure),
            _ => Created::Refused(failure),
        }
    }

    /// The job with this description, if S3 lists one: of several the one that was listed first.
    ///
    /// # Errors
    /// How a request failed.
    pub async fn find(&self, region: &Region, description: &str) -> Result<Option<JobId>, Failure> {
        let mut next = None;
        loop {
            let request = self
                .client(region)
                .list_jobs()
                .account_id(&self.account)
                .max_results(LIST_PAGE)
                .set_next_token(next);
            let answer = Box::pin(request.send())
                .await
                .map_err(|error| failure_of(&error))?;
            let found = answer
                .jobs()
                .iter()
                .find(|job| job.description() == Some(description))
                .and_then(|job| job.job_id());
            if let Some(id) = found {
                return Ok(Some(JobId(id.to_owned())));
            }
            next = answer.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(None);
            }
        }
    }

    /// How a job stands; nothing if S3 does not know it, as it may shortly after its creation and
    /// does 90 days after its end.
    ///
    /// # Errors
    /// How the request failed.
    pub async fn describe(&self, region: &Region, id: &JobId) -> Result<Option<JobFacts>, Failure> {
        let request = self
            .client(region)
            .describe_job()
            .account_id(&self.account)
            .job_id(&id.0);
        match Box::pin(request.send()).await {
            Ok(answer) => match answer.job {
                Some(job) => Ok(Some(facts(&job))),
                None => Err(Failure::Connection {
                    detail: "an answer without a job".to_owned(),
                }),
            },
            Err(error) => match failure_of(&error) {
                failure if failure.status() == Some(404) => Ok(None),
                failure if matches!(failure.code(), Some("NoSuchJob" | "NotFoundException")) => {
                    Ok(None)
                }
                failure => Err(failure),
            },
        }
    }

    fn request(
        &self,
        job: &NewJob<'_>,
    ) -> Result<
        aws_sdk_s3control::operation::create_job::builders::CreateJobFluentBuilder,
        aws_sdk_s3control::error::BuildError,
    > {
        let replicate = S3ReplicateObjectOperation::builder().build();
        let operation = JobOperation::builder()
            .s3_replicate_object(replicate)
            .build();
        let report = JobReport::builder()
            .enabled(true)
            .bucket(arn(job.report_bucket))
            .prefix(job.report_prefix)
            .format(JobReportFormat::ReportCsv20180820)
            .report_scope(JobReportScope::AllTasks)
            .build();
        let tags = job
            .tags
            .iter()
            .map(|(key, value)| S3Tag::builder().key(*key).value(*value).build())
            .collect::<Result<Vec<_>, _>>()?;
        let request = self
            .client(job.region)
            .create_job()
            .account_id(&self.account)
            .client_request_token(job.token.as_str())
            .confirmation_required(false)
            .description(job.description)
            .priority(LOWEST_PRIORITY)
            .role_arn(job.role)
            .operation(operation)
            .report(report)
            .set_tags(Some(tags));
        Ok(match &job.what {
            Work::Manifest(manifest) => request.manifest(csv(manifest)?),
            Work::Sweep { source, filter } => {
                request.manifest_generator(self.generator(source, filter)?)
            }
        })
    }

    fn generator(
        &self,
        source: &BucketName,
        filter: &Sweep,
    ) -> Result<JobManifestGenerator, aws_sdk_s3control::error::BuildError> {
        let status = |status: &SweepStatus| match status {
            SweepStatus::Failed => ReplicationStatus::Failed,
            SweepStatus::None => ReplicationStatus::None,
            SweepStatus::Completed => ReplicationStatus::Completed,
            SweepStatus::Replica => ReplicationStatus::Replica,
        };
        let statuses = filter.statuses.iter().map(status).collect();
        let after = filter
            .created_after
            .map(|at| DateTime::from_secs(at.as_second()));
        let filter = JobManifestGeneratorFilter::builder()
            .eligible_for_replication(true)
            .set_object_replication_statuses(Some(statuses))
            .set_created_after(after)
            .build();
        let generator = S3JobManifestGenerator::builder()
            .expected_bucket_owner(&self.account)
            .source_bucket(arn(source))
            // The report names every version: a copy of the manifest would only cost.
            .enable_manifest_output(false)
            .filter(filter)
            .build()?;
        Ok(JobManifestGenerator::S3JobManifestGenerator(generator))
    }

    fn client(&self, region: &Region) -> aws_sdk_s3control::Client {
        self.edge.s3control(region, Purpose::Jobs)
    }
}

/// Other people's jobs go first.
const LOWEST_PRIORITY: i32 = 0;

/// Jobs in one page of a list: the most that S3 gives.
const LIST_PAGE: i32 = 1000;

fn arn(bucket: &BucketName) -> String {
    format!("arn:aws:s3:::{bucket}")
}

fn csv(manifest: &Manifest) -> Result<JobManifest, aws_sdk_s3control::error::BuildError> {
    let spec = JobManifestSpec::builder()
        .format(JobManifestFormat::S3BatchOperationsCsv20180820)
        .fields(JobManifestFieldName::Bucket)
        .fields(JobManifestFieldName::Key)
        .fields(JobManifestFieldName::VersionId)
        .build()?;
    let location = JobManifestLocation::builder()
        .object_arn(format!("{}/{}", arn(&manifest.bucket), manifest.key))
        .e_tag(&manifest.etag)
        .build()?;
    Ok(JobManifest::builder().spec(spec).location(location).build())
}

fn facts(job: &JobDescriptor) -> JobFacts {
    let count = |count: Option<i64>| count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let summary = job.progress_summary();
    let reason = |failure: &JobFailure| {
        let code = failure.failure_code().unwrap_or_default();
        let text = failure.failure_reason().unwrap_or_default();
        match (code, text) {
            ("", text) => text.to_owned(),
            (code, "") => code.to_owned(),
            (code, text) => format!("{code}: {text}"),
        }
    };
    JobFacts {
        progress: Progress {
            status: job
                .status()
                .map(|status| status.as_str().to_owned())
                .unwrap_or_default(),
            total: count(summary.and_then(JobProgressSummary::total_number_of_tasks)),
            succeeded: count(summary.and_then(JobProgressSummary::number_of_tasks_succeeded)),
            failed: count(summary.and_then(JobProgressSummary::number_of_tasks_failed)),
        },
        reasons: job.failure_reasons().iter().map(reason).collect(),
    }
}

/// Whether a failure may pass by itself, or leaves open whether a request was carried out:
/// throttling is a 400 that only its code tells.
#[must_use]
pub fn is_passing(failure: &Failure) -> bool {
    failure.is_ambiguous()
        || matches!(failure.status(), Some(408 | 429))
        || matches!(
            failure.code(),
            Some(
                "TooManyRequestsException"
                    | "TooManyRequests"
                    | "SlowDown"
                    | "Throttling"
                    | "ThrottlingException"
                    | "RequestThrottled"
                    | "RequestTimeout"
                    | "ServiceUnavailable"
            )
        )
}
