//! Notices about changes of the routes.

use jiff::Timestamp;
use serde_json::json;

use super::{DAY, Notices, first, invoke, list, movement};
use crate::announce::{Draft, Event, Severity};
use crate::answer::{Answer, Outcome, RoutesShown};
use crate::evidence::{Evidence, Verdict};
use crate::guard::Guard;
use crate::names::Region;
use crate::state::{Actor, Change, Kind, PendingProof, Plan, State};

impl Notices<'_> {
    /// The routes show a planned change; the data plane has yet to.
    pub fn submitted(&self, state: &mut State, plan: &Plan) {
        let mut sentences = vec![format!(
            "The dial was moved from {} to {} ({}). AWS takes up to two minutes to send requests there; requests under way end where they began. A message follows once it is proven on the data plane.",
            list(&plan.from),
            list(&plan.to),
            plan.reason
        )];
        for report in &plan.guards {
            if report.overridden {
                sentences.push(format!("Overridden: {} ({}).", report.guard, report.detail));
            } else if matches!(
                report.guard,
                Guard::LossIsAcceptable | Guard::EvidenceAgrees | Guard::TargetNotDrifted
            ) && report.detail != "-"
            {
                sentences.push(format!("{}: {}.", report.guard, report.detail));
            }
        }
        if plan.kind == Kind::Failover {
            sentences.push("Writes that have not been replicated arrive when the Region returns; a key written on both sides keeps both versions, and which is current is not defined.".to_owned());
        }
        let answer = Answer::about(Outcome::Submitted, plan, sentences.join(" "));
        let severity = match (plan.kind, plan.by) {
            (Kind::Failover, Actor::Automatic) => Severity::Critical,
            (Kind::Failover, _) => Severity::Warning,
            _ => Severity::Info,
        };
        let advice = [
            "Watch for the proof; nothing has to be done for the dial.".to_owned(),
            format!(
                "To stop further automatic moves: {}",
                invoke(&json!({"command":"hold","reason":"investigating"}))
            ),
            format!(
                "When the episode is over: {}",
                invoke(&json!({"command":"acknowledge","incident":plan.incident}))
            ),
        ];
        let headline = format!("{} submitted", movement(plan));
        self.announce(
            state,
            &Draft {
                event: Event::Submitted,
                severity,
                step: &plan.decision,
                region: first(&plan.from),
                headline: &headline,
                advice: &advice,
                answer: &answer,
            },
        );
        self.budget(state, plan);
    }

    fn budget(&self, state: &mut State, plan: &Plan) {
        let limit = self.settings.thresholds.daily_budget;
        let start = self.now.checked_sub(DAY).unwrap_or(Timestamp::MIN);
        let used = state.automatic_changes_since(start);
        if plan.by != Actor::Automatic || used < usize::try_from(limit).unwrap_or(usize::MAX) {
            return;
        }
        let answer = Answer::about(
            Outcome::Blocked,
            plan,
            format!(
                "{used} automatic changes in 24 hours use up DAILY_BUDGET ({limit}). Until the oldest of them is a day old the dial moves only by an operator's command."
            ),
        );
        let advice = [
            "Find out why the dial moves so often before you raise DAILY_BUDGET.".to_owned(),
            format!(
                "To move it yourself: {}",
                invoke(&json!({"command":"failover","reason":"…"}))
            ),
        ];
        self.announce(
            state,
            &Draft {
                event: Event::BudgetExhausted,
                severity: Severity::Critical,
                step: &plan.decision,
                region: first(&plan.from),
                headline: "budget of automatic changes is used up",
                advice: &advice,
                answer: &answer,
            },
        );
    }

    /// The data plane shows a change.
    pub fn proven(&self, state: &mut State, pending: &PendingProof, sight: &str) {
        let plan = &pending.plan;
        let outcome = Outcome::proven(plan.kind);
        let seconds = self.now.duration_since(plan.asked_at).as_secs();
        let answer = Answer::about(
            outcome,
            plan,
            format!(
                "Requests through the access point are served by {} now, {seconds} s after the first sign of trouble or the command. {}",
                list(&plan.to),
                sight
            ),
        );
        let event = match plan.kind {
            Kind::Failover => Event::FailedOver,
            Kind::Failback => Event::FailedBack,
            Kind::Switchover => Event::SwitchedOver,
        };
        let headline = format!("{} proven", movement(plan));
        let advice = [format!(
            "When the episode is over: {}",
            invoke(&json!({"command":"acknowledge","incident":plan.incident}))
        )];
        self.announce(
            state,
            &Draft {
                event,
                severity: Severity::Info,
                step: &plan.decision,
                region: first(&plan.from),
                headline: &headline,
                advice: &advice,
                answer: &answer,
            },
        );
    }

    /// The data plane does not show a change although it should by now.
    pub fn overdue(&self, state: &mut State, pending: &PendingProof, sight: &str) {
        let plan = &pending.plan;
        let answer = Answer::about(
            Outcome::Submitted,
            plan,
            format!(
                "The routes have shown {} for {} s, but the data plane does not prove it. {}",
                plan.after,
                self.now.duration_since(pending.settled_at).as_secs(),
                sight
            ),
        );
        let advice = [
            "Read and write through the access point from a client and look at x-amz-replication-status.".to_owned(),
            "Make clients open new connections: those that are open keep their Region.".to_owned(),
            "If requests still reach the Region that was left, open a case with AWS support.".to_owned(),
        ];
        self.announce(
            state,
            &Draft {
                event: Event::ProofOverdue,
                severity: Severity::Critical,
                step: &plan.decision,
                region: first(&plan.from),
                headline: "routes changed but not proven on the data plane",
                advice: &advice,
                answer: &answer,
            },
        );
    }

    /// The routes are not what this machine made of them.
    pub fn surprise(&self, state: &mut State, change: &Change, evidence: &Evidence) {
        let late = change.by == Actor::LateLanding;
        let (event, what) = if late {
            (
                Event::LateLanding,
                "A change of the routes that had been given up has landed after all",
            )
        } else {
            (
                Event::OutsideChange,
                "The routes were changed, and not by mrap-sentinel",
            )
        };
        let bad: Vec<&str> = change
            .after
            .active()
            .iter()
            .filter(|region| evidence.verdict(region) == Verdict::Bad)
            .filter_map(|region| change.to.get(region))
            .map(Region::as_str)
            .collect();
        let mut sentences = vec![format!(
            "{what}: {} before, {} now. It is taken as the new baseline and never reverted; the cooldown begins anew.",
            change.before, change.after
        )];
        if !late {
            sentences
                .push("Automatic failback is suspended until an operator acknowledges.".to_owned());
        }
        if !bad.is_empty() && !late {
            sentences.push(format!(
                "The probes find {} bad; because a person chose it, it is not left automatically until it has recovered or the incident is acknowledged.",
                bad.join(", ")
            ));
        }
        let incident = state.incident.as_ref().map(|incident| incident.id.clone());
        let mut advice = Vec::new();
        if !late {
            advice.push("Find out who did it: CloudTrail in us-west-2 records SubmitMultiRegionAccessPointRoutes.".to_owned());
        }
        if let Some(id) = &incident {
            advice.push(format!(
                "To confirm it: {}",
                invoke(&json!({"command":"acknowledge","incident":id}))
            ));
        }
        let answer = Answer {
            incident,
            from: change.from.clone(),
            to: change.after.active(),
            routes: RoutesShown {
                before: change.before.clone().into(),
                after: change.after.clone().into(),
            },
            by: Some(change.by),
            ..Answer::plain(Outcome::NoChange, sentences.join(" "))
        };
        self.announce(
            state,
            &Draft {
                event,
                severity: if bad.is_empty() {
                    Severity::Warning
                } else {
                    Severity::Critical
                },
                step: &change.at.as_second().to_string(),
                region: first(&change.from),
                headline: if late {
                    "a late change of routes has landed"
                } else {
                    "routes were changed by somebody else"
                },
                advice: &advice,
                answer: &answer,
            },
        );
    }
}
