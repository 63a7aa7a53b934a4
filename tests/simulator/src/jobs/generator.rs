//! Generated manifests: which versions of a bucket match a filter.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::request::{bad, boolean, bucket_of, text};
use crate::config::Encryption;
use crate::truth::{ObjectVersion, ReplicationState};
use crate::wire::ServiceError;
use crate::wire::xml::Element;

/// A manifest generator.
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    pub(crate) source: String,
    pub(crate) output: Option<Output>,
    filter: Filter,
}

/// Where the generated manifest goes.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) bucket: String,
    pub(crate) prefix: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct Filter {
    created_after: Option<Timestamp>,
    created_before: Option<Timestamp>,
    /// Any if empty.
    states: BTreeSet<Status>,
    prefix: Option<String>,
    suffix: Option<String>,
    substring: Option<String>,
    larger_than: Option<u64>,
    smaller_than: Option<u64>,
    /// Any if empty.
    storage_classes: Vec<String>,
    encryption: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Completed,
    Failed,
    Replica,
    None,
}

impl Generator {
    pub(super) fn read(element: &Element, account: &str) -> Result<Self, ServiceError> {
        let generator = element
            .child("S3JobManifestGenerator")
            .ok_or_else(|| bad("ManifestGenerator must have a S3JobManifestGenerator"))?;
        if generator
            .text_of("ExpectedBucketOwner")
            .is_some_and(|owner| owner != account)
        {
            return Err(bad("The source bucket has another owner than expected"));
        }
        let wants_output = generator
            .text_of("EnableManifestOutput")
            .ok_or_else(|| bad("EnableManifestOutput is required"))?;
        let wants_output = boolean("EnableManifestOutput", wants_output)?;
        let output = match generator.child("ManifestOutputLocation") {
            Some(location) => Some(output(location)?),
            None if wants_output => return Err(bad("ManifestOutputLocation is required")),
            None => None,
        };
        let filter = match generator.child("Filter") {
            Some(filter) => Filter::read(filter)?,
            None => return Err(bad("A replication job needs EligibleForReplication")),
        };
        Ok(Self {
            source: bucket_of(&text(generator, "SourceBucket", 1..=128)?)?,
            output: output.filter(|_| wants_output),
            filter,
        })
    }

    /// Whether a version that a rule applies to belongs into the manifest.
    pub(crate) fn wants(&self, key: &str, version: &ObjectVersion, created: Timestamp) -> bool {
        self.filter.covers(key, version, created)
    }
}

fn output(location: &Element) -> Result<Output, ServiceError> {
    if location.text_of("ManifestFormat") != Some("S3InventoryReport_CSV_20211130") {
        return Err(bad("ManifestFormat must be S3InventoryReport_CSV_20211130"));
    }
    let prefix = match location.text_of("ManifestPrefix") {
        Some(_) => Some(text(location, "ManifestPrefix", 1..=512)?),
        None => None,
    };
    Ok(Output {
        bucket: bucket_of(&text(location, "Bucket", 1..=128)?)?,
        prefix,
    })
}

impl Filter {
    fn read(element: &Element) -> Result<Self, ServiceError> {
        if element.text_of("EligibleForReplication") != Some("true") {
            return Err(bad("A replication job needs EligibleForReplication"));
        }
        let mut filter = Self {
            created_after: moment(element, "CreatedAfter")?,
            created_before: moment(element, "CreatedBefore")?,
            larger_than: number(element, "ObjectSizeGreaterThanBytes")?,
            smaller_than: number(element, "ObjectSizeLessThanBytes")?,
            ..Self::default()
        };
        for status in children(element, "ObjectReplicationStatuses") {
            filter.states.insert(match status.text.trim() {
                "COMPLETED" => Status::Completed,
                "FAILED" => Status::Failed,
                "REPLICA" => Status::Replica,
                "NONE" => Status::None,
                _ => return Err(bad("ObjectReplicationStatuses has an unknown status")),
            });
        }
        for class in children(element, "MatchAnyStorageClass") {
            filter.storage_classes.push(class.text.trim().to_owned());
        }
        if let Some(names) = element.child("KeyNameConstraint") {
            filter.prefix = only(names, "MatchAnyPrefix")?;
            filter.suffix = only(names, "MatchAnySuffix")?;
            filter.substring = only(names, "MatchAnySubstring")?;
        }
        let encryption = children(element, "MatchAnyObjectEncryption");
        filter.encryption = match encryption {
            [] => None,
            [one] => one.children.first().map(|kind| kind.name.clone()),
            _ => return Err(bad("MatchAnyObjectEncryption takes one encryption")),
        };
        Ok(filter)
    }

    fn covers(&self, key: &str, version: &ObjectVersion, created: Timestamp) -> bool {
        let status = match version.replication() {
            Some(ReplicationState::Completed) => Some(Status::Completed),
            Some(ReplicationState::Failed) => Some(Status::Failed),
            Some(ReplicationState::Replica) => Some(Status::Replica),
            // There is no filter for what is pending.
            Some(ReplicationState::Pending) => None,
            None => Some(Status::None),
        };
        let size = version.body.len() as u64;
        let encryption = match version.properties.encryption {
            Encryption::SseS3 => "SSE-S3",
            Encryption::SseKms { .. } => "SSE-KMS",
        };
        self.created_after.is_none_or(|after| created > after)
            && self.created_before.is_none_or(|before| created < before)
            && (self.states.is_empty() || status.is_some_and(|s| self.states.contains(&s)))
            && self
                .prefix
                .as_ref()
                .is_none_or(|p| key.starts_with(p.as_str()))
            && self
                .suffix
                .as_ref()
                .is_none_or(|s| key.ends_with(s.as_str()))
            && self
                .substring
                .as_ref()
                .is_none_or(|s| key.contains(s.as_str()))
            && self.larger_than.is_none_or(|least| size > least)
            && self.smaller_than.is_none_or(|most| size < most)
            && (self.storage_classes.is_empty()
                || self.storage_classes.iter().any(|c| c == "STANDARD"))
            && self
                .encryption
                .as_ref()
                .is_none_or(|kind| kind == encryption)
    }
}

fn children<'a>(element: &'a Element, name: &str) -> &'a [Element] {
    element.child(name).map_or(&[][..], |list| &list.children)
}

/// The one text of a list that takes one.
fn only(element: &Element, name: &str) -> Result<Option<String>, ServiceError> {
    match children(element, name) {
        [] => Ok(None),
        [one] if (1..=1024).contains(&one.text.len()) => Ok(Some(one.text.clone())),
        _ => Err(bad(&format!(
            "{name} takes one text of 1 to 1024 characters"
        ))),
    }
}

fn moment(element: &Element, name: &str) -> Result<Option<Timestamp>, ServiceError> {
    let text = element.text_of(name);
    let moment = text.map(str::parse).transpose();
    moment.map_err(|_| bad(&format!("{name} is not a time")))
}

fn number(element: &Element, name: &str) -> Result<Option<u64>, ServiceError> {
    let text = element.text_of(name);
    let number = text.map(str::parse).transpose();
    number.map_err(|_| bad(&format!("{name} is not a number")))
}
