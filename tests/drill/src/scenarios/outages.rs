//! Regions that fail.

use std::time::Duration;

use fastrand::Rng;
use simulator::{Fault, FaultKind, Outage, Service};

use super::expect::Expect;
use super::{DUBLIN, HOME, TOKYO, around, minutes, outage};
use crate::history::{History, Mover, list};
use crate::scenario::{Scenario, Stage};
use crate::verdict::Violation;

/// What the health check promises: outage to dial.
const PROMPT: Duration = Duration::from_mins(1);

/// Two ticks if no alarm comes first, the data plane's two minutes and the clients' patience.
const USUAL: Duration = Duration::from_mins(5);

pub(super) const REGIONAL_OUTAGE: Scenario = Scenario {
    name: "regional-outage",
    story: "S3 in the home Region us-east-1 goes down for most of an hour.\n\
            The dial moves to eu-west-1 once, clients go on, and home's last writes arrive when it returns.",
    stage: |dice| {
        let start = around(dice, 20);
        let span = minutes(dice.u64(40..60));
        let (down, story) = outage(dice, HOME, start, span);
        Stage::default()
            .watched()
            .trouble(HOME, start)
            .mark("start", start)
            .outage(down, story)
    },
    expect: |history| {
        let start = history.stage.at("start");
        let tested = history.states.last().and_then(|(_, state)| {
            let test = state.self_test.as_ref()?;
            Some(test.latency_seconds)
        });
        let mut violations = moved_once(history);
        violations.extend(
            Expect::of(history)
                .move_between(0, start, start + PROMPT)
                .that(
                    tested.is_some_and(|latency| latency <= 180),
                    "the self-test of the alarms' way arrives within three minutes",
                )
                .done(),
        );
        violations
    },
};

fn moved_once(history: &History) -> Vec<Violation> {
    Expect::of(history)
        .moves(&[(Mover::Machine, DUBLIN)])
        .told("submitted", 1..=1)
        .told("failed-over", 1..=1)
        .served_again_within(USUAL)
        .done()
}

pub(super) const CONTROL_PLANE_OUTAGE: Scenario = Scenario {
    name: "control-plane-outage",
    story: "us-east-1 goes down, and the control endpoints next in line hang and throttle too.\n\
            Another endpoint takes the change, within the same invocation.",
    stage: |dice| {
        let start = around(dice, 20);
        let span = minutes(dice.u64(40..60));
        let (down, story) = outage(dice, HOME, start, span);
        let control = |kind, region: &str| {
            Fault::new(kind)
                .service(Service::S3Control)
                .region(region)
                .from(start)
                .until(start + span)
        };
        Stage::default()
            .trouble(HOME, start)
            .outage(down, story)
            .fault(
                control(FaultKind::Hang, "us-west-2"),
                "the control endpoint in us-west-2 hangs",
            )
            .fault(
                control(FaultKind::SlowDown, DUBLIN),
                "the control endpoint in eu-west-1 throttles",
            )
    },
    expect: |history| {
        let acting = history
            .moves()
            .first()
            .and_then(|moved| moved.request_id.clone());
        let mut attempts = history
            .invocations
            .iter()
            .filter(|invocation| Some(&invocation.request_id) == acting.as_ref());
        let at_once = attempts.all(|invocation| invocation.attempt == 1);
        let mut violations = moved_once(history);
        violations.extend(
            Expect::of(history)
                .that(
                    at_once,
                    "the change lands in the invocation that decided it",
                )
                .no_invocation_failed()
                .done(),
        );
        violations
    },
};

pub(super) const FLAPPING_REGION: Scenario = Scenario {
    name: "flapping-region",
    story: "All three members are active; us-east-1 goes down and comes back again and again for an hour.\n\
            The dial leaves it once and stays away, and the other two go on untouched.",
    stage: |dice| {
        let start = around(dice, 15);
        let stage = Stage {
            active_active: true,
            clients: [("app-us", HOME), ("app-eu", DUBLIN)]
                .map(|(label, region)| (label.to_owned(), region.to_owned()))
                .into(),
            ..Stage::default().with_tokyo()
        };
        let mut stage = stage.trouble(HOME, start);
        let mut next = start;
        for _ in 0..7 {
            let span = Duration::from_secs(dice.u64(200..420));
            let (down, story) = outage(dice, HOME, next, span);
            stage = stage.outage(down, story);
            next = next + span + Duration::from_secs(dice.u64(60..240));
        }
        stage
    },
    expect: |history| {
        let left = history.moves().first().map(|moved| list(&moved.after));
        Expect::of(history)
            // Nobody begins to serve: somebody stops.
            .moves(&[(Mover::Machine, "nobody")])
            .that(
                left.as_deref() == Some("ap-northeast-1, eu-west-1"),
                "the others stay active",
            )
            .told("submitted", 1..=1)
            .done()
    },
};

pub(super) const GLOBAL_OUTAGE: Scenario = Scenario {
    name: "global-outage",
    story: "Every member looks down at once, as when the observer itself is cut off.\n\
            Nothing moves, because nowhere is better; people are told, and clients go on by themselves.",
    stage: |dice| {
        let start = around(dice, 20);
        let span = minutes(dice.u64(15..30));
        let hangs = dice.bool();
        let mut stage = Stage::default().with_tokyo().trouble(HOME, start);
        for region in [HOME, DUBLIN, TOKYO] {
            let down = if hangs {
                Outage::hang(region, start, span)
            } else {
                Outage::refuse(region, start, span)
            };
            stage = stage.outage(down, format!("S3 in {region} cannot be reached"));
        }
        stage
    },
    expect: |history| {
        Expect::of(history)
            .nothing_moved()
            .told("observer-sick", 1..=2)
            .done()
    },
};

pub(super) const BAD_TARGET: Scenario = Scenario {
    name: "bad-target",
    story: "us-east-1 goes down while eu-west-1, next in line, is in no state to serve either.\n\
            The dial goes past it, to ap-northeast-1.",
    stage: |dice| {
        let start = around(dice, 20);
        let span = minutes(dice.u64(40..60));
        let (down, story) = outage(dice, HOME, start, span);
        let stage = Stage::default()
            .with_tokyo()
            .trouble(HOME, start)
            .outage(down, story);
        let earlier = start - minutes(5);
        if dice.bool() {
            let throttled = Fault::new(FaultKind::SlowDown)
                .service(Service::S3)
                .region(DUBLIN)
                .from(earlier)
                .until(start + span);
            stage.fault(throttled, "S3 in eu-west-1 throttles everybody")
        } else {
            let (down, story) = outage(dice, DUBLIN, earlier, span);
            stage.outage(down, story)
        }
    },
    expect: |history| {
        Expect::of(history)
            .moves(&[(Mover::Machine, TOKYO)])
            .told("submitted", 1..=1)
            .served_again_within(USUAL)
            .done()
    },
};

pub(super) const TARGET_DIES_TOO: Scenario = Scenario {
    name: "target-dies-too",
    story: "us-east-1 goes down and the dial moves to eu-west-1; us-east-1 recovers, then eu-west-1 goes down.\n\
            The dial may go home within the cooldown, since nothing else is left, once home has been well for a while.",
    stage: target_dies_too,
    expect: |history| {
        let home_again = history.stage.at("home again");
        let second = history.stage.at("second outage");
        Expect::of(history)
            .moves(&[(Mover::Machine, DUBLIN), (Mover::Machine, HOME)])
            .move_between(
                1,
                home_again + minutes(5),
                second.max(home_again + minutes(5)) + USUAL,
            )
            .told("submitted", 2..=2)
            .done()
    },
};

fn target_dies_too(dice: &mut Rng) -> Stage {
    let start = around(dice, 15);
    let span = minutes(dice.u64(7..9));
    let (down, story) = outage(dice, HOME, start, span);
    let home_again = start + span;
    let second = home_again + Duration::from_secs(dice.u64(30..240));
    let (down_too, story_too) = outage(dice, DUBLIN, second, minutes(40));
    Stage::default()
        .trouble(HOME, start)
        .mark("home again", home_again)
        .mark("second outage", second)
        .outage(down, story)
        .outage(down_too, story_too)
}
