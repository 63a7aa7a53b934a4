//! What happened in a run: the simulator's truth beside what the function recorded and said.
//!
//! The truth is what the judges go by. What the function recorded serves only to know what it
//! knew and meant: the *evidence at hand* is that of the state document it wrote when it decided.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sentinel_core::readiness::Report;
use sentinel_core::settings::Thresholds;
use sentinel_core::state::{Actor as By, Plan, State};
use serde_json::Value;
use simulator::cloudwatch::AlarmState;
use simulator::truth::{Actor, DownInterval, Published, RouteChange, Transfer};
use simulator::{LogEntry, SimTime};

use crate::backlog::Backlog;
use crate::scenario::Stage;

/// A deployed function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    /// Turns the dial.
    Failover,
    /// Probes the members, writes the evidence and wakes the first one.
    HealthCheck,
    /// Collects what replication failed to copy.
    ReplicationEvents,
    /// Has it copied again.
    Redrive,
    /// Finds what would make a failover lose data.
    Readiness,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Failover,
        Self::HealthCheck,
        Self::ReplicationEvents,
        Self::Redrive,
        Self::Readiness,
    ];

    /// The name of its binary, and how the labels of its environments begin.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::HealthCheck => "health-check",
            Self::ReplicationEvents => "replication-events",
            Self::Redrive => "redrive",
            Self::Readiness => "readiness-check",
        }
    }

    /// The function that an execution environment runs, by the environment's label.
    #[must_use]
    pub fn of(environment: &str) -> Option<Self> {
        let (name, _) = environment.rsplit_once('-')?;
        Self::ALL
            .into_iter()
            .find(|function| function.name() == name)
    }
}

/// What started an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The schedule.
    Tick,
    /// So many messages of the queue.
    Messages(usize),
    /// A state change of an alarm: its name and new state, and the payload's shape.
    Alarm {
        /// Alarm name and new state.
        what: String,
        /// `EventBridge`, `action` or `SNS`.
        shape: &'static str,
    },
    /// The health check's wake-up over the topic: the Region it is about.
    Wake(String),
    /// An operator: the command's name.
    Operator(String),
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// With an answer.
    Answered(Value),
    /// With an error.
    Failed(String),
    /// Lambda's time limit came first.
    TimedOut,
    /// The process died.
    Crashed,
}

/// One attempt at an invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// What was invoked.
    pub function: Function,
    /// Request id; the same for retries.
    pub request_id: String,
    /// 1 for the first.
    pub attempt: u32,
    /// Label of the execution environment, which is its HTTP client's label.
    pub environment: String,
    /// What started it.
    pub cause: Cause,
    /// When it began.
    pub started: SimTime,
    /// When it ended.
    pub ended: SimTime,
    /// How.
    pub ending: Ending,
    /// Requests that it sent.
    pub requests: u64,
    /// Requests to the routes API or the state store that met a fault of the world.
    pub hindered: u64,
}

impl Invocation {
    /// The outcome of its answer.
    #[must_use]
    pub fn outcome(&self) -> Option<&str> {
        match &self.ending {
            Ending::Answered(answer) => answer.get("outcome")?.as_str(),
            _ => None,
        }
    }
}

/// A line that the function printed.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// When.
    pub at: SimTime,
    /// Execution environment.
    pub environment: String,
    /// The line.
    pub text: String,
}

/// What became of the messages of the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Letters {
    /// Messages that arrived, duplicates of the sender included.
    pub sent: u64,
    /// Deliveries that the queue repeated without a reason.
    pub repeated: u64,
    /// Messages that are still there at the end, received or not.
    pub left: usize,
    /// Bodies of those that nobody could use.
    pub dead: Vec<String>,
}

/// What an outside prober saw of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// When the probe ended.
    pub at: SimTime,
    /// Member Region.
    pub region: String,
    /// Whether the member answered.
    pub ok: bool,
}

/// What became of a client's operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// Success.
    Ok,
    /// The service answered, but an object that was acknowledged before is not there (yet).
    Absent,
    /// No useful answer, retries included.
    Failed,
}

/// An operation of the client workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRequest {
    /// When it was sent.
    pub sent: SimTime,
    /// When its outcome was known.
    pub done: SimTime,
    /// Whether it wrote.
    pub write: bool,
    /// What became of it.
    pub served: Served,
}

/// A write that the client was told had succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// When the client knew.
    pub at: SimTime,
    /// Key.
    pub key: String,
    /// Version.
    pub version: String,
    /// The bucket that took it, by the simulator's account.
    pub bucket: String,
}

/// A version of the client's data in one bucket at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// When it became readable there.
    pub since: SimTime,
    /// Where it was copied to, per bucket.
    pub transfers: BTreeMap<String, Transfer>,
}

/// Versions of the client's data: by key and version, then bucket.
pub type Data = BTreeMap<(String, String), BTreeMap<String, Held>>;

/// What happened, completely.
#[derive(Debug, Clone)]
pub struct History {
    /// What it was to be.
    pub stage: Stage,
    /// Calendar time of the start.
    pub epoch: Timestamp,
    /// When it ended.
    pub end: SimTime,
    /// The thresholds in force.
    pub thresholds: Thresholds,
    /// Truth: every submission of routes.
    pub routes: Vec<RouteChange>,
    /// Which invocation sent a submission: request id by log position.
    pub submissions: BTreeMap<u64, String>,
    /// Every version of the state document, with its time.
    pub states: Vec<(SimTime, State)>,
    /// Every version of the readiness check's report, in order.
    pub reports: Vec<(SimTime, Report)>,
    /// Truth: every publication.
    pub published: Vec<Published>,
    /// Truth: every state change of the watchdog's alarm, which sends its own message.
    pub watchdog: Vec<(SimTime, AlarmState)>,
    /// Truth: spans in which a Region was down.
    pub outages: Vec<DownInterval>,
    /// Every attempt at an invocation, by start.
    pub invocations: Vec<Invocation>,
    /// Everything that the function printed.
    pub lines: Vec<Line>,
    /// What the outside prober saw, by time.
    pub probes: Vec<Probe>,
    /// What the clients asked for, by time of the outcome.
    pub requests: Vec<ClientRequest>,
    /// What the clients were told is safe.
    pub acknowledged: Vec<Acknowledged>,
    /// Truth: the client's data at the end.
    pub data: Data,
    /// Truth: versions that somebody deleted for good: bucket, key, version.
    pub deleted: BTreeSet<(String, String, String)>,
    /// What replication failed to copy, and what became of it.
    pub backlog: Backlog,
    /// Current version of each key, per bucket, at the end.
    pub current: BTreeMap<String, BTreeMap<String, String>>,
    /// Every request that anybody sent.
    pub log: Vec<LogEntry>,
    /// SHA-256 of the full request log.
    pub log_hash: String,
}

/// Who changed the routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mover {
    /// The function, by itself.
    Machine,
    /// An operator through the function.
    Operator,
    /// Somebody in the console.
    Console,
}

impl Mover {
    /// Whether a person wanted it.
    #[must_use]
    pub fn is_person(self) -> bool {
        self != Self::Machine
    }
}

/// A change of the routes that really happened and changed something.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// When it was accepted.
    pub at: SimTime,
    /// When it was decided: the claim's time, else the same.
    pub decided: SimTime,
    /// Active Regions before.
    pub before: BTreeSet<String>,
    /// Active Regions after.
    pub after: BTreeSet<String>,
    /// Who did it.
    pub by: Mover,
    /// The invocation that sent it.
    pub request_id: Option<String>,
    /// What the function had claimed for it.
    pub plan: Option<Plan>,
    /// Position of the state version that holds the claim.
    pub claim: Option<usize>,
}

impl Move {
    /// Regions that stopped serving.
    #[must_use]
    pub fn from(&self) -> BTreeSet<String> {
        self.before.difference(&self.after).cloned().collect()
    }

    /// Regions that began to serve.
    #[must_use]
    pub fn to(&self) -> BTreeSet<String> {
        self.after.difference(&self.before).cloned().collect()
    }
}

impl History {
    /// A calendar time as a moment of the run.
    #[must_use]
    pub fn moment(&self, at: Timestamp) -> SimTime {
        let millis = at.duration_since(self.epoch).as_millis();
        SimTime::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// The calendar time of a moment.
    ///
    /// # Panics
    /// If it is more than 292 million years away.
    #[must_use]
    pub fn calendar(&self, at: SimTime) -> Timestamp {
        let millis = i64::try_from(at.as_millis()).expect("a short run");
        self.epoch + jiff::SignedDuration::from_millis(millis)
    }

    /// The changes of the routes that changed something, in order, the start aside.
    #[must_use]
    pub fn moves(&self) -> Vec<Move> {
        self.routes
            .iter()
            .filter(|change| change.by != Actor::Start && change.before != change.after)
            .map(|change| self.explain(change))
            .collect()
    }

    fn explain(&self, change: &RouteChange) -> Move {
        let active = |routes: &[simulator::truth::Route]| -> BTreeSet<String> {
            let active = routes.iter().filter(|route| route.dial == 100);
            active.map(|route| route.region.clone()).collect()
        };
        let request_id = match &change.by {
            Actor::Client { seq, .. } => self.submissions.get(seq).cloned(),
            Actor::Start | Actor::Person => None,
        };
        let mut explained = Move {
            at: change.at,
            decided: change.at,
            before: active(&change.before),
            after: active(&change.after),
            by: match &change.by {
                Actor::Client { .. } => Mover::Operator,
                Actor::Start | Actor::Person => Mover::Console,
            },
            claim: None,
            plan: None,
            request_id,
        };
        if let Some((position, at, plan)) = self.claim_of(&explained) {
            explained.decided = at;
            if plan.by == By::Automatic {
                explained.by = Mover::Machine;
            }
            explained.plan = Some(plan);
            explained.claim = Some(position);
        }
        explained
    }

    /// The last claim of the invocation that intended what happened.
    fn claim_of(&self, moved: &Move) -> Option<(usize, SimTime, Plan)> {
        let request_id = moved.request_id.as_deref()?;
        let versions = self.states.iter().enumerate().rev();
        let claims = versions.filter_map(|(position, (at, state))| {
            let claim = state.claim.as_ref()?;
            let ours = claim.request_id == request_id
                && self.moment(claim.claimed_at) <= moved.at
                && regions(&claim.plan.after.active()) == moved.after;
            ours.then_some((position, *at, claim))
        });
        // The version that made the claim is the oldest one that holds it.
        let mut found: Option<(usize, SimTime, Plan, Timestamp)> = None;
        for (position, _, claim) in claims {
            match &found {
                Some((_, _, _, claimed)) if *claimed != claim.claimed_at => break,
                _ => {
                    let decided = self.moment(claim.claimed_at);
                    found = Some((position, decided, claim.plan.clone(), claim.claimed_at));
                }
            }
        }
        found.map(|(position, decided, plan, _)| (position, decided, plan))
    }

    /// The active Regions at a moment.
    #[must_use]
    pub fn active_at(&self, at: SimTime) -> BTreeSet<String> {
        let past = self.routes.iter().rev().find(|change| change.at <= at);
        past.map(|change| {
            let active = change.after.iter().filter(|route| route.dial == 100);
            active.map(|route| route.region.clone()).collect()
        })
        .unwrap_or_default()
    }

    /// What the prober saw of a Region between two moments.
    pub fn probes_of(
        &self,
        region: &str,
        from: SimTime,
        until: SimTime,
    ) -> impl Iterator<Item = &Probe> {
        self.probes
            .iter()
            .filter(move |probe| probe.region == region && probe.at >= from && probe.at <= until)
    }

    /// Invocations of `failover` by an operator's command that were answered with this outcome.
    pub fn commands(&self, outcome: &str) -> impl Iterator<Item = &Invocation> {
        self.invoked(Function::Failover).filter(move |invocation| {
            matches!(invocation.cause, Cause::Operator(_)) && invocation.outcome() == Some(outcome)
        })
    }

    /// The invocations of a function.
    pub fn invoked(&self, function: Function) -> impl Iterator<Item = &Invocation> {
        let all = self.invocations.iter();
        all.filter(move |invocation| invocation.function == function)
    }

    /// The log lines of a function, parsed; metrics aside.
    pub fn said(&self, function: Function) -> impl Iterator<Item = (SimTime, Value)> {
        let lines = self.lines.iter();
        let lines = lines.filter(move |line| Function::of(&line.environment) == Some(function));
        lines.filter_map(|line| {
            let value: Value = serde_json::from_str(&line.text).ok()?;
            value.get("_aws").is_none().then_some((line.at, value))
        })
    }

    /// The publications on the first topic that took each: one for every time that it was told.
    #[must_use]
    pub fn pages(&self) -> Vec<&Published> {
        let mut told: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut most: BTreeMap<&str, usize> = BTreeMap::new();
        let mut pages = Vec::new();
        for one in &self.published {
            let id = event_id(one);
            let here = told.entry((id, one.topic_arn.as_str())).or_default();
            *here += 1;
            let most = most.entry(id).or_default();
            if *here > *most {
                *most = *here;
                pages.push(one);
            }
        }
        pages
    }

    /// The pages about an event, one for each event id.
    #[must_use]
    pub fn events(&self, event: &str) -> BTreeMap<&str, &Published> {
        let mut events = BTreeMap::new();
        for one in &self.published {
            if attribute(one, "event") == event {
                events.entry(event_id(one)).or_insert(one);
            }
        }
        events
    }
}

/// Names of Regions.
#[must_use]
pub fn regions(set: &BTreeSet<sentinel_core::names::Region>) -> BTreeSet<String> {
    set.iter().map(ToString::to_string).collect()
}

/// Regions in a row.
#[must_use]
pub fn list(set: &BTreeSet<String>) -> String {
    if set.is_empty() {
        return "nobody".to_owned();
    }
    set.iter().cloned().collect::<Vec<_>>().join(", ")
}

/// A message attribute, empty if absent.
#[must_use]
pub fn attribute<'a>(published: &'a Published, name: &str) -> &'a str {
    published.attributes.get(name).map_or("", String::as_str)
}

/// The stable id of what a publication tells.
#[must_use]
pub fn event_id(published: &Published) -> &str {
    attribute(published, "event_id")
}

/// The JSON document of a publication.
#[must_use]
pub fn body(published: &Published) -> Value {
    let by_protocol: Value = serde_json::from_str(&published.message).unwrap_or_default();
    let text = by_protocol.get("lambda").and_then(Value::as_str);
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}
