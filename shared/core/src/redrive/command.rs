//! The operator's commands of the `redrive` function, and its tick.
//!
//! Read as strictly as those of the `failover` function: a misspelt field is an error, never
//! ignored.

use std::collections::BTreeSet;
use std::str::FromStr;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::command::{CommandError, FieldProblem, Fields, NAMES as FAILOVER_NAMES, json_type};
use crate::ledger::GroupId;
use crate::names::BucketName;
use crate::redrive::job::SweepStatus;

/// The commands, as an operator types them; `tick` is the schedule's and both functions have it.
pub(crate) const NAMES: [&str; 6] = [
    "redrive-status",
    "redrive-hold",
    "redrive-release",
    "retry",
    "sweep",
    "abandon",
];

/// What is printed where commands are listed.
const ALL: [&str; 7] = [
    "tick",
    "redrive-status",
    "redrive-hold",
    "redrive-release",
    "retry",
    "sweep",
    "abandon",
];

/// How a group is named, and where its name is found.
const GROUP: &str = "the 16 hexadecimal digits by which {\"command\":\"redrive-status\"} and the page name the group";

/// A status as an operator types it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct StatusWord(SweepStatus);

/// A text that is no replication status.
struct NoStatus;

impl FromStr for StatusWord {
    type Err = NoStatus;

    fn from_str(text: &str) -> Result<Self, NoStatus> {
        [
            SweepStatus::Failed,
            SweepStatus::None,
            SweepStatus::Completed,
            SweepStatus::Replica,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
        .map(Self)
        .ok_or(NoStatus)
    }
}

/// Everything that an operator or the schedule may ask of the `redrive` function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedriveCommand {
    /// The minute's turn.
    Tick,
    /// Tell everything, change nothing.
    Status {
        /// Only this group.
        group: Option<GroupId>,
    },
    /// Create no further job.
    Hold {
        /// Only for this group; without it, for all.
        group: Option<GroupId>,
        /// Why.
        reason: String,
        /// When the hold ends by itself; without it, at `redrive-release`.
        until: Option<Timestamp>,
    },
    /// End a hold; for all, close the breaker too.
    Release {
        /// Only of this group; without it, that of all.
        group: Option<GroupId>,
        /// Why.
        reason: String,
    },
    /// The cause is gone: sample now, and bring back what was handed over.
    Retry {
        /// The group.
        group: GroupId,
        /// Why.
        reason: String,
    },
    /// Re-drive what S3 itself finds.
    Sweep(SweepCommand),
    /// Settle all open rows of a group as abandoned.
    Abandon {
        /// The group.
        group: GroupId,
        /// Why.
        reason: String,
    },
}

/// A sweep: asked for first, confirmed second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepCommand {
    /// The member's bucket; `None`: the group's source, or the one of the confirmed offer.
    pub source: Option<BucketName>,
    /// What failed in this group's source.
    pub group: Option<GroupId>,
    /// What to select; `None`: `FAILED`.
    pub statuses: Option<BTreeSet<SweepStatus>>,
    /// Only versions created after this.
    pub created_after: Option<Timestamp>,
    /// The confirmation that the first answer gave.
    pub confirm: Option<String>,
    /// Why.
    pub reason: String,
}

const STATUSES: &str = "FAILED, NONE, COMPLETED, REPLICA";

impl RedriveCommand {
    /// The command's name as an operator types it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::Status { .. } => "redrive-status",
            Self::Hold { .. } => "redrive-hold",
            Self::Release { .. } => "redrive-release",
            Self::Retry { .. } => "retry",
            Self::Sweep(_) => "sweep",
            Self::Abandon { .. } => "abandon",
        }
    }

    /// Reads the payload of an invocation.
    ///
    /// # Errors
    /// [`RedrivePayloadError`] says what is wrong and what to send instead.
    pub fn parse(payload: &Value) -> Result<Self, RedrivePayloadError> {
        match payload.as_object() {
            Some(object) if object.contains_key("command") => Ok(Self::from_object(object)?),
            Some(_) => Err(RedrivePayloadError::NoCommand),
            None => Err(RedrivePayloadError::NoObject {
                found: json_type(payload),
            }),
        }
    }

    /// Reads a command from its JSON object.
    ///
    /// # Errors
    /// [`CommandError`] names the command, the field and what would be right.
    pub fn from_object(object: &Map<String, Value>) -> Result<Self, CommandError> {
        let name = object
            .get("command")
            .and_then(Value::as_str)
            .ok_or(CommandError::NotText { commands: &ALL })?;
        let open = |command, allowed| Fields::open(command, object, allowed);
        match name {
            "tick" => open("tick", &[]).map(|_| Self::Tick),
            "redrive-status" => Ok(Self::Status {
                group: open("redrive-status", &["group"])?.parsed("group", GROUP)?,
            }),
            "redrive-hold" => {
                let fields = open("redrive-hold", &["group", "reason", "until"])?;
                Ok(Self::Hold {
                    group: fields.parsed("group", GROUP)?,
                    reason: fields.reason()?,
                    until: fields.time("until")?,
                })
            }
            "redrive-release" => {
                let fields = open("redrive-release", &["group", "reason"])?;
                Ok(Self::Release {
                    group: fields.parsed("group", GROUP)?,
                    reason: fields.reason()?,
                })
            }
            "retry" => {
                let (group, reason) = of_group(&open("retry", &["group", "reason"])?)?;
                Ok(Self::Retry { group, reason })
            }
            "abandon" => {
                let (group, reason) = of_group(&open("abandon", &["group", "reason"])?)?;
                Ok(Self::Abandon { group, reason })
            }
            "sweep" => sweep(object).map(Self::Sweep),
            other => Err(unknown(other)),
        }
    }
}

fn of_group(fields: &Fields<'_>) -> Result<(GroupId, String), CommandError> {
    let group = fields
        .parsed("group", GROUP)?
        .ok_or_else(|| fields.wrong("group", FieldProblem::Missing(GROUP)))?;
    Ok((group, fields.reason()?))
}

fn sweep(object: &Map<String, Value>) -> Result<SweepCommand, CommandError> {
    let allowed = &[
        "source",
        "group",
        "statuses",
        "createdAfter",
        "confirm",
        "reason",
    ];
    let fields = Fields::open("sweep", object, allowed)?;
    let command = SweepCommand {
        source: fields.parsed("source", "the bucket of a member")?,
        group: fields.parsed("group", GROUP)?,
        statuses: fields
            .words::<StatusWord>("statuses", STATUSES)?
            .map(|words| words.into_iter().map(|word| word.0).collect()),
        created_after: fields.time("createdAfter")?,
        confirm: fields.parsed("confirm", "the confirmation that the first answer gave")?,
        reason: fields.reason()?,
    };
    let conflict =
        |field, with, why| Err(fields.wrong(field, FieldProblem::Conflict { with, why }));
    if command.group.is_some() {
        if command.source.is_some() {
            return conflict("source", "group", "a group has its own source");
        }
        let only_failed = BTreeSet::from([SweepStatus::Failed]);
        if command
            .statuses
            .as_ref()
            .is_some_and(|given| *given != only_failed)
        {
            let why = "what a group holds has failed; name a source to select anything else";
            return conflict("statuses", "group", why);
        }
    }
    if command.confirm.is_none() && command.group.is_none() && command.source.is_none() {
        let wanted = "name the member's bucket to sweep, or a \"group\"";
        return Err(fields.wrong("source", FieldProblem::Missing(wanted)));
    }
    Ok(command)
}

fn unknown(name: &str) -> CommandError {
    match FAILOVER_NAMES.into_iter().find(|known| *known == name) {
        Some(command) => CommandError::OfAnother {
            command,
            function: "failover",
        },
        None if name == "readiness" => CommandError::OfAnother {
            command: "readiness",
            function: "readiness-check",
        },
        None => CommandError::NoSuchCommand {
            command: name.to_owned(),
            commands: &ALL,
        },
    }
}

/// Why an invocation's payload was refused. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedrivePayloadError {
    /// It is no JSON object.
    #[error(
        "the payload is {found}: this function takes commands such as {{\"command\":\"redrive-status\"}}"
    )]
    NoObject {
        /// The JSON type given.
        found: &'static str,
    },
    /// It is an object without a command.
    #[error(
        "the payload has no \"command\": this function takes commands such as {{\"command\":\"redrive-status\"}}; replication events belong to the replication-events function, alarms to failover"
    )]
    NoCommand,
    /// It is a command that cannot be carried out as written.
    #[error(transparent)]
    Command(#[from] CommandError),
}
