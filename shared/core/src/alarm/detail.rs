//! The part that `EventBridge` events and direct actions share: `detail` and `alarmData`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    AlarmError, AlarmKind, AlarmMetric, AlarmState, AlarmTransition, Contributor, Suppression,
    TriggeringChild, Via,
};
use crate::names::AlarmArn;

/// The transition that `detail` or `alarmData` describes, for an alarm already identified.
pub(super) fn transition(
    arn: AlarmArn,
    detail: &Value,
    envelope_time: Option<&Value>,
    via: Via,
) -> Result<AlarmTransition, AlarmError> {
    let now = detail.get("state").unwrap_or(&Value::Null);
    let configuration = detail.get("configuration").unwrap_or(&Value::Null);
    let time = present(now, "timestamp").or(envelope_time);
    let watched = Watched::of(configuration);
    Ok(AlarmTransition {
        name: arn.name().to_owned(),
        account: arn.account().to_owned(),
        state: state(now, "value").ok_or(AlarmError::Field("state.value"))?,
        previous: detail
            .get("previousState")
            .and_then(|previous| state(previous, "value")),
        changed_at: time
            .ok_or(AlarmError::Field("state.timestamp"))
            .and_then(|time| instant(time).ok_or(AlarmError::Time("state.timestamp")))?,
        reason: words(now, "reason"),
        kind: watched.kind,
        suppression: suppression(detail, now),
        via,
        metrics: watched.metrics,
        expressions: watched.expressions,
        children: children(now),
        contributor: present(detail, "alarmContributor").map(|contributor| Contributor {
            id: text(contributor, "id").unwrap_or_default(),
            attributes: string_map(contributor.get("attributes")),
        }),
        arn,
    })
}

/// The value of a key that is there and not null.
pub(super) fn present<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

/// The text under a key, if it is text.
pub(super) fn text(object: &Value, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// `CloudWatch`'s own words under a key, cut off at its limit for a state's reason: they are
/// stored and announced.
pub(super) fn words(object: &Value, key: &str) -> Option<String> {
    let words = object.get(key)?.as_str()?;
    Some(words.chars().take(1023).collect())
}

/// The state under a key. An undocumented one is cut off where no documented one ends.
pub(super) fn state(object: &Value, key: &str) -> Option<AlarmState> {
    let name = object.get(key)?.as_str()?;
    Some(AlarmState::from(name.chars().take(64).collect::<String>()))
}

/// An alarm's ARN, no longer than the `CloudWatch` API admits one.
pub(super) fn alarm_arn(value: &Value) -> Option<AlarmArn> {
    let text = value.as_str().filter(|text| text.len() <= 1600)?;
    text.parse().ok()
}

/// A time as `CloudWatch` writes it: RFC 3339, or the same with an offset without colon.
///
/// One outside this and the next century is none, so that adding durations cannot overflow.
pub(super) fn instant(value: &Value) -> Option<Timestamp> {
    let plausible = 946_684_800..7_258_118_400; // 2000-01-01 to 2200-01-01
    let time: Timestamp = value.as_str()?.parse().ok()?;
    plausible.contains(&time.as_second()).then_some(time)
}

/// Names and values of an object whose values are text; others are left out.
pub(super) fn string_map(value: Option<&Value>) -> BTreeMap<String, String> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Whether the alarm's actions are kept from acting now; whatever says so counts, however malformed.
///
/// Looks at the current state only: the previous one carries the same keys when a suppression ends.
fn suppression(detail: &Value, now: &Value) -> Option<Suppression> {
    if let Some(mute) = present(detail, "muteDetail") {
        return Some(Suppression::Muted {
            by: text(mute, "mutedByArn").unwrap_or_else(|| "a mute rule".to_owned()),
            until: mute.get("muteWindowEnd").and_then(instant),
        });
    }
    present(now, "actionsSuppressedBy").map(|by| Suppression::Suppressed {
        by: by.as_str().unwrap_or("unknown").to_owned(),
        reason: words(now, "actionsSuppressedReason"),
    })
}

/// The children that `reasonData` of a composite lists. It is JSON inside a string, and may be
/// absent, of another kind or no JSON at all.
fn children(now: &Value) -> Vec<TriggeringChild> {
    let data = text(now, "reasonData")
        .and_then(|data| serde_json::from_str::<Value>(&data).ok())
        .unwrap_or_default();
    let listed = data.get("triggeringAlarms").and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(|child| {
            let then = child.get("state").unwrap_or(&Value::Null);
            Some(TriggeringChild {
                arn: alarm_arn(child.get("arn")?)?,
                state: state(then, "value"),
                at: then.get("timestamp").and_then(instant),
            })
        })
        .collect()
}

/// What an alarm watches.
pub(super) struct Watched {
    pub(super) kind: AlarmKind,
    pub(super) metrics: Vec<AlarmMetric>,
    pub(super) expressions: Vec<String>,
}

/// How the two spellings of a metric query name their keys.
pub(super) struct Spelling {
    pub(super) expression: &'static str,
    pub(super) stat: &'static str,
    pub(super) metric: &'static str,
    pub(super) name: &'static str,
    pub(super) namespace: &'static str,
    pub(super) dimensions: &'static str,
}

const CAMEL: Spelling = Spelling {
    expression: "expression",
    stat: "metricStat",
    metric: "metric",
    name: "name",
    namespace: "namespace",
    dimensions: "dimensions",
};

impl Watched {
    /// By the `configuration` of an event or action.
    fn of(configuration: &Value) -> Self {
        if let Some(queries) = present(configuration, "metrics").and_then(Value::as_array) {
            return Self::queries(queries, &CAMEL);
        }
        if let Some(criteria) = present(configuration, "evaluationCriteria") {
            return Self::criteria(criteria);
        }
        let has = |key| configuration.get(key).is_some();
        let kind = if has("alarmRule") {
            AlarmKind::Composite
        } else if has("logGroupIdentifiers") || has("scheduledQueryRoleARN") {
            AlarmKind::Log
        } else {
            AlarmKind::Unknown
        };
        Self::only(kind)
    }

    /// A kind of which the payload lists no metrics.
    pub(super) fn only(kind: AlarmKind) -> Self {
        Self {
            kind,
            metrics: Vec::new(),
            expressions: Vec::new(),
        }
    }

    /// By evaluation criteria, a union of which `PromQL` is the only documented member.
    pub(super) fn criteria(criteria: &Value) -> Self {
        let members = criteria.as_object().into_iter().flatten();
        let queries =
            members.filter_map(|(_, one)| text(one, "query").or_else(|| text(one, "Query")));
        Self {
            expressions: queries.collect(),
            ..Self::only(AlarmKind::PromQl)
        }
    }

    /// By a list of metric queries: expressions and metrics, mixed.
    pub(super) fn queries(queries: &[Value], spelling: &Spelling) -> Self {
        let expressions: Vec<String> = queries
            .iter()
            .filter_map(|query| text(query, spelling.expression))
            .collect();
        let metrics: Vec<AlarmMetric> = queries
            .iter()
            .filter_map(|query| query.get(spelling.stat)?.get(spelling.metric))
            .map(|metric| AlarmMetric {
                namespace: text(metric, spelling.namespace).unwrap_or_default(),
                name: text(metric, spelling.name).unwrap_or_default(),
                dimensions: dimensions(metric.get(spelling.dimensions)),
            })
            .collect();
        let kind = if expressions.is_empty() && metrics.is_empty() {
            AlarmKind::Unknown
        } else {
            AlarmKind::of_expressions(expressions.iter().map(String::as_str))
        };
        Self {
            kind,
            metrics,
            expressions,
        }
    }
}

/// Dimensions as an object, or as SNS messages list them: `[{"name": …, "value": …}]`.
pub(super) fn dimensions(value: Option<&Value>) -> BTreeMap<String, String> {
    match value {
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(|item| {
                let name = text(item, "name").or_else(|| text(item, "Name"))?;
                let value = text(item, "value").or_else(|| text(item, "Value"))?;
                Some((name, value))
            })
            .collect(),
        other => string_map(other),
    }
}
