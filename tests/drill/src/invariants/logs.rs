//! What the functions print can be read by machines, and keeps other people's keys to itself.

use serde_json::Value;

use crate::DATA_PREFIX;
use crate::history::History;
use crate::verdict::Violation;

/// A line or an announcement may give so many keys as examples.
const EXAMPLES: usize = 5;

/// Every line is a JSON object: a log line with time, level, message and request id, or metrics
/// in CloudWatch's embedded format with the namespace, the values and a unit for each. Neither a
/// line nor an announcement lists the clients' keys.
#[must_use]
pub fn well_formed(history: &History) -> Vec<Violation> {
    let problems = history.lines.iter().filter_map(|line| {
        let problem = problem(&line.text)?;
        Some(Violation::new(
            "logs",
            line.at,
            format!("{problem}: {}", line.text),
        ))
    });
    problems.chain(chatty(history)).collect()
}

fn chatty(history: &History) -> impl Iterator<Item = Violation> {
    let lines = history.lines.iter().map(|line| (line.at, &line.text));
    let pages = history.published.iter().map(|one| (one.at, &one.message));
    let keys = |text: &str| text.matches(DATA_PREFIX).count();
    lines.chain(pages).filter_map(move |(at, text)| {
        let count = keys(text);
        let problem = format!("{count} of the clients' keys in one line or announcement");
        (count > EXAMPLES).then(|| Violation::new("logs", at, problem))
    })
}

fn problem(line: &str) -> Option<&'static str> {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
        return Some("no JSON object");
    };
    let Some(aws) = fields.get("_aws") else {
        let expected = ["timestamp", "level", "message", "requestId"];
        let complete = expected
            .iter()
            .all(|name| fields.get(*name).is_some_and(Value::is_string));
        return (!complete).then_some("a log line without time, level, message or request id");
    };
    if !aws["Timestamp"].is_i64() {
        return Some("metrics without a time");
    }
    let Some(directives) = aws["CloudWatchMetrics"]
        .as_array()
        .filter(|list| !list.is_empty())
    else {
        return Some("metrics without a directive");
    };
    for directive in directives {
        if directive["Namespace"] != "MrapSentinel" {
            return Some("metrics of another namespace");
        }
        let dimensions = directive["Dimensions"].as_array().into_iter().flatten();
        let mut names = dimensions.filter_map(Value::as_array).flatten();
        if !names.all(|name| named(&fields, name).is_some_and(Value::is_string)) {
            return Some("a dimension without a value");
        }
        let metrics = directive["Metrics"].as_array().into_iter().flatten();
        for metric in metrics {
            if !named(&fields, &metric["Name"]).is_some_and(Value::is_number) {
                return Some("a metric without a value");
            }
            if !metric["Unit"].is_string() {
                return Some("a metric without a unit");
            }
        }
    }
    None
}

fn named<'a>(fields: &'a serde_json::Map<String, Value>, name: &Value) -> Option<&'a Value> {
    fields.get(name.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::Story;

    #[test]
    fn a_list_of_keys_is_a_violation() {
        let mut story = Story::new();
        story.publishes(
            50,
            "g/held",
            "replication-failing",
            &"data/a, ".repeat(EXAMPLES),
        );
        assert!(well_formed(&story.history).is_empty());
        story.publishes(
            60,
            "g/held",
            "replication-failing",
            &"data/a, ".repeat(EXAMPLES + 1),
        );
        assert_eq!(well_formed(&story.history).len(), 1);
    }

    #[test]
    fn malformed_lines_are_found() {
        let good = r#"{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"MrapSentinel","Dimensions":[["Mrap"]],"Metrics":[{"Name":"Decisions","Unit":"Count"}]}]},"Mrap":"m","Decisions":1}"#;
        assert_eq!(problem(good), None);
        for (from, to) in [
            ("\"Mrap\":\"m\",", ""),
            ("\"Decisions\":1", "\"Decisions\":\"1\""),
            (",\"Unit\":\"Count\"", ""),
            ("MrapSentinel", "Other"),
            ("\"Timestamp\":1", "\"Timestamp\":\"now\""),
        ] {
            assert!(problem(&good.replace(from, to)).is_some(), "{from}");
        }
        let line = r#"{"timestamp":"t","level":"INFO","message":"m","requestId":"r"}"#;
        assert_eq!(problem(line), None);
        assert!(problem(&line.replace("requestId", "id")).is_some());
        assert!(problem("Hello").is_some());
    }
}
