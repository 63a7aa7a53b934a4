//! The guard table: what each guard stops, whom, and who may override it.

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
use sentinel_core::alarm::AlarmState;
use sentinel_core::decide::{Decision, Drain, Drift, Redrive, Redrives, Unfit, Wish};
use sentinel_core::evidence::{Observer, Verdict};
use sentinel_core::guard::{Guard, GuardVerdict};
use sentinel_core::names::Region;
use sentinel_core::routes::{Dial, Route};
use sentinel_core::state::{Abandoned, Actor, Claim, Hold, Quiet};
use sentinel_core::triggers::AlarmNow;

/// The columns of the guard table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    Automatic,
    OperatorFailover,
    Switchover,
    Failback,
    /// By the schedule.
    Rehearsal,
    /// The way home by itself.
    Homeward,
}

impl Basis {
    const ALL: [Self; 6] = [
        Self::Automatic,
        Self::OperatorFailover,
        Self::Switchover,
        Self::Failback,
        Self::Rehearsal,
        Self::Homeward,
    ];

    fn is_homeward(self) -> bool {
        matches!(self, Self::Failback | Self::Homeward)
    }

    /// Whether no person has a word in it.
    fn is_alone(self) -> bool {
        matches!(self, Self::Automatic | Self::Homeward)
    }

    /// A world of three members in which nothing stands in the way of this change.
    fn world(self) -> World {
        let mut world = World::quiet(&[100, 0, 0]);
        match self {
            Self::Automatic => world.outage(A),
            Self::OperatorFailover => world.health(A, Verdict::Bad, 30),
            Self::Switchover | Self::Rehearsal => {}
            Self::Failback => world.route(&[0, 100, 0]),
            Self::Homeward => {
                world.set(&[("FAILBACK", "automatic")]);
                world.route(&[0, 100, 0]);
                world.state.incident = Some(incident(A, ago(7300)));
                world.state.incident.as_mut().unwrap().routes_before = Some(dials(&[100, 0, 0]));
                world.changed(Actor::Automatic, &[A], &[B], 7200);
            }
        }
        world
    }

    fn ask(self, world: &World, overrides: &[Guard]) -> Decision {
        match self {
            Self::Automatic | Self::Homeward => world.tick(),
            Self::Rehearsal => world.ask(Wish::Rehearsal {
                order: order(&[], &[B], overrides),
                scheduled: true,
            }),
            Self::OperatorFailover | Self::Switchover => {
                world.ask(Wish::Failover(order(&[A], &[B], overrides)))
            }
            Self::Failback => world.ask(Wish::Failback(order(&[], &[], overrides))),
        }
    }

    /// The Regions that could begin to serve.
    fn targets(self) -> &'static [&'static str] {
        match self {
            Self::Automatic => &[B, C],
            Self::OperatorFailover | Self::Switchover | Self::Rehearsal => &[B],
            Self::Failback | Self::Homeward => &[A],
        }
    }

    /// The Region that stops serving.
    fn left(self) -> &'static str {
        if self.is_homeward() { B } else { A }
    }
}

fn unfit(what: &str, leaving: Option<&str>) -> Unfit {
    Unfit {
        leaving: leaving.map(region),
        what: what.to_owned(),
    }
}

fn hold() -> Option<Hold> {
    Some(Hold {
        reason: "night work".to_owned(),
        since: ago(600),
        until: None,
    })
}

fn silence(world: &mut World, until: Option<Timestamp>) {
    for trigger in &mut world.state.triggers {
        trigger.quiet = Some(Quiet {
            by: "mute rule night-work".to_owned(),
            until,
        });
    }
}

/// Four automatic changes. On the way home one was made already.
fn budget(world: &mut World, basis: Basis, times: [i64; 4]) {
    let made = usize::from(basis == Basis::Homeward);
    for seconds in times.into_iter().take(4 - made) {
        world.changed(Actor::Automatic, &[A], &[B], seconds);
    }
}

/// A member that was left so many seconds ago and has been good for so many.
fn left(world: &mut World, name: &str, by: Actor, seconds_ago: i64, good_for: i64) {
    world.changed(by, &[name], &[A], seconds_ago);
    world.health(name, Verdict::Good, good_for);
}

/// Sets what `targets` hold of everybody to so many seconds before their last write.
fn exposure(world: &mut World, targets: &[&str], seconds: Option<i64>) {
    let written: BTreeMap<Region, Timestamp> = world
        .evidence
        .as_ref()
        .unwrap()
        .members
        .iter()
        .map(|member| (member.region.clone(), member.last_write.unwrap()))
        .collect();
    for target in targets {
        world.member(target).seen = match seconds {
            None => BTreeMap::new(),
            Some(seconds) => written
                .iter()
                .map(|(origin, at)| (origin.clone(), at.checked_sub(secs(seconds)).unwrap()))
                .collect(),
        };
    }
}

/// Changes what the metrics of every pair say.
fn drain(world: &mut World, change: fn(&mut Drain)) {
    let drains = world.way_home.drains.values_mut().flatten();
    drains.for_each(change);
}

/// A re-drive between two members.
fn redrive(world: &mut World, source: &str, target: Option<&str>, is_held: bool) {
    world.way_home.redrives = Redrives::Known(vec![Redrive {
        source: region(source),
        target: target.map(region),
        is_held,
        what: "group 0123456789abcdef is sampled (DstKmsKeyNotFound)".to_owned(),
    }]);
}

fn blocking_alarm(world: &mut World, basis: Basis, state: AlarmState) {
    let mut extra = vec![("REHEARSAL_BLOCKING_ALARMS", "orders")];
    if basis == Basis::Homeward {
        extra.push(("FAILBACK", "automatic"));
    }
    world.set(&extra);
    let now = AlarmNow::State {
        state,
        suppressed_by: None,
    };
    world.blocking_alarms.insert(alarm_arn("orders"), now);
}

/// A disturbance of a world, knowing the change that is wanted.
type Disturb = fn(&mut World, Basis);

/// One guard, one disturbance, and per column what comes of it: `B` blocked by exactly this
/// guard, `.` the change is made all the same, ` ` cannot be brought about in this column.
#[rustfmt::skip]
const TABLE: &[(Guard, &str, Disturb, &str)] = &[
    (Guard::TriggerIsFresh, "one second too old", |w, _| { w.state.triggers.iter_mut().for_each(|t| t.last_confirmed = ago(121)) }, "B....."),
    (Guard::TriggerIsFresh, "just fresh", |w, _| { w.state.triggers.iter_mut().for_each(|t| t.last_confirmed = ago(120)) }, "......"),
    (Guard::TriggerIsFresh, "old but confirmed", |w, _| { w.state.triggers.iter_mut().for_each(|t| t.since = ago(9000)) }, "......"),
    (Guard::TriggerNotSuppressed, "muted for another second", |w, _| silence(w, Some(later(1))), "B....."),
    (Guard::TriggerNotSuppressed, "muted until now", |w, _| silence(w, Some(now())), "......"),
    (Guard::TriggerNotSuppressed, "muted without an end", |w, _| silence(w, None), "B....."),
    (Guard::TriggerNotSuppressed, "silenced, but one alarm speaks", |w, _| { silence(w, None); if !w.state.triggers.is_empty() { w.alarm(A); } }, "......"),
    (Guard::TriggerNotSuppressed, "chosen by a person while bad", |w, _| { w.state.accepted.insert(region(A), ago(60)); }, "B....."),
    (Guard::ModeAllows, "the windows are shut", |w, b| { if b == Basis::Homeward { w.set(&[("FAILBACK", "automatic"), ("FAILBACK_WINDOWS", "Fri 17:01-18:00 UTC")]) } else if b == Basis::Rehearsal { w.set(&[("REHEARSAL_WINDOWS", "Fri 16:00-17:00 UTC")]) } }, "....BB"),
    (Guard::ModeAllows, "the windows are open", |w, b| { if b == Basis::Homeward { w.set(&[("FAILBACK", "automatic"), ("FAILBACK_WINDOWS", "Fri 17:00-18:00 UTC")]) } else if b == Basis::Rehearsal { w.set(&[("REHEARSAL_WINDOWS", "Fri 17:00-17:01 UTC")]) } }, "......"),
    (Guard::ModeAllows, "an alarm that blocks rehearsals", |w, b| blocking_alarm(w, b, AlarmState::Alarm), "....B."),
    (Guard::ModeAllows, "that alarm is quiet", |w, b| blocking_alarm(w, b, AlarmState::Ok), "......"),
    (Guard::ModeAllows, "that alarm does not exist", |w, b| { blocking_alarm(w, b, AlarmState::Ok); w.blocking_alarms.values_mut().for_each(|now| *now = AlarmNow::Gone) }, "....B."),
    (Guard::ModeAllows, "that alarm cannot be asked about", |w, b| { blocking_alarm(w, b, AlarmState::Ok); w.blocking_alarms.values_mut().for_each(|now| *now = AlarmNow::Unreachable) }, "....B."),
    (Guard::EvidenceAgrees, "good, whatever the alarm says", |w, b| { if b == Basis::Automatic { w.health(A, Verdict::Good, 7200); } }, "B....."),
    (Guard::EvidenceAgrees, "throttled", |w, b| { if b == Basis::Automatic { w.health(A, Verdict::Throttled, 120); } }, "B....."),
    (Guard::EvidenceAgrees, "misconfigured", |w, b| { if b == Basis::Automatic { w.health(A, Verdict::Misconfigured, 120); } }, "B....."),
    (Guard::EvidenceAgrees, "home healthy one second too short", |w, _| w.member(A).since = ago(1799), "...B.B"),
    (Guard::EvidenceAgrees, "home healthy just long enough", |w, _| w.member(A).since = ago(1800), "......"),
    (Guard::EvidenceAgrees, "an alarm about home is still open", |w, b| { if b.is_homeward() { w.alarm(A); } }, ".....B"),
    (Guard::NotOnHold, "held", |w, _| w.state.hold = hold(), "BBBBBB"),
    (Guard::NotOnHold, "held until now", |w, _| { w.state.hold = hold(); w.state.hold.as_mut().unwrap().until = Some(now()); }, "......"),
    (Guard::TargetIsHealthy, "bad", |w, b| { b.targets().iter().for_each(|t| w.health(t, Verdict::Bad, 5)) }, "BBB B "),
    (Guard::TargetIsHealthy, "throttled", |w, b| { b.targets().iter().for_each(|t| w.health(t, Verdict::Throttled, 5)) }, "BBB B "),
    (Guard::TargetIsHealthy, "misconfigured", |w, b| { b.targets().iter().for_each(|t| w.health(t, Verdict::Misconfigured, 5)) }, "BBB B "),
    (Guard::TargetIsHealthy, "never probed", |w, b| { b.targets().iter().for_each(|t| w.health(t, Verdict::Unknown, 5)) }, "BBB B "),
    (Guard::TargetNotDrifted, "a finding", |w, b| { w.drift = Drift::Known { observed_at: ago(60), findings: b.targets().iter().map(|t| (region(t), vec![unfit("no rule towards home", None)])).collect(), unknown: BTreeMap::new() } }, "BBBBBB"),
    (Guard::TargetNotDrifted, "a finding elsewhere", |w, b| { w.drift = Drift::Known { observed_at: ago(60), findings: BTreeMap::from([(region(if b.is_homeward() { C } else { A }), vec![unfit("no metrics", None)])]), unknown: BTreeMap::new() } }, "......"),
    (Guard::TargetNotDrifted, "a finding for those who leave", |w, b| { w.drift = Drift::Known { observed_at: ago(60), findings: b.targets().iter().map(|t| (region(t), vec![unfit("no rule", Some(b.left()))])).collect(), unknown: BTreeMap::new() } }, "BBBBBB"),
    (Guard::TargetNotDrifted, "a finding for those who leave another", |w, b| { w.drift = Drift::Known { observed_at: ago(60), findings: b.targets().iter().map(|t| (region(t), vec![unfit("no rule", Some(if b.is_homeward() { A } else { C }))])).collect(), unknown: BTreeMap::new() } }, "......"),
    (Guard::TargetNotDrifted, "unknown", |w, _| w.drift = Drift::Unknown, "..BBBB"),
    (Guard::TargetNotDrifted, "not looked at", |w, b| { w.drift = Drift::Known { observed_at: ago(60), findings: BTreeMap::new(), unknown: b.targets().iter().map(|t| (region(t), vec![unfit("rule", Some(b.left()))])).collect() } }, "..BBBB"),
    (Guard::TargetNotDrifted, "not looked at for those who leave another", |w, b| { w.drift = Drift::Known { observed_at: ago(60), findings: BTreeMap::new(), unknown: b.targets().iter().map(|t| (region(t), vec![unfit("rule", Some(if b.is_homeward() { A } else { C }))])).collect() } }, "......"),
    (Guard::LossIsAcceptable, "one second too much", |w, b| exposure(w, b.targets(), Some(901)), "BBB B "),
    (Guard::LossIsAcceptable, "just acceptable", |w, b| exposure(w, b.targets(), Some(900)), "......"),
    (Guard::LossIsAcceptable, "never measured", |w, b| exposure(w, b.targets(), None), "..B B "),
    (Guard::Drained, "operations that canaries explain", |w, _| drain(w, |d| d.most = 7), "......"),
    (Guard::Drained, "one operation more than canaries explain", |w, _| drain(w, |d| d.most = 8), "...B.B"),
    (Guard::Drained, "two rules with some operations each", |w, _| { for drains in w.way_home.drains.values_mut() { *drains = vec![drained(4), drained(4)]; } }, "...B.B"),
    (Guard::Drained, "metrics for one second less than the window", |w, _| drain(w, |d| d.covered = secs(599)), "...B.B"),
    (Guard::Drained, "a silence in the metrics", |w, _| drain(w, |d| d.gap = secs(301)), "...B.B"),
    (Guard::Drained, "a short silence in the metrics", |w, _| drain(w, |d| d.gap = secs(300)), "......"),
    (Guard::Drained, "the newest metric is too old", |w, _| drain(w, |d| d.last = ago(601)), "...B.B"),
    (Guard::Drained, "the newest metric is just new enough", |w, _| drain(w, |d| d.last = ago(600)), "......"),
    (Guard::Drained, "no metrics", |w, _| w.way_home.drains.clear(), "...B.B"),
    (Guard::Drained, "no rule has metrics", |w, _| w.way_home.drains.values_mut().for_each(Vec::clear), "...B.B"),
    (Guard::Drained, "re-drives are not known", |w, _| w.way_home.redrives = Redrives::default(), "...B.B"),
    (Guard::Drained, "a group on its way home", |w, _| redrive(w, B, Some(A), false), "...B.B"),
    (Guard::Drained, "a sweep that may go home", |w, _| redrive(w, B, None, false), "...B.B"),
    (Guard::Drained, "a group on its way elsewhere", |w, _| redrive(w, B, Some(C), false), "......"),
    (Guard::Drained, "a group from elsewhere", |w, _| redrive(w, C, Some(A), false), "......"),
    (Guard::Cooldown, "home was left within the cooldown", |w, _| w.changed(Actor::Automatic, &[A], &[B], 1799), ".....B"),
    (Guard::Cooldown, "home was left just before the cooldown", |w, _| w.changed(Actor::Automatic, &[A], &[B], 1800), "......"),
    (Guard::Cooldown, "returns within the cooldown", |w, b| { b.targets().iter().for_each(|t| left(w, t, Actor::Automatic, 1799, 299)) }, "B.. . "),
    (Guard::Cooldown, "returns after a stranger's change", |w, b| { b.targets().iter().for_each(|t| left(w, t, Actor::Outside, 1799, 299)) }, "B.. . "),
    (Guard::Cooldown, "returns after a late landing", |w, b| { b.targets().iter().for_each(|t| left(w, t, Actor::LateLanding, 1799, 299)) }, "B.. . "),
    (Guard::Cooldown, "returns to where an operator left", |w, b| { b.targets().iter().for_each(|t| left(w, t, Actor::Operator, 1799, 299)) }, "... . "),
    (Guard::Cooldown, "returns early to what recovered long enough", |w, b| { b.targets().iter().for_each(|t| left(w, t, Actor::Automatic, 1799, 300)) }, "... . "),
    (Guard::Cooldown, "the cooldown is just over", |w, b| { b.targets().iter().for_each(|t| left(w, t, Actor::Automatic, 1800, 299)) }, "... . "),
    (Guard::Cooldown, "acknowledged since", |w, b| { b.targets().iter().for_each(|t| left(w, t, Actor::Automatic, 100, 99)); w.state.cooldown_ended = Some(ago(100)); }, "... . "),
    (Guard::Cooldown, "acknowledged before", |w, b| { b.targets().iter().for_each(|t| left(w, t, Actor::Automatic, 100, 99)); w.state.cooldown_ended = Some(ago(101)); }, "B.. . "),
    (Guard::Cooldown, "moves too soon", |w, _| w.changed(Actor::Operator, &[C], &[A], 179), "B.... "),
    (Guard::Cooldown, "stayed just long enough", |w, _| w.changed(Actor::Operator, &[C], &[A], 180), "..... "),
    (Guard::DailyBudget, "used up", |w, b| budget(w, b, [86_399, 60_000, 40_000, 20_000]), "B....B"),
    (Guard::DailyBudget, "the first is just a day old", |w, b| budget(w, b, [86_400, 60_000, 40_000, 20_000]), "......"),
    (Guard::RegionIsMember, "the routes lead to other buckets", |w, _| { let other: Vec<Route> = w.routes.iter().map(|r| Route { bucket: format!("{}-new", r.bucket).parse().unwrap(), ..r.clone() }).collect(); w.routes = other.into(); w.state.settled.as_mut().unwrap().routes = w.routes.clone(); }, "BBBBBB"),
    (Guard::RegionIsActive, "the target's dial is 50", |w, b| match b { Basis::Failback | Basis::Homeward => w.route(&[50, 100, 0]), _ => w.route(&[100, 50, 0]), }, ".BBBBB"),
    (Guard::NobodyElseIsActing, "another's claim", |w, _| { w.state.claim = Some(Claim { request_id: "another".to_owned(), plan: plan(&[100, 0, 0], &[0, 0, 100], Actor::Operator, ago(3)), claimed_at: ago(3), expires: now(), }); }, " BBBB "),
    (Guard::NobodyElseIsActing, "another's claim, just expired", |w, _| { w.state.claim = Some(Claim { request_id: "another".to_owned(), plan: plan(&[100, 0, 0], &[0, 0, 100], Actor::Operator, ago(3)), claimed_at: ago(3), expires: ago(1), }); }, "......"),
    (Guard::NobodyElseIsActing, "the routes are not what was settled", |w, _| w.state.settled.as_mut().unwrap().routes = dials(&[0, 0, 100]), " BBBB "),
    (Guard::NobodyElseIsActing, "an opposite request may still land", |w, b| { let opposite = if b.is_homeward() { plan(&[100, 0, 0], &[0, 100, 0], Actor::Automatic, ago(200)) } else { plan(&[0, 100, 0], &[100, 0, 0], Actor::Automatic, ago(200)) }; w.state.abandoned = vec![Abandoned { plan: opposite, at: ago(119), }]; }, "BBBBBB"),
    (Guard::NobodyElseIsActing, "long since an opposite request", |w, b| { let opposite = if b.is_homeward() { plan(&[100, 0, 0], &[0, 100, 0], Actor::Automatic, ago(200)) } else { plan(&[0, 100, 0], &[100, 0, 0], Actor::Automatic, ago(200)) }; w.state.abandoned = vec![Abandoned { plan: opposite, at: ago(120), }]; }, "......"),
    (Guard::NobodyElseIsActing, "the same request may still land", |w, b| { let same = if b.is_homeward() { plan(&[0, 100, 0], &[100, 0, 0], Actor::Automatic, ago(200)) } else { plan(&[100, 0, 0], &[0, 100, 0], Actor::Automatic, ago(200)) }; w.state.abandoned = vec![Abandoned { plan: same, at: ago(5), }]; }, "......"),
];

/// Everything that may be overridden, and the guard itself, which may not count.
fn force_and(guard: Guard) -> Vec<Guard> {
    Guard::overridable().chain([guard]).collect()
}

#[test]
fn undisturbed_worlds_act() {
    for basis in Basis::ALL {
        let decision = basis.ask(&basis.world(), &[]);
        acts(&decision);
        for line in &assessed(&decision).plan.guards {
            assert_eq!(line.verdict, GuardVerdict::Pass, "{basis:?}: {line:?}");
            assert!(!line.overridden);
        }
        assert_eq!(assessed(&decision).plan.guards.len(), Guard::ALL.len());
    }
}

#[test]
fn each_guard_stops_what_the_table_says() {
    for (guard, what, disturb, columns) in TABLE {
        for (basis, expected) in Basis::ALL.into_iter().zip(columns.chars()) {
            let mut world = basis.world();
            disturb(&mut world, basis);
            let decision = basis.ask(&world, &[]);
            let case = format!("{guard}, {what}, {basis:?}: {decision:?}");
            match expected {
                '.' => assert!(matches!(decision, Decision::Act(_)), "{case}"),
                'B' => {
                    let (Decision::Blocked(assessment) | Decision::Waits(assessment)) = &decision
                    else {
                        panic!("{case}")
                    };
                    assert_eq!(assessment.blocking, BTreeSet::from([*guard]), "{case}");
                    assert_ne!(
                        report(&decision, *guard).verdict,
                        GuardVerdict::Pass,
                        "{case}"
                    );
                    let named = assessment.explanation.contains(guard.as_str());
                    assert!(named, "the explanation does not name it: {case}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn operators_override_what_may_be_overridden_and_nothing_else() {
    for (guard, what, disturb, columns) in TABLE {
        for (basis, expected) in Basis::ALL.into_iter().zip(columns.chars()) {
            if expected != 'B' || basis.is_alone() {
                continue;
            }
            let mut world = basis.world();
            disturb(&mut world, basis);
            let case = format!("{guard}, {what}, {basis:?}");
            if !guard.may_be_overridden() {
                let decision = basis.ask(&world, &force_and(*guard));
                assert_eq!(blocks(&decision), BTreeSet::from([*guard]), "{case}");
                assert!(!report(&decision, *guard).overridden, "{case}");
                continue;
            }
            let decision = basis.ask(&world, &[*guard]);
            acts(&decision);
            for line in &assessed(&decision).plan.guards {
                assert_eq!(line.overridden, line.guard == *guard, "{case}: {line:?}");
            }
            assert_ne!(
                report(&decision, *guard).verdict,
                GuardVerdict::Pass,
                "{case}"
            );
            assert!(decision.explanation().contains("overridden"), "{case}");
            if *guard != Guard::NotOnHold {
                world.state.hold = hold();
                let decision = basis.ask(&world, &[*guard]);
                assert_eq!(
                    blocks(&decision),
                    BTreeSet::from([Guard::NotOnHold]),
                    "{case}"
                );
            }
        }
    }
}

/// An unneeded override is not reported: nothing was overridden.
#[test]
fn an_override_that_was_not_needed_is_not_claimed() {
    for basis in [Basis::OperatorFailover, Basis::Switchover, Basis::Failback] {
        let everything: Vec<Guard> = Guard::overridable().collect();
        let decision = basis.ask(&basis.world(), &everything);
        acts(&decision);
        assert!(
            assessed(&decision)
                .plan
                .guards
                .iter()
                .all(|line| !line.overridden)
        );
    }
}

/// A guard without a say passes with `-`, whatever the world looks like.
#[test]
fn guards_that_do_not_apply_say_so() {
    #[rustfmt::skip]
    let without = [
        (Basis::Automatic, vec![Guard::Drained]),
        (Basis::Failback, vec![Guard::TriggerIsFresh, Guard::TriggerNotSuppressed, Guard::ModeAllows, Guard::Cooldown, Guard::DailyBudget]),
        (Basis::Rehearsal, vec![Guard::TriggerIsFresh, Guard::TriggerNotSuppressed, Guard::Drained, Guard::Cooldown, Guard::DailyBudget]),
        (Basis::Homeward, vec![Guard::TriggerIsFresh, Guard::TriggerNotSuppressed]),
    ];
    for (basis, without) in without {
        let mut world = basis.world();
        let mode = if basis == Basis::Automatic {
            "automatic"
        } else {
            "observe"
        };
        world.set(&[("MODE", mode), ("FAILBACK", "automatic")]);
        let decision = basis.ask(&world, &[]);
        for guard in Guard::ALL {
            let line = report(&decision, guard);
            assert_eq!(
                line.detail == "-",
                without.contains(&guard),
                "{basis:?}: {line:?}"
            );
        }
    }
}

#[test]
fn the_mode_limits_the_machine_only() {
    for (mode, approved, expected) in [
        ("observe", false, "WouldAct"),
        ("approve", false, "NeedsApproval"),
        ("approve", true, "Act"),
        ("automatic", false, "Act"),
    ] {
        let mut world = Basis::Automatic.world();
        world.set(&[("MODE", mode)]);
        let decision = world.ask(Wish::Triggers { approved });
        let name = format!("{decision:?}");
        assert!(
            name.starts_with(expected),
            "{mode}, approved {approved}: {name}"
        );
        // Another obstacle makes it a block, and the mode is still named.
        world.state.hold = hold();
        let mut both = BTreeSet::from([Guard::NotOnHold]);
        if expected != "Act" {
            both.insert(Guard::ModeAllows);
        }
        assert_eq!(blocks(&world.ask(Wish::Triggers { approved })), both);
    }
    for basis in [Basis::OperatorFailover, Basis::Switchover, Basis::Failback] {
        let mut world = basis.world();
        world.set(&[("MODE", "observe"), ("FAILBACK", "manual")]);
        acts(&basis.ask(&world, &[]));
    }
}

/// The machine does not compete with whoever is at the routes: it waits.
#[test]
fn another_claim_makes_the_machine_wait() {
    let mut world = Basis::Automatic.world();
    world.state.claim = Some(Claim {
        request_id: "another".to_owned(),
        plan: plan(&[100, 0, 0], &[0, 0, 100], Actor::Automatic, ago(3)),
        claimed_at: ago(3),
        expires: later(40),
    });
    assert!(matches!(world.tick(), Decision::NoChange { .. }));
    world.state.claim.as_mut().unwrap().request_id = "request-1".to_owned();
    acts(&world.tick());
}

/// A home that is not good is neither a healthy target nor a stable home.
#[test]
fn a_sick_home_blocks_the_way_back_twice() {
    for (verdict, reported) in [
        (Verdict::Bad, GuardVerdict::Block),
        (Verdict::Throttled, GuardVerdict::Unknown),
        (Verdict::Misconfigured, GuardVerdict::Unknown),
        (Verdict::Unknown, GuardVerdict::Unknown),
    ] {
        let mut world = Basis::Failback.world();
        world.health(A, verdict, 5);
        let decision = Basis::Failback.ask(&world, &[]);
        let both = BTreeSet::from([Guard::EvidenceAgrees, Guard::TargetIsHealthy]);
        assert_eq!(blocks(&decision), both, "{verdict:?}");
        assert_eq!(report(&decision, Guard::EvidenceAgrees).verdict, reported);
        acts(&Basis::Failback.ask(&world, &[Guard::EvidenceAgrees, Guard::TargetIsHealthy]));
    }
}

/// Slow canaries speak against the way home twice: what would be lost, and what is on its way.
#[test]
fn slow_canaries_block_the_way_home_twice() {
    for (seconds, reported) in [
        (Some(901), GuardVerdict::Block),
        (None, GuardVerdict::Unknown),
    ] {
        for basis in [Basis::Failback, Basis::Homeward] {
            let mut world = basis.world();
            exposure(&mut world, basis.targets(), seconds);
            let decision = basis.ask(&world, &[]);
            let both = BTreeSet::from([Guard::LossIsAcceptable, Guard::Drained]);
            assert_eq!(blocks(&decision), both, "{basis:?}");
            assert_eq!(report(&decision, Guard::Drained).verdict, reported);
        }
    }
}

/// No evidence, evidence that is too old, and a sick observer are the same: nothing is known.
#[test]
fn without_evidence_nothing_moves_unless_a_person_insists() {
    let blind: [(&str, Disturb); 3] = [
        ("none", |w, _| w.evidence = None),
        ("too old", |w, _| {
            w.evidence.as_mut().unwrap().observed_at = ago(91)
        }),
        ("sick observer", |w, _| {
            w.evidence.as_mut().unwrap().observer = Observer::Sick {
                reason: "own credentials or clock".to_owned(),
            };
        }),
    ];
    for (what, disturb) in blind {
        for basis in Basis::ALL {
            let mut world = basis.world();
            disturb(&mut world, basis);
            let decision = basis.ask(&world, &[]);
            let blocking = blocks(&decision);
            assert!(
                blocking.contains(&Guard::TargetIsHealthy),
                "{what}, {basis:?}"
            );
            let line = report(&decision, Guard::TargetIsHealthy);
            assert_eq!(line.verdict, GuardVerdict::Unknown, "{what}, {basis:?}");
            if basis.is_alone() {
                assert!(blocking.contains(&Guard::EvidenceAgrees), "{what}");
            } else {
                let everything: Vec<Guard> = Guard::overridable().collect();
                acts(&basis.ask(&world, &everything));
            }
        }
    }
    let mut world = Basis::Automatic.world();
    world.evidence.as_mut().unwrap().observed_at = ago(90);
    acts(&world.tick());
}

/// What is not known is no obstacle for a failover, and people are told.
#[test]
fn unknown_loss_and_drift_are_announced() {
    for basis in [Basis::Automatic, Basis::OperatorFailover] {
        let mut world = basis.world();
        world.drift = Drift::Unknown;
        exposure(&mut world, &[B, C], None);
        let decision = basis.ask(&world, &[]);
        acts(&decision);
        for guard in [Guard::TargetNotDrifted, Guard::LossIsAcceptable] {
            assert_eq!(report(&decision, guard).verdict, GuardVerdict::Unknown);
            assert!(
                decision.explanation().contains(guard.as_str()),
                "{}",
                decision.explanation()
            );
        }
    }
}

/// Who is passed over because nobody knows what it misses is named, with what is known.
#[test]
fn a_preferred_member_that_is_passed_over_is_named() {
    let mut world = Basis::Automatic.world();
    exposure(&mut world, &[B], None);
    let decision = world.tick();
    acts(&decision);
    let said = "eu-west-1 comes first, but nobody knows how much of the last writes it misses.";
    assert!(
        decision.explanation().ends_with(said),
        "{}",
        decision.explanation()
    );

    let mut world = Basis::OperatorFailover.world();
    exposure(&mut world, &[B], None);
    world.member(B).out_of_scope = BTreeMap::from([(region(A), Some(ago(2400)))]);
    let decision = Basis::OperatorFailover.ask(&world, &[]);
    let loss = report(&decision, Guard::LossIsAcceptable);
    let said =
        "exposure not measured: us-east-1 to eu-west-1 (no canary since 2026-11-20 16:20:00Z)";
    assert_eq!(
        (loss.verdict, loss.detail.split("; ").next()),
        (GuardVerdict::Unknown, Some(said))
    );
}

/// Where nobody begins to serve, a member that goes on and is fit is enough: the others served before.
#[test]
fn one_fit_member_that_goes_on_is_enough() {
    for (found, unseen, expected) in [
        (&[][..], &[][..], Some(GuardVerdict::Pass)),
        (&[C], &[], Some(GuardVerdict::Pass)),
        (&[], &[C], Some(GuardVerdict::Pass)),
        (&[], &[B, C], Some(GuardVerdict::Unknown)),
        (&[C], &[B], Some(GuardVerdict::Unknown)),
        (&[B, C], &[], None),
    ] {
        let mut world = World::quiet(&[100, 100, 100]);
        world.set(&[("TOPOLOGY", "active-active")]);
        world.outage(A);
        let list = |regions: &[&str]| {
            let said = |one: &&str| (region(one), vec![unfit("versioning is suspended", None)]);
            regions.iter().map(said).collect()
        };
        world.drift = Drift::Known {
            observed_at: ago(60),
            findings: list(found),
            unknown: list(unseen),
        };
        let decision = world.tick();
        let verdict = report(&decision, Guard::TargetNotDrifted).verdict;
        match expected {
            Some(expected) => {
                acts(&decision);
                assert_eq!(verdict, expected, "{found:?} {unseen:?}");
            }
            None => assert_eq!(verdict, GuardVerdict::Block, "{found:?} {unseen:?}"),
        }
        // A member that is not good is nobody to go on with.
        world.health(B, Verdict::Throttled, 60);
        if found == [C] && unseen.is_empty() {
            let decision = world.tick();
            let verdict = report(&decision, Guard::TargetNotDrifted).verdict;
            assert_eq!(verdict, GuardVerdict::Block);
        }
    }
}

/// The guards about the routes themselves, where one situation offends several.
#[test]
fn impossible_wishes_name_what_is_wrong() {
    let hard = [
        Guard::RegionIsMember,
        Guard::RegionIsActive,
        Guard::TargetExists,
        Guard::NobodyElseIsActing,
        Guard::AtLeastOneActive,
    ];
    type Impossible<'a> = (
        &'a str,
        &'a [i32],
        &'a [&'a str],
        &'a [&'a str],
        &'a [Guard],
    );
    #[rustfmt::skip]
    let cases: [Impossible<'_>; 6] = [
        ("a target that is no member", &[100, 0], &[A], &["sa-east-1"], &[Guard::RegionIsMember]),
        ("a source that is no member", &[100, 0], &["sa-east-1"], &[B], &[Guard::RegionIsMember, Guard::RegionIsActive]),
        ("a source that is passive", &[100, 0, 0], &[B], &[C], &[Guard::RegionIsActive]),
        ("a source at 50", &[100, 50, 0], &[B], &[C], &[Guard::RegionIsActive]),
        ("no target at all", &[100, 50], &[A], &[], &[Guard::TargetExists, Guard::AtLeastOneActive]),
        ("everybody is left", &[100, 100], &[A, B], &[], &[Guard::TargetExists, Guard::AtLeastOneActive]),
    ];
    for (what, active, from, to, expected) in cases {
        let world = World::quiet(active);
        for overrides in [vec![], Guard::ALL.to_vec()] {
            let decision = world.ask(Wish::Failover(order(from, to, &overrides)));
            let named: BTreeSet<Guard> = blocks(&decision)
                .into_iter()
                .filter(|guard| hard.contains(guard))
                .collect();
            let expected: BTreeSet<Guard> = expected.iter().copied().collect();
            let without_target = to == ["sa-east-1"];
            assert!(named.is_superset(&expected), "{what}: {named:?}");
            assert!(
                named
                    .difference(&expected)
                    .all(|guard| without_target && *guard == Guard::AtLeastOneActive),
                "{what}: {named:?}"
            );
        }
    }
    // A dial that AWS does not define is nobody's to touch.
    let mut world = World::quiet(&[100, 0, 50]);
    world.outage(A);
    assert_eq!(
        acts(&world.tick()).dial(&region(C)),
        Some(Dial::Undefined(50))
    );
}
