//! Comparing the routes with what is recorded: claims, late landings, outside changes, old copies.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::pedantic,
    reason = "a broken assumption must fail the test"
)]

mod common;

use common::*;
use jiff::Timestamp;
use sentinel_core::decide::Wish;
use sentinel_core::evidence::Verdict;
use sentinel_core::guard::Guard;
use sentinel_core::reconcile::Reconciled;
use sentinel_core::state::{Abandoned, Actor, Claim, Kind};

const SETTLE: i64 = 120;

/// Two members, home active; the routes are read as `seen`.
fn look(world: &mut World, seen: &[i32], at: Timestamp) -> Reconciled {
    world.routes = dials(seen);
    world.now = at;
    let (routes, evidence) = (world.routes.clone(), world.evidence.clone());
    world
        .state
        .reconcile(&routes, evidence.as_ref(), "request-1", secs(SETTLE), at)
}

fn claim(world: &mut World, owner: &str, expires: Timestamp) {
    world.state.claim = Some(Claim {
        request_id: owner.to_owned(),
        plan: plan(&[100, 0], &[0, 100], Actor::Automatic, ago(200)),
        claimed_at: ago(100),
        expires,
    });
}

/// In a word, what was found.
fn word(found: &Reconciled) -> &'static str {
    match found {
        Reconciled::Same => "same",
        Reconciled::Baseline => "baseline",
        Reconciled::Settled(_) => "settled",
        Reconciled::LateLanding(_) => "late",
        Reconciled::Outside(_) => "outside",
    }
}

#[test]
fn claims_against_the_routes() {
    let before = [100, 0];
    let after = [0, 100];
    let other = [100, 100];
    #[rustfmt::skip]
    let table = [
        // Whose claim, its expiry, the routes as read, what is found, claim kept, intention given up.
        ("request-1", later(30), before, "same", false, true),
        ("request-1", later(30), after, "settled", false, true),
        ("request-1", later(30), other, "outside", false, true),
        ("another", now(), before, "same", true, false),
        ("another", now(), after, "same", true, false),
        ("another", now(), other, "same", true, false),
        ("another", ago(1), before, "same", false, true),
        ("another", ago(1), after, "settled", false, true),
        ("another", ago(1), other, "outside", false, true),
    ];
    for (owner, expires, seen, found, kept, given_up) in table {
        let mut world = World::quiet(&before);
        claim(&mut world, owner, expires);
        let case = format!("{owner}'s claim until {expires}, routes {seen:?}");
        let reconciled = look(&mut world, &seen, now());
        assert_eq!(word(&reconciled), found, "{case}");
        assert_eq!(world.state.claim.is_some(), kept, "{case}");
        assert_eq!(!world.state.abandoned.is_empty(), given_up, "{case}");
        if let Reconciled::Settled(plan) = reconciled {
            let change = world.state.changes.last().unwrap();
            assert_eq!(
                (change.by, change.kind),
                (Actor::Automatic, Some(Kind::Failover))
            );
            assert_eq!(change.to, set(&[B]));
            assert_eq!(world.state.proof.as_ref().unwrap().plan, *plan);
            assert_eq!(world.state.settled.as_ref().unwrap().routes, dials(&after));
            assert_eq!(world.state.incident.as_ref().unwrap().id, plan.incident);
        }
        // A second look finds nothing new.
        assert_eq!(word(&look(&mut world, &seen, now())), "same", "{case}");
    }
}

#[test]
fn the_first_sight_is_the_baseline() {
    let mut world = World::quiet(&[100, 0]);
    world.state.settled = None;
    assert_eq!(word(&look(&mut world, &[0, 100], now())), "baseline");
    assert_eq!(word(&look(&mut world, &[0, 100], later(1))), "same");
    assert!(world.state.changes.is_empty() && world.state.incident.is_none());
}

#[test]
fn an_outside_change_is_adopted_once_and_never_reverted() {
    let mut world = World::quiet(&[100, 0, 0]);
    let Reconciled::Outside(change) = look(&mut world, &[0, 0, 100], now()) else {
        panic!("not seen");
    };
    assert_eq!(
        (change.by, &change.from, &change.to),
        (Actor::Outside, &set(&[A]), &set(&[C]))
    );
    assert!(
        world.state.incident.is_some(),
        "somebody has to be able to acknowledge it"
    );
    assert_eq!(
        world.state.incident.as_ref().unwrap().routes_before,
        Some(dials(&[100, 0, 0]))
    );
    assert!(world.state.failback_suspended.is_some());
    assert!(world.state.accepted.is_empty(), "C is good");
    assert_eq!(world.state.changes.len(), 1);
    assert_eq!(word(&look(&mut world, &[0, 0, 100], later(60))), "same");
    assert_eq!(world.state.changes.len(), 1);
    // It starts the cooldown: nothing goes back to where the stranger left, or away, at once.
    assert!(world.state.last_automatic_departure(&region(A)).is_some());
}

/// Which members count as chosen although nothing showed them good.
#[test]
fn what_a_stranger_chose_knowingly_is_respected() {
    /// Dials before and after, who is bad, and who is taken as chosen.
    type Case<'a> = (&'a str, [i32; 3], [i32; 3], &'a [&'a str], &'a [&'a str]);
    #[rustfmt::skip]
    let table: [Case<'_>; 5] = [
        ("a bad one made active", [100, 0, 0], [0, 100, 0], &[B], &[B]),
        ("a good one made active", [100, 0, 0], [0, 100, 0], &[A], &[]),
        ("a bad one made active beside good ones", [100, 0, 0], [100, 100, 0], &[B], &[B]),
        ("only a bad one kept active", [100, 100, 0], [0, 100, 0], &[B], &[B]),
        ("another one turned off while a good one stays", [100, 100, 100], [100, 100, 0], &[B], &[]),
    ];
    for (what, before, after, bad, accepted) in table {
        let mut world = World::quiet(&before);
        for name in bad {
            world.health(name, Verdict::Bad, 30);
        }
        assert_eq!(word(&look(&mut world, &after, now())), "outside", "{what}");
        let kept: Vec<&str> = world
            .state
            .accepted
            .keys()
            .map(|region| region.as_str())
            .collect();
        assert_eq!(kept, accepted, "{what}");
        // Lifted once it was seen good, or serves no more.
        let mut recovered = world.state.clone();
        for name in bad {
            world.health(name, Verdict::Good, 5);
        }
        recovered.review_accepted(world.evidence.as_ref());
        assert!(recovered.accepted.is_empty(), "{what}");
    }
}

#[test]
fn an_old_copy_is_waited_out() {
    let mut world = World::quiet(&[100, 0]);
    world.outage(A);
    world.state.settle(
        &plan(&[100, 0], &[0, 100], Actor::Automatic, ago(200)),
        now(),
    );
    assert_eq!(
        word(&look(&mut world, &[100, 0], later(SETTLE - 1))),
        "same"
    );
    assert_eq!(
        world.state.settled.as_ref().unwrap().routes,
        dials(&[0, 100])
    );
    // Meanwhile neither the machine nor an operator decides on it.
    let order = world.ask(Wish::Failover(order(&[], &[B], &Guard::ALL)));
    assert!(blocks(&order).contains(&Guard::NobodyElseIsActing));
    assert!(world.tick().assessment().is_none());
    assert_eq!(word(&look(&mut world, &[100, 0], later(SETTLE))), "outside");
}

/// An answer that merely took long, and one that comes after something else had happened.
#[test]
fn late_landings_are_told_from_slow_answers() {
    let wanted = || plan(&[100, 0], &[0, 100], Actor::Automatic, ago(200));
    // Given up, then it shows: simply slow.
    let mut world = World::quiet(&[100, 0]);
    world.state.abandoned = vec![Abandoned {
        plan: wanted(),
        at: now(),
    }];
    assert_eq!(word(&look(&mut world, &[0, 100], later(60))), "settled");
    // Given up, a third change was settled, then it lands.
    let mut world = World::quiet(&[100, 0]);
    world.state.abandoned = vec![Abandoned {
        plan: wanted(),
        at: now(),
    }];
    world.state.settle(
        &plan(&[100, 0], &[100, 100], Actor::Operator, now()),
        later(30),
    );
    let Reconciled::LateLanding(change) = look(&mut world, &[0, 100], later(300)) else {
        panic!("not late");
    };
    assert_eq!((change.by, change.kind), (Actor::LateLanding, None));
    assert!(world.state.proof.is_none() && world.state.failback_suspended.is_none());
    assert!(
        change.reason.contains("2026-11-20T17:00:00Z"),
        "{}",
        change.reason
    );
    assert_eq!(word(&look(&mut world, &[0, 100], later(301))), "same");
    // It was settled, an operator went back, then a sibling try lands: not what anybody wants now.
    let mut world = World::quiet(&[100, 0]);
    world.state.settle(&wanted(), now());
    world.state.abandoned = vec![Abandoned {
        plan: wanted(),
        at: now(),
    }];
    world.state.settle(
        &plan(&[0, 100], &[100, 0], Actor::Operator, later(150)),
        later(150),
    );
    assert_eq!(word(&look(&mut world, &[0, 100], later(400))), "late");
    // Long forgotten: it is somebody else's.
    let mut world = World::quiet(&[100, 0]);
    world.state.abandoned = vec![Abandoned {
        plan: wanted(),
        at: now(),
    }];
    world.state.forget_old(later(900));
    assert_eq!(world.state.abandoned.len(), 1);
    world.state.forget_old(later(901));
    assert_eq!(word(&look(&mut world, &[0, 100], later(901))), "outside");
}

/// No opposite change until the routes have read back stable for `SETTLE_SECONDS`.
#[test]
fn what_may_land_again_is_not_opposed_too_soon() {
    // An expired claim is found carried out; a sibling try may still hang somewhere.
    let mut world = World::quiet(&[100, 0]);
    claim(&mut world, "another", ago(1));
    assert_eq!(word(&look(&mut world, &[0, 100], now())), "settled");
    let back = |world: &World| world.ask(Wish::Failover(order(&[B], &[A], &[])));
    world.pending.clear();
    world.now = later(SETTLE - 1);
    world.evidence.as_mut().unwrap().observed_at = world.now;
    assert_eq!(blocks(&back(&world)), [Guard::NobodyElseIsActing].into());
    world.now = later(SETTLE);
    acts(&back(&world));
    // Given up long ago, but it landed only now: stable counts from the landing.
    let mut world = World::quiet(&[100, 0]);
    let wanted = plan(&[100, 0], &[0, 100], Actor::Automatic, ago(400));
    world.state.abandoned = vec![Abandoned {
        plan: wanted,
        at: ago(300),
    }];
    assert_eq!(word(&look(&mut world, &[0, 100], now())), "settled");
    world.now = later(SETTLE - 1);
    world.evidence.as_mut().unwrap().observed_at = world.now;
    assert_eq!(blocks(&back(&world)), [Guard::NobodyElseIsActing].into());
    world.now = later(SETTLE);
    acts(&back(&world));
}

/// When nobody can tell how a member is, a person's choice of it is one made knowingly.
#[test]
fn what_a_stranger_chose_in_the_dark_is_respected() {
    for verdict in [
        Verdict::Unknown,
        Verdict::Throttled,
        Verdict::Misconfigured,
        Verdict::ObserverSick,
    ] {
        let mut world = World::quiet(&[100, 0, 0]);
        world.health(B, verdict, 30);
        assert_eq!(word(&look(&mut world, &[0, 100, 0], now())), "outside");
        assert!(world.state.accepted.contains_key(&region(B)), "{verdict:?}");
    }
    let mut world = World::quiet(&[100, 0, 0]);
    world.evidence = None;
    assert_eq!(word(&look(&mut world, &[0, 100, 0], now())), "outside");
    assert!(world.state.accepted.contains_key(&region(B)));
}
