//! Carrying out a claimed plan: submit, read back, settle.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use sentinel_aws::control::{SubmitError, Try, TryOutcome};
use sentinel_core::names::Region;
use sentinel_core::state::{Abandoned, Plan, State};

use crate::deps::std_duration;
use crate::error::Error;
use crate::observe::believed_bad;
use crate::turn::Turn;

/// How long submitting may take: every control endpoint twice.
const SUBMIT: SignedDuration = SignedDuration::from_secs(10);
/// How long to wait for the routes to show what was accepted.
const READ_BACK: SignedDuration = SignedDuration::from_secs(12);
/// Time between two readings.
const READ_BACK_PAUSE: SignedDuration = SignedDuration::from_millis(500);

/// What became of a claimed plan.
#[derive(Debug)]
pub(crate) enum Acted {
    /// The routes show it, and that is recorded.
    Settled,
    /// Somebody else's change came first: observe and decide again.
    Again,
}

impl Turn<'_> {
    /// Submits a plan whose claim this invocation holds.
    pub(crate) async fn act(&self, plan: &Plan, state: &State) -> Result<Acted, Error> {
        let mut avoid = believed_bad(state, None);
        avoid.extend(plan.from.iter().cloned());
        let expires = state.claim.as_ref().map_or(self.end, |claim| claim.expires);
        let until = self.within(SUBMIT).min(expires);
        let changes = plan.before.changes_to(&plan.after);
        let tries = match self.deps.control.submit(&changes, &avoid, until).await {
            Ok(submitted) => submitted.tries,
            Err(SubmitError::Conflict { tries }) => {
                // A sibling try of ours may have been first: then the routes are as intended.
                match self.read_routes(&avoid).await {
                    Ok(routes) if routes == plan.after => tries,
                    _ => {
                        self.give_up(plan, &tries, None).await?;
                        return Ok(Acted::Again);
                    }
                }
            }
            Err(error) => {
                let tries = error.tries().to_vec();
                self.give_up(plan, &tries, Some(&error)).await?;
                return Err(Error::Submit(Box::new(error)));
            }
        };
        if !self.read_back(plan, &avoid).await {
            self.give_up(plan, &tries, None).await?;
            return Err(Error::NotShown);
        }
        self.settle(plan, &tries).await?;
        Ok(Acted::Settled)
    }

    /// Waits until the routes show the plan.
    async fn read_back(&self, plan: &Plan, avoid: &BTreeSet<Region>) -> bool {
        let until = self.within(READ_BACK);
        loop {
            match self.read_routes(avoid).await {
                Ok(routes) if routes == plan.after => return true,
                Ok(_) => {}
                Err(error) => self.warn("the routes cannot be read back", &error),
            }
            if self.now() >= until {
                return false;
            }
            self.deps.edge.sleep(std_duration(READ_BACK_PAUSE)).await;
        }
    }

    /// Lets go of the claim; whatever was sent may still land, and is remembered for it.
    async fn give_up(
        &self,
        plan: &Plan,
        tries: &[Try],
        error: Option<&SubmitError>,
    ) -> Result<(), Error> {
        let may_land = tries
            .iter()
            .any(|one| one.may_land_late() || one.outcome == TryOutcome::Answered);
        self.update(|state, now| {
            if holds(state, self.request_id, plan) {
                state.claim = None;
                if may_land {
                    state.abandoned.push(Abandoned {
                        plan: plan.clone(),
                        at: now,
                    });
                }
            }
            if let Some(error) = error {
                state.note(now, format!("submit failed: {error}"));
                let rejected = matches!(
                    error,
                    SubmitError::Rejected { .. } | SubmitError::Unsubmittable(_)
                );
                self.notices()
                    .submit_failed(state, plan, rejected, &error.to_string());
            }
            Ok(())
        })
        .await?;
        if error.is_some()
            && let Err(error) = self.publish_outbox().await
        {
            self.warn("announcements wait for the next tick", &error);
        }
        Ok(())
    }

    /// Records what the routes show, together with the announcement of it.
    async fn settle(&self, plan: &Plan, tries: &[Try]) -> Result<(), Error> {
        let may_land_again = tries.iter().any(Try::may_land_late);
        self.update(|state, now| {
            if !holds(state, self.request_id, plan) {
                // Our claim had expired and somebody else settled it.
                return Ok(());
            }
            state.settle(plan, now);
            if may_land_again {
                state.abandoned.push(Abandoned {
                    plan: plan.clone(),
                    at: now,
                });
            }
            self.notices().submitted(state, plan);
            Ok(())
        })
        .await?;
        self.measure_change(plan);
        Ok(())
    }
}

fn holds(state: &State, request_id: &str, plan: &Plan) -> bool {
    state
        .claim
        .as_ref()
        .is_some_and(|claim| claim.request_id == request_id && claim.plan.decision == plan.decision)
}
