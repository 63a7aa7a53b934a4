//! The health check: what it finds when no alarm says so, and what it must not believe.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use simulator::cloudwatch::AlarmState;
use simulator::{Fault, FaultKind, Service, SimTime};

use super::expect::Expect;
use super::{DUBLIN, HOME, around, minutes, outage};
use crate::CONTROL_REGION;
use crate::harness::TICK;
use crate::history::{Cause, Function, History, Mover};
use crate::scenario::{Action, Delay, Scenario, Stage, Wakes};

/// The health check by itself: outage to dial.
const WOKEN: Duration = Duration::from_mins(1);

/// Everything that a wake-up saves is lost: the failover function's next tick finds the evidence.
const TICKED: Duration = Duration::from_secs(60 + TICK.as_secs());

/// S3 goes down at home, from `start` on.
fn home_dies(dice: &mut Rng) -> Stage {
    let start = around(dice, 20);
    let span = minutes(dice.u64(40..60));
    let (down, story) = outage(dice, HOME, start, span);
    Stage::default()
        .trouble(HOME, start)
        .mark("start", start)
        .outage(down, story)
}

/// Whether an alarm that went off reached the failover function in this time.
fn went_off(history: &History, during: Range<SimTime>) -> bool {
    history.invoked(Function::Failover).any(|one| {
        let Cause::Alarm { what, .. } = &one.cause else {
            return false;
        };
        during.contains(&one.started) && what.ends_with("ALARM")
    })
}

pub(super) const EVENT_LOST: Scenario = Scenario {
    name: "event-lost",
    story: "S3 in us-east-1 goes down, and no event of any alarm ever arrives.\n\
            The health check wakes the function, or if that is lost too a tick finds its evidence.",
    stage: |dice| {
        let stage = home_dies(dice);
        let lost = |state| Delay { state, by: None };
        let wakes = if dice.bool() {
            Wakes::Lost
        } else {
            Wakes::Arrive
        };
        Stage {
            delays: vec![
                lost(AlarmState::Alarm),
                lost(AlarmState::Ok),
                lost(AlarmState::InsufficientData),
            ],
            health_check: Some(wakes),
            ..stage
        }
    },
    expect: |history| {
        let start = history.stage.at("start");
        let limit = match history.stage.health_check {
            Some(Wakes::Lost) => TICKED,
            _ => WOKEN,
        };
        let mut failover = history.invoked(Function::Failover);
        let by_alarm = failover.any(|one| matches!(one.cause, Cause::Alarm { .. }));
        Expect::of(history)
            .moves(&[(Mover::Machine, DUBLIN)])
            .move_between(0, start, start + limit)
            .told("submitted", 1..=1)
            .told("failed-over", 1..=1)
            .that(!by_alarm, "no event of an alarm arrives")
            .no_invocation_failed()
            .done()
    },
};

pub(super) const WAKE_UP_LOST: Scenario = Scenario {
    name: "wake-up-lost",
    story: "S3 in us-east-1 goes down; the health check finds it, but its own wake-up never arrives.\n\
            The alarm over what it measured takes the dial away within a minute all the same.",
    stage: |dice| Stage {
        health_check: Some(Wakes::Lost),
        ..home_dies(dice)
    },
    expect: |history| {
        let start = history.stage.at("start");
        let alarmed = went_off(history, start..start + WOKEN);
        Expect::of(history)
            .moves(&[(Mover::Machine, DUBLIN)])
            .move_between(0, start, start + WOKEN)
            .told("failed-over", 1..=1)
            .that(alarmed, "the alarm goes off within a minute")
            .no_invocation_failed()
            .done()
    },
};

pub(super) const OBSERVER_ISOLATED: Scenario = Scenario {
    name: "observer-isolated",
    story: "The network between the control Region and S3 everywhere breaks; every member works.\n\
            Nothing is believed, nothing moves, no alarm goes off; people are told, clients notice nothing.",
    stage: |dice| {
        let start = around(dice, 20);
        let span = minutes(dice.u64(15..30));
        let kind = if dice.bool() {
            FaultKind::Hang
        } else {
            FaultKind::Refuse
        };
        let mut stage = Stage::default()
            .watched()
            .mark("start", start)
            .mark("end", start + span);
        // Of the members nobody is reached; the state store in the own Region still answers.
        for region in [HOME, DUBLIN] {
            let mut fault = Fault::new(kind.clone())
                .service(Service::S3)
                .region(region)
                .from(start)
                .until(start + span);
            for number in 1..=20 {
                for function in [Function::Failover, Function::HealthCheck] {
                    fault = fault.client(format!("{}-{number}", function.name()));
                }
            }
            stage = stage.fault(
                fault,
                format!("nothing in {CONTROL_REGION} reaches S3 in {region}"),
            );
        }
        stage.tell(start + span, "the network works again")
    },
    expect: |history| {
        let (start, end) = (history.stage.at("start"), history.stage.at("end"));
        let alarmed = went_off(history, start..end);
        let failed = crate::numbers::measure(history).failed_requests;
        Expect::of(history)
            .nothing_moved()
            .told("observer-sick", 1..=2)
            .that(
                !alarmed,
                "no alarm goes off for a view that is not believed",
            )
            .that(failed == 0, "the clients are served throughout")
            .done()
    },
};

pub(super) const TWO_VIEWS: Scenario = Scenario {
    name: "two-views",
    story: "The network between the control Region and S3 in us-east-1 breaks; a witness still reaches it: nothing moves.\n\
            Later us-east-1 goes down: both say so, and the dial moves.",
    stage: |dice| {
        let start = around(dice, 15);
        let healed = start + minutes(dice.u64(8..12));
        let down = healed + minutes(dice.u64(8..12));
        let span = minutes(dice.u64(25..35));
        let kind = if dice.bool() {
            FaultKind::Hang
        } else {
            FaultKind::Refuse
        };
        let mut fault = Fault::new(kind)
            .service(Service::S3)
            .region(HOME)
            .from(start)
            .until(healed);
        for number in 1..=20 {
            for function in [Function::Failover, Function::HealthCheck] {
                fault = fault.client(format!("{}-{number}", function.name()));
            }
        }
        let (outage, story) = outage(dice, HOME, down, span);
        Stage::default()
            .witnessed()
            .trouble(HOME, down)
            .mark("start", start)
            .mark("down", down)
            .fault(
                fault,
                format!("nothing in {CONTROL_REGION} reaches S3 in {HOME}"),
            )
            .tell(healed, "the network works again")
            .outage(outage, story)
    },
    expect: |history| {
        let (start, down) = (history.stage.at("start"), history.stage.at("down"));
        let disagreed = history.states.iter().any(|(at, state)| {
            let evidence = state.evidence.as_ref();
            let home = evidence.and_then(|evidence| {
                let home = HOME.parse().ok()?;
                evidence.member(&home)
            });
            (start..down).contains(at)
                && home.is_some_and(|home| home.detail.starts_with("the vantage points disagree"))
        });
        Expect::of(history)
            .moves(&[(Mover::Machine, DUBLIN)])
            .move_between(0, down, down + WOKEN)
            .told("failed-over", 1..=1)
            .that(disagreed, "one view alone is not believed")
            .done()
    },
};

pub(super) const SLOW_BURN: Scenario = Scenario {
    name: "slow-burn",
    story: "S3 in us-east-1 gets slower, then fails now and then, more and more often, until nothing works.\n\
            The dial stays while a round in between succeeds, and moves once before all is lost.",
    stage: |dice| {
        let start = around(dice, 15);
        let step = Duration::from_secs(dice.u64(240..360));
        let fault = |kind, from: SimTime, until: SimTime, probability: f64| {
            Fault::new(kind)
                .service(Service::S3)
                .region(HOME)
                .from(from)
                .until(until)
                .probability(probability)
        };
        let after = |steps: u32| start + step * steps;
        let healed = after(4) + minutes(25);
        let mut stage = Stage::default()
            .watched()
            .trouble(HOME, start)
            .mark("slow", start)
            .mark("failing", after(2))
            .mark("down", after(4));
        for (number, millis) in [(0, 400), (1, 1200)] {
            stage = stage.fault(
                fault(
                    FaultKind::Slow { millis },
                    after(number),
                    after(number + 1),
                    1.0,
                ),
                format!("S3 in us-east-1 takes {millis} ms longer"),
            );
        }
        for (number, percent) in [(2, 10_u8), (3, 40)] {
            stage = stage.fault(
                fault(
                    FaultKind::InternalError,
                    after(number),
                    after(number + 1),
                    f64::from(percent) / 100.0,
                ),
                format!("{percent}% of requests to S3 in us-east-1 fail"),
            );
        }
        stage
            .fault(
                fault(FaultKind::InternalError, after(4), healed, 1.0),
                "S3 in us-east-1 answers nothing but errors",
            )
            .tell(healed, "S3 in us-east-1 works again")
    },
    expect: |history| {
        let (failing, down) = (history.stage.at("failing"), history.stage.at("down"));
        let slow = history.states.iter().any(|(at, state)| {
            let home = HOME.parse().ok();
            let member = state.evidence.as_ref().zip(home.as_ref());
            *at < failing
                && member
                    .and_then(|(evidence, home)| evidence.member(home)?.latency_millis)
                    .is_some_and(|millis| millis >= 1200)
        });
        Expect::of(history)
            .moves(&[(Mover::Machine, DUBLIN)])
            .move_between(0, failing, down + WOKEN)
            .told("submitted", 1..=1)
            .that(
                slow,
                "that it gets slower stands in the evidence, and moves nothing",
            )
            .done()
    },
};

pub(super) const CONTROL_REGION_LOST: Scenario = Scenario {
    name: "control-region-lost",
    story: "us-east-2, where the automation runs, is lost with everything in it; every member works.\n\
            The watchdog in us-west-2 tells people; nothing moves, and all goes on when the Region returns.",
    stage: |dice| {
        let start = around(dice, 20);
        let span = minutes(dice.u64(20..40));
        let stage = Stage::default()
            .watched()
            .mark("start", start)
            .mark("end", start + span);
        stage
            .step(
                start,
                "us-east-2 is lost with everything in it",
                Action::LoseControl(span),
            )
            .tell(start + span, "us-east-2 is back")
    },
    expect: control_region_lost,
};

fn control_region_lost(history: &History) -> Vec<crate::verdict::Violation> {
    let (start, end) = (history.stage.at("start"), history.stage.at("end"));
    let said = |state, from: SimTime, limit: Duration| {
        let mut barks = history.watchdog.iter();
        barks.any(|(at, said)| *said == state && (from..=from + limit).contains(at))
    };
    let false_alarm = history
        .watchdog
        .iter()
        .any(|(at, said)| *said == AlarmState::Alarm && !(start..=end + minutes(2)).contains(at));
    let failed = crate::numbers::measure(history).failed_requests;
    Expect::of(history)
        .nothing_moved()
        .that(
            said(AlarmState::Alarm, start, minutes(8)),
            "the watchdog tells people within eight minutes",
        )
        .that(
            said(AlarmState::Ok, end, minutes(8)),
            "it tells them when the Region is back",
        )
        .that(!false_alarm, "it says nothing else")
        .that(failed == 0, "the clients are served throughout")
        .done()
}
