//! What the health check makes of its rounds: bad rounds in a row, pairs, two vantage points.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::pedantic,
    reason = "a broken assumption must fail the test"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use sentinel_core::evidence::{
    Copying, Evidence, Lag, MemberEvidence, MemberRound, Observer, PairMetrics, ProbeOutcome,
    Round, RoundRules, Run, ServingEvidence, Verdict,
};

const MAX_LAG: i64 = 900;

fn rules() -> RoundRules {
    RoundRules {
        interval: secs(10),
        gap: secs(90),
        max_lag: secs(MAX_LAG),
    }
}

fn run(name: &str, started: i64) -> Run {
    Run {
        id: name.to_owned(),
        started_at: at(started),
    }
}

/// So many seconds after the start of a test's story.
fn at(second: i64) -> Timestamp {
    now() + secs(second)
}

fn member(name: &str, ok: bool, seen: &[(&str, i64)]) -> MemberRound {
    let outcome = if ok {
        ProbeOutcome::Success
    } else {
        ProbeOutcome::Deadline
    };
    MemberRound {
        region: region(name),
        write: outcome.clone(),
        read: outcome,
        seen: seen
            .iter()
            .map(|(origin, second)| (region(origin), at(*second)))
            .collect(),
        refused: BTreeSet::new(),
        absent: [A, B, C]
            .into_iter()
            .filter(|origin| ok && *origin != name && seen.iter().all(|(there, _)| there != origin))
            .map(region)
            .collect(),
        latency_millis: 31,
        replicates: Some(true),
        version: None,
    }
}

/// A history of rounds: the evidence after each.
#[derive(Default)]
struct Story {
    evidence: Option<Evidence>,
}

impl Story {
    /// A round in which both members answer unless `down`, and B shows this canary of A.
    fn round(&mut self, second: i64, down: &[&str], arrived: Option<i64>) -> &Evidence {
        let seen: Vec<(&str, i64)> = arrived.map(|second| (A, second)).into_iter().collect();
        let up = |name| !down.contains(&name);
        let members = vec![member(A, up(A), &[]), member(B, up(B), &seen)];
        self.play(second, ProbeOutcome::Success, members)
    }

    fn play(
        &mut self,
        second: i64,
        observer: ProbeOutcome,
        members: Vec<MemberRound>,
    ) -> &Evidence {
        let round = Round {
            at: at(second),
            observer,
            members,
        };
        let next = Evidence::observed(self.evidence.as_ref(), &round, rules(), run("r", 0));
        self.evidence.insert(next)
    }
}

fn lag(evidence: &Evidence) -> &Lag {
    &evidence.pair(&region(A), &region(B)).unwrap().lag
}

fn arrived(within_seconds: u64) -> Lag {
    Lag::Arrived { within_seconds }
}

fn waiting(older_than_seconds: u64) -> Lag {
    Lag::Waiting { older_than_seconds }
}

fn member_of<'a>(evidence: &'a mut Evidence, name: &str) -> &'a mut MemberEvidence {
    let mut members = evidence.members.iter_mut();
    members.find(|one| one.region == region(name)).unwrap()
}

/// A replica whose key the health check may not use says nothing about replication.
#[test]
fn a_canary_that_may_not_be_read_is_no_late_one() {
    let mut story = Story::default();
    let mut there = member(B, true, &[]);
    there.refused.insert(region(A));
    let evidence = story.play(0, ProbeOutcome::Success, vec![member(A, true, &[]), there]);
    assert!(
        matches!(lag(evidence), Lag::Unknown { reason } if reason.contains("may not be read")),
        "{:?}",
        lag(evidence)
    );
    assert_eq!(evidence.exposure(&region(A), &region(B)), None);
    assert_eq!(lag(story.round(10, &[], None)), &waiting(10));
}

#[test]
fn bad_rounds_are_counted_while_they_follow_one_another() {
    let mut story = Story::default();
    let rounds = |evidence: &Evidence| evidence.member(&region(A)).unwrap().bad_rounds;
    for (second, down, expected) in [
        (0, &[A][..], 1),
        (10, &[A], 2),
        (20, &[A], 3),
        (30, &[], 0),
        (40, &[A], 1),
        // A silence of more than 90 s: nobody knows what happened in it.
        (131, &[A], 1),
        (141, &[A], 2),
    ] {
        assert_eq!(
            rounds(story.round(second, down, None)),
            expected,
            "{second}"
        );
    }
    // Everybody at once: the observer is sick, and what it saw does not count.
    let sick = story.round(151, &[A, B], None);
    assert_eq!((rounds(sick), sick.observer == Observer::Well), (0, false));
    assert_eq!(rounds(story.round(161, &[A], None)), 1);
}

#[test]
fn rounds_of_two_runs_that_overlap_are_not_two_looks() {
    // (seconds, bad rounds after each): the second run's rounds come between the first one's.
    for (what, rounds) in [
        ("at once", &[(0, 1), (10, 2), (10, 2), (20, 3)][..]),
        ("the new run first saw it", &[(10, 1), (10, 1), (20, 2)]),
        (
            "four seconds later",
            &[(0, 1), (4, 1), (10, 2), (14, 2), (24, 3)],
        ),
        ("in the middle", &[(0, 1), (5, 2), (15, 3)]),
    ] {
        let mut story = Story::default();
        for (number, (second, expected)) in rounds.iter().enumerate() {
            // A moment apart, as no two rounds begin at the same.
            let millis = i64::try_from(number).unwrap();
            let round = Round {
                at: at(*second) + SignedDuration::from_millis(millis),
                observer: ProbeOutcome::Success,
                members: vec![member(A, false, &[]), member(B, true, &[])],
            };
            let next = Evidence::observed(story.evidence.as_ref(), &round, rules(), run("r", 0));
            assert_eq!(
                next.member(&region(A)).unwrap().bad_rounds,
                *expected,
                "{what}: second {second}"
            );
            story.evidence = Some(next);
        }
    }
    // A blip of one second that both runs met is one bad round.
    let mut story = Story::default();
    story.round(0, &[], None);
    story.round(10, &[A], None);
    let blip = story.round(11, &[A], None);
    assert_eq!(blip.member(&region(A)).unwrap().bad_rounds, 1);
}

#[test]
fn the_failover_s_own_rounds_count_nothing_and_tell_no_pairs() {
    let round = Round {
        at: at(10),
        observer: ProbeOutcome::Success,
        members: vec![member(A, false, &[]), member(B, true, &[])],
    };
    let mut story = Story::default();
    story.round(0, &[A], None);
    let own = Evidence::after(story.evidence.as_ref(), &round, secs(90));
    assert_eq!(own.member(&region(A)).unwrap().bad_rounds, 0);
    assert_eq!((own.run.clone(), own.pairs.len()), (None, 0));
    let written = serde_json::to_value(&own).unwrap();
    for absent in ["run", "pairs", "serving", "selfTestAt"] {
        assert!(written.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn lag_is_an_upper_bound_once_it_arrived_and_a_lower_one_before() {
    let mut story = Story::default();
    // (second of the round, canary of A at B, expected)
    for (second, newest, expected) in [
        // Written in this very round: nothing can be said.
        (0, None, None),
        (10, Some(0), Some(arrived(10))),
        (20, Some(10), Some(arrived(10))),
        (30, Some(10), Some(waiting(10))),
        (40, Some(10), Some(waiting(20))),
        // The one of second 20 came, at most 30 s after it was written.
        (50, Some(20), Some(arrived(30))),
        (60, Some(20), Some(waiting(20))),
        (70, Some(60), Some(arrived(10))),
    ] {
        let evidence = story.round(second, &[], newest);
        match expected {
            Some(expected) => assert_eq!(lag(evidence), &expected, "{second}"),
            None => assert!(matches!(lag(evidence), Lag::Unknown { .. }), "{second}"),
        }
    }
}

#[test]
fn nothing_is_late_because_its_source_is_down() {
    let mut story = Story::default();
    story.round(0, &[], None);
    story.round(10, &[], Some(0));
    // The last canary arrived; then A writes no more.
    for second in [20, 30, 400] {
        let evidence = story.round(second, &[A], Some(10));
        assert_eq!(lag(evidence), &arrived(10), "{second}");
        let pair = evidence.pair(&region(A), &region(B)).unwrap();
        assert_eq!(pair.exposure_seconds, Some(0));
    }
    // Where the destination cannot be looked at nothing is claimed.
    let evidence = story.round(410, &[B], None);
    assert!(matches!(lag(evidence), Lag::Unknown { .. }));
}

#[test]
fn canaries_that_no_rule_covers_are_unknown_not_endless() {
    // (has a replication status, there is an old copy, what is said in the end)
    for (status, copy, unknown) in [
        (Some(false), false, true),
        (Some(false), true, true),
        (Some(true), false, false),
        (None, false, false),
    ] {
        let mut story = Story::default();
        for second in (0..=3600).step_by(60) {
            let seen: &[(&str, i64)] = if copy { &[(A, 0)] } else { &[] };
            let mut source = member(A, true, &[]);
            source.replicates = status;
            let members = vec![source, member(B, true, seen)];
            let evidence = story.play(second, ProbeOutcome::Success, members);
            let said_unknown = second > 0 && matches!(lag(evidence), Lag::Unknown { .. });
            // Not before twice the largest acceptable lag: a slow rule looks the same until then.
            // The canary of second 0 arrived where there is a copy: the next one is waited for.
            let early = second < 2 * MAX_LAG + if copy { 60 } else { 0 };
            if second > 60 {
                assert_eq!(
                    said_unknown,
                    unknown && !early,
                    "{status:?} {copy} {second}"
                );
            }
        }
        let last = story.evidence.unwrap();
        let exposure = last.exposure(&region(A), &region(B));
        assert_eq!(exposure, None, "{status:?}: an old copy bounds nothing");
    }
}

/// A month ago a rule covered the canaries of A; then it was narrowed, and an old copy stays in B.
fn narrowed() -> Story {
    let mut story = Story::default();
    for second in (0..=3600).step_by(60) {
        uncovered(&mut story, second, true, Some(false));
    }
    story
}

/// A round in which B still shows the copy of long ago.
fn uncovered(story: &mut Story, second: i64, up: bool, replicates: Option<bool>) -> &Evidence {
    let mut source = member(A, up, &[]);
    source.replicates = replicates;
    let members = vec![source, member(B, true, &[(A, -2_600_000)])];
    story.play(second, ProbeOutcome::Success, members)
}

#[test]
fn an_outage_makes_no_old_copy_a_measure() {
    let exposure = |evidence: &Evidence| evidence.exposure(&region(A), &region(B));
    let mut story = narrowed();
    assert_eq!(exposure(story.evidence.as_ref().unwrap()), None);
    // A goes down: it cannot be asked whether a rule covers its canaries.
    for second in [3610, 3620, 7200] {
        let evidence = uncovered(&mut story, second, false, None);
        assert_eq!(exposure(evidence), None, "{second}");
        assert!(matches!(lag(evidence), Lag::Unknown { .. }), "{second}");
    }
    // Nor do the failover function's own rounds, or whoever reads the document, bring it back.
    let written = serde_json::to_value(story.evidence.as_ref().unwrap()).unwrap();
    let read: Evidence = serde_json::from_value(written).unwrap();
    let mut source = member(A, false, &[]);
    source.replicates = None;
    let round = Round {
        at: at(7230),
        observer: ProbeOutcome::Success,
        members: vec![source, member(B, true, &[(A, -2_600_000)])],
    };
    let own = Evidence::after(Some(&read.without_pairs()), &round, secs(90));
    assert_eq!(exposure(&own), None);
    // Not even a witness that does not know yet.
    let mut witness = own.clone();
    let there = member_of(&mut witness, B);
    there.out_of_scope.clear();
    there.seen.insert(region(A), at(-2_600_000));
    for (one, two) in [(&own, &witness), (&witness, &own)] {
        let agreed = Evidence::agreed(Some(one), Some(two), at(7231), secs(90)).unwrap();
        assert_eq!((exposure(&agreed), agreed.vantage_points), (None, 2));
    }
    // A is back: a blip changes nothing either, although its verdict began anew.
    assert_eq!(
        exposure(uncovered(&mut story, 7260, true, Some(false))),
        None
    );
}

#[test]
fn a_rule_or_a_newer_copy_makes_it_a_measure_again() {
    let mut story = narrowed();
    let members = vec![member(A, true, &[]), member(B, true, &[(A, 3610)])];
    let mut uncertain = members.clone();
    uncertain[0].replicates = None;
    let arrived = story.play(3620, ProbeOutcome::Success, uncertain);
    assert_eq!(arrived.exposure(&region(A), &region(B)), Some(secs(10)));

    // S3 says that the canaries are replicated again: from now on they are waited for, and only
    // those that were written since.
    let mut story = narrowed();
    let covered = uncovered(&mut story, 3610, true, Some(true));
    assert!(covered.exposure(&region(A), &region(B)).is_some());
    assert_eq!(lag(covered), &waiting(10));
    let arrived = story.play(3620, ProbeOutcome::Success, members);
    assert_eq!(arrived.exposure(&region(A), &region(B)), Some(secs(10)));
}

/// What looking for A's canary in C gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Answered,
    Refused,
    Lost,
}

/// Three members: a rule brings the canaries of A to B at once, and to C none does.
#[derive(Default)]
struct Narrow {
    story: Story,
    /// What S3 says of the canary that is followed.
    copying: Option<Copying>,
}

impl Narrow {
    /// A round in which C shows this canary of A, or tells nothing; then S3 is asked.
    fn round(&mut self, second: i64, down: &[&str], at_c: Option<i64>, look: Look) -> &Evidence {
        let up = |name| !down.contains(&name);
        let at_c: Vec<(&str, i64)> = at_c.map(|second| (A, second)).into_iter().collect();
        let mut a = member(A, up(A), &[]);
        a.version = up(A).then(|| format!("v{second}"));
        a.replicates = up(A).then_some(true);
        let mut c = member(C, up(C), if up(C) { &at_c } else { &[] });
        if look != Look::Answered {
            c.absent.remove(&region(A));
            c.refused.extend((look == Look::Refused).then(|| region(A)));
        }
        let members = vec![a, member(B, up(B), &[(A, second - 10)]), c];
        let evidence = self.story.play(second, ProbeOutcome::Success, members);
        let tracked = evidence.member(&region(A)).unwrap().tracked.clone();
        let told = self.story.evidence.as_mut().unwrap();
        if let (Some(tracked), Some(copying)) = (tracked, self.copying) {
            told.followed(&region(A), &tracked.version, copying);
        }
        told
    }

    /// Rounds until twice the largest acceptable lag has long passed.
    fn play(copying: Option<Copying>, at_c: Option<i64>) -> Self {
        let mut narrow = Self {
            copying,
            ..Self::default()
        };
        for second in (0..=3600).step_by(60) {
            narrow.round(second, &[], at_c, Look::Answered);
        }
        narrow
    }

    /// What is followed, and what is said of A and C.
    fn said(&self) -> (Option<String>, Lag, Option<SignedDuration>) {
        let evidence = self.story.evidence.as_ref().unwrap();
        let tracked = evidence.member(&region(A)).unwrap().tracked.clone();
        let lag = evidence.pair(&region(A), &region(C)).unwrap().lag.clone();
        let exposure = evidence.exposure(&region(A), &region(C));
        (tracked.map(|one| one.version), lag, exposure)
    }
}

#[test]
fn canaries_that_a_rule_brings_only_elsewhere_are_unknown_not_endless() {
    for at_c in [None, Some(0), Some(-2_600_000)] {
        let (followed, lag, exposure) = Narrow::play(Some(Copying::Completed), at_c).said();
        let why = "S3 has replicated a canary of us-east-1, and nothing as new is in ap-northeast-1: \
                   no rule brings them there";
        assert_eq!(
            lag,
            Lag::Unknown {
                reason: why.to_owned()
            },
            "{at_c:?}"
        );
        assert_eq!((followed, exposure), (None, None), "{at_c:?}");
    }
    // Unless S3 says so it may be on its way; where it failed, a younger one is followed.
    for (copying, followed) in [
        (None, "v1800"),
        (Some(Copying::Pending), "v1800"),
        (Some(Copying::Lost), "v3600"),
    ] {
        let mut narrow = Narrow::play(copying, None);
        narrow.copying = None;
        let lost = copying == Some(Copying::Lost);
        let (now, lag, _) = narrow.said();
        assert_eq!(now.as_deref(), (!lost).then_some(followed), "{copying:?}");
        assert_eq!(lag, waiting(3600), "{copying:?}");
        narrow.round(3600 + 60, &[], None, Look::Answered);
        let followed = if lost { "v3660" } else { followed };
        assert_eq!(narrow.said().0.as_deref(), Some(followed), "{copying:?}");
    }
    // Nobody is followed where nothing is late, and B never is.
    let mut quick = Narrow::default();
    for second in (0..=3600).step_by(60) {
        quick.round(second, &[], Some(second - 60), Look::Answered);
        assert_eq!(quick.said().0, None, "{second}");
    }
    let last = quick.story.evidence.unwrap();
    assert!(last.members.iter().all(|one| one.passed_over.is_empty()));
}

#[test]
fn a_destination_that_cannot_be_seen_is_not_passed_over() {
    for (down, look) in [
        (&[C][..], Look::Answered),
        (&[], Look::Refused),
        (&[], Look::Lost),
    ] {
        let mut narrow = Narrow::play(Some(Copying::Pending), Some(0));
        narrow.copying = Some(Copying::Completed);
        for second in [3610, 3620, 3630] {
            let there = narrow.round(second, down, None, look);
            let there = there.member(&region(C)).unwrap();
            assert!(there.out_of_scope.is_empty(), "{down:?} {look:?} {second}");
        }
        // It had arrived, which shows as soon as C can be looked at.
        narrow.round(3640, &[], Some(3600), Look::Answered);
        let (_, lag, exposure) = narrow.said();
        assert_eq!((lag, exposure), (arrived(40), Some(secs(40))), "{down:?}");
    }
}

#[test]
fn who_is_passed_over_stays_so_until_a_newer_copy_comes() {
    let mut narrow = Narrow::play(Some(Copying::Completed), Some(0));
    // A status of A speaks of B. An outage, a witness that does not know yet, and whoever reads the
    // document change nothing.
    for second in [3610, 7200] {
        narrow.round(second, &[A], Some(0), Look::Answered);
        assert_eq!(narrow.said().2, None, "{second}");
    }
    narrow.round(7210, &[], Some(0), Look::Answered);
    assert_eq!(narrow.said().2, None);
    let evidence = narrow.story.evidence.clone().unwrap();
    let written = serde_json::to_value(&evidence).unwrap();
    assert_eq!(
        serde_json::from_value::<Evidence>(written).unwrap(),
        evidence
    );
    let mut witness = evidence.clone();
    let there = member_of(&mut witness, C);
    there.out_of_scope.clear();
    there.passed_over.clear();
    there.seen.insert(region(A), at(0));
    for (one, two) in [(&evidence, &witness), (&witness, &evidence)] {
        let agreed = Evidence::agreed(Some(one), Some(two), at(7211), secs(90)).unwrap();
        assert_eq!(agreed.exposure(&region(A), &region(C)), None);
        let there = agreed.member(&region(C)).unwrap();
        assert_eq!(there.passed_over, BTreeSet::from([region(A)]));
        // Nor do the failover function's own rounds.
        let members = vec![
            member(A, true, &[]),
            member(B, true, &[]),
            member(C, true, &[(A, 0)]),
        ];
        let round = Round {
            at: at(7215),
            observer: ProbeOutcome::Success,
            members,
        };
        let own = Evidence::after(Some(&agreed), &round, secs(90));
        assert_eq!(own.exposure(&region(A), &region(C)), None);
    }
    narrow.round(7220, &[], Some(7210), Look::Answered);
    let (_, lag, exposure) = narrow.said();
    assert_eq!((lag, exposure), (arrived(10), Some(secs(10))));
    let last = narrow.story.evidence.unwrap();
    assert!(last.member(&region(C)).unwrap().passed_over.is_empty());
}

#[test]
fn metrics_of_a_pair_stay_until_they_are_looked_at_again() {
    let mut story = Story::default();
    story.round(0, &[], None);
    let metrics = PairMetrics {
        pending_operations: Some(7),
        pending_bytes: Some(4096),
        latency_seconds: Some(3),
        failed_operations: Some(1),
        at: Some(at(-60)),
    };
    story
        .evidence
        .as_mut()
        .unwrap()
        .measured(&region(A), &region(B), &metrics);
    let next = story.round(10, &[], Some(0)).clone();
    let pair = next.pair(&region(A), &region(B)).unwrap();
    assert_eq!(pair.pending_operations, Some(7));
    assert_eq!(pair.metrics_at, Some(at(-60)));
    let back = next.pair(&region(B), &region(A)).unwrap();
    assert_eq!(back.pending_operations, None);
}

#[test]
fn the_document_reads_back_as_it_was_written() {
    let mut story = Story::default();
    story.round(0, &[], None);
    story.round(10, &[A], Some(0));
    let mut evidence = story.evidence.unwrap();
    let home = BTreeSet::from([region(A)]);
    let serving = ServingEvidence::compared(home.clone(), "us-east-1 served", None, at(10));
    evidence.serving = Some(serving);
    evidence.self_test_at = Some(at(0));
    let written = serde_json::to_value(&evidence).unwrap();
    assert_eq!(written["schema"], 1);
    assert_eq!(written["serving"]["agrees"], serde_json::Value::Null);
    assert_eq!(written["members"][0]["badRounds"], 1);
    assert_eq!(written["pairs"][0]["lag"]["state"], "arrived");
    assert_eq!(written["pairs"][0]["lag"]["withinSeconds"], 10);
    let read: Evidence = serde_json::from_value(written).unwrap();
    assert_eq!(read, evidence);
}

#[test]
fn serving_agrees_if_all_that_served_should() {
    let set = |names: &[&str]| -> BTreeSet<_> { names.iter().map(|name| region(name)).collect() };
    for (served, active, agrees) in [
        (&[A][..], Some(&[A][..]), Some(true)),
        (&[A], Some(&[A, B]), Some(true)),
        (&[B], Some(&[A]), Some(false)),
        (&[A, B], Some(&[A]), Some(false)),
        (&[], Some(&[A]), None),
        (&[A], None, None),
    ] {
        let active = active.map(set);
        let said = ServingEvidence::compared(set(served), "seen", active.as_ref(), at(0));
        assert_eq!(said.agrees, agrees, "{served:?} {active:?}");
    }
}

#[test]
fn the_newer_run_is_the_one_that_began_later() {
    let (old, new) = (run("b", 0), run("a", 60));
    assert!(new.is_newer_than(&old) && !old.is_newer_than(&new));
    let same = run("a", 0);
    assert!(old.is_newer_than(&same) && !same.is_newer_than(&old));
    assert!(!old.is_newer_than(&old));
}

/// Evidence of one vantage point, so many seconds old.
fn view(age: i64, well: bool, verdicts: [Verdict; 2], bad_rounds: u32) -> Evidence {
    let mut world = World::quiet(&[100, 0]);
    let mut evidence = world.evidence.take().unwrap();
    evidence.observed_at = ago(age);
    if !well {
        evidence.observer = Observer::Sick {
            reason: "no network".to_owned(),
        };
    }
    for (member, verdict) in evidence.members.iter_mut().zip(verdicts) {
        member.verdict = verdict;
        member.bad_rounds = if verdict == Verdict::Bad {
            bad_rounds
        } else {
            0
        };
    }
    evidence
}

#[test]
fn two_vantage_points_must_agree() {
    use Verdict::{Bad, Good, Misconfigured, Throttled, Unknown};
    for (control, witness, expected) in [
        (Good, Good, Good),
        (Bad, Bad, Bad),
        (Bad, Good, Unknown),
        (Good, Bad, Unknown),
        (Bad, Throttled, Unknown),
        (Throttled, Good, Throttled),
        (Good, Misconfigured, Misconfigured),
        (Throttled, Misconfigured, Misconfigured),
        (Unknown, Good, Unknown),
        (Unknown, Bad, Unknown),
    ] {
        let (one, two) = (
            view(5, true, [control, Good], 4),
            view(12, true, [witness, Good], 3),
        );
        let agreed = Evidence::agreed(Some(&one), Some(&two), now(), secs(90)).unwrap();
        let verdict = agreed.verdict(&region(A));
        assert_eq!(verdict, expected, "{control:?} and {witness:?}");
        assert_eq!(agreed.vantage_points, 2);
        assert_eq!(agreed.observed_at, ago(12), "as old as the older one");
        let rounds = agreed.member(&region(A)).unwrap().bad_rounds;
        assert_eq!(rounds, if expected == Bad { 3 } else { 0 });
    }
}

#[test]
fn who_cannot_speak_leaves_it_to_the_other() {
    let bad = [Verdict::Bad, Verdict::Good];
    let good = [Verdict::Good, Verdict::Good];
    let well = |age, verdicts| view(age, true, verdicts, 3);
    let sick = |age| view(age, false, good, 0);
    for (what, control, witness, verdict, age) in [
        (
            "a witness that never spoke",
            Some(well(5, bad)),
            None,
            Verdict::Bad,
            5,
        ),
        (
            "a stale witness",
            Some(well(5, bad)),
            Some(well(91, good)),
            Verdict::Bad,
            5,
        ),
        (
            "a sick witness",
            Some(well(5, bad)),
            Some(sick(5)),
            Verdict::Bad,
            5,
        ),
        (
            "a sick control Region",
            Some(sick(5)),
            Some(well(9, bad)),
            Verdict::Bad,
            9,
        ),
        (
            "a control Region that is gone",
            None,
            Some(well(9, bad)),
            Verdict::Bad,
            9,
        ),
        (
            "nobody, and the sick witness is newer",
            Some(well(200, bad)),
            Some(sick(5)),
            Verdict::Bad,
            200,
        ),
        (
            "nobody",
            Some(sick(5)),
            Some(well(200, bad)),
            Verdict::ObserverSick,
            5,
        ),
    ] {
        let agreed = Evidence::agreed(control.as_ref(), witness.as_ref(), now(), secs(90)).unwrap();
        assert_eq!(agreed.verdict(&region(A)), verdict, "{what}");
        assert_eq!(agreed.vantage_points, 1, "{what}");
        assert_eq!(agreed.observed_at, ago(age), "{what}");
    }
    assert_eq!(Evidence::agreed(None, None, now(), secs(90)), None);
    let alone = Evidence::agreed(None, Some(&sick(5)), now(), secs(90));
    assert_eq!(alone, None, "whoever needs evidence looks for himself");
}

#[test]
fn the_newest_evidence_is_decided_on() {
    for (recorded, remembered, yields) in [
        (20, 10, true),
        (10, 20, false),
        (10, 10, false),
        (100, 91, false),
        // Of a clock that was wrong by an hour.
        (20, -3600, false),
    ] {
        let good = [Verdict::Good, Verdict::Good];
        let (one, two) = (
            view(recorded, true, good, 0),
            view(remembered, true, good, 0),
        );
        let said = one.yields_to(&two, now(), secs(90));
        assert_eq!(said, yields, "{recorded} s old against {remembered} s");
    }
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop::sample::select(vec![
        Verdict::Good,
        Verdict::Bad,
        Verdict::Throttled,
        Verdict::Misconfigured,
        Verdict::Unknown,
    ])
}

proptest! {
    /// A second vantage point may only take back what the first one says: nothing becomes bad or
    /// good, and no round counts, that not both saw.
    #[test]
    fn agreement_is_never_more_than_either_says(
        control in (0_i64..200, any::<bool>(), any_verdict(), 0_u32..9),
        witness in (0_i64..200, any::<bool>(), any_verdict(), 0_u32..9),
    ) {
        let make = |(age, well, verdict, rounds)| view(age, well, [verdict, Verdict::Good], rounds);
        let (one, two) = (make(control), make(witness));
        let agreed = Evidence::agreed(Some(&one), Some(&two), now(), secs(90)).unwrap();
        let verdict = agreed.verdict(&region(A));
        let sayers: Vec<&Evidence> = [&one, &two]
            .into_iter()
            .filter(|view| view.observer == Observer::Well && now().duration_since(view.observed_at) <= secs(90))
            .collect();
        if matches!(verdict, Verdict::Good | Verdict::Bad) {
            prop_assert!(sayers.iter().all(|view| view.verdict(&region(A)) == verdict));
        }
        if !sayers.is_empty() {
            prop_assert_eq!(usize::from(agreed.vantage_points), sayers.len());
            let rounds = agreed.member(&region(A)).unwrap().bad_rounds;
            prop_assert!(sayers.iter().all(|view| view.member(&region(A)).unwrap().bad_rounds >= rounds));
        }
        // Two functions that read the two documents in either order come to the same verdict.
        let swapped = Evidence::agreed(Some(&two), Some(&one), now(), secs(90)).unwrap();
        if sayers.len() == 2 {
            prop_assert_eq!(swapped.verdict(&region(A)), verdict);
        }
    }

    /// However slow replication is, whoever is down meanwhile and whichever answers are lost, a destination that a rule names is
    /// never passed over; one that none names is, once the others have what they should.
    #[test]
    fn only_who_is_no_destination_is_passed_over(
        delays in (1_i64..3_000, 1_i64..3_000),
        covered in any::<bool>(),
        outage in (0_i64..8_000, 0_i64..4_000, prop::sample::select(vec![A, B, C])),
        lost in 2_i64..6,
    ) {
        let (begin, span, down) = outage;
        let is_down =
            |name: &str, second: i64| name == down && (begin..begin + span).contains(&second);
        // When a canary reaches a destination: what would arrive in its outage or its source's waits.
        let arrival = |written: i64, delay: i64, name: &str| {
            let due = written + delay;
            if is_down(name, due) || is_down(A, due) { begin + span } else { due }
        };
        let newest = |second: i64, delay: i64, name: &str| {
            let written = (0..=second).step_by(80).filter(|written| !is_down(A, *written));
            written.filter(|written| arrival(*written, delay, name) <= second).max()
        };
        let mut story = Story::default();
        for second in (0..=20_000).step_by(80) {
            let up = |name: &str| !is_down(name, second);
            let shows = |name: &str, delay: i64| {
                let there = newest(second, delay, name).filter(|_| up(name));
                let mut one = member(name, up(name), &there.map(|at| (A, at)).into_iter().collect::<Vec<_>>());
                if (second / 80) % lost == 0 {
                    one.seen.remove(&region(A));
                    one.absent.remove(&region(A));
                }
                one
            };
            let mut a = member(A, up(A), &[]);
            a.version = up(A).then(|| second.to_string());
            a.replicates = up(A).then_some(true);
            let c = if covered { shows(C, delays.1) } else { member(C, up(C), &[]) };
            story.play(second, ProbeOutcome::Success, vec![a, shows(B, delays.0), c]);
            let evidence = story.evidence.as_mut().unwrap();
            if covered {
                prop_assert!(evidence.members.iter().all(|one| one.out_of_scope.is_empty()));
            }
            let tracked = evidence.member(&region(A)).unwrap().tracked.clone();
            if let Some(tracked) = tracked.filter(|_| up(A)) {
                // Asked a moment later: by then it may have arrived where it was looked for in vain.
                let written: i64 = tracked.version.parse().unwrap();
                let has = |name: &str, delay: i64| arrival(written, delay, name) <= second + 30;
                let all = has(B, delays.0) && (!covered || has(C, delays.1));
                let copying = if all { Copying::Completed } else { Copying::Pending };
                evidence.followed(&region(A), &tracked.version, copying);
            }
        }
        let there = story.evidence.as_ref().unwrap().member(&region(C)).unwrap();
        prop_assert_eq!(there.passed_over.contains(&region(A)), !covered);
    }

    /// Whatever the real delay of replication, `arrived` is never less and `waiting` never more
    /// than what a canary really took.
    #[test]
    fn lag_bounds_the_delay(delay in 1_i64..120, rounds in 3_i64..40) {
        let mut story = Story::default();
        for number in 0..rounds {
            let second = number * 10;
            let newest = (0..=number).map(|n| n * 10).filter(|written| written + delay <= second).max();
            let evidence = story.round(second, &[], newest);
            match lag(evidence) {
                Lag::Arrived { within_seconds } => {
                    prop_assert!(i64::try_from(*within_seconds).unwrap() >= delay);
                    prop_assert!(i64::try_from(*within_seconds).unwrap() <= delay + 10);
                }
                Lag::Waiting { older_than_seconds } => {
                    prop_assert!(i64::try_from(*older_than_seconds).unwrap() < delay);
                }
                Lag::Unknown { .. } => prop_assert!(newest.is_none()),
            }
        }
    }
}

#[test]
fn exposure_and_pairs_speak_of_the_same() {
    let mut story = Story::default();
    story.round(0, &[], None);
    let evidence = story.round(10, &[], Some(0));
    let exposure = evidence.exposure(&region(A), &region(B)).unwrap();
    assert_eq!(exposure, SignedDuration::from_secs(10));
    let seen: BTreeMap<_, _> = evidence.member(&region(B)).unwrap().seen.clone();
    assert_eq!(seen[&region(A)], at(0));
}
