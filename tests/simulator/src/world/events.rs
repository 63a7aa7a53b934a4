//! What happens by itself: replicas arrive, Regions return, late requests land, alarms evaluate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{World, is_up};
use crate::SimTime;
use crate::cloudwatch::{MetricName, Resolution};
use crate::config::Versioning;
use crate::faults::Service;
use crate::jobs::Timer;
use crate::notifications::{Kind, Notice, Shape, thresholds};
use crate::reasons;
use crate::s3::{Bucket, Cause, Lane, Outgoing};
use crate::truth::{Reason, ReplicationFailure, Transfer};

/// One minute of metrics.
const MINUTE: Duration = Duration::from_mins(1);

/// Seconds of a day.
const DAY: i64 = 86_400;

/// One step of high-resolution metrics.
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// Something due.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// The replicas that are due at this moment reach their destinations, if they can.
    Arrivals(SimTime),
    /// Transfers under time control have taken too long, if they are still pending.
    Thresholds(SimTime),
    /// A job goes on.
    Job(Timer),
    /// An outage ends.
    OutageEnds,
    /// A request is applied although its client is gone.
    Land { seq: u64 },
    /// Metrics of the last minute become visible and alarms are evaluated.
    Tick,
    /// The same for high-resolution metrics of the last ten seconds and their alarms.
    QuickTick,
    /// A suppression or mute window ends.
    ReviewAlarms,
}

/// Events by time; those of one moment in the order of planning.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: BTreeMap<(SimTime, u64), Event>,
    planned: u64,
    /// Transfers by the moment of their arrival: one event for all of a moment.
    arrivals: BTreeMap<SimTime, Vec<Outgoing>>,
    /// The same for transfers to look at.
    checks: BTreeMap<SimTime, Vec<(Kind, Outgoing)>>,
}

/// What became of transfers since the last look.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    arrived: u32,
    failed: u32,
}

#[derive(Clone, Copy)]
enum Outcome {
    Arrived,
    Failed,
}

impl Queue {
    pub(super) fn push(&mut self, at: SimTime, event: Event) {
        self.planned += 1;
        self.events.insert((at, self.planned), event);
    }

    pub(super) fn push_arrival(&mut self, at: SimTime, transfer: Outgoing) {
        let transfers = self.arrivals.entry(at).or_default();
        transfers.push(transfer);
        if transfers.len() == 1 {
            self.push(at, Event::Arrivals(at));
        }
    }

    fn take_arrivals(&mut self, at: SimTime) -> Vec<Outgoing> {
        self.arrivals.remove(&at).unwrap_or_default()
    }

    fn push_check(&mut self, at: SimTime, kind: Kind, transfer: Outgoing) {
        let transfers = self.checks.entry(at).or_default();
        transfers.push((kind, transfer));
        if transfers.len() == 1 {
            self.push(at, Event::Thresholds(at));
        }
    }

    fn take_checks(&mut self, at: SimTime) -> Vec<(Kind, Outgoing)> {
        self.checks.remove(&at).unwrap_or_default()
    }

    fn pop_due(&mut self, now: SimTime) -> Option<(SimTime, Event)> {
        let entry = self.events.first_entry()?;
        let (at, _) = *entry.key();
        (at <= now).then(|| (at, entry.remove()))
    }

    fn next_at(&self) -> Option<SimTime> {
        self.events.keys().next().map(|(at, _)| *at)
    }
}

impl World {
    /// Lets everything happen that is due up to `now`, in order.
    pub fn advance(&mut self, now: SimTime) {
        while let Some((at, event)) = self.queue.pop_due(now) {
            // An event planned for the past happens now: time never runs back.
            self.now = self.now.max(at);
            self.run(event);
            self.settle_plans();
        }
        self.now = self.now.max(now);
    }

    /// When the next thing happens by itself.
    #[must_use]
    pub fn next_event_at(&self) -> Option<SimTime> {
        let times = [self.queue.next_at(), self.cloudwatch.next_delivery_at()];
        times.into_iter().flatten().min()
    }

    fn run(&mut self, event: Event) {
        match event {
            Event::Arrivals(due) => self.arrive_all(due),
            Event::Thresholds(due) => self.look_at_thresholds(due),
            Event::Job(timer) => self.step_job(timer),
            Event::OutageEnds => self.resume(),
            Event::Land { seq } => self.land(seq),
            Event::Tick => self.tick(),
            Event::QuickTick => self.quick_tick(),
            Event::ReviewAlarms => {
                self.cloudwatch.review(self.now, &mut self.dice.alarms);
            }
        }
    }

    /// Plans what the last step set in motion.
    pub(super) fn settle_plans(&mut self) {
        for transfer in self.s3.take_outgoing() {
            let delay = self
                .replication
                .start(&transfer, &mut self.dice.replication);
            if transfer.cause == Cause::Live && self.is_time_controlled(&transfer) {
                let (threshold, _) = thresholds(&self.config.timing);
                let check = transfer.clone();
                self.queue
                    .push_check(self.now + threshold, Kind::MissedThreshold, check);
            }
            self.queue.push_arrival(self.now + delay, transfer);
        }
        for timer in self.jobs.take_timers() {
            self.plan(timer.at, Event::Job(timer));
        }
        self.publish_counts();
        let rng = &mut self.dice.notifications;
        self.notifications.flush(&self.config.timing, self.now, rng);
        for at in self.cloudwatch.take_timers() {
            self.plan(at, Event::ReviewAlarms);
        }
    }

    /// Replicas reach their destinations, or not.
    fn arrive_all(&mut self, due: SimTime) {
        for transfer in self.queue.take_arrivals(due) {
            self.arrive(transfer);
        }
    }

    fn arrive(&mut self, transfer: Outgoing) {
        if self.s3.source_version(&transfer).is_none() {
            // Deleted for good before it was copied: nothing is left to copy.
            self.replication.finish(&transfer);
            let lane = &transfer.lane;
            let reason = self.s3.missing_reason(&lane.source, &transfer.key);
            self.give_up(transfer, reasons::known(reason));
            return;
        }
        if !self.can_replicate(&transfer) {
            self.replication.park(transfer);
            return;
        }
        self.replication.finish(&transfer);
        match self.refusal(&transfer) {
            None => {
                self.s3.arrive(&transfer, self.now);
                self.count(&transfer, Outcome::Arrived);
                self.note_arrival(transfer);
            }
            Some(reason) => self.give_up(transfer, reason),
        }
    }

    /// Whether both ends are up. A missing bucket is no outage.
    pub(super) fn can_replicate(&self, transfer: &Outgoing) -> bool {
        if self.outages.is_empty() {
            return true;
        }
        [&transfer.lane.source, &transfer.lane.destination]
            .into_iter()
            .filter_map(|name| self.s3.bucket(name))
            .all(|bucket| self.is_up(&bucket.region, Service::S3))
    }

    /// Why S3 gives a transfer up; only configuration does that.
    pub(super) fn refusal(&self, transfer: &Outgoing) -> Option<Reason> {
        let lane = &transfer.lane;
        if let Some(reason) = self.replication.denial(lane) {
            return Some(reason.clone());
        }
        let reason = match self.s3.bucket(&lane.destination) {
            None => Some("DstBucketNotFound"),
            Some(bucket) if bucket.versioning != Versioning::Enabled => {
                Some("DstBucketUnversioned")
            }
            Some(_) if transfer.cause == Cause::Job && self.s3.is_hard_deleted(transfer) => {
                Some("DstObjectHardDeleted")
            }
            Some(_) => self.s3.key_refusal(transfer),
        };
        reason.map(Reason::Borrowed)
    }

    /// Ends a transfer without a replica.
    pub(super) fn give_up(&mut self, transfer: Outgoing, reason: Reason) {
        let failed = Transfer::Failed {
            at: self.now,
            reason: reason.clone(),
        };
        self.replication_failures.push(ReplicationFailure {
            at: self.now,
            source: Arc::clone(&transfer.lane.source),
            destination: Arc::clone(&transfer.lane.destination),
            key: Arc::clone(&transfer.key),
            version_id: Arc::clone(&transfer.version_id),
            reason: reason.clone(),
            by_job: transfer.cause == Cause::Job,
        });
        self.count(&transfer, Outcome::Failed);
        let version = self.s3.settle_transfer(&transfer, failed);
        let shape = version.map(Shape::of);
        if transfer.cause == Cause::Live || self.jobs.rules().failures_send_events {
            self.notify(Kind::Failed, transfer, shape, Some(reason));
        }
    }

    /// Under time control a late arrival is an event.
    fn note_arrival(&mut self, transfer: Outgoing) {
        let (threshold, _) = thresholds(&self.config.timing);
        let late = self.now.since(transfer.requested) > threshold;
        if late && transfer.cause == Cause::Live && self.is_time_controlled(&transfer) {
            let shape = self.s3.source_version(&transfer).map(Shape::of);
            self.notify(Kind::ReplicatedAfterThreshold, transfer, shape, None);
        }
    }

    /// Looks at transfers under time control once their time is over.
    fn look_at_thresholds(&mut self, due: SimTime) {
        let (threshold, untracked) = thresholds(&self.config.timing);
        for (kind, transfer) in self.queue.take_checks(due) {
            let version = self.s3.source_version(&transfer);
            let shape = version.map(Shape::of);
            let state = version.and_then(|v| v.transfers.get(&transfer.lane.destination));
            if state != Some(&Transfer::Pending) {
                continue;
            }
            if kind == Kind::MissedThreshold {
                let again = self.now + untracked.saturating_sub(threshold);
                self.queue
                    .push_check(again, Kind::NotTracked, transfer.clone());
            }
            self.notify(kind, transfer, shape, None);
        }
    }

    fn is_time_controlled(&self, transfer: &Outgoing) -> bool {
        let source = self.s3.bucket(&transfer.lane.source);
        let rule = source.and_then(|bucket| bucket.rule(&transfer.lane.rule));
        rule.is_some_and(|rule| rule.time_control)
    }

    fn notify(
        &mut self,
        kind: Kind,
        transfer: Outgoing,
        shape: Option<Shape>,
        reason: Option<Reason>,
    ) {
        if !self.config.replication_events.enabled {
            return;
        }
        let source = self.s3.bucket(&transfer.lane.source);
        let unwired = |bucket: &Bucket| bucket.settings.replication_events_to.is_none();
        if source.is_none_or(unwired) {
            return;
        }
        let rule = source.and_then(|bucket| bucket.rule(&transfer.lane.rule));
        if rule.is_none_or(|rule| !rule.metrics) {
            return;
        }
        self.notifications.add(Notice {
            kind,
            shape,
            at: self.now,
            reason,
            transfer,
        });
    }

    /// Counts a transfer for `OperationsFailedReplication`.
    fn count(&mut self, transfer: &Outgoing, outcome: Outcome) {
        let lane = &transfer.lane;
        let (_, counts) = self
            .counts
            .entry(lane.number)
            .or_insert_with(|| (Arc::clone(lane), Counts::default()));
        match outcome {
            Outcome::Arrived => counts.arrived += 1,
            Outcome::Failed => counts.failed += 1,
        }
    }

    /// Publishes the counts: a 1 for each failure and a 0 for each success, in the source's Region.
    fn publish_counts(&mut self) {
        for (lane, counts) in std::mem::take(&mut self.counts).into_values() {
            let Some(source) = self.s3.bucket(&lane.source) else {
                continue;
            };
            if source.rule(&lane.rule).is_none_or(|rule| !rule.metrics) {
                continue;
            }
            let metric = replication_metric("OperationsFailedReplication", &lane);
            let region = source.region.clone();
            for (value, times) in [(1.0, counts.failed), (0.0, counts.arrived)] {
                if times > 0 {
                    self.cloudwatch
                        .put_metrics(&region, &metric, self.now, (value, times));
                }
            }
        }
    }

    /// What waited for a Region goes on where it can.
    pub(super) fn resume(&mut self) {
        self.resume_replication();
        let (outages, now) = (&self.outages, self.now);
        let is_up = |region: &str| is_up(outages, region, Service::S3, now);
        self.jobs.resume(is_up, now, &mut self.dice.jobs);
        self.settle_plans();
    }

    fn resume_replication(&mut self) {
        let s3 = &self.s3;
        let (outages, now) = (&self.outages, self.now);
        let can_go = |transfer: &Outgoing| {
            [&transfer.lane.source, &transfer.lane.destination]
                .into_iter()
                .filter_map(|name| s3.bucket(name))
                .all(|bucket| is_up(outages, &bucket.region, Service::S3, now))
        };
        let ready = self.replication.resume(can_go, &mut self.dice.replication);
        for (delay, transfer) in ready {
            self.queue.push_arrival(self.now + delay, transfer);
        }
    }

    /// Plans the first evaluation of alarms; each plans the next.
    pub(super) fn plan_ticks(&mut self) {
        let timing = &self.config.timing;
        let minute = self.now + MINUTE + Duration::from_millis(timing.metric_delay);
        let quick = self.now + TEN_SECONDS + Duration::from_millis(timing.high_resolution_delay);
        self.plan(minute, Event::Tick);
        self.plan(quick, Event::QuickTick);
    }

    fn tick(&mut self) {
        self.publish_pending();
        let day = self.calendar(self.now).as_second() / DAY;
        if day != self.calendar(self.now - MINUTE).as_second() / DAY {
            self.publish_storage();
        }
        self.evaluate_alarms(Resolution::Minute);
        self.plan(self.now + MINUTE, Event::Tick);
    }

    fn quick_tick(&mut self) {
        self.evaluate_alarms(Resolution::TenSeconds);
        self.plan(self.now + TEN_SECONDS, Event::QuickTick);
    }

    fn evaluate_alarms(&mut self, pace: Resolution) {
        let (outages, now) = (&self.outages, self.now);
        let is_up = |region: &str| is_up(outages, region, Service::CloudWatch, now);
        self.cloudwatch
            .evaluate(pace, &is_up, now, &mut self.dice.alarms);
    }

    /// Objects and bytes of every bucket, old versions and delete markers included.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub(super) fn publish_storage(&mut self) {
        let held: Vec<(String, MetricName, u64)> = self
            .s3
            .buckets()
            .flat_map(|(name, bucket)| {
                let (objects, bytes) = bucket.holdings();
                let metric = |metric: &str, kind: &str| {
                    MetricName::new("AWS/S3", metric)
                        .dimension("BucketName", name)
                        .dimension("StorageType", kind)
                };
                let region = bucket.region.clone();
                let number = metric("NumberOfObjects", "AllStorageTypes");
                let size = metric("BucketSizeBytes", "StandardStorage");
                [(region.clone(), number, objects), (region, size, bytes)]
            })
            .collect();
        for (region, metric, value) in held {
            self.cloudwatch
                .put_metrics(&region, &metric, self.now, (value as f64, 1));
        }
    }

    /// Backlog metrics of the last minute, in the destination's Region as AWS publishes them.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn publish_pending(&mut self) {
        let delay = Duration::from_millis(self.config.timing.metric_delay + 1);
        let at = self.now - delay;
        let mut points = Vec::new();
        for (lane, pending) in self.replication.pending() {
            let Some(bucket) = self.s3.bucket(&lane.destination) else {
                continue;
            };
            if !self.is_up(&bucket.region, Service::S3) {
                continue;
            }
            let operations = replication_metric("OperationsPendingReplication", lane);
            let bytes = replication_metric("BytesPendingReplication", lane);
            points.push((bucket.region.clone(), operations, pending.operations as f64));
            points.push((bucket.region.clone(), bytes, pending.bytes as f64));
        }
        for (region, metric, value) in points {
            self.cloudwatch
                .put_metric(&region, &metric, Resolution::Minute, at, value);
        }
    }
}

fn replication_metric(name: &str, lane: &Lane) -> MetricName {
    MetricName::new("AWS/S3", name)
        .dimension("SourceBucket", &*lane.source)
        .dimension("DestinationBucket", &*lane.destination)
        .dimension("RuleId", &*lane.rule)
}
