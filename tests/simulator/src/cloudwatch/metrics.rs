//! Metric data, aggregated by the minute or, in high resolution, by ten seconds.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use super::{MetricName, Statistic};
use crate::SimTime;

const MINUTE: u64 = 60_000;

/// How finely data points are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// As finely as alarms look at metrics of `StorageResolution` 1.
    TenSeconds,
    /// `StorageResolution` 60, and everything that S3 itself publishes.
    Minute,
}

impl Resolution {
    /// The coarsest resolution whose data fill a period of so many milliseconds.
    pub(super) fn of_period(period: u64) -> Self {
        if period < MINUTE {
            Self::TenSeconds
        } else {
            Self::Minute
        }
    }

    pub(super) const fn millis(self) -> u64 {
        match self {
            Self::TenSeconds => 10_000,
            Self::Minute => MINUTE,
        }
    }
}

/// Whether there are alarms and statistics over a period of so many milliseconds: 10, 20 or 30
/// seconds, or whole minutes. (Queries, not alarms, may also ask `CloudWatch` for 1 and 5 seconds.)
pub(super) fn is_period(period: u64) -> bool {
    matches!(period, 10_000 | 20_000 | 30_000) || (period > 0 && period.is_multiple_of(MINUTE))
}

/// The metrics of every Region.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    regions: BTreeMap<String, BTreeMap<MetricName, Series>>,
}

/// The data of a metric, by resolution.
#[derive(Debug, Default)]
struct Series {
    tens: Points,
    minutes: Points,
}

/// Start of the span in milliseconds -> aggregate.
type Points = BTreeMap<u64, Aggregate>;

impl Series {
    /// The statistic's input in one period. What is known by the minute only says nothing about
    /// a part of it.
    fn aggregate(&self, period: Range<u64>) -> Option<Aggregate> {
        let minutes = match Resolution::of_period(period.end - period.start) {
            Resolution::TenSeconds => None,
            Resolution::Minute => Some(self.minutes.range(period.clone())),
        };
        let points = minutes.into_iter().flatten().chain(self.tens.range(period));
        points
            .map(|(_, aggregate)| *aggregate)
            .reduce(Aggregate::merge)
    }

    /// The start of the newest span with data.
    fn newest(&self) -> Option<u64> {
        let newest = [&self.tens, &self.minutes].map(|points| points.keys().next_back().copied());
        newest.into_iter().flatten().max()
    }
}

#[derive(Debug, Clone, Copy)]
struct Aggregate {
    sum: f64,
    count: f64,
    least: f64,
    most: f64,
}

impl Aggregate {
    fn of(value: f64, times: u32) -> Self {
        Self {
            sum: value * f64::from(times),
            count: f64::from(times),
            least: value,
            most: value,
        }
    }

    fn merge(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            count: self.count + other.count,
            least: self.least.min(other.least),
            most: self.most.max(other.most),
        }
    }
}

impl Metrics {
    pub(super) fn add(
        &mut self,
        region: &str,
        metric: &MetricName,
        resolution: Resolution,
        at: SimTime,
        (value, times): (f64, u32),
    ) {
        if !self.regions.contains_key(region) {
            self.regions.insert(region.to_owned(), BTreeMap::new());
        }
        let Some(metrics) = self.regions.get_mut(region) else {
            return;
        };
        if !metrics.contains_key(metric) {
            metrics.insert(metric.clone(), Series::default());
        }
        let Some(series) = metrics.get_mut(metric) else {
            return;
        };
        let points = match resolution {
            Resolution::TenSeconds => &mut series.tens,
            Resolution::Minute => &mut series.minutes,
        };
        let new = Aggregate::of(value, times);
        points
            .entry(at.floor_to(resolution.millis()).as_millis())
            .and_modify(|old| *old = old.merge(new))
            .or_insert(new);
    }

    /// The statistic of one period; `None` without data.
    pub(super) fn point(
        &self,
        region: &str,
        metric: &MetricName,
        period: Range<u64>,
        statistic: Statistic,
    ) -> Option<f64> {
        let all = self.regions.get(region)?.get(metric)?.aggregate(period)?;
        Some(match statistic {
            Statistic::Average => all.sum / all.count,
            Statistic::Sum => all.sum,
            Statistic::Minimum => all.least,
            Statistic::Maximum => all.most,
            Statistic::SampleCount => all.count,
        })
    }

    /// The metrics of a Region in order, from the first after `after` on, each with the start of
    /// its newest data.
    pub(super) fn names(
        &self,
        region: &str,
        after: Option<&MetricName>,
    ) -> impl Iterator<Item = (&MetricName, SimTime)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let metrics = self.regions.get(region).into_iter();
        metrics
            .flat_map(move |metrics| metrics.range::<MetricName, _>((from, Bound::Unbounded)))
            .filter_map(|(name, series)| Some((name, SimTime::from_millis(series.newest()?))))
    }
}
