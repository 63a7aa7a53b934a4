//! What people are told: of changes when they happen, of everything once a week, and of
//! everything when they ask.

use std::collections::BTreeSet;
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::announce::{Announcement, Event, Letter, Severity};
use crate::answer::FailedTopic;
use crate::command::{CommandError, Fields, NAMES as FAILOVER, json_type};
use crate::names::Region;
use crate::readiness::finding::Finding;
use crate::readiness::report::{Changes, Report};
use crate::redrive::command::NAMES as REDRIVE;

/// Between two digests.
pub const DIGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What an invocation asks of the `readiness-check` function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadinessCommand {
    /// The hour's look.
    Tick,
    /// A look because somebody wants to know.
    Readiness,
}

/// What is printed where commands are listed.
const NAMES: [&str; 2] = ["tick", "readiness"];

fn unknown(name: &str) -> CommandError {
    let of = |names: &'static [&'static str]| names.iter().find(|known| **known == name);
    let another = [("failover", &FAILOVER[..]), ("redrive", &REDRIVE[..])]
        .into_iter()
        .find_map(|(function, names)| Some((function, of(names)?)));
    match another {
        Some((function, command)) => CommandError::OfAnother { command, function },
        None => CommandError::NoSuchCommand {
            command: name.to_owned(),
            commands: &NAMES,
        },
    }
}

/// Why a payload was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadinessPayloadError {
    /// It is no command.
    #[error(
        "the payload is {0}: this function takes {{\"command\":\"readiness\"}}, and \"tick\" from its schedule"
    )]
    Unwanted(String),
    /// A command with something wrong in it.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl ReadinessCommand {
    /// Reads an invocation's payload as strictly as all commands.
    ///
    /// # Errors
    /// [`ReadinessPayloadError`] says what is wrong and what would be right.
    pub fn parse(payload: &Value) -> Result<Self, ReadinessPayloadError> {
        let Some(object) = payload.as_object().filter(|it| it.contains_key("command")) else {
            return Err(ReadinessPayloadError::Unwanted(match payload {
                Value::Object(_) => "an object without a command".to_owned(),
                other => json_type(other).to_owned(),
            }));
        };
        let name = object.get("command").and_then(Value::as_str);
        let name = name.ok_or(CommandError::NotText { commands: &NAMES })?;
        let (name, command) = match name {
            "tick" => ("tick", Self::Tick),
            "readiness" => ("readiness", Self::Readiness),
            other => return Err(unknown(other).into()),
        };
        Fields::open(name, object, &[])?;
        Ok(command)
    }
}

/// How a look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadinessOutcome {
    /// Nothing stands against a failover to any member.
    Ready,
    /// Nothing is known to, but not everything that may could be looked at.
    Unknown,
    /// Something does, or is not as it should be.
    Findings,
}

/// What an invocation answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadinessAnswer {
    /// How it ended.
    pub outcome: ReadinessOutcome,
    /// In one sentence.
    pub explanation: String,
    /// When it was looked.
    pub observed_at: Timestamp,
    /// How much was judged.
    pub checked: usize,
    /// Findings by severity.
    pub counts: Value,
    /// Ids that were found for the first time.
    pub new: Vec<String>,
    /// Ids that became graver.
    pub worse: Vec<String>,
    /// Ids that are in order again.
    pub fixed: Vec<String>,
    /// What could not be read.
    pub unread: usize,
    /// Every finding; the schedule's invocations leave them to the report.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The report as a person reads it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub report: String,
    /// Topics that could not be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_topics: Vec<FailedTopic>,
}

impl ReadinessAnswer {
    /// The answer to `command`.
    #[must_use]
    pub fn of(command: ReadinessCommand, report: &Report, changes: &Changes) -> Self {
        let ids = |findings: &[Finding]| findings.iter().map(|one| one.id.clone()).collect();
        let whole = command == ReadinessCommand::Readiness;
        Self {
            outcome: if report.count(Severity::Critical) + report.count(Severity::Warning) > 0 {
                ReadinessOutcome::Findings
            } else if report.unknown(report.observed_at).next().is_some() {
                ReadinessOutcome::Unknown
            } else {
                ReadinessOutcome::Ready
            },
            explanation: explanation(report),
            observed_at: report.observed_at,
            checked: report.checked,
            counts: counts(report),
            new: ids(&changes.new),
            worse: ids(&changes.worse),
            fixed: ids(&changes.fixed),
            unread: report.unread.len(),
            findings: if whole {
                report.findings.clone()
            } else {
                Vec::new()
            },
            report: if whole { text(report) } else { String::new() },
            failed_topics: Vec::new(),
        }
    }
}

fn counts(report: &Report) -> Value {
    let counts = [Severity::Critical, Severity::Warning, Severity::Info]
        .map(|severity| (severity.as_str().to_owned(), json!(report.count(severity))));
    Value::Object(counts.into_iter().collect::<Map<_, _>>())
}

/// What is to be told after a look, ready for the outbox. A digest falls due a week after the last.
pub fn tell(report: &mut Report, changes: &Changes) -> Vec<Announcement> {
    let mut told = Vec::new();
    if !changes.is_empty() {
        told.push(changed(report, changes));
    }
    if report.observed_at.duration_since(report.digest_at) >= DIGEST {
        report.digest_at = report.observed_at;
        told.push(digest(report));
    }
    told
}

fn changed(report: &Report, changes: &Changes) -> Announcement {
    let grave: Vec<&Finding> = changes.new.iter().chain(&changes.worse).collect();
    let severity = grave
        .iter()
        .map(|finding| finding.severity)
        .max()
        .unwrap_or(Severity::Info);
    let headline = match (grave.as_slice(), changes.fixed.as_slice()) {
        ([one], []) => format!("readiness: {}", one.evidence),
        ([], [one]) => format!("readiness: {} is in order again", one.id),
        _ => format!(
            "readiness: {} new, {} worse, {} fixed",
            changes.new.len(),
            changes.worse.len(),
            changes.fixed.len()
        ),
    };
    let mut details = String::new();
    for (title, findings) in [("New", &changes.new), ("Worse", &changes.worse)] {
        section(&mut details, title, findings.iter());
    }
    if !changes.fixed.is_empty() {
        details.push_str("\nIn order again\n");
        for finding in &changes.fixed {
            let _ = writeln!(details, "  {} (since {:.0})", finding.id, finding.since);
        }
    }
    let targets: Vec<&str> = grave
        .iter()
        .flat_map(|finding| &finding.targets)
        .map(Region::as_str)
        .collect();
    let region = match targets.as_slice() {
        [first, rest @ ..] if rest.iter().all(|one| one == first) => *first,
        _ => "",
    };
    let ids = |findings: &[Finding]| -> Vec<String> {
        findings.iter().map(|one| one.id.clone()).collect()
    };
    letter(
        report,
        &Written {
            event: Event::ReadinessChanged,
            severity,
            region,
            headline: &headline,
            explanation: &explanation(report),
            details: &details,
            footer: &[],
            body: json!({
                "new": changes.new, "worse": changes.worse, "fixed": ids(&changes.fixed),
                "counts": counts(report), "checked": report.checked,
            }),
        },
    )
}

fn digest(report: &Report) -> Announcement {
    let mut details = String::new();
    sections(&mut details, report);
    unread(&mut details, report);
    let headline = match report.findings.len() {
        0 => "readiness: nothing found this week".to_owned(),
        1 => "readiness: one finding this week".to_owned(),
        many => format!("readiness: {many} findings this week"),
    };
    letter(
        report,
        &Written {
            event: Event::ReadinessDigest,
            severity: if report.count(Severity::Critical) == 0 {
                Severity::Info
            } else {
                Severity::Warning
            },
            region: "",
            headline: &headline,
            explanation: &explanation(report),
            details: &details,
            footer: &ages(report),
            body: json!({
                "findings": report.findings, "counts": counts(report), "checked": report.checked,
                "unread": report.unread, "tried": report.tried,
            }),
        },
    )
}

struct Written<'a> {
    event: Event,
    severity: Severity,
    region: &'a str,
    headline: &'a str,
    explanation: &'a str,
    details: &'a str,
    /// What stands at the foot below the number of checks.
    footer: &'a [(&'static str, String)],
    body: Value,
}

fn letter(report: &Report, written: &Written<'_>) -> Announcement {
    let step = report.observed_at.as_second().to_string();
    let checked = report.checked.to_string();
    let more = written.footer.iter();
    let more = more.map(|(name, value)| (*name, value.as_str()));
    let footer: Vec<(&str, &str)> = std::iter::once(("Checked", checked.as_str()))
        .chain(more)
        .collect();
    Announcement::write(
        &report.mrap,
        Letter {
            event: written.event,
            severity: written.severity,
            scope: report.mrap.alias(),
            step: &step,
            region: written.region,
            headline: written.headline,
            explanation: written.explanation,
            advice: &[],
            details: written.details,
            footer: &footer,
            incident: None,
            body: written.body.clone(),
        },
        report.observed_at,
    )
}

/// The report as a person reads it.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = format!("{}\n", explanation(report));
    sections(&mut text, report);
    unread(&mut text, report);
    let _ = writeln!(
        text,
        "\nAccess point  {}\nChecked       {} at {:.0}",
        report.mrap, report.checked, report.observed_at
    );
    for (what, age) in ages(report) {
        let _ = writeln!(text, "{what:<13} {age}");
    }
    text
}

/// What only trying tells, and how long ago it was tried.
fn ages(report: &Report) -> [(&'static str, String); 3] {
    let tried = report.tried;
    [
        ("Self-test", tried.map(|tried| tried.self_test)),
        ("Last change", tried.map(|tried| tried.last_change)),
        ("Rehearsed", tried.map(|tried| tried.rehearsed)),
    ]
    .map(|(what, at)| (what, ago(at, report.observed_at)))
}

fn unread(text: &mut String, report: &Report) {
    if !report.unread.is_empty() {
        text.push_str("\nCould not be read\n");
    }
    for unread in &report.unread {
        let _ = writeln!(text, "  {}: {}", unread.what, unread.detail);
    }
    let mut unmade = report.unmade().peekable();
    if unmade.peek().is_some() {
        text.push_str("\nCritical checks that could not be made\n");
    }
    for one in unmade {
        let made = match one.sound_at {
            Some(at) => format!("sound at {at:.0}"),
            None => "never made".to_owned(),
        };
        let _ = writeln!(text, "  {}: {made}", one.id);
    }
}

/// A moment and its age; nothing within if it never was, and outside if that is not known.
#[expect(
    clippy::option_option,
    reason = "not known, known to be never, and known are three things"
)]
fn ago(at: Option<Option<Timestamp>>, now: Timestamp) -> String {
    let at = match at {
        None => return "not known".to_owned(),
        Some(None) => return "never".to_owned(),
        Some(Some(at)) => at,
    };
    let age = now.duration_since(at).max(SignedDuration::ZERO);
    match age.as_hours() {
        0 => format!("{at:.0}, {} min ago", age.as_mins()),
        hours @ 1..48 => format!("{at:.0}, {hours} h ago"),
        hours => format!("{at:.0}, {} days ago", hours / 24),
    }
}

fn sections(text: &mut String, report: &Report) {
    for (title, severity) in [
        (
            "Critical: a failover would lose data or fail",
            Severity::Critical,
        ),
        ("Warnings: something will hurt", Severity::Warning),
        ("For the record", Severity::Info),
    ] {
        let findings = report.findings.iter();
        section(text, title, findings.filter(|one| one.severity == severity));
    }
}

fn section<'a>(text: &mut String, title: &str, findings: impl Iterator<Item = &'a Finding>) {
    let mut findings = findings.peekable();
    if findings.peek().is_none() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for finding in findings {
        let _ = writeln!(text, "\n  {}: {}", finding.check, finding.evidence);
        let _ = writeln!(text, "    {}", finding.consequence);
        if !finding.targets.is_empty() {
            let targets: Vec<&str> = finding.targets.iter().map(Region::as_str).collect();
            let leaving = finding.leaving.as_ref();
            let leaving =
                leaving.map_or_else(String::new, |from| format!(" for those who leave {from}"));
            let _ = writeln!(text, "    unfit: {}{leaving}", targets.join(", "));
        }
        let unconfirmed = if finding.unconfirmed {
            ", could not be looked at this time"
        } else {
            ""
        };
        let _ = writeln!(text, "    since {:.0}{unconfirmed}", finding.since);
        let _ = writeln!(text, "    $ {}", finding.remedy);
    }
}

/// In one sentence or two.
fn explanation(report: &Report) -> String {
    let critical = report
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Critical);
    let unfit: BTreeSet<(&Region, Option<&Region>)> = critical
        .flat_map(|finding| {
            let leaving = finding.leaving.as_ref();
            finding.targets.iter().map(move |target| (target, leaving))
        })
        .collect();
    // Where it is unfit for all, nobody has to read for whom.
    let unfit: Vec<String> = unfit
        .iter()
        .filter_map(|(target, leaving)| match leaving {
            None => Some(format!("to {target}")),
            Some(_) if unfit.contains(&(*target, None)) => None,
            Some(from) => Some(format!("to {target} from {from}")),
        })
        .collect();
    let unread = match report.unread.len() {
        0 => String::new(),
        some => format!(" {some} things could not be read."),
    };
    let unknown = match report.unknown(report.observed_at).count() {
        0 => String::new(),
        1 => " Whether a failover would work is not known: one critical check could not be made."
            .to_owned(),
        many => format!(
            " Whether a failover would work is not known: {many} critical checks could not be made."
        ),
    };
    let (some, of) = (report.findings.len(), report.checked);
    let found = if !unfit.is_empty() {
        format!(
            "{some} of {of} checks found something. A failover {} would lose data or fail.",
            unfit.join(" or ")
        )
    } else if report.count(Severity::Critical) > 0 || (some > 0 && !unknown.is_empty()) {
        format!("{some} of {of} checks found something.")
    } else if some > 0 {
        format!("{some} of {of} checks found something; nothing of it stands against a failover.")
    } else if report.unchecked.is_empty() {
        format!("Ready: all {of} checks are as they should be.")
    } else {
        format!("All {of} checks that could be made are as they should be.")
    };
    format!("{found}{unknown}{unread}")
}
