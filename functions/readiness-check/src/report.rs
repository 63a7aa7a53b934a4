//! Logs and embedded metrics.

use std::fmt::Display;

use sentinel_aws::log::{EmbeddedMetrics, Level, Resolution, Unit, log};
use sentinel_core::announce::Severity;
use sentinel_core::readiness::Report;
use sentinel_core::readiness::notice::{ReadinessAnswer, ReadinessOutcome};
use serde_json::{Value, json};

use crate::error::Error;
use crate::turn::Turn;

impl Turn<'_> {
    /// The invocation's last words: its answer or its error.
    pub(crate) fn report(&self, result: &Result<ReadinessAnswer, Error>) {
        match result {
            Ok(answer) => {
                let mut fields = serde_json::to_value(answer).unwrap_or_default();
                if let Value::Object(fields) = &mut fields {
                    fields.insert("requestId".to_owned(), json!(self.request_id));
                    // The caller has them, and the state bucket.
                    fields.remove("findings");
                    fields.remove("report");
                }
                let outcome = match answer.outcome {
                    ReadinessOutcome::Ready => "ready",
                    ReadinessOutcome::Unknown => "unknown",
                    ReadinessOutcome::Findings => "findings",
                };
                log(&self.deps.edge, Level::Info, outcome, &fields);
            }
            Err(error) => {
                log(
                    &self.deps.edge,
                    Level::Error,
                    &error.chain(),
                    &json!({"requestId": self.request_id}),
                );
                self.metrics()
                    .metric("Errors", 1.0, Unit::Count, Resolution::Minute)
                    .print(&self.deps.edge);
            }
        }
    }

    pub(crate) fn info(&self, message: &str) {
        let fields = json!({"requestId": self.request_id});
        log(&self.deps.edge, Level::Info, message, &fields);
    }

    pub(crate) fn warn(&self, message: &str, error: &impl Display) {
        log(
            &self.deps.edge,
            Level::Warn,
            message,
            &json!({"requestId": self.request_id, "error": error.to_string()}),
        );
    }

    fn metrics(&self) -> EmbeddedMetrics {
        let dimensions = [
            ("Mrap", self.deps.settings.mrap.alias()),
            ("Region", self.deps.edge.region().as_str()),
        ];
        EmbeddedMetrics::new(self.now(), &dimensions).property("requestId", self.request_id)
    }

    /// How many findings there are, so that a dashboard shows them and an alarm sees them go.
    pub(crate) fn measure(&self, report: &Report) {
        let count = |severity| {
            let count = u32::try_from(report.count(severity)).unwrap_or(u32::MAX);
            f64::from(count)
        };
        let (unit, resolution) = (Unit::Count, Resolution::Minute);
        self.metrics()
            .metric(
                "CriticalFindings",
                count(Severity::Critical),
                unit,
                resolution,
            )
            .metric("Warnings", count(Severity::Warning), unit, resolution)
            .print(&self.deps.edge);
    }
}
