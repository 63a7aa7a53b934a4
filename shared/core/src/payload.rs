//! Everything that can reach the `failover` function, told apart by structure.

use serde_json::{Map, Value};

use crate::alarm::{AlarmError, AlarmTransition, action, eventbridge, sns};
use crate::command::{Command, CommandError, json_type};
use crate::excerpt::{Excerpt, listing};
use crate::wake::Wake;

/// What an invocation asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Alarms changed their state; several are one decision. Never empty.
    Alarms(Vec<AlarmTransition>),
    /// The health check found active members bad: a reason to look, not to act. Never empty.
    /// Alarms that come along in the same event make it one of alarms: they look too.
    Wake(Vec<Wake>),
    /// A command, the tick included.
    Command(Command),
    /// Recognised, and never a reason to act: logged as no change.
    Ignored {
        /// What it is.
        what: String,
    },
}

/// Why a payload was refused. The text says what was recognised of it and what to do, and never
/// repeats it in bulk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The bytes are not JSON.
    #[error("the payload is not JSON (line {line}, column {column})")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// It is something, but nothing that this function takes.
    #[error("the payload is {what}: {remedy}")]
    Unwanted {
        /// What was recognised.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// One of several SNS records was refused, hence all: whoever sent them together must not
    /// believe that they were taken.
    #[error("SNS record {position} of {count}: {source}")]
    Record {
        /// Counted from 1.
        position: usize,
        /// How many there are.
        count: usize,
        /// Why.
        source: Box<PayloadError>,
    },
    /// An alarm that cannot be read.
    #[error("the payload is {what}, but {source}")]
    Alarm {
        /// How it came.
        what: &'static str,
        /// What is wrong with it.
        source: AlarmError,
    },
    /// A command that cannot be carried out as written.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// Reads an invocation's payload from its bytes.
///
/// # Errors
/// [`PayloadError`]; bytes that are no JSON are one too.
pub fn parse_bytes(bytes: &[u8]) -> Result<Payload, PayloadError> {
    let value = serde_json::from_slice(bytes).map_err(|error| PayloadError::NotJson {
        line: error.line(),
        column: error.column(),
    })?;
    parse(&value)
}

/// Reads an invocation's payload.
///
/// # Errors
/// [`PayloadError`] says what was recognised and what to do.
pub fn parse(payload: &Value) -> Result<Payload, PayloadError> {
    let Some(object) = payload.as_object() else {
        let what = match payload {
            Value::Array(items) => format!("a list of {} items", items.len()),
            other => json_type(other).to_owned(),
        };
        return unwanted(what, TAKES);
    };
    if let Some(records) = object.get("Records").and_then(Value::as_array) {
        return parse_records(records);
    }
    if object.contains_key("detail-type") {
        return parse_event(payload).map(Payload::from);
    }
    if object.contains_key("alarmData") {
        return parse_action(payload);
    }
    if object.contains_key("command") {
        return Ok(Payload::Command(Command::from_object(object)?));
    }
    unrecognised(object)
}

/// What a payload without commands says.
enum Report {
    Alarm(Box<AlarmTransition>),
    Wake(Wake),
    Ignored { what: String },
}

impl From<Report> for Payload {
    fn from(report: Report) -> Self {
        match report {
            Report::Alarm(transition) => Self::Alarms(vec![*transition]),
            Report::Wake(wake) => Self::Wake(vec![wake]),
            Report::Ignored { what } => Self::Ignored { what },
        }
    }
}

/// What this function takes, for those who sent something else.
const TAKES: &str = "this function takes CloudWatch alarms (from EventBridge, as a Lambda action, \
                     over SNS) and commands such as {\"command\":\"status\"}";

/// The one source that EventBridge lets nobody but CloudWatch itself use.
const CLOUDWATCH: &str = "aws.cloudwatch";

fn unwanted<T>(what: impl Into<String>, remedy: &'static str) -> Result<T, PayloadError> {
    let what = what.into();
    Err(PayloadError::Unwanted { what, remedy })
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// A batch of records: SNS notifications, or something that nobody should send here.
fn parse_records(records: &[Value]) -> Result<Payload, PayloadError> {
    let count = records.len();
    let Some(first) = records.first() else {
        return unwanted("an envelope without records", TAKES);
    };
    if first.get("Sns").is_none() && text(first, "EventSource") != Some("aws:sns") {
        return other_records(first, count);
    }
    let mut alarms = Vec::new();
    let mut wakes = Vec::new();
    let mut ignored = Vec::new();
    for (index, record) in records.iter().enumerate() {
        match parse_notification(record) {
            Ok(Report::Alarm(transition)) => alarms.push(*transition),
            Ok(Report::Wake(wake)) => wakes.push(wake),
            Ok(Report::Ignored { what }) => ignored.push(what),
            Err(error) if count == 1 => return Err(error),
            Err(error) => {
                return Err(PayloadError::Record {
                    position: index.saturating_add(1),
                    count,
                    source: Box::new(error),
                });
            }
        }
    }
    if alarms.is_empty() && !wakes.is_empty() {
        return Ok(Payload::Wake(wakes));
    }
    if alarms.is_empty() {
        let what = listing(ignored);
        return Ok(Payload::Ignored { what });
    }
    Ok(Payload::Alarms(alarms))
}

/// One SNS notification: the message of an alarm's action, or an alarm event forwarded by a rule.
fn parse_notification(record: &Value) -> Result<Report, PayloadError> {
    let Some(message) = record.get("Sns").and_then(|sns| text(sns, "Message")) else {
        return unwanted("an SNS record without a text message", TAKES);
    };
    let Ok(message) = serde_json::from_str::<Value>(message) else {
        return unwanted(
            "an SNS notification whose message is not JSON",
            "let only alarm actions publish to the topic that invokes this function",
        );
    };
    if message.get("detail-type").is_some() {
        return parse_event(&message);
    }
    if sns::is_alarm(&message) {
        let what = "an alarm's SNS notification";
        return sns::read(&message)
            .map(|transition| Report::Alarm(Box::new(transition)))
            .map_err(|source| PayloadError::Alarm { what, source });
    }
    if Wake::is_one(&message) {
        return match Wake::read(&message) {
            Ok(wake) => Ok(Report::Wake(wake)),
            Err(error) => unwanted(
                format!("a wake-up of the health check that cannot be read ({error})"),
                "deploy both functions in the same version; the next tick looks at the evidence all the same",
            ),
        };
    }
    if message.get("command").is_some() {
        return unwanted(
            "an SNS notification whose message is a command",
            "commands are taken from direct invocations only, because whoever may publish to a \
             topic need not be allowed to turn the dial; invoke the function itself",
        );
    }
    unwanted(
        "an SNS notification whose message is not an alarm",
        "let only alarm actions publish to the topic that invokes this function",
    )
}

fn parse_action(payload: &Value) -> Result<Payload, PayloadError> {
    if let Some(source) = text(payload, "source").filter(|source| *source != CLOUDWATCH) {
        let what = format!("an alarm action from {}", Excerpt(source));
        return unwanted(what, TAKES);
    }
    let what = "an alarm's Lambda action";
    action::read(payload)
        .map(|transition| Payload::Alarms(vec![transition]))
        .map_err(|source| PayloadError::Alarm { what, source })
}

fn parse_event(event: &Value) -> Result<Report, PayloadError> {
    let detail_type = text(event, "detail-type").unwrap_or_default();
    let source = text(event, "source").unwrap_or_default();
    let is_change = eventbridge::STATE_CHANGES.contains(&detail_type);
    if source == CLOUDWATCH && is_change {
        let what = "an alarm's EventBridge event";
        return eventbridge::read(event)
            .map(|transition| Report::Alarm(Box::new(transition)))
            .map_err(|source| PayloadError::Alarm { what, source });
    }
    if source == CLOUDWATCH && detail_type == eventbridge::CONFIGURATION_CHANGE {
        let detail = event.get("detail").unwrap_or(&Value::Null);
        let operation = text(detail, "operation").unwrap_or("change");
        let alarm = text(detail, "alarmName").unwrap_or_default();
        let what = format!(
            "the configuration of alarm {} changed ({})",
            Excerpt(alarm),
            Excerpt(operation)
        );
        return Ok(Report::Ignored { what });
    }
    let remedy = if is_change {
        "only CloudWatch itself is believed, whose events have the source aws.cloudwatch"
    } else if detail_type == "Scheduled Event" {
        "let the schedule send the constant input {\"command\":\"tick\"}"
    } else {
        "let the rule match the detail types \"CloudWatch Alarm State Change\" and \
         \"CloudWatch Alarm Contributor State Change\" only"
    };
    let what = format!(
        "an EventBridge event {} from {}",
        Excerpt(detail_type),
        Excerpt(source)
    );
    unwanted(what, remedy)
}

/// Records that are no SNS notifications.
fn other_records<T>(first: &Value, count: usize) -> Result<T, PayloadError> {
    let source = text(first, "eventSource").or_else(|| text(first, "EventSource"));
    let plural = if count == 1 { "record" } else { "records" };
    match source {
        Some("aws:sqs") => unwanted(
            format!("an SQS envelope with {count} {plural}"),
            "nothing feeds this function from a queue; remove the event source mapping and let \
             EventBridge, the alarm's Lambda action or SNS invoke it",
        ),
        Some("aws:s3") => unwanted(
            format!(
                "an S3 event {} with {count} {plural}",
                Excerpt(text(first, "eventName").unwrap_or_default())
            ),
            "replication events belong into the queue of the replication-events function",
        ),
        Some(other) => unwanted(format!("{count} {plural} from {}", Excerpt(other)), TAKES),
        None => unwanted(
            format!("an envelope of {count} {plural} of unknown source"),
            TAKES,
        ),
    }
}

/// An object that is none of the known ones; some are worth a hint.
fn unrecognised<T>(object: &Map<String, Value>) -> Result<T, PayloadError> {
    let has = |key| object.contains_key(key);
    if has("NewStateValue") && has("AlarmName") {
        return unwanted(
            "an alarm message without its SNS envelope",
            "let SNS invoke the function, or send the message inside a record's Sns.Message",
        );
    }
    if object.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return unwanted(
            "the test event of an S3 notification",
            "replication events belong into the queue of the replication-events function",
        );
    }
    if has("requestContext") {
        return unwanted(
            "an HTTP request",
            "this function is not meant to be reachable over HTTP; invoke it with a command",
        );
    }
    if object.is_empty() {
        return unwanted("an empty object", TAKES);
    }
    let keys = listing(object.keys().map(|key| Excerpt(key)));
    unwanted(format!("an object with the keys {keys}"), TAKES)
}
