//! All replication metrics of one ordered pair of members.
//!
//! What is pending and how long copying takes stands in the destination's Region, what failed in
//! the source's (S3 user guide, "Monitoring replication with metrics"). Either half is told although
//! the other Region is down.

use std::sync::Arc;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{MetricDataResult, ScanBy};
use futures_util::future::join;
use jiff::Timestamp;
use sentinel_core::evidence::PairMetrics;
use sentinel_core::names::{Member, Region};

use crate::edge::Edge;
use crate::failure::{Failure, failure_of};
use crate::limits::Purpose;
use crate::pending::{BYTES, LOOK_BACK, OPERATIONS, newest_value, query, rules};

const LATENCY: &str = "ReplicationLatency";
const FAILED: &str = "OperationsFailedReplication";

/// Why one half of a pair's metrics could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the replication metrics of {bucket} could not be read in {region}: {failure}")]
pub struct PairError {
    /// The source bucket.
    pub bucket: String,
    /// The Region that was asked.
    pub region: Region,
    /// How the request failed.
    pub failure: Failure,
}

/// Reads the metrics of pairs.
#[derive(Debug, Clone)]
pub struct PairReader {
    edge: Arc<Edge>,
}

impl PairReader {
    /// Over this edge.
    #[must_use]
    pub fn new(edge: Arc<Edge>) -> Self {
        Self { edge }
    }

    /// What S3 told of a pair in the quarter of an hour before `at`, and what could not be asked.
    /// Returns by `until`.
    pub async fn read(
        &self,
        source: &Member,
        target: &Member,
        at: Timestamp,
        until: Timestamp,
    ) -> (PairMetrics, Vec<PairError>) {
        let names = [OPERATIONS, BYTES, LATENCY].map(|name| (name, "Maximum"));
        let (there, here) = join(
            self.series(&target.region, (source, target), &names, at, until),
            self.series(
                &source.region,
                (source, target),
                &[(FAILED, "Sum")],
                at,
                until,
            ),
        )
        .await;
        let mut metrics = PairMetrics::default();
        let mut errors = Vec::new();
        match there {
            Ok(series) => {
                metrics.pending_operations = newest(&series, 0).map(|(_, sum)| sum);
                metrics.pending_bytes = newest(&series, 1).map(|(_, sum)| sum);
                metrics.latency_seconds = longest(&series, 2);
                metrics.at = newest(&series, 0).map(|(at, _)| at);
            }
            Err(error) => errors.push(error),
        }
        match here {
            Ok(series) => metrics.failed_operations = total(&series, 0),
            Err(error) => errors.push(error),
        }
        (metrics, errors)
    }

    /// The series of these metrics for every rule that has data of the first.
    async fn series(
        &self,
        region: &Region,
        (source, target): (&Member, &Member),
        names: &[(&str, &str)],
        at: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<MetricDataResult>, PairError> {
        let client = self.edge.cloudwatch(region, Purpose::Alarms);
        let work = async {
            let first = names.first().map_or(OPERATIONS, |(name, _)| name);
            let rules = rules(&client, first, source, target).await?;
            if rules.is_empty() {
                return Ok(Vec::new());
            }
            let mut request = client
                .get_metric_data()
                .start_time(DateTime::from_secs((at - LOOK_BACK).as_second()))
                // The end is exclusive.
                .end_time(DateTime::from_secs(at.as_second() + 1))
                .scan_by(ScanBy::TimestampDescending);
            for (index, rule) in rules.iter().enumerate() {
                for (position, name) in names.iter().enumerate() {
                    let id = format!("m{position}r{index}");
                    request = request.metric_data_queries(query(id, *name, source, target, rule));
                }
            }
            let answer = request.send().await.map_err(|error| failure_of(&error))?;
            Ok(answer.metric_data_results.unwrap_or_default())
        };
        let done = self.edge.within(self.edge.left(until), work).await;
        done.unwrap_or(Err(Failure::Deadline))
            .map_err(|failure| PairError {
                bucket: source.bucket.to_string(),
                region: region.clone(),
                failure,
            })
    }
}

/// The series of one metric, one for each rule.
fn of(series: &[MetricDataResult], position: usize) -> impl Iterator<Item = &MetricDataResult> {
    let prefix = format!("m{position}r");
    series
        .iter()
        .filter(move |one| one.id().is_some_and(|id| id.starts_with(&prefix)))
}

/// The newest values, summed over the rules; as old as the oldest of them.
fn newest(series: &[MetricDataResult], position: usize) -> Option<(Timestamp, u64)> {
    of(series, position)
        .filter_map(newest_value)
        .reduce(|(at, sum), (next_at, value)| (at.min(next_at), sum.saturating_add(value)))
}

/// The largest of the newest values.
fn longest(series: &[MetricDataResult], position: usize) -> Option<u64> {
    of(series, position)
        .filter_map(newest_value)
        .map(|(_, value)| value)
        .max()
}

/// All values together. None if nothing was told.
fn total(series: &[MetricDataResult], position: usize) -> Option<u64> {
    let values: Vec<f64> = of(series, position)
        .flat_map(|one| one.values().iter().copied())
        .collect();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and a count is neither negative nor fractional"
    )]
    (!values.is_empty()).then(|| values.iter().sum::<f64>() as u64)
}
