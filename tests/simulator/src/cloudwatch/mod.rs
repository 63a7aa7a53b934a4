//! CloudWatch: metrics over what clients saw, alarms, and what alarms send.

mod alarms;

pub use alarms::{
    AlarmConfig, AlarmRule, AlarmState, Comparison, CompositeAlarm, Delivery, MetricAlarm,
    MetricName, Statistic, Suppressor, TreatMissing,
};
