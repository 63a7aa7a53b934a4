//! Seeded chance. One generator per purpose, so that more traffic does not change, say, how long
//! routes take to propagate.

use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;

/// The generators of a world.
#[derive(Debug)]
pub(crate) struct Dice {
    pub(crate) latency: Rng,
    pub(crate) faults: Rng,
    pub(crate) routes: Rng,
    pub(crate) replication: Rng,
    pub(crate) alarms: Rng,
    pub(crate) notifications: Rng,
    pub(crate) jobs: Rng,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut root = Rng::with_seed(seed);
        Self {
            latency: root.fork(),
            faults: root.fork(),
            routes: root.fork(),
            replication: root.fork(),
            alarms: root.fork(),
            notifications: root.fork(),
            jobs: root.fork(),
        }
    }
}

/// A span within a range of milliseconds.
pub(crate) fn span(rng: &mut Rng, range: &RangeInclusive<u64>) -> Duration {
    Duration::from_millis(rng.u64(range.clone()))
}

/// True with this probability.
pub(crate) fn chance(rng: &mut Rng, probability: f64) -> bool {
    probability >= 1.0 || (probability > 0.0 && rng.f64() < probability)
}
