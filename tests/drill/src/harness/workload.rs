//! The clients: somebody's application that writes and reads through the access point, about two
//! requests a second, and remembers what it was told is safe.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_smithy_runtime_api::client::result::SdkError;
use fastrand::Rng;
use simulator::{SimTime, Simulator};

use super::sdk::{self, Patience};
use super::spectator::{Kind, Spectator};
use crate::history::{Acknowledged, ClientRequest, Served};
use crate::{DATA_PREFIX, mrap_arn};

/// What an application would set: three tries of three seconds.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(1),
    attempt: Duration::from_secs(3),
    operation: Duration::from_secs(10),
    attempts: 3,
};

/// Reads go to one of this many newest objects.
const RECENT: usize = 20;

/// A pause this long without a failure ends a period of failures.
pub(crate) const CALM: Duration = Duration::from_secs(30);

/// One client application.
#[derive(Debug, Clone)]
pub(super) struct Workload(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sim: Simulator,
    label: String,
    client: Client,
    spectator: Spectator,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    requests: Vec<ClientRequest>,
    acknowledged: Vec<Acknowledged>,
    recent: VecDeque<String>,
    failing_since: Option<SimTime>,
    last_failure: SimTime,
}

impl Workload {
    pub(super) fn new(sim: &Simulator, label: &str, region: &str, spectator: Spectator) -> Self {
        Self(Arc::new(Inner {
            sim: sim.clone(),
            label: label.to_owned(),
            client: sdk::s3(sim, sim.http_client(label), region, PATIENCE),
            spectator,
            memory: Mutex::default(),
        }))
    }

    /// Asks about once every `pace` until the end, whether or not earlier requests were answered.
    pub(super) async fn run(self, mut dice: Rng, pace: Duration, until: SimTime) {
        let mut number = 0_u64;
        loop {
            self.0.sim.sleep(pace.mul_f64(0.7 + 0.6 * dice.f64())).await;
            if self.0.sim.now() >= until {
                return;
            }
            let known = {
                let memory = self.0.memory.lock().unwrap();
                let pick = dice.usize(0..RECENT);
                memory
                    .recent
                    .get(pick % memory.recent.len().max(1))
                    .cloned()
            };
            let workload = self.clone();
            if let Some(key) = known.filter(|_| dice.bool()) {
                tokio::task::spawn_local(async move { workload.read(key).await });
            } else {
                number += 1;
                let key = format!("{DATA_PREFIX}{}/{number:06}", self.0.label);
                tokio::task::spawn_local(async move { workload.write(key).await });
            }
        }
    }

    async fn write(&self, key: String) {
        let sent = self.0.sim.now();
        let put = self
            .0
            .client
            .put_object()
            .bucket(mrap_arn())
            .key(&key)
            .body(key.clone().into_bytes().into());
        let result = Box::pin(put.send()).await;
        let at = self.0.sim.now();
        let served = match &result {
            Ok(_) => Served::Ok,
            Err(_) => Served::Failed,
        };
        self.note(sent, true, served);
        if let Ok(answer) = result {
            let mut memory = self.0.memory.lock().unwrap();
            memory.recent.push_back(key.clone());
            if memory.recent.len() > RECENT {
                memory.recent.pop_front();
            }
            memory.acknowledged.push(Acknowledged {
                at,
                key,
                version: answer.version_id.unwrap_or_default(),
                bucket: String::new(),
            });
        }
    }

    async fn read(&self, key: String) {
        let sent = self.0.sim.now();
        let get = self.0.client.get_object().bucket(mrap_arn()).key(&key);
        let served = match Box::pin(get.send()).await {
            Ok(answer) => match answer.body.collect().await {
                Ok(body) if body.clone().into_bytes() == key.as_bytes() => Served::Ok,
                _ => Served::Failed,
            },
            Err(SdkError::ServiceError(error)) if error.err().is_no_such_key() => Served::Absent,
            Err(_) => Served::Failed,
        };
        self.note(sent, false, served);
    }

    fn note(&self, sent: SimTime, write: bool, served: Served) {
        let done = self.0.sim.now();
        let mut memory = self.0.memory.lock().unwrap();
        memory.requests.push(ClientRequest {
            sent,
            done,
            write,
            served,
        });
        if served == Served::Failed {
            memory.last_failure = done;
            if memory.failing_since.is_none() {
                memory.failing_since = Some(done);
                let text = format!("{}: requests fail", self.0.label);
                self.0.spectator.tell(done, Kind::Client, text);
            }
        } else if let Some(since) = memory.failing_since
            && done.since(memory.last_failure) >= CALM
        {
            memory.failing_since = None;
            let text = format!(
                "{}: no failure for {} s, after {} s of trouble",
                self.0.label,
                CALM.as_secs(),
                memory.last_failure.since(since).as_secs()
            );
            self.0.spectator.tell(done, Kind::Client, text);
        }
    }

    /// What it asked for and what it was told is safe.
    pub(super) fn records(&self) -> (Vec<ClientRequest>, Vec<Acknowledged>) {
        let memory = self.0.memory.lock().unwrap();
        (memory.requests.clone(), memory.acknowledged.clone())
    }
}
