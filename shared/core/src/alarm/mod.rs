//! Alarm transitions: what a `CloudWatch` alarm said, whichever way it came.
//!
//! The same change of state arrives as an `EventBridge` event, as a direct Lambda action or
//! wrapped in an SNS notification. All become one [`AlarmTransition`]. The readers take only
//! what a decision needs and tolerate everything else: what AWS leaves out, sets to null or adds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::AlarmArn;

pub(crate) mod action;
mod detail;
pub(crate) mod eventbridge;
mod kind;
pub mod policy;
pub mod region;
pub(crate) mod sns;

pub use kind::{AlarmKind, is_replication_metric};
pub use policy::{Admission, OWN_ALARMS, PolicyError, TriggerPolicy, self_test_alarm};
pub use region::{RegionUnknown, WhyUnknown, regions_of, regions_of_dimensions};

/// One change of one alarm's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmTransition {
    /// The alarm; its Region is where it lives, not the Region it speaks for.
    pub arn: AlarmArn,
    /// The alarm's name, as the ARN gives it.
    pub name: String,
    /// The twelve digits of the account in which the alarm lives.
    pub account: String,
    /// The state it changed to.
    pub state: AlarmState,
    /// The state it was in before, where the payload says so. May equal `state`: the end of a
    /// suppression is delivered as a transition from ALARM to ALARM.
    pub previous: Option<AlarmState>,
    /// When the state changed.
    pub changed_at: Timestamp,
    /// `CloudWatch`'s own words; `PromQL` alarms have none.
    pub reason: Option<String>,
    /// What the alarm watches.
    pub kind: AlarmKind,
    /// Whether its actions are muted or suppressed now.
    pub suppression: Option<Suppression>,
    /// How it came.
    pub via: Via,
    /// The metrics it watches; empty for composites, log alarms and queries.
    pub metrics: Vec<AlarmMetric>,
    /// Metric math, Metrics Insights and `PromQL` texts.
    pub expressions: Vec<String>,
    /// For a composite: the alarms that made it change.
    pub children: Vec<TriggeringChild>,
    /// For an alarm over several time series: the one that changed.
    pub contributor: Option<Contributor>,
}

impl AlarmTransition {
    /// Name and value of every dimension: the metrics' and the contributor's.
    pub fn dimensions(&self) -> impl Iterator<Item = (&str, &str)> {
        let contributor = self.contributor.iter().map(|c| &c.attributes);
        self.metrics
            .iter()
            .map(|metric| &metric.dimensions)
            .chain(contributor)
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// An alarm's state. One that AWS has not documented is kept as it is: no error, and never ALARM.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum AlarmState {
    /// `OK`: closes triggers.
    Ok,
    /// `ALARM`: opens one.
    Alarm,
    /// `INSUFFICIENT_DATA`: recorded, neither opens nor closes.
    InsufficientData,
    /// Anything else: recorded.
    Other(String),
}

impl From<String> for AlarmState {
    fn from(text: String) -> Self {
        match text.as_str() {
            "OK" => Self::Ok,
            "ALARM" => Self::Alarm,
            "INSUFFICIENT_DATA" => Self::InsufficientData,
            _ => Self::Other(text),
        }
    }
}

impl AlarmState {
    /// The state as `CloudWatch` spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
            Self::Other(text) => text,
        }
    }
}

impl From<AlarmState> for String {
    fn from(state: AlarmState) -> Self {
        match state {
            AlarmState::Other(text) => text,
            known => known.as_str().to_owned(),
        }
    }
}

impl std::fmt::Display for AlarmState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the alarm's actions are kept from acting, although its state changed.
///
/// `EventBridge` events are sent all the same, so this must be looked at. A mute is named first
/// where both apply, because it has an end at which to decide again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Suppression {
    /// A mute rule's window is open.
    Muted {
        /// The mute rule's ARN.
        by: String,
        /// The window's end, where it is given.
        until: Option<Timestamp>,
    },
    /// A composite's actions are suppressed.
    Suppressed {
        /// `WaitPeriod`, `ExtensionPeriod` or `Alarm`.
        by: String,
        /// `CloudWatch`'s own words.
        reason: Option<String>,
    },
}

/// How a transition came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// An `EventBridge` event, be it direct or forwarded over SNS.
    #[serde(rename = "eventbridge")]
    EventBridge,
    /// A Lambda action of the alarm.
    Action,
    /// An SNS action of the alarm.
    Sns,
}

/// A metric that an alarm watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmMetric {
    /// For example `AWS/S3`.
    pub namespace: String,
    /// For example `5xxErrors`.
    pub name: String,
    /// Name to value.
    pub dimensions: BTreeMap<String, String>,
}

/// One of the alarms that made a composite change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggeringChild {
    /// The child.
    pub arn: AlarmArn,
    /// The child's state, where the payload says more than its name.
    pub state: Option<AlarmState>,
    /// When the child changed, where the payload says so.
    pub at: Option<Timestamp>,
}

impl TriggeringChild {
    /// Whether the child is in ALARM. One that is listed as triggering without a state counts.
    #[must_use]
    pub fn is_triggering(&self) -> bool {
        matches!(self.state, None | Some(AlarmState::Alarm))
    }
}

/// The time series that changed, of an alarm over several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contributor {
    /// `CloudWatch`'s id of the time series.
    pub id: String,
    /// Its labels; they count as dimensions.
    pub attributes: BTreeMap<String, String>,
}

/// Why something that is an alarm cannot be read as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlarmError {
    /// A field without which there is no transition.
    #[error("{0} is missing or not of the documented type")]
    Field(&'static str),
    /// An SNS message from before `AlarmArn` was part of it.
    #[error(
        "AlarmArn is missing, so the alarm's Region code and identity cannot be told (messages of \
         old did not carry it); let EventBridge or the alarm's Lambda action invoke this function"
    )]
    NoArn,
    /// An ARN that is not an alarm's.
    #[error("{0} is not the ARN of a CloudWatch alarm")]
    Arn(&'static str),
    /// Neither an ARN nor the parts to make one of.
    #[error(
        "resources lists no ARN of a CloudWatch alarm, nor do region, account and alarmName make one"
    )]
    Unidentified,
    /// A time that is none.
    #[error("{0} is not a time such as 2026-11-20T16:59:03.000+0000")]
    Time(&'static str),
}
