//! Direct Lambda actions of alarms.
//!
//! Source: Amazon CloudWatch User Guide, "Invoke a Lambda function from an alarm".

use serde_json::Value;

use super::detail;
use super::{AlarmError, AlarmTransition, Via};

/// Reads an object that has `alarmData`.
pub(crate) fn read(event: &Value) -> Result<AlarmTransition, AlarmError> {
    let arn = event.get("alarmArn").ok_or(AlarmError::Field("alarmArn"))?;
    let arn = detail::alarm_arn(arn).ok_or(AlarmError::Arn("alarmArn"))?;
    let data = event.get("alarmData").unwrap_or(&Value::Null);
    detail::transition(arn, data, event.get("time"), Via::Action)
}
