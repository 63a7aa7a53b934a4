//! How large a bucket is, by the figures that S3 publishes once a day.
//!
//! `NumberOfObjects` counts all versions of all storage classes; `BucketSizeBytes` comes by storage
//! class (S3 user guide, "Metrics and dimensions"). Both lie in the bucket's own Region.

use std::sync::Arc;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy,
};
use jiff::{SignedDuration, Timestamp};
use sentinel_core::names::Member;
use sentinel_core::redrive::operator::Measured;

use crate::edge::Edge;
use crate::failure::{Failure, failure_of};
use crate::limits::Purpose;

/// Why a bucket's size could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the daily figures of {bucket} could not be read: {failure}")]
pub struct SizeError {
    /// The bucket.
    pub bucket: String,
    /// How the request failed.
    pub failure: Failure,
}

/// How far back a daily figure still counts.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(72);

/// The storage classes whose bytes are published apart.
const CLASSES: [&str; 12] = [
    "StandardStorage",
    "IntelligentTieringFAStorage",
    "IntelligentTieringIAStorage",
    "IntelligentTieringAAStorage",
    "IntelligentTieringAIAStorage",
    "IntelligentTieringDAAStorage",
    "StandardIAStorage",
    "OneZoneIAStorage",
    "ReducedRedundancyStorage",
    "GlacierInstantRetrievalStorage",
    "GlacierStorage",
    "DeepArchiveStorage",
];

/// The newest daily figures of a member's bucket before `now`; what S3 has not published is
/// absent, never 0.
///
/// # Errors
/// [`SizeError`] if CloudWatch of the bucket's Region does not tell by `until`.
pub async fn bucket_size(
    edge: &Arc<Edge>,
    member: &Member,
    now: Timestamp,
    until: Timestamp,
) -> Result<Measured, SizeError> {
    let bucket = member.bucket.as_str();
    let mut request = edge
        .cloudwatch(&member.region, Purpose::Alarms)
        .get_metric_data()
        .start_time(DateTime::from_secs((now - LOOK_BACK).as_second()))
        .end_time(DateTime::from_secs(now.as_second()))
        .scan_by(ScanBy::TimestampDescending)
        .metric_data_queries(query(
            "objects".to_owned(),
            "NumberOfObjects",
            bucket,
            "AllStorageTypes",
        ));
    for (index, class) in CLASSES.iter().enumerate() {
        let id = format!("b{index}");
        request = request.metric_data_queries(query(id, "BucketSizeBytes", bucket, class));
    }
    let failed = |failure| SizeError {
        bucket: bucket.to_owned(),
        failure,
    };
    let answer = edge
        .within(edge.left(until), request.send())
        .await
        .ok_or_else(|| failed(Failure::Deadline))?
        .map_err(|error| failed(failure_of(&error)))?;
    let newest = |id: &str| {
        answer
            .metric_data_results()
            .iter()
            .filter(|result| result.id() == Some(id))
            .find_map(newest_value)
    };
    let bytes = (0..CLASSES.len())
        .filter_map(|index| newest(&format!("b{index}")))
        .reduce(u64::saturating_add);
    Ok(Measured {
        objects: newest("objects"),
        bytes,
    })
}

fn query(id: String, name: &str, bucket: &str, class: &str) -> MetricDataQuery {
    let is = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let metric = Metric::builder()
        .namespace("AWS/S3")
        .metric_name(name)
        .dimensions(is("BucketName", bucket))
        .dimensions(is("StorageType", class))
        .build();
    let stat = MetricStat::builder()
        .metric(metric)
        .period(86_400)
        .stat("Average")
        .build();
    MetricDataQuery::builder().id(id).metric_stat(stat).build()
}

/// The newest value of a series that is sorted by time, newest first.
fn newest_value(result: &MetricDataResult) -> Option<u64> {
    let value = *result.values().first()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and a size is neither negative nor fractional"
    )]
    Some(value as u64)
}
