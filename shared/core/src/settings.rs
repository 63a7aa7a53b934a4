//! Settings: environment variables as typed, checked values.
//!
//! Read once at start. An invalid value is an error that names the variable and says what would
//! be right; only an absent optional variable takes its documented default.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::alarm::TriggerPolicy;
use crate::names::{AlarmArn, BucketName, Members, MrapArn, Region, TopicArn};
use crate::windows::Windows;

mod collector;
mod health;
mod reader;
mod readiness;
mod redrive;

pub use collector::CollectorSettings;
pub use health::{HealthSettings, WitnessOf};
use reader::{Reader, invalid};
pub use readiness::{ReadinessSettings, TimeControl};
use redrive::work_buckets;
pub use redrive::{RedriveMode, RedriveSettings, RedriveThresholds, WorkBuckets};

/// Why the settings were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A required variable is absent or empty.
    #[error("environment variable {name} is missing: set it to {expected}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// A variable's value was refused.
    #[error("environment variable {name} is invalid: {reason}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
}

/// Which members are meant to be active when all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// Home alone.
    ActivePassive,
    /// All members.
    ActiveActive,
}

/// What automatic failover may do. Does not limit an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Decide and report, turn nothing.
    Observe,
    /// Report with a decision that an operator can approve.
    Approve,
    /// Turn the dial.
    Automatic,
}

/// What automatic failback may do. Does not limit an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailbackMode {
    /// Only an operator's command fails back.
    Manual,
    /// Report when home is safe, with a decision that an operator can approve.
    Approve,
    /// Go home once it is safe.
    Automatic,
}

/// Numbers that bound decisions and probes; the environment variables carry the same names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds {
    /// How old a trigger's last confirmation may be.
    pub trigger_fresh: SignedDuration,
    /// How old evidence may be before the members are probed anew.
    pub evidence_max_age: SignedDuration,
    /// How long an active member must have been bad before that alone opens a trigger.
    pub evidence_trigger: SignedDuration,
    /// How many rounds of the health check in a row must have found an active member bad before
    /// that alone opens a trigger.
    pub detection_rounds: u32,
    /// Time between two rounds of probes.
    pub probe_interval: SignedDuration,
    /// Time limit of one probe request.
    pub probe_timeout: SignedDuration,
    /// Largest acceptable exposure.
    pub max_lag: SignedDuration,
    /// How long no automatic move returns to a member that an automatic change left.
    pub cooldown: SignedDuration,
    /// How long any other automatic move waits after the last change.
    pub min_dwell: SignedDuration,
    /// How long a member must have been healthy to be returned to within the cooldown when every active member is bad.
    pub return_healthy: SignedDuration,
    /// How long the routes must have read back stable before an abandoned change may be opposed.
    pub settle: SignedDuration,
    /// Automatic changes in a rolling day.
    pub daily_budget: u32,
    /// How long home must have been healthy before a failback.
    pub stabilization: SignedDuration,
    /// How long nothing must have been pending towards home before a failback.
    pub drain: SignedDuration,
    /// Operations that may be pending towards home all the same: what the clients of a busy
    /// access point always have in flight.
    pub drain_operations: u64,
    /// How long a rehearsal stays away once the data plane has followed.
    pub rehearsal: SignedDuration,
    /// Time between reminders that a failback is due.
    pub failback_reminder: SignedDuration,
    /// Time between reminders that a decision is still blocked.
    pub blocked_reminder: SignedDuration,
    /// Time limit of one try at a control endpoint.
    pub control_timeout: SignedDuration,
    /// How long a try may stay unanswered before the next control endpoint is tried beside it.
    pub hedge_delay: SignedDuration,
}

impl Default for Thresholds {
    fn default() -> Self {
        let seconds = SignedDuration::from_secs;
        let millis = SignedDuration::from_millis;
        Self {
            trigger_fresh: seconds(120),
            evidence_max_age: seconds(90),
            evidence_trigger: seconds(60),
            detection_rounds: 3,
            probe_interval: seconds(10),
            probe_timeout: millis(3000),
            max_lag: seconds(900),
            cooldown: seconds(1800),
            min_dwell: seconds(180),
            return_healthy: seconds(300),
            settle: seconds(120),
            daily_budget: 4,
            stabilization: seconds(1800),
            drain: seconds(600),
            drain_operations: 0,
            rehearsal: seconds(300),
            failback_reminder: seconds(14_400),
            blocked_reminder: seconds(900),
            control_timeout: millis(2000),
            hedge_delay: millis(300),
        }
    }
}

/// An alarm that keeps scheduled rehearsals from beginning, and ends one that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockingAlarm {
    /// By name, in the Region in which the automation runs.
    Named(String),
    /// By ARN, wherever it is.
    Elsewhere(AlarmArn),
}

/// Longest name of an alarm, in characters, by CloudWatch's API.
const ALARM_NAME: usize = 255;

impl BlockingAlarm {
    /// The alarm's ARN, given where the automation runs.
    #[must_use]
    pub fn arn(&self, region: &Region, account: &str) -> Option<AlarmArn> {
        match self {
            Self::Elsewhere(arn) => Some(arn.clone()),
            Self::Named(name) => {
                let arn = format!("arn:aws:cloudwatch:{region}:{account}:alarm:{name}");
                arn.parse().ok()
            }
        }
    }
}

fn blocking_alarms<F: Fn(&str) -> Option<String>>(
    read: &Reader<F>,
) -> Result<Vec<BlockingAlarm>, SettingsError> {
    let name = "REHEARSAL_BLOCKING_ALARMS";
    let list = read.optional(name).unwrap_or_default();
    let entries = list.split(',').map(str::trim);
    entries
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            if entry.starts_with("arn:") {
                let arn = entry.parse::<AlarmArn>();
                return arn
                    .map(BlockingAlarm::Elsewhere)
                    .map_err(|error| invalid(name, error.to_string()));
            }
            if entry.chars().count() > ALARM_NAME || entry.contains('*') {
                return Err(invalid(
                    name,
                    format!(
                        "{entry:?} is no name of one alarm: write names (no globs) or ARNs, separated by commas"
                    ),
                ));
            }
            Ok(BlockingAlarm::Named(entry.to_owned()))
        })
        .collect()
}

/// Everything that the `failover` function is told from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `MRAP_ARN`.
    pub mrap: MrapArn,
    /// `MEMBERS`, home first.
    pub members: Members,
    /// `TOPOLOGY`.
    pub topology: Topology,
    /// `MODE`.
    pub mode: Mode,
    /// `FAILBACK`.
    pub failback: FailbackMode,
    /// `FAILBACK_WINDOWS`: when the machine may go home by itself.
    pub failback_windows: Windows,
    /// `REHEARSAL_WINDOWS`: when scheduled rehearsals may begin.
    pub rehearsal_windows: Windows,
    /// `REHEARSAL_BLOCKING_ALARMS`: no scheduled rehearsal while one of them is in ALARM.
    pub rehearsal_alarms: Vec<BlockingAlarm>,
    /// `STATE_BUCKET`.
    pub state_bucket: BucketName,
    /// `TOPIC_ARNS`, at least one.
    pub topics: Vec<TopicArn>,
    /// `TRIGGER_ALARMS` and `ALARM_REGIONS`.
    pub alarms: TriggerPolicy,
    /// `CANARY_PREFIX`, without a slash at either end.
    pub canary_prefix: String,
    /// `WITNESS_REGION`: where a second health check looks at the members, if one does.
    pub witness: Option<Region>,
    /// The thresholds.
    pub thresholds: Thresholds,
}

const DAY: i64 = 86_400;

impl Settings {
    /// Reads the settings through `lookup`, which answers for environment variables.
    ///
    /// # Errors
    /// The first variable that is missing or invalid, named.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let read = Reader(lookup);
        let mrap = read.mrap()?;
        let members = read.members()?;
        let topics = read.topics()?;
        let alarms = TriggerPolicy::from_settings(
            read.optional("TRIGGER_ALARMS").as_deref(),
            read.optional("ALARM_REGIONS").as_deref(),
            &members,
        )
        .map_err(|error| invalid(error.setting, error.to_string()))?;
        let canary_prefix = read.canary_prefix()?;
        Ok(Self {
            mrap,
            topology: read.word(
                "TOPOLOGY",
                Topology::ActivePassive,
                "active-passive, active-active",
            )?,
            mode: read.word("MODE", Mode::Observe, "observe, approve, automatic")?,
            failback: read.word(
                "FAILBACK",
                FailbackMode::Manual,
                "manual, approve, automatic",
            )?,
            failback_windows: read.windows("FAILBACK_WINDOWS")?,
            rehearsal_windows: read.windows("REHEARSAL_WINDOWS")?,
            rehearsal_alarms: blocking_alarms(&read)?,
            state_bucket: read.state_bucket()?,
            topics,
            alarms,
            canary_prefix,
            witness: read.region("WITNESS_REGION")?,
            thresholds: thresholds(&read)?,
            members,
        })
    }
}

fn thresholds<F: Fn(&str) -> Option<String>>(
    read: &Reader<F>,
) -> Result<Thresholds, SettingsError> {
    let default = Thresholds::default();
    let (control_timeout, hedge_delay) = read.control_patience()?;
    Ok(Thresholds {
        trigger_fresh: read.seconds("TRIGGER_FRESH_SECONDS", default.trigger_fresh, 60, 3600)?,
        evidence_max_age: read.evidence_max_age()?,
        evidence_trigger: read.seconds(
            "EVIDENCE_TRIGGER_SECONDS",
            default.evidence_trigger,
            10,
            DAY,
        )?,
        detection_rounds: read.detection_rounds()?,
        probe_interval: read.probe_interval()?,
        probe_timeout: read.probe_timeout()?,
        max_lag: read.max_lag()?,
        cooldown: read.seconds("COOLDOWN_SECONDS", default.cooldown, 0, 7 * DAY)?,
        min_dwell: read.seconds("MIN_DWELL_SECONDS", default.min_dwell, 0, DAY)?,
        return_healthy: read.seconds("RETURN_HEALTHY_SECONDS", default.return_healthy, 0, DAY)?,
        settle: read.seconds("SETTLE_SECONDS", default.settle, 10, 3600)?,
        daily_budget: read.count("DAILY_BUDGET", default.daily_budget, 1, 50, "changes a day")?,
        stabilization: read.seconds("STABILIZATION_SECONDS", default.stabilization, 0, 7 * DAY)?,
        drain: read.seconds("DRAIN_SECONDS", default.drain, 0, 7 * DAY)?,
        drain_operations: read.count(
            "DRAIN_OPERATIONS",
            default.drain_operations,
            0,
            1_000_000,
            "operations",
        )?,
        rehearsal: read.seconds("REHEARSAL_SECONDS", default.rehearsal, 0, DAY)?,
        failback_reminder: read.seconds(
            "FAILBACK_REMINDER_SECONDS",
            default.failback_reminder,
            60,
            7 * DAY,
        )?,
        blocked_reminder: read.seconds(
            "BLOCKED_REMINDER_SECONDS",
            default.blocked_reminder,
            60,
            7 * DAY,
        )?,
        control_timeout,
        hedge_delay,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn minimal() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([
            (
                "MRAP_ARN",
                "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
            ),
            ("MEMBERS", "app-use1@us-east-1,app-euw1@eu-west-1"),
            ("STATE_BUCKET", "sentinel-state"),
            (
                "TOPIC_ARNS",
                "arn:aws:sns:us-east-2:111122223333:mrap-sentinel",
            ),
        ])
    }

    fn read(variables: &BTreeMap<&str, &str>) -> Result<Settings, SettingsError> {
        Settings::from_lookup(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn a_fresh_deployment_only_observes() {
        let settings = read(&minimal()).unwrap();
        assert_eq!(settings.mode, Mode::Observe);
        assert_eq!(settings.failback, FailbackMode::Manual);
        assert_eq!(settings.topology, Topology::ActivePassive);
        assert_eq!(settings.thresholds, Thresholds::default());
        assert_eq!(settings.canary_prefix, ".mrap-sentinel");
    }

    #[test]
    fn blocking_alarms_are_named_or_elsewhere() {
        let mut variables = minimal();
        let elsewhere = "arn:aws:cloudwatch:eu-west-1:444455556666:alarm:night work";
        let list = format!("web 5xx, {elsewhere},");
        variables.insert("REHEARSAL_BLOCKING_ALARMS", &list);
        let alarms = read(&variables).unwrap().rehearsal_alarms;
        let region = "us-east-2".parse().unwrap();
        let arns: Vec<String> = alarms
            .iter()
            .map(|alarm| alarm.arn(&region, "111122223333").unwrap().to_string())
            .collect();
        let own = "arn:aws:cloudwatch:us-east-2:111122223333:alarm:web 5xx";
        assert_eq!(arns, [own, elsewhere]);
    }

    #[test]
    fn every_refusal_names_its_variable() {
        for (name, value) in [
            ("MRAP_ARN", ""),
            ("MRAP_ARN", "mfzwi23gnjvgw.mrap"),
            ("MEMBERS", "app-use1@us-east-1"),
            ("MEMBERS", "app-use1"),
            ("STATE_BUCKET", "Not A Bucket"),
            ("TOPIC_ARNS", "mail@example.com"),
            ("TOPOLOGY", "active"),
            ("MODE", "Automatic"),
            ("FAILBACK", "yes"),
            ("ALARM_REGIONS", "web-*"),
            ("ALARM_REGIONS", "web-*=ap-south-1"),
            ("COOLDOWN_SECONDS", "30m"),
            ("COOLDOWN_SECONDS", "-1"),
            ("DAILY_BUDGET", "0"),
            ("PROBE_TIMEOUT_MILLIS", "3.5"),
            ("HEDGE_DELAY_MILLIS", "2001"),
            ("FAILBACK_WINDOWS", "office hours"),
            ("REHEARSAL_WINDOWS", "Mon 09:00-10:00 Middle/Earth"),
            ("REHEARSAL_BLOCKING_ALARMS", "web-*"),
            (
                "REHEARSAL_BLOCKING_ALARMS",
                "web-5xx,arn:aws:sns:us-east-1:111122223333:x",
            ),
            ("DRAIN_OPERATIONS", "-1"),
            ("REHEARSAL_SECONDS", "5m"),
            ("CANARY_PREFIX", "/x"),
        ] {
            let mut variables = minimal();
            variables.insert(name, value);
            let error = read(&variables).expect_err(&format!("{name}={value}"));
            assert!(error.to_string().contains(name), "{name}={value}: {error}");
        }
    }
}
