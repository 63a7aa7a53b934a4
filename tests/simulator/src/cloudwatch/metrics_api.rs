//! `ListMetrics`, `GetMetricData`, `PutMetricData`.

use std::collections::BTreeMap;
use std::time::Duration;

use ciborium::Value;

use super::api::{dimensions, invalid};
use super::engine::CloudWatch;
use super::metrics::{Resolution, is_period};
use super::{MetricName, Statistic};
use crate::SimTime;
use crate::time::calendar;
use crate::wire::ServiceError;
use crate::wire::cbor::{self, map, put};

/// Metrics on a page of `ListMetrics` (API reference, `ListMetrics`).
const PAGE: usize = 500;

/// Dimension filters that `ListMetrics` takes.
const FILTERS: usize = 10;

/// What `RecentlyActive` of `PT3H` lets through.
const RECENT: Duration = Duration::from_hours(3);

impl CloudWatch {
    pub(super) fn list_metrics(
        &self,
        region: &str,
        input: &Value,
        now: SimTime,
    ) -> Result<Value, ServiceError> {
        let namespace = cbor::text(input, "Namespace");
        let name = cbor::text(input, "MetricName");
        let filters = dimension_filters(input)?;
        let since = match cbor::text(input, "RecentlyActive") {
            None => SimTime::ZERO,
            Some("PT3H") => now - RECENT,
            Some(_) => return Err(invalid("RecentlyActive must be PT3H")),
        };
        let after = cbor::text(input, "NextToken").map(read_token).transpose()?;
        let mut found = self
            .metrics
            .names(region, after.as_ref())
            .filter(|(metric, newest)| {
                namespace.is_none_or(|namespace| namespace == metric.namespace)
                    && name.is_none_or(|name| name == metric.name)
                    && filters.iter().all(|filter| admits(*filter, metric))
                    && *newest >= since
            })
            .map(|(metric, _)| metric);
        let page: Vec<&MetricName> = found.by_ref().take(PAGE).collect();
        let token = page.last().filter(|_| found.next().is_some());
        let metrics = page.iter().map(|metric| {
            map([
                ("Namespace", metric.namespace.as_str().into()),
                ("MetricName", metric.name.as_str().into()),
                ("Dimensions", dimensions(metric)),
            ])
        });
        let mut output = map([("Metrics", Value::Array(metrics.collect()))]);
        if let Some(last) = token {
            put(&mut output, "NextToken", token_of(last));
        }
        Ok(output)
    }

    pub(super) fn get_metric_data(
        &self,
        region: &str,
        input: &Value,
        now: SimTime,
    ) -> Result<Value, ServiceError> {
        let window = (
            self.moment(input, "StartTime")?,
            self.moment(input, "EndTime")?,
        );
        let ascending = cbor::text(input, "ScanBy") == Some("TimestampAscending");
        let mut results = Vec::new();
        for query in cbor::list(input, "MetricDataQueries") {
            let wanted = cbor::get(query, "MetricStat")
                .ok_or_else(|| invalid("only MetricStat queries are supported"))?;
            let metric = metric_of(cbor::get(wanted, "Metric").unwrap_or(&Value::Null))?;
            let statistic = statistic(cbor::text(wanted, "Stat").unwrap_or_default())?;
            let period = period_of(wanted)?;
            let mut points = self.points(region, &metric, (period, statistic), window, now);
            if !ascending {
                points.reverse();
            }
            let time = |at| cbor::time(calendar(self.epoch, SimTime::from_millis(at)));
            let times = points.iter().map(|(at, _)| time(*at)).collect();
            let values = points.iter().map(|(_, value)| Value::Float(*value));
            let id = cbor::text(query, "Id").unwrap_or_default();
            let label = cbor::text(query, "Label").unwrap_or(&metric.name);
            results.push(map([
                ("Id", id.into()),
                ("Label", label.into()),
                ("Timestamps", Value::Array(times)),
                ("Values", Value::Array(values.collect())),
                ("StatusCode", "Complete".into()),
            ]));
        }
        Ok(map([
            ("MetricDataResults", Value::Array(results)),
            ("Messages", Value::Array(Vec::new())),
        ]))
    }

    /// Start and value of the periods with data that begin in the window and are visible.
    fn points(
        &self,
        region: &str,
        metric: &MetricName,
        (period, statistic): (u64, Statistic),
        (start, end): (SimTime, SimTime),
        now: SimTime,
    ) -> Vec<(u64, f64)> {
        let visible = self.visible(Resolution::of_period(period), now);
        let end = end.min(visible).as_millis();
        let mut points = Vec::new();
        let mut at = start.floor_to(period).as_millis();
        while at < end {
            let span = at..(at + period).min(visible.as_millis());
            let value = self.metrics.point(region, metric, span, statistic);
            points.extend(value.map(|value| (at, value)));
            at += period;
        }
        points
    }

    /// A time of the input as a moment of the world; before its epoch counts as the epoch.
    fn moment(&self, input: &Value, name: &str) -> Result<SimTime, ServiceError> {
        let millis =
            cbor::time_millis(input, name).ok_or_else(|| invalid(&format!("{name} is missing")))?;
        let since = millis.saturating_sub(self.epoch.as_millisecond());
        Ok(SimTime::from_millis(u64::try_from(since).unwrap_or(0)))
    }

    pub(super) fn put_metric_data(
        &mut self,
        region: &str,
        input: &Value,
        now: SimTime,
    ) -> Result<Value, ServiceError> {
        let namespace = cbor::text(input, "Namespace").unwrap_or_default();
        for datum in cbor::list(input, "MetricData") {
            let mut metric = metric_of(datum)?;
            namespace.clone_into(&mut metric.namespace);
            let at = match cbor::get(datum, "Timestamp") {
                Some(_) => self.moment(datum, "Timestamp")?,
                None => now,
            };
            let value = cbor::number(datum, "Value").ok_or_else(|| invalid("Value is missing"))?;
            let resolution = resolution_of(datum)?;
            self.metrics
                .add(region, &metric, resolution, at, (value, 1));
        }
        Ok(Value::Map(Vec::new()))
    }
}

/// A dimension's name, and the value if one is asked for.
type Filter<'a> = (&'a str, Option<&'a str>);

fn dimension_filters(input: &Value) -> Result<Vec<Filter<'_>>, ServiceError> {
    let filters = cbor::list(input, "Dimensions");
    if filters.len() > FILTERS {
        return Err(invalid("Dimensions must have at most 10 members"));
    }
    let read = |filter| {
        let name = cbor::text(filter, "Name").ok_or_else(|| invalid("Name is missing"))?;
        Ok((name, cbor::text(filter, "Value")))
    };
    filters.iter().map(read).collect()
}

fn admits((name, wanted): Filter<'_>, metric: &MetricName) -> bool {
    let value = metric.dimensions.get(name);
    value.is_some_and(|value| wanted.is_none_or(|wanted| wanted == value))
}

/// Names the last metric of a page: the next one goes on after it.
fn token_of(metric: &MetricName) -> String {
    serde_json::to_string(metric).expect("a name is JSON")
}

fn read_token(token: &str) -> Result<MetricName, ServiceError> {
    serde_json::from_str(token).map_err(|_| invalid("NextToken is not valid"))
}

/// Milliseconds.
fn period_of(wanted: &Value) -> Result<u64, ServiceError> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a period in seconds"
    )]
    let seconds = cbor::number(wanted, "Period").unwrap_or(60.0) as u64;
    let period = seconds.saturating_mul(1000);
    if is_period(period) {
        Ok(period)
    } else {
        Err(invalid("Period must be 10, 20, 30 or a multiple of 60"))
    }
}

fn resolution_of(datum: &Value) -> Result<Resolution, ServiceError> {
    match cbor::number(datum, "StorageResolution") {
        None => Ok(Resolution::Minute),
        Some(seconds) if (seconds - 60.0).abs() < f64::EPSILON => Ok(Resolution::Minute),
        Some(seconds) if (seconds - 1.0).abs() < f64::EPSILON => Ok(Resolution::TenSeconds),
        Some(_) => Err(invalid("StorageResolution must be 1 or 60")),
    }
}

fn metric_of(value: &Value) -> Result<MetricName, ServiceError> {
    let name = cbor::text(value, "MetricName").ok_or_else(|| invalid("MetricName is missing"))?;
    let mut dimensions = BTreeMap::new();
    for dimension in cbor::list(value, "Dimensions") {
        let text = |field| cbor::text(dimension, field).unwrap_or_default().to_owned();
        dimensions.insert(text("Name"), text("Value"));
    }
    Ok(MetricName {
        namespace: cbor::text(value, "Namespace")
            .unwrap_or_default()
            .to_owned(),
        name: name.to_owned(),
        dimensions,
    })
}

fn statistic(name: &str) -> Result<Statistic, ServiceError> {
    Ok(match name {
        "Average" => Statistic::Average,
        "Sum" => Statistic::Sum,
        "Minimum" => Statistic::Minimum,
        "Maximum" => Statistic::Maximum,
        "SampleCount" => Statistic::SampleCount,
        _ => return Err(invalid("Stat is not supported")),
    })
}
