//! Invariant 8: the dial moves when it can.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use sentinel_core::evidence::{Observer, Verdict};
use sentinel_core::state::State;
use simulator::SimTime;

use crate::harness::{TICK, blocking};
use crate::history::{Ending, Function, History, list};
use crate::verdict::Violation;

/// Two ticks, and the time that the second one takes to act.
const LIMIT: Duration = Duration::from_secs(2 * TICK.as_secs() + 30);

/// Invariant 8: while the evidence shows an active member bad, a healthy target exists and no
/// guard blocks, the dial moves within two ticks, although no further event arrives.
///
/// The clock starts with the first state document in which the evidence calls a really active
/// member bad (for `EVIDENCE_TRIGGER_SECONDS`, or with a trigger open for it) and another member
/// good. It stops when the routes change, when a later document no longer says so, when the
/// function logs a decision about that member as blocked, and when an invocation fails because
/// the world hindered its requests to the routes API or the state store: then it starts anew with
/// the next document that says so. It must never reach two ticks and the time to act.
#[must_use]
pub fn prompt(history: &History) -> Vec<Violation> {
    let members = history.stage.members.iter();
    members
        .flat_map(|member| overdue(history, &member.region))
        .collect()
}

enum Event<'a> {
    State(&'a State),
    Excuse,
    End,
}

fn overdue(history: &History, region: &str) -> Vec<Violation> {
    let mut events: Vec<(SimTime, Event<'_>)> = history
        .states
        .iter()
        .map(|(at, state)| (*at, Event::State(state)))
        .collect();
    let moves = history.moves().into_iter().map(|moved| moved.at);
    let blocked = history.said(Function::Failover).filter_map(|(at, line)| {
        let about = line["from"].as_array()?.iter().any(|from| from == region);
        (about && !blocking(&line).is_empty()).then_some(at)
    });
    let hindered = history
        .invoked(Function::Failover)
        .filter(|invocation| {
            invocation.hindered > 0 && !matches!(invocation.ending, Ending::Answered(_))
        })
        .map(|invocation| invocation.ended);
    let excuses = moves.chain(blocked).chain(hindered);
    events.extend(excuses.map(|at| (at, Event::Excuse)));
    events.push((history.end, Event::End));
    events.sort_by_key(|(at, _)| *at);

    let mut violations = Vec::new();
    let mut since: Option<SimTime> = None;
    for (at, event) in events {
        if let Some(start) = since
            && at.since(start) > LIMIT
        {
            let text = format!(
                "{region} was bad, a healthy target was known and no guard blocked since {} s, and the dial did not move",
                start.as_secs()
            );
            violations.push(Violation::new("8", at, text));
            since = None;
        }
        match event {
            Event::State(state) if calls_for_a_move(history, at, state, region) => {
                since.get_or_insert(at);
            }
            Event::State(_) | Event::Excuse => since = None,
            Event::End => {}
        }
    }
    violations
}

fn calls_for_a_move(history: &History, at: SimTime, state: &State, region: &str) -> bool {
    let Some(evidence) = state
        .evidence
        .as_ref()
        .filter(|evidence| evidence.observer == Observer::Well)
    else {
        return false;
    };
    if !history.active_at(at).contains(region) {
        return false;
    }
    let bad = evidence
        .members
        .iter()
        .find(|member| member.region.as_str() == region && member.verdict == Verdict::Bad);
    let Some(bad) = bad else { return false };
    let lasted = evidence.observed_at.duration_since(bad.since) >= threshold(history);
    let triggered = state
        .triggers
        .iter()
        .any(|trigger| trigger.region.as_str() == region);
    let healthy: BTreeSet<String> = evidence
        .members
        .iter()
        .filter(|member| member.verdict == Verdict::Good)
        .map(|member| member.region.to_string())
        .collect();
    (lasted || triggered) && list(&healthy) != "nobody"
}

fn threshold(history: &History) -> SignedDuration {
    history.thresholds.evidence_trigger
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Cause, Invocation};
    use crate::invariants::testing::{EUW1, Story, USE1};

    /// Home is seen bad every minute from 60 s to `until`.
    fn ignored(until: u64) -> Story {
        let mut story = Story::new();
        for at in (60..=until).step_by(60) {
            story.sees_since(at, &[(USE1, Verdict::Bad, 60), (EUW1, Verdict::Good, 0)]);
        }
        story.history.end = SimTime::from_secs(until + 30);
        story
    }

    #[test]
    fn standing_still_is_a_violation() {
        assert!(prompt(&ignored(240).history).is_empty());
        assert_eq!(
            prompt(&ignored(300).history).len(),
            1,
            "bad for 60 s at 120 s, two ticks later it is 270 s"
        );
    }

    #[test]
    fn silence_is_no_excuse() {
        let mut story = ignored(120);
        story.history.end = SimTime::from_secs(600);
        assert_eq!(prompt(&story.history).len(), 1);
    }

    #[test]
    fn a_move_or_a_block_or_a_hindrance_in_time_is_right() {
        let mut moved = ignored(240);
        moved.moves(241, USE1, EUW1);
        moved.history.end = SimTime::from_secs(600);
        assert!(prompt(&moved.history).is_empty());

        let mut blocked = ignored(300);
        blocked.logs_block(200, "cooldown");
        assert!(prompt(&blocked.history).is_empty());

        let mut hindered = ignored(300);
        hindered.history.invocations.push(Invocation {
            function: Function::Failover,
            request_id: "r".to_owned(),
            attempt: 1,
            environment: "failover-1".to_owned(),
            cause: Cause::Tick,
            started: SimTime::from_secs(190),
            ended: SimTime::from_secs(200),
            ending: Ending::Failed("no control endpoint".to_owned()),
            requests: 9,
            hindered: 1,
        });
        assert!(prompt(&hindered.history).is_empty());
        hindered.history.invocations[0].hindered = 0;
        assert_eq!(
            prompt(&hindered.history).len(),
            1,
            "failing for no reason is no excuse"
        );
    }

    #[test]
    fn without_a_healthy_target_nothing_has_to_move() {
        let mut story = Story::new();
        for at in (60..=600).step_by(60) {
            story.sees_since(
                at,
                &[(USE1, Verdict::Bad, 0), (EUW1, Verdict::Throttled, 0)],
            );
        }
        assert!(prompt(&story.history).is_empty());
    }
}
