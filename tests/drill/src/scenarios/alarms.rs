//! Alarms that are late, muted, or many.

use std::time::Duration;

use serde_json::Value;
use simulator::cloudwatch::AlarmState;
use simulator::{Fault, FaultKind, Service, Timing};

use super::expect::Expect;
use super::{DUBLIN, HOME, around, minutes, outage};
use crate::harness::TICK;
use crate::history::Mover;
use crate::scenario::{Action, Channels, Delay, Scenario, Stage};

pub(super) const STALE_ALARM: Scenario = Scenario {
    name: "stale-alarm",
    story: "Monitoring breaks for a moment and calls us-east-1 down; the event arrives twenty minutes late.\n\
            Nothing moves: the alarm is long over, and the evidence never agreed with it.",
    stage: |dice| {
        let start = around(dice, 20);
        let late = Delay {
            state: AlarmState::Alarm,
            by: Some(minutes(dice.u64(18..25))),
        };
        let lost = Delay {
            state: AlarmState::Ok,
            by: None,
        };
        let force = |state| Action::ForceAlarm {
            region: HOME.to_owned(),
            state,
        };
        // Half of the time nobody hears that the alarm is over either.
        let delays = if dice.bool() {
            vec![late, lost]
        } else {
            vec![late]
        };
        let stage = Stage {
            delays,
            ..Stage::default()
        };
        stage
            .step(
                start,
                "monitoring calls us-east-1 down although it is well",
                force(AlarmState::Alarm),
            )
            .step(
                start + minutes(1),
                "monitoring is mended",
                force(AlarmState::Ok),
            )
    },
    expect: |history| {
        Expect::of(history)
            .nothing_moved()
            .nobody_was_woken()
            .no_invocation_failed()
            .done()
    },
};

pub(super) const BLOCKED_THEN_CLEAR: Scenario = Scenario {
    name: "blocked-then-clear",
    story: "us-east-1 goes down while eu-west-1 throttles: a page says why nothing moves.\n\
            The throttling ends, no event says so, and the dial moves at the next tick.",
    stage: |dice| {
        let start = around(dice, 20);
        let span = minutes(dice.u64(50..60));
        let clear = start + minutes(dice.u64(20..35));
        let (down, story) = outage(dice, HOME, start, span);
        let throttled = Fault::new(FaultKind::SlowDown)
            .service(Service::S3)
            .region(DUBLIN)
            .from(start - minutes(1))
            .until(clear);
        Stage::default()
            .trouble(HOME, start)
            .mark("start", start)
            .mark("clear", clear)
            .fault(throttled, "S3 in eu-west-1 throttles everybody")
            .outage(down, story)
            .tell(clear, "S3 in eu-west-1 throttles no more")
    },
    expect: |history| {
        let clear = history.stage.at("clear");
        Expect::of(history)
            .moves(&[(Mover::Machine, DUBLIN)])
            .move_between(0, clear, clear + TICK + TICK + Duration::from_secs(30))
            .told_between("blocked", history.stage.at("start"), clear)
            .told("blocked", 1..=5)
            .done()
    },
};

pub(super) const MUTE_WINDOW_ENDS: Scenario = Scenario {
    name: "mute-window-ends",
    story: "us-east-1 goes down while its alarm is muted for maintenance.\n\
            The mute is respected; when its window ends the dial moves without a new event.",
    stage: |dice| {
        let start = around(dice, 20);
        let span = minutes(dice.u64(55..65));
        let until = start + minutes(dice.u64(25..35));
        let (down, story) = outage(dice, HOME, start, span);
        let mute = Action::Mute {
            region: HOME.to_owned(),
            until,
        };
        let stage = Stage {
            channels: Channels::EventBridge,
            // Who never heard the muted alarm cannot respect its mute: the alarm comes first here,
            // the function's own evidence later.
            settings: [("EVIDENCE_TRIGGER_SECONDS".to_owned(), "300".to_owned())].into(),
            ..Stage::default()
        };
        stage
            .trouble(HOME, start)
            .mark("start", start)
            .mark("unmuted", until)
            .step(
                start - minutes(10),
                "the alarm about us-east-1 is muted",
                mute,
            )
            .outage(down, story)
            .tell(until, "the mute window ends")
    },
    expect: |history| {
        let unmuted = history.stage.at("unmuted");
        Expect::of(history)
            .moves(&[(Mover::Machine, DUBLIN)])
            .move_between(0, unmuted, unmuted + TICK + TICK + Duration::from_secs(30))
            .told_between("blocked", history.stage.at("start"), unmuted)
            .done()
    },
};

pub(super) const TWO_FUNCTIONS_RACE: Scenario = Scenario {
    name: "two-functions-race",
    story: "Every alarm arrives six times at the same moment: three ways, and each of them twice.\n\
            One invocation moves the dial, the others see that they lost; people are told once.",
    stage: |dice| {
        let start = around(dice, 20);
        let span = minutes(dice.u64(40..60));
        let (down, story) = outage(dice, HOME, start, span);
        let timing = Timing {
            alarm_delivery: 200..=260,
            duplicate_delivery: 1.0,
            ..Timing::default()
        };
        let stage = Stage {
            channels: Channels::All,
            timing,
            // Only alarms open triggers here: a tick must not act before they come.
            settings: [("EVIDENCE_TRIGGER_SECONDS".to_owned(), "3600".to_owned())].into(),
            ..Stage::default()
        };
        stage.trouble(HOME, start).outage(down, story)
    },
    expect: |history| {
        let claims: std::collections::BTreeSet<&str> = history
            .states
            .iter()
            .filter_map(|(_, state)| state.claim.as_ref())
            .map(|claim| claim.request_id.as_str())
            .collect();
        let raced = history
            .invocations
            .iter()
            .filter(|one| matches!(&one.ending, crate::history::Ending::Answered(Value::Object(_))))
            .filter(|one| matches!(&one.cause, crate::history::Cause::Alarm { what, .. } if what.ends_with("ALARM")))
            .count();
        Expect::of(history)
            .moves(&[(Mover::Machine, DUBLIN)])
            .that(claims.len() == 1, "one claim is made")
            .that(raced >= 6, "the alarm arrives six times")
            .told("submitted", 1..=1)
            .told("failed-over", 1..=1)
            .done()
    },
};
