//! Notices about decisions that led to no change.

use serde_json::{Value, json};

use super::{Notices, first, invoke, list, movement};
use crate::announce::{Draft, Event, Severity};
use crate::answer::{Answer, Outcome};
use crate::decide::Assessment;
use crate::state::{Plan, State};

impl Notices<'_> {
    /// A decision that led to no change: once when it is new, then as a reminder.
    pub fn standstill(&self, state: &mut State, event: Event, assessment: &Assessment, count: u32) {
        let plan = &assessment.plan;
        let (outcome, verb) = match event {
            Event::WouldAct => (Outcome::WouldAct, "would be carried out"),
            Event::NeedsApproval => (Outcome::NeedsApproval, "waits for approval"),
            _ => (Outcome::Blocked, "is blocked"),
        };
        let severity = if assessment.source_is_bad && event != Event::WouldAct {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let answer = Answer {
            blocking: assessment.blocking.clone(),
            ..Answer::about(outcome, plan, assessment.explanation.clone())
        };
        let reminder = match count.saturating_sub(1) {
            0 => String::new(),
            number => format!(", reminder {number}"),
        };
        let headline = format!("{} {verb}{reminder}", movement(plan));
        let mut advice = Vec::new();
        if event == Event::NeedsApproval {
            advice.push(format!(
                "To approve within 15 minutes: {}",
                invoke(&json!({"command":"approve","decision":plan.decision}))
            ));
        } else {
            advice.push(format!(
                "To do it yourself: {}",
                invoke(&manual(plan, assessment))
            ));
        }
        advice.push(format!(
            "To keep the machine from moving the dial while you look: {}",
            invoke(&json!({"command":"hold","reason":"investigating"}))
        ));
        self.announce(
            state,
            &Draft {
                event,
                severity,
                step: &self.now.as_second().to_string(),
                region: first(&plan.from),
                headline: &headline,
                advice: &advice,
                answer: &answer,
            },
        );
    }

    /// An operator's wish that was blocked: the operator has the answer, everybody else this.
    pub fn operator_blocked(&self, state: &mut State, assessment: &Assessment) {
        let plan = &assessment.plan;
        let answer = Answer {
            blocking: assessment.blocking.clone(),
            ..Answer::about(Outcome::Blocked, plan, assessment.explanation.clone())
        };
        let headline = format!(
            "operator's {} to {} is blocked",
            plan.kind.as_str(),
            list(&plan.to)
        );
        self.announce(
            state,
            &Draft {
                event: Event::OperatorBlocked,
                severity: Severity::Info,
                step: self.request_id,
                region: first(&plan.from),
                headline: &headline,
                advice: &[],
                answer: &answer,
            },
        );
    }

    /// An incident ended without a change after people had been told of it.
    pub fn incident_ended(&self, state: &mut State, incident: &str) {
        let answer = Answer {
            incident: Some(incident.to_owned()),
            ..Answer::plain(
                Outcome::NoChange,
                "All its triggers are closed; the dial was not moved.",
            )
        };
        self.announce(
            state,
            &Draft {
                event: Event::IncidentEnded,
                severity: Severity::Info,
                step: "",
                region: "",
                headline: "incident ended without a change",
                advice: &[],
                answer: &answer,
            },
        );
    }
}

/// The command by which an operator does what was blocked.
fn manual(plan: &Plan, assessment: &Assessment) -> Value {
    let overrides: Vec<&str> = assessment
        .blocking
        .iter()
        .filter(|guard| guard.may_be_overridden())
        .map(|guard| guard.as_str())
        .collect();
    let mut command = json!({
        "command": "failover",
        "from": plan.from,
        "to": plan.to.difference(&plan.before.active()).collect::<Vec<_>>(),
        "reason": "…",
    });
    if let Some(fields) = command.as_object_mut() {
        if fields
            .get("to")
            .is_some_and(|to| to.as_array().is_some_and(Vec::is_empty))
        {
            fields.remove("to");
        }
        if !overrides.is_empty() {
            fields.insert("override".to_owned(), json!(overrides));
        }
    }
    command
}
