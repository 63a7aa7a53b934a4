//! What can be wrong with a command.

use crate::excerpt::Excerpt;
use crate::guard::Guard;
use crate::names::Region;

/// Why a command was refused. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// `command` is not text.
    #[error("\"command\" must be text, one of {}", .commands.join(", "))]
    NotText {
        /// The commands of this function.
        commands: &'static [&'static str],
    },
    /// There is no such command.
    #[error("there is no command {}; the commands are {}", Excerpt(.command), .commands.join(", "))]
    NoSuchCommand {
        /// What was given.
        command: String,
        /// The commands of this function.
        commands: &'static [&'static str],
    },
    /// It is a command of another function.
    #[error("{command} is a command of the {function} function: invoke that one")]
    OfAnother {
        /// The command.
        command: &'static str,
        /// The function whose it is.
        function: &'static str,
    },
    /// Fields that the command does not have.
    #[error("{command} has no field {unknown}; it takes {}", allowed_or_none(.allowed))]
    UnknownFields {
        /// The command.
        command: &'static str,
        /// The fields, quoted and bounded.
        unknown: String,
        /// The fields it has.
        allowed: &'static [&'static str],
    },
    /// A field that cannot be read.
    #[error("{command}: \"{field}\" {problem}")]
    Field {
        /// The command.
        command: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: FieldProblem,
    },
    /// A Region that is to be left and to be active.
    #[error(
        "{command}: {region} stands in \"from\" and in \"to\"; it cannot be both left and active"
    )]
    BothWays {
        /// The command.
        command: &'static str,
        /// The Region.
        region: Region,
    },
}

/// What is wrong with one field of a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldProblem {
    /// It is required.
    #[error("is missing: {0}")]
    Missing(&'static str),
    /// It is of another JSON type.
    #[error("must be {expected}, not {found}")]
    Type {
        /// What is wanted.
        expected: &'static str,
        /// The JSON type given.
        found: &'static str,
    },
    /// It is blank.
    #[error("is empty: {0}")]
    Empty(&'static str),
    /// It is longer than it may be.
    #[error("is longer than {0} characters")]
    TooLong(usize),
    /// A Region that is none.
    #[error("names {}, which is not a Region code such as eu-west-1", Excerpt(.0))]
    Region(String),
    /// A guard that is none.
    #[error("names {}, which is no guard; {}", Excerpt(.0), overridable())]
    NoGuard(String),
    /// A guard that nobody may override.
    #[error("names {guard}, which may never be overridden; {}", overridable())]
    NeverOverridden {
        /// The guard.
        guard: Guard,
    },
    /// A word that is none of those that are taken.
    #[error("names {}, which is none of {words}", Excerpt(.found))]
    Word {
        /// What was given.
        found: String,
        /// What is taken.
        words: &'static str,
    },
    /// A text of another shape.
    #[error("is {}, which is not {expected}", Excerpt(.found))]
    Shape {
        /// What was given.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A field that contradicts another.
    #[error("does not go with \"{with}\": {why}")]
    Conflict {
        /// The other field.
        with: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// A time that is none.
    #[error("is {}, which is not a time such as 2026-12-24T00:00:00Z", Excerpt(.0))]
    Time(String),
}

fn overridable() -> String {
    let names: Vec<&str> = Guard::overridable().map(Guard::as_str).collect();
    format!("those that may be overridden are {}", names.join(", "))
}

fn allowed_or_none(allowed: &[&str]) -> String {
    if allowed.is_empty() {
        "no fields".to_owned()
    } else {
        allowed.join(", ")
    }
}
