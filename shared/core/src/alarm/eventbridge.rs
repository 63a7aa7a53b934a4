//! Alarm events of `EventBridge`.
//!
//! Source: Amazon CloudWatch User Guide, "Alarm events and EventBridge".

use serde_json::Value;

use super::detail::{self, text};
use super::{AlarmError, AlarmTransition, Via};
use crate::names::AlarmArn;

/// The detail types that say that an alarm changed its state.
pub(crate) const STATE_CHANGES: [&str; 2] = [
    "CloudWatch Alarm State Change",
    "CloudWatch Alarm Contributor State Change",
];

/// The detail type that says that an alarm was created, updated or deleted.
pub(crate) const CONFIGURATION_CHANGE: &str = "CloudWatch Alarm Configuration Change";

/// Reads an event whose detail type is one of [`STATE_CHANGES`] and whose source is `CloudWatch`.
pub(crate) fn read(event: &Value) -> Result<AlarmTransition, AlarmError> {
    let detail = event.get("detail").unwrap_or(&Value::Null);
    let arn = arn(event, detail)?;
    detail::transition(arn, detail, event.get("time"), Via::EventBridge)
}

/// The alarm's ARN from `resources`, else made of Region, account and name.
fn arn(event: &Value, detail: &Value) -> Result<AlarmArn, AlarmError> {
    let listed = event
        .get("resources")
        .and_then(|resources| resources.get(0))
        .and_then(detail::alarm_arn);
    if let Some(arn) = listed {
        return Ok(arn);
    }
    let made = || {
        let region = text(event, "region")?;
        let account = text(event, "account")?;
        let name = text(detail, "alarmName")?;
        let text = format!("arn:aws:cloudwatch:{region}:{account}:alarm:{name}");
        detail::alarm_arn(&text.into())
    };
    made().ok_or(AlarmError::Unidentified)
}
