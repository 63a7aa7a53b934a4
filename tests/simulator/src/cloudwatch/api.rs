//! The front door, over rpc-v2-cbor and awsJson: `DescribeAlarms`, `SetAlarmState`, errors.

use ciborium::Value;
use fastrand::Rng;

use super::engine::{Alarm, CloudWatch};
use super::{AlarmRule, AlarmState, MetricName, payloads};
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
            "ListMetrics" => self.list_metrics(&call.region, &input, now)?,
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

pub(super) fn invalid(message: &str) -> ServiceError {
    ServiceError::new(400, "InvalidParameterValue", message)
}

fn texts<'a>(input: &'a Value, name: &str) -> Vec<&'a str> {
    cbor::list(input, name)
        .iter()
        .filter_map(Value::as_text)
        .collect()
}

pub(super) fn dimensions(metric: &MetricName) -> Value {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::WorldConfig;

    /// The SDK speaks CBOR; other clients speak JSON.
    #[test]
    fn json_is_understood_and_answered() {
        let mut cloudwatch = CloudWatch::new(&WorldConfig::new(1));
        let mut ask = |operation: &str, input: serde_json::Value| {
            let request = http::Request::post("https://monitoring.us-east-2.amazonaws.com/")
                .header("host", "monitoring.us-east-2.amazonaws.com")
                .header(
                    "x-amz-target",
                    format!("GraniteServiceVersion20100801.{operation}"),
                )
                .body(input.to_string().into())
                .unwrap();
            let call = Call::read(&request);
            let answer = cloudwatch.handle(&call, SimTime::ZERO, &mut Rng::with_seed(1));
            let answer = answer.unwrap_or_else(|error| render_error(&error, &call));
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            (answer.status, body)
        };
        let dimensions = json!([{"Name": "Region", "Value": "us-east-1"}]);
        let datum = json!({"MetricName": "Failed", "Value": 1, "StorageResolution": 1, "Dimensions": dimensions});
        let put = json!({"Namespace": "Canary", "MetricData": [datum]});
        assert_eq!(ask("PutMetricData", put), (200, json!({})));
        let metric =
            json!({"Namespace": "Canary", "MetricName": "Failed", "Dimensions": dimensions});
        let filter = json!({"Namespace": "Canary", "Dimensions": [{"Name": "Region"}]});
        assert_eq!(
            ask("ListMetrics", filter),
            (200, json!({"Metrics": [metric]}))
        );
        let (status, refusal) = ask("ListMetrics", json!({"NextToken": "none"}));
        assert_eq!(
            (status, &refusal["__type"]),
            (400, &json!("InvalidParameterValueException"))
        );
    }
}
