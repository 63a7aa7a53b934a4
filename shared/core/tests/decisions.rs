//! The invariants of a decision, over random worlds and random histories.
//!
//! A small world of members that are good or bad, with a dial, alarms, ticks, operators and
//! strangers, is driven by random steps through the same pure functions that the `failover`
//! function calls. What the world knows to be true is kept beside the state, so that the
//! properties are judged by the world and not by what the code believes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::pedantic,
    reason = "a broken assumption must fail the test"
)]

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sentinel_core::alarm::{AlarmKind, AlarmState, AlarmTransition, Via};
use sentinel_core::decide::{
    Assessment, Decision, Drain, Drift, Observation, Order, Redrives, Request, WayHome, Wish,
    decide,
};
use sentinel_core::evidence::{Evidence, MemberRound, ProbeOutcome, Round, Verdict};
use sentinel_core::guard::{Guard, GuardVerdict};
use sentinel_core::names::Region;
use sentinel_core::reconcile::Reconciled;
use sentinel_core::routes::{Dial, Route, Routes};
use sentinel_core::settings::{Settings, Topology};
use sentinel_core::state::{Actor, Hold, Kind, Plan, State};

const REGIONS: [&str; 5] = [
    "us-east-1",
    "eu-west-1",
    "ap-northeast-1",
    "us-west-2",
    "sa-east-1",
];

fn region(index: usize) -> Region {
    REGIONS[index].parse().unwrap()
}

fn settings(members: usize, topology: &str, extra: &[(&str, &str)]) -> Settings {
    let list: Vec<String> = REGIONS[..members]
        .iter()
        .enumerate()
        .map(|(i, r)| format!("app-{i}x@{r}"))
        .collect();
    let mut variables: BTreeMap<String, String> = [
        (
            "MRAP_ARN",
            "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
        ),
        ("STATE_BUCKET", "sentinel-state"),
        ("TOPIC_ARNS", "arn:aws:sns:us-east-2:111122223333:pages"),
        ("MODE", "automatic"),
        ("TOPOLOGY", topology),
        ("TRIGGER_ALARMS", "*"),
    ]
    .into_iter()
    .chain(extra.iter().copied())
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    variables.insert("MEMBERS".to_owned(), list.join(","));
    Settings::from_lookup(|name| variables.get(name).cloned()).unwrap()
}

fn routes(settings: &Settings, active: &BTreeSet<Region>) -> Routes {
    settings
        .members
        .iter()
        .map(|member| Route {
            bucket: member.bucket.clone(),
            region: member.region.clone(),
            dial: if active.contains(&member.region) {
                Dial::Active
            } else {
                Dial::Passive
            },
        })
        .collect::<Vec<_>>()
        .into()
}

/// What the steps act on.
struct World {
    settings: Settings,
    state: State,
    routes: Routes,
    now: Timestamp,
    /// What each member's probe would answer now.
    members: BTreeMap<Region, ProbeOutcome>,
    /// Per origin: its last canary write; per (origin, reader): the canary that arrived.
    arrived: BTreeMap<(Region, Region), Timestamp>,
    written: BTreeMap<Region, Timestamp>,
    request: u32,
    /// Members that a person made active while they were bad and that have not been good since.
    chosen_bad: BTreeSet<Region>,
    automatic: Vec<(Timestamp, BTreeSet<Region>)>,
    drift: Drift,
    /// Whether the way between any two members is empty.
    is_drained: bool,
    /// Members whose dial a person turned last, as far as the machine can know.
    persons: BTreeSet<Region>,
    /// How often the machine went home by itself.
    homeward: usize,
}

#[derive(Debug, Clone)]
enum Step {
    /// Time passes and the schedule fires.
    Tick(i64),
    /// A member's health changes.
    Health(usize, u8),
    /// An alarm about a member arrives, this many seconds after it changed.
    Alarm(usize, bool, i64),
    /// The same as the last alarm, once more.
    Hold(bool),
    /// An operator's failover, forced or not.
    Operator(usize, bool),
    /// A stranger turns the dial.
    Stranger(usize),
    /// An operator acknowledges.
    Acknowledge,
    /// What is on its way between members arrives, or piles up.
    Drain(bool),
    /// Everybody is well for a long while.
    Peace,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (20i64..130).prop_map(Step::Tick),
        3 => (0usize..5, 0u8..6).prop_map(|(member, health)| Step::Health(member, health)),
        3 => (0usize..5, any::<bool>(), 0i64..400).prop_map(|(member, alarm, age)| Step::Alarm(member, alarm, age)),
        1 => any::<bool>().prop_map(Step::Hold),
        1 => (0usize..5, any::<bool>()).prop_map(|(member, force)| Step::Operator(member, force)),
        1 => (0usize..5).prop_map(Step::Stranger),
        1 => Just(Step::Acknowledge),
    ]
}

/// Steps in which there is something to go home from, and time to.
fn homeward_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => step(),
        2 => any::<bool>().prop_map(Step::Drain),
        2 => Just(Step::Peace),
    ]
}

fn outcome(health: u8) -> ProbeOutcome {
    match health {
        0 | 1 => ProbeOutcome::Success,
        2 => ProbeOutcome::Deadline,
        3 => ProbeOutcome::Status {
            status: 503,
            code: Some("ServiceUnavailable".to_owned()),
        },
        4 => ProbeOutcome::Status {
            status: 503,
            code: Some("SlowDown".to_owned()),
        },
        _ => ProbeOutcome::Status {
            status: 403,
            code: Some("AccessDenied".to_owned()),
        },
    }
}

impl World {
    fn new(members: usize, topology: &str) -> Self {
        Self::with(settings(members, topology, &[]))
    }

    /// One that goes home by itself, after short waits.
    fn homeward(members: usize, topology: &str) -> Self {
        let mut world = Self::with(settings(
            members,
            topology,
            &[
                ("FAILBACK", "automatic"),
                ("STABILIZATION_SECONDS", "240"),
                ("COOLDOWN_SECONDS", "400"),
                ("DAILY_BUDGET", "12"),
                ("EVIDENCE_MAX_AGE_SECONDS", "130"),
            ],
        ));
        world.drift = Drift::Known {
            observed_at: world.now,
            findings: BTreeMap::new(),
            unknown: BTreeMap::new(),
        };
        world
    }

    fn with(settings: Settings) -> Self {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let active: BTreeSet<Region> = if settings.topology == Topology::ActiveActive {
            settings.members.regions().cloned().collect()
        } else {
            BTreeSet::from([region(0)])
        };
        let mut world = Self {
            state: State::first(settings.mrap.clone(), now),
            routes: routes(&settings, &active),
            members: settings
                .members
                .regions()
                .map(|r| (r.clone(), ProbeOutcome::Success))
                .collect(),
            arrived: BTreeMap::new(),
            written: BTreeMap::new(),
            settings,
            now,
            request: 0,
            chosen_bad: BTreeSet::new(),
            automatic: Vec::new(),
            drift: Drift::Unknown,
            is_drained: true,
            persons: BTreeSet::new(),
            homeward: 0,
        };
        // The first look takes the routes as the baseline.
        world.run(&Step::Tick(60));
        world
    }

    fn is_bad(&self, region: &Region) -> bool {
        self.members[region].verdict() == Verdict::Bad
    }

    /// Probes everybody; canaries arrive at once where both sides are good.
    fn probe(&mut self) -> Evidence {
        let good = |world: &Self, region: &Region| world.members[region] == ProbeOutcome::Success;
        let all: Vec<Region> = self.settings.members.regions().cloned().collect();
        for origin in &all {
            if good(self, origin) {
                self.written.insert(origin.clone(), self.now);
                for reader in &all {
                    if good(self, reader) {
                        self.arrived
                            .insert((origin.clone(), reader.clone()), self.now);
                    }
                }
            }
        }
        let round = Round {
            at: self.now,
            observer: ProbeOutcome::Success,
            members: all
                .iter()
                .map(|reader| MemberRound {
                    region: reader.clone(),
                    write: self.members[reader].clone(),
                    read: self.members[reader].clone(),
                    seen: if good(self, reader) {
                        all.iter()
                            .filter_map(|origin| {
                                Some((
                                    origin.clone(),
                                    *self.arrived.get(&(origin.clone(), reader.clone()))?,
                                ))
                            })
                            .collect()
                    } else {
                        BTreeMap::new()
                    },
                    refused: BTreeSet::new(),
                    absent: BTreeSet::new(),
                    latency_millis: 20,
                    replicates: Some(true),
                    version: None,
                })
                .collect(),
        };
        Evidence::after(
            self.state.evidence.as_ref(),
            &round,
            self.settings.thresholds.evidence_max_age,
        )
    }

    /// One invocation: what the function does between reading the state and writing it, with a
    /// submit that always succeeds.
    fn invoke(&mut self, transition: Option<&AlarmTransition>, wish: Wish) -> Decision {
        self.request += 1;
        let id = format!("request-{}", self.request);
        let thresholds = self.settings.thresholds.clone();
        if let Some(transition) = transition {
            let speaks_for =
                BTreeSet::from([transition.metrics[0].dimensions["Region"].parse().unwrap()]);
            self.state
                .note_transition(transition, &speaks_for, self.now);
        }
        let evidence = self.probe();
        self.state.evidence = Some(evidence.clone());
        self.state
            .confirm_triggers(&BTreeMap::new(), Some(&evidence), self.now);
        let reconciled = self.state.reconcile(
            &self.routes,
            Some(&evidence),
            &id,
            thresholds.settle,
            self.now,
        );
        if let Reconciled::Outside(change) = &reconciled {
            assert_eq!(change.after, self.routes);
            let turned = change.from.union(&change.to).cloned();
            self.persons.extend(turned);
        }
        self.state.review_accepted(Some(&evidence));
        self.state.open_evidence_triggers(
            &evidence,
            &self.routes,
            (thresholds.evidence_trigger, thresholds.detection_rounds),
            self.now,
        );
        self.state.end_idle_incident(self.now);
        let routes_read = self.routes.clone();
        let request = Request { id, wish };
        let decision = decide(
            Observation {
                routes: &routes_read,
                evidence: Some(&evidence),
                drift: &self.drift,
                pending: &BTreeMap::new(),
                way_home: &self.way_home(),
                blocking_alarms: &BTreeMap::new(),
            },
            &self.state,
            &self.settings,
            &request,
            self.now,
        );
        if let Decision::Act(assessment) = &decision {
            self.judge(assessment, &evidence);
            self.routes = assessment.plan.after.clone();
            self.state.settle(&assessment.plan, self.now);
            self.state.proof = None;
            let plan = &assessment.plan;
            for region in plan.before.changes_to(&plan.after) {
                if plan.by.is_person() {
                    self.persons.insert(region.region);
                } else {
                    self.persons.remove(&region.region);
                }
            }
            match assessment.plan.by {
                Actor::Automatic => self
                    .automatic
                    .push((self.now, assessment.plan.from.clone())),
                _ => self
                    .state
                    .accept_chosen(&assessment.plan.to, Some(&evidence), self.now),
            }
        }
        decision
    }

    /// The properties that every change has to have.
    fn judge(&self, assessment: &Assessment, evidence: &Evidence) {
        let plan = &assessment.plan;
        // 1. At least one member is active.
        assert!(
            !plan.after.active().is_empty(),
            "nobody would be active: {plan:?}"
        );
        let overridden: BTreeSet<Guard> = plan
            .guards
            .iter()
            .filter(|g| g.overridden)
            .map(|g| g.guard)
            .collect();
        let activated: BTreeSet<Region> = plan
            .after
            .active()
            .difference(&plan.before.active())
            .cloned()
            .collect();
        // 2. The dial never moves to a member that the evidence shows unhealthy.
        if !overridden.contains(&Guard::TargetIsHealthy) {
            for region in &activated {
                assert_eq!(
                    evidence.verdict(region),
                    Verdict::Good,
                    "moved to {region}: {plan:?}"
                );
            }
            assert!(
                plan.to
                    .iter()
                    .any(|region| evidence.verdict(region) == Verdict::Good)
            );
        }
        if plan.by != Actor::Automatic {
            return;
        }
        assert!(overridden.is_empty(), "only operators override");
        // 3. No automatic change while a hold is set, against the cooldown, or over the budget.
        assert!(self.state.active_hold(self.now).is_none());
        let day = self
            .automatic
            .iter()
            .filter(|(at, _)| self.now.duration_since(*at) < SignedDuration::from_hours(24))
            .count();
        assert!(
            day < self.settings.thresholds.daily_budget as usize,
            "over the budget"
        );
        let cooldown = self.settings.thresholds.cooldown;
        for region in &activated {
            let left = self
                .automatic
                .iter()
                .rev()
                .find(|(_, from)| from.contains(region))
                .map(|(at, _)| *at);
            let recent = left.is_some_and(|at| {
                self.now.duration_since(at) < cooldown
                    && self.state.cooldown_ended.is_none_or(|ended| at > ended)
            });
            if recent {
                assert!(
                    plan.before
                        .active()
                        .iter()
                        .all(|active| self.is_bad(active)),
                    "returned to {region} within the cooldown"
                );
                let since = evidence.member(region).unwrap().since;
                assert!(self.now.duration_since(since) >= self.settings.thresholds.return_healthy);
            }
        }
        if plan.kind == Kind::Failback {
            self.judge_way_home(plan, &activated, evidence);
            return;
        }
        // Every Region that is left is bad, by the world.
        for region in &plan.from {
            assert!(
                self.is_bad(region),
                "{region} was left although it is not bad"
            );
        }
        // 9. What a person chose knowingly is not undone.
        assert!(
            plan.from.is_disjoint(&self.chosen_bad),
            "undid a person's choice: {plan:?}"
        );
    }

    /// What may be true of nobody's way home.
    fn judge_way_home(&self, plan: &Plan, activated: &BTreeSet<Region>, evidence: &Evidence) {
        assert!(self.is_drained, "left before it was drained: {plan:?}");
        let window = self.settings.thresholds.stabilization;
        for region in activated {
            let good_for = self
                .now
                .duration_since(evidence.member(region).unwrap().since);
            assert!(good_for >= window, "{region} was good for {good_for} only");
        }
        let turned: BTreeSet<Region> = plan
            .before
            .changes_to(&plan.after)
            .into_iter()
            .map(|route| route.region)
            .collect();
        assert!(
            turned.is_disjoint(&self.persons),
            "undid a person's change: {plan:?}, {:?}",
            self.persons
        );
        assert!(
            self.state.failback_suspended.is_none(),
            "went home although somebody else had turned the dial"
        );
        let is_open = |region: &Region| {
            let mut triggers = self.state.triggers.iter();
            triggers.any(|trigger| &trigger.region == region)
        };
        assert!(
            !activated.iter().any(is_open),
            "an alarm speaks against home"
        );
    }

    fn way_home(&self) -> WayHome {
        let regions: Vec<&Region> = self.settings.members.regions().collect();
        let points = [(self.now, if self.is_drained { 0 } else { 500 })];
        let drain = Drain {
            covered: self.settings.thresholds.drain,
            ..Drain::of(&points, SignedDuration::ZERO).unwrap()
        };
        WayHome {
            drains: regions
                .iter()
                .flat_map(|source| {
                    let pair = |target: &&Region| ((*source).clone(), (*target).clone());
                    regions
                        .iter()
                        .map(move |target| (pair(target), vec![drain]))
                })
                .collect(),
            redrives: Redrives::Known(Vec::new()),
        }
    }

    fn alarm(&self, member: usize, alarm: bool, age: i64) -> AlarmTransition {
        let region = region(member);
        let name = format!("down-{region}");
        AlarmTransition {
            arn: format!("arn:aws:cloudwatch:us-east-2:111122223333:alarm:{name}")
                .parse()
                .unwrap(),
            name,
            account: "111122223333".to_owned(),
            state: if alarm {
                AlarmState::Alarm
            } else {
                AlarmState::Ok
            },
            previous: None,
            changed_at: self
                .now
                .checked_sub(SignedDuration::from_secs(age))
                .unwrap(),
            reason: None,
            kind: AlarmKind::Metric,
            suppression: None,
            via: Via::EventBridge,
            metrics: vec![sentinel_core::alarm::AlarmMetric {
                namespace: "MrapSentinel".to_owned(),
                name: "Availability".to_owned(),
                dimensions: BTreeMap::from([("Region".to_owned(), region.to_string())]),
            }],
            expressions: Vec::new(),
            children: Vec::new(),
            contributor: None,
        }
    }

    /// A person made these members active: whichever is bad was chosen knowingly, until it was good.
    fn person_chose(&mut self, active: &BTreeSet<Region>) {
        let bad: Vec<Region> = active
            .iter()
            .filter(|region| self.is_bad(region))
            .cloned()
            .collect();
        self.chosen_bad.extend(bad);
    }

    fn run(&mut self, step: &Step) {
        let count = self.members.len();
        match *step {
            Step::Tick(seconds) => {
                self.now = self
                    .now
                    .checked_add(SignedDuration::from_secs(seconds))
                    .unwrap();
                self.invoke(None, Wish::Triggers { approved: false });
            }
            Step::Health(member, health) => {
                let region = region(member % count);
                self.members.insert(region.clone(), outcome(health));
                if !self.is_bad(&region) {
                    self.chosen_bad.remove(&region);
                }
            }
            Step::Alarm(member, alarm, age) => {
                let transition = self.alarm(member % count, alarm, age);
                self.invoke(Some(&transition), Wish::Triggers { approved: false });
                // A duplicate right after it does no harm.
                self.invoke(Some(&transition), Wish::Triggers { approved: false });
            }
            Step::Hold(set) => {
                self.state.hold = set.then(|| Hold {
                    reason: "test".to_owned(),
                    since: self.now,
                    until: None,
                });
            }
            Step::Operator(member, force) => {
                let to = BTreeSet::from([region(member % count)]);
                let overrides = if force {
                    Guard::overridable().collect()
                } else {
                    BTreeSet::new()
                };
                let before = self.routes.clone();
                self.invoke(
                    None,
                    Wish::Failover(Order {
                        from: BTreeSet::new(),
                        to,
                        reason: "wish".to_owned(),
                        overrides,
                    }),
                );
                let activated: BTreeSet<Region> = self
                    .routes
                    .active()
                    .difference(&before.active())
                    .cloned()
                    .collect();
                self.person_chose(&activated);
            }
            Step::Stranger(member) => {
                let active = BTreeSet::from([region(member % count)]);
                let before = self.routes.active();
                self.routes = routes(&self.settings, &active);
                self.invoke(None, Wish::Triggers { approved: false });
                // A reading that shows the routes from before the last change is waited out, so
                // there and back again within `SETTLE_SECONDS` is never seen as a choice.
                let noticed = self.state.changes.last().is_some_and(|change| {
                    change.by == Actor::Outside
                        && change.at == self.now
                        && change.after == self.routes
                });
                if noticed {
                    let activated: BTreeSet<Region> = active.difference(&before).cloned().collect();
                    self.person_chose(&activated);
                }
            }
            Step::Acknowledge => {
                self.state.triggers.clear();
                self.state.accepted.clear();
                self.state.failback_suspended = None;
                self.state.cooldown_ended = Some(self.now);
                self.state.close_incident(self.now, "acknowledged");
                self.chosen_bad.clear();
            }
            Step::Drain(drained) => self.is_drained = drained,
            Step::Peace => {
                for health in self.members.values_mut() {
                    *health = ProbeOutcome::Success;
                }
                for _ in 0..6 {
                    self.now = self
                        .now
                        .checked_add(SignedDuration::from_secs(100))
                        .unwrap();
                    let decision = self.invoke(None, Wish::Triggers { approved: false });
                    if matches!(&decision, Decision::Act(one) if one.plan.kind == Kind::Failback) {
                        self.homeward += 1;
                    }
                }
                let active = self.routes.active();
                self.chosen_bad.retain(|region| !active.contains(region));
            }
        }
        self.chosen_bad = self
            .chosen_bad
            .intersection(&self.routes.active())
            .cloned()
            .collect();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/decisions.proptest-regressions"))), ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_over_random_histories(
        members in 2usize..=5,
        active_active in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(members, if active_active { "active-active" } else { "active-passive" });
        for step in &steps {
            world.run(step);
            prop_assert!(!world.routes.active().is_empty());
        }
    }

    /// The same with automatic failback: it never undoes a person's change, never leaves for a home
    /// that is bad or was so lately, and keeps hold, cooldown and budget.
    #[test]
    fn the_way_home_keeps_the_invariants(
        members in 2usize..=4,
        active_active in any::<bool>(),
        steps in prop::collection::vec(homeward_step(), 1..60),
    ) {
        let mut world = World::homeward(members, if active_active { "active-active" } else { "active-passive" });
        for step in &steps {
            world.run(step);
            prop_assert!(!world.routes.active().is_empty());
        }
    }

    /// Whatever the pace of the ticks: after an outage the dials are those from before it, by itself.
    #[test]
    fn an_outage_ends_at_home(members in 2usize..=4, active_active in any::<bool>(), bad in 0usize..4, period in 30i64..=75) {
        let mut world = World::homeward(members, if active_active { "active-active" } else { "active-passive" });
        let bad = if active_active { region(bad % members) } else { region(0) };
        world.run(&Step::Tick(60));
        let before = world.routes.clone();
        world.members.insert(bad.clone(), ProbeOutcome::Deadline);
        for _ in 0..6 { world.run(&Step::Tick(period)); }
        prop_assert!(!world.routes.is_active(&bad));
        world.members.insert(bad, ProbeOutcome::Success);
        for _ in 0..(500 / period + 2) { world.run(&Step::Tick(period)); }
        prop_assert_eq!(world.routes, before);
    }

    /// 8. An active member that is and stays bad is left within two ticks of its own, although no
    /// event ever arrives, once nothing stands in the way.
    #[test]
    fn an_outage_is_answered_without_any_event(members in 2usize..=5, active_active in any::<bool>(), bad in 0usize..5, period in 30i64..=75) {
        let mut world = World::new(members, if active_active { "active-active" } else { "active-passive" });
        let bad = if active_active { region(bad % members) } else { region(0) };
        world.run(&Step::Tick(60));
        world.members.insert(bad.clone(), ProbeOutcome::Deadline);
        let wait = world.settings.thresholds.evidence_trigger.as_secs();
        let ticks = 1 + (wait + period - 1) / period + 1;
        for _ in 0..ticks {
            world.run(&Step::Tick(period));
        }
        prop_assert!(!world.routes.is_active(&bad), "after {ticks} ticks of {period} s: {}", world.routes);
    }

    /// A longer outage alone never turns `loss-is-acceptable` from pass to block.
    #[test]
    fn an_outage_does_not_block_itself_by_lasting(ticks in prop::collection::vec(20i64..600, 1..40)) {
        let mut world = World::new(2, "active-passive");
        world.run(&Step::Tick(60));
        world.members.insert(region(0), ProbeOutcome::Deadline);
        world.state.hold = Some(Hold { reason: "keep it blocked".to_owned(), since: world.now, until: None });
        for seconds in ticks {
            world.now = world.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
            let alarm = world.alarm(0, true, 0);
            let decision = world.invoke(Some(&alarm), Wish::Triggers { approved: false });
            let Decision::Blocked(assessment) = &decision else { panic!("{decision:?}") };
            let loss = assessment.plan.guards.iter().find(|g| g.guard == Guard::LossIsAcceptable).unwrap();
            prop_assert_eq!(loss.verdict, GuardVerdict::Pass, "{}", loss.detail);
        }
    }

    /// Two alarms for two Regions, in either order and however often, never leave the dial on a bad member
    /// while a good one exists.
    #[test]
    fn two_alarms_end_on_a_good_member(order in prop::collection::vec(any::<bool>(), 1..6), late in 0i64..100) {
        let mut world = World::new(3, "active-passive");
        world.run(&Step::Tick(60));
        world.members.insert(region(0), ProbeOutcome::Deadline);
        world.members.insert(region(1), ProbeOutcome::Deadline);
        for first in order {
            let alarm = world.alarm(usize::from(first), true, late);
            world.invoke(Some(&alarm), Wish::Triggers { approved: false });
        }
        for _ in 0..4 {
            world.run(&Step::Tick(60));
        }
        prop_assert_eq!(world.routes.active(), BTreeSet::from([region(2)]));
    }

    /// The same situation gives the same decision, id included.
    #[test]
    fn deciding_again_gives_the_same(steps in prop::collection::vec(step(), 1..20)) {
        let mut world = World::new(3, "active-passive");
        for step in &steps { world.run(step); }
        let evidence = world.probe();
        let request = Request { id: "again".to_owned(), wish: Wish::Triggers { approved: false } };
        let (pending, way_home, blocking_alarms) = (BTreeMap::new(), WayHome::default(), BTreeMap::new());
        let observation = Observation { routes: &world.routes, evidence: Some(&evidence), drift: &Drift::Unknown, pending: &pending, way_home: &way_home, blocking_alarms: &blocking_alarms };
        let one = decide(observation, &world.state, &world.settings, &request, world.now);
        let two = decide(observation, &world.state, &world.settings, &request, world.now);
        prop_assert_eq!(one, two);
    }

    /// The document survives being written and read.
    #[test]
    fn state_reads_back(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new(3, "active-active");
        for step in &steps { world.run(step); }
        world.state.forget_old(world.now);
        let json = serde_json::to_value(&world.state).unwrap();
        prop_assert_eq!(State::parse(json, &world.settings.mrap).unwrap(), world.state);
    }
}

/// Routes that read as before our last change were taken for a stranger's new choice or for an old
/// copy, and decided upon while nobody could tell.
#[test]
fn regression_a_reading_that_may_be_an_old_copy_is_waited_out() {
    let mut world = World::new(5, "active-passive");
    for step in [
        Step::Health(0, 2),
        Step::Acknowledge,
        Step::Operator(1, false),
        Step::Stranger(0),
        Step::Tick(60),
    ] {
        world.run(&step);
    }
    assert_eq!(world.routes.active(), BTreeSet::from([region(0)]));
}

/// A reading that was not yet accounted for ended the protection of a member that an operator had
/// made active although it was bad.
#[test]
fn regression_protection_outlasts_an_unsettled_reading() {
    let mut world = World::new(3, "active-passive");
    for step in [
        Step::Health(1, 2),
        Step::Operator(1, true),
        Step::Stranger(0),
        Step::Stranger(1),
        Step::Tick(21),
        Step::Tick(63),
        Step::Tick(96),
    ] {
        world.run(&step);
    }
    assert_eq!(world.routes.active(), BTreeSet::from([region(1)]));
}

/// A person's choice was undone because nobody could tell, when it was made, that the member was
/// bad: no member answered, so the observer was not believed.
#[test]
fn regression_what_a_person_chose_in_the_dark_stays() {
    let mut world = World::new(2, "active-passive");
    for step in [
        Step::Health(0, 2),
        Step::Health(1, 2),
        Step::Stranger(1),
        Step::Health(0, 0),
        Step::Alarm(1, true, 0),
        Step::Tick(60),
        Step::Tick(60),
    ] {
        world.run(&step);
    }
    assert_eq!(world.routes.active(), BTreeSet::from([region(1)]));
    // Once it was seen good it is a member like any other; the cooldown is over by then.
    for step in [
        Step::Health(1, 0),
        Step::Tick(1900),
        Step::Health(1, 2),
        Step::Tick(60),
        Step::Tick(60),
        Step::Tick(60),
    ] {
        world.run(&step);
    }
    assert_eq!(world.routes.active(), BTreeSet::from([region(0)]));
}

/// The random histories above do go home: otherwise they would prove nothing about it.
#[test]
fn peace_leads_home() {
    let mut world = World::homeward(3, "active-passive");
    for step in [
        Step::Tick(60),
        Step::Health(0, 2),
        Step::Tick(60),
        Step::Tick(60),
        Step::Tick(60),
        Step::Drain(false),
        Step::Peace,
    ] {
        world.run(&step);
    }
    assert_eq!(
        (world.homeward, world.routes.is_active(&region(0))),
        (0, false)
    );
    world.run(&Step::Drain(true));
    world.run(&Step::Peace);
    assert_eq!(
        (world.homeward, world.routes.is_active(&region(0))),
        (1, true)
    );
}
