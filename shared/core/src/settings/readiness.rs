//! The settings of the `readiness-check` function.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::reader::{Reader, invalid};
use super::{SettingsError, Topology, WorkBuckets, work_buckets};
use crate::names::{BucketName, Members, MrapArn, NameError, Region, TopicArn};

/// Whether the replication rules should be under Replication Time Control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeControl {
    /// Either is right.
    Any,
    /// All of them.
    Enabled,
    /// None of them: it is billed by the gigabyte.
    Disabled,
}

/// Everything that the `readiness-check` function is told from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadinessSettings {
    /// `MRAP_ARN`.
    pub mrap: MrapArn,
    /// `MEMBERS`, home first.
    pub members: Members,
    /// `TOPOLOGY`.
    pub topology: Topology,
    /// `STATE_BUCKET`.
    pub state_bucket: BucketName,
    /// `TOPIC_ARNS`, at least one.
    pub topics: Vec<TopicArn>,
    /// `WORK_BUCKETS`.
    pub work_buckets: WorkBuckets,
    /// `CANARY_PREFIX`, without a slash at either end.
    pub canary_prefix: String,
    /// `MAX_LAG_SECONDS`.
    pub max_lag: SignedDuration,
    /// `REPLICATION_TIME_CONTROL`.
    pub time_control: TimeControl,
    /// `REPLICATION_EVENTS_QUEUE_ARN`; without it nobody listens to replication events.
    pub events_queue: Option<String>,
    /// `ALARM_TOPIC_ARN`: where alarms and the health check's wake-ups go; without it nobody looks
    /// who subscribes.
    pub alarm_topic: Option<TopicArn>,
    /// `FAILOVER_FUNCTION_ARN`: who should subscribe there; without it any function will do.
    pub failover_function: Option<String>,
    /// `WITNESS_REGION`: where the second vantage point is, if there is to be one.
    pub witness: Option<Region>,
    /// `HEARTBEAT_REGION`: where the watchdog waits for heartbeats, if there is to be one.
    pub heartbeat: Option<Region>,
    /// `STACK_ALARMS`: names of the alarms that the stack made, in the control Region. One that
    /// begins with a hyphen follows `STACK_NAME`; one with `{region}` or `{bucket}` in it stands
    /// for one of every member.
    pub alarms: Vec<String>,
    /// `DEAD_LETTER_QUEUES`: names of queues in the control Region that should be empty.
    pub dead_letters: Vec<String>,
}

impl ReadinessSettings {
    /// The alarm of `data-plane/watchdog.yaml`.
    #[must_use]
    pub fn watchdog_alarm(&self) -> String {
        format!("mrap-sentinel-{}-watchdog", self.mrap.stem())
    }

    /// Reads the settings through `lookup`, which answers for environment variables.
    ///
    /// # Errors
    /// The first variable that is missing or invalid, named.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let read = Reader(lookup);
        let members = read.members()?;
        let list = |name| {
            let text = read.optional(name).unwrap_or_default();
            let parts = text.split(',').map(str::trim);
            let parts: Vec<String> = parts
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect();
            parts
        };
        let events_queue = read.optional("REPLICATION_EVENTS_QUEUE_ARN");
        if let Some(arn) = events_queue.as_deref().filter(|arn| !is_queue(arn)) {
            return Err(invalid(
                "REPLICATION_EVENTS_QUEUE_ARN",
                format!(
                    "{arn:?} is not the ARN of a queue such as arn:aws:sqs:us-east-2:111122223333:events"
                ),
            ));
        }
        let failover_function = read.optional("FAILOVER_FUNCTION_ARN");
        if let Some(arn) = failover_function.as_deref().filter(|arn| !is_function(arn)) {
            return Err(invalid(
                "FAILOVER_FUNCTION_ARN",
                format!(
                    "{arn:?} is not the ARN of a function such as arn:aws:lambda:us-east-2:111122223333:function:failover:live"
                ),
            ));
        }
        let alarm_topic = read.optional("ALARM_TOPIC_ARN").map(|text| text.parse());
        let alarm_topic: Option<TopicArn> = alarm_topic
            .transpose()
            .map_err(|error: NameError| invalid("ALARM_TOPIC_ARN", error.to_string()))?;
        Ok(Self {
            mrap: read.mrap()?,
            topology: read.word(
                "TOPOLOGY",
                Topology::ActivePassive,
                "active-passive, active-active",
            )?,
            state_bucket: read.state_bucket()?,
            topics: read.topics()?,
            work_buckets: work_buckets(&read, &members)?,
            canary_prefix: read.canary_prefix()?,
            max_lag: read.max_lag()?,
            time_control: read.word(
                "REPLICATION_TIME_CONTROL",
                TimeControl::Any,
                "any, enabled, disabled",
            )?,
            alarms: alarms(
                list("STACK_ALARMS"),
                read.optional("STACK_NAME").as_deref(),
                &members,
            )?,
            dead_letters: list("DEAD_LETTER_QUEUES"),
            witness: read.region("WITNESS_REGION")?,
            heartbeat: read.region("HEARTBEAT_REGION")?,
            alarm_topic,
            failover_function,
            events_queue,
            members,
        })
    }
}

fn alarms(
    names: Vec<String>,
    stack: Option<&str>,
    members: &Members,
) -> Result<Vec<String>, SettingsError> {
    let mut alarms = Vec::new();
    for name in names {
        let name = match (name.starts_with('-'), stack) {
            (false, _) => name,
            (true, Some(stack)) => format!("{stack}{name}"),
            (true, None) => {
                return Err(SettingsError::Missing {
                    name: "STACK_NAME",
                    expected: "the stack's name: STACK_ALARMS has names that follow it",
                });
            }
        };
        if name.contains("{region}") || name.contains("{bucket}") {
            alarms.extend(members.iter().map(|member| {
                let name = name.replace("{region}", member.region.as_str());
                name.replace("{bucket}", member.bucket.as_str())
            }));
        } else {
            alarms.push(name);
        }
    }
    Ok(alarms)
}

fn is_queue(arn: &str) -> bool {
    let parts: Vec<&str> = arn.split(':').collect();
    matches!(parts.as_slice(), ["arn", _, "sqs", _, _, name] if !name.is_empty())
}

fn is_function(arn: &str) -> bool {
    let parts: Vec<&str> = arn.split(':').collect();
    matches!(parts.as_slice(), ["arn", _, "lambda", _, _, "function", name, ..] if !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<ReadinessSettings, SettingsError> {
        ReadinessSettings::from_lookup(|asked| {
            let usual = match asked {
                "MRAP_ARN" => "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
                "MEMBERS" => "app-use1@us-east-1,app-euw1@eu-west-1",
                "STATE_BUCKET" => "sentinel-state",
                "TOPIC_ARNS" => "arn:aws:sns:us-east-2:111122223333:mrap-sentinel",
                "WORK_BUCKETS" => "work-use1@us-east-1,work-euw1@eu-west-1",
                _ if asked == name => "",
                _ => return None,
            };
            Some(if asked == name { value } else { usual }.to_owned())
        })
    }

    #[test]
    fn what_may_be_left_out() {
        let settings = read("", "").unwrap();
        assert_eq!(settings.topology, Topology::ActivePassive);
        assert_eq!(settings.time_control, TimeControl::Any);
        assert_eq!(settings.canary_prefix, ".mrap-sentinel");
        assert_eq!(settings.max_lag, SignedDuration::from_secs(900));
        assert_eq!(settings.events_queue, None);
        assert_eq!(
            (settings.alarm_topic, settings.failover_function),
            (None, None)
        );
        assert_eq!((settings.witness, settings.heartbeat), (None, None));
        assert!(settings.alarms.is_empty() && settings.dead_letters.is_empty());
        let alarms = read("STACK_ALARMS", "a-silent, b-errors,").unwrap().alarms;
        assert_eq!(alarms, ["a-silent", "b-errors"]);
        let alarms = read("STACK_ALARMS", "x-{region}-{bucket},y")
            .unwrap()
            .alarms;
        assert_eq!(
            alarms,
            ["x-us-east-1-app-use1", "x-eu-west-1-app-euw1", "y"]
        );
    }

    #[test]
    fn every_refusal_names_its_variable() {
        for (name, value) in [
            ("MRAP_ARN", ""),
            ("MEMBERS", "app-use1"),
            ("STATE_BUCKET", "Not A Bucket"),
            ("TOPIC_ARNS", ""),
            ("WORK_BUCKETS", "work-use1@us-east-1"),
            ("TOPOLOGY", "both"),
            ("CANARY_PREFIX", "/x"),
            ("MAX_LAG_SECONDS", "0"),
            ("REPLICATION_TIME_CONTROL", "yes"),
            ("REPLICATION_EVENTS_QUEUE_ARN", "events"),
            ("ALARM_TOPIC_ARN", "alarms"),
            ("FAILOVER_FUNCTION_ARN", "failover"),
            ("WITNESS_REGION", "Oregon"),
            ("HEARTBEAT_REGION", "us_west_2"),
            ("STACK_ALARMS", "-failover-silent"),
        ] {
            let error = read(name, value).expect_err(name);
            // Names that follow the stack's need that.
            let name = name.replace("_ALARMS", "_NAME");
            assert!(error.to_string().contains(&name), "{name}={value}: {error}");
        }
    }
}
