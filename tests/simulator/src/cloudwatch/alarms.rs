//! Alarm definitions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Resolution;
use crate::SimTime;

/// State of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    /// Not in alarm.
    Ok,
    /// In alarm.
    Alarm,
    /// Not enough data to tell.
    InsufficientData,
}

impl AlarmState {
    /// As AWS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

/// A metric of one Region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricName {
    /// Such as `AWS/S3`.
    pub namespace: String,
    /// Such as `5xxErrors`.
    pub name: String,
    /// Dimensions.
    #[serde(default)]
    pub dimensions: BTreeMap<String, String>,
}

impl MetricName {
    /// A metric without dimensions.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            dimensions: BTreeMap::new(),
        }
    }

    /// Adds a dimension.
    #[must_use]
    pub fn dimension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.dimensions.insert(name.into(), value.into());
        self
    }

    /// A request metric of a whole bucket, such as `5xxErrors` or `AllRequests`.
    #[must_use]
    pub fn of_bucket(name: impl Into<String>, bucket: impl Into<String>) -> Self {
        Self::new("AWS/S3", name)
            .dimension("BucketName", bucket)
            .dimension("FilterId", "EntireBucket")
    }
}

/// How the data points of a period become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statistic {
    /// Mean.
    Average,
    /// Sum.
    Sum,
    /// Smallest.
    Minimum,
    /// Largest.
    Maximum,
    /// How many.
    SampleCount,
}

/// How a data point is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `>`
    GreaterThanThreshold,
    /// `>=`
    GreaterThanOrEqualToThreshold,
    /// `<`
    LessThanThreshold,
    /// `<=`
    LessThanOrEqualToThreshold,
}

/// What a missing data point counts as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TreatMissing {
    /// Nothing: with no data at all the state becomes `INSUFFICIENT_DATA`.
    #[default]
    Missing,
    /// The state stays as it is.
    Ignore,
    /// In alarm.
    Breaching,
    /// Not in alarm.
    NotBreaching,
}

/// An alarm over one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricAlarm {
    /// The metric, in the alarm's Region.
    pub metric: MetricName,
    /// Statistic.
    pub statistic: Statistic,
    /// Seconds: 10, 20, 30 or a multiple of 60. Below 60 only high-resolution data count.
    pub period_seconds: u64,
    /// N of "M of N".
    pub evaluation_periods: usize,
    /// M of "M of N".
    pub datapoints_to_alarm: usize,
    /// Threshold.
    pub threshold: f64,
    /// Comparison.
    pub comparison: Comparison,
    /// Missing data.
    #[serde(default)]
    pub treat_missing: TreatMissing,
}

impl MetricAlarm {
    /// How often it is evaluated: like its data, every ten seconds or every minute.
    pub(super) fn pace(&self) -> Resolution {
        Resolution::of_period(self.period_seconds * 1000)
    }
}

/// Keeps a composite alarm's actions quiet while another alarm is in `ALARM`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suppressor {
    /// Name of the suppressing alarm, in the same Region.
    pub alarm: String,
    /// Seconds that a new `ALARM` waits for the suppressor to go off.
    pub wait_seconds: u64,
    /// Seconds that suppression outlasts the suppressor.
    pub extension_seconds: u64,
}

/// An alarm over other alarms of its Region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompositeAlarm {
    /// `ALARM("a") OR (OK(b) AND NOT INSUFFICIENT_DATA(c))`; `TRUE` and `FALSE` too.
    pub rule: String,
    /// Action suppression.
    #[serde(default)]
    pub suppressor: Option<Suppressor>,
}

/// What an alarm evaluates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmRule {
    /// A metric.
    Metric(MetricAlarm),
    /// Other alarms.
    Composite(CompositeAlarm),
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlarmConfig {
    /// Region of the alarm and of its metric.
    pub region: String,
    /// Name, unique in the Region.
    pub name: String,
    /// Description.
    #[serde(default)]
    pub description: Option<String>,
    /// What it evaluates.
    pub rule: AlarmRule,
    /// ARNs that state changes are sent to, whatever the new state.
    #[serde(default)]
    pub actions: Vec<String>,
}

impl AlarmConfig {
    /// An alarm on the average over one-minute periods being greater than `threshold` in two of
    /// three periods; missing data is ignored. For others set the fields.
    #[must_use]
    pub fn metric(
        region: impl Into<String>,
        name: impl Into<String>,
        metric: MetricName,
        threshold: f64,
    ) -> Self {
        let rule = MetricAlarm {
            metric,
            statistic: Statistic::Average,
            period_seconds: 60,
            evaluation_periods: 3,
            datapoints_to_alarm: 2,
            threshold,
            comparison: Comparison::GreaterThanThreshold,
            treat_missing: TreatMissing::Ignore,
        };
        Self {
            region: region.into(),
            name: name.into(),
            description: None,
            rule: AlarmRule::Metric(rule),
            actions: Vec::new(),
        }
    }

    /// An alarm over other alarms.
    #[must_use]
    pub fn composite(
        region: impl Into<String>,
        name: impl Into<String>,
        rule: impl Into<String>,
    ) -> Self {
        let rule = CompositeAlarm {
            rule: rule.into(),
            suppressor: None,
        };
        Self {
            region: region.into(),
            name: name.into(),
            description: None,
            rule: AlarmRule::Composite(rule),
            actions: Vec::new(),
        }
    }

    /// Changes the metric rule.
    ///
    /// # Panics
    /// If the alarm is a composite one.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut MetricAlarm)) -> Self {
        match &mut self.rule {
            AlarmRule::Metric(rule) => change(rule),
            AlarmRule::Composite(_) => panic!("a metric alarm"),
        }
        self
    }

    /// Adds action suppression to a composite alarm.
    ///
    /// # Panics
    /// If the alarm is a metric one.
    #[must_use]
    pub fn suppressed_by(mut self, suppressor: Suppressor) -> Self {
        match &mut self.rule {
            AlarmRule::Composite(rule) => rule.suppressor = Some(suppressor),
            AlarmRule::Metric(_) => panic!("a composite alarm"),
        }
        self
    }

    /// Adds an action, taken on every state change: the ARN of a Lambda function or of an SNS
    /// topic. A [`Delivery`] carries the payload of a channel only if the alarm acts on it.
    #[must_use]
    pub fn action(mut self, arn: impl Into<String>) -> Self {
        self.actions.push(arn.into());
        self
    }
}

/// A state change on its way to functions. The harness feeds the payload of the channel that it
/// models; each is the complete event as the Lambda function receives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// When it arrives.
    pub at: SimTime,
    /// When the state changed.
    pub changed_at: SimTime,
    /// Alarm name.
    pub alarm: String,
    /// Alarm ARN.
    pub alarm_arn: String,
    /// The alarm's Region.
    pub region: String,
    /// New state.
    pub state: AlarmState,
    /// `CloudWatch Alarm State Change`, sent even when actions are suppressed or muted; absent
    /// when only the actions fire, at the end of suppression or of a mute window.
    pub eventbridge_json: Option<Value>,
    /// Direct Lambda action; absent while actions are suppressed or muted.
    pub lambda_action_json: Option<Value>,
    /// The Lambda event of an SNS subscription; absent while actions are suppressed or muted.
    pub sns_json: Option<Value>,
    /// Whether it repeats an earlier delivery.
    pub duplicate: bool,
}
