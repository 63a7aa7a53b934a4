//! A run told to a person at a terminal.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use simulator::SimTime;

use crate::document::cause;
use crate::harness::{Kind, Moment, Seen};
use crate::history::{Function, History, list};
use crate::invariants;
use crate::numbers::Numbers;
use crate::scenario::Scenario;
use crate::verdict::Violation;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const WRONG: Style = AnsiColor::Red.on_default().bold();

/// `+00:01:12`.
#[must_use]
pub fn stamp(at: SimTime) -> String {
    let seconds = at.as_secs();
    format!(
        "+{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn look(kind: Kind) -> (&'static str, Style) {
    match kind {
        Kind::Story => ("story", BOLD),
        Kind::Client => ("clients", AnsiColor::Yellow.on_default()),
        Kind::Alarm => ("alarm", AnsiColor::Magenta.on_default()),
        Kind::Function(function) => (called(function), AnsiColor::Cyan.on_default()),
        Kind::Routes => ("routes", AnsiColor::Green.on_default().bold()),
        Kind::Page => ("told", AnsiColor::Blue.on_default()),
    }
}

/// A function's name in few letters.
#[must_use]
pub fn called(function: Function) -> &'static str {
    match function {
        Function::Failover | Function::Redrive => function.name(),
        Function::HealthCheck => "health",
        Function::ReplicationEvents => "events",
        Function::Readiness => "ready",
    }
}

fn line(moment: &Moment) -> String {
    let (what, style) = look(moment.kind);
    format!(
        "{DIM}{}{DIM:#}  {style}{what:<8}{style:#}  {}",
        stamp(moment.at),
        moment.text
    )
}

/// Tells the story, the seed and how to play it again.
pub fn introduce(scenario: &Scenario, seed: u64) {
    anstream::println!("{BOLD}{}{BOLD:#}, seed {seed}", scenario.name);
    for line in scenario.story.lines() {
        anstream::println!("  {line}");
    }
    anstream::println!();
}

/// Prints what is seen until the run ends, above a progress line if there is a terminal, and
/// returns it. When silent it only collects.
#[must_use]
pub fn follow(seen: &Receiver<Seen>, silent: bool) -> Vec<Moment> {
    let bar = if !silent && std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{spinner} {msg} of virtual time");
        ProgressBar::new_spinner()
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
    } else {
        ProgressBar::hidden()
    };
    let mut moments = Vec::new();
    for one in seen {
        match one {
            Seen::Progress(at) => {
                bar.tick();
                if at.as_secs() % 60 == 0 {
                    bar.set_message(stamp(at));
                }
            }
            Seen::Moment(moment) => {
                if !silent {
                    bar.suspend(|| {
                        let mut out = anstream::stdout().lock();
                        // Whoever closed standard output does not want to see more.
                        let _ = writeln!(out, "{}", line(&moment));
                    });
                }
                moments.push(moment);
            }
        }
    }
    bar.finish_and_clear();
    moments
}

/// A span as a person says it.
fn span(span: Option<Duration>) -> String {
    match span {
        None => "-".to_owned(),
        Some(span) => format!("{:.1} s", span.as_secs_f64()),
    }
}

/// The numbers with their names.
#[must_use]
pub fn rows(numbers: &Numbers) -> Vec<(&'static str, String)> {
    let redrive = &numbers.redrive;
    vec![
        ("detected after", span(numbers.detected)),
        ("dial moved after", span(numbers.dial_moved)),
        ("first request served again after", span(numbers.recovered)),
        ("all requests served again after (RTO)", span(numbers.rto)),
        ("requests", numbers.requests.to_string()),
        ("of them failed", numbers.failed_requests.to_string()),
        (
            "of them for an object not there yet",
            numbers.absent_reads.to_string(),
        ),
        ("objects acknowledged", numbers.acked_objects.to_string()),
        (
            "of them missing at the new member at first (RPO)",
            numbers.rpo_objects.to_string(),
        ),
        ("lost in the end", numbers.lost_objects.to_string()),
        (
            "different between members in the end",
            numbers.diverged_objects.to_string(),
        ),
        (
            "copies that replication gave up",
            redrive.failures.to_string(),
        ),
        ("of them re-driven", redrive.redriven.to_string()),
        (
            "of them settled: gone, deleted or not eligible",
            redrive.settled.to_string(),
        ),
        ("of them given to a person", redrive.abandoned.to_string()),
        ("of them still waiting", redrive.open.to_string()),
        (
            "jobs, and what they cost",
            format!("{}, ${:.2}", redrive.jobs, redrive.dollars),
        ),
    ]
}

/// Sums the run up: route changes, numbers, invariants.
pub fn conclude(history: &History, numbers: &Numbers, violations: &[Violation]) {
    anstream::print!("{}", conclusion(history, numbers, violations));
}

fn conclusion(history: &History, numbers: &Numbers, violations: &[Violation]) -> String {
    let mut text = format!("\n{BOLD}Route changes{BOLD:#}\n");
    let moves = history.moves();
    if moves.is_empty() {
        text.push_str("  none\n");
    }
    for moved in &moves {
        let _ = writeln!(
            text,
            "  {}  {} -> {}  ({})",
            stamp(moved.at),
            list(&moved.before),
            list(&moved.after),
            cause(moved)
        );
    }
    let _ = writeln!(text, "\n{BOLD}Numbers{BOLD:#}");
    for (name, value) in rows(numbers) {
        let _ = writeln!(text, "  {name:<50} {value:>10}");
    }
    let _ = writeln!(text, "\n{BOLD}Invariants{BOLD:#}");
    for name in checked() {
        let broken: Vec<&Violation> = violations.iter().filter(|one| belongs(one, name)).collect();
        if broken.is_empty() {
            let _ = writeln!(text, "  {GOOD}ok{GOOD:#}        {name}");
        }
        for one in broken {
            let _ = writeln!(
                text,
                "  {WRONG}VIOLATED{WRONG:#}  {name}: +{} s: {}",
                one.at_s, one.text
            );
        }
    }
    text
}

/// What is checked after a run, in order.
pub fn checked() -> impl Iterator<Item = &'static str> {
    let scenario = "the scenario's own expectations";
    invariants::ALL
        .iter()
        .map(|invariant| invariant.name)
        .chain([scenario])
}

/// Whether a violation belongs to a line of [`checked`].
#[must_use]
pub fn belongs(violation: &Violation, name: &str) -> bool {
    let rule = violation.rule.as_str();
    name.split(' ').next() == Some(rule) || name.contains(&format!("the {rule}'s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamps() {
        assert_eq!(stamp(SimTime::from_millis(72_999)), "+00:01:12");
        assert_eq!(stamp(SimTime::from_secs(7200)), "+02:00:00");
    }

    #[test]
    fn every_violation_has_its_line() {
        for rule in [
            "1", "2", "3", "4", "5", "6", "8", "9", "jobs", "logs", "scenario",
        ] {
            let violation = Violation::new(rule, SimTime::ZERO, "");
            assert_eq!(
                checked().filter(|name| belongs(&violation, name)).count(),
                1,
                "{rule}"
            );
        }
    }
}
