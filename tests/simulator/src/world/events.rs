//! What happens by itself: replicas arrive, Regions return, late requests land, alarms evaluate.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{World, is_up};
use crate::SimTime;
use crate::cloudwatch::{MetricName, Resolution};
use crate::config::Versioning;
use crate::faults::Service;
use crate::s3::Outgoing;
use crate::truth::Transfer;

/// One minute of metrics.
const MINUTE: Duration = Duration::from_mins(1);

/// One step of high-resolution metrics.
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// Something due.
#[derive(Debug)]
pub(super) enum Event {
    /// A replica reaches its destination, if it can.
    Arrive(Outgoing),
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
}

impl Queue {
    pub(super) fn push(&mut self, at: SimTime, event: Event) {
        self.planned += 1;
        self.events.insert((at, self.planned), event);
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
            Event::Arrive(transfer) => self.arrive(transfer),
            Event::OutageEnds => self.resume_replication(),
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
            self.plan(self.now + delay, Event::Arrive(transfer));
        }
        for at in self.cloudwatch.take_timers() {
            self.plan(at, Event::ReviewAlarms);
        }
    }

    fn arrive(&mut self, transfer: Outgoing) {
        if self.s3.source_version(&transfer).is_none() {
            // Deleted for good before it was copied: nothing is left to do.
            self.replication.finish(&transfer);
            return;
        }
        if !self.can_replicate(&transfer) {
            self.replication.park(transfer);
            return;
        }
        self.replication.finish(&transfer);
        match self.refusal(&transfer) {
            None => self.s3.arrive(&transfer, self.now),
            Some(reason) => {
                let failed = Transfer::Failed {
                    at: self.now,
                    reason,
                };
                self.s3.settle_transfer(&transfer, failed);
                self.count_failure(&transfer);
            }
        }
    }

    /// Whether both ends are up. A missing bucket is no outage.
    fn can_replicate(&self, transfer: &Outgoing) -> bool {
        [&transfer.source, &transfer.destination]
            .into_iter()
            .filter_map(|name| self.s3.bucket(name))
            .all(|bucket| self.is_up(&bucket.region, Service::S3))
    }

    /// Why S3 gives a transfer up; only configuration does that.
    fn refusal(&self, transfer: &Outgoing) -> Option<String> {
        if let Some(reason) = self.replication.denial(transfer) {
            return Some(reason.to_owned());
        }
        let reason = match self.s3.bucket(&transfer.destination) {
            None => "DstBucketNotFound",
            Some(bucket) if bucket.versioning != Versioning::Enabled => "DstBucketUnversioned",
            Some(_) => return None,
        };
        Some(reason.to_owned())
    }

    fn count_failure(&mut self, transfer: &Outgoing) {
        if let Some(source) = self.s3.bucket(&transfer.source) {
            let metric = replication_metric("OperationsFailedReplication", transfer);
            let region = source.region.clone();
            self.cloudwatch
                .put_metric(&region, &metric, Resolution::Minute, self.now, 1.0);
        }
    }

    pub(super) fn resume_replication(&mut self) {
        let s3 = &self.s3;
        let (outages, now) = (&self.outages, self.now);
        let can_go = |transfer: &Outgoing| {
            [&transfer.source, &transfer.destination]
                .into_iter()
                .filter_map(|name| s3.bucket(name))
                .all(|bucket| is_up(outages, &bucket.region, Service::S3, now))
        };
        let ready = self.replication.resume(can_go, &mut self.dice.replication);
        for (delay, transfer) in ready {
            self.plan(self.now + delay, Event::Arrive(transfer));
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

    /// Backlog metrics of the last minute, in the destination's Region as AWS publishes them.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn publish_pending(&mut self) {
        let delay = Duration::from_millis(self.config.timing.metric_delay + 1);
        let at = self.now - delay;
        let mut points = Vec::new();
        for ((source, destination, rule), pending) in self.replication.pending() {
            let Some(bucket) = self.s3.bucket(destination) else {
                continue;
            };
            if !self.is_up(&bucket.region, Service::S3) {
                continue;
            }
            let metric = |name: &str| {
                MetricName::new("AWS/S3", name)
                    .dimension("SourceBucket", source)
                    .dimension("DestinationBucket", destination)
                    .dimension("RuleId", rule)
            };
            let operations = metric("OperationsPendingReplication");
            let bytes = metric("BytesPendingReplication");
            points.push((bucket.region.clone(), operations, pending.operations as f64));
            points.push((bucket.region.clone(), bytes, pending.bytes as f64));
        }
        for (region, metric, value) in points {
            self.cloudwatch
                .put_metric(&region, &metric, Resolution::Minute, at, value);
        }
    }
}

fn replication_metric(name: &str, transfer: &Outgoing) -> MetricName {
    MetricName::new("AWS/S3", name)
        .dimension("SourceBucket", &transfer.source)
        .dimension("DestinationBucket", &transfer.destination)
        .dimension("RuleId", &transfer.rule)
}
