//! What people are told, and getting it to them.

use std::collections::BTreeSet;

use sentinel_aws::announce::OutgoingMessage;
use sentinel_aws::control::{ControlError, SubmitError};
use sentinel_aws::proof::ServingReport;
use sentinel_core::alarm::AlarmTransition;
use sentinel_core::announce::{Announcement, Draft, Event, Severity};
use sentinel_core::answer::{Answer, FailedTopic, Outcome, RoutesShown};
use sentinel_core::decide::Assessment;
use sentinel_core::evidence::{Evidence, Verdict};
use sentinel_core::guard::Guard;
use sentinel_core::names::Region;
use sentinel_core::routes::Routes;
use sentinel_core::state::{Actor, Change, Kind, PendingProof, Plan, State};

use crate::error::Error;
use crate::turn::Turn;

/// Regions in a row.
pub(crate) fn list(regions: &BTreeSet<Region>) -> String {
    if regions.is_empty() {
        return "nobody".to_owned();
    }
    regions
        .iter()
        .map(Region::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn first(regions: &BTreeSet<Region>) -> &str {
    regions.first().map_or("", Region::as_str)
}

/// `aws lambda invoke` with this payload, ready to paste.
pub(crate) fn invoke(payload: &serde_json::Value) -> String {
    format!(
        "aws lambda invoke --function-name \"$FAILOVER_FUNCTION\" --cli-binary-format raw-in-base64-out --payload '{payload}' /dev/stdout"
    )
}

/// The `aws` command that moves the routes without this machine.
pub(crate) fn raw_command(
    mrap: &sentinel_core::names::MrapArn,
    before: &Routes,
    after: &Routes,
    endpoint: &str,
) -> String {
    let updates: Vec<String> = before
        .changes_to(after)
        .iter()
        .map(|route| {
            format!(
                "Bucket={},TrafficDialPercentage={}",
                route.bucket,
                i32::from(route.dial)
            )
        })
        .collect();
    format!(
        "aws s3control submit-multi-region-access-point-routes --region {endpoint} --account-id {} --mrap {mrap} --route-updates {}",
        mrap.account(),
        updates.join(" ")
    )
}

impl Turn<'_> {
    fn announce(&self, state: &mut State, draft: &Draft<'_>) {
        let announcement = Announcement::compose(&self.deps.settings.mrap, draft, self.now());
        state.announce(announcement);
    }

    /// The routes show a planned change; the data plane has yet to.
    pub(crate) fn tell_submitted(&self, state: &mut State, plan: &Plan) {
        let mut explanation = format!(
            "The dial was moved from {} to {} ({}). AWS takes up to two minutes to send requests there; requests under way end where they began. A message follows once it is proven on the data plane.",
            list(&plan.from),
            list(&plan.to),
            plan.reason
        );
        for report in &plan.guards {
            if report.overridden {
                explanation.push_str(&format!(
                    " Overridden: {} ({}).",
                    report.guard, report.detail
                ));
            } else if matches!(
                report.guard,
                Guard::LossIsAcceptable | Guard::EvidenceAgrees | Guard::TargetNotDrifted
            ) && report.detail != "-"
            {
                explanation.push_str(&format!(" {}: {}.", report.guard, report.detail));
            }
        }
        if plan.kind == Kind::Failover {
            explanation.push_str(" Writes that have not been replicated arrive when the Region returns; a key written on both sides keeps both versions, and which is current is not defined.");
        }
        let answer = Answer::about(Outcome::Submitted, plan, explanation);
        let severity = match (plan.kind, plan.by) {
            (Kind::Failover, Actor::Automatic) => Severity::Critical,
            (Kind::Failover, _) => Severity::Warning,
            _ => Severity::Info,
        };
        let advice = [
            "Watch for the proof; nothing has to be done for the dial.".to_owned(),
            format!(
                "To stop further automatic moves: {}",
                invoke(&serde_json::json!({"command":"hold","reason":"investigating"}))
            ),
            format!(
                "When the episode is over: {}",
                invoke(&serde_json::json!({"command":"acknowledge","incident":plan.incident}))
            ),
        ];
        let headline = format!(
            "{} {} -> {} submitted",
            plan.kind.as_str(),
            list(&plan.from),
            list(&plan.to)
        );
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
        self.tell_budget(state, plan);
    }

    fn tell_budget(&self, state: &mut State, plan: &Plan) {
        let limit = self.deps.settings.thresholds.daily_budget;
        let start = crate::turn::later(self.now(), jiff::SignedDuration::from_hours(-24));
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
                invoke(&serde_json::json!({"command":"failover","reason":"…"}))
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
    pub(crate) fn tell_proven(
        &self,
        state: &mut State,
        pending: &PendingProof,
        report: &ServingReport,
    ) {
        let plan = &pending.plan;
        let outcome = Outcome::proven(plan.kind);
        let seconds = self.now().duration_since(plan.asked_at).as_secs();
        let answer = Answer::about(
            outcome,
            plan,
            format!(
                "Requests through the access point are served by {} now, {seconds} s after the first sign of trouble or the command. {}",
                list(&plan.to),
                seen(report)
            ),
        );
        let event = match plan.kind {
            Kind::Failover => Event::FailedOver,
            Kind::Failback => Event::FailedBack,
            Kind::Switchover => Event::SwitchedOver,
        };
        let headline = format!(
            "{} {} -> {} proven",
            plan.kind.as_str(),
            list(&plan.from),
            list(&plan.to)
        );
        let advice = [format!(
            "When the episode is over: {}",
            invoke(&serde_json::json!({"command":"acknowledge","incident":plan.incident}))
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
    pub(crate) fn tell_overdue(
        &self,
        state: &mut State,
        pending: &PendingProof,
        report: &ServingReport,
    ) {
        let plan = &pending.plan;
        let answer = Answer::about(
            Outcome::Submitted,
            plan,
            format!(
                "The routes have shown {} for {} s, but the data plane does not prove it. {}",
                plan.after,
                self.now().duration_since(pending.settled_at).as_secs(),
                seen(report)
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

    /// A decision that led to no change: once when it is new, then as a reminder.
    pub(crate) fn tell_standstill(
        &self,
        state: &mut State,
        event: Event,
        assessment: &Assessment,
        count: u32,
    ) {
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
        let answer = Answer::about(outcome, plan, assessment.explanation.clone());
        let mut headline = format!(
            "{} {} -> {} {verb}",
            plan.kind.as_str(),
            list(&plan.from),
            list(&plan.to)
        );
        if count > 1 {
            headline.push_str(&format!(", reminder {}", count.saturating_sub(1)));
        }
        let mut advice = Vec::new();
        if event == Event::NeedsApproval {
            advice.push(format!(
                "To approve within 15 minutes: {}",
                invoke(&serde_json::json!({"command":"approve","decision":plan.decision}))
            ));
        } else {
            advice.push(format!(
                "To do it yourself: {}",
                invoke(&manual(plan, assessment))
            ));
        }
        advice.push(format!(
            "To end this episode without a change: {}",
            invoke(&serde_json::json!({"command":"acknowledge","incident":plan.incident}))
        ));
        self.announce(
            state,
            &Draft {
                event,
                severity,
                step: &self.now().as_second().to_string(),
                region: first(&plan.from),
                headline: &headline,
                advice: &advice,
                answer: &answer,
            },
        );
    }

    /// An operator's wish that was blocked: the operator has the answer, everybody else this.
    pub(crate) fn tell_operator_blocked(&self, state: &mut State, assessment: &Assessment) {
        let plan = &assessment.plan;
        let answer = Answer::about(Outcome::Blocked, plan, assessment.explanation.clone());
        let headline = format!(
            "operator's {} to {} is blocked",
            plan.kind.as_str(),
            list(&plan.to)
        );
        self.announce(
            state,
            &Draft {
                event: Event::Blocked,
                severity: Severity::Info,
                step: self.request_id,
                region: first(&plan.from),
                headline: &headline,
                advice: &[],
                answer: &answer,
            },
        );
    }

    /// The routes are not what this machine made of them.
    pub(crate) fn tell_surprise(&self, state: &mut State, change: &Change, evidence: &Evidence) {
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
        let mut explanation = format!(
            "{what}: {} before, {} now. It is taken as the new baseline and never reverted; the cooldown begins anew.",
            change.before, change.after
        );
        if !late {
            explanation
                .push_str(" Automatic failback is suspended until an operator acknowledges.");
        }
        if !bad.is_empty() && !late {
            explanation.push_str(&format!(
                " The probes find {} bad; because a person chose it, it is not left automatically until it has recovered or the incident is acknowledged.",
                bad.join(", ")
            ));
        }
        let incident = state.incident.as_ref().map(|incident| incident.id.clone());
        let mut advice = vec!["Find out who did it: CloudTrail in us-west-2 records SubmitMultiRegionAccessPointRoutes.".to_owned()];
        if let Some(id) = &incident {
            advice.push(format!(
                "To confirm it: {}",
                invoke(&serde_json::json!({"command":"acknowledge","incident":id}))
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
            ..Answer::plain(Outcome::NoChange, explanation)
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

    /// Announces a problem once while it lasts; `None` says that it is over.
    pub(crate) fn tell_problem(
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
        state.problems.insert(key.to_owned(), self.now());
        let advice: Vec<String> = match event {
            Event::MemberMisconfigured => vec![
                "Look at the bucket's policy, its KMS key and this function's role: somebody may have changed them.".to_owned(),
                "The dial is not moved for this: clients with other permissions may work.".to_owned(),
            ],
            Event::ObserverSick => vec![
                "Nothing is moved automatically while the observer cannot be believed; look at the members yourself.".to_owned(),
                format!("To move the dial yourself: {}", invoke(&serde_json::json!({"command":"failover","reason":"…","override":["target-is-healthy"]}))),
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
        let step = format!("{region}{}", self.now().as_second());
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

    /// An alarm may trigger, but nobody can tell for which Region: told once per alarm.
    pub(crate) fn tell_unknown_region(
        &self,
        state: &mut State,
        transition: &AlarmTransition,
        text: &str,
    ) {
        let key = format!("region-unknown {}", transition.arn);
        self.tell_problem(
            state,
            &key,
            Some((Event::RegionUnknown, Severity::Warning, "", text.to_owned())),
        );
    }

    /// The routes cannot be read.
    pub(crate) fn tell_routes_unreadable(&self, state: &mut State, error: &ControlError) {
        let (event, key) = match error {
            ControlError::Mismatch { .. } => (Event::RoutesMismatch, "routes-mismatch"),
            _ => (Event::ControlUnreachable, "control-unreachable"),
        };
        let severity = if state.triggers.is_empty() {
            Severity::Warning
        } else {
            Severity::Critical
        };
        self.tell_problem(state, key, Some((event, severity, "", error.to_string())));
    }

    /// A change could not be submitted.
    pub(crate) fn tell_submit_failed(&self, state: &mut State, plan: &Plan, error: &SubmitError) {
        let rejected = matches!(
            error,
            SubmitError::Rejected { .. } | SubmitError::Unsubmittable(_)
        );
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
            raw_command(
                &self.deps.settings.mrap,
                &plan.before,
                &plan.after,
                "us-west-2"
            )
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

    /// An incident ended without a change after people had been told of it.
    pub(crate) fn tell_incident_ended(&self, state: &mut State, incident: &str) {
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

    /// What an operator did to the machine.
    pub(crate) fn tell_operator(
        &self,
        state: &mut State,
        event: Event,
        headline: &str,
        answer: &Answer,
    ) {
        self.announce(
            state,
            &Draft {
                event,
                severity: Severity::Info,
                step: self.request_id,
                region: "",
                headline,
                advice: &[],
                answer,
            },
        );
    }

    /// Publishes what waits in the outbox and marks it. Returns the topics that failed although
    /// others did not.
    pub(crate) async fn publish_outbox(&self) -> Result<Vec<FailedTopic>, Error> {
        let waiting = self.load().await?.state.outbox;
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let mut published = BTreeSet::new();
        let mut failed = Vec::new();
        for announcement in &waiting {
            let (taken, errors) = self.publish(announcement).await;
            if taken {
                published.insert(announcement.event_id.clone());
            }
            for error in errors {
                if !failed.contains(&error) {
                    failed.push(error);
                }
            }
        }
        let kept = waiting.len().saturating_sub(published.len());
        self.update(|state, _| {
            state
                .outbox
                .retain(|one| !published.contains(&one.event_id));
            Ok(())
        })
        .await?;
        if kept > 0 {
            let detail: Vec<String> = failed
                .iter()
                .map(|one| format!("{}: {}", one.topic, one.error))
                .collect();
            return Err(Error::Unannounced {
                count: kept,
                detail: detail.join("; "),
            });
        }
        Ok(failed)
    }

    /// Publishes one announcement on all topics; whether one took it, and who did not.
    pub(crate) async fn publish(&self, announcement: &Announcement) -> (bool, Vec<FailedTopic>) {
        let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut attributes = vec![
            attribute("severity", announcement.severity.as_str()),
            attribute("event", announcement.event.as_str()),
            attribute("event_id", &announcement.event_id),
            attribute("mrap", announcement.mrap.as_str()),
        ];
        if !announcement.region.is_empty() {
            // SNS refuses an attribute without a value.
            attributes.push(attribute("region", &announcement.region));
        }
        let message = OutgoingMessage {
            subject: announcement.subject.clone(),
            default_text: announcement.text.clone(),
            json: announcement.body.to_string(),
            attributes,
        };
        let until = self.deps.edge.now().max(crate::turn::later(
            self.deadline,
            jiff::SignedDuration::from_secs(-1),
        ));
        let mut taken = false;
        let mut failed = Vec::new();
        for (topic, result) in self.deps.publisher.publish(&message, until).await {
            match result {
                Ok(_) => taken = true,
                Err(error) => {
                    self.warn(
                        &format!("topic {topic} did not take {}", announcement.event_id),
                        &error,
                    );
                    failed.push(FailedTopic {
                        topic: topic.to_string(),
                        error: error.to_string(),
                    });
                }
            }
        }
        (taken, failed)
    }
}

/// The command by which an operator does what was blocked.
fn manual(plan: &Plan, assessment: &Assessment) -> serde_json::Value {
    let overrides: Vec<&str> = assessment
        .blocking
        .iter()
        .filter(|guard| guard.may_be_overridden())
        .map(|guard| guard.as_str())
        .collect();
    let mut command = serde_json::json!({
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
            fields.insert("override".to_owned(), serde_json::json!(overrides));
        }
    }
    command
}

fn seen(report: &ServingReport) -> String {
    let answers: Vec<String> = report
        .per_key
        .iter()
        .map(|(region, answer)| format!("{region}: {answer}"))
        .collect();
    format!(
        "Each member's canary through the access point: {}.",
        answers.join("; ")
    )
}
