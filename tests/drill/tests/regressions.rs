//! Runs that once went wrong, by scenario and seed.
#![allow(clippy::expect_used, reason = "a test")]

use std::time::Duration;

use drill::harness::{self, Options};
use drill::history::{Ending, History};
use drill::scenarios;

fn play(scenario: &str, seed: u64, minutes: u64) -> History {
    let scenario = scenarios::find(scenario).expect("a scenario");
    let options = Options {
        pace: Some(Duration::from_secs(10)),
        import_at_most: Some(1500),
        length: Some(Duration::from_mins(minutes)),
        ..Options::default()
    };
    harness::run(scenario, seed, options)
}

/// The first tick and the first alarm began at once. One of them found no state, then the state
/// that the other had just written, and took that for what is left of one that was deleted.
#[test]
fn regression_two_first_starts_at_once() {
    let history = play("objects-deleted-meanwhile", 3, 5);
    let failed = history.invocations.iter();
    let failed = failed.filter(|one| !matches!(one.ending, Ending::Answered(_)));
    let failed: Vec<_> = failed.map(|one| &one.ending).collect();
    assert!(failed.is_empty(), "{failed:?}");
}
