//! One record of an event notification.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::key::{KeyError, decode};
use super::{Event, Failure, Lag};
use crate::excerpt::Excerpt;
use crate::ledger::{Destination, Group, Millis};
use crate::names::{BucketName, NameError};

/// The major version of the format that is read. Its minors only add to it.
const MAJOR: &str = "2";

/// Longest rule id, reason and version id that are taken, in bytes. AWS's own are shorter by far.
const MAX_TEXT: usize = 1024;

/// The reason of a failure that gives none.
const NO_REASON: &str = "(none)";

/// When S3 began, in Unix seconds: no event is older.
const S3_BEGAN: i64 = 1_142_294_400;

/// Why a record was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is no record of S3.
    #[error("it comes from {0}, not from aws:s3")]
    Source(String),
    /// It is written in a format whose major version is another one.
    #[error(
        "its eventVersion is {0}, this version reads {MAJOR}.x: deploy a version that knows it, then re-drive the dead-letter queue"
    )]
    Version(String),
    /// It is an event, but none of replication.
    #[error(
        "it is the event {0}, not one of replication: let the bucket's notification name s3:Replication:* events only"
    )]
    Name(String),
    /// A field is missing.
    #[error("it has no {field}{hint}")]
    Missing {
        /// Its path.
        field: &'static str,
        /// What that means, if it is known to mean something.
        hint: &'static str,
    },
    /// A field is not what it should be.
    #[error("its {field} is not {expected}")]
    Field {
        /// Its path.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A bucket's name is none.
    #[error("its {field} is no bucket")]
    Bucket {
        /// The field's path.
        field: &'static str,
        /// Why.
        source: NameError,
    },
    /// The key is none.
    #[error("its s3.object.key cannot be read")]
    Key(#[source] KeyError),
}

fn missing(field: &'static str) -> RecordError {
    RecordError::Missing { field, hint: "" }
}

/// The value at a path such as `s3.bucket.name`; nothing for `null`.
fn at<'a>(record: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(record, |value, name| value.get(name))
        .filter(|value| !value.is_null())
}

fn text<'a>(record: &'a Value, field: &'static str) -> Result<&'a str, RecordError> {
    let value = at(record, field).ok_or_else(|| missing(field))?;
    value.as_str().ok_or(RecordError::Field {
        field,
        expected: "text",
    })
}

/// A text that becomes part of a file's line or of a group's name.
fn bounded<'a>(field: &'static str, text: &'a str) -> Result<&'a str, RecordError> {
    // A zero byte would separate what is hashed.
    if text.len() <= MAX_TEXT && !text.contains('\0') {
        return Ok(text);
    }
    Err(RecordError::Field {
        field,
        expected: "a text of at most 1,024 bytes without zero bytes",
    })
}

/// Reads a record.
pub(super) fn read(record: &Value) -> Result<Event, RecordError> {
    if !record.is_object() {
        return Err(RecordError::Field {
            field: "content",
            expected: "an object",
        });
    }
    let source = text(record, "eventSource")?;
    if source != "aws:s3" {
        return Err(RecordError::Source(Excerpt(source).to_string()));
    }
    let version = text(record, "eventVersion")?;
    if version.split('.').next() != Some(MAJOR) {
        return Err(RecordError::Version(Excerpt(version).to_string()));
    }
    let name = text(record, "eventName")?;
    // Configurations write the same names with this prefix.
    match name.strip_prefix("s3:").unwrap_or(name) {
        "Replication:OperationFailedReplication" => failure(record).map(Event::Failed),
        "Replication:OperationMissedThreshold" => lag(record).map(Event::MissedThreshold),
        "Replication:OperationNotTracked" => lag(record).map(Event::NotTracked),
        "Replication:OperationReplicatedAfterThreshold" => {
            lag(record).map(Event::ReplicatedAfterThreshold)
        }
        _ => Err(RecordError::Name(Excerpt(name).to_string())),
    }
}

fn failure(record: &Value) -> Result<Failure, RecordError> {
    let (source, destination, rule) = pair(record)?;
    let field = "replicationEventData.failureReason";
    // Blanks around a reason are AWS's; without any the failure is one all the same.
    let reason = match at(record, field) {
        None => "",
        Some(_) => bounded(field, text(record, field)?)?.trim(),
    };
    let group = Group {
        source,
        destination: Destination::Bucket(destination),
        rule,
        reason: if reason.is_empty() { NO_REASON } else { reason }.to_owned(),
    };
    Ok(Failure {
        key: key(record)?,
        version: version(record)?,
        failed_at: Millis::from(event_time(record)?),
        requested_at: request_time(record),
        operation: at(record, "replicationEventData.s3Operation")
            .and_then(Value::as_str)
            .map(str::to_owned),
        size: at(record, "s3.object.size").and_then(Value::as_u64),
        group,
    })
}

fn lag(record: &Value) -> Result<Lag, RecordError> {
    let (source, destination, rule) = pair(record)?;
    let at = event_time(record)?;
    let delay = request_time(record).map(|requested| at.duration_since(requested));
    Ok(Lag {
        source,
        destination,
        rule,
        at,
        // Two clocks of S3 may tell a little less than nothing.
        delay: delay.map(|delay| delay.max(SignedDuration::ZERO)),
    })
}

/// Source bucket, destination bucket and rule.
fn pair(record: &Value) -> Result<(BucketName, BucketName, String), RecordError> {
    let field = "s3.bucket.name";
    let source = text(record, field)?
        .parse()
        .map_err(|source| RecordError::Bucket { field, source })?;
    let field = "replicationEventData.destinationBucket";
    let destination = text(record, field)?;
    // S3 names it by its ARN, of whatever partition.
    let bucket = match destination.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "s3", "", "", bucket] => bucket,
        _ => destination,
    };
    let destination = bucket
        .parse()
        .map_err(|source| RecordError::Bucket { field, source })?;
    let field = "replicationEventData.replicationRuleId";
    let rule = bounded(field, text(record, field)?)?.to_owned();
    Ok((source, destination, rule))
}

fn key(record: &Value) -> Result<String, RecordError> {
    decode(text(record, "s3.object.key")?).map_err(RecordError::Key)
}

fn version(record: &Value) -> Result<String, RecordError> {
    let field = "s3.object.versionId";
    let version = match at(record, field) {
        None => "",
        Some(_) => bounded(field, text(record, field)?)?,
    };
    if version.is_empty() {
        return Err(RecordError::Missing {
            field,
            hint: ": only versions can be replicated, so the bucket's versioning was off",
        });
    }
    Ok(version.to_owned())
}

fn event_time(record: &Value) -> Result<Timestamp, RecordError> {
    let field = "eventTime";
    let time: Option<Timestamp> = text(record, field)?.parse().ok();
    time.filter(|time| time.as_second() >= S3_BEGAN && *time <= Millis::MAX.timestamp())
        .ok_or(RecordError::Field {
            field,
            expected: "a time such as 2026-11-20T16:59:03.250Z, after 2006 and before 2286",
        })
}

/// When the operation was asked for. It says nothing that a failure depends on, so what cannot be
/// read of it is left out.
fn request_time(record: &Value) -> Option<Timestamp> {
    at(record, "replicationEventData.requestTime")?
        .as_str()?
        .parse()
        .ok()
}
