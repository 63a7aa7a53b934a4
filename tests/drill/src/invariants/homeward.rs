//! What must be true of every way home that the machine takes by itself.

use std::time::Duration;

use jiff::SignedDuration;
use sentinel_core::state::Kind;

use crate::harness::TICK;
use crate::history::{History, Move, Mover};
use crate::verdict::Violation;

/// A failback that nobody commanded leaves for a home that is well and has everything, and turns
/// no dial that a person turned last.
///
/// Judged by the truth, for every change that the machine made by itself as a failback:
///
/// - The outside prober saw no failure of a member that begins to serve, for as long as
///   `STABILIZATION_SECONDS` before the decision (less a tick: that is how far apart looks may be).
/// - Whatever clients were told is safe longer than `DRAIN_SECONDS` before the decision, and was
///   taken by a member that served then, is at home.
/// - The last change of every dial that is turned was not a person's, unless an operator
///   acknowledged since.
#[must_use]
pub fn safe_way_home(history: &History) -> Vec<Violation> {
    let moves = history.moves();
    let mut violations = Vec::new();
    for (position, moved) in moves.iter().enumerate() {
        let is_failback = moved
            .plan
            .as_ref()
            .is_some_and(|plan| plan.kind == Kind::Failback);
        if moved.by != Mover::Machine || !is_failback {
            continue;
        }
        violations.extend(for_a_stable_home(history, moved));
        violations.extend(for_a_complete_home(history, moved));
        violations.extend(against_nobody(history, &moves[..position], moved));
    }
    violations
}

fn span(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default()
}

fn for_a_stable_home(history: &History, moved: &Move) -> Vec<Violation> {
    let window = span(history.thresholds.stabilization).saturating_sub(TICK);
    let begin = moved.decided - window;
    let to = moved.to();
    let failures = to.iter().filter_map(|region| {
        let mut probes = history.probes_of(region, begin, moved.decided);
        let failed = probes.find(|probe| !probe.ok)?;
        let text = format!(
            "went home to {region}, which failed at {} s",
            failed.at.as_secs()
        );
        Some(Violation::new("way home", moved.at, text))
    });
    failures.collect()
}

fn for_a_complete_home(history: &History, moved: &Move) -> Option<Violation> {
    let window = span(history.thresholds.drain);
    let acting: Vec<&str> = moved
        .before
        .iter()
        .map(|region| history.stage.bucket(region))
        .collect();
    let to = moved.to();
    let home: Vec<&str> = to
        .iter()
        .map(|region| history.stage.bucket(region))
        .collect();
    let missing = history.acknowledged.iter().find(|write| {
        let places = history
            .data
            .get(&(write.key.clone(), write.version.clone()));
        let is_there = |bucket: &str| {
            places
                .and_then(|places| places.get(bucket))
                .is_some_and(|held| held.since <= moved.at)
        };
        write.at + window < moved.decided
            && acting.contains(&write.bucket.as_str())
            && !home.iter().all(|bucket| is_there(bucket))
    })?;
    let text = format!(
        "went home although it lacks {}, written at {} s",
        missing.key,
        missing.at.as_secs()
    );
    Some(Violation::new("way home", moved.at, text))
}

fn against_nobody(history: &History, earlier: &[Move], moved: &Move) -> Vec<Violation> {
    let (from, to) = (moved.from(), moved.to());
    let turned = from.union(&to);
    let undone = turned.filter_map(|region| {
        let mut earlier = earlier.iter().rev();
        let last = earlier
            .find(|change| change.to().contains(region) || change.from().contains(region))?;
        let acknowledged = history
            .commands("acknowledged")
            .any(|invocation| (last.at..=moved.decided).contains(&invocation.ended));
        (last.by.is_person() && !acknowledged).then(|| {
            let text = format!(
                "the machine turned the dial of {region} back, which a person turned at {} s",
                last.at.as_secs()
            );
            Violation::new("9", moved.at, text)
        })
    });
    undone.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{EUW1, Story, USE1};
    use sentinel_core::evidence::Verdict;

    /// Out at 100 s, home at 5000 s.
    fn home_again() -> Story {
        let mut story = Story::new();
        story.sees(90, &[(USE1, Verdict::Bad), (EUW1, Verdict::Good)]);
        story.moves(100, USE1, EUW1);
        story.sees(4990, &[(USE1, Verdict::Good), (EUW1, Verdict::Good)]);
        story.goes_home(5000, EUW1, USE1);
        story
    }

    #[test]
    fn a_home_that_failed_lately_is_a_violation() {
        // (a failed probe of home at, expected)
        for (at, expected) in [(3000, 0), (3259, 0), (3261, 1), (4999, 1)] {
            let mut story = home_again();
            story.probe(at, USE1, false);
            story.probe(4000, EUW1, false);
            assert_eq!(safe_way_home(&story.history).len(), expected, "{at}");
        }
    }

    #[test]
    fn a_home_that_lacks_something_old_is_a_violation() {
        // (written at, where it is, expected)
        for (at, places, expected) in [
            (4000, &["app-euw1"][..], 1),
            (4000, &["app-euw1", "app-use1"], 0),
            (4399, &["app-euw1"], 1),
            (4401, &["app-euw1"], 0),
        ] {
            let mut story = home_again();
            story.acknowledges(at, "data/a", places);
            story.history.acknowledged[0].bucket = "app-euw1".to_owned();
            assert_eq!(safe_way_home(&story.history).len(), expected, "{at}");
        }
    }

    #[test]
    fn taking_back_a_persons_change_is_a_violation() {
        let mut story = Story::new();
        story.console(100, USE1, EUW1);
        story.sees(4990, &[(USE1, Verdict::Good), (EUW1, Verdict::Good)]);
        story.goes_home(5000, EUW1, USE1);
        assert_eq!(safe_way_home(&story.history).len(), 2, "two dials");
        story.operator(500, "acknowledge", "acknowledged");
        assert!(safe_way_home(&story.history).is_empty());
    }
}
