//! Logs and embedded metrics.

use std::fmt::Display;

use jiff::SignedDuration;
use sentinel_aws::log::{EmbeddedMetrics, Level, Resolution, Unit, log};
use sentinel_core::alarm::AlarmTransition;
use sentinel_core::answer::{Answer, Outcome};
use sentinel_core::evidence::{Evidence, Verdict};
use sentinel_core::names::Region;
use sentinel_core::rehearsal::Rehearsal;
use sentinel_core::state::{PendingProof, Plan, SelfTest};
use serde_json::{Value, json};

use crate::error::Error;
use crate::turn::Turn;

impl Turn<'_> {
    /// The invocation's last words: its answer or its error, and the metrics of its decision.
    pub(crate) fn report(&self, result: &Result<Answer, Error>) {
        match result {
            Ok(answer) => {
                let mut fields = serde_json::to_value(answer).unwrap_or_default();
                if let Value::Object(fields) = &mut fields {
                    fields.insert("requestId".to_owned(), json!(self.request_id));
                }
                log(
                    &self.deps.edge,
                    Level::Info,
                    answer.outcome.as_str(),
                    &fields,
                );
                self.measure_decision(answer);
            }
            Err(error) => {
                log(
                    &self.deps.edge,
                    Level::Error,
                    &error.chain(),
                    &json!({"requestId": self.request_id, "incident": self.incident()}),
                );
                self.metrics(None)
                    .metric("Errors", 1.0, Unit::Count, Resolution::Minute)
                    .print(&self.deps.edge);
            }
        }
    }

    pub(crate) fn info(&self, message: &str, transition: &AlarmTransition) {
        log(
            &self.deps.edge,
            Level::Info,
            message,
            &json!({"requestId": self.request_id, "incident": self.incident(), "alarm": transition}),
        );
    }

    pub(crate) fn warn(&self, message: &str, error: &impl Display) {
        log(
            &self.deps.edge,
            Level::Warn,
            message,
            &json!({"requestId": self.request_id, "incident": self.incident(), "error": error.to_string()}),
        );
    }

    /// Metrics about a member, or about the control Region where no member is concerned.
    fn metrics(&self, region: Option<&Region>) -> EmbeddedMetrics {
        let region = region.unwrap_or(self.deps.edge.region());
        let dimensions = [
            ("Mrap", self.deps.settings.mrap.alias()),
            ("Region", region.as_str()),
        ];
        EmbeddedMetrics::new(self.now(), &dimensions).property("requestId", self.request_id)
    }

    fn measure_decision(&self, answer: &Answer) {
        if answer.outcome == Outcome::Status {
            return;
        }
        let mut metrics = self
            .metrics(answer.from.first())
            .property("outcome", answer.outcome.as_str())
            .property("incident", json!(answer.incident))
            .metric("Decisions", 1.0, Unit::Count, Resolution::Minute);
        if answer.outcome == Outcome::Blocked {
            metrics = metrics.metric("BlockedDecisions", 1.0, Unit::Count, Resolution::Minute);
        }
        for guard in &answer.blocking {
            metrics = metrics.metric(
                &format!("BlockedBy {guard}"),
                1.0,
                Unit::Count,
                Resolution::Minute,
            );
        }
        metrics.print(&self.deps.edge);
    }

    /// What a round of probes found: what the template's alarms watch. A member of which nothing
    /// is known, say because the observer is sick, has no data point: it is not unavailable.
    pub(crate) fn measure_round(&self, evidence: &Evidence) {
        for member in &evidence.members {
            let percent = match evidence.verdict(&member.region) {
                Verdict::Good => 100.0,
                Verdict::Bad => 0.0,
                _ => continue,
            };
            self.metrics(Some(&member.region))
                .metric("Availability", percent, Unit::Percent, Resolution::Second)
                .print(&self.deps.edge);
        }
    }

    /// The routes were changed: how long after the first sign of trouble.
    pub(crate) fn measure_change(&self, plan: &Plan) {
        self.metrics(plan.from.first())
            .property("incident", plan.incident.as_str())
            .property("decision", plan.decision.as_str())
            .property("kind", plan.kind.as_str())
            .metric("RouteChanges", 1.0, Unit::Count, Resolution::Minute)
            .metric(
                "TimeToDecide",
                self.seconds_since(plan.asked_at),
                Unit::Seconds,
                Resolution::Minute,
            )
            .print(&self.deps.edge);
    }

    /// A self-test arrived: how long after its metric was emitted.
    pub(crate) fn measure_self_test(&self, test: &SelfTest) {
        let latency = u32::try_from(test.latency_seconds).unwrap_or(u32::MAX);
        self.metrics(None)
            .metric(
                "SelfTestLatency",
                f64::from(latency),
                Unit::Seconds,
                Resolution::Minute,
            )
            .print(&self.deps.edge);
    }

    /// The data plane shows it: how long after the routes did.
    pub(crate) fn measure_proof(&self, pending: &PendingProof) {
        self.metrics(pending.plan.from.first())
            .property("incident", pending.plan.incident.as_str())
            .property("decision", pending.plan.decision.as_str())
            .metric(
                "TimeToVerify",
                self.seconds_since(pending.settled_at),
                Unit::Seconds,
                Resolution::Minute,
            )
            .print(&self.deps.edge);
    }

    /// A rehearsal went over and back: how long all of it took.
    pub(crate) fn measure_rehearsal(&self, rehearsal: &Rehearsal) {
        let whole = SignedDuration::from_secs(rehearsal.seconds());
        self.metrics(rehearsal.before.active().first())
            .property("incident", rehearsal.incident.as_str())
            .metric(
                "RehearsalTime",
                whole.as_secs_f64(),
                Unit::Seconds,
                Resolution::Minute,
            )
            .print(&self.deps.edge);
    }

    fn seconds_since(&self, at: jiff::Timestamp) -> f64 {
        self.now().duration_since(at).as_secs_f64().max(0.0)
    }
}
