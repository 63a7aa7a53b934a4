//! What an alarm watches, told from its configuration.

use serde::{Deserialize, Serialize};

use super::AlarmTransition;

/// What an alarm watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// One metric against a threshold.
    Metric,
    /// An expression over metrics.
    MetricMath,
    /// A metric against an anomaly-detection band.
    Anomaly,
    /// A rule over other alarms.
    Composite,
    /// A Metrics Insights query, possibly over several time series.
    MetricsInsights,
    /// A `PromQL` query.
    #[serde(rename = "promql")]
    PromQl,
    /// A query over logs.
    Log,
    /// None of these, or the payload does not say.
    Unknown,
}

impl AlarmKind {
    /// The kind of a metric alarm by its expressions.
    pub(super) fn of_expressions<'a>(expressions: impl IntoIterator<Item = &'a str>) -> Self {
        let mut kind = Self::Metric;
        for expression in expressions {
            let text = expression.trim_start();
            if text.contains("ANOMALY_DETECTION_BAND") {
                return Self::Anomaly;
            }
            let is_query = text
                .get(..7)
                .is_some_and(|head| head.eq_ignore_ascii_case("SELECT "));
            if is_query {
                return Self::MetricsInsights;
            }
            kind = Self::MetricMath;
        }
        kind
    }
}

/// S3's replication metrics. They say how far the copies are behind, which an outage of either
/// side changes alike, so they can never tell which Region to leave.
const REPLICATION_METRICS: [&str; 4] = [
    "ReplicationLatency",
    "BytesPendingReplication",
    "OperationsPendingReplication",
    "OperationsFailedReplication",
];

/// Whether this is one of S3's replication metrics, whose alarms never trigger.
#[must_use]
pub fn is_replication_metric(namespace: &str, name: &str) -> bool {
    namespace == "AWS/S3" && REPLICATION_METRICS.contains(&name)
}

impl AlarmTransition {
    /// Whether any metric or expression of the alarm is about replication.
    ///
    /// A composite does not name its children's metrics: for it this is false.
    #[must_use]
    pub fn watches_replication(&self) -> bool {
        self.metrics
            .iter()
            .any(|metric| is_replication_metric(&metric.namespace, &metric.name))
            || self.expressions.iter().any(|text| names_replication(text))
    }
}

/// Whether one of the replication metrics stands in the text as a whole word.
fn names_replication(expression: &str) -> bool {
    expression
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| REPLICATION_METRICS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_expression() {
        let cases: [(&[&str], AlarmKind); 6] = [
            (&[], AlarmKind::Metric),
            (&["SUM(METRICS())"], AlarmKind::MetricMath),
            (&["ANOMALY_DETECTION_BAND(m1, 2)"], AlarmKind::Anomaly),
            (&["m1/m2", "ANOMALY_DETECTION_BAND(e1)"], AlarmKind::Anomaly),
            (
                &[" select MAX(x) FROM \"AWS/S3\""],
                AlarmKind::MetricsInsights,
            ),
            (&["SELECTOR", "ä"], AlarmKind::MetricMath),
        ];
        for (expressions, kind) in cases {
            assert_eq!(
                AlarmKind::of_expressions(expressions.iter().copied()),
                kind,
                "{expressions:?}"
            );
        }
    }

    #[test]
    fn replication_is_recognised_in_queries() {
        let cases = [
            ("SELECT MAX(ReplicationLatency) FROM \"AWS/S3\"", true),
            (
                "SEARCH('{AWS/S3,RuleId} MetricName=\"OperationsPendingReplication\"', 'Sum')",
                true,
            ),
            ("SELECT MAX(MyReplicationLatency) FROM \"App\"", false),
            ("m1 + m2", false),
            ("", false),
        ];
        for (expression, expected) in cases {
            assert_eq!(names_replication(expression), expected, "{expression}");
        }
        assert!(is_replication_metric("AWS/S3", "BytesPendingReplication"));
        assert!(!is_replication_metric("App", "BytesPendingReplication"));
        assert!(!is_replication_metric("AWS/S3", "5xxErrors"));
    }
}
