//! What jobs cost, by S3's price list (us-east-1): a job, each object it handles, and for a
//! manifest that S3 generates each object of the source bucket.
//!
//! What the copying itself costs (destination requests, transfer between Regions, KMS) is the same
//! as for any replication and not counted here.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// An amount of US dollars, exact to the millionth.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl Micros {
    /// Whole dollars.
    #[must_use]
    pub fn dollars(dollars: u32) -> Self {
        Self(u64::from(dollars) * 1_000_000)
    }

    /// As a number of dollars, for metrics and answers.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to nine billion dollars"
    )]
    pub fn as_dollars(self) -> f64 {
        self.0 as f64 / 1_000_000.0
    }

    /// What is left of this after `other`.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Micros {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Micros {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Micros {
    /// To the cent, rounded up: nothing that costs is shown as free.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.0.div_ceil(10_000);
        write!(f, "${}.{:02}", cents / 100, cents % 100)
    }
}

/// A job, whatever is in it.
pub const JOB: Micros = Micros(250_000);

/// A job over a manifest of so many objects: $1.00 per million of them.
#[must_use]
pub fn job(objects: u64) -> Micros {
    JOB + Micros(objects)
}

/// A job whose manifest S3 generates: $0.015 more per million objects in the source bucket.
#[must_use]
pub fn sweep(objects: u64, in_bucket: u64) -> Micros {
    job(objects) + Micros(in_bucket.saturating_mul(15).div_ceil(1000))
}

/// How many objects a job may have that costs at most this.
#[must_use]
pub fn affordable(amount: Micros) -> u64 {
    amount.less(JOB).0
}

/// The budget's window: a rolling day.
pub const WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// What a job costs, or was set aside for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    /// When it was set aside.
    pub at: Timestamp,
    /// The job.
    pub job: super::job::JobName,
    /// How much.
    pub micros: Micros,
}

/// What was spent or set aside in the window that ends now.
#[must_use]
pub fn within_window(spends: &[Spend], now: Timestamp) -> Micros {
    spends
        .iter()
        .filter(|spend| now.duration_since(spend.at) < WINDOW)
        .map(|spend| spend.micros)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices() {
        #[rustfmt::skip]
        let table = [
            (job(0), 250_000, "$0.25"),
            (job(10), 250_010, "$0.26"),
            (job(1_000_000), 1_250_000, "$1.25"),
            (job(10_000_000), 10_250_000, "$10.25"),
            (sweep(1_000_000, 1_000_000_000), 16_250_000, "$16.25"),
            (sweep(0, 1), 250_001, "$0.26"),
            (Micros::dollars(100_000), 100_000_000_000, "$100000.00"),
        ];
        for (amount, micros, text) in table {
            assert_eq!(amount.0, micros);
            assert_eq!(amount.to_string(), text);
        }
        assert_eq!(affordable(Micros::dollars(1)), 750_000);
        assert_eq!(affordable(Micros(1)), 0);
        assert_eq!(job(affordable(Micros::dollars(50))), Micros::dollars(50));
    }
}
