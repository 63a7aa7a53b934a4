//! Alarms as CloudWatch describes them now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    AlarmType, CompositeAlarm, Dimension, LogAlarm, MetricAlarm, StateValue,
};
use futures_util::future::join_all;
use jiff::Timestamp;
use sentinel_core::names::{AlarmArn, Region};

use crate::edge::Edge;
use crate::failure::{Failure, failure_of};
use crate::limits::Purpose;

/// A metric that an alarm watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedMetric {
    /// Namespace such as `AWS/S3`; empty if not told.
    pub namespace: String,
    /// Metric name.
    pub name: String,
    /// Dimensions by name.
    pub dimensions: BTreeMap<String, String>,
}

/// An alarm as `DescribeAlarms` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedAlarm {
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`, verbatim; empty if not told.
    pub state: String,
    /// `StateUpdatedTimestamp`: the last change of state or of its reason.
    pub updated_at: Option<Timestamp>,
    /// `StateTransitionedTimestamp`: the last change of state.
    pub transitioned_at: Option<Timestamp>,
    /// What suppresses a composite alarm's actions at this moment, verbatim (`Alarm`, `WaitPeriod`, …).
    pub suppressed_by: Option<String>,
    /// Whether its actions are switched on.
    pub actions_enabled: bool,
    /// Whether anything is done when it goes to ALARM.
    pub has_actions: bool,
    /// The metrics it watches; none for a composite or a log alarm.
    pub metrics: Vec<WatchedMetric>,
    /// A composite alarm's rule, which names its children.
    pub rule: Option<String>,
}

/// Why an alarm could not be described.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescribeError {
    /// There is no such alarm (any more).
    #[error("there is no such alarm")]
    Gone,
    /// CloudWatch of the alarm's Region did not tell.
    #[error("the alarm could not be described: {0}")]
    Failed(Failure),
}

/// Describes alarms, each in its own Region.
#[derive(Debug, Clone)]
pub struct Alarms {
    edge: Arc<Edge>,
}

impl Alarms {
    /// Over this edge.
    #[must_use]
    pub fn new(edge: Arc<Edge>) -> Self {
        Self { edge }
    }

    /// Describes these alarms, all Regions at once; returns by `until` with an entry for each.
    pub async fn describe(
        &self,
        arns: &BTreeSet<AlarmArn>,
        until: Timestamp,
    ) -> BTreeMap<AlarmArn, Result<DescribedAlarm, DescribeError>> {
        let mut batches: BTreeMap<Region, Vec<&AlarmArn>> = BTreeMap::new();
        let mut described = BTreeMap::new();
        for arn in arns {
            match arn.region() {
                Some(region) => batches.entry(region).or_default().push(arn),
                None => {
                    described.insert(arn.clone(), Err(DescribeError::Gone));
                }
            }
        }
        let work = batches.iter().flat_map(|(region, arns)| {
            arns.chunks(NAMES_PER_CALL)
                .map(|batch| self.describe_batch(region, batch, until))
        });
        described.extend(join_all(work).await.into_iter().flatten());
        described
    }

    /// Alarms of one Region, as many as one call may name; an entry for each.
    async fn describe_batch(
        &self,
        region: &Region,
        batch: &[&AlarmArn],
        until: Timestamp,
    ) -> Vec<(AlarmArn, Result<DescribedAlarm, DescribeError>)> {
        let found = match self
            .edge
            .within(self.edge.left(until), self.pages(region, batch))
            .await
        {
            Some(found) => found,
            None => Err(Failure::Deadline),
        };
        batch
            .iter()
            .map(|arn| {
                let outcome = match &found {
                    Ok(found) => found.get(arn.as_str()).cloned().ok_or(DescribeError::Gone),
                    Err(failure) => Err(DescribeError::Failed(failure.clone())),
                };
                ((*arn).clone(), outcome)
            })
            .collect()
    }

    /// What `DescribeAlarms` tells under these names, by ARN.
    async fn pages(
        &self,
        region: &Region,
        batch: &[&AlarmArn],
    ) -> Result<BTreeMap<String, DescribedAlarm>, Failure> {
        let mut found = BTreeMap::new();
        let mut token = None;
        loop {
            let page = self
                .edge
                .cloudwatch(region, Purpose::Alarms)
                .describe_alarms()
                .set_alarm_names(Some(batch.iter().map(|a| a.name().to_owned()).collect()))
                // Without types only metric alarms are told.
                .alarm_types(AlarmType::MetricAlarm)
                .alarm_types(AlarmType::CompositeAlarm)
                .alarm_types(AlarmType::LogAlarm)
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| failure_of(&error))?;
            found.extend(page.metric_alarms().iter().filter_map(of_metric));
            found.extend(page.composite_alarms().iter().filter_map(of_composite));
            found.extend(page.log_alarms().iter().filter_map(of_log));
            token = page.next_token;
            if token.is_none() {
                return Ok(found);
            }
        }
    }
}

/// `DescribeAlarms` takes at most 100 names (CloudWatch API reference).
const NAMES_PER_CALL: usize = 100;

fn of_metric(alarm: &MetricAlarm) -> Option<(String, DescribedAlarm)> {
    let own = alarm.metric_name().map(|name| WatchedMetric {
        namespace: alarm.namespace().unwrap_or_default().to_owned(),
        name: name.to_owned(),
        dimensions: by_name(alarm.dimensions()),
    });
    let in_math = alarm.metrics().iter().filter_map(|query| {
        let metric = query.metric_stat()?.metric()?;
        Some(WatchedMetric {
            namespace: metric.namespace().unwrap_or_default().to_owned(),
            name: metric.metric_name()?.to_owned(),
            dimensions: by_name(metric.dimensions()),
        })
    });
    Some((
        alarm.alarm_arn()?.to_owned(),
        DescribedAlarm {
            state: text(alarm.state_value()),
            updated_at: time(alarm.state_updated_timestamp()),
            transitioned_at: time(alarm.state_transitioned_timestamp()),
            suppressed_by: None,
            actions_enabled: alarm.actions_enabled().unwrap_or(true),
            has_actions: !alarm.alarm_actions().is_empty(),
            metrics: own.into_iter().chain(in_math).collect(),
            rule: None,
        },
    ))
}

fn of_composite(alarm: &CompositeAlarm) -> Option<(String, DescribedAlarm)> {
    Some((
        alarm.alarm_arn()?.to_owned(),
        DescribedAlarm {
            state: text(alarm.state_value()),
            updated_at: time(alarm.state_updated_timestamp()),
            transitioned_at: time(alarm.state_transitioned_timestamp()),
            suppressed_by: alarm
                .actions_suppressed_by()
                .map(|by| by.as_str().to_owned()),
            actions_enabled: alarm.actions_enabled().unwrap_or(true),
            has_actions: !alarm.alarm_actions().is_empty(),
            metrics: Vec::new(),
            rule: alarm.alarm_rule().map(str::to_owned),
        },
    ))
}

fn of_log(alarm: &LogAlarm) -> Option<(String, DescribedAlarm)> {
    Some((
        alarm.alarm_arn()?.to_owned(),
        DescribedAlarm {
            state: text(alarm.state_value()),
            updated_at: time(alarm.state_updated_timestamp()),
            transitioned_at: time(alarm.state_transitioned_timestamp()),
            suppressed_by: None,
            actions_enabled: alarm.actions_enabled().unwrap_or(true),
            has_actions: !alarm.alarm_actions().is_empty(),
            metrics: Vec::new(),
            rule: None,
        },
    ))
}

fn text(state: Option<&StateValue>) -> String {
    state.map_or_else(String::new, |state| state.as_str().to_owned())
}

fn time(at: Option<&DateTime>) -> Option<Timestamp> {
    let at = at?;
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}

fn by_name(dimensions: &[Dimension]) -> BTreeMap<String, String> {
    dimensions
        .iter()
        .filter_map(|d| Some((d.name()?.to_owned(), d.value()?.to_owned())))
        .collect()
}
