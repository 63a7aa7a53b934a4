//! The way home, and rehearsals.

use std::time::Duration;

use sentinel_core::guard::Guard;
use serde_json::json;
use simulator::SimTime;
use simulator::cloudwatch::AlarmState;

use super::expect::Expect;
use super::{DUBLIN, HOME, around, minutes, outage};
use crate::harness::TICK;
use crate::history::{History, Mover, Served};
use crate::numbers::measure;
use crate::scenario::{Action, Scenario, Stage};

/// How long home has to be well.
const STABLE: Duration = Duration::from_mins(30);
/// How long nothing may be on its way.
const DRAIN: Duration = Duration::from_mins(10);
/// Rounds are a minute apart, metrics late, and then somebody has to act.
const SOON: Duration = Duration::from_secs(4 * TICK.as_secs() + 30);

/// `MIN_DWELL_SECONDS`.
const DWELL: Duration = Duration::from_mins(3);
/// How late a tick and its submission may be.
const LATE: Duration = Duration::from_secs(15);

/// `DRAIN_OPERATIONS`: what the clients always have in flight.
const IN_FLIGHT: usize = 30;

/// A deployment that goes home by itself, whose readiness check finds nothing.
fn goes_home() -> Stage {
    let mut stage = Stage {
        is_checked: true,
        ..Stage::default().watched()
    };
    let settings = [
        ("FAILBACK", "automatic".to_owned()),
        ("DRAIN_OPERATIONS", IN_FLIGHT.to_string()),
    ];
    for (name, value) in settings {
        stage.settings.insert(name.to_owned(), value);
    }
    stage
}

/// Everybody has everything, and nothing was lost.
fn nothing_differs(history: &History) -> bool {
    let numbers = measure(history);
    (numbers.lost_objects, numbers.diverged_objects) == (0, 0)
}

pub(super) const OUTAGE_AND_RETURN: Scenario = Scenario {
    name: "outage-and-return",
    story: "us-east-1 goes down and the dial moves to eu-west-1; us-east-1 returns, stabilizes and drains.\n\
            The dial goes home by itself, and in the end all members hold the same.",
    stage: |dice| {
        let start = around(dice, 15);
        let span = minutes(dice.u64(20..35));
        let (down, story) = outage(dice, HOME, start, span);
        goes_home()
            .trouble(HOME, start)
            .mark("returned", start + span)
            .outage(down, story)
    },
    expect: |history| {
        let returned = history.stage.at("returned");
        Expect::of(history)
            .moves(&[(Mover::Machine, DUBLIN), (Mover::Machine, HOME)])
            .move_between(1, returned + STABLE, returned + STABLE + DRAIN + SOON)
            .told("submitted", 2..=2)
            .told("failed-over", 1..=1)
            .told("failed-back", 1..=1)
            .that(nothing_differs(history), "all members hold the same")
            .done()
    },
};

pub(super) const RELAPSE: Scenario = Scenario {
    name: "relapse",
    story: "us-east-1 returns after an outage, and relapses for some minutes before it has been well for long enough.\n\
            The relapse begins the wait anew: the dial stays away until home was well for all of it.",
    stage: |dice| {
        let start = around(dice, 10);
        let span = minutes(dice.u64(15..20));
        let (down, story) = outage(dice, HOME, start, span);
        let relapse = start + span + minutes(dice.u64(12..25));
        let short = minutes(dice.u64(4..7));
        let (again, once_more) = outage(dice, HOME, relapse, short);
        goes_home()
            .trouble(HOME, start)
            .mark("returned", relapse + short)
            .outage(down, story)
            .outage(again, format!("relapse: {once_more}"))
    },
    expect: |history| {
        let returned = history.stage.at("returned");
        Expect::of(history)
            .moves(&[(Mover::Machine, DUBLIN), (Mover::Machine, HOME)])
            .move_between(1, returned + STABLE, returned + STABLE + DRAIN + SOON)
            .told("failed-back", 1..=1)
            .that(nothing_differs(history), "all members hold the same")
            .done()
    },
};

pub(super) const OUTAGE_AFTER_FAILBACK: Scenario = Scenario {
    name: "outage-after-failback",
    story: "us-east-1 goes down, returns, is well for half an hour and gets the dial back; minutes later it goes down again.\n\
            The way out is open as soon as the dwell time is over, although eu-west-1 was left just now.",
    stage: |dice| {
        let start = around(dice, 15);
        let span = minutes(dice.u64(15..20));
        let (down, story) = outage(dice, HOME, start, span);
        let returned = start + span;
        let again = returned + STABLE + Duration::from_secs(dice.u64(150..330));
        // Too long for a second failback.
        let long = minutes(dice.u64(30..35));
        let (second, once_more) = outage(dice, HOME, again, long);
        goes_home()
            .trouble(HOME, start)
            .mark("returned", returned)
            .mark("again", again)
            .outage(down, story)
            .outage(second, format!("once more: {once_more}"))
    },
    expect: |history| {
        let (returned, again) = (history.stage.at("returned"), history.stage.at("again"));
        let moves = history.moves();
        let dwelt = moves.get(1).map_or(again, |home| home.at + DWELL);
        let there_and_back = [
            (Mover::Machine, DUBLIN),
            (Mover::Machine, HOME),
            (Mover::Machine, DUBLIN),
        ];
        Expect::of(history)
            .moves(&there_and_back)
            .move_between(1, returned + STABLE, again)
            .move_between(2, again.max(dwelt), (again + TICK).max(dwelt + TICK + LATE))
            .told("failed-over", 2..=2)
            .told("failed-back", 1..=1)
            .that(nothing_differs(history), "all members hold the same")
            .done()
    },
};

pub(super) const BACKLOG_BEHIND_CANARIES: Scenario = Scenario {
    name: "backlog-behind-canaries",
    story: "While eu-west-1 serves, somebody imports very many objects that take long to be copied; canaries pass them by.\n\
            Home is well long before it has them: the dial goes home only when nothing is on its way any more.",
    stage: |dice| {
        let start = around(dice, 10);
        let span = minutes(dice.u64(15..20));
        let (down, story) = outage(dice, HOME, start, span);
        let import = start + span + minutes(dice.u64(2..6));
        let slow = dice.u64(35..40) * 60_000;
        let stage = Stage {
            length: Duration::from_mins(140),
            ..goes_home()
        };
        let (source, destination) = (
            stage.bucket(DUBLIN).to_owned(),
            stage.bucket(HOME).to_owned(),
        );
        stage
            .trouble(HOME, start)
            .mark("returned", start + span)
            .outage(down, story)
            .step(
                import,
                "copying imported objects to us-east-1 takes very long",
                Action::Slow {
                    source: source.clone(),
                    destination,
                    prefix: format!("{}import/", crate::DATA_PREFIX),
                    delay: slow..=slow + 300_000,
                },
            )
            .step(
                import + Duration::from_secs(1),
                "somebody imports 4,000 objects into eu-west-1",
                Action::Import {
                    bucket: source,
                    objects: 4_000,
                    over: minutes(5),
                },
            )
    },
    expect: |history| {
        let home = history.stage.bucket(HOME);
        let imported = history
            .acknowledged
            .iter()
            .filter(|write| write.key.contains("/import/"));
        let arrived = imported.filter_map(|write| {
            let places = history
                .data
                .get(&(write.key.clone(), write.version.clone()));
            places?.get(home).map(|held| held.since)
        });
        // So many may be pending all the same.
        let mut arrived: Vec<SimTime> = arrived.collect();
        arrived.sort_unstable();
        let mut latest = arrived.iter().rev();
        let last = latest.nth(IN_FLIGHT).copied().unwrap_or(SimTime::ZERO);
        // Something else than home's own health kept it back, and it was this.
        let only_drained = history.states.iter().any(|(_, state)| {
            state
                .homeward
                .as_ref()
                .is_some_and(|homeward| homeward.blocking.iter().eq([&Guard::Drained]))
        });
        Expect::of(history)
            .moves(&[(Mover::Machine, DUBLIN), (Mover::Machine, HOME)])
            .that(
                last > history.stage.at("returned") + STABLE,
                "the import outlasts the stabilization of home",
            )
            .move_between(1, last + DRAIN - TICK, last + DRAIN + SOON)
            .that(only_drained, "the way home waits for the drain alone")
            .that(nothing_differs(history), "all members hold the same")
            .done()
    },
};

/// An alarm that has nothing to do with members.
const ORDERS: &str = "orders-failing";

pub(super) const SCHEDULED_REHEARSAL: Scenario = Scenario {
    name: "scheduled-rehearsal",
    story: "The schedule rehearses: once out of its window, once while an alarm of the business rings, then in peace.\n\
            The first two do not begin; the third goes to eu-west-1 and back, timed, and no request fails.",
    stage: |dice| {
        let at = |minutes_in: u64, dice: &mut fastrand::Rng| around(dice, minutes_in);
        let shut = at(10, dice);
        let ringing = at(40, dice);
        let peace = at(60, dice);
        let rehearse = || json!({"command": "rehearse", "scheduled": true, "reason": "the schedule of rehearsals"});
        let mut stage = Stage {
            is_checked: true,
            alarms: vec![ORDERS.to_owned()],
            ..Stage::default().watched()
        };
        for (name, value) in [
            // The world begins on a Friday at 16:00.
            ("REHEARSAL_WINDOWS", "Fri 17:30-19:00 Europe/Berlin"),
            ("REHEARSAL_BLOCKING_ALARMS", ORDERS),
        ] {
            stage.settings.insert(name.to_owned(), value.to_owned());
        }
        let ring = |state| Action::Ring {
            alarm: ORDERS.to_owned(),
            state,
        };
        stage
            .mark("peace", peace)
            .command(shut, "the schedule asks for a rehearsal", rehearse())
            .step(
                ringing - minutes(3),
                "the business's own alarm rings",
                ring(AlarmState::Alarm),
            )
            .command(ringing, "the schedule asks again", rehearse())
            .step(
                ringing + minutes(5),
                "the alarm is quiet",
                ring(AlarmState::Ok),
            )
            .command(peace, "the schedule asks for the third time", rehearse())
    },
    expect: |history| {
        let peace = history.stage.at("peace");
        let failed = history
            .requests
            .iter()
            .any(|one| one.served == Served::Failed);
        let named = history.commands("blocked").all(|invocation| {
            matches!(&invocation.ending, crate::history::Ending::Answered(answer)
                if crate::harness::blocking(answer) == ["mode-allows"])
        });
        let rehearsed = history.states.last().and_then(|(_, state)| {
            let last = state.rehearsed.as_ref()?;
            Some(last.complete && last.scheduled && last.steps.len() == 6)
        });
        let nothing_open = history
            .states
            .last()
            .is_some_and(|(_, state)| state.incident.is_none() && state.rehearsal.is_none());
        let answered = history
            .invocations
            .iter()
            .any(|invocation| invocation.outcome() == Some("rehearsed"));
        Expect::of(history)
            // The proof may come within the same invocation.
            .operator_got(&["blocked", "blocked", "submitted|switched-over"])
            .that(named, "window and alarm are what keeps it back")
            .moves(&[(Mover::Operator, DUBLIN), (Mover::Operator, HOME)])
            .move_between(0, peace, peace + TICK)
            .move_between(1, peace + minutes(5), peace + minutes(12))
            .told("operator-blocked", 2..=2)
            .told("switched-over", 2..=2)
            .told("rehearsed", 1..=1)
            .that(rehearsed == Some(true), "six timed steps are recorded")
            .that(answered, "a tick answers that it was rehearsed")
            .that(nothing_open, "nothing is left open")
            .that(!failed, "no request of the clients fails")
            .that(nothing_differs(history), "all members hold the same")
            .nobody_was_woken()
            .no_invocation_failed()
            .done()
    },
};
