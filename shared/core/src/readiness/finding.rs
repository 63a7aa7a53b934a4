//! Findings, and what a check says of one subject.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::announce::Severity;
use crate::names::Region;
use crate::readiness::check::Check;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Check and subject: the same as long as it stays.
    pub id: String,
    /// The check.
    pub check: Check,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: String,
    /// Regions that it makes unfit to serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Region>,
    /// It makes them unfit only for those who leave this Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Region>,
    /// What was seen.
    pub evidence: String,
    /// Of a finding about several things, which: one more is news.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub parts: BTreeSet<String>,
    /// What follows, in one sentence.
    pub consequence: String,
    /// A command that mends it, or shows more.
    pub remedy: String,
    /// Since when it has been found.
    pub since: Timestamp,
    /// It could not be looked at this time: it stands as it was last seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unconfirmed: bool,
}

impl Finding {
    /// The check's name, also of one that only a later version knows.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = self.id.split_once('/').map(|(name, _)| name);
        name.unwrap_or(self.check.name())
    }
}

/// A broken expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) severity: Severity,
    pub(super) targets: Vec<Region>,
    pub(super) leaving: Option<Region>,
    pub(super) evidence: String,
    pub(super) parts: BTreeSet<String>,
    pub(super) consequence: String,
    pub(super) remedy: String,
}

/// What a check says of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as it should be.
    Sound,
    /// It is not.
    Broken(Box<Broken>),
    /// It could not be looked at: what was found before stands.
    Unread,
}

/// A check's word on one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) check: Check,
    pub(super) subject: String,
    pub(super) verdict: Verdict,
}

impl Judged {
    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.check, self.subject)
    }
}
