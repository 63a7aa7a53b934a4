//! The same seed gives the same run: the hash of the full request log is the same twice in one
//! process and once in another, for every scenario.
#![allow(clippy::expect_used, reason = "a test")]

use std::process::Command;
use std::time::Duration;

use drill::harness::{self, Options};
use drill::scenario::Scenario;
use drill::scenarios;

const SEED: u64 = 7;
const PACE: Duration = Duration::from_secs(10);

fn here(scenario: &Scenario, seed: u64) -> String {
    let options = Options {
        pace: Some(PACE),
        ..Options::default()
    };
    harness::run(scenario, seed, options).log_hash
}

fn elsewhere(scenario: &Scenario) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_drill"))
        .args(["--scenario", scenario.name, "--seed", &SEED.to_string()])
        .args(["--log-hash", "--pace", &PACE.as_millis().to_string()])
        .output()
        .expect("the drill starts");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
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
                    assert_eq!(first.len(), 64, "{}", scenario.name);
                    assert_eq!(first, here(scenario, SEED), "{}: in one process", scenario.name);
                    assert_eq!(first, elsewhere(scenario), "{}: in another process", scenario.name);
                }
            });
        }
    });
}

#[test]
fn another_seed_gives_another_run() {
    let scenario = scenarios::find(scenarios::DEFAULT).expect("the default");
    assert_ne!(here(scenario, SEED), here(scenario, SEED + 1));
}
