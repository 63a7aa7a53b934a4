//! What replication still had to copy: the pending metrics of one ordered pair of members.
//!
//! S3 publishes them by the minute and rule, in the Region of the destination, under the
//! dimensions `SourceBucket`, `DestinationBucket` and `RuleId` (S3 user guide, "Monitoring
//! replication with metrics"). So they can be read while the source's Region is down.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, DimensionFilter, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy,
};
use jiff::{SignedDuration, Timestamp};
use sentinel_core::decide::Drain;
use sentinel_core::names::Member;

use crate::edge::Edge;
use crate::failure::{Failure, failure_of};
use crate::limits::Purpose;

/// What waited to be replicated, all rules of the pair together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Object operations.
    pub operations: u64,
    /// Bytes, if told for every rule.
    pub bytes: Option<u64>,
    /// The minute for which S3 said so; with several rules the oldest of theirs.
    pub at: Timestamp,
}

/// Why the pending metrics could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pending replication metrics of {source_bucket} could not be read: {failure}")]
pub struct PendingError {
    /// The source bucket.
    pub source_bucket: String,
    /// How the request failed.
    pub failure: Failure,
}

/// Reads replication metrics.
#[derive(Debug, Clone)]
pub struct PendingMetrics {
    edge: Arc<Edge>,
}

impl PendingMetrics {
    /// Over this edge.
    #[must_use]
    pub fn new(edge: Arc<Edge>) -> Self {
        Self { edge }
    }

    /// The last values at or before `at`, `None` if there were none in the quarter of an hour
    /// before it. Returns by `until`.
    ///
    /// # Errors
    /// [`PendingError`] if CloudWatch of the target's Region, which holds these metrics, does not tell.
    pub async fn pending(
        &self,
        source: &Member,
        target: &Member,
        at: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Pending>, PendingError> {
        let client = self.edge.cloudwatch(&target.region, Purpose::Alarms);
        let work = async {
            let rules = rules(&client, OPERATIONS, source, target).await?;
            if rules.is_empty() {
                return Ok(None);
            }
            latest(&client, source, target, &rules, at).await
        };
        let done = self.edge.within(self.edge.left(until), work).await;
        done.unwrap_or(Err(Failure::Deadline))
            .map_err(|failure| PendingError {
                source_bucket: source.bucket.to_string(),
                failure,
            })
    }

    /// What was pending over the `window` that ends with the newest values at or before `at`, rule
    /// by rule. A rule without any value is left out: it is no longer there, or has never been.
    /// Returns by `until`.
    ///
    /// # Errors
    /// [`PendingError`] if CloudWatch of the target's Region, which holds these metrics, does not tell.
    pub async fn drains(
        &self,
        source: &Member,
        target: &Member,
        window: SignedDuration,
        (at, until): (Timestamp, Timestamp),
    ) -> Result<Vec<Drain>, PendingError> {
        let client = self.edge.cloudwatch(&target.region, Purpose::Alarms);
        let work = async {
            let rules = rules(&client, OPERATIONS, source, target).await?;
            if rules.is_empty() {
                return Ok(Vec::new());
            }
            let start = at - window - LOOK_BACK;
            let points = points(&client, (source, target), &rules, (start, at)).await?;
            Ok(points
                .iter()
                .filter_map(|points| Drain::of(points, window))
                .collect())
        };
        let done = self.edge.within(self.edge.left(until), work).await;
        done.unwrap_or(Err(Failure::Deadline))
            .map_err(|failure| PendingError {
                source_bucket: source.bucket.to_string(),
                failure,
            })
    }
}

const NAMESPACE: &str = "AWS/S3";
pub(crate) const OPERATIONS: &str = "OperationsPendingReplication";
pub(crate) const BYTES: &str = "BytesPendingReplication";

/// How far back a value still speaks of `at`.
pub(crate) const LOOK_BACK: SignedDuration = SignedDuration::from_mins(15);

/// The rules from source to target for which there are data of this metric.
pub(crate) async fn rules(
    client: &Client,
    metric: &str,
    source: &Member,
    target: &Member,
) -> Result<BTreeSet<String>, Failure> {
    let is = |name: &str, value: &str| DimensionFilter::builder().name(name).value(value).build();
    let mut rules = BTreeSet::new();
    let mut token = None;
    loop {
        let page = client
            .list_metrics()
            .namespace(NAMESPACE)
            .metric_name(metric)
            .dimensions(is("SourceBucket", source.bucket.as_str()))
            .dimensions(is("DestinationBucket", target.bucket.as_str()))
            .set_next_token(token)
            .send()
            .await
            .map_err(|error| failure_of(&error))?;
        rules.extend(
            page.metrics()
                .iter()
                .flat_map(Metric::dimensions)
                .filter(|dimension| dimension.name() == Some("RuleId"))
                .filter_map(|dimension| dimension.value().map(str::to_owned)),
        );
        token = page.next_token;
        if token.is_none() {
            return Ok(rules);
        }
    }
}

/// The newest values at or before `at`, summed over the rules.
async fn latest(
    client: &Client,
    source: &Member,
    target: &Member,
    rules: &BTreeSet<String>,
    at: Timestamp,
) -> Result<Option<Pending>, Failure> {
    let mut request = client
        .get_metric_data()
        .start_time(DateTime::from_secs((at - LOOK_BACK).as_second()))
        // The end is exclusive.
        .end_time(DateTime::from_secs(at.as_second() + 1))
        .scan_by(ScanBy::TimestampDescending);
    for (index, rule) in rules.iter().enumerate() {
        request = request
            .metric_data_queries(query(
                format!("o{index}"),
                (OPERATIONS, "Maximum"),
                source,
                target,
                rule,
            ))
            .metric_data_queries(query(
                format!("b{index}"),
                (BYTES, "Maximum"),
                source,
                target,
                rule,
            ));
    }
    let answer = request.send().await.map_err(|error| failure_of(&error))?;
    let newest = |id: String| {
        answer
            .metric_data_results()
            .iter()
            .filter(|result| result.id() == Some(id.as_str()))
            .find_map(newest_value)
    };
    let mut pending: Option<Pending> = None;
    for index in 0..rules.len() {
        // A rule that fell silent long ago is no longer there.
        let Some((told_at, operations)) = newest(format!("o{index}")) else {
            continue;
        };
        let bytes = newest(format!("b{index}")).map(|(_, bytes)| bytes);
        pending = Some(match pending {
            None => Pending {
                operations,
                bytes,
                at: told_at,
            },
            Some(sum) => Pending {
                operations: sum.operations.saturating_add(operations),
                bytes: sum.bytes.zip(bytes).map(|(a, b)| a.saturating_add(b)),
                at: sum.at.min(told_at),
            },
        });
    }
    Ok(pending)
}

/// One rule's data points, in no particular order.
type Points = Vec<(Timestamp, u64)>;

/// Rules that one call asks about: it takes up to 500 queries.
const RULES_PER_CALL: usize = 100;

/// Operations pending by the minute, for each rule.
async fn points(
    client: &Client,
    (source, target): (&Member, &Member),
    rules: &BTreeSet<String>,
    (start, end): (Timestamp, Timestamp),
) -> Result<Vec<Points>, Failure> {
    let rules: Vec<&String> = rules.iter().collect();
    let mut all = Vec::with_capacity(rules.len());
    for batch in rules.chunks(RULES_PER_CALL) {
        let mut found = vec![Points::new(); batch.len()];
        let mut token = None;
        loop {
            let mut request = client
                .get_metric_data()
                .start_time(DateTime::from_secs(start.as_second()))
                // The end is exclusive.
                .end_time(DateTime::from_secs(end.as_second() + 1))
                .scan_by(ScanBy::TimestampDescending)
                .set_next_token(token);
            for (index, rule) in batch.iter().enumerate() {
                let query = query(
                    format!("o{index}"),
                    (OPERATIONS, "Maximum"),
                    source,
                    target,
                    rule,
                );
                request = request.metric_data_queries(query);
            }
            let page = request.send().await.map_err(|error| failure_of(&error))?;
            for (index, points) in found.iter_mut().enumerate() {
                let id = format!("o{index}");
                let results = page.metric_data_results().iter();
                for result in results.filter(|result| result.id() == Some(id.as_str())) {
                    points.extend(values(result));
                }
            }
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        all.extend(found);
    }
    Ok(all)
}

/// One metric of one rule by the minute: its name and its statistic.
pub(crate) fn query(
    id: String,
    (name, statistic): (&str, &str),
    source: &Member,
    target: &Member,
    rule: &str,
) -> MetricDataQuery {
    let is = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let metric = Metric::builder()
        .namespace(NAMESPACE)
        .metric_name(name)
        .dimensions(is("SourceBucket", source.bucket.as_str()))
        .dimensions(is("DestinationBucket", target.bucket.as_str()))
        .dimensions(is("RuleId", rule))
        .build();
    let stat = MetricStat::builder()
        .metric(metric)
        .period(60)
        .stat(statistic)
        .build();
    MetricDataQuery::builder().id(id).metric_stat(stat).build()
}

/// The newest value of a series that is sorted by time, newest first.
pub(crate) fn newest_value(result: &MetricDataResult) -> Option<(Timestamp, u64)> {
    values(result).next()
}

/// The values of a series.
fn values(result: &MetricDataResult) -> impl Iterator<Item = (Timestamp, u64)> {
    let points = result.timestamps().iter().zip(result.values());
    points.filter_map(|(at, value)| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, and a count is neither negative nor fractional"
        )]
        Some((Timestamp::from_second(at.secs()).ok()?, *value as u64))
    })
}
