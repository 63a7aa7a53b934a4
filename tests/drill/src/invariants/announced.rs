//! Invariant 6: what is recorded and announced.

use std::collections::BTreeMap;
use std::time::Duration;

use sentinel_core::state::{Actor, Change};
use serde_json::Value;
use simulator::SimTime;
use simulator::truth::Published;

use super::GRACE;
use crate::harness::blocking;
use crate::history::{Function, History, Move, attribute, body, event_id, list, regions};
use crate::verdict::Violation;

/// Invariant 6: every route change and every blocked decision is recorded, then announced at
/// least once under a stable `event_id`; and so is everything that `redrive` tells.
///
/// - Every real change of the routes (whoever made it) has a change of its own in the last state
///   document, in the same order and with the same result; and SNS took an announcement of it,
///   not before it was recorded: the decision's `submitted`, or `outside-change` or `late-landing`
///   with these routes. All announcements of a decision's event carry one id.
/// - Every `blocked` that the function logged was announced with the same incident and the same
///   blocking guards: not longer ago than the interval of reminders, or at the next tick.
/// - Whatever was put into an outbox was published, unless a newer reminder replaced it, and
///   nothing was published that was not in the outbox before. Pages marked UNRECORDED, sent while
///   the state store is out of reach, are the exception that the design makes.
#[must_use]
pub fn announced(history: &History) -> Vec<Violation> {
    let mut violations = changes(history);
    violations.extend(blocks(history));
    violations.extend(outbox(history));
    violations.extend(unrecorded(history));
    violations.extend(unstable(history));
    violations
}

fn settled(history: &History, at: SimTime) -> bool {
    at + GRACE <= history.end
}

fn changes(history: &History) -> Vec<Violation> {
    let nothing = Vec::new();
    let recorded = history
        .states
        .last()
        .map_or(&nothing, |(_, state)| &state.changes);
    let mut rest = recorded.iter();
    let mut violations = Vec::new();
    for moved in history
        .moves()
        .iter()
        .filter(|moved| settled(history, moved.at))
    {
        let what = format!("the change to {}", list(&moved.after));
        let record = rest.find(|change| {
            // A change may be read back in the very millisecond in which it was accepted.
            regions(&change.after.active()) == moved.after && history.moment(change.at) >= moved.at
        });
        let Some(record) = record else {
            violations.push(Violation::new(
                "6",
                moved.at,
                format!("{what} is not recorded"),
            ));
            continue;
        };
        if !was_announced(history, moved, record) {
            violations.push(Violation::new(
                "6",
                moved.at,
                format!("{what} was not announced"),
            ));
        }
    }
    violations
}

fn was_announced(history: &History, moved: &Move, record: &Change) -> bool {
    let event = match record.by {
        Actor::Outside => "outside-change",
        Actor::LateLanding => "late-landing",
        Actor::Automatic | Actor::Operator => "submitted",
    };
    history.published.iter().any(|one| {
        let told = body(one);
        attribute(one, "event") == event
            && one.at >= moved.at
            && match &record.decision {
                Some(decision) => told["decision"] == Value::String(decision.clone()),
                None => {
                    active(&told["routes"]["after"])
                        == moved.after.iter().map(String::as_str).collect::<Vec<_>>()
                }
            }
    })
}

fn active(routes: &Value) -> Vec<&str> {
    let routes = routes.as_array().into_iter().flatten();
    let mut active: Vec<&str> = routes
        .filter(|route| route["dial"] == 100)
        .filter_map(|route| route["region"].as_str())
        .collect();
    active.sort_unstable();
    active
}

fn blocks(history: &History) -> Vec<Violation> {
    let reminder = Duration::try_from(history.thresholds.blocked_reminder).unwrap_or_default();
    let told: Vec<(SimTime, Value)> = history
        .published
        .iter()
        .filter(|one| ["blocked", "operator-blocked"].contains(&attribute(one, "event")))
        .map(|one| (one.at, body(one)))
        .collect();
    let mut violations = Vec::new();
    for (at, line) in history.said(Function::Failover) {
        if line["outcome"] != "blocked" || !settled(history, at) {
            continue;
        }
        let window = at - (reminder + GRACE)..=at + GRACE;
        let announced = told.iter().any(|(then, told)| {
            window.contains(then)
                && told["incident"] == line["incident"]
                && blocking(told) == blocking(&line)
        });
        if !announced {
            let text = format!(
                "a decision blocked by {} was not announced",
                blocking(&line).join(", ")
            );
            violations.push(Violation::new("6", at, text));
        }
    }
    violations
}

/// When each announcement was first in an outbox, and whether a newer one may replace it.
fn recorded(history: &History) -> BTreeMap<&str, (SimTime, bool)> {
    let redrive = history.backlog.recorded.iter();
    let redrive = redrive.map(|(id, (at, reminder))| (id.as_str(), (*at, *reminder)));
    let mut recorded: BTreeMap<&str, (SimTime, bool)> = redrive.collect();
    let of_failover = history.states.iter().map(|(at, one)| (at, &one.outbox));
    let of_readiness = history.reports.iter().map(|(at, one)| (at, &one.outbox));
    for (at, outbox) in of_failover.chain(of_readiness) {
        for announcement in outbox {
            let entry = (*at, announcement.event.is_reminder());
            recorded
                .entry(announcement.event_id.as_str())
                .or_insert(entry);
        }
    }
    recorded
}

fn outbox(history: &History) -> Vec<Violation> {
    let unpublished = recorded(history)
        .into_iter()
        .filter(|(id, (at, replaceable))| {
            !replaceable
                && settled(history, *at)
                && !history.published.iter().any(|one| event_id(one) == *id)
        });
    unpublished
        .map(|(id, (at, _))| {
            Violation::new("6", at, format!("{id} was recorded but never published"))
        })
        .collect()
}

fn unrecorded(history: &History) -> Vec<Violation> {
    let recorded = recorded(history);
    let surprising = history.published.iter().filter(|one| {
        let marked = one
            .subject
            .as_deref()
            .is_some_and(|subject| subject.contains("UNRECORDED"));
        !marked
            && recorded
                .get(event_id(one))
                .is_none_or(|(at, _)| *at > one.at)
    });
    surprising
        .map(|one| {
            Violation::new(
                "6",
                one.at,
                format!("{} was published before it was recorded", event_id(one)),
            )
        })
        .collect()
}

/// Events of a decision that were announced under more than one id.
fn unstable(history: &History) -> Vec<Violation> {
    let mut ids: BTreeMap<(String, String), &Published> = BTreeMap::new();
    let mut violations = Vec::new();
    for one in &history.published {
        let event = attribute(one, "event");
        if !["submitted", "failed-over", "failed-back", "switched-over"].contains(&event) {
            continue;
        }
        let Some(decision) = body(one)["decision"].as_str().map(str::to_owned) else {
            continue;
        };
        let first = ids.entry((event.to_owned(), decision)).or_insert(one);
        if event_id(first) != event_id(one) {
            let text = format!(
                "one {event} was announced as {} and as {}",
                event_id(first),
                event_id(one)
            );
            violations.push(Violation::new("6", one.at, text));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{EUW1, Story, USE1};
    use sentinel_core::evidence::Verdict;

    fn moved() -> Story {
        let mut story = Story::new();
        story.sees(90, &[(USE1, Verdict::Bad), (EUW1, Verdict::Good)]);
        story.moves(100, USE1, EUW1);
        story
    }

    #[test]
    fn a_change_needs_a_record_and_an_announcement() {
        let mut story = moved();
        let texts = |story: &Story| -> Vec<String> {
            announced(&story.history)
                .into_iter()
                .map(|v| v.text)
                .collect()
        };
        assert_eq!(texts(&story), ["the change to eu-west-1 is not recorded"]);
        story.records(101, USE1, EUW1);
        assert_eq!(texts(&story), ["the change to eu-west-1 was not announced"]);
        story.outbox(101, "i/submitted/d1");
        assert_eq!(
            texts(&story).len(),
            2,
            "recorded in the outbox, and not published"
        );
        story.publishes(102, "i/submitted/d1", "submitted", "d1");
        assert_eq!(texts(&story), Vec::<String>::new());
        story.publishes(103, "i/submitted/other", "submitted", "d1");
        assert_eq!(texts(&story).len(), 2, "another id, and not recorded");
    }

    #[test]
    fn what_redrive_tells_is_recorded_then_published() {
        let mut story = Story::new();
        story.publishes(50, "g/held", "replication-failing", "");
        assert_eq!(announced(&story.history).len(), 1, "not recorded");
        let recorded = &mut story.history.backlog.recorded;
        recorded.insert("g/held".to_owned(), (SimTime::from_secs(60), false));
        assert_eq!(announced(&story.history).len(), 1, "recorded later");
        let recorded = &mut story.history.backlog.recorded;
        recorded.insert("g/held".to_owned(), (SimTime::from_secs(49), false));
        assert!(announced(&story.history).is_empty());
        let recorded = &mut story.history.backlog.recorded;
        recorded.insert("g/lost".to_owned(), (SimTime::from_secs(49), false));
        assert_eq!(announced(&story.history).len(), 1, "never published");
    }

    #[test]
    fn a_change_in_the_console_counts_too() {
        let mut story = Story::new();
        story.console(100, USE1, EUW1);
        assert_eq!(announced(&story.history).len(), 1);
    }

    #[test]
    fn a_block_needs_an_announcement_of_its_guards() {
        let mut story = Story::new();
        story.logs_block(100, "target-is-healthy");
        assert_eq!(announced(&story.history).len(), 1);
        story.outbox(100, "i/blocked/1");
        story.publishes_block(101, "i/blocked/1", "cooldown");
        assert_eq!(announced(&story.history).len(), 1, "other guards");
        story.publishes_block(102, "i/blocked/1", "target-is-healthy");
        assert!(announced(&story.history).is_empty());
    }
}
