//! The way home by itself: who is asked, who is told, and what is on the way.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::pedantic,
    reason = "a broken assumption must fail the test"
)]

mod common;

use std::collections::BTreeSet;

use common::*;
use jiff::Timestamp;
use sentinel_core::announce::Event;
use sentinel_core::answer::{Answer, Outcome};
use sentinel_core::decide::{Decision, Drain, Redrive, Redrives, Wish};
use sentinel_core::evidence::Verdict;
use sentinel_core::guard::{Guard, GuardVerdict};
use sentinel_core::notice::Notices;
use sentinel_core::redrive::state::RedriveState;
use sentinel_core::state::{Actor, Hold, Kind, Settled};

/// Two hours after a failover from A to B, everything well again.
fn after_an_outage(failback: &str) -> World {
    let mut world = World::quiet(&[100, 0, 0]);
    world.set(&[("FAILBACK", failback)]);
    world.route(&[0, 100, 0]);
    world.state.incident = Some(incident(A, ago(7300)));
    world.state.incident.as_mut().unwrap().routes_before = Some(dials(&[100, 0, 0]));
    world.changed(Actor::Automatic, &[A], &[B], 7200);
    world.state.settled = Some(Settled {
        routes: world.routes.clone(),
        at: ago(7200),
    });
    world
}

#[test]
fn failback_says_who_has_to_be_asked() {
    for (failback, expected) in [
        ("manual", "WouldAct"),
        ("approve", "NeedsApproval"),
        ("automatic", "Act"),
    ] {
        let world = after_an_outage(failback);
        let decision = world.tick();
        let name = format!("{decision:?}");
        assert!(name.starts_with(expected), "{failback}: {name}");
        let plan = &assessed(&decision).plan;
        assert_eq!(plan.kind, Kind::Failback);
        assert_eq!(plan.by, Actor::Automatic);
        assert_eq!(plan.after, dials(&[100, 0, 0]));
        // Approved, it is the same decision, and an operator's.
        let approved = world.ask(Wish::Homeward);
        acts(&approved);
        assert_eq!(assessed(&approved).plan.decision, plan.decision);
        assert_eq!(assessed(&approved).plan.by, Actor::Operator);
        // Every guard is shown.
        assert_eq!(plan.guards.len(), Guard::ALL.len());
    }
}

#[test]
fn an_approval_needs_neither_window_nor_budget() {
    let mut world = after_an_outage("approve");
    world.set(&[
        ("FAILBACK", "approve"),
        ("FAILBACK_WINDOWS", "Sat 09:00-10:00 UTC"),
        ("DAILY_BUDGET", "1"),
    ]);
    let decision = world.tick();
    assert!(matches!(decision, Decision::Waits(_)), "{decision:?}");
    let line = report(&decision, Guard::ModeAllows);
    assert!(line.detail.contains("2026-11-21 09:00:00Z"), "{line:?}");
    acts(&world.ask(Wish::Homeward));
}

#[test]
fn there_is_no_way_home_to_go() {
    type Disturb = fn(&mut World);
    let quiet: [(&str, Disturb); 6] = [
        ("no incident", |w| w.state.incident = None),
        ("nothing was changed", |w| {
            w.state.incident.as_mut().unwrap().routes_before = None;
        }),
        ("the routes are as before", |w| w.route(&[100, 0, 0])),
        ("the acting member is in trouble", |w| {
            w.alarm(B);
        }),
        ("somebody is at the routes", |w| {
            w.state.settled.as_mut().unwrap().routes = dials(&[0, 0, 100]);
        }),
        ("a person wanted it so", |w| {
            w.changed(Actor::Outside, &[A], &[B], 3600);
        }),
    ];
    for (what, disturb) in quiet {
        let mut world = after_an_outage("automatic");
        disturb(&mut world);
        let decision = world.tick();
        let about_home = decision
            .assessment()
            .is_some_and(|one| one.plan.kind == Kind::Failback);
        assert!(!about_home, "{what}: {decision:?}");
    }
}

/// Whoever moved the dial, only the machine's own moves are taken back by itself.
#[test]
fn a_persons_move_is_a_persons_to_take_back() {
    let moved_by = |by, kind| {
        let mut world = after_an_outage("automatic");
        world.changed(by, &[A], &[B], 7100);
        world.state.changes.last_mut().unwrap().kind = kind;
        world.tick()
    };
    let failover = moved_by(Actor::Operator, Some(Kind::Failover));
    assert!(
        matches!(failover, Decision::NeedsApproval(_)),
        "{failover:?}"
    );
    assert_eq!(
        report(&failover, Guard::ModeAllows).verdict,
        GuardVerdict::Block
    );
    for decision in [
        moved_by(Actor::Operator, Some(Kind::Switchover)),
        moved_by(Actor::Operator, Some(Kind::Failback)),
        moved_by(Actor::Outside, None),
    ] {
        assert!(
            matches!(decision, Decision::NoChange { .. }),
            "{decision:?}"
        );
        assert!(decision.explanation().contains("a person wanted them so"));
    }
    for (by, kind) in [
        (Actor::Automatic, Some(Kind::Failover)),
        (Actor::LateLanding, None),
    ] {
        acts(&moved_by(by, kind));
    }
    // A move that concerns other dials is no obstacle.
    let mut world = after_an_outage("automatic");
    world.changed(Actor::Operator, &[C], &[C], 7100);
    acts(&world.tick());
}

#[test]
fn a_suspension_and_held_groups_ask_for_a_person() {
    let mut suspended = after_an_outage("automatic");
    suspended.state.failback_suspended = Some("the routes were changed".to_owned());
    let mut held = after_an_outage("automatic");
    held.way_home.redrives = Redrives::Known(vec![Redrive {
        source: region(B),
        target: Some(region(A)),
        is_held: true,
        what: "group 0123456789abcdef is held (AssumeRoleNotPermitted)".to_owned(),
    }]);
    for (world, named) in [(suspended, "suspended"), (held, "AssumeRoleNotPermitted")] {
        let decision = world.tick();
        assert!(
            matches!(decision, Decision::NeedsApproval(_)),
            "{decision:?}"
        );
        assert!(
            decision.explanation().contains(named),
            "{}",
            decision.explanation()
        );
        acts(&world.ask(Wish::Homeward));
    }
}

#[test]
fn held_groups_are_listed_for_an_operator_too() {
    let mut world = World::quiet(&[100, 0, 0]);
    world.route(&[0, 100, 0]);
    world.way_home.redrives = Redrives::Known(vec![Redrive {
        source: region(B),
        target: None,
        is_held: true,
        what: "group 0123456789abcdef is held (DstKmsKeyNotFound)".to_owned(),
    }]);
    let decision = world.ask(Wish::Failback(order(&[], &[], &[])));
    acts(&decision);
    assert!(report(&decision, Guard::Drained).detail.contains("held"));
}

/// Everything that is wrong with the way home is named, what blocks first.
#[test]
fn drained_names_all_that_is_missing() {
    let mut world = after_an_outage("automatic");
    world.way_home.redrives = Redrives::default();
    world
        .way_home
        .drains
        .insert((region(B), region(A)), vec![drained(37)]);
    let line = report(&world.tick(), Guard::Drained);
    assert_eq!(line.verdict, GuardVerdict::Block);
    let (blocks, unknown) = line.detail.split_once("; re-drives").unwrap();
    assert!(blocks.starts_with("37 operations pending"), "{blocks}");
    assert!(unknown.contains("not known"), "{unknown}");
}

#[test]
fn what_clients_keep_in_flight_may_be_allowed() {
    let mut world = after_an_outage("automatic");
    let pair = (region(B), region(A));
    world.way_home.drains.insert(pair, vec![drained(25)]);
    assert_eq!(blocks(&world.tick()), BTreeSet::from([Guard::Drained]));
    world.set(&[("FAILBACK", "automatic"), ("DRAIN_OPERATIONS", "24")]);
    acts(&world.tick());
}

/// Slow canaries explain more, within bounds, and too slow ones block by themselves. A minute of
/// them is always explained, or a moment of lag anywhere in the window would block; a witness
/// writes as many again; and one is the failover function's own.
#[test]
fn canaries_explain_what_is_in_flight() {
    const USUAL: &[(&str, &str)] = &[];
    const WITNESSED: &[(&str, &str)] = &[("WITNESS_REGION", "us-west-2")];
    const SELDOM: &[(&str, &str)] = &[("PROBE_INTERVAL_SECONDS", "60")];
    for (settings, lag, most, drained_enough) in [
        (USUAL, 0, 7, true),
        (USUAL, 0, 8, false),
        (USUAL, 75, 9, true),
        (USUAL, 75, 10, false),
        (USUAL, 600, 13, true),
        (USUAL, 600, 14, false),
        (USUAL, 901, 0, false),
        (WITNESSED, 3, 13, true),
        (WITNESSED, 3, 14, false),
        (WITNESSED, 600, 25, true),
        (WITNESSED, 600, 26, false),
        (SELDOM, 3, 2, true),
        (SELDOM, 3, 3, false),
        (SELDOM, 600, 3, true),
        (SELDOM, 600, 4, false),
    ] {
        let mut world = after_an_outage("automatic");
        let settings: Vec<_> = [("FAILBACK", "automatic")]
            .into_iter()
            .chain(settings.iter().copied())
            .collect();
        world.set(&settings);
        let last = world.member(B).last_write.unwrap();
        let seen = last.checked_sub(secs(lag)).unwrap();
        world.member(A).seen.insert(region(B), seen);
        let pair = (region(B), region(A));
        world.way_home.drains.insert(pair, vec![drained(most)]);
        let verdict = report(&world.tick(), Guard::Drained).verdict;
        assert_eq!(
            verdict == GuardVerdict::Pass,
            drained_enough,
            "{settings:?} {lag} {most}"
        );
    }
    let mut world = after_an_outage("automatic");
    world.member(A).seen.clear();
    assert_eq!(
        report(&world.tick(), Guard::Drained).verdict,
        GuardVerdict::Unknown
    );
}

#[test]
fn data_points_are_summed_up_over_the_window_that_ends_with_the_newest() {
    let at = |minute: i64| ago(600 - 60 * minute);
    let of = |points: &[(i64, u64)], window: i64| {
        let points: Vec<(Timestamp, u64)> = points.iter().map(|(m, v)| (at(*m), *v)).collect();
        Drain::of(&points, secs(window))
    };
    assert_eq!(of(&[], 600), None);
    // What lies before the window does not count; the window is ten minutes, ten points.
    let eleven: Vec<(i64, u64)> = (0..=10).map(|m| (m, if m == 0 { 99 } else { 3 })).collect();
    let drain = of(&eleven, 600).unwrap();
    assert_eq!(
        (drain.most, drain.covered, drain.gap, drain.last),
        (3, secs(600), secs(60), at(10))
    );
    // In any order, with a gap, the last of several largest.
    let drain = of(&[(9, 0), (2, 7), (4, 7), (3, 1)], 600).unwrap();
    assert_eq!(
        (drain.most, drain.most_at, drain.gap, drain.covered),
        (7, at(4), secs(300), secs(480))
    );
    // A missing minute at the far edge of the window is a gap from the point before it.
    let edge: Vec<(i64, u64)> = [(0, 9)]
        .into_iter()
        .chain((2..=10).map(|m| (m, 0)))
        .collect();
    let drain = of(&edge, 600).unwrap();
    assert_eq!(
        (drain.most, drain.covered, drain.gap),
        (0, secs(660), secs(120))
    );
    // What lies long before the window does not lengthen a gap where the window is full.
    let full: Vec<(i64, u64)> = [(-9, 9)]
        .into_iter()
        .chain((1..=10).map(|m| (m, 0)))
        .collect();
    let drain = of(&full, 600).unwrap();
    assert_eq!((drain.covered, drain.gap), (secs(600), secs(60)));
    // No window: the newest alone.
    let drain = of(&[(1, 5), (2, 0)], 0).unwrap();
    assert_eq!((drain.most, drain.covered), (0, secs(60)));
}

/// The document that the `redrive` function keeps, read for what it says about members.
#[test]
fn redrives_are_read_from_their_document() {
    let text = include_str!("fixtures/redrive/schema-1.json");
    let document: serde_json::Value = serde_json::from_str(text).unwrap();
    let mrap = document["mrap"].as_str().unwrap().parse().unwrap();
    let state = RedriveState::parse(document, &mrap).unwrap();
    let buckets: BTreeSet<&str> = state
        .groups
        .values()
        .flat_map(|record| {
            let destination = record.group.destination.bucket();
            [
                Some(record.group.source.as_str()),
                destination.map(|b| b.as_str()),
            ]
        })
        .flatten()
        .collect();
    let list: Vec<String> = buckets
        .iter()
        .zip(REGIONS)
        .map(|(bucket, region)| format!("{bucket}@{region}"))
        .collect();
    let members = list.join(",").parse().unwrap();
    let Redrives::Known(known) = Redrives::of(&state, &members) else {
        panic!("it was read")
    };
    let held = state
        .groups
        .values()
        .filter(|record| record.phase.as_str() == "held")
        .count();
    let moving = state
        .groups
        .values()
        .filter(|record| ["sampled", "released"].contains(&record.phase.as_str()))
        .count();
    let jobs = state.jobs.values().filter(|open| open.is_of_s3()).count();
    assert!(held > 0 && moving > 0 && jobs > 0, "the fixture has them");
    assert_eq!(known.iter().filter(|one| one.is_held).count(), held);
    assert!(known.iter().filter(|one| !one.is_held).count() >= moving + jobs);
    // Nobody else's buckets.
    let elsewhere = "x1-bucket@us-east-1,x2-bucket@eu-west-1".parse().unwrap();
    assert_eq!(
        Redrives::of(&state, &elsewhere),
        Redrives::Known(Vec::new())
    );
}

/// What the function does with a decision, and what it announced.
fn note(world: &mut World) -> Option<(Event, String)> {
    let decision = world.tick();
    let thresholds = world.settings.thresholds.clone();
    let tell = world
        .state
        .note_homeward(&decision, &thresholds, world.now)?;
    let notices = Notices {
        settings: &world.settings,
        request_id: "request-1",
        now: world.now,
    };
    notices.homeward(&mut world.state, assessed(&decision), tell);
    let told = world.state.outbox.pop()?;
    Some((told.event, format!("{}\n{}", told.subject, told.text)))
}

/// Moves on by so many seconds, with everything observed anew.
fn wait(world: &mut World, seconds: i64) {
    world.now = world.now.checked_add(secs(seconds)).unwrap();
    world.evidence.as_mut().unwrap().observed_at = world.now;
    for drains in world.way_home.drains.values_mut() {
        drains.iter_mut().for_each(|drain| drain.last = world.now);
    }
}

/// What home is found to be, for so many seconds now.
fn home_turns(world: &mut World, verdict: Verdict, for_seconds: i64) {
    world.health(A, verdict, 0);
    world.member(A).since = world.now.checked_sub(secs(for_seconds)).unwrap();
}

#[test]
fn people_are_reminded_while_their_word_is_wanted() {
    for (failback, event, command) in [
        ("manual", Event::WouldAct, r#"{"command":"failback""#),
        ("approve", Event::NeedsApproval, r#"{"command":"approve""#),
    ] {
        let mut world = after_an_outage(failback);
        let (first, text) = note(&mut world).unwrap();
        assert_eq!(first, event, "{text}");
        assert!(text.contains(command), "{text}");
        assert!(text.contains("eu-west-1 -> us-east-1"), "{text}");
        assert_eq!(
            world.state.proposal.is_some(),
            event == Event::NeedsApproval
        );
        wait(&mut world, 14_399);
        assert_eq!(note(&mut world), None);
        // Still proposed: it can be approved for a quarter of an hour from now on.
        if let Some(proposal) = &world.state.proposal {
            assert_eq!(proposal.at, world.now);
        }
        wait(&mut world, 1);
        let (again, text) = note(&mut world).unwrap();
        assert_eq!(again, event);
        assert!(text.contains("reminder 1"), "{text}");
    }
}

#[test]
fn what_stands_in_the_way_for_long_is_told_once() {
    let mut world = after_an_outage("automatic");
    let hold = Hold {
        reason: "night work".to_owned(),
        since: ago(60),
        until: None,
    };
    world.state.hold = Some(hold);
    assert_eq!(note(&mut world), None, "that it waits is no news");
    wait(&mut world, 14_399);
    assert_eq!(note(&mut world), None);
    wait(&mut world, 1);
    let (event, text) = note(&mut world).unwrap();
    assert_eq!(event, Event::Blocked);
    assert!(text.contains("not-on-hold"), "{text}");
    assert!(text.contains(r#""override":["not-on-hold"]"#), "{text}");
    for _ in 0..3 {
        wait(&mut world, 14_400);
        assert_eq!(note(&mut world), None, "once");
    }
    // A blip does not begin it anew, an outage does.
    home_turns(&mut world, Verdict::Bad, 1799);
    assert_eq!(note(&mut world), None);
    assert_ne!(world.state.homeward.as_ref().unwrap().stuck_since, None);
    home_turns(&mut world, Verdict::Bad, 1800);
    assert_eq!(note(&mut world), None);
    assert_eq!(world.state.homeward.as_ref().unwrap().stuck_since, None);
    world.health(A, Verdict::Good, 7200);
    wait(&mut world, 60);
    assert_eq!(note(&mut world), None);
    wait(&mut world, 14_400);
    assert_eq!(note(&mut world).unwrap().0, Event::Blocked);
}

#[test]
fn a_home_that_never_gets_well_for_long_is_told_too() {
    for verdict in [Verdict::Throttled, Verdict::Unknown, Verdict::Bad] {
        let mut world = after_an_outage("automatic");
        // Bad, and good for a round now and then: neither an outage nor stable.
        for _ in 0..24 {
            home_turns(&mut world, verdict, 300);
            assert_eq!(note(&mut world), None, "{verdict:?}");
            wait(&mut world, 300);
            home_turns(&mut world, Verdict::Good, 10);
            assert_eq!(note(&mut world), None, "{verdict:?}");
            wait(&mut world, 300);
        }
        home_turns(&mut world, Verdict::Good, 10);
        wait(&mut world, 300);
        let (event, text) = note(&mut world).unwrap();
        assert_eq!(event, Event::Blocked);
        assert!(text.contains("evidence-agrees"), "{verdict:?}: {text}");
    }
}

#[test]
fn something_else_that_lasts_is_told_again() {
    let mut world = after_an_outage("automatic");
    world.state.hold = Some(Hold {
        reason: "night work".to_owned(),
        since: ago(60),
        until: None,
    });
    assert_eq!(note(&mut world), None);
    wait(&mut world, 14_400);
    assert_eq!(note(&mut world).unwrap().0, Event::Blocked);
    // Beside what they know of it is no news; instead of it, it is, after as long.
    world.member(A).seen.clear();
    wait(&mut world, 14_400);
    assert_eq!(note(&mut world), None);
    world.state.hold = None;
    assert_eq!(note(&mut world), None);
    wait(&mut world, 14_399);
    assert_eq!(note(&mut world), None);
    wait(&mut world, 1);
    let (event, text) = note(&mut world).unwrap();
    assert_eq!(event, Event::Blocked);
    let said = "is held back by loss-is-acceptable, drained.";
    assert!(text.contains(said), "{text}");
    wait(&mut world, 14_400);
    assert_eq!(note(&mut world), None, "once");
}

#[test]
fn waiting_is_answered_with_every_guard_and_blocks_nothing() {
    let mut world = after_an_outage("automatic");
    world.health(A, Verdict::Good, 60);
    let decision = world.tick();
    let answer = Answer::standing_still(&decision, &world.routes);
    assert_eq!(answer.outcome, Outcome::NoChange);
    assert_eq!(answer.guards.len(), Guard::ALL.len());
    assert!(answer.blocking.is_empty());
    assert!(
        answer.explanation.contains("good for 60 s of 1800 s"),
        "{}",
        answer.explanation
    );
}

#[test]
fn who_was_reminded_is_not_told_again_after_a_blip_and_what_is_over_is_not_shown() {
    let mut world = after_an_outage("approve");
    assert!(note(&mut world).is_some());
    assert!(world.state.homeward_at(world.now).is_some());

    let quiet = world.state.triggers.clone();
    world.alarm(B);
    for _ in 0..2 {
        wait(&mut world, 60);
        let decision = world.tick();
        let thresholds = world.settings.thresholds.clone();
        let told = world.state.note_homeward(&decision, &thresholds, world.now);
        assert_eq!(told, None, "{decision:?}");
    }
    assert_eq!(world.state.homeward_at(world.now), None);

    world.state.triggers = quiet;
    assert_eq!(note(&mut world), None, "told before");
    assert!(world.state.homeward_at(world.now).is_some());
    let now = world.now;
    world.state.close_incident(now, "acknowledged");
    assert_eq!(world.state.homeward, None);
}
