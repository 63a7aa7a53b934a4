//! Virtual time: milliseconds since the world's epoch, and the clock that drives them.

use std::ops::{Add, Sub};
use std::sync::Mutex;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// A moment of the simulated world, in milliseconds since its epoch.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SimTime(u64);

impl SimTime {
    /// The world's epoch.
    pub const ZERO: Self = Self(0);

    /// `millis` milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// `secs` seconds after the epoch.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1000)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Time since `earlier`, zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The start of the period of `period` milliseconds that this moment lies in.
    #[must_use]
    pub(crate) const fn floor_to(self, period: u64) -> Self {
        Self(self.0 - self.0 % period)
    }
}

impl Add<Duration> for SimTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }
}

impl Sub<Duration> for SimTime {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }
}

/// Whole milliseconds of a duration.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The calendar time of a moment in a world with this epoch.
pub(crate) fn calendar(epoch: Timestamp, at: SimTime) -> Timestamp {
    let offset = SignedDuration::from_millis(i64::try_from(at.0).unwrap_or(i64::MAX));
    epoch.checked_add(offset).unwrap_or(Timestamp::MAX)
}

/// Where the world's time comes from: tokio's clock (paused in tests) times a scale, plus what
/// was skipped by [`Clock::advance`].
#[derive(Debug)]
pub struct Clock {
    scale: f64,
    origin: Mutex<Origin>,
    advanced: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Origin {
    epoch: Timestamp,
    started: tokio::time::Instant,
    skipped: Duration,
}

impl Clock {
    /// A clock that stands at the epoch now and runs `scale` times as fast as tokio's.
    #[must_use]
    pub fn new(epoch: Timestamp, scale: f64) -> Self {
        Self {
            scale,
            origin: Mutex::new(Origin::now(epoch)),
            advanced: Notify::new(),
        }
    }

    /// The current moment.
    ///
    /// # Panics
    /// If a thread that held the clock panicked.
    #[must_use]
    pub fn now(&self) -> SimTime {
        let origin = self.origin.lock().unwrap();
        let elapsed = tokio_now().saturating_duration_since(origin.started);
        let scaled = if self.scale_is_one() {
            elapsed
        } else {
            elapsed.mul_f64(self.scale)
        };
        SimTime::ZERO + (scaled + origin.skipped)
    }

    /// The calendar time of a moment.
    ///
    /// # Panics
    /// If a thread that held the clock panicked.
    #[must_use]
    pub fn calendar(&self, at: SimTime) -> Timestamp {
        calendar(self.origin.lock().unwrap().epoch, at)
    }

    /// Stands at a new epoch now.
    pub(crate) fn restart(&self, epoch: Timestamp) {
        *self.origin.lock().unwrap() = Origin::now(epoch);
        self.advanced.notify_waiters();
    }

    /// Skips `span` of virtual time and wakes every sleeper that it passes.
    ///
    /// # Panics
    /// If a thread that held the clock panicked.
    pub fn advance(&self, span: Duration) {
        self.origin.lock().unwrap().skipped += span;
        self.advanced.notify_waiters();
    }

    /// Waits until the moment has come.
    #[expect(
        clippy::disallowed_methods,
        reason = "the simulator is what makes time pass"
    )]
    pub async fn sleep_until(&self, at: SimTime) {
        loop {
            let advanced = self.advanced.notified();
            let now = self.now();
            if now >= at {
                return;
            }
            let span = at.since(now);
            let span = if self.scale_is_one() {
                span
            } else {
                span.div_f64(self.scale).max(Duration::from_millis(1))
            };
            tokio::select! {
                biased;
                () = advanced => {}
                () = tokio::time::sleep(span) => {}
            }
        }
    }

    fn scale_is_one(&self) -> bool {
        (self.scale - 1.0).abs() < f64::EPSILON
    }
}

impl Origin {
    fn now(epoch: Timestamp) -> Self {
        Self {
            epoch,
            started: tokio_now(),
            skipped: Duration::ZERO,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the simulated clock reads tokio's"
)]
fn tokio_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
