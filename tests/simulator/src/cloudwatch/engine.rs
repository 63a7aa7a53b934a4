//! Alarms at work: evaluation by the minute or every ten seconds, suppression, mute windows, deliveries.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use serde_json::json;

use super::metrics::{Metrics, Resolution, is_period};
use super::payloads::{self, Context, alarm_time};
use super::rule::Rule;
use super::{
    AlarmConfig, AlarmRule, AlarmState, Comparison, Delivery, MetricAlarm, MetricName, Suppressor,
    TreatMissing,
};
use crate::SimTime;
use crate::config::WorldConfig;
use crate::dice::{chance, span};
use crate::time::calendar;

/// `CloudWatch` of every Region.
#[derive(Debug)]
pub(crate) struct CloudWatch {
    pub(super) account: String,
    pub(super) epoch: Timestamp,
    metric_delay: Duration,
    high_resolution_delay: Duration,
    delivery: RangeInclusive<u64>,
    duplicates: f64,
    pub(super) metrics: Metrics,
    /// By Region and name.
    pub(super) alarms: BTreeMap<(String, String), Alarm>,
    deliveries: BTreeMap<(SimTime, u64), Delivery>,
    changes: u64,
    sent: u64,
    /// When `review` must be called.
    timers: Vec<SimTime>,
}

/// Why actions are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SuppressedBy {
    WaitPeriod,
    Alarm,
    ExtensionPeriod,
}

impl SuppressedBy {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::WaitPeriod => "WaitPeriod",
            Self::Alarm => "Alarm",
            Self::ExtensionPeriod => "ExtensionPeriod",
        }
    }
}

/// A state and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StateRecord {
    pub(super) value: AlarmState,
    pub(super) reason: String,
    pub(super) reason_data: Option<String>,
    pub(super) at: SimTime,
    pub(super) suppressed_by: Option<SuppressedBy>,
}

/// A span in which actions are muted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mute {
    pub(super) from: SimTime,
    pub(super) until: SimTime,
}

/// An alarm.
#[derive(Debug)]
pub(super) struct Alarm {
    pub(super) config: AlarmConfig,
    pub(super) arn: String,
    rule: Option<Rule>,
    pub(super) state: StateRecord,
    pub(super) previous: StateRecord,
    /// When the value last changed.
    pub(super) transitioned: SimTime,
    mutes: Vec<Mute>,
    /// An action waits for the end of this mute window.
    muted_until: Option<SimTime>,
    /// Suppression by time ends here.
    suppressed_until: Option<SimTime>,
    extension_until: Option<SimTime>,
}

impl Alarm {
    pub(super) fn mute_at(&self, at: SimTime) -> Option<Mute> {
        let mutes = self.mutes.iter().copied();
        mutes
            .filter(|mute| mute.from <= at && at < mute.until)
            .max_by_key(|mute| mute.until)
    }

    fn pace(&self) -> Resolution {
        match &self.config.rule {
            AlarmRule::Metric(rule) => rule.pace(),
            AlarmRule::Composite(_) => Resolution::Minute,
        }
    }

    pub(super) fn suppressor(&self) -> Option<&Suppressor> {
        match &self.config.rule {
            AlarmRule::Composite(rule) => rule.suppressor.as_ref(),
            AlarmRule::Metric(_) => None,
        }
    }
}

/// A new value with its reason.
struct Verdict {
    value: AlarmState,
    reason: String,
    reason_data: Option<String>,
}

impl CloudWatch {
    pub(crate) fn new(config: &WorldConfig) -> Self {
        let mut cloudwatch = Self {
            account: config.account.clone(),
            epoch: config.epoch,
            metric_delay: Duration::from_millis(config.timing.metric_delay),
            high_resolution_delay: Duration::from_millis(config.timing.high_resolution_delay),
            delivery: config.timing.alarm_delivery.clone(),
            duplicates: config.timing.duplicate_delivery,
            metrics: Metrics::default(),
            alarms: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            changes: 0,
            sent: 0,
            timers: Vec::new(),
        };
        for alarm in &config.alarms {
            cloudwatch.put_alarm(alarm.clone(), SimTime::ZERO);
        }
        cloudwatch
    }

    pub(crate) fn put_alarm(&mut self, config: AlarmConfig, at: SimTime) {
        let arn = format!(
            "arn:aws:cloudwatch:{}:{}:alarm:{}",
            config.region, self.account, config.name
        );
        let rule = match &config.rule {
            AlarmRule::Composite(composite) => Some(
                Rule::parse(&composite.rule)
                    .unwrap_or_else(|| panic!("alarm {}: cannot read its rule", config.name)),
            ),
            AlarmRule::Metric(metric) => {
                let period = metric.period_seconds;
                let valid = is_period(period * 1000);
                assert!(valid, "alarm {}: a period of {period} s", config.name);
                None
            }
        };
        let start = StateRecord {
            value: AlarmState::InsufficientData,
            reason: "Unchecked: Initial alarm creation".to_owned(),
            reason_data: None,
            at,
            suppressed_by: None,
        };
        let key = (config.region.clone(), config.name.clone());
        let alarm = Alarm {
            config,
            arn,
            rule,
            previous: start.clone(),
            state: start,
            transitioned: at,
            mutes: Vec::new(),
            muted_until: None,
            suppressed_until: None,
            extension_until: None,
        };
        self.alarms.insert(key, alarm);
    }

    pub(crate) fn put_metric(
        &mut self,
        region: &str,
        metric: &MetricName,
        resolution: Resolution,
        at: SimTime,
        value: f64,
    ) {
        self.metrics.add(region, metric, resolution, at, (value, 1));
    }

    /// Puts the same value several times.
    pub(crate) fn put_metrics(
        &mut self,
        region: &str,
        metric: &MetricName,
        at: SimTime,
        (value, times): (f64, u32),
    ) {
        self.metrics
            .add(region, metric, Resolution::Minute, at, (value, times));
    }

    /// The end of the last span of which all data are visible.
    pub(super) fn visible(&self, resolution: Resolution, now: SimTime) -> SimTime {
        let delay = match resolution {
            Resolution::TenSeconds => self.high_resolution_delay,
            Resolution::Minute => self.metric_delay,
        };
        (now - delay).floor_to(resolution.millis())
    }

    pub(crate) fn states(&self) -> impl Iterator<Item = (&(String, String), AlarmState)> {
        self.alarms
            .iter()
            .map(|(key, alarm)| (key, alarm.state.value))
    }

    pub(crate) fn state(&self, region: &str, name: &str) -> Option<AlarmState> {
        let key = (region.to_owned(), name.to_owned());
        self.alarms.get(&key).map(|alarm| alarm.state.value)
    }

    pub(crate) fn mute(&mut self, region: &str, name: &str, from: SimTime, until: SimTime) {
        let key = (region.to_owned(), name.to_owned());
        if let Some(alarm) = self.alarms.get_mut(&key) {
            alarm.mutes.push(Mute { from, until });
        }
    }

    /// Takes what has arrived by now.
    pub(crate) fn take_deliveries(&mut self, now: SimTime) -> Vec<Delivery> {
        let later = self
            .deliveries
            .split_off(&(now + Duration::from_millis(1), 0));
        let arrived = std::mem::replace(&mut self.deliveries, later);
        arrived.into_values().collect()
    }

    /// Takes the first that has arrived by now.
    pub(crate) fn take_delivery(&mut self, now: SimTime) -> Option<Delivery> {
        let entry = self.deliveries.first_entry()?;
        let (at, _) = *entry.key();
        (at <= now).then(|| entry.remove())
    }

    pub(crate) fn next_delivery_at(&self) -> Option<SimTime> {
        self.deliveries.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn take_timers(&mut self) -> Vec<SimTime> {
        std::mem::take(&mut self.timers)
    }

    /// Forces a state, as `SetAlarmState` does. False if there is no such alarm.
    pub(crate) fn set_state(
        &mut self,
        region: &str,
        name: &str,
        verdict: (AlarmState, &str, Option<&str>),
        now: SimTime,
        rng: &mut Rng,
    ) -> bool {
        let key = (region.to_owned(), name.to_owned());
        if !self.alarms.contains_key(&key) {
            return false;
        }
        let (value, reason, reason_data) = verdict;
        let verdict = Verdict {
            value,
            reason: reason.to_owned(),
            reason_data: reason_data.map(str::to_owned),
        };
        self.apply(&key, verdict, now, rng);
        self.evaluate_composites(region, now, rng);
        true
    }

    /// The evaluation of the metric alarms of this pace in the Regions that are up. Composite
    /// alarms follow their children, and look for themselves every minute.
    pub(crate) fn evaluate(
        &mut self,
        pace: Resolution,
        is_up: &dyn Fn(&str) -> bool,
        now: SimTime,
        rng: &mut Rng,
    ) {
        let due: Vec<_> = self
            .alarms
            .iter()
            .filter(|(key, alarm)| alarm.pace() == pace && is_up(&key.0))
            .map(|(key, _)| key.clone())
            .collect();
        let mut regions: Vec<&str> = Vec::new();
        for key in &due {
            if regions.last() != Some(&key.0.as_str()) {
                regions.push(&key.0);
            }
            let AlarmRule::Metric(rule) = &self.alarms[key].config.rule else {
                continue;
            };
            if let Some(verdict) = self.judge(&self.alarms[key], rule, now) {
                self.apply(key, verdict, now, rng);
            }
        }
        for region in regions {
            self.evaluate_composites(region, now, rng);
        }
    }

    /// Composite alarms may watch composite ones: repeat until nothing changes.
    fn evaluate_composites(&mut self, region: &str, now: SimTime, rng: &mut Rng) {
        for _ in 0..self.alarms.len() {
            let changed = self.composite_change(region, now);
            let Some((key, verdict)) = changed else {
                return;
            };
            self.apply(&key, verdict, now, rng);
        }
    }

    /// The first composite alarm whose rule says something else than its state.
    fn composite_change(&self, region: &str, now: SimTime) -> Option<((String, String), Verdict)> {
        let state_of = |name: &str| self.state(region, name);
        for (key, alarm) in &self.alarms {
            let Some(rule) = alarm.rule.as_ref().filter(|_| key.0 == region) else {
                continue;
            };
            let value = if rule.holds(&state_of) {
                AlarmState::Alarm
            } else {
                AlarmState::Ok
            };
            if value != alarm.state.value {
                let verdict = self.composite_verdict(region, rule, value, now);
                return Some((key.clone(), verdict));
            }
        }
        None
    }

    fn composite_verdict(
        &self,
        region: &str,
        rule: &Rule,
        value: AlarmState,
        now: SimTime,
    ) -> Verdict {
        let children = rule.children();
        let children: Vec<&Alarm> = children
            .iter()
            .filter_map(|name| self.alarms.get(&(region.to_owned(), (*name).to_owned())))
            .collect();
        let triggering: Vec<_> = children
            .iter()
            .filter(|child| {
                (child.state.value == AlarmState::Alarm) == (value == AlarmState::Alarm)
            })
            .map(|child| {
                json!({
                    "arn": child.arn,
                    "state": {
                        "value": child.state.value.as_str(),
                        "timestamp": alarm_time(self.epoch, child.state.at),
                    },
                })
            })
            .collect();
        let latest = children.iter().max_by_key(|child| child.state.at);
        let when = calendar(self.epoch, now).strftime("%A %d %B, %Y %H:%M:%S UTC");
        let reason = match latest {
            Some(child) => format!(
                "{} transitioned to {} at {when}",
                child.arn,
                child.state.value.as_str()
            ),
            None => format!("the alarm rule evaluates to {} at {when}", value.as_str()),
        };
        Verdict {
            value,
            reason,
            reason_data: Some(json!({"triggeringAlarms": triggering}).to_string()),
        }
    }

    /// What the data say; `None` if the state stays.
    fn judge(&self, alarm: &Alarm, rule: &MetricAlarm, now: SimTime) -> Option<Verdict> {
        let period = rule.period_seconds * 1000;
        let end = self.visible(rule.pace(), now).floor_to(period).as_millis();
        let points: Vec<(u64, Option<f64>)> = (1..=rule.evaluation_periods as u64)
            .filter_map(|back| end.checked_sub(back * period))
            .map(|start| {
                let span = start..start + period;
                let region = &alarm.config.region;
                (
                    start,
                    self.metrics
                        .point(region, &rule.metric, span, rule.statistic),
                )
            })
            .collect();
        let value = new_value(rule, alarm.state.value, &points)?;
        if value == alarm.state.value {
            return None;
        }
        Some(self.metric_verdict(rule, alarm.state.value, value, &points, now))
    }

    fn metric_verdict(
        &self,
        rule: &MetricAlarm,
        old: AlarmState,
        value: AlarmState,
        points: &[(u64, Option<f64>)],
        now: SimTime,
    ) -> Verdict {
        let present: Vec<(u64, f64)> = points
            .iter()
            .filter_map(|(at, value)| Some((*at, (*value)?)))
            .collect();
        let mut data = json!({
            "version": "1.0",
            "queryDate": alarm_time(self.epoch, now),
            "statistic": payloads::statistic(rule.statistic),
            "period": rule.period_seconds,
            "recentDatapoints": present.iter().rev().map(|(_, value)| *value).collect::<Vec<_>>(),
            "threshold": rule.threshold,
        });
        if let Some((start, _)) = points.last() {
            data["startDate"] = json!(alarm_time(self.epoch, SimTime::from_millis(*start)));
        }
        let reason = if value == AlarmState::InsufficientData {
            format!(
                "Insufficient Data: {} datapoints were unknown.",
                points.len()
            )
        } else {
            self.crossing_reason(rule, old, value, &present)
        };
        Verdict {
            value,
            reason,
            reason_data: Some(data.to_string()),
        }
    }

    fn crossing_reason(
        &self,
        rule: &MetricAlarm,
        old: AlarmState,
        value: AlarmState,
        present: &[(u64, f64)],
    ) -> String {
        let deciding: Vec<String> = present
            .iter()
            .filter(|(_, point)| breaches(rule, *point) == (value == AlarmState::Alarm))
            .map(|(at, point)| {
                let time = calendar(self.epoch, SimTime::from_millis(*at));
                format!("{point:?} ({})", time.strftime("%d/%m/%y %H:%M:%S"))
            })
            .collect();
        let needed = match value {
            AlarmState::Alarm => rule.datapoints_to_alarm,
            _ => rule.evaluation_periods - rule.datapoints_to_alarm + 1,
        };
        let (verb, number) = match deciding.len() {
            1 => ("was", "datapoint"),
            _ => ("were", "datapoints"),
        };
        let negation = if value == AlarmState::Alarm {
            ""
        } else {
            "not "
        };
        format!(
            "Threshold Crossed: {} out of the last {} datapoints [{}] {verb} {negation}{} the threshold ({:?}) (minimum {needed} {number} for {} -> {} transition).",
            deciding.len(),
            rule.evaluation_periods,
            deciding.join(", "),
            comparison_words(rule.comparison),
            rule.threshold,
            old.as_str(),
            value.as_str(),
        )
    }

    /// Takes a verdict over; a change of value sends events and actions.
    fn apply(&mut self, key: &(String, String), verdict: Verdict, now: SimTime, rng: &mut Rng) {
        let suppression = self.suppression_for(key, verdict.value, now);
        let Some(alarm) = self.alarms.get_mut(key) else {
            return;
        };
        let changed = alarm.state.value != verdict.value;
        let record = StateRecord {
            value: verdict.value,
            reason: verdict.reason,
            reason_data: verdict.reason_data,
            at: now,
            suppressed_by: if changed {
                suppression.map(|(by, _)| by)
            } else {
                alarm.state.suppressed_by
            },
        };
        if !changed {
            alarm.state = record;
            return;
        }
        alarm.previous = std::mem::replace(&mut alarm.state, record);
        alarm.transitioned = now;
        alarm.muted_until = alarm.mute_at(now).map(|mute| mute.until);
        alarm.suppressed_until = suppression.and_then(|(_, until)| until);
        let timers = [alarm.muted_until, alarm.suppressed_until];
        let acts = suppression.is_none() && alarm.muted_until.is_none();
        self.timers.extend(timers.into_iter().flatten());
        self.changes += 1;
        self.send(key, true, acts, now, rng);
        self.tell_suppressed(key, now);
    }

    /// Whether a composite alarm's new state is suppressed, and until when at the latest.
    fn suppression_for(
        &self,
        key: &(String, String),
        value: AlarmState,
        now: SimTime,
    ) -> Option<(SuppressedBy, Option<SimTime>)> {
        let alarm = self.alarms.get(key)?;
        let suppressor = alarm.suppressor()?;
        if self.state(&key.0, &suppressor.alarm) == Some(AlarmState::Alarm) {
            return Some((SuppressedBy::Alarm, None));
        }
        if let Some(until) = alarm.extension_until.filter(|until| *until > now) {
            return Some((SuppressedBy::ExtensionPeriod, Some(until)));
        }
        let wait = Duration::from_secs(suppressor.wait_seconds);
        if value == AlarmState::Alarm && !wait.is_zero() {
            return Some((SuppressedBy::WaitPeriod, Some(now + wait)));
        }
        None
    }

    /// Tells the alarms that this one suppresses about its change.
    fn tell_suppressed(&mut self, key: &(String, String), now: SimTime) {
        let on = self.alarms[key].state.value == AlarmState::Alarm;
        let was_on = self.alarms[key].previous.value == AlarmState::Alarm;
        for (other, alarm) in &mut self.alarms {
            let Some(suppressor) = alarm.suppressor() else {
                continue;
            };
            if other.0 != key.0 || suppressor.alarm != key.1 {
                continue;
            }
            let extension = now + Duration::from_secs(suppressor.extension_seconds);
            if on && alarm.state.suppressed_by.is_some() {
                alarm.state.suppressed_by = Some(SuppressedBy::Alarm);
                alarm.suppressed_until = None;
            } else if was_on && !on {
                alarm.extension_until = Some(extension);
                if alarm.state.suppressed_by == Some(SuppressedBy::Alarm) {
                    alarm.state.suppressed_by = Some(SuppressedBy::ExtensionPeriod);
                    alarm.suppressed_until = Some(extension);
                    self.timers.push(extension);
                }
            }
        }
    }

    /// Fires actions whose suppression or mute window has ended.
    pub(crate) fn review(&mut self, now: SimTime, rng: &mut Rng) {
        let keys: Vec<_> = self.alarms.keys().cloned().collect();
        for key in keys {
            let Some(alarm) = self.alarms.get_mut(&key) else {
                continue;
            };
            let unmuted = alarm.muted_until.is_some_and(|until| until <= now);
            let released = alarm.suppressed_until.is_some_and(|until| until <= now);
            if unmuted {
                // Windows may overlap: the later one keeps it quiet.
                alarm.muted_until = alarm.mute_at(now).map(|mute| mute.until);
                self.timers.extend(alarm.muted_until);
            }
            if released {
                alarm.previous = alarm.state.clone();
                alarm.state.suppressed_by = None;
                alarm.suppressed_until = None;
                alarm.muted_until = alarm.mute_at(now).map(|mute| mute.until);
                self.timers.extend(alarm.muted_until);
            }
            let quiet = alarm.muted_until.is_some() || alarm.state.suppressed_by.is_some();
            if (unmuted || released) && !quiet {
                self.changes += 1;
                self.send(&key, false, true, now, rng);
            }
        }
    }

    fn send(
        &mut self,
        key: &(String, String),
        event: bool,
        actions: bool,
        now: SimTime,
        rng: &mut Rng,
    ) {
        let alarm = &self.alarms[key];
        let id = format!("{}-{}", alarm.arn, self.changes);
        let context = Context {
            account: &self.account,
            epoch: self.epoch,
            id: &id,
            at: now,
        };
        let action = |service: &str| {
            let arns = alarm.config.actions.iter();
            let mut of_service = arns.filter(|arn| arn.split(':').nth(2) == Some(service));
            of_service.next().filter(|_| actions)
        };
        let mut delivery = Delivery {
            at: now + span(rng, &self.delivery),
            changed_at: alarm.state.at,
            alarm: alarm.config.name.clone(),
            alarm_arn: alarm.arn.clone(),
            region: alarm.config.region.clone(),
            state: alarm.state.value,
            eventbridge_json: event.then(|| payloads::eventbridge(&context, alarm)),
            lambda_action_json: action("lambda").map(|_| payloads::lambda_action(&context, alarm)),
            sns_json: action("sns").map(|arn| payloads::sns(&context, alarm, arn)),
            duplicate: false,
        };
        self.enqueue(delivery.clone());
        if chance(rng, self.duplicates) {
            delivery.at = now + span(rng, &self.delivery);
            delivery.duplicate = true;
            self.enqueue(delivery);
        }
    }

    fn enqueue(&mut self, delivery: Delivery) {
        self.sent += 1;
        self.deliveries.insert((delivery.at, self.sent), delivery);
    }
}

/// The value after an evaluation; `None` to keep the present one.
fn new_value(
    rule: &MetricAlarm,
    present: AlarmState,
    points: &[(u64, Option<f64>)],
) -> Option<AlarmState> {
    let mut breaching = 0;
    let mut fine = 0;
    for (_, point) in points {
        match point {
            Some(value) if breaches(rule, *value) => breaching += 1,
            Some(_) => fine += 1,
            None if rule.treat_missing == TreatMissing::Breaching => breaching += 1,
            None if rule.treat_missing == TreatMissing::NotBreaching => fine += 1,
            None => {}
        }
    }
    if breaching >= rule.datapoints_to_alarm {
        return Some(AlarmState::Alarm);
    }
    if breaching + fine == 0 {
        return match rule.treat_missing {
            TreatMissing::Missing => Some(AlarmState::InsufficientData),
            _ => None,
        };
    }
    // The missing points could still make it an alarm: keep the state.
    let unknown = rule.evaluation_periods.saturating_sub(breaching + fine);
    let undecided = present == AlarmState::Alarm && breaching + unknown >= rule.datapoints_to_alarm;
    (!undecided).then_some(AlarmState::Ok)
}

fn breaches(rule: &MetricAlarm, value: f64) -> bool {
    match rule.comparison {
        Comparison::GreaterThanThreshold => value > rule.threshold,
        Comparison::GreaterThanOrEqualToThreshold => value >= rule.threshold,
        Comparison::LessThanThreshold => value < rule.threshold,
        Comparison::LessThanOrEqualToThreshold => value <= rule.threshold,
    }
}

fn comparison_words(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::GreaterThanThreshold => "greater than",
        Comparison::GreaterThanOrEqualToThreshold => "greater than or equal to",
        Comparison::LessThanThreshold => "less than",
        Comparison::LessThanOrEqualToThreshold => "less than or equal to",
    }
}
