//! Announcements: what people and their machines are told.

use std::fmt::Write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::Answer;
use crate::guard::GuardVerdict;
use crate::names::MrapArn;

/// Longest subject that SNS accepts, in characters.
const SUBJECT_LIMIT: usize = 100;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Somebody should look at it in daylight.
    Warning,
    /// Somebody should be woken.
    Critical,
}

impl Severity {
    /// The severity as printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The routes were changed; the proof on the data plane is still to come.
    Submitted,
    /// The data plane shows a failover.
    FailedOver,
    /// The data plane shows a failback.
    FailedBack,
    /// The data plane shows a switchover.
    SwitchedOver,
    /// The data plane does not show the change although it should by now.
    ProofOverdue,
    /// A decision is blocked.
    Blocked,
    /// An operator's wish is blocked.
    OperatorBlocked,
    /// A decision would have been carried out in another mode.
    WouldAct,
    /// A decision waits for an operator.
    NeedsApproval,
    /// The routes were changed past this machine.
    OutsideChange,
    /// A submit that had been given up landed.
    LateLanding,
    /// A control endpoint refused the change for good.
    SubmitRejected,
    /// No control endpoint could be reached.
    ControlUnreachable,
    /// The routes do not fit the settings.
    RoutesMismatch,
    /// An alarm may trigger, but nobody can tell for which Region.
    RegionUnknown,
    /// A member refuses the probes for a reason that is ours to fix.
    MemberMisconfigured,
    /// The observer cannot be believed.
    ObserverSick,
    /// The budget of automatic changes is used up.
    BudgetExhausted,
    /// An incident ended without a change.
    IncidentEnded,
    /// A rehearsal went over and back.
    Rehearsed,
    /// A rehearsal ended otherwise.
    RehearsalEnded,
    /// A rehearsal cannot go back.
    RehearsalStuck,
    /// The hold was set.
    Held,
    /// The hold was lifted.
    Released,
    /// The incident was acknowledged.
    Acknowledged,
    /// The state store cannot be reached.
    StateUnreachable,
    /// The state was deleted or cannot be read.
    StateLost,
    /// The state was made anew by an operator.
    StateRepaired,
    /// Versions fail to replicate for a reason that somebody has to mend.
    ReplicationFailing,
    /// A sample arrived: the rest of its group follows.
    SampleArrived,
    /// A sample did not arrive: its group is held again.
    SampleFailed,
    /// A group has nothing open any more.
    Redriven,
    /// Versions were settled that no re-drive can help.
    SettledFinal,
    /// Versions were given to a person: tried too often, or too old.
    HandedOver,
    /// An operator gave a group's versions up.
    GroupAbandoned,
    /// A group has more versions than are kept: it will be swept.
    GroupOverflowed,
    /// A job failed, was refused, or gave no report.
    JobFailed,
    /// A job stays open for very long.
    JobOverdue,
    /// A sweep is over.
    SweepEnded,
    /// The dollars for jobs are used up.
    RedriveBudgetExhausted,
    /// Jobs failed in a row: no further ones for a while.
    BreakerOpened,
    /// Jobs are created again.
    BreakerClosed,
    /// Work on a job fails again and again.
    RedriveStuck,
    /// Versions are open whose source is no member.
    SourceUnknown,
    /// An operator stopped re-drives.
    RedriveHeld,
    /// An operator lets re-drives go on.
    RedriveReleased,
    /// An operator asked for a re-drive.
    RedriveAsked,
    /// The readiness check found something new, something worse, or something in order again.
    ReadinessChanged,
    /// The week's summary of the readiness check.
    ReadinessDigest,
}

impl Event {
    /// The event as printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::FailedOver => "failed-over",
            Self::FailedBack => "failed-back",
            Self::SwitchedOver => "switched-over",
            Self::ProofOverdue => "proof-overdue",
            Self::Blocked => "blocked",
            Self::OperatorBlocked => "operator-blocked",
            Self::WouldAct => "would-act",
            Self::NeedsApproval => "needs-approval",
            Self::OutsideChange => "outside-change",
            Self::LateLanding => "late-landing",
            Self::SubmitRejected => "submit-rejected",
            Self::ControlUnreachable => "control-unreachable",
            Self::RoutesMismatch => "routes-mismatch",
            Self::RegionUnknown => "region-unknown",
            Self::MemberMisconfigured => "member-misconfigured",
            Self::ObserverSick => "observer-sick",
            Self::BudgetExhausted => "budget-exhausted",
            Self::IncidentEnded => "incident-ended",
            Self::Rehearsed => "rehearsed",
            Self::RehearsalEnded => "rehearsal-ended",
            Self::RehearsalStuck => "rehearsal-stuck",
            Self::Held => "held",
            Self::Released => "released",
            Self::Acknowledged => "acknowledged",
            Self::StateUnreachable => "state-unreachable",
            Self::StateLost => "state-lost",
            Self::StateRepaired => "state-repaired",
            Self::ReplicationFailing => "replication-failing",
            Self::SampleArrived => "sample-arrived",
            Self::SampleFailed => "sample-failed",
            Self::Redriven => "redriven",
            Self::SettledFinal => "settled-final",
            Self::HandedOver => "handed-over",
            Self::GroupAbandoned => "group-abandoned",
            Self::GroupOverflowed => "group-overflowed",
            Self::JobFailed => "job-failed",
            Self::JobOverdue => "job-overdue",
            Self::SweepEnded => "sweep-ended",
            Self::RedriveBudgetExhausted => "redrive-budget-exhausted",
            Self::BreakerOpened => "breaker-opened",
            Self::BreakerClosed => "breaker-closed",
            Self::RedriveStuck => "redrive-stuck",
            Self::SourceUnknown => "source-unknown",
            Self::RedriveHeld => "redrive-held",
            Self::RedriveReleased => "redrive-released",
            Self::RedriveAsked => "redrive-asked",
            Self::ReadinessChanged => "readiness-changed",
            Self::ReadinessDigest => "readiness-digest",
        }
    }

    /// Whether a newer announcement of this kind makes an unpublished older one of the same incident pointless.
    #[must_use]
    pub fn is_reminder(self) -> bool {
        matches!(
            self,
            Self::Blocked
                | Self::WouldAct
                | Self::NeedsApproval
                | Self::RehearsalStuck
                | Self::ControlUnreachable
                | Self::SubmitRejected
        )
    }
}

/// One announcement, ready to be published. Published at least once under a stable `event_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// Incident and step: the same after a crash, so that receivers can tell a repeat.
    pub event_id: String,
    /// What is announced.
    pub event: Event,
    /// How much it matters.
    pub severity: Severity,
    /// The incident it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// The Region it is about; empty where it is about none in particular.
    pub region: String,
    /// Whose routes.
    pub mrap: MrapArn,
    /// At most 100 printable ASCII characters, beginning with the severity.
    pub subject: String,
    /// For e-mail.
    pub text: String,
    /// For machines: the function's answer, with the fields of this announcement.
    pub body: Value,
    /// When it was recorded.
    pub at: Timestamp,
}

/// What an announcement is made of.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// What is announced.
    pub event: Event,
    /// How much it matters.
    pub severity: Severity,
    /// What distinguishes it from others of its incident and event, such as a reminder's number.
    pub step: &'a str,
    /// The Region it is about.
    pub region: &'a str,
    /// A few words for the subject.
    pub headline: &'a str,
    /// What the reader should do, one step a line.
    pub advice: &'a [String],
    /// The answer that it carries.
    pub answer: &'a Answer,
}

/// What an announcement of any function is made of.
#[derive(Debug, Clone)]
pub struct Letter<'a> {
    /// What is announced.
    pub event: Event,
    /// How much it matters.
    pub severity: Severity,
    /// What the event's id begins with: the incident, the group, the job.
    pub scope: &'a str,
    /// What distinguishes it from others of its scope and event, such as a reminder's number.
    pub step: &'a str,
    /// The Region it is about.
    pub region: &'a str,
    /// A few words for the subject.
    pub headline: &'a str,
    /// One paragraph for a person woken at night.
    pub explanation: &'a str,
    /// What the reader should do, one step a line.
    pub advice: &'a [String],
    /// What stands below, ready to print.
    pub details: &'a str,
    /// Names and values at the foot.
    pub footer: &'a [(&'a str, &'a str)],
    /// The incident it belongs to.
    pub incident: Option<String>,
    /// The document for machines.
    pub body: Value,
}

impl Announcement {
    /// Composes an announcement of the `failover` function.
    #[must_use]
    pub fn compose(mrap: &MrapArn, draft: &Draft<'_>, at: Timestamp) -> Self {
        let answer = draft.answer;
        let footer: Vec<(&str, &str)> = [
            ("Incident", answer.incident.as_deref()),
            ("Decision", answer.decision.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        let letter = Letter {
            event: draft.event,
            severity: draft.severity,
            scope: answer.incident.as_deref().unwrap_or(mrap.alias()),
            step: draft.step,
            region: draft.region,
            headline: draft.headline,
            explanation: &answer.explanation,
            advice: draft.advice,
            details: &details(answer),
            footer: &footer,
            incident: answer.incident.clone(),
            body: serde_json::to_value(answer).unwrap_or_default(),
        };
        Self::write(mrap, letter, at)
    }

    /// Writes an announcement.
    #[must_use]
    pub fn write(mrap: &MrapArn, letter: Letter<'_>, at: Timestamp) -> Self {
        let mut event_id = format!("{}/{}", letter.scope, letter.event.as_str());
        if !letter.step.is_empty() {
            let _ = write!(event_id, "/{}", letter.step);
        }
        let text = text(mrap, &letter, &event_id, at);
        let mut body = letter.body;
        if let Value::Object(fields) = &mut body {
            for (name, value) in [
                ("event", letter.event.as_str()),
                ("eventId", event_id.as_str()),
                ("severity", letter.severity.as_str()),
                ("mrap", mrap.as_str()),
            ] {
                fields.insert(name.to_owned(), Value::String(value.to_owned()));
            }
            fields.insert("at".to_owned(), Value::String(at.to_string()));
        }
        Self {
            subject: subject(
                letter.severity,
                &format!("{} ({})", letter.headline, mrap.alias()),
            ),
            text,
            event_id,
            event: letter.event,
            severity: letter.severity,
            incident: letter.incident,
            region: letter.region.to_owned(),
            mrap: mrap.clone(),
            body,
            at,
        }
    }
}

/// Announcements that wait at most.
pub const OUTBOX_KEPT: usize = 100;

/// With so many waiting it is time to publish them before more is done.
pub const OUTBOX_FULL: usize = OUTBOX_KEPT / 2;

/// Puts an announcement into an outbox unless it stands there already. A newer one about the
/// same standstill replaces an older one that was never published. Returns what had to go to make
/// room for it.
pub fn enqueue(outbox: &mut Vec<Announcement>, announcement: Announcement) -> Vec<Announcement> {
    if outbox
        .iter()
        .any(|one| one.event_id == announcement.event_id)
    {
        return Vec::new();
    }
    if announcement.event.is_reminder() {
        outbox.retain(|one| {
            !(one.event == announcement.event
                && one.incident == announcement.incident
                && one.severity <= announcement.severity
                && one.body.get("blocking") == announcement.body.get("blocking"))
        });
    }
    outbox.push(announcement);
    // Only when no topic takes anything for a day or so: what matters least goes first.
    let mut gone = Vec::new();
    while outbox.len() > OUTBOX_KEPT {
        let least = outbox
            .iter()
            .enumerate()
            .min_by_key(|(index, one)| (one.severity, *index))
            .map_or(0, |(index, _)| index);
        gone.push(outbox.remove(least));
    }
    gone
}

/// A subject as SNS wants it: printable ASCII, one line, at most 100 characters, beginning with the severity.
#[must_use]
pub fn subject(severity: Severity, headline: &str) -> String {
    let mut subject = severity.as_str().to_ascii_uppercase();
    subject.push_str(": ");
    subject.extend(headline.chars().map(|c| {
        if c.is_ascii_graphic() || c == ' ' {
            c
        } else {
            '?'
        }
    }));
    if subject.len() > SUBJECT_LIMIT {
        subject.truncate(SUBJECT_LIMIT - 3);
        subject.push_str("...");
    }
    subject
}

/// The e-mail.
fn text(mrap: &MrapArn, letter: &Letter<'_>, event_id: &str, at: Timestamp) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", letter.headline);
    let _ = writeln!(text, "\n{}", letter.explanation);
    if !letter.advice.is_empty() {
        text.push_str("\nWhat to do\n");
        for step in letter.advice {
            let _ = writeln!(text, "  - {step}");
        }
    }
    text.push_str(letter.details);
    let _ = writeln!(text, "\nAccess point  {mrap}");
    for (name, value) in letter.footer {
        let _ = writeln!(text, "{name:<13} {value}");
    }
    let _ = writeln!(text, "Event         {event_id}");
    let _ = writeln!(text, "Time          {at}");
    text
}

/// Guards and routes of an answer, for the e-mail.
fn details(answer: &Answer) -> String {
    let mut text = String::new();
    if !answer.guards.is_empty() {
        text.push_str("\nGuards\n");
        for report in answer.guards.iter().filter(|report| report.detail != "-") {
            let verdict = match (report.verdict, report.overridden) {
                (_, true) => "OVERRIDDEN",
                (GuardVerdict::Pass, false) => "pass",
                (GuardVerdict::Block, false) => "BLOCK",
                (GuardVerdict::Unknown, false) => "unknown",
            };
            let _ = writeln!(text, "  {verdict:<10} {}: {}", report.guard, report.detail);
        }
    }
    for (label, routes) in [
        ("Routes before", &answer.routes.before),
        ("Routes after", &answer.routes.after),
    ] {
        if !routes.is_empty() {
            let _ = writeln!(text, "\n{label}");
            for route in routes {
                let _ = writeln!(
                    text,
                    "  {:<16} {:>3}  {}",
                    route.region.as_str(),
                    i32::from(route.dial),
                    route.bucket
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn subjects_are_what_sns_accepts(headline in ".{0,300}") {
            let subject = subject(Severity::Critical, &headline);
            prop_assert!(subject.len() <= SUBJECT_LIMIT);
            prop_assert!(subject.bytes().all(|b| (0x20..0x7f).contains(&b)));
            prop_assert!(subject.starts_with("CRITICAL: "));
        }
    }
}
