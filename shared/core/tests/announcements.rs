//! What people read: explanations, e-mails, subjects and the JSON of announcements.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::pedantic,
    reason = "a broken assumption must fail the test"
)]

mod common;

use common::*;
use sentinel_core::announce::{Announcement, Event, Severity, subject};
use sentinel_core::answer::{Answer, Outcome};
use sentinel_core::decide::{Drift, Wish};
use sentinel_core::evidence::{Observer, Verdict};
use sentinel_core::guard::Guard;
use sentinel_core::notice::Notices;
use sentinel_core::reconcile::Reconciled;
use sentinel_core::state::{Actor, Hold, PendingProof, Plan, Quiet};

/// Home has been bad for two minutes; no readiness check exists yet.
fn outage() -> World {
    let mut world = World::quiet(&[100, 0, 0]);
    world.outage(A);
    world.drift = Drift::Unknown;
    world
}

fn held(mut world: World) -> World {
    world.state.hold = Some(Hold {
        reason: "night work".to_owned(),
        since: ago(600),
        until: None,
    });
    world
}

#[test]
fn explanations() {
    let automatic = |world: World| world.tick();
    let in_mode = |mode: &str| {
        let mut world = outage();
        world.set(&[("MODE", mode)]);
        world.tick()
    };
    let ordered = |world: &World, from: &[&str], to: &[&str], overrides: &[Guard]| {
        world.ask(Wish::Failover(order(from, to, overrides)))
    };
    let mut silenced = outage();
    silenced.state.triggers[0].quiet = Some(Quiet {
        by: "mute rule night-work".to_owned(),
        until: Some(later(3600)),
    });
    let mut returning = outage();
    returning.changed(Actor::Automatic, &[B], &[A], 1200);
    returning.health(B, Verdict::Good, 600);
    let mut flapping = outage();
    flapping.changed(Actor::Automatic, &[C], &[A], 100);
    let mut nobody = outage();
    nobody.health(B, Verdict::Bad, 90);
    nobody.health(C, Verdict::Throttled, 20);
    let mut blind = outage();
    blind.evidence.as_mut().unwrap().observer = Observer::Sick {
        reason: "no member could be reached at all in one round".to_owned(),
    };
    let mut home = World::quiet(&[0, 100, 0]);
    home.health(A, Verdict::Good, 600);
    let mut safe = World::quiet(&[0, 100, 0]);
    safe.health(A, Verdict::Good, 3600);
    let well = World::quiet(&[100, 0, 0]);
    let decisions = [
        ("act", automatic(outage())),
        ("act: home early, within the cooldown", automatic(returning)),
        ("would act", in_mode("observe")),
        ("needs approval", in_mode("approve")),
        ("blocked: held", automatic(held(outage()))),
        ("blocked: muted", automatic(silenced)),
        ("blocked: too soon", automatic(flapping)),
        ("blocked: nobody is healthy", automatic(nobody)),
        ("blocked: observer sick", automatic(blind)),
        (
            "overridden",
            ordered(&held(outage()), &[A], &[B], &[Guard::NotOnHold]),
        ),
        ("switchover", ordered(&well, &[], &[B], &[])),
        ("one more", ordered(&well, &[], &[A, B], &[])),
        ("impossible", ordered(&well, &[B], &["sa-east-1"], &[])),
        ("failback", safe.ask(Wish::Failback(order(&[], &[], &[])))),
        (
            "failback: too early",
            home.ask(Wish::Failback(order(&[], &[], &[]))),
        ),
        ("nothing to do", automatic(well)),
    ];
    let text: Vec<String> = decisions
        .iter()
        .map(|(what, decision)| {
            let ruling = format!("{decision:?}");
            let ruling = ruling.split(['(', ' ']).next().unwrap();
            format!("## {what} ({ruling})\n{}\n", decision.explanation())
        })
        .collect();
    insta::assert_snapshot!("explanations", text.join("\n"));
}

/// A notice, and what it does to a state.
type Says = Box<dyn Fn(&Notices<'_>, &mut World)>;

fn plan_of(world: &World) -> Plan {
    assessed(&world.tick()).plan.clone()
}

#[test]
fn every_announcement() {
    let sight = "Each member's canary through the access point: us-east-1: REPLICA; eu-west-1: COMPLETED; ap-northeast-1: REPLICA.";
    let proof = |world: &World| PendingProof {
        plan: plan_of(world),
        settled_at: ago(150),
        overdue_announced: false,
    };
    let stands = |event: Event, count: u32, mode: &'static str| -> Says {
        Box::new(move |notices, world| {
            world.set(&[("MODE", mode)]);
            let assessment = assessed(&world.tick()).clone();
            notices.standstill(&mut world.state, event, &assessment, count);
        })
    };
    let surprise = |before: [i32; 3], late: bool| -> Says {
        Box::new(move |notices, world| {
            world.state.triggers.clear();
            world.route(&before);
            if late {
                world.state.abandoned = vec![sentinel_core::state::Abandoned {
                    plan: plan(&[100, 100, 100], &[100, 0, 0], Actor::Automatic, ago(900)),
                    at: ago(600),
                }];
            }
            let evidence = world.evidence.clone().unwrap();
            let found =
                world
                    .state
                    .reconcile(&dials(&[100, 0, 0]), Some(&evidence), "r", secs(120), now());
            let (Reconciled::Outside(change) | Reconciled::LateLanding(change)) = found else {
                panic!("{found:?}")
            };
            notices.surprise(&mut world.state, &change, &evidence);
        })
    };
    let operator = |event: Event, outcome: Outcome, headline: &'static str| -> Says {
        Box::new(move |notices, world| {
            let answer = Answer::plain(outcome, "What was done, in one sentence.");
            notices.operator(&mut world.state, event, headline, &answer);
        })
    };
    let cases: Vec<(&str, Says)> = vec![
        (
            "submitted",
            Box::new(|notices, world| {
                let plan = plan_of(world);
                notices.submitted(&mut world.state, &plan);
            }),
        ),
        (
            "budget-exhausted",
            Box::new(|notices, world| {
                let plan = plan_of(world);
                for hours in [20, 15, 10, 5] {
                    world.changed(Actor::Automatic, &[B], &[A], hours * 3600);
                }
                notices.submitted(&mut world.state, &plan);
                world.state.outbox.remove(0);
            }),
        ),
        (
            "failed-over",
            Box::new(move |notices, world| {
                let proof = proof(world);
                notices.proven(&mut world.state, &proof, sight);
            }),
        ),
        (
            "proof-overdue",
            Box::new(move |notices, world| {
                let proof = proof(world);
                notices.overdue(
                    &mut world.state,
                    &proof,
                    "Each member's canary through the access point: no answer.",
                );
            }),
        ),
        (
            "switched-over",
            Box::new(move |notices, world| {
                world.health(A, Verdict::Good, 7200);
                let decision = world.ask(Wish::Failover(order(&[], &[B], &[])));
                let proof = PendingProof {
                    plan: assessed(&decision).plan.clone(),
                    settled_at: ago(60),
                    overdue_announced: false,
                };
                notices.proven(&mut world.state, &proof, sight);
            }),
        ),
        (
            "failed-back",
            Box::new(move |notices, world| {
                let back = World::quiet(&[0, 100, 0]).ask(Wish::Failback(order(&[], &[], &[])));
                let proof = PendingProof {
                    plan: assessed(&back).plan.clone(),
                    settled_at: ago(60),
                    overdue_announced: false,
                };
                notices.proven(&mut world.state, &proof, sight);
            }),
        ),
        (
            "blocked",
            Box::new(|notices, world| {
                world.state.hold = held(outage()).state.hold;
                let assessment = assessed(&world.tick()).clone();
                notices.standstill(&mut world.state, Event::Blocked, &assessment, 2);
            }),
        ),
        ("would-act", stands(Event::WouldAct, 1, "observe")),
        ("needs-approval", stands(Event::NeedsApproval, 1, "approve")),
        (
            "operator-blocked",
            Box::new(|notices, world| {
                world.state.hold = held(outage()).state.hold;
                let decision = world.ask(Wish::Failover(order(&[A], &[B], &[])));
                notices.operator_blocked(&mut world.state, assessed(&decision));
            }),
        ),
        ("outside-change", surprise([0, 100, 0], false)),
        ("late-landing", surprise([0, 100, 0], true)),
        (
            "submit-rejected",
            Box::new(|notices, world| {
                let plan = plan_of(world);
                notices.submit_failed(
                    &mut world.state,
                    &plan,
                    true,
                    "us-west-2 answered 400 InvalidRequest: invalid route",
                );
            }),
        ),
        (
            "control-unreachable",
            Box::new(|notices, world| {
                let plan = plan_of(world);
                notices.submit_failed(
                    &mut world.state,
                    &plan,
                    false,
                    "none of 5 control endpoints answered",
                );
            }),
        ),
        (
            "routes-mismatch",
            Box::new(|notices, world| {
                notices.routes_unreadable(
                    &mut world.state,
                    true,
                    "the access point has no route to eu-west-1",
                )
            }),
        ),
        (
            "region-unknown",
            Box::new(|notices, world| {
                let alarm = transition(
                    "somewhere",
                    sentinel_core::alarm::AlarmState::Alarm,
                    ago(60),
                );
                notices.unknown_region(&mut world.state, &alarm, "alarm mrap-sentinel-down-somewhere names no member Region: add it to ALARM_REGIONS");
            }),
        ),
        (
            "member-misconfigured",
            Box::new(|notices, world| {
                world.health(A, Verdict::Misconfigured, 60);
                let evidence = world.evidence.clone().unwrap();
                notices.health(&mut world.state, &evidence);
                notices.health(&mut world.state, &evidence);
            }),
        ),
        (
            "observer-sick",
            Box::new(|notices, world| {
                let mut evidence = world.evidence.clone().unwrap();
                evidence.observer = Observer::Sick {
                    reason: "own credentials or clock: HTTP 403 ExpiredToken".to_owned(),
                };
                notices.health(&mut world.state, &evidence);
            }),
        ),
        (
            "incident-ended",
            Box::new(|notices, world| {
                notices.incident_ended(&mut world.state, "2026-11-20T16:59:03Z-us-east-1")
            }),
        ),
        (
            "held",
            operator(Event::Held, Outcome::Held, "hold set: night work"),
        ),
        (
            "released",
            operator(Event::Released, Outcome::Released, "hold released: done"),
        ),
        (
            "acknowledged",
            operator(
                Event::Acknowledged,
                Outcome::Acknowledged,
                "incident acknowledged",
            ),
        ),
        (
            "state-repaired",
            operator(
                Event::StateRepaired,
                Outcome::Held,
                "state repaired, on hold",
            ),
        ),
    ];
    for (name, says) in cases {
        let mut world = outage();
        let settings = world.settings.clone();
        let notices = Notices {
            settings: &settings,
            request_id: "request-1",
            now: now(),
        };
        says(&notices, &mut world);
        let [one] = world.state.outbox.as_slice() else {
            panic!("{name}: {} announcements", world.state.outbox.len())
        };
        keeps_the_contract(name, one);
        let body = serde_json::to_string_pretty(&one.body).unwrap();
        insta::assert_snapshot!(
            name,
            format!(
                "{}\n{}\n\n{}\n{body}\n",
                one.event_id, one.subject, one.text
            )
        );
    }
}

#[track_caller]
fn keeps_the_contract(name: &str, one: &Announcement) {
    assert!(one.subject.len() <= 100, "{name}: {}", one.subject);
    assert!(
        one.subject.bytes().all(|b| (0x20..0x7f).contains(&b)),
        "{name}: {}",
        one.subject
    );
    let severity = one.severity.as_str().to_uppercase();
    assert!(
        one.subject.starts_with(&format!("{severity}: ")),
        "{name}: {}",
        one.subject
    );
    for field in [
        "outcome",
        "incident",
        "decision",
        "from",
        "to",
        "guards",
        "routes",
        "explanation",
        "event",
        "eventId",
        "severity",
        "mrap",
        "at",
    ] {
        assert!(
            one.body.get(field).is_some(),
            "{name}: the JSON has no {field}"
        );
    }
    assert_eq!(one.body["eventId"], one.event_id, "{name}");
    assert!(
        !one.text.contains("..") && !one.text.contains("  ."),
        "{name}: {}",
        one.text
    );
    assert!(one.text.contains(one.mrap.as_str()), "{name}");
}

#[test]
fn subjects_that_do_not_fit_are_cut() {
    let long = "x".repeat(200);
    let cut = subject(Severity::Warning, &long);
    assert_eq!(cut.len(), 100);
    assert!(cut.starts_with("WARNING: xxx") && cut.ends_with("x..."));
    let exact = "x".repeat(91);
    assert_eq!(
        subject(Severity::Warning, &exact),
        format!("WARNING: {exact}")
    );
    assert_eq!(subject(Severity::Info, "a\nb\tä→"), "INFO: a?b???");
}

/// The same occurrence composed again, as after a crash, is recognised as the same.
#[test]
fn event_ids_are_stable() {
    let mut world = outage();
    let settings = world.settings.clone();
    let plan = plan_of(&world);
    for seconds in [0, 30] {
        let notices = Notices {
            settings: &settings,
            request_id: "any",
            now: later(seconds),
        };
        notices.submitted(&mut world.state, &plan);
    }
    assert_eq!(world.state.outbox.len(), 1);
    let id = format!("{}/submitted/{}", plan.incident, plan.decision);
    assert_eq!(world.state.outbox[0].event_id, id);
}
