//! `cargo drill`: rehearses an outage and says what came of it.
//!
//! Exit status: 0 if everything held, 1 if an invariant or an expectation was violated, 2 if the
//! command line makes no sense or the report cannot be written.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::Parser;
use drill::document::Document;
use drill::harness::{self, Moment, Options};
use drill::history::History;
use drill::scenario::Scenario;
use drill::{invariants, narration, numbers, report, scenarios};

/// Rehearses an outage: the deployed code in a simulated AWS, on virtual time.
///
/// Times count from the moment the trouble began: until the function detected it, until the dial
/// moved, until a client was served again for the first time (recovered), and until all were
/// served for good (RTO). What is listed with a time of its own counts from the start. RPO objects were acknowledged, and missing at the new member then; lost
/// objects are nowhere in the end.
#[derive(Debug, Parser)]
#[command(name = "cargo drill", version)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Arguments {
    /// What to rehearse; `--list` tells.
    #[arg(long, value_name = "NAME", default_value = scenarios::DEFAULT, value_parser = find)]
    scenario: &'static Scenario,
    /// List the scenarios and end.
    #[arg(long, conflicts_with = "json")]
    list: bool,
    /// Varies delays, moments and kinds of failure; the same seed gives the same run.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print one JSON document and nothing else.
    #[arg(long)]
    json: bool,
    /// Write a page with the story, a timeline and the numbers.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Print the hash of the full request log and nothing else.
    #[arg(long, hide = true, conflicts_with = "json")]
    log_hash: bool,
    /// Mean time between two requests of a client, in milliseconds.
    #[arg(long, hide = true)]
    pace: Option<u64>,
    /// Imports are cut to so many objects.
    #[arg(long, hide = true)]
    import_at_most: Option<u64>,
    /// Nothing but what fails to be copied: no clients, no probes, no `failover`.
    #[arg(long, hide = true)]
    copies_only: bool,
    /// Virtual minutes that the run takes.
    #[arg(long, hide = true)]
    minutes: Option<u64>,
}

fn find(name: &str) -> Result<&'static Scenario, String> {
    scenarios::find(name).ok_or_else(|| {
        let names: Vec<&str> = scenarios::ALL.iter().map(|one| one.name).collect();
        format!("there is no such scenario; there are {}", names.join(", "))
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        list();
        return ExitCode::SUCCESS;
    }
    let (scenario, seed) = (arguments.scenario, arguments.seed);
    // Opened first: nobody wants to hear after the run that the folder does not exist.
    let report_file = match arguments.report.as_ref().map(File::create).transpose() {
        Ok(file) => file,
        Err(error) => return unwritable(&arguments, &error),
    };
    let silent = arguments.json || arguments.log_hash;
    let options = Options {
        pace: arguments
            .pace
            .map(|pace| Duration::from_millis(pace.max(1))),
        import_at_most: arguments.import_at_most,
        copies_only: arguments.copies_only,
        length: arguments.minutes.map(Duration::from_mins),
        ..Options::default()
    };
    let (history, moments) = if silent && arguments.report.is_none() {
        (harness::run(scenario, seed, options), Vec::new())
    } else {
        watch(scenario, seed, options, silent)
    };
    let numbers = numbers::measure(&history);
    let mut violations = invariants::check(&history);
    violations.extend((scenario.expect)(&history));
    let document = Document::new(scenario.name, seed, &history, &numbers, &violations);

    let written = report_file.map_or(Ok(()), |mut file| {
        let page = report::page(scenario, &document, &history, &numbers, &moments);
        file.write_all(page.as_bytes())
    });
    if arguments.json {
        anstream::println!("{}", serde_json::to_string(&document).unwrap_or_default());
    } else if arguments.log_hash {
        anstream::println!("{}", history.log_hash);
    } else {
        narration::conclude(&history, &numbers, &violations);
        if let Some(path) = &arguments.report {
            anstream::println!("\nThe report is in {}.", path.display());
        }
        if !violations.is_empty() {
            anstream::println!(
                "\nAgain: cargo drill --scenario {} --seed {seed}",
                scenario.name
            );
        }
    }
    match written {
        Err(error) if violations.is_empty() => unwritable(&arguments, &error),
        _ => ExitCode::from(u8::from(!violations.is_empty())),
    }
}

fn unwritable(arguments: &Arguments, error: &std::io::Error) -> ExitCode {
    let path = arguments.report.as_deref().unwrap_or(Path::new(""));
    anstream::eprintln!("error: {} cannot be written: {error}", path.display());
    ExitCode::from(2)
}

fn list() {
    for scenario in &scenarios::ALL {
        let mut lines = scenario.story.lines();
        anstream::println!("{:<30}{}", scenario.name, lines.next().unwrap_or_default());
        for line in lines {
            anstream::println!("{:<30}{line}", "");
        }
    }
}

/// Runs in a thread of its own and shows, or only keeps, what is to be seen.
fn watch(
    scenario: &'static Scenario,
    seed: u64,
    options: Options,
    silent: bool,
) -> (History, Vec<Moment>) {
    let (sender, receiver) = mpsc::channel();
    let options = Options {
        watcher: Some(sender),
        ..options
    };
    if !silent {
        narration::introduce(scenario, seed);
    }
    std::thread::scope(|scope| {
        let run = scope.spawn(|| harness::run(scenario, seed, options));
        let moments = narration::follow(&receiver, silent);
        match run.join() {
            Ok(history) => (history, moments),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
