//! Hand-made histories: a quiet world of two members in which tests let things happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use sentinel_core::announce::{Announcement, Event, Severity};
use sentinel_core::evidence::{EVIDENCE_SCHEMA, Evidence, MemberEvidence, Observer, Verdict};
use sentinel_core::guard::{Guard, GuardReport, GuardVerdict};
use sentinel_core::ledger::{Group, How, Identity};
use sentinel_core::names::{MrapArn, Region};
use sentinel_core::routes::{Dial, Route as CoreRoute, Routes};
use sentinel_core::settings::Thresholds;
use sentinel_core::state::{Actor as By, Change, Claim, Kind, Plan, State};
use serde_json::{Value, json};
use simulator::SimTime;
use simulator::truth::{Actor, Published, Route, RouteChange};

use crate::backlog::{Backlog, FailedCopy, Job, OpenRow};
use crate::history::{
    Acknowledged, Cause, Ending, Function, Held, History, Invocation, Line, Probe,
};
use crate::mrap_arn;
use crate::scenario::Stage;

pub(crate) const USE1: &str = "us-east-1";
pub(crate) const EUW1: &str = "eu-west-1";

/// A history under construction. Moments are whole seconds since the start.
pub(crate) struct Story {
    pub(crate) history: History,
    /// The guard that an operator overrode in the moves that follow.
    pub(crate) overridden: Option<Guard>,
    moves: u64,
}

fn bucket(region: &str) -> &'static str {
    if region == USE1 {
        "app-use1"
    } else {
        "app-euw1"
    }
}

fn name(region: &str) -> Region {
    region.parse().unwrap()
}

fn routes_to(active: &str) -> Routes {
    let route = |region: &str| CoreRoute {
        bucket: bucket(region).parse().unwrap(),
        region: name(region),
        dial: if region == active {
            Dial::Active
        } else {
            Dial::Passive
        },
    };
    Routes::from(vec![route(USE1), route(EUW1)])
}

fn truth(dials: &[(&str, u8)]) -> Vec<Route> {
    dials
        .iter()
        .map(|(region, dial)| Route {
            bucket: bucket(region).to_owned(),
            region: (*region).to_owned(),
            dial: *dial,
        })
        .collect()
}

impl Story {
    pub(crate) fn new() -> Self {
        let start = truth(&[(USE1, 100), (EUW1, 0)]);
        let history = History {
            stage: Stage::default(),
            epoch: "2026-11-20T16:00:00Z".parse().unwrap(),
            end: SimTime::from_secs(30_000),
            thresholds: Thresholds::default(),
            routes: vec![RouteChange {
                at: SimTime::ZERO,
                by: Actor::Start,
                before: start.clone(),
                after: start,
                effective: BTreeMap::new(),
            }],
            submissions: BTreeMap::new(),
            states: Vec::new(),
            reports: Vec::new(),
            published: Vec::new(),
            watchdog: Vec::new(),
            outages: Vec::new(),
            invocations: Vec::new(),
            lines: Vec::new(),
            probes: Vec::new(),
            requests: Vec::new(),
            acknowledged: Vec::new(),
            data: BTreeMap::new(),
            current: BTreeMap::new(),
            deleted: BTreeSet::new(),
            backlog: Backlog::default(),
            log: Vec::new(),
            log_hash: String::new(),
        };
        Self {
            history,
            overridden: None,
            moves: 0,
        }
    }

    fn calendar(&self, at: u64) -> Timestamp {
        self.history.calendar(SimTime::from_secs(at))
    }

    /// The latest state, to be written anew.
    fn state(&self, at: u64) -> State {
        let mrap: MrapArn = mrap_arn().parse().unwrap();
        let last = self.history.states.last();
        last.map_or_else(
            || State::first(mrap, self.calendar(at)),
            |(_, state)| state.clone(),
        )
    }

    fn write(&mut self, at: u64, state: State) {
        self.history.states.push((SimTime::from_secs(at), state));
    }

    pub(crate) fn sees(&mut self, at: u64, members: &[(&str, Verdict)]) {
        let members: Vec<_> = members
            .iter()
            .map(|(region, verdict)| (*region, *verdict, at))
            .collect();
        self.sees_since(at, &members);
    }

    /// The function writes down evidence: verdicts and since when.
    pub(crate) fn sees_since(&mut self, at: u64, members: &[(&str, Verdict, u64)]) {
        let mut state = self.state(at);
        let member = |(region, verdict, since): &(&str, Verdict, u64)| MemberEvidence {
            region: name(region),
            verdict: *verdict,
            detail: String::new(),
            since: self.calendar(*since),
            last_write: None,
            seen: BTreeMap::new(),
            out_of_scope: BTreeMap::new(),
            passed_over: BTreeSet::new(),
            tracked: None,
            latency_millis: None,
            bad_rounds: 0,
        };
        state.evidence = Some(Evidence {
            schema: EVIDENCE_SCHEMA,
            observed_at: self.calendar(at),
            observer: Observer::Well,
            vantage_points: 1,
            members: members.iter().map(member).collect(),
            run: None,
            pairs: Vec::new(),
            serving: None,
            self_test_at: None,
        });
        self.write(at, state);
    }

    pub(crate) fn routes(&mut self, at: u64, label: &str, dials: &[(&str, u8)]) -> u64 {
        self.moves += 1;
        self.history.routes.push(RouteChange {
            at: SimTime::from_secs(at),
            by: Actor::Client {
                label: label.to_owned(),
                seq: self.moves,
            },
            before: self.history.routes.last().unwrap().after.clone(),
            after: truth(dials),
            effective: BTreeMap::new(),
        });
        self.moves
    }

    fn plan(&self, at: u64, from: &str, to: &str) -> Plan {
        let report = |guard: Guard| GuardReport {
            guard,
            verdict: GuardVerdict::Block,
            detail: String::new(),
            overridden: true,
        };
        Plan {
            decision: format!("d{}", self.moves + 1),
            incident: "i".to_owned(),
            kind: Kind::Failover,
            by: By::Automatic,
            from: [name(from)].into(),
            to: [name(to)].into(),
            before: routes_to(from),
            after: routes_to(to),
            reason: String::new(),
            guards: self.overridden.map(report).into_iter().collect(),
            asked_at: self.calendar(at),
            accepts: BTreeSet::new(),
        }
    }

    /// The machine claims and makes a change.
    pub(crate) fn moves(&mut self, at: u64, from: &str, to: &str) {
        let mut state = self.state(at);
        let request_id = format!("r{}", self.moves + 1);
        state.claim = Some(Claim {
            request_id: request_id.clone(),
            plan: self.plan(at, from, to),
            claimed_at: self.calendar(at),
            expires: self.calendar(at + 90),
        });
        self.write(at, state.clone());
        let seq = self.routes(at, "failover-1", &[(from, 0), (to, 100)]);
        self.history.submissions.insert(seq, request_id);
        state.claim = None;
        self.write(at + 1, state);
    }

    /// The same as a failback.
    pub(crate) fn goes_home(&mut self, at: u64, from: &str, to: &str) {
        self.moves(at, from, to);
        for (_, state) in self.history.states.iter_mut().rev().take(2) {
            if let Some(claim) = &mut state.claim {
                claim.plan.kind = Kind::Failback;
            }
        }
    }

    /// A change is recorded in the state document.
    pub(crate) fn records(&mut self, at: u64, from: &str, to: &str) {
        let mut state = self.state(at);
        state.changes.push(Change {
            at: self.calendar(at),
            by: By::Automatic,
            kind: Some(Kind::Failover),
            incident: Some("i".to_owned()),
            decision: Some(format!("d{}", self.moves)),
            from: [name(from)].into(),
            to: [name(to)].into(),
            before: routes_to(from),
            after: routes_to(to),
            reason: String::new(),
        });
        self.write(at, state);
    }

    /// Somebody in the console makes a change.
    pub(crate) fn console(&mut self, at: u64, from: &str, to: &str) {
        self.routes(at, "", &[(from, 0), (to, 100)]);
        self.history.routes.last_mut().unwrap().by = Actor::Person;
    }

    pub(crate) fn probe(&mut self, at: u64, region: &str, ok: bool) {
        self.history.probes.push(Probe {
            at: SimTime::from_secs(at),
            region: region.to_owned(),
            ok,
        });
    }

    /// An operator's command is answered.
    pub(crate) fn operator(&mut self, at: u64, command: &str, outcome: &str) {
        self.operator_of(Function::Failover, at, command, outcome);
    }

    /// An operator's command is answered by a function.
    pub(crate) fn operator_of(
        &mut self,
        function: Function,
        at: u64,
        command: &str,
        outcome: &str,
    ) {
        self.history.invocations.push(Invocation {
            function,
            request_id: format!("{command} at {at}"),
            attempt: 1,
            environment: format!("{}-2", function.name()),
            cause: Cause::Operator(command.to_owned()),
            started: SimTime::from_secs(at),
            ended: SimTime::from_secs(at + 1),
            ending: Ending::Answered(json!({"outcome": outcome})),
            requests: 3,
            hindered: 0,
        });
    }

    pub(crate) fn outbox(&mut self, at: u64, event_id: &str) {
        let mut state = self.state(at);
        state.outbox.push(Announcement {
            event_id: event_id.to_owned(),
            event: Event::Submitted,
            severity: Severity::Critical,
            incident: None,
            region: USE1.to_owned(),
            mrap: mrap_arn().parse().unwrap(),
            subject: String::new(),
            text: String::new(),
            body: Value::Null,
            at: self.calendar(at),
        });
        self.write(at, state);
    }

    pub(crate) fn publishes(&mut self, at: u64, event_id: &str, event: &str, decision: &str) {
        self.publish(at, event_id, event, &json!({"decision": decision}));
    }

    pub(crate) fn publishes_block(&mut self, at: u64, event_id: &str, guard: &str) {
        self.publish(at, event_id, "blocked", &block(guard));
    }

    fn publish(&mut self, at: u64, event_id: &str, event: &str, document: &Value) {
        let attributes = [("event_id", event_id), ("event", event)];
        self.history.published.push(Published {
            at: SimTime::from_secs(at),
            client: "failover-1".to_owned(),
            seq: 0,
            topic_arn: "topic".to_owned(),
            message_id: String::new(),
            subject: Some("CRITICAL: something".to_owned()),
            message: json!({"default": "", "lambda": document.to_string()}).to_string(),
            json_structure: true,
            attributes: attributes.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        });
    }

    pub(crate) fn logs_block(&mut self, at: u64, guard: &str) {
        self.history.lines.push(Line {
            at: SimTime::from_secs(at),
            environment: "failover-1".to_owned(),
            text: block(guard).to_string(),
        });
    }

    /// A client is told that a write is safe, and these buckets hold it in the end.
    pub(crate) fn acknowledges(&mut self, at: u64, key: &str, holders: &[&str]) {
        self.history.acknowledged.push(Acknowledged {
            at: SimTime::from_secs(at),
            key: key.to_owned(),
            version: "v".to_owned(),
            bucket: "app-use1".to_owned(),
        });
        let held = Held {
            since: SimTime::from_secs(at),
            transfers: BTreeMap::new(),
        };
        let places = holders
            .iter()
            .map(|bucket| ((*bucket).to_owned(), held.clone()))
            .collect();
        if !holders.is_empty() {
            let version = (key.to_owned(), "v".to_owned());
            self.history.data.insert(version, places);
        }
    }
}

/// What replication fails to copy, always from `app-use1` to `app-euw1`.
impl Story {
    /// S3 gives a version up that a client was told is safe.
    pub(crate) fn fails(&mut self, at: u64, key: &str) {
        let at = SimTime::from_secs(at);
        self.history.backlog.copies.push(FailedCopy {
            source: "app-use1".into(),
            destination: "app-euw1".into(),
            key: key.to_owned(),
            version: "v".to_owned(),
            first: at,
            last: at,
            times: 1,
            reason: "DstBucketUnversioned".into(),
            acknowledged: true,
            arrived: None,
            gone: false,
        });
    }

    /// The one copy that failed.
    pub(crate) fn copy(&mut self) -> &mut FailedCopy {
        self.history.backlog.copies.last_mut().unwrap()
    }

    /// The ledger says how a version was settled.
    pub(crate) fn settles(&mut self, key: &str, how: How) {
        let version = (Identity::of(key, "v"), "app-use1".into(), "app-euw1".into());
        let settled = &mut self.history.backlog.settled;
        settled.insert(version, SimTime::from_secs(1000), how);
    }

    /// A version waits in the ledger.
    pub(crate) fn waits(&mut self, at: u64, key: &str) {
        self.history.backlog.open.push(row(at, key));
    }

    /// A version is given to a person.
    pub(crate) fn hands_over(&mut self, at: u64, key: &str) {
        self.history.backlog.handed_over.push(row(at, key));
    }

    /// People are told of the group.
    pub(crate) fn pages_group(&mut self, at: u64) {
        let Group { reason, .. } = group();
        self.pages(at, ("app-use1", "app-euw1"), &reason);
    }

    /// People are told of a group that goes this way.
    pub(crate) fn pages(&mut self, at: u64, (source, destination): (&str, &str), reason: &str) {
        let group = Group {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            rule: format!("to-{destination}"),
            reason: reason.to_owned(),
        };
        let document = json!({
            "group": group.id().to_string(), "source": source, "destination": destination,
        });
        self.publish(at, "g/held", "replication-failing", &document);
    }

    /// S3 still refuses to replicate at the end.
    pub(crate) fn refuses(&mut self) {
        let pair = ("app-use1".to_owned(), "app-euw1".to_owned());
        let reason = "DstBucketUnversioned".to_owned();
        self.history.backlog.refusals.insert(pair, reason);
    }

    /// A job of S3 over these keys.
    pub(crate) fn job(&mut self, at: u64, takes: u64, keys: &[&str]) {
        let tasks = keys.iter().map(|key| ((*key).to_owned(), "v".to_owned()));
        self.history.backlog.jobs.push(Job {
            id: format!("job-{at}"),
            source: "app-use1".to_owned(),
            created: SimTime::from_secs(at),
            ended: Some(SimTime::from_secs(at + takes)),
            status: "Complete".to_owned(),
            generated: false,
            scanned: 0,
            succeeded: keys.len() as u64,
            tasks: tasks.collect(),
        });
    }
}

fn row(at: u64, key: &str) -> OpenRow {
    OpenRow {
        group: Arc::new(group()),
        key: key.to_owned(),
        version: "v".to_owned(),
        failed_at: SimTime::from_secs(at),
        attempts: 1,
    }
}

fn group() -> Group {
    Group {
        source: "app-use1".parse().unwrap(),
        destination: "app-euw1".parse().unwrap(),
        rule: "to-app-euw1".to_owned(),
        reason: "DstBucketUnversioned".to_owned(),
    }
}

fn block(guard: &str) -> Value {
    json!({
        "outcome": "blocked",
        "incident": "i",
        "by": "automatic",
        "from": [USE1],
        "blocking": [guard],
    })
}
