//! The automatic cycle: take note, look, reconcile, decide, record. Alarms and the tick both run it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sentinel_aws::alarms::{DescribeError, DescribedAlarm};
use sentinel_aws::control::ControlError;
use sentinel_core::alarm::{
    Admission, AlarmState, AlarmTransition, regions_of, regions_of_dimensions,
};
use sentinel_core::announce::Event;
use sentinel_core::answer::{Answer, Outcome};
use sentinel_core::decide::{Assessment, Decision, Request, Wish, decide};
use sentinel_core::names::{AlarmArn, Region};
use sentinel_core::reconcile::Reconciled;
use sentinel_core::rehearsal::Next;
use sentinel_core::routes::Routes;
use sentinel_core::state::{Actor, Claim, Kind, Proposal, Standstill, State};

use crate::act::Acted;
use crate::error::Error;
use crate::observe::{Seen, believed_bad};
use crate::record::{Record, Written};
use crate::turn::{Turn, later};

/// How often the cycle is run again after a lost race.
const ROUNDS: usize = 8;
/// How often somebody else's change may come first before the next tick has to see to it.
const CONFLICTS: usize = 2;
/// Time for somebody else's change to end.
const CONFLICT_PAUSE: Duration = Duration::from_secs(1);

/// An open trigger that was confirmed longer ago than this is confirmed anew before a decision.
const CONFIRM_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// How long after the invocation's end nobody else acts on its claim: longer than any request
/// that it began can take.
const CLAIM_GRACE: SignedDuration = SignedDuration::from_secs(30);

/// What became of one run of the cycle.
pub(crate) enum Cycled {
    /// Something was decided and recorded.
    Decided {
        /// The decision.
        decision: Box<Decision>,
        /// The routes that it was made about.
        routes: Routes,
        /// The state as recorded.
        record: Box<Record>,
    },
    /// Somebody else wrote first.
    Lost,
}

/// What a cycle is about.
pub(crate) struct Task<'a> {
    /// Alarms that changed their state.
    pub(crate) transitions: &'a [AlarmTransition],
    /// What is wanted.
    pub(crate) wish: Wish,
    /// The only decision that may be carried out, when an operator approved one.
    pub(crate) approved: Option<&'a str>,
    /// Report only: nothing is recorded, announced or changed.
    pub(crate) dry_run: bool,
}

impl Task<'_> {
    fn is_operators(&self) -> bool {
        !matches!(self.wish, Wish::Triggers { approved: false })
    }
}

impl Turn<'_> {
    /// Alarms, or the tick if there are none.
    pub(crate) async fn automatic(&self, transitions: &[AlarmTransition]) -> Result<Answer, Error> {
        let task = Task {
            transitions,
            wish: Wish::Triggers { approved: false },
            approved: None,
            dry_run: false,
        };
        let result = Box::pin(self.run(&task)).await;
        if let Err(error) = &result
            && error.is_about_the_state()
        {
            self.page_unrecorded(error, transitions).await;
        }
        result
    }

    /// Runs the cycle until its decision is recorded, and carries the decision out.
    pub(crate) async fn run(&self, task: &Task<'_>) -> Result<Answer, Error> {
        let mut seen = None;
        let mut conflicts = 0;
        for round in 0..ROUNDS {
            if round > 0 && self.now() >= self.end {
                break;
            }
            let mut unknown_region = None;
            let Cycled::Decided {
                decision,
                routes,
                record,
            } = Box::pin(self.cycle(task, &mut seen, &mut unknown_region)).await?
            else {
                continue;
            };
            if task.dry_run {
                return Ok(Answer::standing_still(&decision, &routes));
            }
            // Something is recorded now: a failure of the store no longer means that nothing was done.
            let carried = Box::pin(self.carry_out(*decision, &routes, &record.state)).await;
            let Some(answer) = carried.map_err(Error::after_the_record)? else {
                conflicts += 1;
                if conflicts >= CONFLICTS {
                    break;
                }
                self.deps.edge.sleep(CONFLICT_PAUSE).await;
                seen = None;
                continue;
            };
            return match unknown_region {
                None => Ok(answer),
                Some(text) => Err(Error::RegionUnknown(text)),
            };
        }
        Err(Error::Contended)
    }

    /// Does what was decided, tells people, and goes on proving; nothing if somebody else's change
    /// came first.
    async fn carry_out(
        &self,
        decision: Decision,
        routes: &Routes,
        state: &State,
    ) -> Result<Option<Answer>, Error> {
        let mut answer = match decision {
            Decision::Act(assessment) => match Box::pin(self.act(&assessment.plan, state)).await? {
                Acted::Settled => {
                    Answer::about(Outcome::Submitted, &assessment.plan, assessment.explanation)
                }
                Acted::Again => return Ok(None),
            },
            decision => Answer::standing_still(&decision, routes),
        };
        let published = self.publish_outbox().await;
        Box::pin(self.prove_pending(&mut answer)).await?;
        answer.name_failed_topics(published?);
        Ok(Some(answer))
    }

    /// One run: everything up to the compare-and-swap that records the decision and its claim.
    async fn cycle(
        &self,
        task: &Task<'_>,
        seen: &mut Option<Seen>,
        unknown_region: &mut Option<String>,
    ) -> Result<Cycled, Error> {
        let mut record = self.load().await?;
        let mut next = record.state.clone();
        *unknown_region = self.note_transitions(&mut next, task.transitions).await;
        let seen = self.look(&next, seen, &task.wish).await?;
        let now = self.now();
        let max_age = self.deps.settings.thresholds.evidence_max_age;
        match &next.evidence {
            // Another invocation probed since the health check's last round, or while this one lost
            // a race.
            Some(newer) if seen.evidence.yields_to(newer, now, max_age) => {
                seen.evidence = newer.clone();
            }
            // Whoever reads the document later finds what was decided on beside the decision.
            _ => next.evidence = Some(seen.evidence.without_pairs()),
        }
        next.confirm_triggers(&seen.alarms_still_true(&next), Some(&seen.evidence), now);
        let routes = match &seen.routes {
            Ok(routes) => routes.clone(),
            Err(error) => {
                let blind = self.without_routes(record, next, error, task.dry_run);
                return Box::pin(blind).await;
            }
        };
        self.take_account(&mut next, seen, &routes, now);
        let (decision, errand) = self.decide(&mut next, seen, &routes, task);
        if task.dry_run {
            return Ok(Cycled::Decided {
                decision: Box::new(decision),
                routes,
                record: Box::new(record),
            });
        }
        let decision = insist_on_approved(decision, task.approved)?;
        let decision = self.spare_rejected(&next, decision, task);
        self.record_decision(&mut next, &decision, (task, errand), now);
        match self.save(&mut record, next).await? {
            Written::Lost => Ok(Cycled::Lost),
            Written::Done => Ok(Cycled::Decided {
                decision: Box::new(decision),
                routes,
                record: Box::new(record),
            }),
        }
    }

    /// What is to be done: what a rehearsal asks for that is under way, else what is wanted.
    fn decide(
        &self,
        next: &mut State,
        seen: &Seen,
        routes: &Routes,
        task: &Task<'_>,
    ) -> (Decision, Errand) {
        let now = self.now();
        let settings = &self.deps.settings;
        let decided = |state: &State, wish: &Wish| {
            let request = Request {
                id: self.request_id.to_owned(),
                wish: wish.clone(),
            };
            decide(seen.about(routes), state, settings, &request, now)
        };
        if task.is_operators() {
            return (decided(next, &task.wish), Errand::Usual);
        }
        let alarms = seen.blocking_alarms.iter();
        let alarms = alarms.map(|(arn, now)| (arn.name(), now));
        match next.rehearsal_next(Some(&seen.evidence), alarms, &settings.thresholds, now) {
            Next::Idle | Next::Wait => {}
            Next::End { complete, how } => self.end_rehearsal(next, complete, &how),
            Next::Return { cut_short } => {
                let order = next
                    .rehearsal
                    .as_ref()
                    .map(sentinel_core::rehearsal::Rehearsal::way_back);
                let back = order.map(|order| decided(next, &Wish::Failover(order)));
                match (back, next.against_the_way_back()) {
                    (Some(back @ Decision::Act(_)), None) => {
                        return (back, Errand::Back { cut_short });
                    }
                    (Some(Decision::Act(mut assessment)), Some(why)) => {
                        assessment.explanation = why;
                        self.notices().rehearsal_stuck(next, &assessment);
                    }
                    (Some(Decision::Blocked(assessment)), _) => {
                        self.notices().rehearsal_stuck(next, &assessment);
                    }
                    _ => {}
                }
            }
        }
        let decision = decided(next, &task.wish);
        if let Decision::Act(assessment) = &decision
            && assessment.plan.by == Actor::Automatic
        {
            self.end_rehearsal(next, false, "trouble came, and the usual rules go on");
        }
        (decision, Errand::Usual)
    }

    /// The rehearsal that is under way, if one is, is over: recorded and told.
    pub(crate) fn end_rehearsal(&self, state: &mut State, complete: bool, how: &str) {
        if let Some(rehearsal) = state.end_rehearsal(complete, how, self.now()) {
            self.notices().rehearsed(state, &rehearsal, complete, how);
        }
    }

    /// Observes; after a lost race only the routes are read again, the rest is seconds old.
    async fn look<'s>(
        &self,
        state: &State,
        seen: &'s mut Option<Seen>,
        wish: &Wish,
    ) -> Result<&'s mut Seen, Error> {
        let fresh = self.deps.settings.thresholds.probe_interval;
        let recent = seen
            .take()
            .filter(|seen| self.now().duration_since(seen.evidence.observed_at) <= fresh);
        let now = if let Some(mut recent) = recent {
            let avoid = believed_bad(state, Some(&recent.evidence));
            recent.routes = self.read_routes(&avoid).await;
            recent
        } else {
            let confirm = state.alarms_to_confirm(CONFIRM_AFTER, self.now());
            Box::pin(self.observe(state, &confirm, wish)).await?
        };
        Ok(seen.insert(now))
    }

    /// A change that the control plane refused is not submitted again at every tick.
    fn spare_rejected(&self, state: &State, decision: Decision, task: &Task<'_>) -> Decision {
        match decision {
            Decision::Act(assessment)
                if !task.is_operators() && self.notices().was_rejected(state, &assessment.plan) =>
            {
                Decision::NoChange {
                    explanation: format!(
                        "The control plane refused this change a short while ago; it is tried again with the next reminder. {}",
                        assessment.explanation
                    ),
                }
            }
            decision => decision,
        }
    }

    /// Notes what the alarms said. Returns what could not be attributed to a Region, if anything.
    async fn note_transitions(
        &self,
        state: &mut State,
        transitions: &[AlarmTransition],
    ) -> Option<String> {
        let mut unknown = Vec::new();
        for transition in transitions {
            match self.deps.settings.alarms.admits(transition) {
                Admission::MayTrigger => {}
                Admission::NotListed | Admission::ReplicationMetric => {
                    self.info(
                        "an alarm that may not trigger changed its state: no change",
                        transition,
                    );
                    continue;
                }
            }
            match self.regions(state, transition).await {
                Ok(regions) => {
                    self.notices().known_region(state, transition);
                    let noted = state.note_transition(transition, &regions, self.now());
                    self.info(&format!("alarm noted: {noted:?}"), transition);
                }
                Err(untold) if transition.state == AlarmState::Alarm => {
                    unknown.push(match untold {
                        Untold::Settings(text) => {
                            self.notices().unknown_region(state, transition, &text);
                            text
                        }
                        Untold::NotNow(text) => text,
                    });
                }
                // Whatever is not ALARM opens nothing, so its Region does not matter.
                Err(_) => {
                    let regions = state.alarm_regions(&transition.arn).unwrap_or_default();
                    state.note_transition(transition, &regions, self.now());
                }
            }
        }
        (!unknown.is_empty()).then(|| unknown.join("; "))
    }

    /// The Regions an alarm speaks for; a composite's children are looked up if need be.
    async fn regions(
        &self,
        state: &State,
        transition: &AlarmTransition,
    ) -> Result<BTreeSet<Region>, Untold> {
        let settings = &self.deps.settings;
        let remembered = |arn: &AlarmArn| state.alarm_regions(arn);
        let first = regions_of(transition, &settings.alarms, &settings.members, &remembered);
        let unknown = match first {
            Ok(regions) => return Ok(regions),
            Err(unknown) => unknown,
        };
        let children: BTreeSet<AlarmArn> = unknown.unknown_children().cloned().collect();
        if children.is_empty() {
            return Err(Untold::Settings(unknown.to_string()));
        }
        let answers = self.describe(&children).await;
        if answers
            .values()
            .any(|answer| matches!(answer, Err(DescribeError::Failed(_))))
        {
            return Err(Untold::NotNow(format!(
                "CloudWatch could not be asked about the children of composite alarm {}; the event has to be delivered again",
                transition.name
            )));
        }
        let described: BTreeMap<AlarmArn, BTreeSet<Region>> = answers
            .into_iter()
            .filter_map(|(arn, described)| {
                let regions = self.regions_of_described(&arn, &described.ok()?)?;
                Some((arn, regions))
            })
            .collect();
        let known = |arn: &AlarmArn| described.get(arn).cloned().or_else(|| remembered(arn));
        regions_of(transition, &settings.alarms, &settings.members, &known)
            .map_err(|error| Untold::Settings(error.to_string()))
    }

    /// The Regions a described alarm speaks for: none is an answer, a contradiction is none.
    fn regions_of_described(
        &self,
        arn: &AlarmArn,
        alarm: &DescribedAlarm,
    ) -> Option<BTreeSet<Region>> {
        let settings = &self.deps.settings;
        let dimensions = alarm
            .metrics
            .iter()
            .flat_map(|metric| &metric.dimensions)
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let region =
            regions_of_dimensions(arn.name(), dimensions, &settings.alarms, &settings.members)
                .ok()?;
        Some(region.into_iter().collect())
    }

    /// Brings the state up to what was seen, and records what people have to be told about it.
    fn take_account(&self, next: &mut State, seen: &Seen, routes: &Routes, now: Timestamp) {
        let thresholds = &self.deps.settings.thresholds;
        let evidence = &seen.evidence;
        match next.reconcile(
            routes,
            Some(evidence),
            self.request_id,
            thresholds.settle,
            now,
        ) {
            Reconciled::Same | Reconciled::Baseline => {}
            Reconciled::Settled(plan) => self.notices().submitted(next, &plan),
            Reconciled::LateLanding(change) | Reconciled::Outside(change) => {
                self.notices().surprise(next, &change, evidence);
            }
        }
        self.notices().routes_readable(next);
        next.review_accepted(Some(evidence));
        let limits = (thresholds.evidence_trigger, thresholds.detection_rounds);
        next.open_evidence_triggers(evidence, routes, limits, now);
        self.notices().health(next, evidence);
        let told = next.standstill.is_some();
        if let Some(incident) = next.end_idle_incident(now)
            && told
        {
            self.notices().incident_ended(next, &incident);
        }
    }

    /// The routes cannot be read: what is known is recorded, people are told, and the next tick goes on.
    async fn without_routes(
        &self,
        mut record: Record,
        mut next: State,
        error: &ControlError,
        dry_run: bool,
    ) -> Result<Cycled, Error> {
        if !dry_run {
            let mismatch = matches!(error, ControlError::Mismatch { .. });
            self.notices()
                .routes_unreadable(&mut next, mismatch, &error.to_string());
            if let Written::Lost = self.save(&mut record, next).await? {
                return Ok(Cycled::Lost);
            }
            if let Err(error) = self.publish_outbox().await {
                self.warn("announcements wait for the next tick", &error);
            }
        }
        Err(Error::Routes(Box::new(error.clone())))
    }

    /// Puts the decision into the state: its claim, its proposal, or what stands in its way.
    fn record_decision(
        &self,
        next: &mut State,
        decision: &Decision,
        (task, errand): (&Task<'_>, Errand),
        now: Timestamp,
    ) {
        let mut tell = None;
        if !task.is_operators() {
            tell = next.note_homeward(decision, &self.deps.settings.thresholds, now);
        }
        match decision {
            Decision::NoChange { .. } => {
                if !task.is_operators() {
                    next.standstill = None;
                    next.proposal = None;
                }
            }
            Decision::Act(assessment) => {
                let plan = assessment.plan.clone();
                if let Some(region) = plan.from.iter().chain(&plan.to).next() {
                    next.open_incident(plan.asked_at, region, now);
                }
                next.note(
                    now,
                    format!(
                        "decided {}: {} ({})",
                        plan.decision, plan.after, plan.reason
                    ),
                );
                match (&task.wish, errand) {
                    (Wish::Rehearsal { order, scheduled }, _) => {
                        next.begin_rehearsal(&plan, order, *scheduled, now);
                    }
                    (_, Errand::Back { cut_short }) => {
                        next.return_from_rehearsal(&plan, cut_short, now);
                    }
                    (_, Errand::Usual) => {}
                }
                next.claim = Some(Claim {
                    request_id: self.request_id.to_owned(),
                    claimed_at: now,
                    expires: later(self.deadline, CLAIM_GRACE),
                    plan,
                });
            }
            Decision::Blocked(assessment)
            | Decision::WouldAct(assessment)
            | Decision::NeedsApproval(assessment)
            | Decision::Waits(assessment) => match &task.wish {
                Wish::Rehearsal {
                    scheduled: true, ..
                } => self.notices().rehearsal_blocked(next, assessment),
                _ if task.is_operators() => self.notices().operator_blocked(next, assessment),
                _ if assessment.plan.kind == Kind::Failback => {
                    next.standstill = None;
                    if next
                        .homeward
                        .as_ref()
                        .is_some_and(|home| home.ruling != "needs-approval")
                    {
                        next.proposal = None;
                    }
                    if let Some(tell) = tell {
                        next.note(now, format!("way home ({})", list_guards(assessment)));
                        self.notices().homeward(next, assessment, tell);
                    }
                }
                _ => self.stand_still(next, decision, assessment, now),
            },
        }
    }

    /// Announces a decision that led to no change when it is a new one, and reminds of an old one.
    fn stand_still(
        &self,
        next: &mut State,
        decision: &Decision,
        assessment: &Assessment,
        now: Timestamp,
    ) {
        let plan = &assessment.plan;
        let (event, ruling) = match decision {
            Decision::WouldAct(_) => (Event::WouldAct, "would-act"),
            Decision::NeedsApproval(_) => (Event::NeedsApproval, "needs-approval"),
            _ => (Event::Blocked, "blocked"),
        };
        next.proposal = (event == Event::NeedsApproval).then(|| Proposal {
            plan: plan.clone(),
            at: now,
        });
        let fingerprint =
            serde_json::json!([ruling, plan.incident, plan.from, assessment.blocking]).to_string();
        let reminder = self.deps.settings.thresholds.blocked_reminder;
        let count = match &next.standstill {
            Some(known) if known.fingerprint == fingerprint => {
                if now.duration_since(known.announced_at) < reminder {
                    return;
                }
                known.count.saturating_add(1)
            }
            _ => 1,
        };
        next.standstill = Some(Standstill {
            fingerprint,
            announced_at: now,
            count,
        });
        next.note(now, format!("{ruling} ({})", list_guards(assessment)));
        self.notices().standstill(next, event, assessment, count);
    }
}

/// For whose sake a change is made.
enum Errand {
    /// For what was asked.
    Usual,
    /// To end a rehearsal.
    Back {
        /// Why before its time, if so.
        cut_short: Option<String>,
    },
}

/// Why nobody can tell for which Region an alarm speaks.
enum Untold {
    /// The settings do not say: told to people.
    Settings(String),
    /// CloudWatch could not be asked just now: the invocation fails and is repeated.
    NotNow(String),
}

fn list_guards(assessment: &Assessment) -> String {
    let names: Vec<&str> = assessment
        .blocking
        .iter()
        .map(|guard| guard.as_str())
        .collect();
    names.join(", ")
}

/// An approval is for one decision: anything else that would be decided now is not carried out.
fn insist_on_approved(decision: Decision, approved: Option<&str>) -> Result<Decision, Error> {
    let Some(approved) = approved else {
        return Ok(decision);
    };
    match &decision {
        Decision::Act(assessment) if assessment.plan.decision != approved => {
            Err(Error::Command(format!(
                "the situation has changed since decision {approved} was proposed; deciding now gives {}: {}",
                assessment.plan.decision, assessment.explanation
            )))
        }
        Decision::NoChange { explanation } => Err(Error::Command(format!(
            "the situation has changed since decision {approved} was proposed: {explanation}"
        ))),
        _ => Ok(decision),
    }
}
