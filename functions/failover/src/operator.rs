//! Operator commands.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sentinel_aws::store::StoreError;
use sentinel_core::announce::Event;
use sentinel_core::answer::{
    Answer, ClaimStatus, DriftStatus, MemberStatus, Outcome, RoutesShown, StatusDetails,
};
use sentinel_core::command::{Command, FailbackCommand, FailoverCommand, RehearseCommand};
use sentinel_core::decide::{Order, Wish};
use sentinel_core::evidence::Evidence;
use sentinel_core::homeward::Homeward;
use sentinel_core::readiness::Report;
use sentinel_core::state::{APPROVAL, Hold, Kind, Settled, State, StateError};

use crate::cycle::Task;
use crate::error::Error;
use crate::turn::Turn;
use sentinel_core::notice::list;

/// Changes and incidents that `status` shows.
const HISTORY_SHOWN: usize = 20;

impl Turn<'_> {
    /// Carries out an operator's command.
    pub(crate) async fn operate(&self, command: Command) -> Result<Answer, Error> {
        match command {
            Command::Tick => self.automatic(&[]).await,
            Command::Status => self.status().await,
            Command::Failover(command) => self.failover(command).await,
            Command::Failback(command) => self.failback(command).await,
            Command::Rehearse(command) => self.rehearse(command).await,
            Command::Approve { decision } => self.approve(&decision).await,
            Command::Hold { reason, until } => self.hold(&reason, until).await,
            Command::Release { reason } => self.release(&reason).await,
            Command::Acknowledge { incident } => self.acknowledge(&incident).await,
            Command::RepairState { reason } => self.repair_state(&reason).await,
        }
    }

    async fn failover(&self, command: FailoverCommand) -> Result<Answer, Error> {
        let order = Order {
            overrides: command.overridden(),
            from: command.from.unwrap_or_default(),
            to: command.to.unwrap_or_default(),
            reason: command.reason,
        };
        if let Some(region) = order.from.intersection(&order.to).next() {
            return Err(Error::Command(format!(
                "{region} stands in both from and to: a Region cannot be left and gone to at once"
            )));
        }
        let task = Task {
            transitions: &[],
            wish: Wish::Failover(order.clone()),
            approved: None,
            dry_run: command.dry_run,
        };
        match Box::pin(self.run(&task)).await {
            Err(Error::Store(_) | Error::StateDeleted | Error::State(_)) if command.break_glass => {
                Box::pin(self.break_glass(order, command.dry_run)).await
            }
            Err(error @ Error::Store(_)) if !command.break_glass => Err(Error::Command(format!(
                "{}. To act without the state store, repeat the command with \"breakGlass\": true",
                error.chain()
            ))),
            other => other,
        }
    }

    async fn failback(&self, command: FailbackCommand) -> Result<Answer, Error> {
        let order = Order {
            overrides: command.overridden(),
            from: BTreeSet::new(),
            to: BTreeSet::new(),
            reason: command.reason,
        };
        self.run(&Task {
            transitions: &[],
            wish: Wish::Failback(order),
            approved: None,
            dry_run: command.dry_run,
        })
        .await
    }

    /// Over; the ticks see to the way back.
    async fn rehearse(&self, command: RehearseCommand) -> Result<Answer, Error> {
        let order = Order {
            overrides: command.overridden(),
            from: BTreeSet::new(),
            to: command.to.unwrap_or_default(),
            reason: command.reason,
        };
        let mut answer = Box::pin(self.run(&Task {
            transitions: &[],
            wish: Wish::Rehearsal {
                order,
                scheduled: command.scheduled,
            },
            approved: None,
            dry_run: command.dry_run,
        }))
        .await?;
        if answer.outcome == Outcome::Submitted {
            let stay = self.deps.settings.thresholds.rehearsal.as_secs();
            answer.explanation = format!(
                "{} It stays there for {stay} s once the data plane has followed; then the ticks bring it back and tell how long each step took.",
                answer.explanation
            );
        }
        Ok(answer)
    }

    /// Carries out a proposed decision if deciding again gives the same.
    async fn approve(&self, decision: &str) -> Result<Answer, Error> {
        let state = self.load().await?.state;
        let proposed = state
            .proposal
            .as_ref()
            .filter(|proposal| self.now().duration_since(proposal.at) <= APPROVAL);
        let wish = match proposed {
            Some(proposal) if proposal.plan.decision == decision => match proposal.plan.kind {
                Kind::Failback => Wish::Homeward,
                Kind::Failover | Kind::Switchover => Wish::Triggers { approved: true },
            },
            Some(proposal) => {
                return Err(Error::Command(format!(
                    "decision {decision} does not wait for approval; {} does",
                    proposal.plan.decision
                )));
            }
            None if state
                .changes
                .last()
                .is_some_and(|change| change.decision.as_deref() == Some(decision)) =>
            {
                return Ok(Answer::plain(
                    Outcome::NoChange,
                    format!("Decision {decision} has been carried out already."),
                ));
            }
            None => {
                return Err(Error::Command(format!(
                    "decision {decision} does not wait for approval: a decision can be approved for {} s",
                    APPROVAL.as_secs()
                )));
            }
        };
        self.run(&Task {
            transitions: &[],
            wish,
            approved: Some(decision),
            dry_run: false,
        })
        .await
    }

    /// Changes the state by an operator's word, and tells everybody.
    async fn decree(
        &self,
        event: Event,
        headline: &str,
        mut change: impl FnMut(&mut State, Timestamp) -> Result<Answer, Error>,
    ) -> Result<Answer, Error> {
        let (_, mut answer) = self
            .update(|state, now| {
                let answer = change(state, now)?;
                if answer.outcome != Outcome::NoChange {
                    self.notices().operator(state, event, headline, &answer);
                }
                Ok(answer)
            })
            .await?;
        answer.name_failed_topics(self.publish_outbox().await?);
        Ok(answer)
    }

    async fn hold(&self, reason: &str, until: Option<Timestamp>) -> Result<Answer, Error> {
        if until.is_some_and(|until| until <= self.now()) {
            return Err(Error::Command(
                "until lies in the past: a hold has to end later than now".to_owned(),
            ));
        }
        let headline = format!("hold set: {reason}");
        self.decree(Event::Held, &headline, |state, now| {
            state.hold = Some(Hold {
                reason: reason.to_owned(),
                since: now,
                until,
            });
            state.note(now, format!("hold set: {reason}"));
            let end = until.map_or_else(|| "until it is released".to_owned(), |until| format!("until {until}"));
            Ok(Answer::plain(
                Outcome::Held,
                format!("Held {end}: the dial is not turned automatically ({reason}). A change that was submitted before still takes effect."),
            ))
        })
        .await
    }

    async fn release(&self, reason: &str) -> Result<Answer, Error> {
        let headline = format!("hold released: {reason}");
        self.decree(Event::Released, &headline, |state, now| {
            Ok(match state.hold.take() {
                None => Answer::plain(Outcome::NoChange, "No hold was set."),
                Some(hold) => {
                    state.note(now, format!("hold released: {reason}"));
                    Answer::plain(
                        Outcome::Released,
                        format!("The hold of {} ({}) is lifted ({reason}); the next tick decides about open triggers.", hold.since, hold.reason),
                    )
                }
            })
        })
        .await
    }

    async fn acknowledge(&self, incident: &str) -> Result<Answer, Error> {
        self.decree(Event::Acknowledged, "incident acknowledged", |state, now| {
            let is_closed = state.closed.iter().any(|closed| closed.id == incident);
            match &state.incident {
                Some(open) if open.id == incident => {}
                _ if is_closed => {
                    return Ok(Answer::plain(
                        Outcome::NoChange,
                        format!("Incident {incident} is closed already."),
                    ));
                }
                Some(open) => {
                    return Err(Error::Command(format!(
                        "incident {incident} is not open; {} is",
                        open.id
                    )));
                }
                None => {
                    return Err(Error::Command(format!(
                        "incident {incident} is not open; no incident is"
                    )));
                }
            }
            self.end_rehearsal(state, false, "acknowledged by an operator: the routes stay as they are");
            state.triggers.clear();
            state.accepted.clear();
            state.proof = None;
            state.failback_suspended = None;
            state.cooldown_ended = Some(now);
            state.close_incident(now, "acknowledged by an operator");
            Ok(Answer {
                incident: Some(incident.to_owned()),
                ..Answer::plain(
                    Outcome::Acknowledged,
                    format!("Incident {incident} and its triggers are closed; cooldown and suspension have ended. The routes stay as they are."),
                )
            })
        })
        .await
    }

    /// Begins a fresh state where the old one is gone or cannot be understood.
    async fn repair_state(&self, reason: &str) -> Result<Answer, Error> {
        match self.load().await {
            Ok(_) => {
                return Ok(Answer::plain(
                    Outcome::NoChange,
                    "The state can be read: there is nothing to repair.",
                ));
            }
            // Whoever owns that document must not lose it: the setting is wrong.
            Err(error @ Error::State(StateError::Foreign { .. })) => return Err(error),
            Err(Error::StateDeleted | Error::State(_) | Error::Store(StoreError::Torn { .. })) => {}
            Err(error) => return Err(error),
        }
        let routes = self
            .read_routes(&BTreeSet::new())
            .await
            .map_err(|error| Error::Routes(Box::new(error)))?;
        let now = self.now();
        let mut state = State::first(self.deps.settings.mrap.clone(), now);
        state.settled = Some(Settled {
            routes: routes.clone(),
            at: now,
        });
        // Whatever was known of cooldowns and holds is lost: a person has to say that it may go on.
        state.hold = Some(Hold {
            reason: format!("state repaired: {reason}"),
            since: now,
            until: None,
        });
        let mut answer = Answer {
            routes: RoutesShown {
                before: routes.clone().into(),
                after: Vec::new(),
            },
            ..Answer::plain(
                Outcome::Held,
                format!(
                    "A fresh state was written with the routes as they are ({routes}); history, cooldowns and open incidents are lost. It begins on hold: send release when you have looked around."
                ),
            )
        };
        self.notices().operator(
            &mut state,
            Event::StateRepaired,
            "state repaired, on hold",
            &answer,
        );
        self.overwrite(state).await?;
        answer.name_failed_topics(self.publish_outbox().await?);
        Ok(answer)
    }

    async fn status(&self) -> Result<Answer, Error> {
        let state = self.load().await?.state;
        let (routes, evidence, report) = self.glance(&state).await;
        let now = self.now();
        let (shown, sight) = match routes {
            Ok(routes) => (
                RoutesShown {
                    before: routes.clone().into(),
                    after: Vec::new(),
                },
                format!("Routes: {routes}."),
            ),
            Err(error) => (
                RoutesShown::default(),
                format!("The routes cannot be read: {error}."),
            ),
        };
        let hold = state
            .active_hold(now)
            .map(|hold| format!("Held since {}: {}.", hold.since, hold.reason));
        let regions: BTreeSet<_> = state
            .triggers
            .iter()
            .map(|trigger| trigger.region.clone())
            .collect();
        let triggers = if regions.is_empty() {
            "No trigger is open.".to_owned()
        } else {
            format!("Triggers are open for {}.", list(&regions))
        };
        let rehearsal = state.rehearsal.as_ref().map(|rehearsal| {
            format!(
                "A rehearsal of {} is under way since {}.",
                list(&rehearsal.away.active()),
                rehearsal.out.decided_at
            )
        });
        let homeward = state.homeward_at(now).map(homeward_text);
        let explanation: Vec<String> = [Some(sight), hold, Some(triggers), rehearsal, homeward]
            .into_iter()
            .flatten()
            .collect();
        Ok(Answer {
            incident: state.incident.as_ref().map(|incident| incident.id.clone()),
            routes: shown,
            status: Some(self.details(&state, evidence.as_ref(), report.as_ref(), now)),
            ..Answer::plain(Outcome::Status, explanation.join(" "))
        })
    }

    fn details(
        &self,
        state: &State,
        evidence: Option<&Evidence>,
        report: Option<&Report>,
        now: Timestamp,
    ) -> StatusDetails {
        let settings = &self.deps.settings;
        StatusDetails {
            mode: settings.mode,
            failback: settings.failback,
            hold: state.active_hold(now).cloned(),
            triggers: state.triggers.clone(),
            evidence: settings
                .members
                .regions()
                .map(|region| {
                    let member = evidence.and_then(|evidence| evidence.member(region));
                    MemberStatus {
                        region: region.clone(),
                        verdict: evidence
                            .map_or("unknown", |evidence| evidence.verdict(region).as_str()),
                        detail: member.map_or_else(
                            || "never probed".to_owned(),
                            |member| member.detail.clone(),
                        ),
                        since: member.map(|member| member.since),
                        latency_millis: member.and_then(|member| member.latency_millis),
                        bad_rounds: member.map_or(0, |member| member.bad_rounds),
                        age_seconds: evidence
                            .map(|evidence| now.duration_since(evidence.observed_at).as_secs()),
                    }
                })
                .collect(),
            vantage_points: evidence.map(|evidence| evidence.vantage_points),
            serving: evidence.and_then(|evidence| evidence.serving.clone()),
            pairs: evidence.map_or_else(Vec::new, |evidence| evidence.pairs.clone()),
            self_test: state.self_test.clone(),
            claim: state.claim.as_ref().map(|claim| ClaimStatus {
                request_id: claim.request_id.clone(),
                decision: claim.plan.decision.clone(),
                to: claim.plan.to.clone(),
                expires: claim.expires,
            }),
            unproven: state
                .proof
                .as_ref()
                .map(|proof| proof.plan.decision.clone()),
            proposal: state
                .proposal
                .as_ref()
                .map(|proposal| proposal.plan.decision.clone()),
            drift: DriftStatus::of(report, now),
            homeward: state.homeward_at(now).cloned(),
            rehearsal: state.rehearsal.clone(),
            rehearsed: state.rehearsed.clone(),
            failback_suspended: state.failback_suspended.clone(),
            accepted: state.accepted.keys().cloned().collect(),
            unpublished: state.outbox.len(),
            history: state
                .changes
                .iter()
                .rev()
                .take(HISTORY_SHOWN)
                .cloned()
                .collect(),
            incidents: state
                .closed
                .iter()
                .rev()
                .take(HISTORY_SHOWN)
                .cloned()
                .collect(),
        }
    }
}

/// What was last decided about the way home, for people.
fn homeward_text(homeward: &Homeward) -> String {
    let details: Vec<String> = homeward
        .guards
        .iter()
        .filter(|report| homeward.blocking.contains(&report.guard))
        .map(|report| format!("{}: {}", report.guard, report.detail))
        .collect();
    format!(
        "The way home at {}, decision {}: {}.",
        homeward.at,
        homeward.decision,
        details.join("; ")
    )
}
