//! The page of `--report`: the story, a timeline, the numbers, what was checked and what people
//! were told. One file that needs nothing else.

mod timeline;

use std::fmt::Write as _;

use simulator::SimTime;

use crate::document::{Document, cause};
use crate::harness::{Kind, Moment};
use crate::history::{History, attribute, list};
use crate::narration::{belongs, called, checked, rows, stamp};
use crate::numbers::Numbers;
use crate::scenario::Scenario;

const STYLE: &str = include_str!("style.css");

/// Text as it may stand in HTML, in an element or an attribute.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The whole page.
#[must_use]
pub fn page(
    scenario: &Scenario,
    document: &Document,
    history: &History,
    numbers: &Numbers,
    moments: &[Moment],
) -> String {
    let title = format!("{}, seed {}", scenario.name, document.seed);
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{0}</title><style>{STYLE}</style></head><body><main>\n<h1>{0}</h1>\n",
        escape(&title)
    );
    for line in scenario.story.lines() {
        let _ = writeln!(page, "<p class=\"story\">{}</p>", escape(line));
    }
    page.push_str(&summary(document));
    let _ = writeln!(page, "<h2>Timeline</h2>\n{}", timeline::svg(history));
    numbers_table(&mut page, numbers);
    changes(&mut page, history);
    invariants(&mut page, document);
    notifications(&mut page, history);
    story(&mut page, moments);
    let again = format!(
        "cargo drill --scenario {} --seed {}",
        scenario.name, document.seed
    );
    let _ = writeln!(
        page,
        "<p>Again: <code>{}</code></p>\n</main></body></html>",
        escape(&again)
    );
    page
}

fn summary(document: &Document) -> String {
    let (class, text) = match document.violations.len() {
        0 => ("good", "Everything held.".to_owned()),
        1 => ("wrong", "1 violation.".to_owned()),
        count => ("wrong", format!("{count} violations.")),
    };
    format!("<p class=\"verdict {class}\">{text}</p>\n")
}

fn numbers_table(page: &mut String, numbers: &Numbers) {
    page.push_str("<h2>Numbers</h2>\n<table>\n");
    for (name, value) in rows(numbers) {
        let _ = writeln!(
            page,
            "<tr><th>{}</th><td class=\"number\">{}</td></tr>",
            escape(name),
            escape(&value)
        );
    }
    page.push_str("</table>\n");
}

fn changes(page: &mut String, history: &History) {
    page.push_str("<h2>Route changes</h2>\n<table>\n");
    for moved in history.moves() {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{} &rarr; {}</td><td>{}</td></tr>",
            stamp(moved.at),
            escape(&list(&moved.before)),
            escape(&list(&moved.after)),
            escape(&cause(&moved))
        );
    }
    page.push_str("</table>\n");
}

fn invariants(page: &mut String, document: &Document) {
    page.push_str("<h2>Invariants</h2>\n<table>\n");
    for name in checked() {
        let broken: Vec<_> = document
            .violations
            .iter()
            .filter(|one| belongs(one, name))
            .collect();
        if broken.is_empty() {
            let _ = writeln!(
                page,
                "<tr><td class=\"good\">ok</td><td>{}</td></tr>",
                escape(name)
            );
        }
        for one in broken {
            let _ = writeln!(
                page,
                "<tr><td class=\"wrong\">violated</td><td>{} at {}: {}</td></tr>",
                escape(name),
                stamp(SimTime::from_secs(one.at_s)),
                escape(&one.text)
            );
        }
    }
    page.push_str("</table>\n");
}

fn notifications(page: &mut String, history: &History) {
    page.push_str("<h2>What people were told</h2>\n");
    for one in history.pages() {
        let severity = attribute(one, "severity");
        let by_protocol: serde_json::Value = serde_json::from_str(&one.message).unwrap_or_default();
        let text = by_protocol["default"].as_str().unwrap_or(&one.message);
        let _ = writeln!(
            page,
            "<details><summary><span class=\"stamp\">{}</span> <span class=\"{}\">{}</span></summary><pre>{}</pre></details>",
            stamp(one.at),
            escape(severity),
            escape(one.subject.as_deref().unwrap_or_default()),
            escape(text)
        );
    }
}

fn story(page: &mut String, moments: &[Moment]) {
    page.push_str("<h2>As it happened</h2>\n<table class=\"log\">\n");
    for moment in moments {
        let kind = match moment.kind {
            Kind::Story => "story",
            Kind::Client => "clients",
            Kind::Alarm => "alarm",
            Kind::Function(function) => called(function),
            Kind::Routes => "routes",
            Kind::Page => "told",
        };
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{kind}</td><td>{}</td></tr>",
            stamp(moment.at),
            escape(&moment.text)
        );
    }
    page.push_str("</table>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::invariants::testing::{EUW1, Story, USE1};
    use crate::numbers::measure;
    use crate::verdict::Violation;

    #[test]
    fn nothing_that_was_said_becomes_markup() {
        let mut story = Story::new();
        story.moves(100, USE1, EUW1);
        story.publishes(101, "<script>", "submitted", "</script>");
        let moment = Moment {
            at: SimTime::ZERO,
            kind: Kind::Story,
            text: "<b onclick='x'>&\"".to_owned(),
        };
        let numbers = measure(&story.history);
        let violation = Violation::new("1", SimTime::ZERO, "<i>");
        let document = Document::new("regional-outage", 1, &story.history, &numbers, &[violation]);
        let scenario = crate::scenarios::find("regional-outage").unwrap();
        let page = page(scenario, &document, &story.history, &numbers, &[moment]);
        assert!(page.contains("&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;"));
        assert!(page.contains("&lt;i&gt;"));
        for raw in ["<script", "<b ", "<i>", "http:", "https:"] {
            assert!(!page.contains(raw), "{raw}");
        }
        assert!(page.contains("<svg") && page.ends_with("</html>\n"));
    }
}
