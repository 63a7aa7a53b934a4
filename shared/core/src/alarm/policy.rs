//! Which alarms may trigger, and the Regions that an operator assigned to alarms by name.

use std::collections::BTreeSet;

use wildmatch::WildMatch;

use super::AlarmTransition;
use crate::excerpt::Excerpt;
use crate::names::{Members, MrapArn, Region};

/// The alarms that the stack makes for itself: they trigger unless `TRIGGER_ALARMS` says otherwise.
pub const OWN_ALARMS: &str = "mrap-sentinel-*";

/// The name of the alarm with which the stack tries daily whether its alarms arrive. It says
/// nothing of any Region and never triggers.
#[must_use]
pub fn self_test_alarm(mrap: &MrapArn) -> String {
    format!("mrap-sentinel-{}-self-test", mrap.stem())
}

/// `CloudWatch`'s limit for an alarm's name, hence for a glob that could match one.
const MAX_GLOB: usize = 255;

/// What `TRIGGER_ALARMS` and `ALARM_REGIONS` say.
///
/// Globs know `*` (any text) and `?` (any one character) and match the whole, case-sensitive name.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerPolicy {
    triggers: Vec<WildMatch>,
    regions: Vec<(WildMatch, Region)>,
}

/// Whether an alarm may trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    MayTrigger,
    /// Its name matches no glob: logged as no change.
    NotListed,
    /// It watches replication, which never triggers, whatever the globs say.
    ReplicationMetric,
}

/// What is wrong with `TRIGGER_ALARMS` or `ALARM_REGIONS`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {position}{}: {problem}", quoted(.entry))]
pub struct PolicyError {
    /// The environment variable; not repeated in the text.
    pub setting: &'static str,
    /// Which entry of the list, counted from 1.
    pub position: usize,
    /// The entry.
    pub entry: String,
    /// What is wrong with it.
    pub problem: EntryProblem,
}

/// What is wrong with one entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryProblem {
    /// Nothing between two commas.
    #[error("is empty; entries are separated by one comma")]
    Empty,
    /// Longer than an alarm's name can be.
    #[error("is longer than the {MAX_GLOB} characters of an alarm's name, so it can never match")]
    TooLong,
    /// No `=` in an entry of `ALARM_REGIONS`.
    #[error("is not of the form glob=region, such as checkout-*=us-east-1")]
    NoRegion,
    /// No Region code after the `=`.
    #[error("{} is not a Region code such as eu-west-1", Excerpt(.0))]
    Region(String),
    /// A Region in which there is no member.
    #[error("{region} is not a member's Region; those are {members}")]
    NotMember {
        /// The Region given.
        region: Region,
        /// The members' Regions.
        members: String,
    },
    /// The same glob twice: the second could never be reached.
    #[error("the same glob stands further left already")]
    Repeated,
}

/// ` "entry"`, or nothing for an empty one.
fn quoted(entry: &str) -> String {
    if entry.is_empty() {
        String::new()
    } else {
        format!(" {}", Excerpt(entry))
    }
}

impl TriggerPolicy {
    /// The policy of the two settings; a blank setting counts as absent.
    ///
    /// Without `TRIGGER_ALARMS` the stack's own alarms ([`OWN_ALARMS`]) and the names in
    /// `ALARM_REGIONS` may trigger; with it only what it lists.
    ///
    /// # Errors
    /// [`PolicyError`] names the setting, the entry and what is wrong with it.
    pub fn from_settings(
        trigger_alarms: Option<&str>,
        alarm_regions: Option<&str>,
        members: &Members,
    ) -> Result<Self, PolicyError> {
        let regions = entries("ALARM_REGIONS", alarm_regions, |entry, before| {
            assignment(entry, before, members)
        })?;
        let mut triggers = entries("TRIGGER_ALARMS", trigger_alarms, |entry, _| glob(entry))?;
        if triggers.is_empty() {
            triggers.push(WildMatch::new(OWN_ALARMS));
            triggers.extend(regions.iter().map(|(glob, _)| glob.clone()));
        }
        Ok(Self { triggers, regions })
    }

    /// Whether this alarm may trigger.
    #[must_use]
    pub fn admits(&self, transition: &AlarmTransition) -> Admission {
        if transition.watches_replication() {
            Admission::ReplicationMetric
        } else if self.lists(&transition.name) {
            Admission::MayTrigger
        } else {
            Admission::NotListed
        }
    }

    /// Whether an alarm of this name may trigger, whatever it watches.
    #[must_use]
    pub fn lists(&self, alarm_name: &str) -> bool {
        self.triggers.iter().any(|glob| glob.matches(alarm_name))
    }

    /// The Region that `ALARM_REGIONS` assigns to an alarm of this name: the leftmost match counts.
    #[must_use]
    pub fn assigned_region(&self, alarm_name: &str) -> Option<&Region> {
        self.regions
            .iter()
            .find(|(glob, _)| glob.matches(alarm_name))
            .map(|(_, region)| region)
    }

    /// The globs that may trigger, as text: for answers and for finding alarms already in ALARM.
    pub fn trigger_globs(&self) -> impl Iterator<Item = String> {
        self.triggers.iter().map(WildMatch::pattern)
    }
}

/// Reads a comma-separated list, giving every entry and those read before to `read`.
fn entries<T>(
    setting: &'static str,
    text: Option<&str>,
    read: impl Fn(&str, &[T]) -> Result<T, EntryProblem>,
) -> Result<Vec<T>, PolicyError> {
    let mut list = Vec::new();
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(list);
    };
    for (index, entry) in text.split(',').map(str::trim).enumerate() {
        let value = read(entry, &list).map_err(|problem| PolicyError {
            setting,
            position: index.saturating_add(1),
            entry: entry.to_owned(),
            problem,
        })?;
        list.push(value);
    }
    Ok(list)
}

fn glob(text: &str) -> Result<WildMatch, EntryProblem> {
    match text.chars().count() {
        0 => Err(EntryProblem::Empty),
        1..=MAX_GLOB => Ok(WildMatch::new(text)),
        _ => Err(EntryProblem::TooLong),
    }
}

/// One `glob=region`. A Region has no `=`, an alarm's name may: the last one separates.
fn assignment(
    entry: &str,
    before: &[(WildMatch, Region)],
    members: &Members,
) -> Result<(WildMatch, Region), EntryProblem> {
    if entry.is_empty() {
        return Err(EntryProblem::Empty);
    }
    let (name, region) = entry.rsplit_once('=').ok_or(EntryProblem::NoRegion)?;
    if name.trim().is_empty() {
        return Err(EntryProblem::NoRegion);
    }
    let glob = glob(name.trim())?;
    let region: Region = region
        .trim()
        .parse()
        .map_err(|_| EntryProblem::Region(region.trim().to_owned()))?;
    if members.in_region(&region).is_none() {
        let regions: BTreeSet<&str> = members.regions().map(Region::as_str).collect();
        return Err(EntryProblem::NotMember {
            region,
            members: regions.into_iter().collect::<Vec<_>>().join(", "),
        });
    }
    if before.iter().any(|(earlier, _)| *earlier == glob) {
        return Err(EntryProblem::Repeated);
    }
    Ok((glob, region))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(triggers: &str, regions: &str) -> Result<TriggerPolicy, String> {
        let members = "app-use1@us-east-1,app-euw1@eu-west-1".parse().unwrap();
        TriggerPolicy::from_settings(Some(triggers), Some(regions), &members)
            .map_err(|error| format!("{}: {error}", error.setting))
    }

    #[test]
    fn without_globs_own_alarms_and_assigned_ones_trigger() {
        let policy = policy(" ", "checkout-*=us-east-1").unwrap();
        assert!(policy.lists("mrap-sentinel-member-bad-us-east-1"));
        assert!(policy.lists("checkout-down"));
        assert!(!policy.lists("billing"));
    }

    #[test]
    fn globs_replace_the_default() {
        let policy = policy("checkout-*, ops-?", "billing=us-east-1").unwrap();
        for (name, expected) in [
            ("checkout-", true),
            ("ops-1", true),
            ("ops-12", false),
            ("Checkout-down", false),
            ("my-checkout-down", false),
            ("billing", false),
            ("mrap-sentinel-x", false),
        ] {
            assert_eq!(policy.lists(name), expected, "{name}");
        }
    }

    #[test]
    fn the_leftmost_assignment_counts() {
        let policy = policy("", "a-b=eu-west-1,a-*=us-east-1, k=v = eu-west-1 ").unwrap();
        let region = |name| policy.assigned_region(name).map(Region::as_str);
        assert_eq!(region("a-b"), Some("eu-west-1"));
        assert_eq!(region("a-c"), Some("us-east-1"));
        assert_eq!(region("k=v"), Some("eu-west-1"));
        assert_eq!(region("k"), None);
    }

    #[test]
    fn wrong_settings_are_named() {
        let long = "x".repeat(256);
        for (triggers, regions, expected) in [
            (
                "a,,b",
                "",
                "TRIGGER_ALARMS: entry 2: is empty; entries are separated by one comma",
            ),
            (
                "a,",
                "",
                "TRIGGER_ALARMS: entry 2: is empty; entries are separated by one comma",
            ),
            (
                "",
                "a=us-east-1,b",
                "ALARM_REGIONS: entry 2 \"b\": is not of the form glob=region, such as checkout-*=us-east-1",
            ),
            (
                "",
                "=us-east-1",
                "ALARM_REGIONS: entry 1 \"=us-east-1\": is not of the form glob=region, such as checkout-*=us-east-1",
            ),
            (
                "",
                "a=Ireland",
                "ALARM_REGIONS: entry 1 \"a=Ireland\": \"Ireland\" is not a Region code such as eu-west-1",
            ),
            (
                "",
                "a=eu-west-2",
                "ALARM_REGIONS: entry 1 \"a=eu-west-2\": eu-west-2 is not a member's Region; those are eu-west-1, us-east-1",
            ),
            (
                "",
                "a=us-east-1,a=eu-west-1",
                "ALARM_REGIONS: entry 2 \"a=eu-west-1\": the same glob stands further left already",
            ),
        ] {
            assert_eq!(policy(triggers, regions).unwrap_err(), expected);
        }
        let error = policy(&long, "").unwrap_err();
        assert!(
            error.contains("can never match") && error.len() < 300,
            "{error}"
        );
    }
}
