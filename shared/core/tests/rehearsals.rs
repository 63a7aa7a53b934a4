//! Rehearsals: what they ask for at each moment, and how they end.

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
use sentinel_core::alarm::AlarmState;
use sentinel_core::announce::Event;
use sentinel_core::decide::{Decision, Wish};
use sentinel_core::evidence::Verdict;
use sentinel_core::guard::Guard;
use sentinel_core::notice::Notices;
use sentinel_core::rehearsal::Next;
use sentinel_core::state::{Abandoned, Actor, Claim, Kind};
use sentinel_core::triggers::AlarmNow;

fn rehearse(world: &World, to: &[&str], scheduled: bool) -> Decision {
    world.ask(Wish::Rehearsal {
        order: order(&[], to, &[]),
        scheduled,
    })
}

/// A rehearsal that was decided and claimed now.
fn begun(scheduled: bool) -> World {
    let mut world = World::quiet(&[100, 0, 0]);
    let decision = rehearse(&world, &[], scheduled);
    let plan = assessed(&decision).plan.clone();
    assert_eq!((plan.kind, plan.by), (Kind::Switchover, Actor::Operator));
    world
        .state
        .open_incident(plan.asked_at, &region(A), world.now);
    let wanted = order(&[], &[], &[Guard::NotOnHold, Guard::TargetNotDrifted]);
    world
        .state
        .begin_rehearsal(&plan, &wanted, scheduled, world.now);
    world.state.claim = Some(Claim {
        request_id: "request-1".to_owned(),
        plan,
        claimed_at: world.now,
        expires: later(60),
    });
    world
}

/// The claimed change is made.
fn settle(world: &mut World) {
    let plan = world.state.claim.take().unwrap().plan;
    world.routes = plan.after.clone();
    world.state.settle(&plan, world.now);
}

/// The data plane shows the last change.
fn prove(world: &mut World) {
    let proof = world.state.proof.take().unwrap();
    world.state.leg_proven(&proof.plan.decision, world.now);
}

fn wait(world: &mut World, seconds: i64) {
    world.now = world.now.checked_add(secs(seconds)).unwrap();
    world.evidence.as_mut().unwrap().observed_at = world.now;
}

fn away(scheduled: bool) -> World {
    let mut world = begun(scheduled);
    wait(&mut world, 2);
    settle(&mut world);
    wait(&mut world, 30);
    prove(&mut world);
    world
}

fn next_with(world: &World, alarm: Option<AlarmNow>) -> Next {
    let alarms = alarm.iter().map(|now| ("orders", now));
    world.state.rehearsal_next(
        world.evidence.as_ref(),
        alarms,
        &world.settings.thresholds,
        world.now,
    )
}

fn next(world: &World) -> Next {
    next_with(world, None)
}

/// Decides and claims the way back.
fn go_back(world: &mut World, cut_short: Option<&str>) {
    let rehearsal = world.state.rehearsal.clone().unwrap();
    let decision = world.ask(Wish::Failover(rehearsal.way_back()));
    assert_eq!(acts(&decision), rehearsal.before);
    let plan = assessed(&decision).plan.clone();
    world
        .state
        .return_from_rehearsal(&plan, cut_short.map(str::to_owned), world.now);
    world.state.claim = Some(Claim {
        request_id: "request-2".to_owned(),
        plan,
        claimed_at: world.now,
        expires: later(600),
    });
}

fn ends(next: Next, complete: bool, named: &str) -> String {
    let Next::End { complete: is, how } = next else {
        panic!("{next:?}")
    };
    assert_eq!(is, complete, "{how}");
    assert!(how.contains(named), "{how}");
    how
}

#[test]
fn over_and_back_again() {
    let mut world = begun(false);
    assert_eq!(next(&world), Next::Wait, "claimed");
    wait(&mut world, 2);
    settle(&mut world);
    assert_eq!(next(&world), Next::Wait, "not proven");
    wait(&mut world, 30);
    prove(&mut world);
    wait(&mut world, 299);
    assert_eq!(next(&world), Next::Wait, "stays");
    wait(&mut world, 1);
    assert_eq!(next(&world), Next::Return { cut_short: None });
    go_back(&mut world, None);
    assert_eq!(next(&world), Next::Wait, "claimed");
    wait(&mut world, 3);
    settle(&mut world);
    wait(&mut world, 40);
    prove(&mut world);
    let how = ends(next(&world), true, "over and back");

    let now = world.now;
    let rehearsal = world.state.end_rehearsal(true, &how, now).unwrap();
    assert_eq!(world.state.incident, None, "nothing is left open");
    assert_eq!(rehearsal.seconds(), 2 + 30 + 300 + 3 + 40);
    let took: Vec<i64> = rehearsal.steps().iter().map(|step| step.seconds).collect();
    assert_eq!(took, [0, 2, 30, 300, 3, 40]);
    let notices = Notices {
        settings: &world.settings,
        request_id: "request-3",
        now,
    };
    notices.rehearsed(&mut world.state, &rehearsal, true, &how);
    let told = world.state.outbox.last().unwrap();
    assert_eq!(told.event, Event::Rehearsed);
    assert!(told.subject.contains("passed in 375 s"), "{}", told.subject);
    assert_eq!(told.body["outcome"], "rehearsed");
    assert_eq!(told.body["steps"].as_array().unwrap().len(), 6);
    let last = world.state.rehearsed.as_ref().unwrap();
    assert!(last.complete);
    // The machine's own counts are untouched by it.
    assert_eq!(world.state.automatic_changes_since(ago(86_400)), 0);
    assert!(world.state.last_automatic_departure(&region(B)).is_none());
}

#[test]
fn trouble_brings_it_back_before_its_time() {
    type Disturb = fn(&mut World);
    let cases: [(&str, Disturb); 3] = [
        ("bad", |w| w.health(B, Verdict::Bad, 5)),
        ("throttled", |w| w.health(B, Verdict::Throttled, 5)),
        ("misconfigured", |w| w.health(B, Verdict::Misconfigured, 5)),
    ];
    for (named, disturb) in cases {
        let mut world = away(false);
        disturb(&mut world);
        let Next::Return { cut_short } = next(&world) else {
            panic!("{named}")
        };
        let why = cut_short.unwrap();
        assert!(why.contains(named), "{why}");
        go_back(&mut world, Some(&why));
        settle(&mut world);
        prove(&mut world);
        ends(next(&world), false, "before its time");
    }
    // Where nothing is known of it, nothing is done for that.
    let mut world = away(false);
    world.health(B, Verdict::Unknown, 5);
    assert_eq!(next(&world), Next::Wait);
}

#[test]
fn an_alarm_about_who_serves_brings_it_back_and_one_about_home_keeps_it_away() {
    let mut world = away(false);
    world.alarm(B);
    let Next::Return { cut_short } = next(&world) else {
        panic!("it waits")
    };
    assert!(cut_short.unwrap().contains(B));
    assert_eq!(world.state.against_the_way_back(), None);

    let mut world = away(false);
    world.alarm(A);
    assert_eq!(next(&world), Next::Wait);
    let why = world.state.against_the_way_back().unwrap();
    assert!(why.contains(A), "{why}");
    // One about a member that takes no part says nothing.
    let mut world = away(false);
    world.alarm(C);
    assert_eq!(next(&world), Next::Wait);
    assert_eq!(world.state.against_the_way_back(), None);
}

/// Where nobody is passive one member rests meanwhile, and the others serve without it.
#[test]
fn active_active_members_serve_for_the_one_that_rests() {
    let resting = || {
        let mut world = World::quiet(&[100, 100, 100]);
        let decision = rehearse(&world, &[], false);
        let plan = assessed(&decision).plan.clone();
        let wanted = order(&[], &[], &[]);
        world
            .state
            .open_incident(plan.asked_at, &region(A), world.now);
        world
            .state
            .begin_rehearsal(&plan, &wanted, false, world.now);
        world.routes = plan.after.clone();
        world.state.settle(&plan, world.now);
        world
    };
    let mut world = resting();
    assert_eq!(world.routes, dials(&[0, 100, 100]));
    wait(&mut world, 30);
    prove(&mut world);
    wait(&mut world, 300);
    assert_eq!(next(&world), Next::Return { cut_short: None });
    let back = world.state.rehearsal.clone().unwrap().way_back();
    let decision = world.ask(Wish::Failover(back));
    assert_eq!(acts(&decision), dials(&[100, 100, 100]));
    let plan = &assessed(&decision).plan;
    assert_eq!((plan.kind, plan.by), (Kind::Switchover, Actor::Operator));

    let mut world = resting();
    world.health(C, Verdict::Bad, 5);
    let Next::Return { cut_short } = next(&world) else {
        panic!("it waits")
    };
    assert!(cut_short.unwrap().contains(C));
    let back = world.state.rehearsal.clone().unwrap().way_back();
    assert_eq!(
        acts(&world.ask(Wish::Failover(back))),
        dials(&[100, 100, 100])
    );
}

#[test]
fn blocking_alarms_end_the_schedules_only() {
    let alarm = |state| AlarmNow::State {
        state,
        suppressed_by: None,
    };
    for (scheduled, now, expected) in [
        (true, alarm(AlarmState::Alarm), true),
        (false, alarm(AlarmState::Alarm), false),
        (true, alarm(AlarmState::Ok), false),
        (true, alarm(AlarmState::InsufficientData), false),
        (true, AlarmNow::Gone, true),
        (true, AlarmNow::Unreachable, false),
    ] {
        let back = matches!(
            next_with(&away(scheduled), Some(now.clone())),
            Next::Return { .. }
        );
        assert_eq!(back, expected, "{scheduled} {now:?}");
    }
}

#[test]
fn a_data_plane_that_does_not_follow_ends_it() {
    let mut world = begun(false);
    settle(&mut world);
    wait(&mut world, 299);
    assert_eq!(next(&world), Next::Wait);
    wait(&mut world, 1);
    let Next::Return { cut_short } = next(&world) else {
        panic!("it waits")
    };
    assert!(cut_short.unwrap().contains("did not follow"));
    go_back(&mut world, None);
    settle(&mut world);
    wait(&mut world, 299);
    assert_eq!(next(&world), Next::Wait);
    wait(&mut world, 1);
    ends(next(&world), false, "does not prove it");
}

#[test]
fn what_others_do_ends_it() {
    let mut moved = away(false);
    moved.route(&[0, 0, 100]);
    ends(next(&moved), false, "somebody else");

    let mut acknowledged = away(false);
    let now = acknowledged.now;
    acknowledged.state.close_incident(now, "acknowledged");
    ends(next(&acknowledged), false, "incident was closed");

    let mut afterwards = away(false);
    go_back(&mut afterwards, None);
    settle(&mut afterwards);
    afterwards.route(&[0, 0, 100]);
    ends(next(&afterwards), false, "after the way back");
}

#[test]
fn a_way_out_that_was_not_taken_ends_it_and_its_incident() {
    let mut world = begun(false);
    let plan = world.state.claim.take().unwrap().plan;
    world.state.abandoned = vec![Abandoned {
        plan,
        at: world.now,
    }];
    assert_eq!(next(&world), Next::Wait, "it may still land");
    world.state.abandoned.clear();
    let how = ends(next(&world), false, "nothing was changed");
    let now = world.now;
    world.state.end_rehearsal(false, &how, now);
    assert_eq!(world.state.incident, None);
    assert!(!world.state.rehearsed.as_ref().unwrap().complete);
}

#[test]
fn a_way_back_that_was_not_taken_is_decided_anew() {
    let mut world = away(false);
    wait(&mut world, 300);
    go_back(&mut world, None);
    let plan = world.state.claim.take().unwrap().plan;
    let at = world.now;
    world.state.abandoned = vec![Abandoned { plan, at }];
    let again = Next::Return { cut_short: None };
    assert_eq!(next(&world), again, "the same once more does no harm");
    go_back(&mut world, None);
    world.state.abandoned.clear();
    settle(&mut world);
    assert!(
        world
            .state
            .rehearsal
            .unwrap()
            .back
            .unwrap()
            .settled_at
            .is_some()
    );
}

/// An incident in which something else happened stays open.
#[test]
fn an_incident_with_more_in_it_stays_open() {
    let mut world = away(false);
    world.alarm(B);
    go_back(&mut world, None);
    settle(&mut world);
    prove(&mut world);
    let now = world.now;
    world.state.end_rehearsal(true, "over and back again", now);
    assert!(world.state.incident.is_some());

    let mut elsewhere = away(false);
    elsewhere.route(&[0, 0, 100]);
    elsewhere.state.end_rehearsal(false, "somebody else", now);
    assert!(elsewhere.state.incident.is_some());
}

#[test]
fn an_old_word_overrides_no_later_hold_and_no_bad_home() {
    let world = away(false);
    let overrides = world.state.rehearsal.unwrap().way_back().overrides;
    assert_eq!(overrides, BTreeSet::from([Guard::TargetNotDrifted]));
}

#[test]
fn it_needs_peace() {
    type Disturb = fn(&mut World);
    let cases: [(&str, Disturb); 2] = [
        ("an open incident", |w| {
            w.state.incident = Some(incident(A, ago(60)));
        }),
        ("an open trigger", |w| {
            w.alarm(C);
        }),
    ];
    for (what, disturb) in cases {
        let mut world = World::quiet(&[100, 0, 0]);
        disturb(&mut world);
        for scheduled in [false, true] {
            let decision = rehearse(&world, &[B], scheduled);
            assert_eq!(
                blocks(&decision),
                BTreeSet::from([Guard::NobodyElseIsActing]),
                "{what}: {decision:?}"
            );
        }
    }
    // One that is under way is not begun twice: a repeated command changes nothing.
    let decision = rehearse(&away(false), &[], false);
    assert!(
        matches!(decision, Decision::NoChange { .. }),
        "{decision:?}"
    );
    // One that has moved nothing is no obstacle to itself: the same invocation decides again.
    let mut world = begun(false);
    world.state.claim = None;
    acts(&rehearse(&world, &[], false));
}

#[test]
fn it_goes_where_it_is_told_or_to_the_best() {
    for (active, to, expected) in [
        (&[100, 0, 0][..], &[][..], &[0, 100, 0][..]),
        (&[100, 0, 0], &[C], &[0, 0, 100]),
        (&[100, 100, 100], &[], &[0, 100, 100]),
        (&[100, 100, 100], &[B], &[0, 100, 0]),
        (&[0, 100, 0], &[], &[100, 0, 0]),
    ] {
        let world = World::quiet(active);
        assert_eq!(
            acts(&rehearse(&world, to, false)),
            dials(expected),
            "{to:?}"
        );
    }
    let mut world = World::quiet(&[100, 0, 0]);
    world.health(B, Verdict::Bad, 60);
    assert_eq!(acts(&rehearse(&world, &[], false)), dials(&[0, 0, 100]));
}

/// While it lasts nobody goes home by the usual rules, and an outage is answered by them.
#[test]
fn it_leaves_the_usual_rules_alone() {
    let mut world = away(false);
    world.set(&[("FAILBACK", "automatic")]);
    assert!(matches!(world.tick(), Decision::NoChange { .. }));
    wait(&mut world, 200);
    world.outage(B);
    let trigger = world.state.triggers.last_mut().unwrap();
    trigger.last_confirmed = world.now;
    assert_eq!(acts(&world.tick()), dials(&[100, 0, 0]));
}
