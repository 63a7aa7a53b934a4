//! The handle that clients, servers and harnesses share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use tokio::sync::watch;

use crate::cloudwatch::Delivery;
use crate::config::WorldConfig;
use crate::connector::SimClient;
use crate::time::Clock;
use crate::{ReplicationMessage, SimTime, World};

/// How often a waiting harness looks for deliveries that somebody else caused.
const DELIVERY_POLL: Duration = Duration::from_secs(1);

/// A running world: the state machine, its clock, and the doors into it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Simulator {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    world: Mutex<World>,
    clock: Arc<Clock>,
    pools: AtomicU64,
    processes: Mutex<BTreeMap<String, Process>>,
}

/// The process behind a label, as far as crashes are concerned.
#[derive(Debug)]
struct Process {
    requests: u64,
    crash_at: Option<u64>,
    crashed: watch::Sender<bool>,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            requests: 0,
            crash_at: None,
            crashed: watch::Sender::new(false),
        }
    }
}

/// What a process may do with its next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Send it.
    Send,
    /// Send it and die.
    SendAndCrash,
    /// It is dead.
    Dead,
}

impl Simulator {
    /// Starts a world at its epoch, now, on tokio's clock. In process, pause that clock
    /// (`start_paused`) and seed `fastrand` first: the SDK draws from its thread-local generator.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        Self::with_time_scale(config, 1.0)
    }

    /// As [`new`](Self::new), with time running `scale` times as fast as tokio's.
    #[must_use]
    pub fn with_time_scale(config: WorldConfig, scale: f64) -> Self {
        let clock = Arc::new(Clock::new(config.epoch, scale));
        let inner = Inner {
            world: Mutex::new(World::new(config)),
            clock,
            pools: AtomicU64::new(0),
            processes: Mutex::new(BTreeMap::new()),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> SimTime {
        self.inner.clock.now()
    }

    /// Waits for a span of virtual time.
    pub async fn sleep(&self, span: Duration) {
        self.clock().sleep_until(self.now() + span).await;
    }

    /// The clock as the SDK's time source.
    #[must_use]
    pub fn time_source(&self) -> SharedTimeSource {
        SharedTimeSource::new(SimTimeSource(Arc::clone(&self.inner.clock)))
    }

    /// Moves the world to the present, then looks at it or changes it.
    ///
    /// # Panics
    /// If an earlier call panicked.
    pub fn with<R>(&self, work: impl FnOnce(&mut World) -> R) -> R {
        let mut world = self.inner.world.lock().unwrap();
        world.advance(self.inner.clock.now());
        work(&mut world)
    }

    /// Replaces the world by a fresh one at its epoch, now.
    ///
    /// # Panics
    /// If an earlier call panicked.
    pub fn reset(&self, config: WorldConfig) {
        let mut world = self.inner.world.lock().unwrap();
        self.inner.clock.restart(config.epoch);
        *world = World::new(config);
    }

    /// An HTTP client for the SDK with a connection pool of its own.
    #[must_use]
    pub fn http_client(&self, label: impl Into<String>) -> SimClient {
        SimClient::new(self.clone(), label.into(), self.new_pool())
    }

    pub(crate) fn new_pool(&self) -> u64 {
        self.inner.pools.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits for the next delivery of an alarm's state change and takes it.
    pub async fn next_delivery(&self) -> Delivery {
        loop {
            let (delivery, next) = self.with(|world| {
                let delivery = world.take_delivery();
                (delivery, world.next_event_at())
            });
            if let Some(delivery) = delivery {
                return delivery;
            }
            let poll = self.now() + DELIVERY_POLL;
            self.clock()
                .sleep_until(next.map_or(poll, |next| next.min(poll)))
                .await;
        }
    }

    /// Waits for the next message about replication that S3 sends and takes it.
    pub async fn next_replication_message(&self) -> ReplicationMessage {
        loop {
            let (message, next) = self.with(|world| {
                let message = world.take_some_replication_messages(1).pop();
                let times = [world.next_replication_message_at(), world.next_event_at()];
                (message, times.into_iter().flatten().min())
            });
            if let Some(message) = message {
                return message;
            }
            let poll = self.now() + DELIVERY_POLL;
            self.clock()
                .sleep_until(next.map_or(poll, |next| next.min(poll)))
                .await;
        }
    }

    /// How many requests clients of this label have sent.
    #[must_use]
    pub fn requests_of(&self, label: &str) -> u64 {
        self.process(label, |process| process.requests)
    }

    /// Makes the `n`-th request from now (1 is the next one) of this label the last of its
    /// process: it is delivered, its answer never returns, later ones are never sent.
    pub fn crash_after(&self, label: &str, n: u64) {
        self.process(label, |process| {
            process.crash_at = Some(process.requests + n.max(1));
        });
    }

    /// Waits until that request was delivered; the harness then drops the invocation.
    pub async fn crashed(&self, label: &str) {
        let mut crashed = self.process(label, |process| process.crashed.subscribe());
        // The sender lives as long as the simulator, which `self` holds.
        let _ = crashed.wait_for(|crashed| *crashed).await;
    }

    /// Lets clients of this label work again, as a new process would; a planned crash is off.
    pub fn revive(&self, label: &str) {
        self.process(label, |process| {
            process.crash_at = None;
            process.crashed.send_replace(false);
        });
    }

    /// Counts a request of a label in.
    pub(crate) fn leave_to_send(&self, label: &str) -> Leave {
        self.process(label, |process| {
            if *process.crashed.borrow() {
                return Leave::Dead;
            }
            process.requests += 1;
            if process.crash_at == Some(process.requests) {
                Leave::SendAndCrash
            } else {
                Leave::Send
            }
        })
    }

    pub(crate) fn report_crash(&self, label: &str) {
        self.process(label, |process| {
            process.crashed.send_replace(true);
        });
    }

    fn process<R>(&self, label: &str, work: impl FnOnce(&mut Process) -> R) -> R {
        let mut processes = self.inner.processes.lock().unwrap();
        work(processes.entry(label.to_owned()).or_default())
    }
}

/// The SDK asks for the time of day.
#[derive(Debug)]
struct SimTimeSource(Arc<Clock>);

impl TimeSource for SimTimeSource {
    fn now(&self) -> std::time::SystemTime {
        std::time::SystemTime::from(self.0.calendar(self.0.now()))
    }
}
