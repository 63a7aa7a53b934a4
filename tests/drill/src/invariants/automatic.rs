//! Invariants 3 and 9: what keeps the machine back.

use std::time::Duration;

use jiff::SignedDuration;
use sentinel_core::evidence::Verdict;

use crate::history::{History, Move, Mover, list};
use crate::verdict::Violation;
use simulator::SimTime;

/// A change in the console is known to the machine once it reads the routes: what it decided
/// this shortly after one was decided without knowing of it.
const UNKNOWN_YET: Duration = Duration::from_secs(10);

/// Invariant 3: no automatic change while a hold is set, against the cooldown, or over the
/// daily budget.
///
/// Judged at the moment of the claim, for every change that the machine made by itself. A hold
/// is set from the answer to the operator's `hold` until the operator sends `release` (or it ends
/// by its own time); it cannot call back what was claimed before. The cooldown is computed from
/// the real route changes: none back to a member that a change not made by an operator left
/// within `COOLDOWN_SECONDS`, unless the evidence beside the claim calls every active member bad
/// and that member good for `RETURN_HEALTHY_SECONDS`; no other within `MIN_DWELL_SECONDS` of the
/// last change. Changes before an acknowledgement count for neither. The budget counts the real
/// automatic changes of the 24 hours before.
#[must_use]
pub fn restrained(history: &History) -> Vec<Violation> {
    let moves = history.moves();
    let mut violations = Vec::new();
    for (position, moved) in moves.iter().enumerate() {
        if moved.by != Mover::Machine {
            continue;
        }
        let earlier = &moves[..position];
        violations.extend(against_hold(history, moved));
        violations.extend(against_cooldown(history, earlier, moved));
        violations.extend(over_budget(history, earlier, moved));
    }
    violations
}

fn against_hold(history: &History, moved: &Move) -> Option<Violation> {
    let held = history.commands("held").find(|hold| {
        let released = history
            .commands("released")
            .map(|release| release.started)
            .find(|released| *released > hold.ended)
            .unwrap_or(history.end);
        let until = hold_end(history, hold.ended).unwrap_or(released);
        (hold.ended..released.min(until)).contains(&moved.decided)
    })?;
    let text = format!(
        "an automatic change to {} although a hold was set at {} s",
        list(&moved.after),
        held.ended.as_secs()
    );
    Some(Violation::new("3", moved.at, text))
}

/// The end that the hold itself names.
fn hold_end(history: &History, set: SimTime) -> Option<SimTime> {
    let mut states = history.states.iter().filter(|(at, _)| *at <= set).rev();
    let hold = states.find_map(|(_, state)| state.hold.as_ref())?;
    hold.until.map(|until| history.moment(until))
}

fn against_cooldown(history: &History, earlier: &[Move], moved: &Move) -> Option<Violation> {
    let violation = |text: String| Some(Violation::new("3", moved.at, text));
    let acknowledged = history
        .commands("acknowledged")
        .map(|invocation| invocation.ended)
        .filter(|at| *at <= moved.decided)
        .max();
    let counts: Vec<&Move> = earlier
        .iter()
        .filter(|change| acknowledged.is_none_or(|at| change.at > at))
        .filter(|change| {
            change.by != Mover::Console || moved.decided.since(change.at) > UNKNOWN_YET
        })
        .collect();
    let span = |duration: SignedDuration| Duration::try_from(duration).unwrap_or_default();
    let cooldown = span(history.thresholds.cooldown);
    for region in moved.to() {
        let left = counts
            .iter()
            .rev()
            .find(|change| change.by != Mover::Operator && change.from().contains(&region));
        if let Some(left) = left
            && moved.decided.since(left.at) < cooldown
            && !may_return(history, moved, &region)
        {
            return violation(format!(
                "an automatic return to {region}, left at {} s, within the cooldown",
                left.at.as_secs()
            ));
        }
    }
    let dwell = span(history.thresholds.min_dwell);
    let last = counts.last()?;
    if moved.decided.since(last.at) < dwell {
        return violation(format!(
            "an automatic change {} s after the last one",
            moved.decided.since(last.at).as_secs()
        ));
    }
    None
}

fn may_return(history: &History, moved: &Move, region: &str) -> bool {
    let Some(claim) = moved.claim else {
        return false;
    };
    let (_, state) = &history.states[claim];
    let Some(evidence) = &state.evidence else {
        return false;
    };
    let verdict = |name: &str| {
        name.parse()
            .map_or(Verdict::Unknown, |region| evidence.verdict(&region))
    };
    let healthy = evidence.members.iter().any(|member| {
        let good_for = history.calendar(moved.decided).duration_since(member.since);
        member.region.as_str() == region && good_for >= history.thresholds.return_healthy
    });
    healthy
        && verdict(region) == Verdict::Good
        && moved
            .before
            .iter()
            .all(|active| verdict(active) == Verdict::Bad)
}

fn over_budget(history: &History, earlier: &[Move], moved: &Move) -> Option<Violation> {
    let day = Duration::from_hours(24);
    let used = earlier
        .iter()
        .filter(|change| change.by == Mover::Machine && moved.decided.since(change.at) < day)
        .count();
    let budget = usize::try_from(history.thresholds.daily_budget).unwrap_or(usize::MAX);
    (used >= budget).then(|| {
        Violation::new(
            "3",
            moved.at,
            format!("automatic change number {} of the day", used + 1),
        )
    })
}

/// Invariant 9: a change made by a person is never undone by the machine unless that person's
/// hold, mode or acknowledgement says so.
///
/// Judged for every automatic change away from a member, if the last change that concerned that
/// member's dial made it active and was a person's (through the function or in the console).
/// Such a change is right only if an operator acknowledged in between, or if the member's trouble
/// began after the person's change: the outside prober saw it answer after that change, and fail
/// after that.
#[must_use]
pub fn person_respected(history: &History) -> Vec<Violation> {
    let moves = history.moves();
    let mut violations = Vec::new();
    for (position, moved) in moves.iter().enumerate() {
        if moved.by != Mover::Machine {
            continue;
        }
        for region in moved.from() {
            let touched = moves[..position]
                .iter()
                .rev()
                .find(|change| change.to().contains(&region) || change.from().contains(&region));
            let Some(chosen) =
                touched.filter(|change| change.by.is_person() && change.to().contains(&region))
            else {
                continue;
            };
            if !acknowledged_between(history, chosen.at, moved.decided)
                && !fell_ill(history, &region, chosen.at, moved.decided)
            {
                let text = format!(
                    "the machine left {region}, which a person made active at {} s",
                    chosen.at.as_secs()
                );
                violations.push(Violation::new("9", moved.at, text));
            }
        }
    }
    violations
}

fn acknowledged_between(history: &History, from: SimTime, until: SimTime) -> bool {
    let mut acknowledged = history.commands("acknowledged");
    acknowledged.any(|invocation| (from..=until).contains(&invocation.ended))
}

fn fell_ill(history: &History, region: &str, from: SimTime, until: SimTime) -> bool {
    let mut probes = history.probes_of(region, from, until);
    probes.any(|probe| probe.ok) && probes.any(|probe| !probe.ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{EUW1, Story, USE1};

    fn moved_once() -> Story {
        let mut story = Story::new();
        story.sees(90, &[(USE1, Verdict::Bad), (EUW1, Verdict::Good)]);
        story.moves(100, USE1, EUW1);
        story
    }

    #[test]
    fn a_change_during_a_hold_is_a_violation() {
        let mut story = moved_once();
        assert!(restrained(&story.history).is_empty());
        story.operator(50, "hold", "held");
        assert_eq!(restrained(&story.history).len(), 1);
        story.operator(80, "release", "released");
        assert!(restrained(&story.history).is_empty());
    }

    #[test]
    fn an_early_return_is_a_violation() {
        // (return at, home good since, expected)
        for (at, since, expected) in [(1000, 900, 1), (1000, 600, 0), (1950, 1940, 0)] {
            let mut story = moved_once();
            story.sees_since(
                at - 1,
                &[(USE1, Verdict::Good, since), (EUW1, Verdict::Bad, since)],
            );
            story.moves(at, EUW1, USE1);
            assert_eq!(restrained(&story.history).len(), expected, "{at} {since}");
        }
    }

    #[test]
    fn a_change_right_after_another_is_a_violation_unless_acknowledged() {
        let mut story = Story::new();
        story.console(100, USE1, EUW1);
        story.sees_since(201, &[(USE1, Verdict::Good, 0), (EUW1, Verdict::Bad, 150)]);
        story.moves(202, EUW1, USE1);
        assert_eq!(restrained(&story.history).len(), 1);
        story.operator(150, "acknowledge", "acknowledged");
        assert!(restrained(&story.history).is_empty());
    }

    #[test]
    fn the_fifth_automatic_change_of_a_day_is_a_violation() {
        let mut story = Story::new();
        for (number, at) in (0..5).map(|number| (number, 100 + number * 4000)) {
            let (from, to) = if number % 2 == 0 {
                (USE1, EUW1)
            } else {
                (EUW1, USE1)
            };
            story.sees(at - 1, &[(from, Verdict::Bad), (to, Verdict::Good)]);
            story.moves(at, from, to);
        }
        let violations = restrained(&story.history);
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert_eq!(violations[0].at_s, 16_100);
    }

    #[test]
    fn undoing_a_persons_change_is_a_violation() {
        let undone = || {
            let mut story = Story::new();
            story.console(100, USE1, EUW1);
            story.sees(999, &[(USE1, Verdict::Good), (EUW1, Verdict::Bad)]);
            story.moves(1000, EUW1, USE1);
            story
        };
        let mut story = undone();
        story.probe(110, EUW1, false);
        assert_eq!(person_respected(&story.history).len(), 1);

        let mut fell_ill = undone();
        fell_ill.probe(110, EUW1, true);
        fell_ill.probe(900, EUW1, false);
        assert!(person_respected(&fell_ill.history).is_empty());

        let mut acknowledged = undone();
        acknowledged.operator(500, "acknowledge", "acknowledged");
        assert!(person_respected(&acknowledged.history).is_empty());
    }
}
