//! The job calls of S3 Control.

use std::collections::BTreeSet;

use fastrand::Rng;
use jiff::Timestamp;

use super::request::bad;
use super::{Job, JobRequest, Jobs};
use crate::SimTime;
use crate::call::{Call, Subject};
use crate::config::{RepeatedToken, UnknownJob};
use crate::log::sha256_hex;
use crate::time::calendar;
use crate::truth::JobState;
use crate::wire::xml::Writer;
use crate::wire::{Answer, ServiceError, query};

/// The present, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: SimTime,
    pub(crate) epoch: Timestamp,
}

impl Jobs {
    /// Serves a job call. The caller looks after jobs whose room or state changed.
    pub(crate) fn handle(
        &mut self,
        call: &Call,
        moment: Moment,
        rng: &mut Rng,
    ) -> Result<Answer, ServiceError> {
        let account = call
            .header("x-amz-account-id")
            .or(call.host_account.as_deref());
        if account != Some(self.account.as_str()) {
            return Err(ServiceError::new(403, "AccessDenied", "Access Denied"));
        }
        let id = match &call.subject {
            Subject::Jobs { id } => id.as_deref().unwrap_or_default(),
            _ => "",
        };
        match call.operation.as_str() {
            "CreateJob" => self.create(call, moment, rng),
            "ListJobs" => self.list(call, moment),
            "DescribeJob" => {
                let job = self.find(call, id, moment.now)?;
                Ok(self.describe(&self.list[job], moment.epoch))
            }
            "UpdateJobStatus" => self.update_status(call, id, moment.now, rng),
            "UpdateJobPriority" => self.update_priority(call, id, moment.now),
            _ => Err(ServiceError::new(
                405,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
            )),
        }
    }

    fn create(
        &mut self,
        call: &Call,
        moment: Moment,
        rng: &mut Rng,
    ) -> Result<Answer, ServiceError> {
        let request = JobRequest::read(&call.body, &self.account)?;
        let asked = sha256_hex(&call.body);
        let token = (call.region.clone(), request.token.clone());
        if let Some(twin) = self.by_token.get(&token) {
            let twin = &self.list[*twin];
            return match self.rules.repeated_token {
                RepeatedToken::SameJob if twin.asked == asked => Ok(created(&twin.id)),
                _ => Err(ServiceError::new(
                    400,
                    "IdempotencyException",
                    "A job with this ClientRequestToken exists already",
                )),
            };
        }
        let job = self.add(&call.region, request, asked, moment.now, rng);
        Ok(created(&self.list[job].id))
    }

    /// A job of the call's Region that can be described.
    fn find(&self, call: &Call, id: &str, now: SimTime) -> Result<usize, ServiceError> {
        self.position(id)
            .filter(|place| self.is_shown(&self.list[*place], &call.region, now))
            .ok_or_else(|| {
                let code = match self.rules.unknown_job {
                    UnknownJob::NotFoundException => "NotFoundException",
                    UnknownJob::NoSuchJob => "NoSuchJob",
                };
                ServiceError::new(404, code, "No such job")
            })
    }

    fn is_shown(&self, job: &Job, region: &str, now: SimTime) -> bool {
        let retention = std::time::Duration::from_millis(self.timing.job_retention);
        job.region == region
            && job.known_from <= now
            && job.terminated.is_none_or(|end| now.since(end) <= retention)
    }

    fn list(&self, call: &Call, moment: Moment) -> Result<Answer, ServiceError> {
        let invalid = |message: &str| ServiceError::new(400, "InvalidRequestException", message);
        let limit = match call.query.get("maxResults") {
            None => 1000,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| *limit <= 1000)
                .ok_or_else(|| invalid("maxResults must be between 0 and 1000"))?,
        };
        let limit = if limit == 0 { 1000 } else { limit };
        let wanted = query::all(&call.raw_query, "jobStatuses")
            .iter()
            .map(|name| JobState::of_name(name))
            .collect::<Option<BTreeSet<JobState>>>()
            .ok_or_else(|| invalid("jobStatuses has an unknown status"))?;
        // A token is the place of the oldest job shown so far: newer ones do not shift the pages.
        let below = match call.query.get("nextToken") {
            None => self.list.len(),
            Some(token) => token
                .strip_prefix("below-")
                .and_then(|place| place.parse().ok())
                .ok_or_else(|| {
                    let message = "The token is none of this operation";
                    ServiceError::new(400, "InvalidNextTokenException", message)
                })?,
        };
        let mut jobs = self
            .list
            .iter()
            .enumerate()
            .take(below)
            .rev()
            .filter(|(_, job)| self.is_shown(job, &call.region, moment.now))
            .filter(|(_, job)| wanted.is_empty() || wanted.contains(&job.state));
        let page: Vec<(usize, &Job)> = jobs.by_ref().take(limit).collect();
        let truncated = jobs.next().is_some();
        let mut xml = Writer::new();
        xml.element("ListJobsResult", |w| {
            if let Some((place, _)) = page.last().filter(|_| truncated) {
                w.text("NextToken", format!("below-{place}"));
            }
            w.element("Jobs", |w| {
                for (_, job) in &page {
                    w.element("member", |w| summary(w, job, moment.epoch));
                }
            });
        });
        Ok(Answer::new(200).xml(xml.finish()))
    }

    fn describe(&self, job: &Job, epoch: Timestamp) -> Answer {
        let mut xml = Writer::new();
        xml.element("DescribeJobResult", |w| {
            w.element("Job", |w| {
                w.text("JobId", &job.id);
                let confirmation = job.request.confirmation;
                w.text("ConfirmationRequired", confirmation.to_string());
                if let Some(description) = &job.request.description {
                    w.text("Description", description);
                }
                w.text("JobArn", job.arn(&self.account));
                w.text("Status", job.state.as_str());
                for element in &job.request.shown {
                    w.copy(element);
                }
                w.text("Priority", job.priority.to_string());
                progress(w, job);
                if let Some(reason) = &job.reason {
                    w.text("StatusUpdateReason", reason);
                }
                if !job.failures.is_empty() {
                    w.element("FailureReasons", |w| {
                        for (code, reason) in &job.failures {
                            w.element("member", |w| {
                                w.text("FailureCode", code);
                                w.text("FailureReason", reason);
                            });
                        }
                    });
                }
                w.text("CreationTime", iso(epoch, job.created));
                if let Some(end) = job.terminated {
                    w.text("TerminationDate", iso(epoch, end));
                }
                w.text("RoleArn", &job.request.role_arn);
                if let Some(since) = job.suspended_since {
                    w.text("SuspendedDate", iso(epoch, since));
                    w.text("SuspendedCause", "AwaitingConfirmation");
                }
                if let Some(generated) = &job.generated {
                    w.element("GeneratedManifestDescriptor", |w| {
                        w.text("Format", "S3InventoryReport_CSV_20211130");
                        w.element("Location", |w| {
                            let arn =
                                format!("arn:aws:s3:::{}/{}", generated.bucket, generated.key);
                            w.text("ObjectArn", arn);
                            w.text("ETag", &generated.etag);
                        });
                    });
                }
            });
        });
        Answer::new(200).xml(xml.finish())
    }

    fn update_status(
        &mut self,
        call: &Call,
        id: &str,
        now: SimTime,
        rng: &mut Rng,
    ) -> Result<Answer, ServiceError> {
        let place = self.find(call, id, now)?;
        let reason = call.query.get("statusUpdateReason");
        if reason.is_some_and(|reason| !(1..=256).contains(&reason.chars().count())) {
            return Err(bad("statusUpdateReason must have 1 to 256 characters"));
        }
        let state = self.list[place].state;
        let next = match call.query.get("requestedJobStatus").map(String::as_str) {
            Some("Cancelled") if state.can_be_cancelled() => JobState::Cancelling,
            Some("Ready") if state == JobState::Suspended => JobState::Ready,
            Some(wanted @ ("Cancelled" | "Ready")) => {
                let message = format!("A job that is {} cannot become {wanted}", state.as_str());
                return Err(ServiceError::new(400, "JobStatusException", message));
            }
            _ => return Err(bad("requestedJobStatus must be Cancelled or Ready")),
        };
        self.list[place].reason = reason.cloned();
        self.enter(place, next, now, rng);
        let mut xml = Writer::new();
        xml.element("UpdateJobStatusResult", |w| {
            w.text("JobId", id);
            w.text("Status", next.as_str());
            if let Some(reason) = reason {
                w.text("StatusUpdateReason", reason);
            }
        });
        Ok(Answer::new(200).xml(xml.finish()))
    }

    fn update_priority(
        &mut self,
        call: &Call,
        id: &str,
        now: SimTime,
    ) -> Result<Answer, ServiceError> {
        let place = self.find(call, id, now)?;
        let priority = call
            .query
            .get("priority")
            .and_then(|text| text.parse().ok());
        let priority = priority
            .filter(|priority| i32::try_from(*priority).is_ok())
            .ok_or_else(|| bad("priority must be between 0 and 2147483647"))?;
        if self.list[place].is_over() {
            return Err(bad("The job is over"));
        }
        self.list[place].priority = priority;
        let mut xml = Writer::new();
        xml.element("UpdateJobPriorityResult", |w| {
            w.text("JobId", id);
            w.text("Priority", priority.to_string());
        });
        Ok(Answer::new(200).xml(xml.finish()))
    }
}

fn created(id: &str) -> Answer {
    let mut xml = Writer::new();
    xml.element("CreateJobResult", |w| w.text("JobId", id));
    Answer::new(200).xml(xml.finish())
}

fn summary(w: &mut Writer, job: &Job, epoch: Timestamp) {
    w.text("JobId", &job.id);
    if let Some(description) = &job.request.description {
        w.text("Description", description);
    }
    w.text("Operation", "S3ReplicateObject");
    w.text("Priority", job.priority.to_string());
    w.text("Status", job.state.as_str());
    w.text("CreationTime", iso(epoch, job.created));
    if let Some(end) = job.terminated {
        w.text("TerminationDate", iso(epoch, end));
    }
    progress(w, job);
}

fn progress(w: &mut Writer, job: &Job) {
    w.element("ProgressSummary", |w| {
        w.text("TotalNumberOfTasks", job.total.unwrap_or(0).to_string());
        w.text("NumberOfTasksSucceeded", job.succeeded.to_string());
        w.text("NumberOfTasksFailed", job.failed.to_string());
        w.element("Timers", |w| {
            let seconds = job.active_millis / 1000;
            w.text("ElapsedTimeInActiveSeconds", seconds.to_string());
        });
    });
}

pub(crate) fn iso(epoch: Timestamp, at: SimTime) -> String {
    calendar(epoch, at)
        .strftime("%Y-%m-%dT%H:%M:%S.%3fZ")
        .to_string()
}
