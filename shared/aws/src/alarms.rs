//! Alarms as CloudWatch describes them now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use sentinel_core::names::AlarmArn;

use crate::edge::Edge;
use crate::failure::Failure;

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
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`, verbatim.
    pub state: String,
    /// `StateUpdatedTimestamp`: the last change of state or of its reason.
    pub updated_at: Option<Timestamp>,
    /// `StateTransitionedTimestamp`: the last change of state.
    pub transitioned_at: Option<Timestamp>,
    /// What suppresses a composite alarm's actions at this moment, verbatim (`Alarm`, `WaitPeriod`, …).
    pub suppressed_by: Option<String>,
    /// Whether its actions are switched on.
    pub actions_enabled: bool,
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
        todo!("{arns:?} {until} {:?}", self.edge)
    }
}
