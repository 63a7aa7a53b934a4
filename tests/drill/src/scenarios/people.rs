//! Operators, and people who act past the machine.

use std::time::Duration;

use serde_json::json;

use super::expect::Expect;
use super::{DUBLIN, HOME, around, minutes, outage};
use crate::harness::TICK;
use crate::history::{Mover, Served};
use crate::scenario::{Action, Scenario, Stage};

/// Two ticks and the time to act.
const SOON: Duration = Duration::from_secs(2 * TICK.as_secs() + 30);

pub(super) const OPERATOR_HOLD: Scenario = Scenario {
    name: "operator-hold",
    story: "An operator holds the machine before maintenance; then us-east-1 goes down for real.\n\
            Nothing moves and people are paged, until the hold is released; the next tick acts.",
    stage: |dice| {
        let start = around(dice, 20);
        let span = minutes(dice.u64(50..60));
        let release = start + minutes(dice.u64(18..30));
        let (down, story) = outage(dice, HOME, start, span);
        Stage::default()
            .trouble(HOME, start)
            .mark("start", start)
            .mark("release", release)
            .command(
                start - minutes(5),
                "an operator sets a hold",
                json!({"command": "hold", "reason": "maintenance of the network"}),
            )
            .outage(down, story)
            .command(
                release,
                "the operator releases the hold",
                json!({"command": "release", "reason": "maintenance is over"}),
            )
    },
    expect: |history| {
        let release = history.stage.at("release");
        Expect::of(history)
            .operator_got(&["held", "released"])
            .moves(&[(Mover::Machine, DUBLIN)])
            .move_between(0, release, release + SOON)
            .told_between("blocked", history.stage.at("start"), release)
            .done()
    },
};

pub(super) const PLANNED_SWITCHOVER: Scenario = Scenario {
    name: "planned-switchover",
    story: "An operator moves a healthy access point to eu-west-1 and back; no readiness report exists yet.\n\
            The first call names the guard that does not know; the operator overrides it, and no request fails.",
    stage: |dice| {
        let start = around(dice, 20);
        let back = start + minutes(dice.u64(30..45));
        let wish = |to: &str, overrides: &[&str]| json!({"command": "failover", "to": to, "reason": "rehearsal of the year", "override": overrides});
        Stage::default()
            .command(start, "an operator asks for eu-west-1", wish(DUBLIN, &[]))
            .command(
                start + minutes(2),
                "the operator overrides target-not-drifted",
                wish(DUBLIN, &["target-not-drifted"]),
            )
            .command(
                back,
                "the operator goes home again",
                wish(HOME, &["target-not-drifted"]),
            )
    },
    expect: |history| {
        let refused = history.commands("blocked").next();
        let named = refused.is_some_and(|invocation| match &invocation.ending {
            crate::history::Ending::Answered(answer) => {
                crate::harness::blocking(answer) == ["target-not-drifted"]
            }
            _ => false,
        });
        let failed = history
            .requests
            .iter()
            .any(|one| one.served == Served::Failed);
        Expect::of(history)
            .that(
                named,
                "the first call is blocked by target-not-drifted alone",
            )
            .moves(&[(Mover::Operator, DUBLIN), (Mover::Operator, HOME)])
            .told("submitted", 2..=2)
            .told("switched-over", 2..=2)
            .that(!failed, "no request of the clients fails")
            .nobody_was_woken()
            .no_invocation_failed()
            .done()
    },
};

pub(super) const OUTSIDE_CHANGE: Scenario = Scenario {
    name: "outside-change",
    story: "Somebody moves the dial to eu-west-1 in the console, and did not know that eu-west-1 is down.\n\
            The machine pages and leaves it so; only when an operator acknowledges does it move back.",
    stage: |dice| {
        let down_at = around(dice, 15);
        let moved = down_at + minutes(dice.u64(4..8));
        let acknowledged = moved + minutes(dice.u64(15..25));
        let (down, story) = outage(dice, DUBLIN, down_at, minutes(80));
        Stage::default()
            .trouble(DUBLIN, moved)
            .mark("moved", moved)
            .mark("acknowledged", acknowledged)
            .outage(down, story)
            .step(
                moved,
                "somebody moves the dial to eu-west-1 in the console",
                Action::Console(vec![(HOME.to_owned(), 0), (DUBLIN.to_owned(), 100)]),
            )
            .step(
                acknowledged,
                "an operator acknowledges the incident",
                Action::Acknowledge,
            )
    },
    expect: |history| {
        let moved = history.stage.at("moved");
        let acknowledged = history.stage.at("acknowledged");
        Expect::of(history)
            .moves(&[(Mover::Console, DUBLIN), (Mover::Machine, HOME)])
            .move_between(1, acknowledged, acknowledged + SOON)
            .told("outside-change", 1..=1)
            .told_between("outside-change", moved, moved + SOON)
            .operator_got(&["status", "acknowledged"])
            .done()
    },
};
