//! Notices about what is broken, once while it lasts.

use serde_json::json;

use super::{Notices, first, invoke, list, raw_command};
use crate::alarm::AlarmTransition;
use crate::announce::{Draft, Event, Severity};
use crate::answer::{Answer, Outcome};
use crate::evidence::{Evidence, Observer, Verdict};
use crate::state::{Plan, State};

impl Notices<'_> {
    /// Announces a problem once while it lasts; `None` says that it is over.
    pub fn problem(
        &self,
        state: &mut State,
        key: &str,
        problem: Option<(Event, Severity, &str, String)>,
    ) {
        let Some((event, severity, region, explanation)) = problem else {
            state.problems.remove(key);
            return;
        };
        if state.problems.contains_key(key) {
            return;
        }
        state.problems.insert(key.to_owned(), self.now);
        let advice: Vec<String> = match event {
            Event::MemberMisconfigured => vec![
                "Look at the bucket's policy, its KMS key and this function's role: somebody may have changed them.".to_owned(),
                "The dial is not moved for this: clients with other permissions may work.".to_owned(),
            ],
            Event::ObserverSick => vec![
                "Nothing is moved automatically while the observer cannot be believed; look at the members yourself.".to_owned(),
                format!("To move the dial yourself: {}", invoke(&json!({"command":"failover","reason":"…","override":["target-is-healthy"]}))),
            ],
            _ => Vec::new(),
        };
        let answer = Answer {
            incident: state.incident.as_ref().map(|incident| incident.id.clone()),
            ..Answer::plain(
                Outcome::NoChange,
                format!("{explanation}. Nothing is moved for it."),
            )
        };
        let step = format!("{region}@{}", self.now.as_second());
        self.announce(
            state,
            &Draft {
                event,
                severity,
                step: &step,
                region,
                headline: &explanation,
                advice: &advice,
                answer: &answer,
            },
        );
    }

    /// Pages once for every member that refuses the probes for a reason that is ours to fix, and
    /// for an observer that cannot be believed; forgets it once it is over.
    pub fn health(&self, next: &mut State, evidence: &Evidence) {
        if let Observer::Sick { reason } = &evidence.observer {
            self.problem(
                next,
                "observer-sick",
                Some((Event::ObserverSick, Severity::Critical, "", reason.clone())),
            );
            return;
        }
        self.problem(next, "observer-sick", None);
        for member in &evidence.members {
            let key = format!("misconfigured {}", member.region);
            match member.verdict {
                Verdict::Misconfigured => self.problem(
                    next,
                    &key,
                    Some((
                        Event::MemberMisconfigured,
                        Severity::Critical,
                        member.region.as_str(),
                        format!("{} refuses the probes ({})", member.region, member.detail),
                    )),
                ),
                Verdict::Good => self.problem(next, &key, None),
                _ => {}
            }
        }
    }

    /// An alarm may trigger, but nobody can tell for which Region: told once per alarm.
    pub fn unknown_region(&self, state: &mut State, transition: &AlarmTransition, text: &str) {
        let key = format!("region-unknown {}", transition.arn);
        self.problem(
            state,
            &key,
            Some((Event::RegionUnknown, Severity::Warning, "", text.to_owned())),
        );
    }

    /// The routes cannot be read.
    pub fn routes_unreadable(&self, state: &mut State, mismatch: bool, error: &str) {
        let (event, key) = if mismatch {
            (Event::RoutesMismatch, "routes-mismatch")
        } else {
            (Event::ControlUnreachable, "control-unreachable")
        };
        let severity = if state.triggers.is_empty() {
            Severity::Warning
        } else {
            Severity::Critical
        };
        self.problem(state, key, Some((event, severity, "", error.to_owned())));
    }

    /// A change could not be submitted.
    pub fn submit_failed(&self, state: &mut State, plan: &Plan, rejected: bool, error: &str) {
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
            "Repeating it will not help: the routes, the settings or the permissions are not what they should be."
        } else {
            "The next tick tries again."
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
            raw_command(&self.settings.mrap, &plan.before, &plan.after, "us-west-2")
        )];
        let step = if rejected {
            self.request_id.to_owned()
        } else {
            plan.decision.clone()
        };
        self.announce(
            state,
            &Draft {
                event,
                severity: Severity::Critical,
                step: &step,
                region: first(&plan.from),
                headline,
                advice: &advice,
                answer: &answer,
            },
        );
    }
}
