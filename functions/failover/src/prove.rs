//! The proof on the data plane: requests through the access point reach a member that they should reach.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use sentinel_aws::proof::{Serving, ServingReport};
use sentinel_core::answer::{Answer, FailedTopic, Outcome};
use sentinel_core::names::Region;
use sentinel_core::state::{PendingProof, Plan};

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
                let failed = self.proven(&pending, &report).await?;
                answer.name_failed_topics(failed);
                if answer.decision.as_deref() == Some(pending.plan.decision.as_str()) {
                    answer.outcome = Outcome::proven(pending.plan.kind);
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
    ) -> Result<Vec<FailedTopic>, Error> {
        self.update(|state, now| {
            if is_open(state.proof.as_ref(), &pending.plan) {
                state.proof = None;
                state.note(now, format!("proven on the data plane. {}", sight(report)));
                self.notices().proven(state, pending, &sight(report));
            }
            Ok(())
        })
        .await?;
        self.measure_proof(pending);
        self.publish_outbox().await
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
