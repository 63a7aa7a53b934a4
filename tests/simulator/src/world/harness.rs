//! What the harness does and sees: trouble, people at the console, the truth.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::World;
use super::events::Event;
use crate::SimTime;
use crate::cloudwatch::{AlarmConfig, AlarmState, Delivery, MetricName, Resolution};
use crate::config::{BucketSettings, Encryption, ReplicationRule, Versioning};
use crate::faults::{Fault, FaultId, Outage, Service};
use crate::s3::{Author, KeyState};
use crate::truth::{
    Actor, DownInterval, ObjectVersion, Published, Reason, ReplicationFailure, Route, RouteChange,
    Write,
};

/// Trouble.
impl World {
    /// Installs a fault. Of several that hit a request the oldest counts; an outage comes first.
    pub fn add_fault(&mut self, fault: Fault) -> FaultId {
        self.faults_made += 1;
        self.faults.insert(self.faults_made, fault);
        FaultId(self.faults_made)
    }

    /// Takes a fault away; false if it is not there.
    pub fn remove_fault(&mut self, id: FaultId) -> bool {
        self.faults.remove(&id.0).is_some()
    }

    /// Takes every fault away and ends every outage now.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
        let mut regions: Vec<String> = self.outages.iter().map(|o| o.region.clone()).collect();
        regions.dedup();
        for region in regions {
            self.region_up(&region);
        }
    }

    /// Plans an outage of a Region. Overlapping ones add up.
    pub fn region_down(&mut self, outage: Outage) {
        if let Some(until) = outage.until {
            self.plan(until, Event::OutageEnds);
        }
        self.outages.push(outage);
    }

    /// Ends every outage of a Region now, planned ones included.
    pub fn region_up(&mut self, region: &str) {
        let now = self.now;
        self.outages
            .retain(|outage| outage.region != region || outage.from <= now);
        for outage in &mut self.outages {
            if outage.region == region && outage.is_on(now) {
                outage.until = Some(now);
            }
        }
        self.resume();
    }

    /// Whether S3 of a Region is up.
    #[must_use]
    pub fn is_region_up(&self, region: &str) -> bool {
        self.is_up(region, Service::S3)
    }

    /// Every outage of S3 so far and planned.
    #[must_use]
    pub fn outages(&self) -> Vec<DownInterval> {
        let of_s3 = self
            .outages
            .iter()
            .filter(|o| o.services.contains(&Service::S3));
        of_s3
            .map(|outage| DownInterval {
                region: outage.region.clone(),
                from: outage.from,
                until: outage.until,
            })
            .collect()
    }
}

/// MRAP routes.
impl World {
    /// The submitted routes; empty for an unknown alias.
    #[must_use]
    pub fn routes(&self, alias: &str) -> Vec<Route> {
        self.mraps.routes(alias).to_vec()
    }

    /// The routes that new connections from a location follow now.
    #[must_use]
    pub fn effective_routes(&self, alias: &str, location: &str) -> Vec<Route> {
        self.mraps.effective(alias, location, self.now).to_vec()
    }

    /// Every change, the start included.
    #[must_use]
    pub fn route_history(&self, alias: &str) -> &[RouteChange] {
        self.mraps.history(alias)
    }

    /// Changes dials as a person at the console would. Buckets that are not named stay.
    ///
    /// # Panics
    /// If the alias or a bucket is unknown, or if no member stays active.
    pub fn set_routes_as_person(&mut self, alias: &str, dials: &[(&str, u8)]) {
        let mut after = self.routes(alias);
        for (bucket, dial) in dials {
            let route = after.iter_mut().find(|route| route.bucket == *bucket);
            route.expect("a bucket of a known MRAP").dial = *dial;
        }
        let active = after.iter().any(|route| route.dial > 0);
        assert!(active, "at least one member must stay active");
        let rng = &mut self.dice.routes;
        self.mraps
            .change(alias, after, Actor::Person, self.now, rng);
    }
}

/// S3.
impl World {
    /// The current version of an object: not if it is a delete marker.
    #[must_use]
    pub fn object(&self, bucket: &str, key: &str) -> Option<&ObjectVersion> {
        self.s3.object(bucket, key)
    }

    /// All versions of an object, newest first.
    #[must_use]
    pub fn versions(&self, bucket: &str, key: &str) -> Vec<&ObjectVersion> {
        self.s3.versions(bucket, key)
    }

    /// All keys of a bucket, those with only old versions included.
    #[must_use]
    pub fn keys(&self, bucket: &str) -> Vec<&str> {
        self.s3.keys(bucket)
    }

    /// Every applied write of clients, replicas aside.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        self.s3.writes()
    }

    /// Versions that wait for replication from one bucket to another.
    #[must_use]
    pub fn pending_replication(&self, source: &str, destination: &str) -> u64 {
        self.replication.pending_between(source, destination)
    }

    /// Every time that S3 gave a transfer up, in order.
    #[must_use]
    pub fn replication_failures(&self) -> &[ReplicationFailure] {
        &self.replication_failures
    }

    /// Why S3 would give up a transfer from one bucket to another at this moment: denied, no such
    /// destination, its versioning or its key.
    #[must_use]
    pub fn replication_refusal(&self, source: &str, destination: &str) -> Option<Reason> {
        if let Some(reason) = self.replication.denial_between(source, destination) {
            return Some(reason.clone());
        }
        let reason = match self.s3.bucket(destination) {
            None => Some("DstBucketNotFound"),
            Some(bucket) if bucket.versioning != Versioning::Enabled => {
                Some("DstBucketUnversioned")
            }
            Some(_) => self.s3.destination_key_refusal(source, destination),
        };
        reason.map(Reason::Borrowed)
    }

    /// Writes an object as somebody at the console would; returns the version id.
    ///
    /// # Panics
    /// If the bucket does not exist.
    pub fn put_object_as_person(
        &mut self,
        bucket: &str,
        key: &str,
        body: impl Into<Bytes>,
    ) -> String {
        let author = self.person();
        let id = self.s3.put_plain(author, bucket, key, body.into(), None);
        self.settle_plans();
        id.to_string()
    }

    /// Deletes a version for good, as somebody at the console would: Batch Replication does not
    /// bring it back there. False if there is no such version.
    pub fn delete_version_as_person(&mut self, bucket: &str, key: &str, version_id: &str) -> bool {
        let author = self.person();
        let deleted = self.s3.delete_version(author, bucket, key, version_id);
        deleted.is_some()
    }

    /// Deletes a bucket with everything in it.
    pub fn delete_bucket_as_person(&mut self, bucket: &str) {
        self.s3.delete_bucket(bucket);
    }

    /// Disables a KMS key: what needs it is refused, and replicas under it fail.
    pub fn disable_kms_key(&mut self, key: &str) {
        self.s3.set_key_state(key, Some(KeyState::Disabled));
    }

    /// Deletes a KMS key.
    pub fn delete_kms_key(&mut self, key: &str) {
        self.s3.set_key_state(key, Some(KeyState::Deleted));
    }

    /// Lets a KMS key work again.
    pub fn enable_kms_key(&mut self, key: &str) {
        self.s3.set_key_state(key, None);
    }

    /// Deletes every version of every key with this prefix, as an emptied bucket would look.
    pub fn purge_as_person(&mut self, bucket: &str, prefix: &str) {
        self.s3.purge(bucket, prefix);
    }

    /// Writes a delete marker, as somebody at the console would.
    pub fn delete_object_as_person(&mut self, bucket: &str, key: &str) {
        let author = self.person();
        self.s3.delete_current(author, bucket, key);
        self.settle_plans();
    }

    fn person(&self) -> Author<'static> {
        Author {
            at: self.now,
            client: "person",
            seq: None,
            through_mrap: false,
        }
    }

    /// Whether a bucket exists.
    #[must_use]
    pub fn has_bucket(&self, bucket: &str) -> bool {
        self.s3.bucket(bucket).is_some()
    }

    /// Publishes how much every bucket holds, as `CloudWatch` shows once a day.
    pub fn publish_storage_metrics(&mut self) {
        self.publish_storage();
    }

    /// Changes a bucket's versioning.
    ///
    /// # Panics
    /// If the bucket does not exist.
    pub fn set_versioning(&mut self, bucket: &str, versioning: Versioning) {
        assert!(self.s3.bucket(bucket).is_some(), "no bucket {bucket}");
        self.s3.set_versioning(bucket, versioning);
    }

    /// Adds a replication rule, or replaces the one with the same id and source.
    ///
    /// # Panics
    /// If the source bucket does not exist.
    pub fn set_replication_rule(&mut self, rule: ReplicationRule) {
        let source = self
            .s3
            .bucket_mut(&rule.source)
            .expect("the source of a rule");
        self.lanes_made += 1;
        source.set_rule(rule, self.lanes_made);
    }

    /// Takes a replication rule away, as somebody at the console would.
    ///
    /// # Panics
    /// If there is no such rule.
    pub fn remove_replication_rule(&mut self, source: &str, id: &str) {
        let bucket = self.s3.bucket_mut(source);
        let removed = bucket.is_some_and(|bucket| bucket.remove_rule(id));
        assert!(removed, "no rule {id} of {source}");
    }

    /// The replication rules of a bucket.
    #[must_use]
    pub fn replication_rules(&self, source: &str) -> Vec<ReplicationRule> {
        let bucket = self.s3.bucket(source).into_iter();
        bucket.flat_map(|bucket| bucket.rules().cloned()).collect()
    }

    /// Changes what new objects of a bucket are encrypted with by default.
    pub fn set_encryption(&mut self, bucket: &str, encryption: Encryption) {
        self.s3.set_encryption(bucket, encryption);
    }

    /// What else a bucket is configured like, to be changed as somebody at the console would.
    ///
    /// # Panics
    /// If the bucket does not exist.
    pub fn bucket_settings(&mut self, bucket: &str) -> &mut BucketSettings {
        let found = self.s3.bucket_mut(bucket);
        &mut found.expect("a bucket before its settings").settings
    }

    /// Replaces the subscriptions of a topic: protocol, endpoint, and whether it was confirmed.
    pub fn set_subscriptions(&mut self, topic: &str, subscriptions: &[(&str, &str, bool)]) {
        self.topics.subscribe(topic, subscriptions);
    }

    /// Sets the delay in milliseconds of replication between two buckets for writes from now on.
    pub fn set_replication_delay(
        &mut self,
        source: &str,
        destination: &str,
        delay: RangeInclusive<u64>,
    ) {
        self.replication.set_delay(source, destination, delay);
    }

    /// The same for keys with this prefix alone, which goes before the delay of the pair.
    pub fn set_replication_delay_under(
        &mut self,
        source: &str,
        destination: &str,
        prefix: &str,
        delay: RangeInclusive<u64>,
    ) {
        self.replication
            .set_delay_under(source, destination, prefix, delay);
    }

    /// Makes replication into a destination fail with this reason (or work again with `None`), as
    /// after an edit of its policy.
    pub fn deny_replication(&mut self, source: &str, destination: &str, reason: Option<&str>) {
        self.replication.deny(source, destination, reason);
    }
}

/// SNS and CloudWatch.
impl World {
    /// Everything published so far.
    #[must_use]
    pub fn published(&self) -> &[Published] {
        self.topics.published()
    }

    /// Puts a high-resolution data point at the present moment, as `PutMetricData` with a
    /// `StorageResolution` of 1 would: alarms of every period see it.
    pub fn put_metric(&mut self, region: &str, metric: &MetricName, value: f64) {
        self.cloudwatch
            .put_metric(region, metric, Resolution::TenSeconds, self.now, value);
    }

    /// Puts a data point under a time of its own, kept by the second or by the minute: logs become
    /// metrics later than they were written.
    pub fn put_metric_at(
        &mut self,
        region: &str,
        metric: &MetricName,
        (at, fine): (SimTime, bool),
        value: f64,
    ) {
        let resolution = if fine {
            Resolution::TenSeconds
        } else {
            Resolution::Minute
        };
        self.cloudwatch
            .put_metric(region, metric, resolution, at, value);
    }

    /// Adds an alarm; it starts in `INSUFFICIENT_DATA`.
    ///
    /// # Panics
    /// If its rule cannot be read or its period is none that `CloudWatch` takes.
    pub fn put_alarm(&mut self, alarm: AlarmConfig) {
        self.cloudwatch.put_alarm(alarm, self.now);
    }

    /// Forces an alarm's state now, as `SetAlarmState` does; the next evaluation may change it back.
    ///
    /// # Panics
    /// If there is no such alarm.
    pub fn set_alarm_state(&mut self, region: &str, name: &str, state: AlarmState, reason: &str) {
        let verdict = (state, reason, None);
        let rng = &mut self.dice.alarms;
        let known = self
            .cloudwatch
            .set_state(region, name, verdict, self.now, rng);
        assert!(known, "no alarm {name} in {region}");
        self.settle_plans();
    }

    /// The state of an alarm.
    #[must_use]
    pub fn alarm_state(&self, region: &str, name: &str) -> Option<AlarmState> {
        self.cloudwatch.state(region, name)
    }

    /// Mutes an alarm's actions for a window; its events are sent with `muteDetail`.
    pub fn mute_alarm(&mut self, region: &str, name: &str, from: SimTime, until: SimTime) {
        self.cloudwatch.mute(region, name, from, until);
    }

    /// Takes the deliveries that have arrived by now, in order of arrival.
    pub fn take_deliveries(&mut self) -> Vec<Delivery> {
        self.cloudwatch.take_deliveries(self.now)
    }

    /// Takes the first delivery that has arrived by now.
    pub(crate) fn take_delivery(&mut self) -> Option<Delivery> {
        self.cloudwatch.take_delivery(self.now)
    }
}
