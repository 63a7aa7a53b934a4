//! The same seed gives the same run: the hash of the full request log is the same twice in one
//! process and once in another, for every scenario.
#![allow(clippy::expect_used, reason = "a test")]

use std::process::Command;
use std::time::Duration;

use drill::harness::{self, Options};
use drill::history::History;
use drill::scenario::Scenario;
use drill::scenarios;

const SEED: u64 = 7;
const PACE: Duration = Duration::from_secs(10);

/// Imports are cut to this: what is compared is the order of things.
const IMPORT: u64 = 200;

/// Long enough for nearly everything that scenarios do.
const MINUTES: u64 = 65;

fn here(scenario: &Scenario, seed: u64) -> History {
    let options = Options {
        pace: Some(PACE),
        import_at_most: Some(IMPORT),
        length: Some(Duration::from_mins(MINUTES)),
        ..Options::default()
    };
    harness::run(scenario, seed, options)
}

fn elsewhere(scenario: &Scenario) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_drill"))
        .args(["--scenario", scenario.name, "--seed", &SEED.to_string()])
        .args(["--log-hash", "--pace", &PACE.as_millis().to_string()])
        .args(["--minutes", &MINUTES.to_string()])
        .args(["--import-at-most", &IMPORT.to_string()])
        .output()
        .expect("the drill starts");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The first request that is not the same.
fn difference(first: &History, second: &History) -> Option<String> {
    let requests = first.log.iter().zip(&second.log);
    let mut different = requests.filter(|(one, other)| one != other);
    different
        .next()
        .map(|(one, other)| format!("{one:#?} became {other:#?}"))
}

#[test]
fn the_same_seed_gives_the_same_run() {
    // Two halves at a time: a run is one thread.
    let halves = scenarios::ALL.split_at(scenarios::ALL.len() / 2);
    std::thread::scope(|scope| {
        for half in [halves.0, halves.1] {
            scope.spawn(move || {
                for scenario in half {
                    let first = here(scenario, SEED);
                    let second = here(scenario, SEED);
                    assert_eq!(difference(&first, &second), None, "{}", scenario.name);
                    assert_eq!(first.log_hash, second.log_hash, "{}", scenario.name);
                    assert_eq!(
                        first.log_hash,
                        elsewhere(scenario),
                        "{}: in another process",
                        scenario.name
                    );
                }
            });
        }
    });
}

#[test]
fn another_seed_gives_another_run() {
    let scenario = scenarios::find(scenarios::DEFAULT).expect("the default");
    assert_ne!(
        here(scenario, SEED).log_hash,
        here(scenario, SEED + 1).log_hash
    );
}
