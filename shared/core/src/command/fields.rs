//! The fields of a command's JSON object, read strictly.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{CommandError, FieldProblem, MAX_REASON};
use crate::excerpt::{Excerpt, listing};
use crate::guard::Guard;
use crate::names::Region;

/// The longest id of a decision or incident, in characters: several times the longest we give out.
const MAX_ID: usize = 200;

/// A command's object, known to hold allowed fields only.
pub(crate) struct Fields<'a> {
    command: &'static str,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// Refuses fields other than `allowed` and `command`.
    pub(crate) fn open(
        command: &'static str,
        object: &'a Map<String, Value>,
        allowed: &'static [&'static str],
    ) -> Result<Self, CommandError> {
        let mut unknown = object
            .keys()
            .filter(|key| *key != "command" && !allowed.contains(&key.as_str()))
            .peekable();
        if unknown.peek().is_some() {
            return Err(CommandError::UnknownFields {
                command,
                unknown: listing(unknown.map(|key| Excerpt(key))),
                allowed,
            });
        }
        Ok(Self { command, object })
    }

    /// The error about a field of this command.
    pub(crate) fn wrong(&self, field: &'static str, problem: FieldProblem) -> CommandError {
        CommandError::Field {
            command: self.command,
            field,
            problem,
        }
    }

    fn mistyped(&self, field: &'static str, expected: &'static str, value: &Value) -> CommandError {
        let found = json_type(value);
        self.wrong(field, FieldProblem::Type { expected, found })
    }

    /// The field's value; null counts as absent.
    fn get(&self, field: &'static str) -> Option<&'a Value> {
        self.object.get(field).filter(|value| !value.is_null())
    }

    /// A required, non-blank text of bounded length, trimmed.
    fn text(
        &self,
        field: &'static str,
        wanted: &'static str,
        longest: usize,
    ) -> Result<String, CommandError> {
        let value = self
            .get(field)
            .ok_or_else(|| self.wrong(field, FieldProblem::Missing(wanted)))?;
        let text = value
            .as_str()
            .ok_or_else(|| self.mistyped(field, "text", value))?
            .trim();
        if text.is_empty() {
            return Err(self.wrong(field, FieldProblem::Empty(wanted)));
        }
        if text.chars().count() > longest {
            return Err(self.wrong(field, FieldProblem::TooLong(longest)));
        }
        Ok(text.to_owned())
    }

    /// The required `reason`.
    pub(crate) fn reason(&self) -> Result<String, CommandError> {
        let wanted = "say in a sentence why; it is recorded and announced";
        self.text("reason", wanted, MAX_REASON)
    }

    /// A required id.
    pub(crate) fn id(
        &self,
        field: &'static str,
        wanted: &'static str,
    ) -> Result<String, CommandError> {
        self.text(field, wanted, MAX_ID)
    }

    /// A text that something is parsed from; absent is `None`.
    pub(crate) fn parsed<T: std::str::FromStr>(
        &self,
        field: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, CommandError> {
        if self.get(field).is_none() {
            return Ok(None);
        }
        let text = self.text(field, expected, MAX_ID)?;
        text.parse().map(Some).map_err(|_| {
            self.wrong(
                field,
                FieldProblem::Shape {
                    found: text,
                    expected,
                },
            )
        })
    }

    /// A word or a list of words out of a closed set; absent is `None`, an empty list is refused.
    pub(crate) fn words<T: std::str::FromStr + Ord>(
        &self,
        field: &'static str,
        words: &'static str,
    ) -> Result<Option<BTreeSet<T>>, CommandError> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        let items = match value {
            Value::Array(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        if items.is_empty() {
            return Err(self.wrong(field, FieldProblem::Empty(words)));
        }
        items
            .iter()
            .map(|item| {
                let text = item
                    .as_str()
                    .ok_or_else(|| self.mistyped(field, "a word or a list of words", item))?;
                text.parse().map_err(|_| {
                    self.wrong(
                        field,
                        FieldProblem::Word {
                            found: text.to_owned(),
                            words,
                        },
                    )
                })
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// A switch that is off unless set.
    pub(crate) fn flag(&self, field: &'static str) -> Result<bool, CommandError> {
        self.get(field).map_or(Ok(false), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.mistyped(field, "true or false", value))
        })
    }

    /// One Region or a list of Regions; absent is `None`, an empty list is refused.
    pub(crate) fn regions(
        &self,
        field: &'static str,
    ) -> Result<Option<BTreeSet<Region>>, CommandError> {
        let expected = "a Region or a list of Regions";
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        let items = match value {
            Value::Array(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        if items.is_empty() {
            let wanted = "leave it out to have it chosen, or name at least one Region";
            return Err(self.wrong(field, FieldProblem::Empty(wanted)));
        }
        items
            .iter()
            .map(|item| {
                let text = item
                    .as_str()
                    .ok_or_else(|| self.mistyped(field, expected, item))?;
                text.parse()
                    .map_err(|_| self.wrong(field, FieldProblem::Region(text.to_owned())))
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// The guards to override by name.
    pub(crate) fn overrides(&self) -> Result<BTreeSet<Guard>, CommandError> {
        let (field, expected) = ("override", "a list of guards");
        let Some(value) = self.get(field) else {
            return Ok(BTreeSet::new());
        };
        let items = value
            .as_array()
            .ok_or_else(|| self.mistyped(field, expected, value))?;
        items
            .iter()
            .map(|item| {
                let text = item
                    .as_str()
                    .ok_or_else(|| self.mistyped(field, expected, item))?;
                let guard: Guard = text
                    .parse()
                    .map_err(|_| self.wrong(field, FieldProblem::NoGuard(text.to_owned())))?;
                if guard.may_be_overridden() {
                    Ok(guard)
                } else {
                    Err(self.wrong(field, FieldProblem::NeverOverridden { guard }))
                }
            })
            .collect()
    }

    /// An RFC 3339 time; absent is `None`.
    pub(crate) fn time(&self, field: &'static str) -> Result<Option<Timestamp>, CommandError> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        let text = value
            .as_str()
            .ok_or_else(|| self.mistyped(field, "a time as text", value))?;
        text.parse()
            .map(Some)
            .map_err(|_| self.wrong(field, FieldProblem::Time(text.to_owned())))
    }
}

/// The JSON type of a value, with its article.
pub(crate) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
