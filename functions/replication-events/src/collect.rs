//! What the messages of a batch say, brought together: rows by their group, and signs of lag.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sentinel_core::ledger::{Group, Row};
use sentinel_core::names::{BucketName, Members};
use sentinel_core::replication::{Event, Lag, LagDocument, Message, MessageError, Refused, parse};

use crate::batch::QueueMessage;

/// How far in the future an event may be dated: clocks differ by less. A failure from the future
/// would never count as settled.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(15);

/// Why a message, or a record of it, was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it has no body")]
    NoBody,
    #[error("{0}")]
    Message(MessageError),
    #[error("{0}")]
    Record(String),
    #[error(
        "{bucket} is no member (MEMBERS): let its notifications go elsewhere, or make it a member and re-drive the dead-letter queue"
    )]
    NotAMember { bucket: BucketName },
    #[error("an event is dated {at}, which is still to come: the clock here or there is wrong")]
    Future { at: Timestamp },
}

/// The rows of one group, and the places of the messages that they came in.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<Row>,
    pub(crate) messages: BTreeSet<usize>,
}

/// How many signs of lag there were of one ordered pair of buckets.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    pub(crate) missed: u64,
    pub(crate) arrived_late: u64,
    pub(crate) not_tracked: u64,
    /// The longest delay of a version that arrived late.
    pub(crate) longest: Option<SignedDuration>,
}

/// Everything that a batch says.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) groups: BTreeMap<Group, Rows>,
    pub(crate) lag: LagDocument,
    /// By source and destination.
    pub(crate) signs: BTreeMap<(BucketName, BucketName), Signs>,
    /// Places of the messages that told of lag.
    pub(crate) lag_messages: BTreeSet<usize>,
    /// Test messages of S3.
    pub(crate) tests: u64,
    /// Place of the message, and why it or a record of it was refused.
    pub(crate) refused: Vec<(usize, Refusal)>,
}

/// Brings together what messages say; `now` is held against their dates.
pub(crate) fn collect(
    messages: &mut [QueueMessage],
    members: &Members,
    now: Timestamp,
) -> Collected {
    let mut collected = Collected::default();
    for (place, message) in messages.iter_mut().enumerate() {
        // The text is dropped as soon as it is read: what it says is much shorter.
        match message.body.take().map(|body| parse(&body)) {
            None => collected.refuse(place, Refusal::NoBody),
            Some(Err(error)) => collected.refuse(place, Refusal::Message(error)),
            Some(Ok(message)) => collected.take(place, message, members, now),
        }
    }
    collected
}

impl Collected {
    fn refuse(&mut self, place: usize, why: Refusal) {
        self.refused.push((place, why));
    }

    fn take(&mut self, place: usize, message: Message, members: &Members, now: Timestamp) {
        let Message { events, refused } = message;
        if events.is_empty() && refused.is_empty() {
            self.tests += 1;
        }
        for refused in refused {
            self.refuse(place, Refusal::Record(words(&refused)));
        }
        for event in events {
            if members.with_bucket(event.source().as_str()).is_none() {
                let bucket = event.source().clone();
                self.refuse(place, Refusal::NotAMember { bucket });
            } else if event.at().duration_since(now) > CLOCK_SKEW {
                self.refuse(place, Refusal::Future { at: event.at() });
            } else {
                self.add(place, event);
            }
        }
    }

    fn add(&mut self, place: usize, event: Event) {
        self.lag.note(&event);
        match event {
            Event::Failed(failure) => {
                let (group, row) = failure.into_row();
                let rows = self.groups.entry(group).or_default();
                rows.rows.push(row);
                rows.messages.insert(place);
            }
            Event::MissedThreshold(lag) => self.sign(place, &lag).missed += 1,
            Event::NotTracked(lag) => self.sign(place, &lag).not_tracked += 1,
            Event::ReplicatedAfterThreshold(lag) => {
                let signs = self.sign(place, &lag);
                signs.arrived_late += 1;
                signs.longest = signs.longest.max(lag.delay);
            }
        }
    }

    fn sign(&mut self, place: usize, lag: &Lag) -> &mut Signs {
        self.lag_messages.insert(place);
        let pair = (lag.source.clone(), lag.destination.clone());
        self.signs.entry(pair).or_default()
    }

    /// How many records told of failures.
    pub(crate) fn failures(&self) -> usize {
        self.groups.values().map(|rows| rows.rows.len()).sum()
    }
}

/// A refused record with its cause.
fn words(refused: &Refused) -> String {
    crate::error::chain(refused)
}
