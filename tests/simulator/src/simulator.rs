//! The handle that clients, servers and harnesses share.

use std::sync::{Arc, Mutex};

use aws_smithy_async::time::SharedTimeSource;

use crate::cloudwatch::Delivery;
use crate::config::WorldConfig;
use crate::connector::SimClient;
use crate::time::Clock;
use crate::{SimTime, World};

/// A running world: the state machine, its clock, and the doors into it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Simulator {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    world: Mutex<World>,
    clock: Arc<Clock>,
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
        let world = Mutex::new(World::new(config));
        Self {
            inner: Arc::new(Inner { world, clock }),
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

    /// The clock as the SDK's time source.
    #[must_use]
    pub fn time_source(&self) -> SharedTimeSource {
        todo!()
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

    /// An HTTP client for the SDK with a connection pool of its own.
    #[must_use]
    pub fn http_client(&self, label: impl Into<String>) -> SimClient {
        let _ = label.into();
        todo!()
    }

    /// Waits for the next delivery of an alarm's state change and takes it.
    pub async fn next_delivery(&self) -> Delivery {
        todo!()
    }

    /// How many requests clients of this label have sent.
    #[must_use]
    pub fn requests_of(&self, label: &str) -> u64 {
        let _ = label;
        todo!()
    }

    /// Makes the `n`-th request from now (1 is the next one) of this label the last of its
    /// process: it is delivered, its answer never returns, later ones are never sent.
    pub fn crash_after(&self, label: &str, n: u64) {
        let _ = (label, n);
        todo!()
    }

    /// Waits until that request was delivered; the harness then drops the invocation.
    pub async fn crashed(&self, label: &str) {
        let _ = label;
        todo!()
    }

    /// Lets clients of this label work again, as a new process would.
    pub fn revive(&self, label: &str) {
        let _ = label;
        todo!()
    }
}
