//! The same seed gives the same run: the hash of the full request log is the same twice in one
//! process and once in another, for every scenario.

use std::process::{Command, ExitCode};
use std::time::Duration;

use drill::harness::{self, Options};
use drill::history::History;
use drill::scenario::Scenario;
use drill::scenarios;
use libtest_mimic::{Arguments, Failed, Trial};

const SEED: u64 = 7;
const PACE: Duration = Duration::from_secs(10);

/// Imports are cut to this: what is compared is the order of things.
const IMPORT: u64 = 200;

/// Long enough for nearly everything that scenarios do.
const MINUTES: u64 = 65;

fn main() -> ExitCode {
    let mut trials: Vec<Trial> = scenarios::ALL
        .iter()
        .map(|scenario| {
            let name = format!("{} is the same with the same seed", scenario.name);
            Trial::test(name, move || is_the_same_again(scenario))
        })
        .collect();
    trials.push(Trial::test("another seed gives another run", || {
        let scenario = scenarios::find(scenarios::DEFAULT).ok_or("there is no default")?;
        if here(scenario, SEED).log_hash == here(scenario, SEED + 1).log_hash {
            return Err("the seed changes nothing".into());
        }
        Ok(())
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn here(scenario: &Scenario, seed: u64) -> History {
    let options = Options {
        pace: Some(PACE),
        import_at_most: Some(IMPORT),
        length: Some(Duration::from_mins(MINUTES)),
        ..Options::default()
    };
    harness::run(scenario, seed, options)
}

fn elsewhere(scenario: &Scenario) -> Result<String, Failed> {
    let output = Command::new(env!("CARGO_BIN_EXE_drill"))
        .args(["--scenario", scenario.name, "--seed", &SEED.to_string()])
        .args(["--log-hash", "--pace", &PACE.as_millis().to_string()])
        .args(["--minutes", &MINUTES.to_string()])
        .args(["--import-at-most", &IMPORT.to_string()])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn is_the_same_again(scenario: &Scenario) -> Result<(), Failed> {
    let first = here(scenario, SEED);
    let second = here(scenario, SEED);
    if let Some(difference) = difference(&first, &second) {
        return Err(difference.into());
    }
    if first.log_hash != second.log_hash {
        return Err("the hashes differ, the requests that are kept do not".into());
    }
    let other = elsewhere(scenario)?;
    if first.log_hash != other {
        let hash = first.log_hash;
        return Err(format!("{hash} here, {other} in another process").into());
    }
    Ok(())
}

/// The first request that is not the same.
fn difference(first: &History, second: &History) -> Option<String> {
    let requests = first.log.iter().zip(&second.log);
    let mut different = requests.filter(|(one, other)| one != other);
    different
        .next()
        .map(|(one, other)| format!("{one:#?} became {other:#?}"))
}
