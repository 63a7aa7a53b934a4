//! Every scenario, played with a few seeds: no invariant is violated, every expectation is met.

use std::process::ExitCode;
use std::time::Duration;

use drill::harness::{self, Options};
use drill::scenario::Scenario;
use drill::{invariants, scenarios};
use libtest_mimic::{Arguments, Failed, Trial};

const SEEDS: std::ops::Range<u64> = 1..3;

/// Fewer requests than a person watches: what is judged here does not depend on their number.
const PACE: Duration = Duration::from_secs(10);

/// A storm shows here that it is played; what a million come to, `tests/run-drills` shows.
const IMPORT: u64 = 5_000;

fn main() -> ExitCode {
    let trials = scenarios::ALL.iter().flat_map(|scenario| {
        SEEDS.map(move |seed| {
            let name = format!("{} holds with seed {seed}", scenario.name);
            Trial::test(name, move || holds(scenario, seed))
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn holds(scenario: &Scenario, seed: u64) -> Result<(), Failed> {
    let options = Options {
        pace: Some(PACE),
        import_at_most: Some(IMPORT),
        ..Options::default()
    };
    let history = harness::run(scenario, seed, options);
    let mut violations = invariants::check(&history);
    violations.extend((scenario.expect)(&history));
    if violations.is_empty() {
        Ok(())
    } else {
        Err(format!("{violations:#?}").into())
    }
}
