//! Invariants 1 and 2: what the routes may become.

use std::time::Duration;

use sentinel_core::evidence::Verdict;
use sentinel_core::guard::Guard;

use crate::harness::ROUND;
use crate::history::{History, Move};
use crate::verdict::Violation;

/// Invariant 1: at every moment at least one member is active.
///
/// Truth is the list of all submissions that the routes API accepted, the start included,
/// whoever made them: after each of them some dial stands at 100.
#[must_use]
pub fn one_active(history: &History) -> Vec<Violation> {
    history
        .routes
        .iter()
        .filter(|change| change.after.iter().all(|route| route.dial != 100))
        .map(|change| Violation::new("1", change.at, "no member is active"))
        .collect()
}

/// Invariant 2: the dial never moves to a member that the evidence at hand shows unhealthy,
/// unless an operator overrode that guard.
///
/// Judged for every change that the function submitted and that made a member active. The
/// evidence at hand is what stands in the state document beside the claim: it must call the
/// member good. Beyond that the member must not really have been failing: if the outside prober
/// saw only failures of it, from more than one of its rounds before the decision to the first
/// one after it, then evidence that calls it good was worthless.
/// A change that breaks the glass has no claim and counts as overridden.
#[must_use]
pub fn healthy_target(history: &History) -> Vec<Violation> {
    let moves = history.moves();
    let judged = moves.iter().filter_map(|moved| {
        let plan = moved.plan.as_ref()?;
        let overridden = plan
            .guards
            .iter()
            .any(|report| report.guard == Guard::TargetIsHealthy && report.overridden);
        (!overridden).then_some(moved)
    });
    judged
        .flat_map(|moved| {
            moved
                .to()
                .into_iter()
                .filter_map(|region| unhealthy(history, moved, &region))
        })
        .collect()
}

fn unhealthy(history: &History, moved: &Move, region: &str) -> Option<Violation> {
    let violation = |text: String| Some(Violation::new("2", moved.at, text));
    let (_, state) = &history.states[moved.claim?];
    let seen = state
        .evidence
        .as_ref()
        .map_or(Verdict::Unknown, |evidence| match region.parse() {
            Ok(region) => evidence.verdict(&region),
            Err(_) => Verdict::Unknown,
        });
    if seen != Verdict::Good {
        return violation(format!(
            "the dial moved to {region}, which the evidence calls {}",
            seen.as_str()
        ));
    }
    let since = moved.decided - (ROUND + ROUND + Duration::from_secs(3));
    let before = history.probes_of(region, since, moved.decided).count();
    let after = history
        .probes_of(region, moved.decided, history.end)
        .find(|probe| probe.at > moved.decided)
        .map_or(moved.decided, |probe| probe.at);
    if before > 1
        && history
            .probes_of(region, since, after)
            .all(|probe| !probe.ok)
    {
        return violation(format!(
            "the dial moved to {region}, which was failing for more than a round of probes"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{EUW1, Story, USE1};

    #[test]
    fn no_active_member_is_a_violation() {
        let mut story = Story::new();
        assert!(one_active(&story.history).is_empty());
        story.routes(100, "failover-1", &[(USE1, 0), (EUW1, 0)]);
        assert_eq!(one_active(&story.history)[0].at_s, 100);
    }

    #[test]
    fn a_move_to_a_member_that_the_evidence_calls_bad_is_a_violation() {
        for (verdict, overridden, expected) in [
            (Verdict::Good, false, 0),
            (Verdict::Bad, false, 1),
            (Verdict::Throttled, false, 1),
            (Verdict::Bad, true, 0),
        ] {
            let mut story = Story::new();
            story.sees(90, &[(USE1, Verdict::Bad), (EUW1, verdict)]);
            story.overridden = overridden.then_some(Guard::TargetIsHealthy);
            story.moves(100, USE1, EUW1);
            assert_eq!(
                healthy_target(&story.history).len(),
                expected,
                "{verdict:?} {overridden}"
            );
        }
    }

    #[test]
    fn a_move_to_a_member_that_really_fails_is_a_violation() {
        let mut story = Story::new();
        story.sees(90, &[(USE1, Verdict::Bad), (EUW1, Verdict::Good)]);
        story.moves(100, USE1, EUW1);
        story.probe(80, EUW1, false);
        story.probe(90, EUW1, false);
        story.probe(101, EUW1, false);
        assert_eq!(healthy_target(&story.history).len(), 1);
        story.history.probes[2].ok = true;
        assert!(
            healthy_target(&story.history).is_empty(),
            "it had just come back"
        );
    }
}
