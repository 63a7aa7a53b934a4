//! The state machine: everything that AWS is, at one virtual moment.

use std::ops::RangeInclusive;

use bytes::Bytes;
use serde_json::Value;

use crate::SimTime;
use crate::cloudwatch::{AlarmState, Delivery, MetricName};
use crate::config::{ReplicationRule, Versioning, WorldConfig};
use crate::faults::{Fault, FaultId, Outage};
use crate::log::{LogEntry, RequestLog};
use crate::truth::{DownInterval, ObjectVersion, Published, Route, RouteChange, Write};

/// AWS as one deterministic state machine. Reach it through
/// [`Simulator::with`](crate::Simulator::with), which moves it to the present first.
#[derive(Debug)]
pub struct World {
    config: WorldConfig,
    now: SimTime,
    log: RequestLog,
}

/// Time and record.
impl World {
    /// Builds a world at its epoch.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        Self {
            config,
            now: SimTime::ZERO,
            log: RequestLog::default(),
        }
    }

    /// The blueprint it was built from.
    #[must_use]
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// The moment that everything has happened up to.
    #[must_use]
    pub fn now(&self) -> SimTime {
        self.now
    }

    /// Lets everything happen that is due up to `now`, in order.
    pub fn advance(&mut self, now: SimTime) {
        self.now = self.now.max(now);
    }

    /// When the next thing happens by itself.
    #[must_use]
    pub fn next_event_at(&self) -> Option<SimTime> {
        todo!()
    }

    /// Every request so far.
    #[must_use]
    pub fn log(&self) -> &[LogEntry] {
        self.log.entries()
    }

    /// SHA-256 over the whole log: equal runs have equal hashes.
    #[must_use]
    pub fn log_hash(&self) -> String {
        self.log.hash()
    }

    /// A JSON picture of the world: routes, buckets, faults, outages, alarms, topics.
    #[must_use]
    pub fn dump(&self) -> Value {
        todo!()
    }
}

/// Trouble.
impl World {
    /// Installs a fault.
    pub fn add_fault(&mut self, fault: Fault) -> FaultId {
        let _ = fault;
        todo!()
    }

    /// Takes a fault away; false if it is not there.
    pub fn remove_fault(&mut self, id: FaultId) -> bool {
        let _ = id;
        todo!()
    }

    /// Takes every fault away and ends every outage now.
    pub fn clear_faults(&mut self) {
        todo!()
    }

    /// Plans an outage of a Region. Overlapping ones add up.
    pub fn region_down(&mut self, outage: Outage) {
        let _ = outage;
        todo!()
    }

    /// Ends every outage of a Region now, planned ones included.
    pub fn region_up(&mut self, region: &str) {
        let _ = region;
        todo!()
    }

    /// Whether S3 of a Region is up.
    #[must_use]
    pub fn is_region_up(&self, region: &str) -> bool {
        let _ = region;
        todo!()
    }

    /// Every outage so far and planned.
    #[must_use]
    pub fn outages(&self) -> Vec<DownInterval> {
        todo!()
    }
}

/// MRAP routes.
impl World {
    /// The submitted routes; empty for an unknown alias.
    #[must_use]
    pub fn routes(&self, alias: &str) -> Vec<Route> {
        let _ = alias;
        todo!()
    }

    /// The routes that new connections from a location follow now.
    #[must_use]
    pub fn effective_routes(&self, alias: &str, location: &str) -> Vec<Route> {
        let _ = (alias, location);
        todo!()
    }

    /// Every change, the start included.
    #[must_use]
    pub fn route_history(&self, alias: &str) -> &[RouteChange] {
        let _ = alias;
        todo!()
    }

    /// Changes dials as a person at the console would. Buckets that are not named stay.
    ///
    /// # Panics
    /// If the alias or a bucket is unknown, or if no member stays active.
    pub fn set_routes_as_person(&mut self, alias: &str, dials: &[(&str, u8)]) {
        let _ = (alias, dials);
        todo!()
    }
}

/// S3.
impl World {
    /// The current version of an object: not if it is a delete marker.
    #[must_use]
    pub fn object(&self, bucket: &str, key: &str) -> Option<&ObjectVersion> {
        let _ = (bucket, key);
        todo!()
    }

    /// All versions of an object, newest first.
    #[must_use]
    pub fn versions(&self, bucket: &str, key: &str) -> Vec<&ObjectVersion> {
        let _ = (bucket, key);
        todo!()
    }

    /// All keys of a bucket, those with only old versions included.
    #[must_use]
    pub fn keys(&self, bucket: &str) -> Vec<&str> {
        let _ = bucket;
        todo!()
    }

    /// Every applied write of clients, replicas aside.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        todo!()
    }

    /// Versions that wait for replication from one bucket to another.
    #[must_use]
    pub fn pending_replication(&self, source: &str, destination: &str) -> u64 {
        let _ = (source, destination);
        todo!()
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
        let _ = (bucket, key, body.into());
        todo!()
    }

    /// Deletes every version of every key with this prefix, as an emptied bucket would look.
    pub fn purge_as_person(&mut self, bucket: &str, prefix: &str) {
        let _ = (bucket, prefix);
        todo!()
    }

    /// Writes a delete marker, as somebody at the console would.
    pub fn delete_object_as_person(&mut self, bucket: &str, key: &str) {
        let _ = (bucket, key);
        todo!()
    }

    /// Changes a bucket's versioning.
    ///
    /// # Panics
    /// If the bucket does not exist.
    pub fn set_versioning(&mut self, bucket: &str, versioning: Versioning) {
        let _ = (bucket, versioning);
        todo!()
    }

    /// Adds a replication rule, or replaces the one with the same id and source.
    pub fn set_replication_rule(&mut self, rule: ReplicationRule) {
        let _ = rule;
        todo!()
    }

    /// Sets the delay in milliseconds of replication between two buckets from now on.
    pub fn set_replication_delay(
        &mut self,
        source: &str,
        destination: &str,
        delay: RangeInclusive<u64>,
    ) {
        let _ = (source, destination, delay);
        todo!()
    }

    /// Makes replication into a destination fail with this reason (or work again with `None`), as
    /// after an edit of its policy.
    pub fn deny_replication(&mut self, source: &str, destination: &str, reason: Option<&str>) {
        let _ = (source, destination, reason);
        todo!()
    }
}

/// SNS and CloudWatch.
impl World {
    /// Everything published so far.
    #[must_use]
    pub fn published(&self) -> &[Published] {
        todo!()
    }

    /// Puts a data point as `PutMetricData` would, at the present moment.
    pub fn put_metric(&mut self, region: &str, metric: &MetricName, value: f64) {
        let _ = (region, metric, value);
        todo!()
    }

    /// Adds an alarm; it starts in `INSUFFICIENT_DATA`.
    pub fn put_alarm(&mut self, alarm: crate::cloudwatch::AlarmConfig) {
        let _ = alarm;
        todo!()
    }

    /// Forces an alarm's state now, as `SetAlarmState` does; the next evaluation may change it back.
    ///
    /// # Panics
    /// If there is no such alarm.
    pub fn set_alarm_state(&mut self, region: &str, name: &str, state: AlarmState, reason: &str) {
        let _ = (region, name, state, reason);
        todo!()
    }

    /// The state of an alarm.
    #[must_use]
    pub fn alarm_state(&self, region: &str, name: &str) -> Option<AlarmState> {
        let _ = (region, name);
        todo!()
    }

    /// Mutes an alarm's actions for a window; its events are sent with `muteDetail`.
    pub fn mute_alarm(&mut self, region: &str, name: &str, from: SimTime, until: SimTime) {
        let _ = (region, name, from, until);
        todo!()
    }

    /// Takes the deliveries that have arrived by now, in order of arrival.
    pub fn take_deliveries(&mut self) -> Vec<Delivery> {
        todo!()
    }
}
