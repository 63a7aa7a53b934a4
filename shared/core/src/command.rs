//! The operator's commands and the tick.
//!
//! A command is read strictly, unlike an alarm: it is typed by a person in a hurry, and a
//! misspelt field that is silently ignored could move the dial elsewhere than was meant.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::guard::Guard;
use crate::names::Region;
use crate::redrive::command as redrive;

mod error;
mod fields;

pub use error::{CommandError, FieldProblem};
pub(crate) use fields::{Fields, json_type};

/// The longest reason, in characters: it is stored with the history and printed in every page.
pub const MAX_REASON: usize = 1000;

/// Everything that an operator or the schedule may ask of the `failover` function.
///
/// Serializes to the JSON that it is read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", try_from = "Value")]
pub enum Command {
    /// The minute's turn: confirm open triggers, settle, announce, decide again.
    Tick,
    /// Tell everything, change nothing.
    Status,
    /// Turn the dial away from a Region, or to one.
    Failover(FailoverCommand),
    /// Turn the dial home.
    Failback(FailbackCommand),
    /// Over and back with every guard, each step timed.
    Rehearse(RehearseCommand),
    /// Execute a stored plan if deciding again gives the same.
    Approve {
        /// The decision's id.
        decision: String,
    },
    /// Stop everything automatic.
    Hold {
        /// Why.
        reason: String,
        /// When the hold ends by itself; without it, at `release`.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// End a hold.
    Release {
        /// Why.
        reason: String,
    },
    /// Close an incident and its triggers; end cooldown and suspension.
    Acknowledge {
        /// The incident's id.
        incident: String,
    },
    /// Begin anew after the state was deleted.
    RepairState {
        /// Why.
        reason: String,
    },
}

/// A failover or a switchover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverCommand {
    /// The Regions to leave; `None`: every active member that is not in `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<BTreeSet<Region>>,
    /// The members active afterwards; `None`: the most preferred healthy target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<BTreeSet<Region>>,
    /// Why.
    pub reason: String,
    /// Decide and report, touch nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Override every guard that may be overridden.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// The guards to override by name.
    #[serde(rename = "override", skip_serializing_if = "BTreeSet::is_empty")]
    pub overrides: BTreeSet<Guard>,
    /// Act without the state store.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub break_glass: bool,
}

/// A failback that an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailbackCommand {
    /// Why.
    pub reason: String,
    /// Decide and report, touch nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Override every guard that may be overridden.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// The guards to override by name.
    #[serde(rename = "override", skip_serializing_if = "BTreeSet::is_empty")]
    pub overrides: BTreeSet<Guard>,
}

/// A rehearsal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RehearseCommand {
    /// The members to go to and come back from; `None`: the most preferred healthy target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<BTreeSet<Region>>,
    /// Why.
    pub reason: String,
    /// The schedule asks, not a person: windows and blocking alarms have a say.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub scheduled: bool,
    /// Decide and report, touch nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Override every guard that may be overridden.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// The guards to override by name.
    #[serde(rename = "override", skip_serializing_if = "BTreeSet::is_empty")]
    pub overrides: BTreeSet<Guard>,
}

/// The commands, as an operator types them.
pub(crate) const NAMES: [&str; 10] = [
    "tick",
    "status",
    "failover",
    "failback",
    "rehearse",
    "approve",
    "hold",
    "release",
    "acknowledge",
    "repair-state",
];

/// What an operator allowed besides the guards: everything overridable, or guards by name.
fn overridden(force: bool, overrides: &BTreeSet<Guard>) -> BTreeSet<Guard> {
    if force {
        Guard::overridable().collect()
    } else {
        overrides.clone()
    }
}

impl FailoverCommand {
    /// The guards that must not block: `force` names all that may be overridden.
    #[must_use]
    pub fn overridden(&self) -> BTreeSet<Guard> {
        overridden(self.force, &self.overrides)
    }
}

impl FailbackCommand {
    /// The guards that must not block: `force` names all that may be overridden.
    #[must_use]
    pub fn overridden(&self) -> BTreeSet<Guard> {
        overridden(self.force, &self.overrides)
    }
}

impl RehearseCommand {
    /// The guards that must not block: `force` names all that may be overridden.
    #[must_use]
    pub fn overridden(&self) -> BTreeSet<Guard> {
        overridden(self.force, &self.overrides)
    }
}

impl Command {
    /// The command's name as an operator types it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::Status => "status",
            Self::Failover(_) => "failover",
            Self::Failback(_) => "failback",
            Self::Rehearse(_) => "rehearse",
            Self::Approve { .. } => "approve",
            Self::Hold { .. } => "hold",
            Self::Release { .. } => "release",
            Self::Acknowledge { .. } => "acknowledge",
            Self::RepairState { .. } => "repair-state",
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
            .ok_or(NOT_TEXT)?;
        let open = |command, allowed| Fields::open(command, object, allowed);
        match name {
            "tick" => open("tick", &[]).map(|_| Self::Tick),
            "status" => open("status", &[]).map(|_| Self::Status),
            "failover" => failover(object).map(Self::Failover),
            "failback" => failback(object).map(Self::Failback),
            "rehearse" => rehearse(object).map(Self::Rehearse),
            "approve" => Ok(Self::Approve {
                decision: open("approve", &["decision"])?
                    .id("decision", "the id that the answer or the page gives")?,
            }),
            "hold" => {
                let fields = open("hold", &["reason", "until"])?;
                Ok(Self::Hold {
                    reason: fields.reason()?,
                    until: fields.time("until")?,
                })
            }
            "release" => Ok(Self::Release {
                reason: open("release", &["reason"])?.reason()?,
            }),
            "acknowledge" => Ok(Self::Acknowledge {
                incident: open("acknowledge", &["incident"])?
                    .id("incident", "the id that the answer or the page gives")?,
            }),
            "repair-state" => Ok(Self::RepairState {
                reason: open("repair-state", &["reason"])?.reason()?,
            }),
            other => Err(unknown(other)),
        }
    }
}

const NOT_TEXT: CommandError = CommandError::NotText { commands: &NAMES };

fn unknown(name: &str) -> CommandError {
    // The commands of the `redrive` function, which people will send here by mistake.
    match redrive::NAMES.into_iter().find(|known| *known == name) {
        Some(command) => CommandError::OfAnother {
            command,
            function: "redrive",
        },
        None if name == "readiness" => CommandError::OfAnother {
            command: "readiness",
            function: "readiness-check",
        },
        None => CommandError::NoSuchCommand {
            command: name.to_owned(),
            commands: &NAMES,
        },
    }
}

fn failover(object: &Map<String, Value>) -> Result<FailoverCommand, CommandError> {
    let allowed = &[
        "from",
        "to",
        "reason",
        "dryRun",
        "force",
        "override",
        "breakGlass",
    ];
    let fields = Fields::open("failover", object, allowed)?;
    let command = FailoverCommand {
        from: fields.regions("from")?,
        to: fields.regions("to")?,
        reason: fields.reason()?,
        dry_run: fields.flag("dryRun")?,
        force: fields.flag("force")?,
        overrides: fields.overrides()?,
        break_glass: fields.flag("breakGlass")?,
    };
    let common = match (&command.from, &command.to) {
        (Some(from), Some(to)) => from.intersection(to).next().cloned(),
        _ => None,
    };
    match common {
        Some(region) => Err(CommandError::BothWays {
            command: "failover",
            region,
        }),
        None => Ok(command),
    }
}

fn failback(object: &Map<String, Value>) -> Result<FailbackCommand, CommandError> {
    let allowed = &["reason", "dryRun", "force", "override"];
    let fields = Fields::open("failback", object, allowed)?;
    Ok(FailbackCommand {
        reason: fields.reason()?,
        dry_run: fields.flag("dryRun")?,
        force: fields.flag("force")?,
        overrides: fields.overrides()?,
    })
}

fn rehearse(object: &Map<String, Value>) -> Result<RehearseCommand, CommandError> {
    let allowed = &["to", "reason", "scheduled", "dryRun", "force", "override"];
    let fields = Fields::open("rehearse", object, allowed)?;
    let command = RehearseCommand {
        to: fields.regions("to")?,
        reason: fields.reason()?,
        scheduled: fields.flag("scheduled")?,
        dry_run: fields.flag("dryRun")?,
        force: fields.flag("force")?,
        overrides: fields.overrides()?,
    };
    if command.scheduled && !command.overridden().is_empty() {
        return Err(fields.wrong(
            "scheduled",
            FieldProblem::Conflict {
                with: if command.force { "force" } else { "override" },
                why: "nobody looks on when the schedule rehearses, so nothing is overridden",
            },
        ));
    }
    Ok(command)
}

impl TryFrom<Value> for Command {
    type Error = CommandError;

    fn try_from(value: Value) -> Result<Self, CommandError> {
        value
            .as_object()
            .ok_or(NOT_TEXT)
            .and_then(Self::from_object)
    }
}
