//! Alarm messages as SNS carries them: another spelling, another structure.
//!
//! Source: Amazon CloudWatch User Guide, "SNS notification schemas for alarms". What real messages
//! carry beyond it (children as objects, metric math under `Trigger.Metrics`) is read too.

use serde_json::Value;

use super::detail::{self, Spelling, Watched, present, text};
use super::{
    AlarmError, AlarmKind, AlarmMetric, AlarmTransition, Contributor, TriggeringChild, Via,
};
use crate::names::AlarmArn;

const PASCAL: Spelling = Spelling {
    expression: "Expression",
    stat: "MetricStat",
    metric: "Metric",
    name: "MetricName",
    namespace: "Namespace",
    dimensions: "Dimensions",
};

/// Whether this is the message of an alarm action.
pub(crate) fn is_alarm(message: &Value) -> bool {
    ["AlarmName", "AlarmArn", "NewStateValue"]
        .iter()
        .any(|key| message.get(key).is_some())
}

/// Reads the message of an alarm action.
///
/// Its `Region` is a display name such as "EU (Ireland)" and is not looked at.
pub(crate) fn read(message: &Value) -> Result<AlarmTransition, AlarmError> {
    let arn = present(message, "AlarmArn").ok_or(AlarmError::NoArn)?;
    let arn = detail::alarm_arn(arn).ok_or(AlarmError::Arn("AlarmArn"))?;
    let changed_at = present(message, "StateChangeTime")
        .ok_or(AlarmError::Field("StateChangeTime"))
        .and_then(|time| detail::instant(time).ok_or(AlarmError::Time("StateChangeTime")))?;
    let watched = watched(message);
    Ok(AlarmTransition {
        name: arn.name().to_owned(),
        account: arn.account().to_owned(),
        state: detail::state(message, "NewStateValue").ok_or(AlarmError::Field("NewStateValue"))?,
        previous: detail::state(message, "OldStateValue"),
        changed_at,
        reason: detail::words(message, "NewStateReason"),
        kind: watched.kind,
        // Neither a muted nor a suppressed alarm performs its SNS actions.
        suppression: None,
        via: Via::Sns,
        metrics: watched.metrics,
        expressions: watched.expressions,
        children: children(message, &arn),
        contributor: present(message, "AlarmContributorId").map(|id| Contributor {
            id: id.as_str().unwrap_or_default().to_owned(),
            attributes: detail::string_map(message.get("AlarmContributorAttributes")),
        }),
        arn,
    })
}

fn watched(message: &Value) -> Watched {
    let Some(trigger) = present(message, "Trigger") else {
        let is_composite = message.get("AlarmRule").is_some();
        return Watched::only(if is_composite {
            AlarmKind::Composite
        } else {
            AlarmKind::Unknown
        });
    };
    if let Some(queries) = trigger.get("Metrics").and_then(Value::as_array) {
        return Watched::queries(queries, &PASCAL);
    }
    if let Some(criteria) = present(trigger, "EvaluationCriteria") {
        return Watched::criteria(criteria);
    }
    let Some(name) = text(trigger, PASCAL.name) else {
        return Watched::only(AlarmKind::Unknown);
    };
    Watched {
        kind: AlarmKind::Metric,
        metrics: vec![AlarmMetric {
            namespace: text(trigger, PASCAL.namespace).unwrap_or_default(),
            name,
            dimensions: detail::dimensions(trigger.get(PASCAL.dimensions)),
        }],
        expressions: Vec::new(),
    }
}

/// The triggering children: objects, ARNs, or bare names of alarms beside the composite, which
/// can only be made of alarms of its own account and Region.
fn children(message: &Value, composite: &AlarmArn) -> Vec<TriggeringChild> {
    let listed = message.get("TriggeringChildren").and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(|child| match child {
            Value::String(text) => Some(TriggeringChild {
                arn: detail::alarm_arn(child).or_else(|| beside(composite, text))?,
                state: None,
                at: None,
            }),
            object => {
                let state = object.get("State").unwrap_or(&Value::Null);
                Some(TriggeringChild {
                    arn: detail::alarm_arn(object.get("Arn")?)?,
                    state: detail::state(state, "Value"),
                    at: state.get("Timestamp").and_then(detail::instant),
                })
            }
        })
        .collect()
}

fn beside(composite: &AlarmArn, name: &str) -> Option<AlarmArn> {
    if name.starts_with("arn:") {
        return None;
    }
    let prefix = composite.as_str().strip_suffix(composite.name())?;
    detail::alarm_arn(&format!("{prefix}{name}").into())
}
