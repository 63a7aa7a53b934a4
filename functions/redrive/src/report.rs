//! Logs and embedded metrics.

use std::collections::BTreeMap;
use std::fmt::Display;

use jiff::Timestamp;
use sentinel_aws::log::{EmbeddedMetrics, Level, Resolution, Unit, log};
use sentinel_core::ledger::Group;
use sentinel_core::redrive::inventory::Inventory;
use sentinel_core::redrive::state::{RedriveState, Totals};
use sentinel_core::redrive::status::{RedriveAnswer, RedriveOutcome};
use serde_json::{Value, json};

use crate::error::Error;
use crate::turn::Turn;

/// The dimension of a bucket that is no member, whose Region nobody tells us.
const OTHER: &str = "other";

impl Turn<'_> {
    /// The invocation's last words: its answer or its error.
    pub(crate) fn report(&self, result: &Result<RedriveAnswer, Error>) {
        match result {
            Ok(answer) => {
                let mut fields = match answer.outcome {
                    // As long as the backlog is: the caller has it.
                    RedriveOutcome::Status => json!({"explanation": answer.explanation}),
                    _ => serde_json::to_value(answer).unwrap_or_default(),
                };
                if let Value::Object(fields) = &mut fields {
                    fields.insert("requestId".to_owned(), json!(self.request_id));
                }
                log(
                    &self.deps.edge,
                    Level::Info,
                    answer.outcome.as_str(),
                    &fields,
                );
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

    pub(crate) fn info(&self, message: &str, fields: &Value) {
        let mut fields = fields.clone();
        if let Value::Object(fields) = &mut fields {
            fields.insert("requestId".to_owned(), json!(self.request_id));
        }
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

    /// Source and destination Region of a group.
    fn pair(&self, group: &Group) -> (String, String) {
        let region = |bucket: Option<&sentinel_core::names::BucketName>| {
            bucket
                .and_then(|bucket| self.deps.settings.region_of(bucket))
                .map_or_else(|| OTHER.to_owned(), ToString::to_string)
        };
        (
            region(Some(&group.source)),
            region(group.destination.bucket()),
        )
    }

    /// What is open, by ordered pair: said every minute for every pair that has a group, so that
    /// an alarm sees it fall to 0.
    pub(crate) fn measure(&self, state: &RedriveState, inventory: &Inventory) {
        let mut pairs: BTreeMap<(String, String), (u64, Option<Timestamp>)> = BTreeMap::new();
        for (id, record) in &state.groups {
            let (rows, oldest) = pairs.entry(self.pair(&record.group)).or_default();
            if let Some(extent) = inventory.extent(*id) {
                *rows += extent.rows;
                *oldest = Some(oldest.map_or(extent.oldest, |known| known.min(extent.oldest)));
            }
            if let Some(overflow) = &record.overflow {
                *rows += overflow.rows;
                *oldest = Some(oldest.map_or(overflow.oldest, |known| known.min(overflow.oldest)));
            }
        }
        let now = self.now();
        for ((source, destination), (rows, oldest)) in pairs {
            let age = oldest.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0));
            let dimensions = [
                ("Mrap", self.deps.settings.mrap.alias()),
                ("SourceRegion", source.as_str()),
                ("DestinationRegion", destination.as_str()),
            ];
            EmbeddedMetrics::new(now, &dimensions)
                .property("requestId", self.request_id)
                .metric(
                    "OpenFailures",
                    number(rows),
                    Unit::Count,
                    Resolution::Minute,
                )
                .metric("OldestOpenFailure", age, Unit::Seconds, Resolution::Minute)
                .print(&self.deps.edge);
        }
        if state.groups.is_empty() && state.jobs.is_empty() {
            return;
        }
        let waiting: u64 = state.groups.values().map(|record| record.handed_over).sum();
        self.metrics()
            .metric(
                "RedriveJobs",
                number(state.jobs.len().try_into().unwrap_or(u64::MAX)),
                Unit::Count,
                Resolution::Minute,
            )
            .metric(
                "WaitingForAPerson",
                number(waiting),
                Unit::Count,
                Resolution::Minute,
            )
            .metric(
                "RedriveDollarsToday",
                state.spent_today(now).as_dollars(),
                Unit::None,
                Resolution::Minute,
            )
            .print(&self.deps.edge);
    }

    /// What this turn came to.
    pub(crate) fn measure_turn(&self, before: &Totals, after: &Totals) {
        if before == after {
            return;
        }
        let since = |before: u64, after: u64| number(after.saturating_sub(before));
        let spent = after.spent.less(before.spent).as_dollars();
        self.metrics()
            .metric(
                "Redriven",
                since(before.replicated, after.replicated),
                Unit::Count,
                Resolution::Minute,
            )
            .metric(
                "SettledFinal",
                since(before.finals, after.finals),
                Unit::Count,
                Resolution::Minute,
            )
            .metric(
                "HandedOver",
                since(before.handed_over, after.handed_over),
                Unit::Count,
                Resolution::Minute,
            )
            .metric("RedriveDollars", spent, Unit::None, Resolution::Minute)
            .print(&self.deps.edge);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count for a graph")]
fn number(count: u64) -> f64 {
    count as f64
}
