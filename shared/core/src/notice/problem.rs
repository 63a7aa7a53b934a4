//! Notices about what is broken: once while it lasts, or again at the pace of the reminders.

use serde_json::json;

use super::{Notices, first, invoke, list, raw_command};
use crate::alarm::AlarmTransition;
use crate::announce::{Draft, Event, Severity};
use crate::answer::{Answer, Outcome};
use crate::evidence::{Evidence, Observer, Verdict};
use crate::names::Region;
use crate::routes::{Dial, Routes};
use crate::state::{Plan, State};

/// How the keys of problems with submitting begin; a settled change ends them.
pub(crate) const SUBMIT: &str = "submit ";

/// Something that is broken.
struct Problem<'a> {
    /// Under which it is remembered while it lasts.
    key: &'a str,
    event: Event,
    severity: Severity,
    region: &'a str,
    explanation: String,
    advice: Vec<String>,
    /// Whether to say it again at the pace of the reminders.
    reminds: bool,
}

impl Notices<'_> {
    /// Whether the problem is to be announced now; remembers that it was.
    fn is_due(&self, state: &mut State, key: &str, reminds: bool) -> bool {
        let due = match state.problems.get(key) {
            None => true,
            Some(told) => {
                reminds
                    && self.now.duration_since(*told) >= self.settings.thresholds.blocked_reminder
            }
        };
        if due {
            state.problems.insert(key.to_owned(), self.now);
        }
        due
    }

    fn problem(&self, state: &mut State, problem: &Problem<'_>) {
        if !self.is_due(state, problem.key, problem.reminds) {
            return;
        }
        let answer = Answer {
            incident: state.incident.as_ref().map(|incident| incident.id.clone()),
            ..Answer::plain(
                Outcome::NoChange,
                format!("{}. Nothing is moved for it.", problem.explanation),
            )
        };
        self.announce(
            state,
            &Draft {
                event: problem.event,
                severity: problem.severity,
                step: &format!("{}@{}", problem.region, self.now.as_second()),
                region: problem.region,
                headline: &problem.explanation,
                advice: &problem.advice,
                answer: &answer,
            },
        );
    }

    /// Pages once for every member that refuses the probes for a reason that is ours to fix, and
    /// for an observer that cannot be believed; forgets it once it is over.
    pub fn health(&self, state: &mut State, evidence: &Evidence) {
        let sick = "observer-sick";
        if let Observer::Sick { reason } = &evidence.observer {
            self.problem(
                state,
                &Problem {
                    key: sick,
                    event: Event::ObserverSick,
                    severity: Severity::Critical,
                    region: "",
                    explanation: reason.clone(),
                    advice: vec![
                        "Nothing is moved automatically while the observer cannot be believed; look at the members yourself.".to_owned(),
                        format!("To move the dial yourself: {}", invoke(&json!({"command":"failover","reason":"…","override":["target-is-healthy"]}))),
                    ],
                    reminds: false,
                },
            );
            return;
        }
        state.problems.remove(sick);
        for member in &evidence.members {
            let key = format!("misconfigured {}", member.region);
            match member.verdict {
                Verdict::Misconfigured => self.problem(
                    state,
                    &Problem {
                        key: &key,
                        event: Event::MemberMisconfigured,
                        severity: Severity::Critical,
                        region: member.region.as_str(),
                        explanation: format!("{} refuses the probes ({})", member.region, member.detail),
                        advice: vec![
                            "Look at the bucket's policy, its KMS key and this function's role: somebody may have changed them.".to_owned(),
                            "The dial is not moved for this: clients with other permissions may work.".to_owned(),
                        ],
                        reminds: false,
                    },
                ),
                Verdict::Good => {
                    state.problems.remove(&key);
                }
                _ => {}
            }
        }
    }

    /// An alarm may trigger, but nobody can tell for which Region: told once per alarm.
    pub fn unknown_region(&self, state: &mut State, transition: &AlarmTransition, text: &str) {
        self.problem(
            state,
            &Problem {
                key: &unknown_key(transition),
                event: Event::RegionUnknown,
                severity: Severity::Warning,
                region: "",
                explanation: text.to_owned(),
                advice: Vec::new(),
                reminds: false,
            },
        );
    }

    /// It is known again for which Region an alarm speaks.
    pub fn known_region(&self, state: &mut State, transition: &AlarmTransition) {
        state.problems.remove(&unknown_key(transition));
    }

    /// The routes cannot be read: a warning in quiet times, a page with reminders and the raw
    /// command while a trigger is open.
    pub fn routes_unreadable(&self, state: &mut State, mismatch: bool, error: &str) {
        let event = if mismatch {
            Event::RoutesMismatch
        } else {
            Event::ControlUnreachable
        };
        let urgent = !state.triggers.is_empty();
        let advice = state
            .settled
            .as_ref()
            .filter(|_| urgent)
            .and_then(|settled| self.leave_triggered(state, &settled.routes))
            .into_iter()
            .collect();
        self.problem(
            state,
            &Problem {
                key: if urgent {
                    "routes unreadable, urgent"
                } else {
                    "routes unreadable"
                },
                event,
                severity: if urgent {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                region: "",
                explanation: error.to_owned(),
                advice,
                reminds: urgent,
            },
        );
    }

    /// The routes can be read again.
    pub fn routes_readable(&self, state: &mut State) {
        state
            .problems
            .retain(|key, _| !key.starts_with("routes unreadable"));
    }

    /// The raw command for leaving the triggered members, by the routes as they were last known.
    fn leave_triggered(&self, state: &State, routes: &Routes) -> Option<String> {
        let triggered: std::collections::BTreeSet<Region> = state
            .triggers
            .iter()
            .map(|trigger| trigger.region.clone())
            .collect();
        let from = routes.active().intersection(&triggered).cloned().collect();
        let to = self.settings.members.regions().find(|region| {
            !triggered.contains(*region) && routes.dial(region) == Some(Dial::Passive)
        })?;
        let after = routes.moved(&from, &std::iter::once(to.clone()).collect());
        Some(format!(
            "By the routes as they were last known, to leave {} past this machine: {}",
            list(&from),
            raw_command(&self.settings.mrap, routes, &after)
        ))
    }

    /// Whether the control plane refused this very change a short while ago: repeating it at
    /// every tick would help nobody.
    #[must_use]
    pub fn was_rejected(&self, state: &State, plan: &Plan) -> bool {
        state
            .problems
            .get(&submit_key(plan, true))
            .is_some_and(|told| {
                self.now.duration_since(*told) < self.settings.thresholds.blocked_reminder
            })
    }

    /// A change could not be submitted.
    pub fn submit_failed(&self, state: &mut State, plan: &Plan, rejected: bool, error: &str) {
        if !self.is_due(state, &submit_key(plan, rejected), true) {
            return;
        }
        let (event, headline) = if rejected {
            (
                Event::SubmitRejected,
                "control plane refuses the change of routes",
            )
        } else {
            (
                Event::ControlUnreachable,
                "no control endpoint takes the change of routes",
            )
        };
        let next = if rejected {
            "Repeating it will not help: the routes, the settings or the permissions are not what they should be. It is tried again with the next reminder, or when an operator asks for it."
        } else {
            "Every tick tries again."
        };
        let answer = Answer::about(
            Outcome::Blocked,
            plan,
            format!(
                "The dial was not moved from {} to {}: {error}. {next}",
                list(&plan.from),
                list(&plan.to)
            ),
        );
        let advice = [format!(
            "To try it past this machine: {}",
            raw_command(&self.settings.mrap, &plan.before, &plan.after)
        )];
        self.announce(
            state,
            &Draft {
                event,
                severity: Severity::Critical,
                step: &format!("{}@{}", plan.decision, self.now.as_second()),
                region: first(&plan.from),
                headline,
                advice: &advice,
                answer: &answer,
            },
        );
    }
}

fn unknown_key(transition: &AlarmTransition) -> String {
    format!("region-unknown {}", transition.arn)
}

fn submit_key(plan: &Plan, rejected: bool) -> String {
    let how = if rejected { "rejected" } else { "unanswered" };
    format!("{SUBMIT}{how} {}", plan.decision)
}
