//! The one JSON document of `cargo drill --json`.

use std::time::Duration;

use serde::Serialize;

use crate::history::{History, Move, Mover, attribute};
use crate::numbers::{Numbers, Redrive};
use crate::verdict::Violation;

/// A change of the routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteChange {
    /// Seconds since the start.
    pub at_s: u64,
    /// Regions that stopped serving.
    pub from: Vec<String>,
    /// Regions that began to serve.
    pub to: Vec<String>,
    /// Who made it, and why.
    pub cause: String,
}

/// A message that people got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notification {
    /// Seconds since the start.
    pub at_s: u64,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// Subject.
    pub subject: String,
}

/// The document. Seconds are whole; `null` stands for what did not happen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the contract's names; `Numbers` says what they mean"
)]
pub struct Document {
    pub scenario: String,
    pub seed: u64,
    pub virtual_seconds: u64,
    pub detected_s: Option<u64>,
    pub dial_moved_s: Option<u64>,
    pub recovered_s: Option<u64>,
    pub rto_s: Option<u64>,
    pub requests: u64,
    pub failed_requests: u64,
    pub acked_objects: u64,
    pub rpo_objects: u64,
    pub lost_objects: u64,
    pub diverged_objects: u64,
    pub route_changes: Vec<RouteChange>,
    pub redrive: Redrive,
    pub notifications: Vec<Notification>,
    pub violations: Vec<Violation>,
}

impl Document {
    /// Sums a run up.
    #[must_use]
    pub fn new(
        scenario: &str,
        seed: u64,
        history: &History,
        numbers: &Numbers,
        violations: &[Violation],
    ) -> Self {
        let notifications = history.pages().into_iter().map(|page| Notification {
            at_s: page.at.as_secs(),
            severity: attribute(page, "severity").to_owned(),
            subject: page.subject.clone().unwrap_or_default(),
        });
        let changes = history.moves();
        Self {
            scenario: scenario.to_owned(),
            seed,
            virtual_seconds: history.end.as_secs(),
            detected_s: seconds(numbers.detected),
            dial_moved_s: seconds(numbers.dial_moved),
            recovered_s: seconds(numbers.recovered),
            rto_s: seconds(numbers.rto),
            requests: numbers.requests,
            failed_requests: numbers.failed_requests,
            acked_objects: numbers.acked_objects,
            rpo_objects: numbers.rpo_objects,
            lost_objects: numbers.lost_objects,
            diverged_objects: numbers.diverged_objects,
            route_changes: changes.iter().map(change).collect(),
            redrive: numbers.redrive.clone(),
            notifications: notifications.collect(),
            violations: violations.to_vec(),
        }
    }
}

/// Whole seconds, rounded up: nothing is told better than it was.
fn seconds(span: Option<Duration>) -> Option<u64> {
    span.map(|span| span.as_secs() + u64::from(span.subsec_nanos() > 0))
}

fn change(moved: &Move) -> RouteChange {
    RouteChange {
        at_s: moved.at.as_secs(),
        from: moved.from().into_iter().collect(),
        to: moved.to().into_iter().collect(),
        cause: cause(moved),
    }
}

/// A submission that arrives longer after its decision than an invocation lasts.
const LATE: Duration = Duration::from_mins(1);

/// Who made a change, and why.
#[must_use]
pub fn cause(moved: &Move) -> String {
    let who = match moved.by {
        Mover::Machine => "automatic",
        Mover::Operator => "operator",
        Mover::Console => return "somebody in the console".to_owned(),
    };
    match &moved.plan {
        Some(plan) => {
            let took = moved.at.since(moved.decided);
            let late = if took > LATE { ", landed late" } else { "" };
            format!("{who} {}{late}: {}", plan.kind.as_str(), plan.reason)
        }
        None => format!("{who}, without the state store"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{EUW1, Story, USE1};
    use crate::numbers::measure;

    #[test]
    fn the_document_has_the_contracts_fields_in_its_order() {
        let mut story = Story::new();
        story.moves(100, USE1, EUW1);
        let numbers = measure(&story.history);
        let document = Document::new("regional-outage", 1, &story.history, &numbers, &[]);
        let text = serde_json::to_string(&document).unwrap();
        assert_eq!(
            text,
            r#"{"scenario":"regional-outage","seed":1,"virtual_seconds":30000,"detected_s":null,"dial_moved_s":null,"recovered_s":null,"rto_s":null,"requests":0,"failed_requests":0,"acked_objects":0,"rpo_objects":0,"lost_objects":0,"diverged_objects":0,"route_changes":[{"at_s":100,"from":["us-east-1"],"to":["eu-west-1"],"cause":"automatic failover: "}],"redrive":{"failures":0,"jobs":0,"redriven":0,"abandoned":0,"settled":0,"open":0,"dollars":0.0},"notifications":[],"violations":[]}"#
        );
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(seconds(Some(Duration::from_millis(61_001))), Some(62));
        assert_eq!(seconds(Some(Duration::from_secs(61))), Some(61));
        assert_eq!(seconds(None), None);
    }
}
