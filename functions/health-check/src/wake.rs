//! Waking the failover function: it would find out by itself, at its next tick.

use jiff::{SignedDuration, Timestamp};
use sentinel_aws::announce::OutgoingMessage;
use sentinel_core::evidence::{EVIDENCE_SCHEMA, Evidence, Verdict};
use sentinel_core::names::Region;
use sentinel_core::wake::Wake;

use crate::look::Looked;
use crate::record::WITNESS_KEY;
use crate::rounds::{Turn, later};

/// A member that stays bad is told again after this long; at the latest the next run does it.
const AGAIN: SignedDuration = SignedDuration::from_secs(60);

/// How long publishing may take. What is not published by then is tried after the next round.
const PUBLISH: SignedDuration = SignedDuration::from_secs(5);

/// Wakes, and remembers when it last did.
#[derive(Debug)]
pub(crate) struct Waker<'a> {
    turn: &'a Turn<'a>,
    last: Option<Timestamp>,
}

impl<'a> Waker<'a> {
    pub(crate) fn new(turn: &'a Turn<'a>) -> Self {
        Self { turn, last: None }
    }

    /// Publishes for every active member that was found bad often enough, and says how many
    /// messages were taken. The evidence is written down by now: whoever is woken reads it.
    pub(crate) async fn wake(&mut self, evidence: &Evidence, looked: &Looked) -> u32 {
        let Some(control) = &self.turn.deps.control else {
            return 0;
        };
        let now = self.turn.now();
        let recently = self.last.is_some_and(|last| now < later(last, AGAIN));
        if recently || self.bad(evidence, looked).is_empty() {
            return 0;
        }
        let agreed = self.agreed(evidence).await;
        let wakes = self.bad(&agreed, looked);
        let mut taken = 0;
        for wake in &wakes {
            let until = self.turn.within(PUBLISH);
            let published = control.waker.publish(&message(wake), until).await;
            for (topic, outcome) in published {
                match outcome {
                    Ok(_) => taken += 1,
                    Err(error) => {
                        let text = format!("{topic}: {error}");
                        self.turn
                            .warn("the failover function could not be woken", &text);
                    }
                }
            }
        }
        if taken > 0 {
            self.last = Some(now);
        }
        taken
    }

    /// The active members that were bad for enough rounds. Without the routes any member counts:
    /// whoever is woken reads them.
    fn bad(&self, evidence: &Evidence, looked: &Looked) -> Vec<Wake> {
        let active = looked.active();
        let serves = |region: &Region| active.as_ref().is_none_or(|active| active.contains(region));
        let enough = self.turn.deps.settings.detection_rounds;
        let members = evidence.members.iter();
        members
            .filter(|member| evidence.verdict(&member.region) == Verdict::Bad)
            .filter(|member| member.bad_rounds >= enough && serves(&member.region))
            .map(|member| Wake {
                region: member.region.clone(),
                since: member.since,
                rounds: member.bad_rounds,
                observed_at: evidence.observed_at,
            })
            .collect()
    }

    /// What this evidence and the witness's say together, if there is a witness.
    async fn agreed(&self, evidence: &Evidence) -> Evidence {
        let deps = self.turn.deps;
        if deps.settings.witness.is_none() {
            return evidence.clone();
        }
        let witness = match deps.store.load_optional::<Evidence>(WITNESS_KEY).await {
            Ok(found) => found
                .map(|(witness, _)| witness)
                .filter(|witness| witness.schema == EVIDENCE_SCHEMA),
            Err(error) => {
                self.turn
                    .warn("the witness's evidence cannot be read", &error);
                None
            }
        };
        let (now, max_age) = (self.turn.now(), deps.settings.evidence_max_age);
        Evidence::agreed(Some(evidence), witness.as_ref(), now, max_age)
            .unwrap_or_else(|| evidence.clone())
    }
}

fn message(wake: &Wake) -> OutgoingMessage {
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    OutgoingMessage {
        subject: format!(
            "{} was bad in {} rounds of probes",
            wake.region, wake.rounds
        ),
        default_text: wake.message().to_string(),
        json: wake.message().to_string(),
        attributes: vec![attribute("region", wake.region.as_str())],
    }
}
