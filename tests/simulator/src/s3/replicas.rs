//! Versions on their way to other buckets.

use std::sync::Arc;

use super::{Bucket, Chain, KeyState, S3};
use crate::SimTime;
use crate::config::{Encryption, ReplicationRule};
use crate::truth::{ObjectVersion, Properties, Transfer, Transfers};

/// Where replication goes from where, and by which rule.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Tells lanes apart: comparing names a million times takes long.
    pub(crate) number: u32,
    pub(crate) source: Arc<str>,
    pub(crate) destination: Arc<str>,
    pub(crate) rule: Arc<str>,
}

impl Lane {
    pub(super) fn of(rule: &ReplicationRule, number: u32) -> Self {
        Self {
            number,
            source: Arc::from(rule.source.as_str()),
            destination: Arc::from(rule.destination.as_str()),
            rule: Arc::from(rule.id.as_str()),
        }
    }
}

/// Who asked for a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A write, by live replication.
    Live,
    /// A Batch Operations job.
    Job,
}

/// A version on its way to another bucket. There may be millions: everything is shared.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) lane: Arc<Lane>,
    pub(crate) key: Arc<str>,
    pub(crate) version_id: Arc<str>,
    pub(crate) bytes: u64,
    pub(crate) requested: SimTime,
    pub(crate) cause: Cause,
}

impl Outgoing {
    pub(super) fn new(
        lane: &Arc<Lane>,
        key: &Arc<str>,
        version: &ObjectVersion,
        cause: Cause,
    ) -> Self {
        Self {
            lane: Arc::clone(lane),
            key: Arc::clone(key),
            version_id: Arc::clone(&version.version_id),
            bytes: version.body.len() as u64,
            requested: version.last_modified,
            cause,
        }
    }
}

/// What a job may do with a version of its manifest.
#[derive(Debug)]
pub(crate) enum Eligibility {
    /// Replicate it, by each of these rules.
    Lanes(Vec<Outgoing>),
    /// Nothing, for this reason.
    Refused(&'static str),
}

impl Bucket {
    /// The rules that apply to a version, at most one for each destination.
    pub(super) fn lanes<'a>(
        &'a self,
        key: &'a str,
        version: &'a ObjectVersion,
    ) -> impl Iterator<Item = &'a Arc<Lane>> {
        let applies = move |rule: &ReplicationRule| {
            rule.enabled
                && key.starts_with(&rule.prefix)
                && (!version.delete_marker || rule.delete_markers)
                && (version.properties.encryption == Encryption::SseS3
                    || rule.replica_kms_key.is_some())
        };
        let rules = self.rules.iter().enumerate();
        rules
            .filter(move |(place, rule)| {
                let earlier = self.rules[..*place].iter();
                let mut twins = earlier.filter(|r| r.lane.destination == rule.lane.destination);
                applies(&rule.config) && !twins.any(|twin| applies(&twin.config))
            })
            .map(|(_, rule)| &rule.lane)
    }
}

impl S3 {
    /// The version of a transfer; `None` if it is gone.
    pub(crate) fn source_version(&self, transfer: &Outgoing) -> Option<&ObjectVersion> {
        self.chain(&transfer.lane.source, &transfer.key)?
            .find(&transfer.version_id)
    }

    /// The version at its destination.
    pub(crate) fn replica(&self, transfer: &Outgoing) -> Option<&ObjectVersion> {
        self.chain(&transfer.lane.destination, &transfer.key)?
            .find(&transfer.version_id)
    }

    /// Why a version that is missing at its source is missing.
    pub(crate) fn missing_reason(&self, bucket: &str, key: &str) -> &'static str {
        match self.chain(bucket, key) {
            Some(chain) if !chain.versions.is_empty() => "SrcVersionNotFound",
            _ => "SrcKeyNotFound",
        }
    }

    /// Whether the destination once had this version and somebody deleted it for good.
    pub(crate) fn is_hard_deleted(&self, transfer: &Outgoing) -> bool {
        let version = (Arc::clone(&transfer.key), Arc::clone(&transfer.version_id));
        self.bucket(&transfer.lane.destination)
            .is_some_and(|bucket| bucket.hard_deleted.contains(&version))
    }

    /// A key and a version id as a bucket has them, to share.
    pub(crate) fn names(
        &self,
        bucket: &str,
        key: &str,
        version_id: &str,
    ) -> Option<(Arc<str>, Arc<str>)> {
        let (key, chain) = self.buckets.get(bucket)?.keys.get_key_value(key)?;
        let version = chain.find(version_id)?;
        Some((Arc::clone(key), Arc::clone(&version.version_id)))
    }

    /// The versions of a bucket that a rule applies to and that are wanted, by key, oldest first.
    pub(crate) fn eligible(
        &self,
        bucket: &str,
        wanted: impl Fn(&str, &ObjectVersion) -> bool,
    ) -> Vec<(Arc<str>, Arc<str>)> {
        let Some(bucket) = self.buckets.get(bucket) else {
            return Vec::new();
        };
        let versions = bucket
            .keys
            .iter()
            .flat_map(|(key, chain)| chain.versions.iter().map(move |version| (key, version)));
        versions
            .filter(|(key, version)| {
                bucket.lanes(key, version).next().is_some() && wanted(key, version)
            })
            .map(|(key, version)| (Arc::clone(key), Arc::clone(&version.version_id)))
            .collect()
    }

    /// Sends a version on its way.
    pub(crate) fn send(&mut self, transfer: Outgoing) {
        self.outgoing.push(transfer);
    }

    /// What a job can do with a version.
    pub(crate) fn eligibility(
        &self,
        bucket: &str,
        key: &str,
        version_id: &str,
        now: SimTime,
    ) -> Eligibility {
        let Some(state) = self.buckets.get(bucket) else {
            return Eligibility::Refused("SrcBucketNotFound");
        };
        if state.rules.is_empty() {
            return Eligibility::Refused("SrcBucketReplicationConfigMissing");
        }
        let found = state.keys.get_key_value(key);
        let found = found.and_then(|(key, chain)| Some((key, chain.find(version_id)?)));
        let Some((key, version)) = found else {
            return Eligibility::Refused(self.missing_reason(bucket, key));
        };
        let mut lanes: Vec<Outgoing> = Vec::new();
        for lane in state.lanes(key, version) {
            lanes.push(Outgoing {
                requested: now,
                ..Outgoing::new(lane, key, version, Cause::Job)
            });
        }
        if lanes.is_empty() {
            Eligibility::Refused("SrcObjectNotEligible")
        } else {
            Eligibility::Lanes(lanes)
        }
    }

    /// Copies a version to its destination, with the source's version id and time.
    pub(crate) fn arrive(&mut self, transfer: &Outgoing, at: SimTime) {
        let Some(version) = self.source_version(transfer) else {
            return;
        };
        let replica = ObjectVersion {
            visible_since: at,
            is_replica: true,
            transfers: Transfers::default(),
            properties: self.replica_properties(transfer, version),
            ..version.clone()
        };
        if let Some(bucket) = self.buckets.get_mut(&*transfer.lane.destination) {
            let key = Arc::clone(&transfer.key);
            let chain: &mut Chain = bucket.keys.entry(key).or_default();
            if chain.position(&replica.version_id).is_none() {
                chain.insert(replica);
            }
        }
        self.settle_transfer(transfer, Transfer::Completed { at });
    }

    /// A replica is encrypted as its source, under the key that the rule names.
    fn replica_properties(&self, transfer: &Outgoing, version: &ObjectVersion) -> Arc<Properties> {
        let key = match &version.properties.encryption {
            Encryption::SseS3 => None,
            Encryption::SseKms { .. } => self.replica_key(transfer),
        };
        match key {
            None => Arc::clone(&version.properties),
            Some(key) => Arc::new(Properties {
                encryption: Encryption::SseKms {
                    key: key.to_owned(),
                },
                ..(*version.properties).clone()
            }),
        }
    }

    /// The key that a transfer's rule names for replicas.
    pub(crate) fn replica_key(&self, transfer: &Outgoing) -> Option<&str> {
        let rule = self
            .bucket(&transfer.lane.source)?
            .rule(&transfer.lane.rule)?;
        rule.replica_kms_key.as_deref()
    }

    /// Why the keys that a transfer needs are in its way.
    pub(crate) fn key_refusal(&self, transfer: &Outgoing) -> Option<&'static str> {
        if self.no_key_is_broken() {
            return None;
        }
        let version = self.source_version(transfer)?;
        if version.properties.encryption == Encryption::SseS3 {
            return None;
        }
        if self.key_state(&version.properties.encryption).is_some() {
            return Some("SrcKmsKeyInvalidState");
        }
        let key = self.replica_key(transfer)?.to_owned();
        match self.key_state(&Encryption::SseKms { key })? {
            KeyState::Disabled => Some("DstKmsKeyInvalidState"),
            KeyState::Deleted => Some("DstKmsKeyNotFound"),
        }
    }

    /// Why a key keeps replicas under SSE-KMS out of a destination.
    pub(crate) fn destination_key_refusal(
        &self,
        source: &str,
        destination: &str,
    ) -> Option<&'static str> {
        let rules = &self.buckets.get(source)?.rules;
        let towards = rules
            .iter()
            .filter(|rule| rule.config.enabled && rule.config.destination == destination);
        let keys = towards.filter_map(|rule| rule.config.replica_kms_key.clone());
        let mut refusals = keys.filter_map(|key| {
            Some(match self.key_state(&Encryption::SseKms { key })? {
                KeyState::Disabled => "DstKmsKeyInvalidState",
                KeyState::Deleted => "DstKmsKeyNotFound",
            })
        });
        refusals.next()
    }

    /// Notes what became of a transfer at the source, and returns the version, if it is still there.
    pub(crate) fn settle_transfer(
        &mut self,
        transfer: &Outgoing,
        outcome: Transfer,
    ) -> Option<&ObjectVersion> {
        let bucket = self.buckets.get_mut(&*transfer.lane.source)?;
        let chain = bucket.keys.get_mut(&*transfer.key)?;
        let position = chain.position(&transfer.version_id)?;
        let version = &mut chain.versions[position];
        version.transfers.set(&transfer.lane.destination, outcome);
        Some(version)
    }
}
