//! Reading variables strictly: an absent optional one has its default, a bad one is an error that
//! names it.

use jiff::SignedDuration;
use serde::Deserialize;

use super::{DAY, SettingsError, Thresholds};
use crate::names::{BucketName, Members, MrapArn, NameError, Region, TopicArn};
use crate::windows::{WindowError, Windows};

/// Looks variables up and remembers their names for errors.
pub(super) struct Reader<F>(pub(super) F);

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    pub(super) fn optional(&self, name: &'static str) -> Option<String> {
        (self.0)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn required(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<String, SettingsError> {
        self.optional(name)
            .ok_or(SettingsError::Missing { name, expected })
    }

    pub(super) fn parsed<T: std::str::FromStr<Err = NameError>>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<T, SettingsError> {
        self.required(name, expected)?
            .parse()
            .map_err(|error: NameError| invalid(name, error.to_string()))
    }

    /// `MRAP_ARN`.
    pub(super) fn mrap(&self) -> Result<MrapArn, SettingsError> {
        self.parsed("MRAP_ARN", "the ARN of the Multi-Region Access Point")
    }

    /// `MEMBERS`.
    pub(super) fn members(&self) -> Result<Members, SettingsError> {
        self.parsed("MEMBERS", "bucket@region,bucket@region,… with home first")
    }

    /// `STATE_BUCKET`.
    pub(super) fn state_bucket(&self) -> Result<BucketName, SettingsError> {
        self.parsed("STATE_BUCKET", "the bucket of the state store")
    }

    /// `TOPIC_ARNS`.
    pub(super) fn topics(&self) -> Result<Vec<TopicArn>, SettingsError> {
        self.required(
            "TOPIC_ARNS",
            "one or more SNS topic ARNs, separated by commas",
        )?
        .split(',')
        .map(|part| part.trim().parse())
        .collect::<Result<Vec<TopicArn>, NameError>>()
        .map_err(|error| invalid("TOPIC_ARNS", error.to_string()))
    }

    /// `CANARY_PREFIX`.
    pub(super) fn canary_prefix(&self) -> Result<String, SettingsError> {
        let prefix = self
            .optional("CANARY_PREFIX")
            .unwrap_or_else(|| ".mrap-sentinel".to_owned());
        if prefix.starts_with('/') || prefix.ends_with('/') || prefix.len() > 512 {
            return Err(invalid(
                "CANARY_PREFIX",
                format!(
                    "{prefix:?} must be at most 512 bytes and neither begin nor end with a slash"
                ),
            ));
        }
        Ok(prefix)
    }

    /// A Region that need not be given.
    pub(super) fn region(&self, name: &'static str) -> Result<Option<Region>, SettingsError> {
        self.optional(name)
            .map(|text| text.parse())
            .transpose()
            .map_err(|error: NameError| invalid(name, error.to_string()))
    }

    /// `EVIDENCE_MAX_AGE_SECONDS`.
    pub(super) fn evidence_max_age(&self) -> Result<SignedDuration, SettingsError> {
        let default = Thresholds::default().evidence_max_age;
        self.seconds("EVIDENCE_MAX_AGE_SECONDS", default, 10, 3600)
    }

    /// `DETECTION_ROUNDS`.
    pub(super) fn detection_rounds(&self) -> Result<u32, SettingsError> {
        let default = Thresholds::default().detection_rounds;
        self.count("DETECTION_ROUNDS", default, 1, 60, "rounds")
    }

    /// `PROBE_INTERVAL_SECONDS`.
    pub(super) fn probe_interval(&self) -> Result<SignedDuration, SettingsError> {
        let default = Thresholds::default().probe_interval;
        self.seconds("PROBE_INTERVAL_SECONDS", default, 1, 60)
    }

    /// `PROBE_TIMEOUT_MILLIS`.
    pub(super) fn probe_timeout(&self) -> Result<SignedDuration, SettingsError> {
        let default = Thresholds::default().probe_timeout;
        self.millis("PROBE_TIMEOUT_MILLIS", default, 100, 20_000)
    }

    /// `MAX_LAG_SECONDS`.
    pub(super) fn max_lag(&self) -> Result<SignedDuration, SettingsError> {
        let default = Thresholds::default().max_lag;
        self.seconds("MAX_LAG_SECONDS", default, 1, 7 * DAY)
    }

    /// `CONTROL_TIMEOUT_MILLIS` and `HEDGE_DELAY_MILLIS`.
    pub(super) fn control_patience(
        &self,
    ) -> Result<(SignedDuration, SignedDuration), SettingsError> {
        let default = Thresholds::default();
        let timeout = self.millis(
            "CONTROL_TIMEOUT_MILLIS",
            default.control_timeout,
            100,
            10_000,
        )?;
        let hedge = self.millis("HEDGE_DELAY_MILLIS", default.hedge_delay, 10, 10_000)?;
        if hedge > timeout {
            return Err(invalid(
                "HEDGE_DELAY_MILLIS",
                "must not be longer than CONTROL_TIMEOUT_MILLIS, or no try is ever hedged"
                    .to_owned(),
            ));
        }
        Ok((timeout, hedge))
    }

    /// One of a few words, the variants' kebab-case names.
    pub(super) fn word<T: for<'de> Deserialize<'de>>(
        &self,
        name: &'static str,
        default: T,
        words: &str,
    ) -> Result<T, SettingsError> {
        match self.optional(name) {
            None => Ok(default),
            Some(text) => serde_json::from_value(serde_json::Value::String(text.clone()))
                .map_err(|_| invalid(name, format!("{text:?} is none of {words}"))),
        }
    }

    /// Windows of time; absent is any time.
    pub(super) fn windows(&self, name: &'static str) -> Result<Windows, SettingsError> {
        self.optional(name)
            .unwrap_or_default()
            .parse()
            .map_err(|error: WindowError| invalid(name, error.to_string()))
    }

    pub(super) fn whole(
        &self,
        name: &'static str,
        default: i64,
        low: i64,
        high: i64,
        unit: &str,
    ) -> Result<i64, SettingsError> {
        let Some(text) = self.optional(name) else {
            return Ok(default);
        };
        text.parse::<i64>()
            .ok()
            .filter(|value| (low..=high).contains(value))
            .ok_or_else(|| {
                invalid(
                    name,
                    format!("{text:?} is not a whole number of {unit} from {low} to {high}"),
                )
            })
    }

    /// A whole number in the type in which it is kept.
    pub(super) fn count<T: TryFrom<i64> + TryInto<i64>>(
        &self,
        name: &'static str,
        default: T,
        low: i64,
        high: i64,
        unit: &str,
    ) -> Result<T, SettingsError> {
        let value = self.whole(name, default.try_into().unwrap_or(low), low, high, unit)?;
        T::try_from(value).map_err(|_| invalid(name, format!("{value} {unit} are too many")))
    }

    pub(super) fn seconds(
        &self,
        name: &'static str,
        default: SignedDuration,
        low: i64,
        high: i64,
    ) -> Result<SignedDuration, SettingsError> {
        self.whole(name, default.as_secs(), low, high, "seconds")
            .map(SignedDuration::from_secs)
    }

    pub(super) fn millis(
        &self,
        name: &'static str,
        default: SignedDuration,
        low: i64,
        high: i64,
    ) -> Result<SignedDuration, SettingsError> {
        let default = i64::try_from(default.as_millis()).unwrap_or(i64::MAX);
        self.whole(name, default, low, high, "milliseconds")
            .map(SignedDuration::from_millis)
    }
}

pub(super) fn invalid(name: &'static str, reason: String) -> SettingsError {
    SettingsError::Invalid { name, reason }
}
