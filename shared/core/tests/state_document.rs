//! The shared document: it must be readable for ever, and stay small.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::pedantic,
    reason = "a broken assumption must fail the test"
)]

mod common;

use common::*;
use sentinel_core::alarm::AlarmState;
use sentinel_core::announce::{Announcement, Draft, Event, Severity};
use sentinel_core::answer::{Answer, Outcome};
use sentinel_core::decide::Wish;
use sentinel_core::evidence::Verdict;
use sentinel_core::names::MrapArn;
use sentinel_core::state::{Abandoned, Actor, Claim, Hold, Proposal, State, StateError};
use serde_json::{Value, json};

fn mrap() -> MrapArn {
    "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap"
        .parse()
        .unwrap()
}

/// A document as this version once wrote it. Never edit it: what was written has to be read.
fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/state/schema-1.json")).unwrap()
}

#[test]
fn what_was_written_is_read_for_ever() {
    let document = fixture();
    let fields: Vec<&str> = document
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    for field in [
        "abandoned",
        "accepted",
        "alarms",
        "changes",
        "claim",
        "closed",
        "cooldownEnded",
        "evidence",
        "failbackSuspended",
        "hold",
        "incident",
        "mrap",
        "outbox",
        "problems",
        "proof",
        "proposal",
        "schema",
        "settled",
        "standstill",
        "triggers",
        "writtenAt",
        "writtenBy",
    ] {
        assert!(
            fields.contains(&field),
            "the fixture has no {field}: it proves nothing about it"
        );
    }
    let state = State::parse(document.clone(), &mrap()).unwrap();
    assert!(
        state.others.is_empty(),
        "fields that nobody knows: {:?}",
        state.others
    );
    assert_eq!(serde_json::to_value(&state).unwrap(), document);
}

#[test]
fn what_a_newer_version_added_is_kept() {
    let mut document = fixture();
    document["rehearsals"] = json!([{"at": "2026-11-20T17:00:00Z"}]);
    let state = State::parse(document.clone(), &mrap()).unwrap();
    assert_eq!(serde_json::to_value(&state).unwrap(), document);
    // Inside of a part it is lost at the next write, but never in the way.
    document["hold"]["by"] = json!("somebody");
    document["claim"]["plan"]["guards"][0]["since"] = json!("2026-11-20T17:00:00Z");
    State::parse(document, &mrap()).unwrap();
}

#[test]
fn the_smallest_document_is_enough() {
    let document =
        json!({"schema": 1, "mrap": mrap(), "writtenBy": "", "writtenAt": "2026-11-19T17:00:00Z"});
    let state = State::parse(document, &mrap()).unwrap();
    assert_eq!(state, State::first(mrap(), ago(86_400)));
}

#[test]
fn what_cannot_be_trusted_is_a_clear_error() {
    let changed = |field: &str, value: Value| {
        let mut document = fixture();
        document[field] = value;
        document
    };
    let without = |field: &str| {
        let mut document = fixture();
        document.as_object_mut().unwrap().remove(field);
        document
    };
    let other = "arn:aws:s3::111122223333:accesspoint/another.mrap";
    #[rustfmt::skip]
    let cases = [
        (changed("schema", json!(2)), "schema 2"),
        (changed("schema", json!("1")), "schema \"1\""),
        (changed("schema", json!(1.5)), "schema 1.5"),
        (without("schema"), "schema none"),
        (json!([]), "schema none"),
        (Value::Null, "schema none"),
        (changed("mrap", json!(other)), other),
        (without("mrap"), "cannot be read"),
        (without("writtenAt"), "cannot be read"),
        (changed("triggers", json!({})), "cannot be read"),
        (changed("hold", json!("yes")), "cannot be read"),
        (changed("claim", json!({"requestId": "x"})), "cannot be read"),
    ];
    for (document, says) in cases {
        let error = State::parse(document, &mrap()).expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
        assert!(
            matches!(error, StateError::Foreign { .. })
                || error.to_string().contains("repair-state"),
            "no way out is named: {error}"
        );
    }
    // A future document is refused as such, whatever else is strange about it.
    let mut future = changed("mrap", json!(other));
    future["schema"] = json!(7);
    assert!(matches!(
        State::parse(future, &mrap()),
        Err(StateError::Schema { .. })
    ));
}

#[test]
fn what_is_kept_is_bounded() {
    let mut state = World::quiet(&[100, 0]).state;
    for minute in 0..600 {
        let at = later(minute * 60);
        state.open_incident(at, &region(A), at);
        for step in 0..3 {
            state.note(at, format!("note {step}"));
        }
        let alarm = transition(&format!("a{minute}"), AlarmState::Ok, at);
        state.note_transition(&alarm, &set(&[A]), at);
        state.settle(&plan(&[100, 0], &[0, 100], Actor::Operator, at), at);
        for again in 0..100 {
            state.note(at, format!("again {again}"));
        }
        assert!(state.incident.as_ref().unwrap().notes.len() <= 50);
        assert_eq!(
            state.incident.as_ref().unwrap().notes[0].text,
            "note 0",
            "how it began stays"
        );
        state.close_incident(at, "acknowledged");
        state.forget_old(at);
    }
    assert_eq!(state.changes.len(), 100);
    assert_eq!(
        state.changes.last().unwrap().at,
        later(599 * 60),
        "the newest are kept"
    );
    assert_eq!(state.closed.len(), 20);
    assert_eq!(
        state.closed.last().unwrap().id,
        "2026-11-21T02:59:00Z-us-east-1"
    );
    assert_eq!(state.alarms.len(), 500);
    assert!(state.alarms.contains_key(alarm_arn("a599").as_str()));
    state.forget_old(later(599 * 60 + 86_400));
    assert_eq!(
        state.alarms.len(),
        1,
        "what is older than a day is forgotten"
    );
}

#[test]
fn what_has_ended_is_forgotten() {
    let mut state = World::quiet(&[100, 0]).state;
    let hold = |until| {
        Some(Hold {
            reason: "night work".to_owned(),
            since: ago(60),
            until,
        })
    };
    let proposal = |at| {
        Some(Proposal {
            plan: plan(&[100, 0], &[0, 100], Actor::Automatic, ago(60)),
            at,
        })
    };
    (state.hold, state.proposal) = (hold(Some(later(1))), proposal(ago(900)));
    state.forget_old(now());
    assert!(state.hold.is_some() && state.proposal.is_some());
    (state.hold, state.proposal) = (hold(Some(now())), proposal(ago(901)));
    state.forget_old(now());
    assert!(state.hold.is_none() && state.proposal.is_none());
    state.hold = hold(None);
    state.forget_old(later(1_000_000));
    assert!(
        state.hold.is_some(),
        "a hold without an end ends by release only"
    );
}

fn announcement(event: Event, step: &str, answer: &Answer) -> Announcement {
    let draft = Draft {
        event,
        severity: Severity::Critical,
        step,
        region: A,
        headline: "something happened",
        advice: &["Do something.".to_owned()],
        answer,
    };
    Announcement::compose(&mrap(), &draft, now())
}

#[test]
fn the_outbox_holds_each_event_once_and_the_newest_reminder() {
    let mut state = World::quiet(&[100, 0]).state;
    let about = |incident: &str| Answer {
        incident: Some(incident.to_owned()),
        ..Answer::plain(Outcome::Blocked, "because")
    };
    state.announce(announcement(Event::Submitted, "d1", &about("i1")));
    state.announce(announcement(Event::Submitted, "d1", &about("i1")));
    state.announce(announcement(Event::Blocked, "1", &about("i1")));
    state.announce(announcement(Event::Blocked, "2", &about("i1")));
    state.announce(announcement(Event::Blocked, "1", &about("i2")));
    let ids: Vec<&str> = state
        .outbox
        .iter()
        .map(|one| one.event_id.as_str())
        .collect();
    assert_eq!(ids, ["i1/submitted/d1", "i1/blocked/2", "i2/blocked/1"]);
}

/// The most members an access point can have, in the middle of an episode.
#[test]
fn seventeen_members_fit() {
    let mut active = vec![0; 17];
    active[0] = 100;
    let mut world = World::quiet(&active);
    for name in &REGIONS[..9] {
        world.outage(name);
    }
    let decision = world.tick();
    let plan = assessed(&decision).plan.clone();
    assert_eq!(
        acts(&decision).active(),
        set(&[REGIONS[9]]),
        "the first that is healthy"
    );
    world.state.evidence = world.evidence.clone();
    for _ in 0..5 {
        world.state.record_change(sentinel_core::state::Change {
            at: ago(60),
            by: Actor::Automatic,
            kind: Some(plan.kind),
            incident: Some(plan.incident.clone()),
            decision: Some(plan.decision.clone()),
            from: plan.from.clone(),
            to: plan.to.clone(),
            before: plan.before.clone(),
            after: plan.after.clone(),
            reason: plan.reason.clone(),
        });
    }
    world.state.settle(&plan, now());
    world.state.abandoned = vec![
        Abandoned {
            plan: plan.clone(),
            at: now()
        };
        2
    ];
    world.state.claim = Some(Claim {
        request_id: "2f1c3f0e-8a0b-4e57-9d6d-6a5f0d3c8f11".to_owned(),
        plan: plan.clone(),
        claimed_at: now(),
        expires: later(60),
    });
    let answer = Answer::about(Outcome::Submitted, &plan, decision.explanation());
    for step in ["1", "2", "3"] {
        world
            .state
            .announce(announcement(Event::Submitted, step, &answer));
    }
    let size = serde_json::to_vec(&world.state).unwrap().len();
    assert!(size < 96 * 1024, "{size} bytes");
    // With as much history as is ever kept it is still one small request.
    let mut old = world.state.clone();
    for minute in 0..600 {
        old.record_change(old.changes[0].clone());
        let alarm = transition(&format!("a{minute}"), AlarmState::Ok, now());
        old.note_transition(&alarm, &set(&[A]), now());
    }
    old.forget_old(now());
    let size = serde_json::to_vec(&old).unwrap().len();
    assert!(size < 512 * 1024, "{size} bytes");
    // SNS takes 256 KiB.
    let page = &world.state.outbox[0];
    let published = page.text.len() + page.body.to_string().len();
    assert!(published < 32 * 1024, "{published} bytes");
    // Everybody bad: the explanation names all of them and can still be read.
    for name in &REGIONS[9..] {
        world.health(name, Verdict::Bad, 30);
    }
    world.state.claim = None;
    world.state.abandoned.clear();
    world.state.settled.as_mut().unwrap().routes = world.routes.clone();
    world.state.changes.clear();
    let decision = world.ask(Wish::Triggers { approved: false });
    assert!(!blocks(&decision).is_empty());
    for name in REGIONS {
        assert!(decision.explanation().contains(name), "{name}");
    }
    assert!(
        decision.explanation().len() < 6 * 1024,
        "{}",
        decision.explanation().len()
    );
}
