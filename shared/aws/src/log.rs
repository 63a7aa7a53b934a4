//! Lines of standard output: structured logs and CloudWatch embedded metrics.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::edge::Edge;

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// The normal course of things.
    Info,
    /// Something is not as it should be, and is dealt with.
    Warn,
    /// Something failed.
    Error,
}

/// A log line as text: `fields` (a JSON object, or any value under `value`) beside timestamp, level and message.
#[must_use]
pub fn log_line<T: Serialize>(at: Timestamp, level: Level, message: &str, fields: &T) -> String {
    let mut line = match serde_json::to_value(fields) {
        Ok(Value::Object(fields)) => fields,
        Ok(Value::Null) => Map::new(),
        Ok(other) => Map::from_iter([("value".to_owned(), other)]),
        // A log line is never lost because of what it says.
        Err(error) => Map::from_iter([("unloggable".to_owned(), json!(error.to_string()))]),
    };
    line.insert("timestamp".to_owned(), json!(format!("{at:.3}")));
    line.insert("level".to_owned(), json!(level));
    line.insert("message".to_owned(), json!(message));
    Value::Object(line).to_string()
}

/// Prints a log line, stamped with the edge's time.
pub fn log<T: Serialize>(edge: &Edge, level: Level, message: &str, fields: &T) {
    edge.print(&log_line(edge.now(), level, message, fields));
}

/// Units of CloudWatch metrics that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
    /// Percent.
    Percent,
    /// None of CloudWatch's, such as dollars.
    None,
}

/// How finely CloudWatch keeps a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// By the minute.
    Minute,
    /// By the second: availability and heartbeat.
    Second,
}

/// Namespace of all metrics.
pub const NAMESPACE: &str = "MrapSentinel";

/// Metrics that share a time and dimensions: one line in CloudWatch's embedded metric format.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedMetrics {
    at: Timestamp,
    dimensions: BTreeMap<String, String>,
    properties: BTreeMap<String, Value>,
    metrics: BTreeMap<String, (f64, Unit, Resolution)>,
}

impl EmbeddedMetrics {
    /// No metrics yet, at this time and under these dimensions (`Mrap` and `Region`, or
    /// `Mrap`, `SourceRegion` and `DestinationRegion`).
    #[must_use]
    pub fn new(at: Timestamp, dimensions: &[(&str, &str)]) -> Self {
        Self {
            at,
            dimensions: dimensions
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            properties: BTreeMap::new(),
            metrics: BTreeMap::new(),
        }
    }

    /// With this metric.
    #[must_use]
    pub fn metric(mut self, name: &str, value: f64, unit: Unit, resolution: Resolution) -> Self {
        self.metrics
            .insert(name.to_owned(), (value, unit, resolution));
        self
    }

    /// With a searchable property that is no dimension, such as the incident.
    #[must_use]
    pub fn property(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.properties.insert(name.to_owned(), value.into());
        self
    }

    /// The line.
    #[must_use]
    pub fn to_line(&self) -> String {
        let names: Vec<&String> = self.dimensions.keys().collect();
        let definitions: Vec<Value> = self
            .metrics
            .iter()
            .map(|(name, (_, unit, resolution))| {
                let seconds = match resolution {
                    Resolution::Second => 1,
                    Resolution::Minute => 60,
                };
                json!({"Name": name, "Unit": unit, "StorageResolution": seconds})
            })
            .collect();
        let mut line = Map::new();
        line.extend(self.properties.clone());
        line.extend(self.dimensions.iter().map(|(k, v)| (k.clone(), json!(v))));
        line.extend(
            self.metrics
                .iter()
                .map(|(k, (value, _, _))| (k.clone(), json!(value))),
        );
        line.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": self.at.as_millisecond(),
                "CloudWatchMetrics": [
                    {"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": definitions}
                ],
            }),
        );
        Value::Object(line).to_string()
    }

    /// Prints the line.
    pub fn print(&self, edge: &Edge) {
        edge.print(&self.to_line());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        "2026-11-20T16:59:03.25Z".parse().unwrap()
    }

    fn pretty(line: &str) -> Value {
        assert!(!line.contains('\n'), "one line");
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn embedded_metrics() {
        let line = EmbeddedMetrics::new(at(), &[("Mrap", "mfz.mrap"), ("Region", "us-east-1")])
            .metric("Available", 1.0, Unit::Count, Resolution::Second)
            .metric("TimeToDecide", 12.5, Unit::Milliseconds, Resolution::Minute)
            .property("incident", "2026-11-20T16:59:03Z-us-east-1")
            .to_line();
        assert_eq!(
            pretty(&line),
            json!({
                "_aws": {
                    "Timestamp": 1_795_193_943_250_i64,
                    "CloudWatchMetrics": [{
                        "Namespace": "MrapSentinel",
                        "Dimensions": [["Mrap", "Region"]],
                        "Metrics": [
                            {"Name": "Available", "Unit": "Count", "StorageResolution": 1},
                            {"Name": "TimeToDecide", "Unit": "Milliseconds", "StorageResolution": 60},
                        ],
                    }],
                },
                "Mrap": "mfz.mrap",
                "Region": "us-east-1",
                "Available": 1.0,
                "TimeToDecide": 12.5,
                "incident": "2026-11-20T16:59:03Z-us-east-1",
            })
        );
    }

    #[test]
    fn log_lines() {
        let line =
            |level, message: &str, fields: Value| pretty(&log_line(at(), level, message, &fields));
        assert_eq!(
            line(
                Level::Warn,
                "a topic\nfailed",
                json!({"topic": "t", "level": "of the fields"})
            ),
            json!({"timestamp": "2026-11-20T16:59:03.250Z", "level": "WARN", "message": "a topic\nfailed", "topic": "t"})
        );
        assert_eq!(
            line(Level::Info, "no fields", json!(null)),
            json!({"timestamp": "2026-11-20T16:59:03.250Z", "level": "INFO", "message": "no fields"})
        );
    }
}
