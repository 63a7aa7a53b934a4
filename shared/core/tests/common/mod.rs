//! What the tests of decisions have in common: a small, quiet world that each test disturbs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::pedantic,
    dead_code,
    reason = "a broken assumption must fail the test; not every test uses everything"
)]

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sentinel_core::alarm::{AlarmKind, AlarmState, AlarmTransition, Suppression, Via};
use sentinel_core::decide::{
    Assessment, Decision, Drain, Drift, Observation, Order, Pending, Redrives, Request, WayHome,
    Wish, decide,
};
use sentinel_core::evidence::{EVIDENCE_SCHEMA, Evidence, MemberEvidence, Observer, Verdict};
use sentinel_core::guard::{Guard, GuardReport};
use sentinel_core::names::{AlarmArn, Region};
use sentinel_core::routes::{Dial, Route, Routes};
use sentinel_core::settings::Settings;
use sentinel_core::state::{
    Actor, Change, Incident, Kind, Plan, Settled, Source, State, Trigger, incident_id,
};
use sentinel_core::triggers::AlarmNow;

/// Home.
pub(crate) const A: &str = "us-east-1";
/// The second in order of preference.
pub(crate) const B: &str = "eu-west-1";
/// The third.
pub(crate) const C: &str = "ap-northeast-1";

/// Seventeen Regions, the most that an access point can have.
pub(crate) const REGIONS: [&str; 17] = [
    A,
    B,
    C,
    "us-west-2",
    "sa-east-1",
    "eu-central-1",
    "ap-southeast-2",
    "ap-southeast-1",
    "ap-south-1",
    "ca-central-1",
    "eu-north-1",
    "eu-west-2",
    "eu-west-3",
    "us-east-2",
    "us-west-1",
    "ap-northeast-2",
    "ap-northeast-3",
];

pub(crate) fn region(name: &str) -> Region {
    name.parse().unwrap()
}

pub(crate) fn set(names: &[&str]) -> BTreeSet<Region> {
    names.iter().map(|name| region(name)).collect()
}

pub(crate) fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// The moment at which the tests decide.
pub(crate) fn now() -> Timestamp {
    "2026-11-20T17:00:00Z".parse().unwrap()
}

/// So many seconds before [`now`].
pub(crate) fn ago(seconds: i64) -> Timestamp {
    now().checked_sub(secs(seconds)).unwrap()
}

/// So many seconds after [`now`].
pub(crate) fn later(seconds: i64) -> Timestamp {
    now().checked_add(secs(seconds)).unwrap()
}

pub(crate) fn settings(members: usize, extra: &[(&str, &str)]) -> Settings {
    let list: Vec<String> = REGIONS[..members]
        .iter()
        .map(|name| format!("app-{name}@{name}"))
        .collect();
    let mut variables: BTreeMap<String, String> = [
        (
            "MRAP_ARN",
            "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
        ),
        ("STATE_BUCKET", "sentinel-state"),
        ("TOPIC_ARNS", "arn:aws:sns:us-east-2:111122223333:pages"),
        ("MODE", "automatic"),
    ]
    .into_iter()
    .chain(extra.iter().copied())
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    variables.insert("MEMBERS".to_owned(), list.join(","));
    Settings::from_lookup(|name| variables.get(name).cloned()).unwrap()
}

/// Routes with these dials, in the order of [`REGIONS`].
pub(crate) fn dials(dials: &[i32]) -> Routes {
    dials
        .iter()
        .zip(REGIONS)
        .map(|(dial, name)| Route {
            bucket: format!("app-{name}").parse().unwrap(),
            region: region(name),
            dial: Dial::from(*dial),
        })
        .collect::<Vec<_>>()
        .into()
}

/// An observation, a state and settings that belong together.
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) state: State,
    pub(crate) routes: Routes,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) drift: Drift,
    pub(crate) pending: BTreeMap<(Region, Region), Pending>,
    pub(crate) way_home: WayHome,
    pub(crate) blocking_alarms: BTreeMap<AlarmArn, AlarmNow>,
    pub(crate) now: Timestamp,
}

impl World {
    /// All is well: everybody good for two hours, everything replicated, nothing drifted,
    /// nothing on record.
    pub(crate) fn quiet(active: &[i32]) -> Self {
        let settings = settings(active.len(), &[]);
        let routes = dials(active);
        let regions: Vec<Region> = settings.members.regions().cloned().collect();
        let mut state = State::first(settings.mrap.clone(), ago(86_400));
        state.settled = Some(Settled {
            routes: routes.clone(),
            at: ago(86_400),
        });
        let seen: BTreeMap<Region, Timestamp> = regions
            .iter()
            .map(|origin| (origin.clone(), ago(10)))
            .collect();
        let evidence = Evidence {
            schema: EVIDENCE_SCHEMA,
            observed_at: ago(5),
            observer: Observer::Well,
            vantage_points: 1,
            members: regions
                .iter()
                .map(|region| MemberEvidence {
                    region: region.clone(),
                    verdict: Verdict::Good,
                    detail: "canary written and read in 42 ms".to_owned(),
                    since: ago(7200),
                    last_write: Some(ago(5)),
                    seen: seen.clone(),
                    out_of_scope: BTreeMap::new(),
                    passed_over: BTreeSet::new(),
                    tracked: None,
                    latency_millis: None,
                    bad_rounds: 0,
                })
                .collect(),
            run: None,
            pairs: Vec::new(),
            serving: None,
            self_test_at: None,
        };
        let nothing_pending = |source: &Region, target: &Region| {
            let metrics = Pending {
                operations: 0,
                at: ago(60),
            };
            ((source.clone(), target.clone()), metrics)
        };
        let pairs = || {
            regions.iter().flat_map(|source| {
                let others = regions.iter().filter(move |target| *target != source);
                others.map(move |target| (source, target))
            })
        };
        let pending = pairs()
            .map(|(source, target)| nothing_pending(source, target))
            .collect();
        let drains = pairs()
            .map(|(source, target)| ((source.clone(), target.clone()), vec![drained(0)]))
            .collect();
        Self {
            settings,
            state,
            routes,
            evidence: Some(evidence),
            drift: Drift::Known {
                observed_at: ago(1800),
                findings: BTreeMap::new(),
                unknown: BTreeMap::new(),
            },
            pending,
            way_home: WayHome {
                drains,
                redrives: Redrives::Known(Vec::new()),
            },
            blocking_alarms: BTreeMap::new(),
            now: now(),
        }
    }

    /// Changes settings by their names; members stay.
    pub(crate) fn set(&mut self, extra: &[(&str, &str)]) {
        self.settings = settings(self.settings.members.iter().count(), extra);
    }

    /// Turns the dials, as accounted for.
    pub(crate) fn route(&mut self, active: &[i32]) {
        self.routes = dials(active);
        self.state.settled = Some(Settled {
            routes: self.routes.clone(),
            at: ago(86_400),
        });
    }

    pub(crate) fn member(&mut self, name: &str) -> &mut MemberEvidence {
        self.evidence
            .as_mut()
            .unwrap()
            .members
            .iter_mut()
            .find(|member| member.region == region(name))
            .unwrap()
    }

    /// The probes give this verdict since so many seconds.
    pub(crate) fn health(&mut self, name: &str, verdict: Verdict, for_seconds: i64) {
        let member = self.member(name);
        member.verdict = verdict;
        member.since = ago(for_seconds);
        member.detail = match verdict {
            Verdict::Good => "canary written and read in 42 ms",
            Verdict::Bad => "canary write: no answer in time",
            Verdict::Throttled => "canary write: HTTP 503 SlowDown",
            Verdict::Misconfigured => "canary write: HTTP 403 AccessDenied",
            Verdict::ObserverSick => "canary write: no credentials (timed out)",
            Verdict::Unknown => "nothing was asked",
        }
        .to_owned();
    }

    /// Bad for two minutes, with an alarm that says so.
    pub(crate) fn outage(&mut self, name: &str) {
        self.health(name, Verdict::Bad, 120);
        self.member(name).last_write = Some(ago(125));
        for member in &mut self.evidence.as_mut().unwrap().members {
            member.seen.insert(region(name), ago(130));
        }
        self.alarm(name);
    }

    /// An alarm opened a trigger a minute ago, confirmed ten seconds ago.
    pub(crate) fn alarm(&mut self, name: &str) -> &mut Trigger {
        let trigger = Trigger {
            region: region(name),
            source: alarm_source(name),
            since: ago(57),
            last_confirmed: ago(10),
            quiet: None,
        };
        self.state
            .open_incident(trigger.since, &trigger.region, self.now);
        self.state.triggers.push(trigger);
        self.state.triggers.last_mut().unwrap()
    }

    /// A change of the routes from before, so many seconds ago. The routes stay as they are.
    pub(crate) fn changed(&mut self, by: Actor, from: &[&str], to: &[&str], seconds_ago: i64) {
        self.state.changes.push(Change {
            at: ago(seconds_ago),
            by,
            kind: (by == Actor::Automatic).then_some(Kind::Failover),
            incident: None,
            decision: None,
            from: set(from),
            to: set(to),
            before: self.routes.moved(&set(to), &set(from)),
            after: self.routes.clone(),
            reason: "earlier".to_owned(),
        });
    }

    pub(crate) fn observation(&self) -> Observation<'_> {
        Observation {
            routes: &self.routes,
            evidence: self.evidence.as_ref(),
            drift: &self.drift,
            pending: &self.pending,
            way_home: &self.way_home,
            blocking_alarms: &self.blocking_alarms,
        }
    }

    pub(crate) fn ask(&self, wish: Wish) -> Decision {
        let request = Request {
            id: "request-1".to_owned(),
            wish,
        };
        decide(
            self.observation(),
            &self.state,
            &self.settings,
            &request,
            self.now,
        )
    }

    /// What the tick decides.
    pub(crate) fn tick(&self) -> Decision {
        self.ask(Wish::Triggers { approved: false })
    }
}

/// Ten minutes of metrics up to a minute ago, with at most so many operations pending.
pub(crate) fn drained(most: u64) -> Drain {
    Drain {
        last: ago(60),
        covered: secs(600),
        gap: secs(60),
        most,
        most_at: ago(120),
    }
}

/// An operator's order; empty slices leave the choice to the machine.
pub(crate) fn order(from: &[&str], to: &[&str], overrides: &[Guard]) -> Order {
    Order {
        from: set(from),
        to: set(to),
        reason: "game day".to_owned(),
        overrides: overrides.iter().copied().collect(),
    }
}

pub(crate) fn alarm_arn(name: &str) -> AlarmArn {
    format!("arn:aws:cloudwatch:us-east-2:111122223333:alarm:mrap-sentinel-down-{name}")
        .parse()
        .unwrap()
}

pub(crate) fn alarm_source(name: &str) -> Source {
    Source::Alarm {
        arn: alarm_arn(name),
        contributor: None,
    }
}

/// A metric alarm's transition.
pub(crate) fn transition(name: &str, state: AlarmState, changed_at: Timestamp) -> AlarmTransition {
    let arn = alarm_arn(name);
    AlarmTransition {
        name: arn.name().to_owned(),
        arn,
        account: "111122223333".to_owned(),
        state,
        previous: None,
        changed_at,
        reason: None,
        kind: AlarmKind::Metric,
        suppression: None,
        via: Via::EventBridge,
        metrics: Vec::new(),
        expressions: Vec::new(),
        children: Vec::new(),
        contributor: None,
    }
}

pub(crate) fn muted(until: Option<Timestamp>) -> Option<Suppression> {
    Some(Suppression::Muted {
        by: "arn:aws:cloudwatch:us-east-2:111122223333:alarm-mute-rule:night-work".to_owned(),
        until,
    })
}

pub(crate) fn suppressed() -> Option<Suppression> {
    Some(Suppression::Suppressed {
        by: "Alarm".to_owned(),
        reason: None,
    })
}

/// A plan from these dials to those.
pub(crate) fn plan(before: &[i32], after: &[i32], by: Actor, asked_at: Timestamp) -> Plan {
    let (before, after) = (dials(before), dials(after));
    let from: BTreeSet<Region> = before
        .active()
        .difference(&after.active())
        .cloned()
        .collect();
    Plan {
        decision: format!("{before}>{after}"),
        incident: incident_id(asked_at, from.first().unwrap_or(&region(A))),
        kind: Kind::Failover,
        by,
        from,
        to: after.active(),
        before,
        after,
        reason: "because".to_owned(),
        guards: Vec::new(),
        asked_at,
        accepts: BTreeSet::new(),
    }
}

pub(crate) fn incident(id_region: &str, since: Timestamp) -> Incident {
    Incident {
        id: incident_id(since, &region(id_region)),
        opened_at: since,
        routes_before: None,
        notes: Vec::new(),
    }
}

#[track_caller]
pub(crate) fn assessed(decision: &Decision) -> &Assessment {
    decision
        .assessment()
        .unwrap_or_else(|| panic!("nothing was considered: {decision:?}"))
}

#[track_caller]
pub(crate) fn report(decision: &Decision, guard: Guard) -> GuardReport {
    assessed(decision)
        .plan
        .guards
        .iter()
        .find(|report| report.guard == guard)
        .unwrap()
        .clone()
}

/// The dials after the change, or a panic that shows why there is none.
#[track_caller]
pub(crate) fn acts(decision: &Decision) -> Routes {
    match decision {
        Decision::Act(assessment) => assessment.plan.after.clone(),
        other => panic!("does not act: {}", other.explanation()),
    }
}

/// The guards that block, or a panic.
#[track_caller]
pub(crate) fn blocks(decision: &Decision) -> BTreeSet<Guard> {
    match decision {
        Decision::Blocked(assessment) | Decision::Waits(assessment) => assessment.blocking.clone(),
        other => panic!("does not block: {other:?}"),
    }
}
