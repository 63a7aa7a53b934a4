//! Metric data, one aggregate per minute.

use std::collections::BTreeMap;

use super::{MetricName, Statistic};
use crate::SimTime;

pub(super) const MINUTE: u64 = 60_000;

/// The metrics of every Region.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    regions: BTreeMap<String, BTreeMap<MetricName, Series>>,
}

/// Start of the minute in milliseconds -> aggregate.
type Series = BTreeMap<u64, Aggregate>;

#[derive(Debug, Clone, Copy)]
struct Aggregate {
    sum: f64,
    count: f64,
    least: f64,
    most: f64,
}

impl Aggregate {
    fn of(value: f64) -> Self {
        Self {
            sum: value,
            count: 1.0,
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
    pub(super) fn add(&mut self, region: &str, metric: &MetricName, at: SimTime, value: f64) {
        if !self.regions.contains_key(region) {
            self.regions.insert(region.to_owned(), BTreeMap::new());
        }
        let Some(series) = self.regions.get_mut(region) else {
            return;
        };
        if !series.contains_key(metric) {
            series.insert(metric.clone(), Series::new());
        }
        let Some(points) = series.get_mut(metric) else {
            return;
        };
        let new = Aggregate::of(value);
        points
            .entry(at.floor_to(MINUTE).as_millis())
            .and_modify(|old| *old = old.merge(new))
            .or_insert(new);
    }

    /// The statistic of one period; `None` without data.
    pub(super) fn point(
        &self,
        region: &str,
        metric: &MetricName,
        period: std::ops::Range<u64>,
        statistic: Statistic,
    ) -> Option<f64> {
        let series = self.regions.get(region)?.get(metric)?;
        let aggregates = series.range(period).map(|(_, aggregate)| *aggregate);
        let all = aggregates.reduce(Aggregate::merge)?;
        Some(match statistic {
            Statistic::Average => all.sum / all.count,
            Statistic::Sum => all.sum,
            Statistic::Minimum => all.least,
            Statistic::Maximum => all.most,
            Statistic::SampleCount => all.count,
        })
    }
}
