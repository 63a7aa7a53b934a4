//! Trouble with what the machine itself needs.

use std::time::Duration;

use serde_json::json;
use simulator::{Fault, FaultKind, Outage, Service};

use super::expect::Expect;
use super::{DUBLIN, HOME, around, minutes, outage};
use crate::harness::TICK;
use crate::history::Mover;
use crate::scenario::{Action, Scenario, Stage};
use crate::{CONTROL_REGION, STATE_BUCKET};

/// Two ticks and the time to act.
const SOON: Duration = Duration::from_secs(2 * TICK.as_secs() + 30);

pub(super) const LATE_SUBMIT: Scenario = Scenario {
    name: "late-submit",
    story: "us-east-1 goes down briefly; the first submit hangs, a hedge lands, and the first lands a minute or more later.\n\
            Whoever goes home meanwhile is told to wait: nothing is submitted that a late landing could undo.",
    stage: |dice| {
        let start = around(dice, 20);
        let millis = dice.u64(60_000..100_000);
        let hung = Fault::new(FaultKind::LateLanding { millis })
            .service(Service::S3Control)
            .operation("SubmitMultiRegionAccessPointRoutes")
            .region("us-west-2")
            .from(start)
            .until(start + minutes(8));
        let down = Outage::refuse(HOME, start, minutes(dice.u64(9..12)));
        let home_again = down.until.unwrap_or(start);
        Stage::default()
            .trouble(HOME, start)
            .mark("home again", home_again)
            .fault(hung, "the control endpoint in us-west-2 hangs, and applies submits later")
            .outage(down, "S3 in us-east-1 goes down: connections are refused")
            .step(
                start,
                "",
                Action::CommandAfterMove(
                    Duration::from_secs(dice.u64(20..50)),
                    json!({"command": "failover", "to": HOME, "reason": "it must go home at once", "force": true}),
                ),
            )
            .command(
                home_again + minutes(10),
                "an operator goes home",
                json!({"command": "failover", "to": HOME, "reason": "home is well", "override": ["target-not-drifted"]}),
            )
    },
    expect: |history| {
        let twice = history
            .routes
            .iter()
            .any(|change| change.before == change.after && change.at.as_millis() > 0);
        Expect::of(history)
            .operator_got(&["blocked", "switched-over"])
            .moves(&[(Mover::Machine, DUBLIN), (Mover::Operator, HOME)])
            .that(twice, "the hung submit lands, and changes nothing")
            .told("submitted", 2..=2)
            .told("late-landing", 0..=0)
            .told("outside-change", 0..=0)
            .done()
    },
};

pub(super) const HOME_POLICY_EDITED: Scenario = Scenario {
    name: "home-policy-edited",
    story: "An edit of home's bucket policy refuses the canary; clients are not concerned.\n\
            One page says what to look at, and nothing moves.",
    stage: |dice| {
        let start = around(dice, 20);
        let denied = Fault::new(FaultKind::AccessDenied)
            .service(Service::S3)
            .region(HOME)
            .path_contains(".mrap-sentinel/")
            .from(start)
            .until(start + minutes(dice.u64(30..60)));
        Stage::default().fault(
            denied,
            "the policy of app-use1 refuses the canary from now on",
        )
    },
    expect: |history| {
        Expect::of(history)
            .nothing_moved()
            .told("member-misconfigured", 1..=1)
            .that(history.pages().len() == 1, "just one page")
            .no_invocation_failed()
            .done()
    },
};

pub(super) const STATE_STORE_DOWN: Scenario = Scenario {
    name: "state-store-down",
    story: "The bucket with the machine's state cannot be reached, and then us-east-1 goes down.\n\
            Nothing is decided without it, people are paged all the same, and once it is back the dial moves.",
    stage: |dice| {
        let start = around(dice, 20);
        let span = minutes(dice.u64(50..60));
        let (down, story) = outage(dice, HOME, start, span);
        let back = start + minutes(dice.u64(20..30));
        let kind = if dice.bool() {
            FaultKind::Hang
        } else {
            FaultKind::InternalError
        };
        let unreachable = Fault::new(kind)
            .service(Service::S3)
            .region(CONTROL_REGION)
            .path_contains(STATE_BUCKET)
            .from(start - minutes(3))
            .until(back);
        Stage::default()
            .trouble(HOME, start)
            .mark("gone", start - minutes(3))
            .mark("back", back)
            .fault(unreachable, "the bucket with the state cannot be used")
            .outage(down, story)
            .tell(back, "the bucket with the state is back")
    },
    expect: |history| {
        let (gone, back) = (history.stage.at("gone"), history.stage.at("back"));
        // Nothing of what was seen meanwhile is recorded: trouble has to last anew.
        let lasting = Duration::from_mins(1);
        Expect::of(history)
            .moves(&[(Mover::Machine, DUBLIN)])
            .move_between(0, back, back + lasting + SOON)
            .told_between("state-unreachable", gone, gone + SOON)
            .done()
    },
};
