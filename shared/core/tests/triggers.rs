//! Triggers: what opens, confirms, silences and closes them.

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
use jiff::Timestamp;
use sentinel_core::alarm::{AlarmState, AlarmTransition, Contributor, Suppression};
use sentinel_core::decide::Decision;
use sentinel_core::evidence::{Observer, Verdict};
use sentinel_core::guard::Guard;
use sentinel_core::state::{Source, State, Trigger};
use sentinel_core::triggers::{AlarmNow, Noted};

use AlarmState::{Alarm, InsufficientData, Ok as Fine};

fn blank() -> State {
    World::quiet(&[100, 0, 0]).state
}

/// What CloudWatch says of one alarm.
fn described(name: &str, said: AlarmNow) -> BTreeMap<sentinel_core::names::AlarmArn, AlarmNow> {
    BTreeMap::from([(alarm_arn(name), said)])
}

fn in_state(state: AlarmState) -> AlarmNow {
    AlarmNow::State {
        state,
        suppressed_by: None,
    }
}

fn with(mut transition: AlarmTransition, suppression: Option<Suppression>) -> AlarmTransition {
    transition.suppression = suppression;
    transition
}

fn of(mut transition: AlarmTransition, contributor: &str) -> AlarmTransition {
    transition.contributor = Some(Contributor {
        id: contributor.to_owned(),
        attributes: BTreeMap::new(),
    });
    transition
}

#[test]
fn transitions_in_every_order() {
    use Noted::{Closed, Confirmed, Late, Opened, Recorded};
    let at = |state: AlarmState, seconds| transition(A, state, ago(seconds));
    /// The deliveries, what each meant, and how many triggers are open in the end.
    type Case = (&'static str, Vec<(AlarmTransition, Noted)>, usize);
    #[rustfmt::skip]
    let cases: Vec<Case> = vec![
        ("one", vec![(at(Alarm, 60), Opened)], 1),
        ("a duplicate", vec![(at(Alarm, 60), Opened), (at(Alarm, 60), Confirmed)], 1),
        ("again", vec![(at(Alarm, 60), Opened), (at(Alarm, 50), Confirmed)], 1),
        ("over", vec![(at(Alarm, 60), Opened), (at(Fine, 50), Closed)], 0),
        ("over, then a late duplicate", vec![(at(Alarm, 60), Opened), (at(Fine, 50), Closed), (at(Alarm, 60), Late)], 0),
        ("out of order", vec![(at(Fine, 50), Recorded), (at(Alarm, 60), Late)], 0),
        ("the end of an earlier one, late", vec![(at(Alarm, 60), Opened), (at(Fine, 70), Late)], 1),
        ("anew", vec![(at(Alarm, 60), Opened), (at(Fine, 50), Closed), (at(Alarm, 40), Opened)], 1),
        ("no data", vec![(at(Alarm, 60), Opened), (at(InsufficientData, 50), Recorded)], 1),
        ("no data, and alarm again", vec![(at(Alarm, 60), Opened), (at(InsufficientData, 50), Recorded), (at(Alarm, 40), Confirmed)], 1),
        ("a state that nobody knows", vec![(at(Alarm, 60), Opened), (at(AlarmState::Other("CALM".to_owned()), 50), Recorded)], 1),
        ("never anything", vec![(at(Fine, 60), Recorded), (at(InsufficientData, 50), Recorded)], 0),
        ("two contributors", vec![(of(at(Alarm, 60), "c1"), Opened), (of(at(Alarm, 60), "c2"), Opened)], 2),
        ("one of two contributors is over", vec![(of(at(Alarm, 60), "c1"), Opened), (of(at(Alarm, 60), "c2"), Opened), (of(at(Fine, 50), "c1"), Closed)], 1),
        ("an older contributor is not late", vec![(of(at(Alarm, 60), "c1"), Opened), (of(at(Alarm, 70), "c2"), Opened)], 2),
        ("the alarm as a whole is over", vec![(of(at(Alarm, 60), "c1"), Opened), (of(at(Alarm, 60), "c2"), Opened), (at(Fine, 50), Closed)], 0),
    ];
    for (what, deliveries, open) in cases {
        let mut state = blank();
        for (index, (delivery, meant)) in deliveries.iter().enumerate() {
            let noted = state.note_transition(delivery, &set(&[A]), now());
            assert_eq!(noted, *meant, "{what}: delivery {index}");
        }
        assert_eq!(state.triggers.len(), open, "{what}");
    }
}

/// Whatever the order and however often each is delivered, the newest transition counts.
#[test]
fn every_permutation_ends_the_same() {
    let story = [(Alarm, 90), (Fine, 80), (Alarm, 70), (Fine, 60)];
    for last in 1..=story.len() {
        let story = &story[..last];
        for rotation in 0..story.len() {
            let mut state = blank();
            let order = (0..story.len()).map(|i| (i + rotation) % story.len());
            for index in order.clone().chain(order.rev()) {
                let (what, seconds) = story[index].clone();
                state.note_transition(&transition(A, what, ago(seconds)), &set(&[A]), now());
            }
            let expected = usize::from(story.last().unwrap().0 == Alarm);
            assert_eq!(state.triggers.len(), expected, "{story:?} from {rotation}");
        }
    }
}

#[test]
fn an_alarm_may_speak_for_several_regions() {
    let mut state = blank();
    let both = set(&[A, B]);
    let alarm = transition(A, Alarm, ago(60));
    assert_eq!(state.note_transition(&alarm, &both, now()), Noted::Opened);
    assert_eq!(state.triggers.len(), 2);
    assert_eq!(state.alarm_regions(&alarm_arn(A)), Some(both.clone()));
    assert_eq!(
        state.incident.as_ref().unwrap().id,
        "2026-11-20T16:59:00Z-eu-west-1"
    );
    let over = transition(A, Fine, ago(50));
    assert_eq!(state.note_transition(&over, &both, now()), Noted::Closed);
    assert!(state.triggers.is_empty());
}

/// Muted until a time: blocked before it, decided again after it, although nothing arrives.
#[test]
fn a_muted_alarm_is_decided_again_after_its_window() {
    let mut world = World::quiet(&[100, 0]);
    world.outage(A);
    world.state.triggers.clear();
    let until = later(60);
    let alarm = with(transition(A, Alarm, ago(60)), muted(Some(until)));
    world.state.note_transition(&alarm, &set(&[A]), now());
    for (seconds, acted) in [(0, false), (59, false), (60, true)] {
        world.now = later(seconds);
        world.evidence.as_mut().unwrap().observed_at = world.now;
        let in_alarm = described(A, in_state(Alarm));
        world
            .state
            .confirm_triggers(&in_alarm, world.evidence.as_ref(), world.now);
        let decision = world.tick();
        if acted {
            acts(&decision);
        } else {
            assert_eq!(
                blocks(&decision),
                [Guard::TriggerNotSuppressed].into(),
                "{seconds}"
            );
            assert!(decision.explanation().contains("night-work"));
        }
    }
}

#[test]
fn silence_and_its_end() {
    let quiet = |state: &State| state.triggers[0].quiet.is_some();
    let note = |state: &mut State, transition: AlarmTransition| {
        state.note_transition(&transition, &set(&[A]), now())
    };
    let suppressing = || {
        described(
            A,
            AlarmNow::State {
                state: Alarm,
                suppressed_by: Some("Alarm".to_owned()),
            },
        )
    };
    // Suppressed until CloudWatch shows it in ALARM and unsuppressed.
    let mut state = blank();
    note(
        &mut state,
        with(transition(A, Alarm, ago(60)), suppressed()),
    );
    assert!(quiet(&state));
    state.confirm_triggers(&suppressing(), None, now());
    assert!(quiet(&state), "still suppressed");
    state.confirm_triggers(&described(A, AlarmNow::Unreachable), None, now());
    assert!(quiet(&state), "nobody says that it is over");
    state.confirm_triggers(&described(A, in_state(Alarm)), None, now());
    assert!(!quiet(&state));
    // A suppression that begins later counts too.
    state.confirm_triggers(&suppressing(), None, now());
    assert!(quiet(&state));
    // The end of a suppression is delivered as ALARM to ALARM.
    note(&mut state, transition(A, Alarm, ago(30)));
    assert!(!quiet(&state));
    // DescribeAlarms says nothing of mute windows: a mute ends by its time only.
    let mut state = blank();
    note(
        &mut state,
        with(transition(A, Alarm, ago(60)), muted(Some(later(60)))),
    );
    state.confirm_triggers(&described(A, in_state(Alarm)), None, now());
    assert!(quiet(&state));
    // A duplicate that was delivered as an action proves that it is not muted; a muted
    // duplicate of a transition that acted silences nothing.
    note(&mut state, transition(A, Alarm, ago(60)));
    assert!(!quiet(&state));
    note(&mut state, with(transition(A, Alarm, ago(60)), muted(None)));
    assert!(!quiet(&state));
}

#[test]
fn acknowledged_triggers_stay_closed_until_something_new_happens() {
    let mut state = blank();
    let first = transition(A, Alarm, ago(60));
    state.note_transition(&first, &set(&[A]), now());
    state.triggers.clear();
    state.close_incident(now(), "acknowledged by an operator");
    assert_eq!(
        state.note_transition(&first, &set(&[A]), later(5)),
        Noted::Late
    );
    assert!(state.triggers.is_empty() && state.incident.is_none());
    let newer = transition(A, Alarm, ago(10));
    assert_eq!(
        state.note_transition(&newer, &set(&[A]), later(6)),
        Noted::Opened
    );
    assert_eq!(
        state.incident.as_ref().unwrap().id,
        "2026-11-20T16:59:50Z-us-east-1"
    );
}

/// What DescribeAlarms says, what the probes say, and what becomes of an alarm's trigger.
#[test]
fn the_tick_confirms_keeps_or_closes() {
    #[derive(Debug, PartialEq)]
    enum Becomes {
        Closed,
        Confirmed,
        Kept,
    }
    use Becomes::{Closed, Confirmed, Kept};
    let table: [(Option<AlarmNow>, [Becomes; 3]); 6] = [
        // Probes:                         bad        good     unknown
        (Some(in_state(Fine)), [Closed, Closed, Closed]),
        (Some(in_state(Alarm)), [Confirmed, Confirmed, Confirmed]),
        (Some(in_state(InsufficientData)), [Confirmed, Kept, Kept]),
        (Some(AlarmNow::Unreachable), [Confirmed, Kept, Kept]),
        (None, [Confirmed, Kept, Kept]),
        (Some(AlarmNow::Gone), [Confirmed, Closed, Kept]),
    ];
    for (said, becomes) in table {
        for (verdict, becomes) in [Verdict::Bad, Verdict::Good, Verdict::Unknown]
            .iter()
            .zip(becomes)
        {
            let mut world = World::quiet(&[100, 0]);
            world.outage(A);
            world.health(A, *verdict, 120);
            world.state.triggers[0].last_confirmed = ago(50);
            let said_now: BTreeMap<_, _> = said
                .clone()
                .map(|said| (alarm_arn(A), said))
                .into_iter()
                .collect();
            world
                .state
                .confirm_triggers(&said_now, world.evidence.as_ref(), now());
            let found = match world.state.triggers.as_slice() {
                [] => Closed,
                [one] if one.last_confirmed > ago(50) => Confirmed,
                _ => Kept,
            };
            assert_eq!(found, becomes, "{said:?}, probes {verdict:?}");
        }
    }
}

#[test]
fn only_what_was_not_confirmed_lately_is_asked_about() {
    let mut world = World::quiet(&[100, 0, 0]);
    world.alarm(A).last_confirmed = ago(30);
    world.alarm(B).last_confirmed = ago(29);
    world.state.triggers.push(Trigger {
        region: region(C),
        source: Source::Evidence,
        since: ago(500),
        last_confirmed: ago(500),
        quiet: None,
    });
    let asked = world.state.alarms_to_confirm(secs(30), now());
    assert_eq!(asked, BTreeSet::from([alarm_arn(A)]));
}

#[test]
fn evidence_opens_and_closes_triggers_of_its_own() {
    let mut world = World::quiet(&[100, 0]);
    let open = |world: &mut World| {
        let (evidence, routes) = (world.evidence.clone().unwrap(), world.routes.clone());
        world
            .state
            .open_evidence_triggers(&evidence, &routes, (secs(60), 3), now());
        world.state.triggers.len()
    };
    // The evidence is five seconds old: what counts is how long it was seen bad.
    for (for_seconds, expected) in [(5, 0), (64, 0), (65, 1), (300, 1)] {
        world.health(A, Verdict::Bad, for_seconds);
        world.health(B, Verdict::Bad, 300);
        assert_eq!(open(&mut world), expected, "bad for {for_seconds} s");
    }
    let trigger = world.state.triggers[0].clone();
    assert_eq!((trigger.source, trigger.since), (Source::Evidence, ago(65)));
    assert_eq!(trigger.last_confirmed, ago(5));
    for (verdict, kept) in [
        (Verdict::Bad, true),
        (Verdict::Throttled, true),
        (Verdict::Misconfigured, true),
        (Verdict::Good, false),
    ] {
        world.health(A, verdict, 1);
        world
            .state
            .confirm_triggers(&BTreeMap::new(), world.evidence.as_ref(), now());
        assert_eq!(!world.state.triggers.is_empty(), kept, "{verdict:?}");
    }
    // A sick observer opens nothing and closes nothing.
    world.health(A, Verdict::Bad, 300);
    assert_eq!(open(&mut world), 1);
    world.health(A, Verdict::Good, 1);
    world.evidence.as_mut().unwrap().observer = Observer::Sick {
        reason: "own credentials".to_owned(),
    };
    world
        .state
        .confirm_triggers(&BTreeMap::new(), world.evidence.as_ref(), now());
    assert_eq!(world.state.triggers.len(), 1);
    world.state.triggers.clear();
    world.health(A, Verdict::Bad, 300);
    assert_eq!(open(&mut world), 0);
}

#[test]
fn an_incident_without_a_change_ends_with_its_triggers() {
    let mut world = World::quiet(&[100, 0]);
    world.outage(A);
    assert_eq!(
        world.state.end_idle_incident(now()),
        None,
        "a trigger is open"
    );
    let id = world.state.incident.as_ref().unwrap().id.clone();
    world.state.triggers.clear();
    let mut changed = world.state.clone();
    assert_eq!(world.state.end_idle_incident(now()), Some(id));
    assert!(world.state.incident.is_none());
    assert!(matches!(world.tick(), Decision::NoChange { .. }));
    // After a change it waits for a person.
    changed.settle(
        &plan(
            &[100, 0],
            &[0, 100],
            sentinel_core::state::Actor::Automatic,
            ago(60),
        ),
        now(),
    );
    changed.proof = None;
    assert_eq!(changed.end_idle_incident(now()), None);
}

#[test]
fn a_late_alarm_acts_only_once_it_is_confirmed() {
    let mut world = World::quiet(&[100, 0]);
    world.outage(A);
    world.state.triggers.clear();
    let hours_old: Timestamp = ago(7200);
    world
        .state
        .note_transition(&transition(A, Alarm, hours_old), &set(&[A]), now());
    assert_eq!(blocks(&world.tick()), [Guard::TriggerIsFresh].into());
    let in_alarm = described(A, in_state(Alarm));
    world.state.confirm_triggers(&in_alarm, None, now());
    acts(&world.tick());
}

#[test]
fn so_many_rounds_of_the_health_check_open_a_trigger_before_the_time_does() {
    for (rounds, acknowledged, expected) in [
        (2, None, 0),
        (3, None, 1),
        (9, None, 1),
        // What lasts beyond an acknowledgement is waited for by the clock.
        (9, Some(20), 0),
        (9, Some(40), 1),
    ] {
        let mut world = World::quiet(&[100, 0, 0]);
        world.health(A, Verdict::Bad, 30);
        world.health(B, Verdict::Bad, 30);
        world.member(A).bad_rounds = rounds;
        world.member(B).bad_rounds = 9; // passive: nothing serves there
        world.state.cooldown_ended = acknowledged.map(ago);
        let (evidence, routes) = (world.evidence.clone().unwrap(), world.routes.clone());
        let limits = (secs(60), 3);
        world
            .state
            .open_evidence_triggers(&evidence, &routes, limits, now());
        let open = world.state.triggers.len();
        assert_eq!(open, expected, "{rounds} rounds, {acknowledged:?}");
    }
}
