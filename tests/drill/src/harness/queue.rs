//! The queue of replication events and its event source mapping: an SQS standard queue with
//! visibility time-outs, receive counts and a dead-letter queue, and Lambda's poller before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use simulator::{SimTime, Simulator};
use tokio::sync::Semaphore;

use super::lambda::{Lambda, refused};
use crate::history::{Cause, Ending, Letters};
use crate::{ACCOUNT, CONTROL_REGION};

/// What `template.yaml` sets; a test compares.
const VISIBILITY: Duration = Duration::from_secs(380);
const WINDOW: Duration = Duration::from_secs(20);
const BATCH: usize = 10_000;
const RECEIVES: u32 = 5;
const AT_ONCE: usize = 5;

/// Most that one invocation gets, in bytes of JSON: Lambda's limit of a synchronous payload.
const PAYLOAD: usize = 6 * 1024 * 1024;

/// What the fields of a record take besides its body.
const ENVELOPE: usize = 640;

/// How often an idle poller looks.
const GLANCE: Duration = Duration::from_secs(1);

/// Messages that wait here at most; the world keeps the others, and keeps them small.
const IN_MEMORY: usize = 50_000;

/// A message that is delivered although it was already is seen again within this.
const AGAIN: std::ops::Range<u64> = 500..90_000;

#[derive(Debug, Clone)]
struct Message {
    id: String,
    body: String,
    sent: SimTime,
    receives: u32,
    first_received: Option<SimTime>,
}

/// The queue. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sim: Simulator,
    lambda: Lambda,
    /// Probability that the service delivers a message once more, deleted or not.
    duplicates: f64,
    contents: Mutex<Contents>,
}

#[derive(Debug)]
struct Contents {
    /// By the moment at which they can be received, then by order of arrival.
    waiting: BTreeMap<(SimTime, u64), Message>,
    in_flight: usize,
    arrived: u64,
    letters: Letters,
    dice: Rng,
}

/// What one receive call of the poller adds up to.
#[derive(Debug, Default)]
struct Batch {
    messages: Vec<(SimTime, Message)>,
    bytes: usize,
}

impl Queue {
    pub(super) fn new(sim: &Simulator, lambda: Lambda, duplicates: f64, dice: Rng) -> Self {
        Self(Arc::new(Inner {
            sim: sim.clone(),
            lambda,
            duplicates,
            contents: Mutex::new(Contents {
                waiting: BTreeMap::new(),
                in_flight: 0,
                arrived: 0,
                letters: Letters::default(),
                dice,
            }),
        }))
    }

    /// Takes a message in.
    pub(super) fn send(&self, id: String, body: String) {
        let now = self.0.sim.now();
        let mut contents = self.0.contents.lock().unwrap();
        contents.letters.sent += 1;
        contents.insert(
            now,
            Message {
                id,
                body,
                sent: now,
                receives: 0,
                first_received: None,
            },
        );
    }

    /// Takes in what S3 sends, for as long as it is polled.
    pub(super) async fn fill(self) {
        loop {
            let waiting = self.0.contents.lock().unwrap().waiting.len();
            let room = IN_MEMORY.saturating_sub(waiting);
            let sim = &self.0.sim;
            let messages = sim.with(|world| world.take_some_replication_messages(room));
            for message in messages {
                self.send(message.id, message.body);
            }
            self.0.sim.sleep(GLANCE).await;
        }
    }

    /// Polls and invokes for as long as it is polled itself.
    pub(super) async fn poll(self) {
        let at_once = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let permit = at_once.clone().acquire_owned().await.expect("never closed");
            let batch = self.batch().await;
            let queue = self.clone();
            tokio::task::spawn_local(async move {
                queue.hand_over(batch).await;
                drop(permit);
            });
        }
    }

    /// The next batch: what arrives within the window of its first message, if it fits.
    async fn batch(&self) -> Batch {
        let mut batch = Batch::default();
        let mut closes: Option<SimTime> = None;
        loop {
            let now = self.0.sim.now();
            let full = self.receive(now, &mut batch);
            if !batch.messages.is_empty() {
                closes = closes.or(Some(now + WINDOW));
            }
            if full || closes.is_some_and(|closes| now >= closes) {
                return batch;
            }
            self.0.sim.sleep(GLANCE).await;
        }
    }

    /// Adds what can be received now; whether the batch is full.
    fn receive(&self, now: SimTime, batch: &mut Batch) -> bool {
        let mut contents = self.0.contents.lock().unwrap();
        while let Some(entry) = contents.waiting.first_entry() {
            if entry.key().0 > now {
                return false;
            }
            let size = size(&entry.get().body);
            if batch.messages.len() == BATCH || batch.bytes + size > PAYLOAD {
                return true;
            }
            let mut message = entry.remove();
            if message.receives >= RECEIVES {
                contents.letters.dead.push(message.body);
                continue;
            }
            // A repetition that nobody asked for does not bring a message nearer to its end.
            let again = message.clone();
            message.receives += 1;
            message.first_received.get_or_insert(now);
            if self.0.duplicates > 0.0 && contents.dice.f64() < self.0.duplicates {
                let later = Duration::from_millis(contents.dice.u64(AGAIN));
                contents.insert(now + later, again);
                contents.letters.repeated += 1;
            }
            contents.in_flight += 1;
            batch.bytes += size;
            batch.messages.push((now, message));
        }
        false
    }

    async fn hand_over(&self, batch: Batch) {
        let messages = batch.messages;
        let records: Vec<Value> = messages.iter().map(|(_, one)| self.record(one)).collect();
        let cause = Cause::Messages(messages.len());
        let payload = json!({ "Records": records });
        let ending = self.0.lambda.deliver(payload, cause).await;
        let back: BTreeSet<&str> = match &ending {
            Ending::Answered(answer) => refused(answer).into_iter().collect(),
            _ => messages.iter().map(|(_, one)| one.id.as_str()).collect(),
        };
        let mut contents = self.0.contents.lock().unwrap();
        contents.in_flight -= messages.len();
        for (received, message) in &messages {
            if back.contains(message.id.as_str()) {
                contents.insert(*received + VISIBILITY, message.clone());
            }
        }
    }

    fn record(&self, message: &Message) -> Value {
        let millis = |at: SimTime| {
            let at = self.0.sim.clock().calendar(at);
            at.as_millisecond().to_string()
        };
        let received = message.first_received.unwrap_or(message.sent);
        json!({
            "messageId": message.id,
            "receiptHandle": format!("{}#{}", message.id, message.receives),
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": message.receives.to_string(),
                "SentTimestamp": millis(message.sent),
                "SenderId": "AROAEXAMPLE:S3-PROD-END",
                "ApproximateFirstReceiveTimestamp": millis(received),
            },
            "messageAttributes": {},
            "md5OfBody": "00000000000000000000000000000000",
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{CONTROL_REGION}:{ACCOUNT}:replication-events"),
            "awsRegion": CONTROL_REGION,
        })
    }

    /// What became of everything that was sent; so much of it the world still has.
    pub(super) fn letters(&self, not_taken: usize) -> Letters {
        let contents = self.0.contents.lock().unwrap();
        Letters {
            left: contents.waiting.len() + contents.in_flight + not_taken,
            ..contents.letters.clone()
        }
    }
}

impl Contents {
    fn insert(&mut self, visible: SimTime, message: Message) {
        self.arrived += 1;
        self.waiting.insert((visible, self.arrived), message);
    }
}

/// What a message takes of the payload: its body as a JSON string, and the fields around it.
fn size(body: &str) -> usize {
    let escaped = body.bytes().filter(|byte| matches!(byte, b'"' | b'\\'));
    body.len() + escaped.count() + ENVELOPE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::functions::timeout_of;
    use crate::history::Function;

    /// The number that follows a name, first in the part of the template from `section` on.
    fn number(section: &str, name: &str) -> u64 {
        let template = include_str!("../../../../template.yaml");
        let (_, section) = template.split_once(section).unwrap();
        let (_, value) = section.split_once(&format!(" {name}: ")).unwrap();
        let digits = value.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        digits.parse().unwrap()
    }

    #[test]
    fn the_queue_is_the_templates() {
        let queue = "\n  ReplicationEventsQueue:\n";
        assert_eq!(number(queue, "VisibilityTimeout"), VISIBILITY.as_secs());
        assert_eq!(number(queue, "maxReceiveCount"), u64::from(RECEIVES));
        let function = "\n  ReplicationEventsFunction:\n";
        assert_eq!(number(function, "BatchSize"), BATCH as u64);
        let window = number(function, "MaximumBatchingWindowInSeconds");
        assert_eq!(window, WINDOW.as_secs());
        assert_eq!(number(function, "MaximumConcurrency"), AT_ONCE as u64);
        let redrive = "\n  RedriveFunction:\n";
        let readiness = "\n  ReadinessCheckFunction:\n";
        for (section, function) in [
            (function, Function::ReplicationEvents),
            (redrive, Function::Redrive),
            (readiness, Function::Readiness),
        ] {
            let timeout = number(section, "Timeout");
            assert_eq!(
                timeout,
                timeout_of(function).as_secs(),
                "{}",
                function.name()
            );
        }
    }

    #[test]
    fn a_batch_is_never_larger_than_a_payload_may_be() {
        let body = r#"{"Records":[{"eventVersion":"2.2"}]}"#;
        let escaped = serde_json::to_string(body).unwrap();
        assert_eq!(size(body), escaped.len() - 2 + ENVELOPE);
    }
}
