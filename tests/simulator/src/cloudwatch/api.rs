//! `DescribeAlarms`, `GetMetricData`, `PutMetricData`, `SetAlarmState` over rpc-v2-cbor and awsJson.

use std::collections::BTreeMap;

use ciborium::Value;
use fastrand::Rng;

use super::engine::{Alarm, CloudWatch};
use super::metrics::MINUTE;
use super::{AlarmRule, AlarmState, MetricName, Statistic, payloads};
use crate::SimTime;
use crate::call::Call;
use crate::time::calendar;
use crate::wire::cbor::{self, map, put};
use crate::wire::{Answer, ServiceError};

impl CloudWatch {
    pub(crate) fn handle(
        &mut self,
        call: &Call,
        now: SimTime,
        rng: &mut Rng,
    ) -> Result<Answer, ServiceError> {
        let json = is_json(call);
        let input = if json {
            cbor::from_json(&call.body)
        } else {
            cbor::decode(&call.body)
        };
        let input = input.ok_or_else(|| {
            ServiceError::new(400, "SerializationException", "The body cannot be read")
        })?;
        let output = match call.operation.as_str() {
            "DescribeAlarms" => self.describe_alarms(&call.region, &input)?,
            "GetMetricData" => self.get_metric_data(&call.region, &input, now)?,
            "PutMetricData" => self.put_metric_data(&call.region, &input, now)?,
            "SetAlarmState" => self.set_alarm_state(&call.region, &input, now, rng)?,
            other => {
                let message = format!("The action {other} is not valid for this endpoint.");
                return Err(ServiceError::new(400, "InvalidAction", message));
            }
        };
        Ok(encode(Answer::new(200), &output, json))
    }

    fn describe_alarms(&self, region: &str, input: &Value) -> Result<Value, ServiceError> {
        let names = texts(input, "AlarmNames");
        let types = texts(input, "AlarmTypes");
        let prefix = cbor::text(input, "AlarmNamePrefix");
        let state = cbor::text(input, "StateValue");
        let after = cbor::text(input, "NextToken").unwrap_or_default();
        let limit = cbor::number(input, "MaxRecords").unwrap_or(50.0);
        if !(1.0..=100.0).contains(&limit) {
            let message = "MaxRecords must be between 1 and 100";
            return Err(ServiceError::new(400, "ValidationError", message));
        }
        let wanted = |alarm: &Alarm| {
            let kind = match alarm.config.rule {
                AlarmRule::Metric(_) => "MetricAlarm",
                AlarmRule::Composite(_) => "CompositeAlarm",
            };
            let name = alarm.config.name.as_str();
            // Without types only metric alarms are returned, even by name.
            let kind_wanted = types.contains(&kind) || (types.is_empty() && kind == "MetricAlarm");
            kind_wanted
                && name > after
                && (names.is_empty() || names.contains(&name))
                && prefix.is_none_or(|prefix| name.starts_with(prefix))
                && state.is_none_or(|state| state == alarm.state.value.as_str())
        };
        let in_region = self.alarms.iter().filter(|(key, _)| key.0 == region);
        let mut found = in_region
            .map(|(_, alarm)| alarm)
            .filter(|alarm| wanted(alarm));
        let mut metric = Vec::new();
        let mut composite = Vec::new();
        let mut last = None;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked above"
        )]
        let limit = limit as usize;
        for alarm in found.by_ref().take(limit) {
            last = Some(alarm.config.name.as_str());
            match alarm.config.rule {
                AlarmRule::Metric(_) => metric.push(self.describe(alarm)),
                AlarmRule::Composite(_) => composite.push(self.describe(alarm)),
            }
        }
        let mut output = map([
            ("MetricAlarms", Value::Array(metric)),
            ("CompositeAlarms", Value::Array(composite)),
        ]);
        if let Some(last) = last.filter(|_| found.next().is_some()) {
            put(&mut output, "NextToken", last);
        }
        Ok(output)
    }

    fn describe(&self, alarm: &Alarm) -> Value {
        let time = |at| cbor::time(calendar(self.epoch, at));
        let actions = || cbor::texts(&alarm.config.actions);
        let mut out = map([
            ("AlarmName", alarm.config.name.as_str().into()),
            ("AlarmArn", alarm.arn.as_str().into()),
            ("AlarmConfigurationUpdatedTimestamp", time(SimTime::ZERO)),
            ("ActionsEnabled", true.into()),
            ("OKActions", actions()),
            ("AlarmActions", actions()),
            ("InsufficientDataActions", actions()),
            ("StateValue", alarm.state.value.as_str().into()),
            ("StateReason", alarm.state.reason.as_str().into()),
            ("StateUpdatedTimestamp", time(alarm.state.at)),
            ("StateTransitionedTimestamp", time(alarm.transitioned)),
        ]);
        if let Some(description) = &alarm.config.description {
            put(&mut out, "AlarmDescription", description.as_str());
        }
        if let Some(data) = &alarm.state.reason_data {
            put(&mut out, "StateReasonData", data.as_str());
        }
        match &alarm.config.rule {
            AlarmRule::Metric(rule) => {
                put(&mut out, "Namespace", rule.metric.namespace.as_str());
                put(&mut out, "MetricName", rule.metric.name.as_str());
                put(&mut out, "Dimensions", dimensions(&rule.metric));
                put(&mut out, "Statistic", payloads::statistic(rule.statistic));
                put(&mut out, "Period", rule.period_seconds);
                put(
                    &mut out,
                    "EvaluationPeriods",
                    rule.evaluation_periods as u64,
                );
                put(
                    &mut out,
                    "DatapointsToAlarm",
                    rule.datapoints_to_alarm as u64,
                );
                put(&mut out, "Threshold", rule.threshold);
                put(&mut out, "ComparisonOperator", payloads::comparison(rule));
                put(
                    &mut out,
                    "TreatMissingData",
                    payloads::treat_missing(rule.treat_missing),
                );
            }
            AlarmRule::Composite(rule) => {
                put(&mut out, "AlarmRule", rule.rule.as_str());
                if let Some(suppressor) = &rule.suppressor {
                    put(&mut out, "ActionsSuppressor", suppressor.alarm.as_str());
                    put(
                        &mut out,
                        "ActionsSuppressorWaitPeriod",
                        suppressor.wait_seconds,
                    );
                    let extension = suppressor.extension_seconds;
                    put(&mut out, "ActionsSuppressorExtensionPeriod", extension);
                }
                if let Some(by) = alarm.state.suppressed_by {
                    put(&mut out, "ActionsSuppressedBy", by.as_str());
                    let reason = format!("Actions suppressed by {}", by.as_str());
                    put(&mut out, "ActionsSuppressedReason", reason);
                }
            }
        }
        out
    }

    fn get_metric_data(
        &self,
        region: &str,
        input: &Value,
        now: SimTime,
    ) -> Result<Value, ServiceError> {
        let start = self.moment(input, "StartTime")?;
        let end = self.moment(input, "EndTime")?;
        let ascending = cbor::text(input, "ScanBy") == Some("TimestampAscending");
        let mut results = Vec::new();
        for query in cbor::list(input, "MetricDataQueries") {
            let wanted = cbor::get(query, "MetricStat")
                .ok_or_else(|| invalid("only MetricStat queries are supported"))?;
            let metric = metric_of(cbor::get(wanted, "Metric").unwrap_or(&Value::Null))?;
            let statistic = statistic(cbor::text(wanted, "Stat").unwrap_or_default())?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a period in seconds"
            )]
            let period = cbor::number(wanted, "Period").unwrap_or(60.0) as u64 * 1000;
            if period == 0 || !period.is_multiple_of(MINUTE) {
                return Err(invalid("Period must be a multiple of 60"));
            }
            let visible = (now - self.metric_delay).floor_to(MINUTE).min(end);
            let mut times = Vec::new();
            let mut values = Vec::new();
            let mut at = start.floor_to(period).as_millis();
            while at < visible.as_millis() {
                let span = at..(at + period).min(visible.as_millis());
                if let Some(value) = self.metrics.point(region, &metric, span, statistic) {
                    let moment = calendar(self.epoch, SimTime::from_millis(at));
                    times.push(cbor::time(moment));
                    values.push(Value::Float(value));
                }
                at += period;
            }
            if !ascending {
                times.reverse();
                values.reverse();
            }
            let id = cbor::text(query, "Id").unwrap_or_default();
            results.push(map([
                ("Id", id.into()),
                (
                    "Label",
                    cbor::text(query, "Label").unwrap_or(&metric.name).into(),
                ),
                ("Timestamps", Value::Array(times)),
                ("Values", Value::Array(values)),
                ("StatusCode", "Complete".into()),
            ]));
        }
        Ok(map([
            ("MetricDataResults", Value::Array(results)),
            ("Messages", Value::Array(Vec::new())),
        ]))
    }

    /// A time of the input as a moment of the world; before its epoch counts as the epoch.
    fn moment(&self, input: &Value, name: &str) -> Result<SimTime, ServiceError> {
        let millis =
            cbor::time_millis(input, name).ok_or_else(|| invalid(&format!("{name} is missing")))?;
        let since = millis.saturating_sub(self.epoch.as_millisecond());
        Ok(SimTime::from_millis(u64::try_from(since).unwrap_or(0)))
    }

    fn put_metric_data(
        &mut self,
        region: &str,
        input: &Value,
        now: SimTime,
    ) -> Result<Value, ServiceError> {
        let namespace = cbor::text(input, "Namespace").unwrap_or_default();
        for datum in cbor::list(input, "MetricData") {
            let mut metric = metric_of(datum)?;
            namespace.clone_into(&mut metric.namespace);
            let at = match cbor::get(datum, "Timestamp") {
                Some(_) => self.moment(datum, "Timestamp")?,
                None => now,
            };
            let value = cbor::number(datum, "Value").ok_or_else(|| invalid("Value is missing"))?;
            self.metrics.add(region, &metric, at, value);
        }
        Ok(Value::Map(Vec::new()))
    }

    fn set_alarm_state(
        &mut self,
        region: &str,
        input: &Value,
        now: SimTime,
        rng: &mut Rng,
    ) -> Result<Value, ServiceError> {
        let name = cbor::text(input, "AlarmName").unwrap_or_default();
        let states = [
            AlarmState::Ok,
            AlarmState::Alarm,
            AlarmState::InsufficientData,
        ];
        let wanted = cbor::text(input, "StateValue").unwrap_or_default();
        let value = states.into_iter().find(|state| state.as_str() == wanted);
        let value = value.ok_or_else(|| invalid("StateValue is not a state"))?;
        let reason = cbor::text(input, "StateReason").unwrap_or_default();
        let data = cbor::text(input, "StateReasonData");
        if self.set_state(region, name, (value, reason, data), now, rng) {
            Ok(Value::Map(Vec::new()))
        } else {
            Err(ServiceError::new(
                404,
                "ResourceNotFound",
                "The alarm does not exist",
            ))
        }
    }
}

fn is_json(call: &Call) -> bool {
    call.header("x-amz-target").is_some()
}

fn encode(answer: Answer, output: &Value, json: bool) -> Answer {
    if json {
        let body = cbor::to_json(output).to_string();
        answer
            .header("content-type", "application/x-amz-json-1.0")
            .body(body)
    } else {
        answer
            .header("content-type", "application/cbor")
            .header("smithy-protocol", "rpc-v2-cbor")
            .body(cbor::encode(output))
    }
}

/// An error document in the protocol of the call. It names the error's shape; `CloudWatch` once
/// spoke the query protocol, whose code for the same error a header keeps (awsQueryCompatible).
pub(crate) fn render_error(error: &ServiceError, call: &Call) -> Answer {
    let fault = if error.status < 500 {
        "Sender"
    } else {
        "Receiver"
    };
    let document = map([
        ("__type", shape_of(&error.code).into()),
        ("message", error.message.as_str().into()),
    ]);
    let answer =
        Answer::new(error.status).header("x-amzn-query-error", format!("{};{fault}", error.code));
    let mut answer = encode(answer, &document, is_json(call));
    answer.error = Some(error.code.clone());
    answer
}

/// The error shape in the service's model; most are called like their code.
fn shape_of(code: &str) -> &str {
    match code {
        "InternalServiceError" => "InternalServiceFault",
        "InvalidParameterValue" => "InvalidParameterValueException",
        "ValidationError" => "ValidationException",
        other => other,
    }
}

fn invalid(message: &str) -> ServiceError {
    ServiceError::new(400, "InvalidParameterValue", message)
}

fn texts<'a>(input: &'a Value, name: &str) -> Vec<&'a str> {
    cbor::list(input, name)
        .iter()
        .filter_map(Value::as_text)
        .collect()
}

fn dimensions(metric: &MetricName) -> Value {
    let pairs = metric.dimensions.iter();
    Value::Array(
        pairs
            .map(|(name, value)| {
                map([
                    ("Name", name.as_str().into()),
                    ("Value", value.as_str().into()),
                ])
            })
            .collect(),
    )
}

fn metric_of(value: &Value) -> Result<MetricName, ServiceError> {
    let name = cbor::text(value, "MetricName").ok_or_else(|| invalid("MetricName is missing"))?;
    let mut dimensions = BTreeMap::new();
    for dimension in cbor::list(value, "Dimensions") {
        let text = |field| cbor::text(dimension, field).unwrap_or_default().to_owned();
        dimensions.insert(text("Name"), text("Value"));
    }
    Ok(MetricName {
        namespace: cbor::text(value, "Namespace")
            .unwrap_or_default()
            .to_owned(),
        name: name.to_owned(),
        dimensions,
    })
}

fn statistic(name: &str) -> Result<Statistic, ServiceError> {
    Ok(match name {
        "Average" => Statistic::Average,
        "Sum" => Statistic::Sum,
        "Minimum" => Statistic::Minimum,
        "Maximum" => Statistic::Maximum,
        "SampleCount" => Statistic::SampleCount,
        _ => return Err(invalid("Stat is not supported")),
    })
}
