//! When the state store cannot be used: paging without a record, and acting without a claim.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use sentinel_aws::store::StoreError;
use sentinel_core::alarm::{AlarmState, AlarmTransition, regions_of};
use sentinel_core::announce::{Announcement, Draft, Event, Severity};
use sentinel_core::answer::{Answer, Outcome};
use sentinel_core::decide::{Decision, Order, Request, Wish, decide};
use sentinel_core::evidence::Verdict;
use sentinel_core::names::Region;
use sentinel_core::notice::{invoke, list, raw_command};
use sentinel_core::routes::{Dial, Routes};
use sentinel_core::state::{State, StateError};
use serde_json::json;

use crate::error::Error;
use crate::observe::{Seen, believed_bad};
use crate::turn::Turn;

/// Pages that nobody can record are sent no more often than this.
const PAGE_EVERY: SignedDuration = SignedDuration::from_mins(15);

/// What can be said and advised without the state.
struct Sight {
    words: Vec<String>,
    advice: Vec<String>,
}

impl Turn<'_> {
    /// Pages that the state cannot be used, with what a person would need: what was seen, and the
    /// command that moves the routes without this machine. Nothing is moved.
    pub(crate) async fn page_unrecorded(&self, error: &Error, transitions: &[AlarmTransition]) {
        let regions = self.alarmed(transitions);
        let event = match error {
            Error::Store(StoreError::Torn { .. }) | Error::StateDeleted | Error::State(_) => {
                Event::StateLost
            }
            _ => Event::StateUnreachable,
        };
        // An alarm about a Region is news even when the store's trouble is known.
        let page = format!("{} {}", event.as_str(), list(&regions));
        if !self.may_page(&page) {
            return;
        }
        let sight = self.sight_without_state(&regions).await;
        let done = match error {
            Error::Unrecorded(_) => "Look at the routes: they are what counts.",
            _ => "Nothing is moved automatically.",
        };
        let mut explanation = vec![format!("{}. {done}", error.chain())];
        if !regions.is_empty() {
            explanation.push(format!("Alarms speak of {}.", list(&regions)));
        }
        explanation.extend(sight.words);
        let mut advice = sight.advice;
        match error {
            Error::State(StateError::Foreign { .. }) => advice.push(
                "Give every deployment a STATE_BUCKET of its own; do not repair this document, somebody else needs it.".to_owned(),
            ),
            _ if event == Event::StateLost => advice.push(format!(
                "Restore the last version of the state object in STATE_BUCKET, or begin afresh: {}",
                invoke(&json!({"command":"repair-state","reason":"…"}))
            )),
            _ => {}
        }
        let headline = match event {
            Event::StateLost => "UNRECORDED: state is lost, nothing automatic happens",
            _ => "UNRECORDED: state store cannot be used",
        };
        let now = self.now();
        let step = format!(
            "unrecorded/{}/{}",
            list(&regions),
            now.as_second().div_euclid(PAGE_EVERY.as_secs())
        );
        let announcement = Announcement::compose(
            &self.deps.settings.mrap,
            &Draft {
                event,
                severity: Severity::Critical,
                step: &step,
                region: regions.first().map_or("", Region::as_str),
                headline,
                advice: &advice,
                answer: &Answer::plain(Outcome::Blocked, explanation.join(" ")),
            },
            now,
        );
        if self.publish(&[announcement]).await.taken.is_empty() {
            self.warn("nobody could be told that the state cannot be used", error);
            self.forget_page(&page);
        }
    }

    /// Whether this page was not sent lately by this execution environment.
    fn may_page(&self, page: &str) -> bool {
        let now = self.now();
        let Ok(mut sent) = self.deps.unrecorded.lock() else {
            return true;
        };
        sent.retain(|_, at| now.duration_since(*at) < PAGE_EVERY);
        sent.insert(page.to_owned(), now).is_none_or(|known| {
            sent.insert(page.to_owned(), known);
            false
        })
    }

    fn forget_page(&self, page: &str) {
        if let Ok(mut sent) = self.deps.unrecorded.lock() {
            sent.remove(page);
        }
    }

    /// What a person needs when the state is out of reach: what the probes see, and two ways to
    /// move the dial away from the members that are bad or alarmed.
    async fn sight_without_state(&self, alarmed: &BTreeSet<Region>) -> Sight {
        let nothing = State::first(self.deps.settings.mrap.clone(), self.now());
        let wish = Wish::Triggers { approved: false };
        let seen = match self.observe(&nothing, &BTreeSet::new(), &wish).await {
            Ok(seen) => seen,
            Err(error) => {
                return Sight {
                    words: vec![format!("{error}.")],
                    advice: Vec::new(),
                };
            }
        };
        let mut words: Vec<String> = seen
            .evidence
            .members
            .iter()
            .map(|member| {
                format!(
                    "{}: {} ({}).",
                    member.region,
                    member.verdict.as_str(),
                    member.detail
                )
            })
            .collect();
        let mut advice = Vec::new();
        match &seen.routes {
            Ok(routes) => {
                words.push(format!("Routes: {routes}."));
                if let Some((from, to)) = self.suggestion(routes, alarmed, &seen) {
                    let after = routes.moved(&from, &BTreeSet::from([to.clone()]));
                    // The observer's own health is judged by the state bucket, so its word is out.
                    let command = json!({"command":"failover","from":from,"to":to,"reason":"…","override":["target-is-healthy"],"breakGlass":true});
                    advice.push(format!(
                        "To let this machine act without its state: {}",
                        invoke(&command)
                    ));
                    advice.push(format!(
                        "To move the dial past this machine: {}",
                        raw_command(&self.deps.settings.mrap, routes, &after)
                    ));
                }
            }
            Err(error) => words.push(format!("The routes cannot be read: {error}.")),
        }
        Sight { words, advice }
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

    /// Which members to leave and where to go: the first passive member that answered, else the
    /// first that nothing is known against.
    fn suggestion(
        &self,
        routes: &Routes,
        alarmed: &BTreeSet<Region>,
        seen: &Seen,
    ) -> Option<(BTreeSet<Region>, Region)> {
        let verdict = |region: &Region| {
            seen.evidence
                .member(region)
                .map_or(Verdict::Unknown, |member| member.verdict)
        };
        let active = routes.active();
        let from: BTreeSet<Region> = active
            .iter()
            .filter(|region| alarmed.contains(*region) || verdict(region) == Verdict::Bad)
            .cloned()
            .collect();
        let to = self
            .deps
            .settings
            .members
            .regions()
            .filter(|region| {
                routes.dial(region) == Some(Dial::Passive) && !alarmed.contains(*region)
            })
            .min_by_key(|region| verdict(region))
            .filter(|region| matches!(verdict(region), Verdict::Good | Verdict::Unknown))?;
        (!from.is_empty()).then(|| (from, to.clone()))
    }

    /// An operator's failover without state: no claim, no cooldown, no record. The next write of
    /// the state takes the routes as they are then.
    pub(crate) async fn break_glass(&self, order: Order, dry_run: bool) -> Result<Answer, Error> {
        let settings = &self.deps.settings;
        let nothing = State::first(settings.mrap.clone(), self.now());
        let request = Request {
            id: self.request_id.to_owned(),
            wish: Wish::Failover(order),
        };
        let seen = self
            .observe(&nothing, &BTreeSet::new(), &request.wish)
            .await?;
        let routes = seen
            .routes
            .as_ref()
            .map_err(|error| Error::Routes(Box::new(error.clone())))?;
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
        answer.failed_topics = self.publish(&[announcement]).await.failed_topics();
        Ok(answer)
    }
}
