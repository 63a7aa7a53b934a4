//! Logs and embedded metrics.

use std::fmt::Display;

use jiff::Timestamp;
use sentinel_aws::heartbeat::HEARTBEAT;
use sentinel_aws::log::{EmbeddedMetrics, Level, Resolution, Unit, log};
use sentinel_core::evidence::{Evidence, Lag, Observer, ServingEvidence, Verdict};
use sentinel_core::names::Region;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::error::Error;
use crate::rounds::Turn;

impl Turn<'_> {
    /// The invocation's last words: its answer or its error.
    pub(crate) fn report(&self, result: &Result<Answer, Error>) {
        let edge = &self.deps.edge;
        match result {
            Ok(answer) => {
                let mut fields = serde_json::to_value(answer).unwrap_or_default();
                if let Value::Object(fields) = &mut fields {
                    fields.insert("requestId".to_owned(), json!(self.request_id));
                }
                log(edge, Level::Info, answer.outcome.as_str(), &fields);
            }
            Err(error) => {
                let fields = json!({"requestId": self.request_id});
                log(edge, Level::Error, &error.chain(), &fields);
                self.metrics(self.deps.edge.region())
                    .metric("Errors", 1.0, Unit::Count, Resolution::Minute)
                    .print(edge);
            }
        }
    }

    pub(crate) fn warn(&self, message: &str, error: &(impl Display + ?Sized)) {
        log(
            &self.deps.edge,
            Level::Warn,
            message,
            &json!({"requestId": self.request_id, "error": error.to_string()}),
        );
    }

    /// Metrics of one Region: a member's, or the one where this runs.
    fn metrics(&self, region: &Region) -> EmbeddedMetrics {
        let dimensions = [
            ("Mrap", self.deps.settings.mrap.alias()),
            ("Region", region.as_str()),
        ];
        EmbeddedMetrics::new(self.now(), &dimensions)
    }

    /// What a round found. A member of which nothing is known has no data point: it is not
    /// unavailable. Of the pairs the first round of a run tells, once a minute.
    ///
    /// A witness only says that it is alive: its view is in its evidence.
    pub(crate) fn measure_round(&self, evidence: &Evidence, tell_pairs: bool) {
        let edge = &self.deps.edge;
        let sick = evidence.observer != Observer::Well;
        self.metrics(edge.region())
            .metric(HEARTBEAT, 1.0, Unit::Count, Resolution::Second)
            .metric("ObserverSick", flag(sick), Unit::None, Resolution::Minute)
            .print(edge);
        if self.deps.control.is_none() {
            return;
        }
        for member in &evidence.members {
            let percent = match evidence.verdict(&member.region) {
                Verdict::Good => 100.0,
                Verdict::Bad => 0.0,
                _ => continue,
            };
            let mut metrics = self.metrics(&member.region).metric(
                "Availability",
                percent,
                Unit::Percent,
                Resolution::Second,
            );
            if let Some(millis) = member.latency_millis {
                metrics = metrics.metric(
                    "ProbeLatency",
                    number(millis),
                    Unit::Milliseconds,
                    Resolution::Minute,
                );
            }
            metrics.print(edge);
        }
        if tell_pairs {
            self.measure_pairs(evidence);
        }
    }

    fn measure_pairs(&self, evidence: &Evidence) {
        for pair in &evidence.pairs {
            let dimensions = [
                ("Mrap", self.deps.settings.mrap.alias()),
                ("SourceRegion", pair.source.as_str()),
                ("DestinationRegion", pair.destination.as_str()),
            ];
            let lag = match pair.lag {
                Lag::Arrived { within_seconds } => Some(within_seconds),
                Lag::Waiting { older_than_seconds } => Some(older_than_seconds),
                Lag::Unknown { .. } => None,
            };
            let told = [("ReplicationLag", lag), ("Exposure", pair.exposure_seconds)];
            let mut metrics = EmbeddedMetrics::new(self.now(), &dimensions);
            for (name, seconds) in told {
                if let Some(seconds) = seconds {
                    metrics =
                        metrics.metric(name, number(seconds), Unit::Seconds, Resolution::Minute);
                }
            }
            if told.iter().any(|(_, seconds)| seconds.is_some()) {
                metrics.print(&self.deps.edge);
            }
        }
    }

    /// Which Regions serve. Nothing is said when none could be recognised.
    pub(crate) fn measure_serving(&self, serving: &ServingEvidence) {
        if serving.agrees == Some(false) {
            self.warn(
                "the access point serves other Regions than its routes say",
                &serving.detail,
            );
        }
        if serving.regions.is_empty() {
            return;
        }
        for region in self.deps.settings.members.regions() {
            let serves = serving.regions.contains(region);
            self.metrics(region)
                .metric("Serving", flag(serves), Unit::None, Resolution::Minute)
                .print(&self.deps.edge);
        }
    }

    /// Lets the alarm of the self-test fire, if this round is the one to.
    pub(crate) fn measure_self_test(&self, evidence: Option<&Evidence>, round: Timestamp) {
        if evidence.and_then(|evidence| evidence.self_test_at) == Some(round) {
            let dimensions = [("Mrap", self.deps.settings.mrap.alias())];
            EmbeddedMetrics::new(self.now(), &dimensions)
                .metric("SelfTest", 1.0, Unit::Count, Resolution::Minute)
                .print(&self.deps.edge);
        }
    }
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

/// Milliseconds and seconds are far below what a float tells exactly.
#[expect(clippy::cast_precision_loss, reason = "durations of probes and lags")]
fn number(value: u64) -> f64 {
    value as f64
}
