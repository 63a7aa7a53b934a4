//! Replication events on their way from S3 to a queue. A million may wait: they stay small until
//! somebody takes them.

mod record;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::SimTime;
use crate::config::{Timing, WorldConfig};
use crate::dice::{chance, span};
use crate::s3::Outgoing;
use crate::truth::{ObjectVersion, Reason};

/// A message of S3 as it lies in an SQS queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationMessage {
    /// SQS message id: a duplicate that S3 sends has one of its own.
    pub id: String,
    /// When it came into the queue.
    pub at: SimTime,
    /// Source bucket.
    pub bucket: String,
    /// `{"Records": […]}`, an `s3:TestEvent`, or the envelope of SNS around either.
    pub body: String,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Failed,
    MissedThreshold,
    ReplicatedAfterThreshold,
    NotTracked,
}

/// Something that happened to a transfer.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) kind: Kind,
    pub(crate) transfer: Outgoing,
    /// `None` if the version is gone.
    pub(crate) shape: Option<Shape>,
    pub(crate) at: SimTime,
    pub(crate) reason: Option<Reason>,
}

/// What an event tells of a version.
#[derive(Debug)]
pub(crate) struct Shape {
    etag: Arc<str>,
    delete_marker: bool,
}

impl Shape {
    pub(crate) fn of(version: &ObjectVersion) -> Self {
        Self {
            etag: Arc::clone(&version.etag),
            delete_marker: version.delete_marker,
        }
    }
}

/// A message before anybody looked at it.
#[derive(Debug)]
struct Sealed {
    number: u64,
    bucket: Arc<str>,
    contents: Contents,
}

#[derive(Debug)]
enum Contents {
    Test { at: SimTime },
    Records(Arc<[Notice]>),
}

/// All events that are not taken yet.
#[derive(Debug)]
pub(crate) struct Notifications {
    seed: u64,
    epoch: Timestamp,
    account: String,
    topic: Option<String>,
    fresh: Vec<Notice>,
    /// By the moment of their arrival in the queue.
    sent: BTreeMap<SimTime, Vec<Sealed>>,
    made: u64,
}

impl Notifications {
    pub(crate) fn new(config: &WorldConfig) -> Self {
        Self {
            seed: config.seed,
            epoch: config.epoch,
            account: config.account.clone(),
            topic: config.replication_events.through_topic.clone(),
            fresh: Vec::new(),
            sent: BTreeMap::new(),
            made: 0,
        }
    }

    /// Sends what S3 sends when a bucket's notifications are configured.
    pub(crate) fn configure(&mut self, bucket: &str, timing: &Timing, now: SimTime, rng: &mut Rng) {
        let contents = Contents::Test { at: now };
        let at = now + span(rng, &timing.event_delivery);
        self.send(at, &Arc::from(bucket), contents);
    }

    /// Notes something; it is sent by [`flush`](Self::flush).
    pub(crate) fn add(&mut self, notice: Notice) {
        self.fresh.push(notice);
    }

    /// Puts what is new into messages, several records into one where that is configured.
    pub(crate) fn flush(&mut self, timing: &Timing, now: SimTime, rng: &mut Rng) {
        if self.fresh.is_empty() {
            return;
        }
        let single = timing.records_per_message == (1..=1);
        let mut open: BTreeMap<Arc<str>, (u64, Vec<Notice>)> = BTreeMap::new();
        for notice in std::mem::take(&mut self.fresh) {
            let bucket = Arc::clone(&notice.transfer.lane.source);
            if single {
                self.dispatch(&bucket, vec![notice], timing, now, rng);
                continue;
            }
            let (room, notices) = open.entry(Arc::clone(&bucket)).or_insert_with(|| {
                (
                    rng.u64(timing.records_per_message.clone()).max(1),
                    Vec::new(),
                )
            });
            notices.push(notice);
            if notices.len() as u64 == *room {
                let (_, notices) = open.remove(&bucket).unwrap_or_default();
                self.dispatch(&bucket, notices, timing, now, rng);
            }
        }
        for (bucket, (_, notices)) in open {
            self.dispatch(&bucket, notices, timing, now, rng);
        }
    }

    fn dispatch(
        &mut self,
        bucket: &Arc<str>,
        notices: Vec<Notice>,
        timing: &Timing,
        now: SimTime,
        rng: &mut Rng,
    ) {
        let notices: Arc<[Notice]> = notices.into();
        let copies = if chance(rng, timing.duplicate_event) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let range = if chance(rng, timing.late_event) {
                &timing.late_event_delivery
            } else {
                &timing.event_delivery
            };
            let at = now + span(rng, range);
            self.send(at, bucket, Contents::Records(Arc::clone(&notices)));
        }
    }

    fn send(&mut self, at: SimTime, bucket: &Arc<str>, contents: Contents) {
        self.made += 1;
        self.sent.entry(at).or_default().push(Sealed {
            number: self.made,
            bucket: Arc::clone(bucket),
            contents,
        });
    }

    /// When the next message arrives.
    pub(crate) fn next_at(&self) -> Option<SimTime> {
        self.sent.keys().next().copied()
    }

    /// How many messages have arrived and were not taken.
    pub(crate) fn waiting(&self, now: SimTime) -> usize {
        self.sent
            .range(..=now)
            .map(|(_, sealed)| sealed.len())
            .sum()
    }

    /// Takes at most `limit` of the messages that have arrived, in order of arrival. `region_of`
    /// tells where a bucket is.
    pub(crate) fn take(
        &mut self,
        limit: usize,
        now: SimTime,
        region_of: impl Fn(&str) -> String,
    ) -> Vec<ReplicationMessage> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            let Some(mut entry) = self.sent.first_entry().filter(|entry| *entry.key() <= now)
            else {
                break;
            };
            let at = *entry.key();
            let count = entry.get().len().min(limit - taken.len());
            let sealed: Vec<Sealed> = entry.get_mut().drain(..count).collect();
            if entry.get().is_empty() {
                entry.remove();
            }
            taken.extend(sealed.into_iter().map(|sealed| {
                let region = region_of(&sealed.bucket);
                self.open(at, &sealed, &region)
            }));
        }
        taken
    }

    fn open(&self, at: SimTime, sealed: &Sealed, region: &str) -> ReplicationMessage {
        let writer = record::Scribe {
            epoch: self.epoch,
            account: &self.account,
            region,
            seed: self.seed,
            number: sealed.number,
        };
        let message = match &sealed.contents {
            Contents::Test { at } => writer.test_event(&sealed.bucket, *at),
            Contents::Records(notices) => writer.records(notices),
        };
        let body = match &self.topic {
            None => message,
            Some(topic) => writer.envelope(topic, &message, at),
        };
        ReplicationMessage {
            id: uuid(self.seed, "message", sealed.number),
            at,
            bucket: sealed.bucket.to_string(),
            body,
        }
    }
}

/// How long until a transfer is looked at again under replication time control.
pub(crate) fn thresholds(timing: &Timing) -> (Duration, Duration) {
    let missed = Duration::from_millis(timing.replication_threshold);
    let untracked = Duration::from_millis(timing.replication_untracked);
    (missed, untracked)
}

/// An id in the form of a UUID, the same in every run of a seed.
fn uuid(seed: u64, kind: &str, number: u64) -> String {
    let kind: u64 = kind.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte));
    let mut rng = Rng::with_seed(seed.rotate_left(32) ^ number.rotate_left(8) ^ kind);
    let (high, low) = (rng.u64(..), rng.u64(..));
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}
