//! Which members are left and which one begins to serve.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::pedantic,
    reason = "a broken assumption must fail the test"
)]

mod common;

use common::*;
use sentinel_core::decide::{Decision, Wish};
use sentinel_core::evidence::Verdict;
use sentinel_core::guard::Guard;
use sentinel_core::state::{Actor, Quiet};

const D: &str = "us-west-2";

/// A disturbance of four members, and the dials that the tick wants then.
type Case = (&'static str, [i32; 4], fn(&mut World), [i32; 4]);

#[test]
fn the_tick_chooses() {
    #[rustfmt::skip]
    let cases: &[Case] = &[
        ("the first in order of preference", [100, 0, 0, 0], |w| w.outage(A), [0, 100, 0, 0]),
        ("home again, if home is good", [0, 0, 100, 0], |w| w.outage(C), [100, 0, 0, 0]),
        ("not a bad one", [100, 0, 0, 0], |w| { w.outage(A); w.health(B, Verdict::Bad, 5); }, [0, 0, 100, 0]),
        ("not a throttled one", [100, 0, 0, 0], |w| { w.outage(A); w.health(B, Verdict::Throttled, 5); }, [0, 0, 100, 0]),
        ("not one that refuses us", [100, 0, 0, 0], |w| { w.outage(A); w.health(B, Verdict::Misconfigured, 5); }, [0, 0, 100, 0]),
        ("not one that misses too much", [100, 0, 0, 0], |w| { w.outage(A); w.member(B).seen.insert(region(A), ago(5000)); }, [0, 0, 100, 0]),
        ("rather one of which is known what it misses", [100, 0, 0, 0], |w| { w.outage(A); w.member(B).seen.clear(); }, [0, 0, 100, 0]),
        ("if nothing is known, the first", [100, 0, 0, 0], |w| { w.outage(A); for one in [B, C, D] { w.member(one).seen.clear(); } }, [0, 100, 0, 0]),
        ("rather one without a trigger than one of which more is known", [100, 0, 0, 0], |w| { w.outage(A); w.alarm(C); w.alarm(D); w.member(B).seen.clear(); }, [0, 100, 0, 0]),
        ("not one that was left lately", [100, 0, 0, 0], |w| { w.outage(A); w.changed(Actor::Automatic, &[B], &[A], 1000); w.health(B, Verdict::Good, 100); }, [0, 0, 100, 0]),
        ("one with a trigger of its own last", [100, 0, 0, 0], |w| { w.outage(A); w.alarm(B); w.alarm(C); }, [0, 0, 0, 100]),
        ("rather one with a trigger than nobody", [100, 0, 0, 50], |w| { w.outage(A); w.alarm(B); w.health(C, Verdict::Bad, 5); }, [0, 100, 0, 50]),
        ("two alarms, one for a passive member", [100, 0, 0, 0], |w| { w.outage(B); w.outage(A); }, [0, 0, 100, 0]),
        ("active-active: only the bad one goes", [100, 100, 100, 100], |w| w.outage(B), [100, 0, 100, 100]),
        ("active-active: several bad ones at once", [100, 100, 100, 100], |w| { w.outage(A); w.outage(C); }, [0, 100, 0, 100]),
        ("active-active: an alarm about a good one moves nothing of it", [100, 100, 100, 100], |w| { w.outage(A); w.alarm(B); }, [0, 100, 100, 100]),
        ("active-active: nobody healthy stays, a passive one begins", [100, 100, 0, 0], |w| { w.outage(A); w.outage(B); }, [0, 0, 100, 0]),
        ("active-active: bad without an alarm goes along when a passive one has to begin", [100, 100, 0, 0], |w| { w.outage(A); w.health(B, Verdict::Bad, 5); }, [0, 0, 100, 0]),
        ("active-active: what is not known stays beside the new one", [100, 100, 0, 0], |w| { w.outage(A); w.health(B, Verdict::Throttled, 5); }, [0, 100, 100, 0]),
        ("a silenced member does not hold back the other", [100, 100, 100, 0], |w| { w.outage(A); mute(w, A); w.outage(B); }, [100, 0, 100, 0]),
        ("a silenced member stays when a passive one has to begin", [100, 100, 0, 0], |w| { w.outage(A); mute(w, A); w.outage(B); }, [100, 0, 100, 0]),
        ("what a person chose stays when a passive one has to begin", [100, 100, 0, 0], |w| { w.health(A, Verdict::Bad, 30); w.state.accepted.insert(region(A), ago(30)); w.outage(B); }, [100, 0, 100, 0]),
    ];
    for (what, before, disturb, after) in cases {
        let mut world = World::quiet(before);
        disturb(&mut world);
        let decision = world.tick();
        let Decision::Act(assessment) = &decision else {
            panic!("{what}: {}", decision.explanation())
        };
        assert_eq!(
            assessment.plan.after.to_string(),
            dials(after).to_string(),
            "{what}"
        );
        assert_eq!(assessment.plan.to, dials(after).active(), "{what}");
    }
}

fn mute(world: &mut World, name: &str) {
    let of = region(name);
    for trigger in world
        .state
        .triggers
        .iter_mut()
        .filter(|trigger| trigger.region == of)
    {
        trigger.quiet = Some(Quiet {
            by: "mute rule night-work".to_owned(),
            until: None,
        });
    }
}

#[test]
fn the_tick_leaves_alone_what_it_should() {
    type Still = (&'static str, [i32; 4], fn(&mut World));
    #[rustfmt::skip]
    let cases: &[Still] = &[
        ("all is well", [100, 0, 0, 0], |_| {}),
        ("only a passive member has a trigger", [100, 0, 0, 0], |w| { w.outage(B) }),
        ("a member with an undefined dial has a trigger", [100, 50, 0, 0], |w| w.outage(B)),
        ("bad, but no trigger is open yet", [100, 0, 0, 0], |w| { w.health(A, Verdict::Bad, 30) }),
    ];
    for (what, before, disturb) in cases {
        let mut world = World::quiet(before);
        disturb(&mut world);
        let decision = world.tick();
        assert!(
            matches!(decision, Decision::NoChange { .. }),
            "{what}: {decision:?}"
        );
        assert!(
            decision.explanation().contains(&world.routes.to_string()),
            "{what}"
        );
    }
}

/// Nobody is healthy: nothing moves, and whoever is woken reads why, member by member.
#[test]
fn nobody_healthy_is_explained_member_by_member() {
    let mut world = World::quiet(&[100, 0, 0, 0]);
    world.outage(A);
    world.health(B, Verdict::Throttled, 5);
    world.health(C, Verdict::Misconfigured, 5);
    world.health(D, Verdict::Good, 7200);
    world.member(D).seen.insert(region(A), ago(5000));
    let decision = world.tick();
    assert!(!blocks(&decision).is_empty());
    for reason in [
        "eu-west-1 throttled",
        "HTTP 503 SlowDown",
        "ap-northeast-1 misconfigured",
        "HTTP 403 AccessDenied",
        "us-west-2 may miss at least the last 4875 s",
    ] {
        let text = decision.explanation();
        assert!(text.contains(reason), "{reason} is not in: {text}");
    }
    // If everybody is bad nothing moves either, in either topology.
    for active in [[100, 0, 0, 0], [100, 100, 100, 100]] {
        let mut world = World::quiet(&active);
        for name in [A, B, C, D] {
            world.outage(name);
        }
        assert!(matches!(world.tick(), Decision::Blocked(_)));
    }
}

#[test]
fn an_undefined_dial_is_named_where_nobody_else_is_left() {
    let mut world = World::quiet(&[100, 50]);
    world.outage(A);
    let decision = world.tick();
    assert!(blocks(&decision).contains(&Guard::TargetExists));
    let text = decision.explanation();
    assert!(text.contains("dial of eu-west-1 is 50"), "{text}");
}

/// 2 to 17 members, each bad in turn: exactly its own dial is turned.
#[test]
fn active_active_of_any_size_loses_only_the_bad_one() {
    for count in 2..=17 {
        for bad in 0..count {
            let mut world = World::quiet(&vec![100; count]);
            world.set(&[("TOPOLOGY", "active-active")]);
            world.outage(REGIONS[bad]);
            let mut expected = vec![100; count];
            expected[bad] = 0;
            assert_eq!(
                acts(&world.tick()),
                dials(&expected),
                "{count} members, {bad} bad"
            );
        }
    }
}

#[test]
fn early_return_needs_every_active_member_bad() {
    let mut world = World::quiet(&[100, 0, 50, 100]);
    world.outage(A);
    world.changed(Actor::Automatic, &[B], &[A], 1000);
    world.health(B, Verdict::Good, 900);
    world.health(D, Verdict::Throttled, 5);
    assert!(blocks(&world.tick()).contains(&Guard::Cooldown));
    world.health(D, Verdict::Bad, 5);
    assert_eq!(acts(&world.tick()), dials(&[0, 100, 50, 0]));
}

#[test]
fn an_order_may_leave_the_choice_to_the_machine() {
    /// What is active, what is wrong, from, to, and the dials that are wanted.
    type Wanted = (
        &'static str,
        [i32; 4],
        fn(&mut World),
        &'static [&'static str],
        &'static [&'static str],
        [i32; 4],
    );
    #[rustfmt::skip]
    let cases: &[Wanted] = &[
        ("nothing is named", [100, 0, 0, 0], |_| {}, &[], &[], [0, 100, 0, 0]),
        ("nothing is named and the next is sick", [100, 0, 0, 0], |w| w.health(B, Verdict::Bad, 5), &[], &[], [0, 0, 100, 0]),
        ("only the target", [100, 0, 0, 0], |_| {}, &[], &[C], [0, 0, 100, 0]),
        ("only the target, of several active", [100, 100, 0, 0], |_| {}, &[], &[C], [0, 0, 100, 0]),
        ("only the source", [100, 0, 0, 0], |w| w.health(A, Verdict::Bad, 5), &[A], &[], [0, 100, 0, 0]),
        ("only the source, others stay", [100, 100, 0, 100], |_| {}, &[B], &[], [100, 0, 0, 100]),
        ("the targets are those left active", [100, 100, 100, 100], |_| {}, &[], &[A, C], [100, 0, 100, 0]),
        ("both", [100, 0, 0, 100], |_| {}, &[A], &[B], [0, 100, 0, 100]),
        ("nothing is named, one of several active is bad", [100, 100, 100, 100], |w| w.health(C, Verdict::Bad, 5), &[], &[], [100, 100, 0, 100]),
        ("one more", [100, 0, 0, 0], |_| {}, &[], &[A, B], [100, 100, 0, 0]),
    ];
    for (what, before, disturb, from, to, after) in cases {
        let mut world = World::quiet(before);
        disturb(&mut world);
        let decision = world.ask(Wish::Failover(order(from, to, &[])));
        let Decision::Act(assessment) = &decision else {
            panic!("{what}: {}", decision.explanation())
        };
        assert_eq!(
            assessment.plan.after.to_string(),
            dials(after).to_string(),
            "{what}"
        );
    }
    let world = World::quiet(&[100, 0, 0, 0]);
    let decision = world.ask(Wish::Failover(order(&[], &[A], &[])));
    assert!(
        matches!(decision, Decision::NoChange { .. }),
        "{decision:?}"
    );
}

#[test]
fn failback_restores_what_was_before_the_incident() {
    for (topology, recorded, active, expected) in [
        ("active-passive", None, [0, 100, 0, 0], [100, 0, 0, 0]),
        (
            "active-active",
            None,
            [0, 100, 100, 100],
            [100, 100, 100, 100],
        ),
        (
            "active-passive",
            Some([0, 0, 100, 0]),
            [0, 100, 0, 0],
            [0, 0, 100, 0],
        ),
        (
            "active-passive",
            Some([100, 0, 0, 100]),
            [0, 100, 0, 100],
            [100, 0, 0, 100],
        ),
    ] {
        let mut world = World::quiet(&active);
        world.set(&[("TOPOLOGY", topology)]);
        if let Some(recorded) = recorded {
            let mut open = incident(A, ago(7200));
            open.routes_before = Some(dials(&recorded));
            world.state.incident = Some(open);
        }
        let decision = world.ask(Wish::Failback(order(&[], &[], &[])));
        assert_eq!(acts(&decision), dials(&expected), "{topology} {recorded:?}");
        world.route(&expected);
        let again = world.ask(Wish::Failback(order(&[], &[], &[])));
        assert!(matches!(again, Decision::NoChange { .. }), "{again:?}");
    }
}

/// The id is the same while the situation is, and differs with what would be done.
#[test]
fn a_decision_keeps_its_id_while_the_situation_lasts() {
    let mut world = World::quiet(&[100, 0, 0]);
    world.outage(A);
    let id = |world: &World| assessed(&world.tick()).plan.decision.clone();
    let first = id(&world);
    assert_eq!(first.len(), 12);
    world.now = later(60);
    world.evidence.as_mut().unwrap().observed_at = later(58);
    assert_eq!(id(&world), first, "time alone changes nothing");
    world.set(&[("MODE", "approve")]);
    assert_eq!(id(&world), first, "nor does the mode");
    world.health(B, Verdict::Bad, 5);
    assert_ne!(id(&world), first, "another target is another decision");
}
