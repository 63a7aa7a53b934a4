//! The events that alarms send, as EventBridge, the direct Lambda action and SNS deliver them.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::engine::{Alarm, StateRecord};
use super::{AlarmRule, MetricAlarm, Statistic, TreatMissing};
use crate::SimTime;
use crate::regions::display_name;
use crate::sns::uuid;
use crate::time::calendar;

/// What every payload needs to know.
pub(super) struct Context<'a> {
    pub(super) account: &'a str,
    pub(super) epoch: Timestamp,
    /// Different for every state change, the same in its duplicates.
    pub(super) id: &'a str,
    /// When the event is made.
    pub(super) at: SimTime,
}

impl Context<'_> {
    /// `2026-11-20T16:00:00.000+0000`: without a colon, as CloudWatch writes it.
    pub(super) fn time(&self, at: SimTime) -> String {
        alarm_time(self.epoch, at)
    }
}

/// CloudWatch's own way to write times.
pub(super) fn alarm_time(epoch: Timestamp, at: SimTime) -> String {
    calendar(epoch, at)
        .strftime("%Y-%m-%dT%H:%M:%S%.3f+0000")
        .to_string()
}

/// EventBridge's `CloudWatch Alarm State Change`.
pub(super) fn eventbridge(context: &Context<'_>, alarm: &Alarm) -> Value {
    let mut detail = details(context, alarm);
    if let Some(mute) = alarm.mute_at(context.at) {
        let rule = format!(
            "arn:aws:cloudwatch:{}:{}:alarm-mute-rule:{}",
            alarm.config.region, context.account, alarm.config.name
        );
        let mute = json!({
            "mutedByArn": rule,
            "muteWindowStart": context.time(mute.from),
            "muteWindowEnd": context.time(mute.until),
        });
        detail.insert("muteDetail".to_owned(), mute);
    }
    let time = calendar(context.epoch, alarm.state.at).strftime("%Y-%m-%dT%H:%M:%SZ");
    json!({
        "version": "0",
        "id": uuid(context.id),
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "account": context.account,
        "time": time.to_string(),
        "region": alarm.config.region,
        "resources": [alarm.arn],
        "detail": detail,
    })
}

/// The payload of a direct Lambda action.
pub(super) fn lambda_action(context: &Context<'_>, alarm: &Alarm) -> Value {
    json!({
        "source": "aws.cloudwatch",
        "alarmArn": alarm.arn,
        "accountId": context.account,
        "time": context.time(context.at),
        "region": alarm.config.region,
        "alarmData": details(context, alarm),
    })
}

fn details(context: &Context<'_>, alarm: &Alarm) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("alarmName".to_owned(), json!(alarm.config.name));
    map.insert("configuration".to_owned(), configuration(alarm));
    map.insert("previousState".to_owned(), state(context, &alarm.previous));
    map.insert("state".to_owned(), state(context, &alarm.state));
    map
}

fn state(context: &Context<'_>, record: &StateRecord) -> Value {
    let mut map = Map::new();
    if let Some(by) = record.suppressed_by {
        let reason = format!("Actions suppressed by {}", by.as_str());
        map.insert("actionsSuppressedBy".to_owned(), json!(by.as_str()));
        map.insert("actionsSuppressedReason".to_owned(), json!(reason));
    }
    map.insert("reason".to_owned(), json!(record.reason));
    if let Some(data) = &record.reason_data {
        map.insert("reasonData".to_owned(), json!(data));
    }
    map.insert("timestamp".to_owned(), json!(context.time(record.at)));
    map.insert("value".to_owned(), json!(record.value.as_str()));
    Value::Object(map)
}

fn configuration(alarm: &Alarm) -> Value {
    let mut map = Map::new();
    if let Some(description) = &alarm.config.description {
        map.insert("description".to_owned(), json!(description));
    }
    match &alarm.config.rule {
        AlarmRule::Metric(rule) => {
            let metric = json!({
                "id": uuid(&alarm.arn),
                "metricStat": {
                    "metric": {
                        "dimensions": rule.metric.dimensions,
                        "name": rule.metric.name,
                        "namespace": rule.metric.namespace,
                    },
                    "period": rule.period_seconds,
                    "stat": statistic(rule.statistic),
                },
                "returnData": true,
            });
            map.insert("metrics".to_owned(), json!([metric]));
        }
        AlarmRule::Composite(rule) => {
            map.insert("alarmRule".to_owned(), json!(rule.rule));
            if let Some(suppressor) = &rule.suppressor {
                map.insert("actionsSuppressor".to_owned(), json!(suppressor.alarm));
                let wait = json!(suppressor.wait_seconds);
                map.insert("actionsSuppressorWaitPeriod".to_owned(), wait);
                let extension = json!(suppressor.extension_seconds);
                map.insert("actionsSuppressorExtensionPeriod".to_owned(), extension);
            }
        }
    }
    Value::Object(map)
}

/// The Lambda event of an SNS subscription.
pub(super) fn sns(context: &Context<'_>, alarm: &Alarm, topic_arn: &str) -> Value {
    let region = display_name(&alarm.config.region);
    let value = alarm.state.value.as_str();
    let topic_region = topic_arn.split(':').nth(3).unwrap_or("us-east-1");
    let host = format!("https://sns.{topic_region}.amazonaws.com");
    let subscription = format!("{topic_arn}:{}", uuid(topic_arn));
    let timestamp = calendar(context.epoch, context.at).strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    json!({
        "Records": [{
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": subscription,
            "Sns": {
                "Type": "Notification",
                "MessageId": uuid(&format!("{}-sns", context.id)),
                "TopicArn": topic_arn,
                "Subject": format!("{value}: \"{}\" in {region}", alarm.config.name),
                "Message": sns_message(context, alarm).to_string(),
                "Timestamp": timestamp.to_string(),
                "SignatureVersion": "1",
                "Signature": "Cg==",
                "SigningCertUrl": format!("{host}/SimpleNotificationService-0000.pem"),
                "UnsubscribeUrl": format!("{host}/?Action=Unsubscribe&SubscriptionArn={subscription}"),
                "MessageAttributes": {},
            },
        }],
    })
}

fn sns_message(context: &Context<'_>, alarm: &Alarm) -> Value {
    let mut message = json!({
        "AlarmName": alarm.config.name,
        "AlarmDescription": alarm.config.description,
        "AWSAccountId": context.account,
        "AlarmConfigurationUpdatedTimestamp": context.time(SimTime::ZERO),
        "NewStateValue": alarm.state.value.as_str(),
        "NewStateReason": alarm.state.reason,
        "StateChangeTime": context.time(alarm.state.at),
        "Region": display_name(&alarm.config.region),
        "AlarmArn": alarm.arn,
        "OldStateValue": alarm.previous.value.as_str(),
        "OKActions": alarm.config.actions,
        "AlarmActions": alarm.config.actions,
        "InsufficientDataActions": alarm.config.actions,
    });
    match &alarm.config.rule {
        AlarmRule::Metric(rule) => message["Trigger"] = trigger(rule),
        AlarmRule::Composite(rule) => {
            message["AlarmRule"] = json!(rule.rule);
            message["TriggeringChildren"] = triggering_children(alarm);
        }
    }
    message
}

/// The children of `reasonData`, spelt the way SNS messages do.
fn triggering_children(alarm: &Alarm) -> Value {
    let data: Value = alarm
        .state
        .reason_data
        .as_deref()
        .and_then(|data| serde_json::from_str(data).ok())
        .unwrap_or_default();
    let children = data["triggeringAlarms"].as_array().into_iter().flatten();
    children
        .map(|child| {
            json!({
                "Arn": child["arn"],
                "State": {
                    "Value": child["state"]["value"],
                    "Timestamp": child["state"]["timestamp"],
                },
            })
        })
        .collect()
}

fn trigger(rule: &MetricAlarm) -> Value {
    let dimensions: Vec<Value> = rule
        .metric
        .dimensions
        .iter()
        .map(|(name, value)| json!({"value": value, "name": name}))
        .collect();
    json!({
        "MetricName": rule.metric.name,
        "Namespace": rule.metric.namespace,
        "StatisticType": "Statistic",
        "Statistic": statistic(rule.statistic).to_ascii_uppercase(),
        "Unit": null,
        "Dimensions": dimensions,
        "Period": rule.period_seconds,
        "EvaluationPeriods": rule.evaluation_periods,
        "DatapointsToAlarm": rule.datapoints_to_alarm,
        "ComparisonOperator": comparison(rule),
        "Threshold": rule.threshold,
        "TreatMissingData": treat_missing(rule.treat_missing),
        "EvaluateLowSampleCountPercentile": "",
    })
}

pub(super) fn statistic(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Average => "Average",
        Statistic::Sum => "Sum",
        Statistic::Minimum => "Minimum",
        Statistic::Maximum => "Maximum",
        Statistic::SampleCount => "SampleCount",
    }
}

pub(super) fn comparison(rule: &MetricAlarm) -> String {
    format!("{:?}", rule.comparison)
}

pub(super) fn treat_missing(treat: TreatMissing) -> &'static str {
    match treat {
        TreatMissing::Missing => "missing",
        TreatMissing::Ignore => "ignore",
        TreatMissing::Breaching => "breaching",
        TreatMissing::NotBreaching => "notBreaching",
    }
}
