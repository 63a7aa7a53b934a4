//! `CloudWatch`: metrics over what clients saw, alarms, and what alarms send.

mod alarms;
mod api;
mod engine;
mod metrics;
mod metrics_api;
mod payloads;
mod rule;

pub use alarms::{
    AlarmConfig, AlarmRule, AlarmState, Comparison, CompositeAlarm, Delivery, MetricAlarm,
    MetricName, Statistic, Suppressor, TreatMissing,
};
pub(crate) use api::render_error;
pub(crate) use engine::CloudWatch;
pub(crate) use metrics::Resolution;
