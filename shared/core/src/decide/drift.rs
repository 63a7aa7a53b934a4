//! What the readiness check's report means for a decision.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::Drift;
use crate::names::Region;

/// An older report is none.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(3);

/// The form of the report that is understood.
const SCHEMA: u64 = 1;

/// What a decision needs of the report; everything else in it is for people.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: u64,
    observed_at: Timestamp,
    findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    severity: String,
    check: String,
    subject: String,
    #[serde(default)]
    targets: Vec<Region>,
}

impl Drift {
    /// Reads the report: its critical findings about Regions that they make unfit as targets.
    ///
    /// # Errors
    /// Why it cannot be understood, for the log. One that is too old is unknown drift.
    pub fn of_report(document: Value, now: Timestamp) -> Result<Self, String> {
        let report: Report = serde_json::from_value(document).map_err(|error| error.to_string())?;
        if report.schema != SCHEMA {
            return Err(format!("it has schema {}, not {SCHEMA}", report.schema));
        }
        if now.duration_since(report.observed_at) > MAX_AGE {
            return Ok(Self::Unknown);
        }
        let mut findings: BTreeMap<Region, Vec<String>> = BTreeMap::new();
        for finding in report.findings {
            if finding.severity != "critical" {
                continue;
            }
            for target in finding.targets {
                let texts = findings.entry(target).or_default();
                texts.push(format!("{} ({})", finding.check, finding.subject));
            }
        }
        Ok(Self::Known {
            observed_at: report.observed_at,
            findings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(at: &str) -> Value {
        json!({"schema": 1, "observedAt": at, "checked": 40, "findings": [
            {"id": "a", "severity": "critical", "check": "rules", "subject": "app-use1",
             "targets": ["eu-west-1"], "evidence": "…", "consequence": "…", "remedy": "…"},
            {"id": "b", "severity": "critical", "check": "topics", "subject": "alarms", "targets": []},
            {"id": "c", "severity": "warning", "check": "lifecycle", "subject": "app-euw1",
             "targets": ["us-east-1"]},
        ]})
    }

    #[test]
    fn only_critical_findings_about_targets_count() {
        let now: Timestamp = "2026-11-20T17:00:00Z".parse().unwrap();
        let read = |at: &str| Drift::of_report(report(at), now);
        let observed_at = "2026-11-20T14:00:00Z".parse().unwrap();
        let region: Region = "eu-west-1".parse().unwrap();
        let expected = Drift::Known {
            observed_at,
            findings: BTreeMap::from([(region, vec!["rules (app-use1)".to_owned()])]),
        };
        assert_eq!(read("2026-11-20T14:00:00Z"), Ok(expected));
        assert_eq!(read("2026-11-20T13:59:59Z"), Ok(Drift::Unknown), "too old");
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        let now: Timestamp = "2026-11-20T17:00:00Z".parse().unwrap();
        let mut newer = report("2026-11-20T17:00:00Z");
        newer["schema"] = json!(2);
        for (document, named) in [
            (newer, "schema 2"),
            (json!({"schema": 1}), "observedAt"),
            (json!([]), "length 0"),
        ] {
            let error = Drift::of_report(document, now).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
