//! The heartbeat: a metric in another Region, whose absence there tells that this one is lost.

use std::sync::Arc;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use jiff::Timestamp;
use sentinel_core::names::{MrapArn, Region};

use crate::edge::Edge;
use crate::failure::{Failure, failure_of};
use crate::limits::Purpose;
use crate::log::NAMESPACE;

/// Name of the metric: a count, at 1-second resolution.
pub const HEARTBEAT: &str = "Heartbeat";

/// Puts heartbeats into another Region's CloudWatch.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    edge: Arc<Edge>,
    mrap: MrapArn,
    to: Region,
}

impl Heartbeat {
    /// Heartbeats of this access point's health check into that Region.
    #[must_use]
    pub fn new(edge: Arc<Edge>, mrap: MrapArn, to: Region) -> Self {
        Self { edge, mrap, to }
    }

    /// Puts one, under the dimensions `Mrap` and `Region`: the Region that is alive. Returns by
    /// `until`.
    ///
    /// # Errors
    /// How the request failed; the next run puts the next one.
    pub async fn beat(&self, until: Timestamp) -> Result<(), Failure> {
        let is = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
        let datum = MetricDatum::builder()
            .metric_name(HEARTBEAT)
            .dimensions(is("Mrap", self.mrap.alias()))
            .dimensions(is("Region", self.edge.region().as_str()))
            .timestamp(DateTime::from_millis(self.edge.now().as_millisecond()))
            .value(1.0)
            .unit(StandardUnit::Count)
            .storage_resolution(1)
            .build();
        let request = self
            .edge
            .cloudwatch(&self.to, Purpose::Alarms)
            .put_metric_data()
            .namespace(NAMESPACE)
            .metric_data(datum);
        match self
            .edge
            .within(self.edge.left(until), request.send())
            .await
        {
            None => Err(Failure::Deadline),
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(failure_of(&error)),
        }
    }
}
