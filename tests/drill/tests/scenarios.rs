//! Every scenario, played with a few seeds: no invariant is violated, every expectation is met.
#![allow(clippy::expect_used, clippy::panic, reason = "a test")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use drill::harness::{self, Options};
use drill::{invariants, scenarios};

const SEEDS: std::ops::Range<u64> = 1..3;

/// Fewer requests than a person watches: what is judged here does not depend on their number.
const PACE: Duration = Duration::from_secs(10);

/// A storm shows here that it is played; what a million come to, `tests/run-drills` shows.
const IMPORT: u64 = 5_000;

#[test]
fn every_scenario_holds() {
    let runs: Vec<_> = scenarios::ALL
        .iter()
        .flat_map(|scenario| SEEDS.map(move |seed| (scenario, seed)))
        .collect();
    let (next, broken) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((scenario, seed)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let options = Options {
                        pace: Some(PACE),
                        import_at_most: Some(IMPORT),
                        ..Options::default()
                    };
                    let history = harness::run(scenario, *seed, options);
                    let mut violations = invariants::check(&history);
                    violations.extend((scenario.expect)(&history));
                    if !violations.is_empty() {
                        let text = format!("{} {seed}: {violations:#?}", scenario.name);
                        broken.lock().expect("no panic").push(text);
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().expect("no panic");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
