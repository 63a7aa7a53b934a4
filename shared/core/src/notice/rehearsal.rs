//! Notices about rehearsals and about the way home.

use serde_json::json;

use super::{Notices, first, invoke, list, movement};
use crate::announce::{Draft, Event, Severity};
use crate::answer::{Answer, Outcome, RoutesShown};
use crate::decide::Assessment;
use crate::homeward::Tell;
use crate::rehearsal::Rehearsal;
use crate::settings::FailbackMode;
use crate::state::{Actor, State};

/// The answer about a rehearsal that is over.
#[must_use]
pub fn rehearsal_answer(rehearsal: &Rehearsal, complete: bool, how: &str) -> Answer {
    let steps = rehearsal.steps();
    let table: Vec<String> = steps
        .iter()
        .map(|step| format!("{} s {} ({})", step.seconds, step.step, step.at))
        .collect();
    let outcome = if complete {
        Outcome::Rehearsed
    } else {
        Outcome::NoChange
    };
    let mut overridden: Vec<&str> = Vec::new();
    overridden.extend(rehearsal.overrides.iter().map(|guard| guard.as_str()));
    let overridden = if overridden.is_empty() {
        String::new()
    } else {
        format!(" Overridden: {}.", overridden.join(", "))
    };
    Answer {
        incident: Some(rehearsal.incident.clone()),
        decision: Some(rehearsal.out.decision.clone()),
        from: rehearsal.before.active(),
        to: rehearsal.away.active(),
        routes: RoutesShown {
            before: rehearsal.before.clone().into(),
            after: rehearsal.away.clone().into(),
        },
        by: Some(Actor::Operator),
        steps,
        ..Answer::plain(
            outcome,
            format!(
                "Rehearsal of {} ({}): {how}, {} s in all. Steps: {}.{overridden}",
                list(&rehearsal.away.active()),
                rehearsal.reason,
                rehearsal.seconds(),
                table.join("; ")
            ),
        )
    }
}

impl Notices<'_> {
    /// A rehearsal is over, as it should be or not.
    pub fn rehearsed(&self, state: &mut State, rehearsal: &Rehearsal, complete: bool, how: &str) {
        let answer = rehearsal_answer(rehearsal, complete, how);
        let moved = rehearsal.out.settled_at.is_some();
        let back = state
            .settled
            .as_ref()
            .is_some_and(|settled| settled.routes == rehearsal.before);
        let mut advice = Vec::new();
        if !complete {
            advice.push("Find out why: a failover in earnest would have met the same.".to_owned());
        }
        if moved && !back {
            advice.push(format!(
                "The routes are not those from before. To go home: {}",
                invoke(&json!({"command":"failback","reason":"…"}))
            ));
        }
        if let Some(incident) = &state.incident {
            advice.push(format!(
                "When the episode is over: {}",
                invoke(&json!({"command":"acknowledge","incident":incident.id}))
            ));
        }
        let (event, severity, headline) = if complete {
            let headline = format!(
                "rehearsal of {} passed in {} s",
                list(&rehearsal.away.active()),
                rehearsal.seconds()
            );
            (Event::Rehearsed, Severity::Info, headline)
        } else {
            let headline = format!("rehearsal ended: {how}");
            (Event::RehearsalEnded, Severity::Warning, headline)
        };
        self.announce(
            state,
            &Draft {
                event,
                severity,
                step: &rehearsal.out.decision,
                region: first(&rehearsal.before.active()),
                headline: &headline,
                advice: &advice,
                answer: &answer,
            },
        );
    }

    /// A rehearsal cannot go back: told at once, then at the pace of the reminders.
    pub fn rehearsal_stuck(&self, state: &mut State, assessment: &Assessment) {
        let reminder = self.settings.thresholds.blocked_reminder;
        let Some(rehearsal) = &mut state.rehearsal else {
            return;
        };
        let due = rehearsal
            .stuck_told
            .is_none_or(|told| self.now.duration_since(told) >= reminder);
        if !due {
            return;
        }
        rehearsal.stuck_told = Some(self.now);
        let incident = rehearsal.incident.clone();
        let plan = &assessment.plan;
        let answer = Answer {
            blocking: assessment.blocking.clone(),
            ..Answer::about(Outcome::Blocked, plan, assessment.explanation.clone())
        };
        let advice = [
            "Every tick tries again.".to_owned(),
            format!(
                "To stay where it is: {}",
                invoke(&json!({"command":"acknowledge","incident":incident}))
            ),
        ];
        self.announce(
            state,
            &Draft {
                event: Event::RehearsalStuck,
                severity: Severity::Warning,
                step: &self.now.as_second().to_string(),
                region: first(&plan.from),
                headline: "rehearsal cannot go back",
                advice: &advice,
                answer: &answer,
            },
        );
    }

    /// The schedule's rehearsal cannot begin.
    pub fn rehearsal_blocked(&self, state: &mut State, assessment: &Assessment) {
        let plan = &assessment.plan;
        let answer = Answer {
            blocking: assessment.blocking.clone(),
            ..Answer::about(Outcome::Blocked, plan, assessment.explanation.clone())
        };
        self.announce(
            state,
            &Draft {
                event: Event::OperatorBlocked,
                severity: Severity::Warning,
                step: self.request_id,
                region: first(&plan.from),
                headline: "scheduled rehearsal did not begin",
                advice: &["The schedule tries again at its next time.".to_owned()],
                answer: &answer,
            },
        );
    }

    /// The way home is free but for an operator's word, or something has stood in it for long.
    pub fn homeward(&self, state: &mut State, assessment: &Assessment, tell: Tell) {
        let plan = &assessment.plan;
        let asks = state
            .homeward
            .as_ref()
            .is_some_and(|homeward| homeward.ruling == "needs-approval");
        let failback = |overrides: Vec<&str>| {
            let mut command = json!({"command":"failback","reason":"…"});
            if let (false, Some(fields)) = (overrides.is_empty(), command.as_object_mut()) {
                fields.insert("override".to_owned(), json!(overrides));
            }
            invoke(&command)
        };
        let (event, outcome, verb, mut advice) = match tell {
            Tell::Due(_) if asks => (
                Event::NeedsApproval,
                Outcome::NeedsApproval,
                "waits for approval".to_owned(),
                vec![format!(
                    "To approve, as long as nothing changes: {}",
                    invoke(&json!({"command":"approve","decision":plan.decision}))
                )],
            ),
            Tell::Due(_) => (
                Event::WouldAct,
                Outcome::WouldAct,
                "is due".to_owned(),
                vec![format!("To go home: {}", failback(Vec::new()))],
            ),
            Tell::Stuck => {
                let overridable = assessment.blocking.iter();
                let overridable = overridable
                    .filter(|guard| guard.may_be_overridden())
                    .map(|guard| guard.as_str());
                (
                    Event::Blocked,
                    Outcome::Blocked,
                    "has been blocked for long".to_owned(),
                    vec![
                        "Mend what is named; home is taken as soon as nothing stands in the way."
                            .to_owned(),
                        format!("To go all the same: {}", failback(overridable.collect())),
                    ],
                )
            }
        };
        advice.push(format!(
            "To stay: {}",
            invoke(&json!({"command":"acknowledge","incident":plan.incident}))
        ));
        let reminder = match tell {
            Tell::Due(count) if count > 1 => format!(", reminder {}", count.saturating_sub(1)),
            Tell::Due(_) | Tell::Stuck => String::new(),
        };
        let mode = match self.settings.failback {
            FailbackMode::Manual => "manual",
            FailbackMode::Approve => "approve",
            FailbackMode::Automatic => "automatic",
        };
        let answer = Answer {
            blocking: assessment.blocking.clone(),
            ..Answer::about(
                outcome,
                plan,
                format!("{} FAILBACK is {mode}.", assessment.explanation),
            )
        };
        let headline = format!("{} {verb}{reminder}", movement(plan));
        self.announce(
            state,
            &Draft {
                event,
                severity: Severity::Warning,
                step: &self.now.as_second().to_string(),
                region: first(&plan.to),
                headline: &headline,
                advice: &advice,
                answer: &answer,
            },
        );
    }
}
