//! The settings of the `health-check` function.

use jiff::SignedDuration;

use super::SettingsError;
use super::reader::{Reader, invalid};
use crate::names::{BucketName, Members, MrapArn, Region, TopicArn};

/// Longest time between two looks at S3's replication metrics: they are told by the minute.
const METRICS: SignedDuration = SignedDuration::from_secs(300);

/// The state store of the control Region, for which this deployment is the witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessOf {
    /// The bucket.
    pub bucket: BucketName,
    /// The control Region.
    pub region: Region,
}

/// Everything that the `health-check` function is told from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// `MRAP_ARN`.
    pub mrap: MrapArn,
    /// `MEMBERS`, home first.
    pub members: Members,
    /// `STATE_BUCKET`: a bucket of the function's own Region. It holds the evidence, unless this is
    /// the witness; either way its answers tell whether S3 of that Region works.
    pub state_bucket: BucketName,
    /// `WITNESS_OF`: set where this is the second vantage point.
    pub witness_of: Option<WitnessOf>,
    /// `WITNESS_REGION`: where the second vantage point is, set in the control Region.
    pub witness: Option<Region>,
    /// `ALARM_TOPIC_ARN`: where the failover function is woken. The witness has none.
    pub alarm_topic: Option<TopicArn>,
    /// `HEARTBEAT_REGION`: a Region that is told that this one is alive.
    pub heartbeat: Option<Region>,
    /// `CANARY_PREFIX`, without a slash at either end.
    pub canary_prefix: String,
    /// `PROBE_INTERVAL_SECONDS`.
    pub probe_interval: SignedDuration,
    /// `PROBE_TIMEOUT_MILLIS`.
    pub probe_timeout: SignedDuration,
    /// `DETECTION_ROUNDS`.
    pub detection_rounds: u32,
    /// `EVIDENCE_MAX_AGE_SECONDS`.
    pub evidence_max_age: SignedDuration,
    /// `MAX_LAG_SECONDS`.
    pub max_lag: SignedDuration,
    /// `REPLICATION_METRICS_SECONDS`: time between two looks at S3's own replication metrics, which
    /// cost money; zero never looks.
    pub replication_metrics: SignedDuration,
    /// `CONTROL_TIMEOUT_MILLIS`.
    pub control_timeout: SignedDuration,
    /// `HEDGE_DELAY_MILLIS`.
    pub hedge_delay: SignedDuration,
}

impl HealthSettings {
    /// Reads the settings through `lookup`, which answers for environment variables.
    ///
    /// # Errors
    /// The first variable that is missing or invalid, named.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let read = Reader(lookup);
        let witness_of = read
            .optional("WITNESS_OF")
            .map(|text| witness_of(&text))
            .transpose()?;
        let alarm_topic = match &witness_of {
            Some(_) => None,
            None => Some(read.parsed(
                "ALARM_TOPIC_ARN",
                "the ARN of the topic that the failover function reads",
            )?),
        };
        let (control_timeout, hedge_delay) = read.control_patience()?;
        let (probe_interval, evidence_max_age) = (read.probe_interval()?, read.evidence_max_age()?);
        if evidence_max_age < probe_interval.saturating_mul(2) {
            return Err(invalid(
                "EVIDENCE_MAX_AGE_SECONDS",
                "must be at least twice PROBE_INTERVAL_SECONDS, or no round follows another and nothing is ever found"
                    .to_owned(),
            ));
        }
        Ok(Self {
            mrap: read.mrap()?,
            members: read.members()?,
            state_bucket: read.state_bucket()?,
            witness_of,
            witness: read.region("WITNESS_REGION")?,
            alarm_topic,
            heartbeat: read.region("HEARTBEAT_REGION")?,
            canary_prefix: read.canary_prefix()?,
            probe_interval,
            probe_timeout: read.probe_timeout()?,
            detection_rounds: read.detection_rounds()?,
            evidence_max_age,
            max_lag: read.max_lag()?,
            replication_metrics: read.seconds("REPLICATION_METRICS_SECONDS", METRICS, 0, 3600)?,
            control_timeout,
            hedge_delay,
        })
    }
}

fn witness_of(text: &str) -> Result<WitnessOf, SettingsError> {
    let parsed = text.split_once('@').and_then(|(bucket, region)| {
        Some(WitnessOf {
            bucket: bucket.parse().ok()?,
            region: region.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| {
        invalid(
            "WITNESS_OF",
            format!("{text:?} must be the control Region's state bucket as bucket@region"),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(more: &[(&str, &str)]) -> Result<HealthSettings, SettingsError> {
        let mut variables = BTreeMap::from([
            (
                "MRAP_ARN",
                "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
            ),
            ("MEMBERS", "app-use1@us-east-1,app-euw1@eu-west-1"),
            ("STATE_BUCKET", "sentinel-state"),
            (
                "ALARM_TOPIC_ARN",
                "arn:aws:sns:us-east-2:111122223333:mrap-sentinel-alarms",
            ),
        ]);
        variables.extend(more.iter().copied());
        HealthSettings::from_lookup(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn the_defaults_find_an_outage_in_three_rounds_of_ten_seconds() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.probe_interval, SignedDuration::from_secs(10));
        assert_eq!(settings.detection_rounds, 3);
        assert_eq!(settings.replication_metrics, SignedDuration::from_mins(5));
        assert_eq!(settings.witness_of, None);
        assert!(settings.alarm_topic.is_some());
    }

    #[test]
    fn a_witness_wakes_nobody() {
        let settings = read(&[
            ("WITNESS_OF", "sentinel-state@us-east-2"),
            ("STATE_BUCKET", "sentinel-witness"),
            ("ALARM_TOPIC_ARN", ""),
        ])
        .unwrap();
        assert_eq!(settings.alarm_topic, None);
        let of = settings.witness_of.unwrap();
        assert_eq!(
            (of.bucket.as_str(), of.region.as_str()),
            ("sentinel-state", "us-east-2")
        );
    }

    #[test]
    fn every_refusal_names_its_variable() {
        for (name, value) in [
            ("MRAP_ARN", ""),
            ("MEMBERS", "app-use1"),
            ("STATE_BUCKET", "Not A Bucket"),
            ("ALARM_TOPIC_ARN", ""),
            ("ALARM_TOPIC_ARN", "alarms"),
            ("WITNESS_OF", "sentinel-state"),
            ("WITNESS_OF", "sentinel-state@Ohio"),
            ("WITNESS_REGION", "Oregon"),
            ("HEARTBEAT_REGION", "us_west_2"),
            ("CANARY_PREFIX", "x/"),
            ("PROBE_INTERVAL_SECONDS", "61"),
            ("DETECTION_ROUNDS", "0"),
            ("EVIDENCE_MAX_AGE_SECONDS", "19"),
            ("REPLICATION_METRICS_SECONDS", "-1"),
            ("HEDGE_DELAY_MILLIS", "2001"),
        ] {
            let error = read(&[(name, value)]).expect_err(name);
            assert!(error.to_string().contains(name), "{name}={value}: {error}");
        }
    }
}
