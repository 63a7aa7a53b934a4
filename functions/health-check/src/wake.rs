//! Waking the failover function: it would find out by itself, at its next tick.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sentinel_aws::announce::OutgoingMessage;
use sentinel_core::evidence::{EVIDENCE_SCHEMA, Evidence, Verdict};
use sentinel_core::names::Region;
use sentinel_core::wake::Wake;

use crate::record::WITNESS_KEY;
use crate::rounds::{Turn, later};

/// A member that stays bad is told again after this long; at the latest the next run does it.
const AGAIN: SignedDuration = SignedDuration::from_secs(60);

/// How long publishing may take. What is not published by then is tried after the next round.
const PUBLISH: SignedDuration = SignedDuration::from_secs(5);

/// How long reading what the witness saw may take; without it the wake-up speaks for one alone.
const WITNESS: SignedDuration = SignedDuration::from_secs(3);

/// Wakes, and remembers when it last did for each member: one that is bad for long must not delay
/// what is to be said of another.
#[derive(Debug)]
pub(crate) struct Waker<'a> {
    turn: &'a Turn<'a>,
    last: BTreeMap<Region, Timestamp>,
}

impl<'a> Waker<'a> {
    pub(crate) fn new(turn: &'a Turn<'a>) -> Self {
        let last = BTreeMap::new();
        Self { turn, last }
    }

    /// Publishes for every member that was found bad often enough, and says how many messages were
    /// taken. The evidence is written down by now, and the routes may have been turned a moment ago:
    /// whoever is woken reads both.
    pub(crate) async fn wake(&mut self, evidence: &Evidence) -> u32 {
        let Some(control) = &self.turn.deps.control else {
            return 0;
        };
        let now = self.turn.now();
        if self.due(evidence, now).is_empty() {
            return 0;
        }
        let agreed = self.agreed(evidence).await;
        let mut taken = 0;
        for wake in self.due(&agreed, now) {
            let until = self.turn.within(PUBLISH);
            let published = control.waker.publish(&message(&wake), until).await;
            for (topic, outcome) in published {
                match outcome {
                    Ok(_) => {
                        taken += 1;
                        self.last.insert(wake.region.clone(), now);
                    }
                    Err(error) => {
                        let text = format!("{topic}: {error}");
                        self.turn
                            .warn("the failover function could not be woken", &text);
                    }
                }
            }
        }
        taken
    }

    /// The members that were bad for enough rounds and of which nothing was said just now.
    fn due(&self, evidence: &Evidence, now: Timestamp) -> Vec<Wake> {
        let recently = |region: &Region| {
            let last = self.last.get(region);
            last.is_some_and(|last| now < later(*last, AGAIN))
        };
        let enough = self.turn.deps.settings.detection_rounds;
        let members = evidence.members.iter();
        members
            .filter(|member| evidence.verdict(&member.region) == Verdict::Bad)
            .filter(|member| member.bad_rounds >= enough && !recently(&member.region))
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
        let left = deps.edge.left(self.turn.within(WITNESS));
        let reading = deps.store.load_optional::<Evidence>(WITNESS_KEY);
        let witness = match deps.edge.within(left, reading).await {
            None => {
                let slow = "it takes too long";
                self.turn
                    .warn("the witness's evidence cannot be read", &slow);
                None
            }
            Some(Ok(found)) => found
                .map(|(witness, _)| witness)
                .filter(|witness| witness.schema == EVIDENCE_SCHEMA),
            Some(Err(error)) => {
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
