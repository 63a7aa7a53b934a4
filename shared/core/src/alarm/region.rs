//! The Region that an alarm speaks for.

use std::collections::BTreeSet;
use std::fmt;

use super::{AlarmKind, AlarmTransition, TriggerPolicy};
use crate::excerpt::listing;
use crate::names::{AlarmArn, Members, Region};

/// Nothing tells which Region an alarm speaks for, or too much does.
///
/// The text names `ALARM_REGIONS` and gives the entry to add.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("alarm {name:?} may trigger, but the Region it speaks for cannot be told: {why}. {remedy}")]
pub struct RegionUnknown {
    /// The alarm's name.
    pub name: String,
    /// Why it cannot be told.
    pub why: WhyUnknown,
    /// The entry to add to `ALARM_REGIONS`.
    pub remedy: String,
}

/// Why an alarm's Region cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyUnknown {
    /// Neither `ALARM_REGIONS` nor a dimension names a member.
    NoDimension,
    /// The query of an alarm over several time series carries no dimensions; the transitions of
    /// its contributors, which come separately, do.
    NoContributor,
    /// The dimensions name several members.
    Several(BTreeSet<Region>),
    /// A composite's payload lists no child in ALARM.
    NoChildren,
    /// Nothing is known yet of these triggering children of a composite: look them up, try again.
    Children {
        /// Those of which nothing is known.
        unknown: BTreeSet<AlarmArn>,
        /// The Regions that the other children speak for.
        told: BTreeSet<Region>,
    },
    /// Every triggering child is known, and none of them speaks for a member.
    ChildrenSpeakForNone,
}

impl fmt::Display for WhyUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDimension => f.write_str(
                "it has neither a dimension Region that is a member's Region nor a dimension \
                 BucketName that is a member's bucket",
            ),
            Self::NoContributor => f.write_str(
                "it is an alarm over several time series, and only the transitions of its \
                 contributors (detail type \"CloudWatch Alarm Contributor State Change\") carry \
                 dimensions",
            ),
            Self::Several(regions) => {
                write!(
                    f,
                    "its dimensions name several members ({})",
                    listing(regions)
                )
            }
            Self::NoChildren => f.write_str("it is a composite that lists no child in ALARM"),
            Self::Children { unknown, .. } => write!(
                f,
                "it is a composite, and nothing is known of its triggering children {}",
                listing(unknown)
            ),
            Self::ChildrenSpeakForNone => f.write_str(
                "it is a composite, and none of its triggering children speaks for a member",
            ),
        }
    }
}

impl RegionUnknown {
    fn new(name: &str, why: WhyUnknown, members: &Members) -> Self {
        let regions: Vec<&str> = members.regions().map(Region::as_str).collect();
        Self {
            name: name.to_owned(),
            why,
            remedy: format!(
                "Add {}={} to ALARM_REGIONS (naming whichever it speaks for of {})",
                glob_for(name),
                members.home().region,
                regions.join(", ")
            ),
        }
    }

    /// The triggering children of a composite of which nothing is known yet.
    pub fn unknown_children(&self) -> impl Iterator<Item = &AlarmArn> {
        match &self.why {
            WhyUnknown::Children { unknown, .. } => Some(unknown),
            _ => None,
        }
        .into_iter()
        .flatten()
    }
}

/// A glob that matches this name and survives the setting's commas and trimming.
fn glob_for(name: &str) -> String {
    let last = name.chars().count().saturating_sub(1);
    name.chars()
        .enumerate()
        .map(|(index, c)| {
            let is_trimmed = c.is_whitespace() && (index == 0 || index == last);
            if c == ',' || c.is_control() || is_trimmed {
                '?'
            } else {
                c
            }
        })
        .collect()
}

/// The Regions an alarm speaks for: one, or for a composite one or more.
///
/// By `ALARM_REGIONS` on its name; else, for a composite, by its children in ALARM, each by
/// `ALARM_REGIONS` on its own name or by `known`; else by dimensions (see
/// [`regions_of_dimensions`]), of which a contributor's attributes are some.
///
/// `known` gives what was learnt elsewhere of a child: `None` if nothing was, an empty set if it
/// is known to speak for no member.
///
/// # Errors
/// [`RegionUnknown`] if nothing tells, if the dimensions name several members, or if a triggering
/// child is not known; the error lists those children, so that they can be looked up.
pub fn regions_of(
    transition: &AlarmTransition,
    policy: &TriggerPolicy,
    members: &Members,
    known: &dyn Fn(&AlarmArn) -> Option<BTreeSet<Region>>,
) -> Result<BTreeSet<Region>, RegionUnknown> {
    if transition.kind == AlarmKind::Composite {
        return regions_of_composite(transition, policy, members, known);
    }
    let name = &transition.name;
    regions_of_dimensions(name, transition.dimensions(), policy, members)?
        .map(|region| BTreeSet::from([region]))
        .ok_or_else(|| {
            let is_query = matches!(
                transition.kind,
                AlarmKind::MetricsInsights | AlarmKind::PromQl
            );
            let why = if is_query && transition.contributor.is_none() {
                WhyUnknown::NoContributor
            } else {
                WhyUnknown::NoDimension
            };
            RegionUnknown::new(name, why, members)
        })
}

fn regions_of_composite(
    transition: &AlarmTransition,
    policy: &TriggerPolicy,
    members: &Members,
    known: &dyn Fn(&AlarmArn) -> Option<BTreeSet<Region>>,
) -> Result<BTreeSet<Region>, RegionUnknown> {
    if let Some(region) = policy.assigned_region(&transition.name) {
        return Ok(BTreeSet::from([region.clone()]));
    }
    let fail = |why| Err(RegionUnknown::new(&transition.name, why, members));
    let mut told = BTreeSet::new();
    let mut unknown = BTreeSet::new();
    let mut children = transition
        .children
        .iter()
        .filter(|child| child.is_triggering())
        .peekable();
    if children.peek().is_none() {
        return fail(WhyUnknown::NoChildren);
    }
    for child in children {
        if let Some(region) = policy.assigned_region(child.arn.name()) {
            told.insert(region.clone());
        } else if let Some(regions) = known(&child.arn) {
            told.extend(regions);
        } else {
            unknown.insert(child.arn.clone());
        }
    }
    if !unknown.is_empty() {
        return fail(WhyUnknown::Children { unknown, told });
    }
    if told.is_empty() {
        return fail(WhyUnknown::ChildrenSpeakForNone);
    }
    Ok(told)
}

/// The one Region that an alarm of this name over these dimensions speaks for, if any.
///
/// By `ALARM_REGIONS` on its name; else by a dimension `Region` that is a member's Region; else by
/// a dimension `BucketName` that is a member's bucket. Serves described alarms too, such as the
/// children of a composite.
///
/// # Errors
/// [`RegionUnknown`] if the dimensions name several members.
pub fn regions_of_dimensions<'a>(
    name: &str,
    dimensions: impl IntoIterator<Item = (&'a str, &'a str)>,
    policy: &TriggerPolicy,
    members: &Members,
) -> Result<Option<Region>, RegionUnknown> {
    if let Some(region) = policy.assigned_region(name) {
        return Ok(Some(region.clone()));
    }
    let mut by_region = BTreeSet::new();
    let mut by_bucket = BTreeSet::new();
    for (key, value) in dimensions {
        match key {
            "Region" => by_region.extend(members.regions().find(|region| region.as_str() == value)),
            "BucketName" => {
                by_bucket.extend(members.with_bucket(value).map(|member| &member.region));
            }
            _ => {}
        }
    }
    let named = if by_region.is_empty() {
        by_bucket
    } else {
        by_region
    };
    if named.len() > 1 {
        let why = WhyUnknown::Several(named.into_iter().cloned().collect());
        return Err(RegionUnknown::new(name, why, members));
    }
    Ok(named.into_iter().next().cloned())
}
