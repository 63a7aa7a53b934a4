//! When the state store cannot be used: paging without a record, and acting without a claim.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use sentinel_aws::store::StoreError;
use sentinel_core::alarm::{AlarmState, AlarmTransition, regions_of};
use sentinel_core::announce::{Announcement, Draft, Event, Severity};
use sentinel_core::answer::{Answer, Outcome};
use sentinel_core::decide::{Decision, Order, Request, Wish, decide};
use sentinel_core::names::Region;
use sentinel_core::routes::{Dial, Routes};
use sentinel_core::state::State;

use crate::error::Error;
use crate::observe::{Seen, believed_bad};
use crate::turn::Turn;
use sentinel_core::notice::{list, raw_command};

/// Pages that nobody can record are sent no more often than this.
const PAGE_EVERY: SignedDuration = SignedDuration::from_mins(15);

impl Turn<'_> {
    /// Pages that the state cannot be used, with what a person would need: what was seen, and the
    /// command that moves the routes without this machine. Nothing is moved.
    pub(crate) async fn page_unrecorded(&self, error: &Error, transitions: &[AlarmTransition]) {
        let event = match error {
            Error::Store(StoreError::Torn { .. }) | Error::StateDeleted | Error::State(_) => {
                Event::StateLost
            }
            _ => Event::StateUnreachable,
        };
        let now = self.now();
        if !self.may_page(event, now) {
            return;
        }
        let settings = &self.deps.settings;
        let nothing = State::first(settings.mrap.clone(), now);
        let seen = self.observe(&nothing, &BTreeSet::new()).await;
        let regions = self.alarmed(transitions);
        let mut explanation = vec![format!(
            "{}. Nothing is moved automatically.",
            error.chain()
        )];
        if !regions.is_empty() {
            explanation.push(format!("Alarms speak of {}.", list(&regions)));
        }
        for member in &seen.evidence.members {
            explanation.push(format!(
                "{}: {} ({}).",
                member.region,
                member.verdict.as_str(),
                member.detail
            ));
        }
        let mut advice = Vec::new();
        match &seen.routes {
            Ok(routes) => {
                explanation.push(format!("Routes: {routes}."));
                if let Some(command) = self.suggestion(routes, &regions, &seen) {
                    advice.push(format!("To move the dial past this machine: {command}"));
                }
            }
            Err(error) => explanation.push(format!("The routes cannot be read: {error}.")),
        }
        advice.push(match event {
            Event::StateLost => "Restore the state object's last version in STATE_BUCKET, or send {\"command\":\"repair-state\",\"reason\":\"…\"}.".to_owned(),
            _ => "To let this machine act without its state: {\"command\":\"failover\",\"reason\":\"…\",\"breakGlass\":true}.".to_owned(),
        });
        let answer = Answer::plain(Outcome::Blocked, explanation.join(" "));
        let step = format!(
            "unrecorded/{}",
            now.as_second().div_euclid(PAGE_EVERY.as_secs())
        );
        let headline = match event {
            Event::StateLost => "UNRECORDED: state is lost, nothing automatic happens",
            _ => "UNRECORDED: state store cannot be used",
        };
        let region = regions.first().map_or("", Region::as_str);
        let announcement = Announcement::compose(
            &settings.mrap,
            &Draft {
                event,
                severity: Severity::Critical,
                step: &step,
                region,
                headline,
                advice: &advice,
                answer: &answer,
            },
            now,
        );
        let (taken, _) = self.publish(&announcement).await;
        if !taken {
            self.warn("nobody could be told that the state cannot be used", error);
            self.forget_page(event);
        }
    }

    /// Whether this page was not sent lately by this execution environment.
    fn may_page(&self, event: Event, now: Timestamp) -> bool {
        let Ok(mut sent) = self.deps.unrecorded.lock() else {
            return true;
        };
        if sent
            .get(event.as_str())
            .is_some_and(|at| now.duration_since(*at) < PAGE_EVERY)
        {
            return false;
        }
        sent.insert(event.as_str(), now);
        true
    }

    fn forget_page(&self, event: Event) {
        if let Ok(mut sent) = self.deps.unrecorded.lock() {
            sent.remove(event.as_str());
        }
    }

    /// The Regions that alarms in ALARM speak for, as far as can be told without the state.
    fn alarmed(&self, transitions: &[AlarmTransition]) -> BTreeSet<Region> {
        let settings = &self.deps.settings;
        transitions
            .iter()
            .filter(|transition| transition.state == AlarmState::Alarm)
            .filter_map(|transition| {
                regions_of(transition, &settings.alarms, &settings.members, &|_| None).ok()
            })
            .flatten()
            .collect()
    }

    /// The raw command for leaving the alarmed (or bad) members for the first that is not.
    fn suggestion(
        &self,
        routes: &Routes,
        alarmed: &BTreeSet<Region>,
        seen: &Seen,
    ) -> Option<String> {
        let mut leave = believed_bad(
            &State::first(self.deps.settings.mrap.clone(), self.now()),
            Some(&seen.evidence),
        );
        leave.extend(alarmed.iter().cloned());
        let from: BTreeSet<Region> = routes.active().intersection(&leave).cloned().collect();
        if from.is_empty() {
            return None;
        }
        let to = self.deps.settings.members.regions().find(|region| {
            !leave.contains(*region) && routes.dial(region) == Some(Dial::Passive)
        })?;
        let after = routes.moved(&from, &BTreeSet::from([to.clone()]));
        Some(raw_command(
            &self.deps.settings.mrap,
            routes,
            &after,
            "us-west-2",
        ))
    }

    /// An operator's failover without state: no claim, no cooldown, no record. The next write of
    /// the state takes the routes as they are then.
    pub(crate) async fn break_glass(&self, order: Order, dry_run: bool) -> Result<Answer, Error> {
        let settings = &self.deps.settings;
        let nothing = State::first(settings.mrap.clone(), self.now());
        let seen = self.observe(&nothing, &BTreeSet::new()).await;
        let routes = seen
            .routes
            .as_ref()
            .map_err(|error| Error::Routes(Box::new(error.clone())))?;
        let request = Request {
            id: self.request_id.to_owned(),
            wish: Wish::Failover(order),
        };
        let decision = decide(seen.about(routes), &nothing, settings, &request, self.now());
        let Decision::Act(assessment) = decision else {
            return Ok(Answer::standing_still(&decision, routes));
        };
        if dry_run {
            return Ok(Answer::about(
                Outcome::WouldAct,
                &assessment.plan,
                assessment.explanation,
            ));
        }
        let plan = &assessment.plan;
        let avoid = believed_bad(&nothing, Some(&seen.evidence));
        let until = self.within(SignedDuration::from_secs(10));
        self.deps
            .control
            .submit(&plan.before.changes_to(&plan.after), &avoid, until)
            .await
            .map_err(|error| Error::Submit(Box::new(error)))?;
        self.measure_change(plan);
        let explanation = format!(
            "The dial was moved without the state store (break glass): {}. Nothing is recorded; the next invocation that reaches the store takes these routes as the baseline and reports them as changed outside. {}",
            plan.after, assessment.explanation
        );
        let mut answer = Answer::about(Outcome::Submitted, plan, explanation);
        let announcement = Announcement::compose(
            &settings.mrap,
            &Draft {
                event: Event::Submitted,
                severity: Severity::Critical,
                step: &format!("unrecorded/{}", self.request_id),
                region: plan.from.first().map_or("", Region::as_str),
                headline: "UNRECORDED: routes moved by break glass",
                advice: &[],
                answer: &answer,
            },
            self.now(),
        );
        let (_, failed) = self.publish(&announcement).await;
        answer.failed_topics = failed;
        Ok(answer)
    }
}
