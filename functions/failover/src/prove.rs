//! The proof on the data plane: requests through the access point reach a member that they should reach.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sentinel_aws::proof::{Serving, ServingReport};
use sentinel_core::answer::{Answer, FailedTopic, Outcome};
use sentinel_core::names::Region;
use sentinel_core::notice::rehearsal_answer;
use sentinel_core::rehearsal::{Next, Rehearsal};
use sentinel_core::state::{PendingProof, Plan, State};

use crate::error::Error;
use crate::tell::sight;
use crate::turn::Turn;

/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// How long one look may take.
const LOOK: SignedDuration = SignedDuration::from_secs(4);
/// When people are told that the data plane does not follow: AWS names two minutes.
const OVERDUE: SignedDuration = SignedDuration::from_secs(300);

impl Turn<'_> {
    /// Goes on with the proof that is open, if one is, until it succeeds or the invocation ends.
    /// The answer is improved when it is about the change that was proven.
    pub(crate) async fn prove_pending(&self, answer: &mut Answer) -> Result<(), Error> {
        let Some(pending) = self.load().await?.state.proof else {
            return Ok(());
        };
        loop {
            let report = self.deps.proof.serving(self.within(LOOK)).await;
            if proves(&pending.plan, &report.serving) {
                let (failed, proven) = self.proven(&pending, &report).await?;
                answer.name_failed_topics(failed);
                let is_its_own = answer.decision.as_deref() == Some(pending.plan.decision.as_str());
                match proven {
                    Proven::Change if is_its_own => {
                        answer.outcome = Outcome::proven(pending.plan.kind);
                    }
                    // The rehearsal goes on.
                    Proven::Change | Proven::Leg => {}
                    Proven::Rehearsal(over, _) => {
                        let failed = std::mem::take(&mut answer.failed_topics);
                        *answer = *over;
                        answer.failed_topics = failed;
                    }
                }
                return Ok(());
            }
            let waited = self.now().duration_since(pending.settled_at);
            if waited >= OVERDUE && !pending.overdue_announced {
                let failed = self.overdue(&pending, &report).await?;
                answer.name_failed_topics(failed);
                return Ok(());
            }
            // What has taken this long is not worth waiting for: one look a tick.
            if pending.overdue_announced {
                return Ok(());
            }
            if self.deps.edge.left(self.end) <= PAUSE {
                return Ok(());
            }
            self.deps.edge.sleep(PAUSE).await;
        }
    }

    async fn proven(
        &self,
        pending: &PendingProof,
        report: &ServingReport,
    ) -> Result<(Vec<FailedTopic>, Proven), Error> {
        let (_, proven) = self
            .update(|state, now| {
                if !is_open(state.proof.as_ref(), &pending.plan) {
                    return Ok(Proven::Change);
                }
                state.proof = None;
                state.note(now, format!("proven on the data plane. {}", sight(report)));
                self.notices().proven(state, pending, &sight(report));
                Ok(self.rehearsal_proven(state, &pending.plan.decision, now))
            })
            .await?;
        self.measure_proof(pending);
        if let Proven::Rehearsal(_, rehearsal) = &proven {
            self.measure_rehearsal(rehearsal);
        }
        Ok((self.publish_outbox().await?, proven))
    }

    /// Takes note of a proof that is a rehearsal's, and ends the rehearsal with its second one.
    fn rehearsal_proven(&self, state: &mut State, decision: &str, now: Timestamp) -> Proven {
        if !state.leg_proven(decision, now) {
            return Proven::Change;
        }
        let thresholds = &self.deps.settings.thresholds;
        let next = state.rehearsal_next(None, std::iter::empty(), thresholds, now);
        let (Next::End { complete, how }, Some(rehearsal)) = (next, state.rehearsal.clone()) else {
            return Proven::Leg;
        };
        self.end_rehearsal(state, complete, &how);
        let answer = rehearsal_answer(&rehearsal, complete, &how);
        Proven::Rehearsal(Box::new(answer), Box::new(rehearsal))
    }

    async fn overdue(
        &self,
        pending: &PendingProof,
        report: &ServingReport,
    ) -> Result<Vec<FailedTopic>, Error> {
        self.update(|state, _| {
            if let Some(open) = state
                .proof
                .as_mut()
                .filter(|open| open.plan.decision == pending.plan.decision)
            {
                open.overdue_announced = true;
                self.notices().overdue(state, pending, &sight(report));
            }
            Ok(())
        })
        .await?;
        self.publish_outbox().await
    }
}

/// What was proven.
enum Proven {
    /// A change.
    Change,
    /// A rehearsal's way out.
    Leg,
    /// A rehearsal's way back: it is over.
    Rehearsal(Box<Answer>, Box<Rehearsal>),
}

fn is_open(open: Option<&PendingProof>, plan: &Plan) -> bool {
    open.is_some_and(|open| open.plan.decision == plan.decision)
}

/// Whether what serves is what should serve. With several active members only one of them may
/// be near enough to be seen, so it suffices that none of those that were left serves.
fn proves(plan: &Plan, serving: &Serving) -> bool {
    let active = plan.after.active();
    let seen: BTreeSet<Region> = match serving {
        Serving::Member(region) => BTreeSet::from([region.clone()]),
        Serving::Several(regions) => regions.clone(),
        Serving::None { .. } => return false,
    };
    !seen.is_empty() && seen.is_subset(&active)
}
