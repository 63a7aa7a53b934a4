//! The world around the process: an access point with two members, the state bucket, two topics
//! and an alarm about home.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::cloudwatch::{AlarmConfig, AlarmState, Delivery, MetricName};
use simulator::truth::{Actor, RouteChange};
use simulator::{Outage, Simulator, Timing, WorldConfig, server};
use tokio::time::timeout;

use crate::process::{Environment, Function, Output};
use crate::runtime_api::Invocation;

/// The access point's alias.
pub const ALIAS: &str = "mfzwi23gnjvgw.mrap";
/// Home: the preferred member, active at the start.
pub const HOME: &str = "us-east-1";
/// The other member's Region.
pub const AWAY: &str = "eu-west-1";
/// Where the function runs.
pub const CONTROL: &str = "us-east-2";
/// The alarm about home.
pub const ALARM: &str = "home-is-down";
/// The secret access key of the process. Nothing that is printed may contain it.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// Its session token, as secret as the key.
const TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLETOKEN";
/// Bucket and key of the state.
const STATE: (&str, &str) = ("sentinel-state", "state.json");
/// A customer's object in every member. Its key is nobody's business.
const CUSTOMERS_KEY: &str = "invoices/2026/11/jane-doe.pdf";
/// The longest that anything in the world takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A simulated AWS on loopback with everything that the function needs.
#[derive(Debug)]
pub struct Stage {
    simulator: Simulator,
    address: SocketAddr,
}

/// A message as one topic got it.
#[derive(Debug, Clone, PartialEq)]
pub struct Announced {
    /// The topic's Region.
    pub region: String,
    /// Message attributes.
    pub attributes: BTreeMap<String, String>,
    /// The subject.
    pub subject: String,
    /// The text for people.
    pub text: String,
    /// The document for machines.
    pub document: Value,
}

impl Announced {
    /// What happened.
    #[must_use]
    pub fn event(&self) -> &str {
        &self.attributes["event"]
    }

    /// Incident and step.
    #[must_use]
    pub fn event_id(&self) -> &str {
        &self.attributes["event_id"]
    }
}

fn blueprint(seed: u64) -> WorldConfig {
    let failed = MetricName::new("Checkout", "FailedReads").dimension("Region", HOME);
    let config = WorldConfig::new(seed)
        .mrap(ALIAS)
        .member("app-use1", HOME)
        .member("app-euw1", AWAY)
        .bucket(STATE.0, CONTROL)
        .topic(CONTROL, "pages")
        .topic("us-west-2", "pages")
        .topic(CONTROL, "alarms")
        .alarm(
            AlarmConfig::metric(CONTROL, ALARM, failed, 0.5)
                .action("arn:aws:lambda:us-east-2:111122223333:function:failover")
                .action("arn:aws:sns:us-east-2:111122223333:alarms"),
        );
    WorldConfig {
        epoch: crate::now(),
        // The order of things is what counts here; the drill has AWS's own delays.
        timing: Timing {
            service: 1..=3,
            route_propagation: 0..=300,
            replication: 0..=5,
            alarm_delivery: 0..=20,
            ..Timing::default()
        },
        ..config
    }
}

impl Stage {
    /// Builds the world and serves it. All canaries are where they belong.
    pub async fn set(seed: u64) -> Self {
        let simulator = Simulator::new(blueprint(seed));
        let address = server::spawn(simulator.clone()).await.expect("a port");
        simulator.with(|world| {
            for (bucket, region) in [("app-use1", HOME), ("app-euw1", AWAY)] {
                let canary = format!(".mrap-sentinel/{ALIAS}/{region}");
                world.put_object_as_person(bucket, &canary, "canary");
                world.put_object_as_person(bucket, CUSTOMERS_KEY, "an invoice");
            }
        });
        simulator.sleep(Duration::from_millis(50)).await;
        Self { simulator, address }
    }

    /// The world.
    #[must_use]
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// The variables of a process in `MODE=automatic`, with these changes; an empty value unsets.
    #[must_use]
    pub fn environment(&self, changes: &[(&str, &str)]) -> Environment {
        let mrap = format!("arn:aws:s3::111122223333:accesspoint/{ALIAS}");
        let topics = [CONTROL, "us-west-2"]
            .map(|region| format!("arn:aws:sns:{region}:111122223333:pages"))
            .join(",");
        let endpoint = format!("http://{}", self.address);
        let members = format!("app-use1@{HOME},app-euw1@{AWAY}");
        let mut variables: Environment = [
            ("MRAP_ARN", mrap.as_str()),
            ("MEMBERS", &members),
            ("MODE", "automatic"),
            ("STATE_BUCKET", STATE.0),
            ("TOPIC_ARNS", &topics),
            ("TRIGGER_ALARMS", ALARM),
            ("PROBE_TIMEOUT_MILLIS", "1000"),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_REGION", CONTROL),
            ("AWS_ACCESS_KEY_ID", "111122223333"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_SESSION_TOKEN", TOKEN),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        for (name, value) in changes {
            match *value {
                "" => variables.remove(*name),
                value => variables.insert((*name).to_owned(), value.to_owned()),
            };
        }
        variables
    }

    /// Takes home down for good, at once: connections are refused.
    pub fn home_down(&self) {
        let now = self.simulator.now();
        let long = Duration::from_hours(24);
        self.simulator
            .with(|world| world.region_down(Outage::refuse(HOME, now, long)));
    }

    /// Sets the alarm off and waits for its events.
    pub async fn alarm(&self) -> Delivery {
        self.simulator.with(|world| {
            let reason = "Threshold Crossed";
            world.set_alarm_state(CONTROL, ALARM, AlarmState::Alarm, reason);
        });
        timeout(PATIENCE, self.simulator.next_delivery())
            .await
            .expect("a delivery")
    }

    /// Takes home down and sets the alarm off.
    pub async fn outage(&self) -> Delivery {
        self.home_down();
        self.alarm().await
    }

    /// The Regions whose dial is on, by the world's truth.
    #[must_use]
    pub fn active(&self) -> Vec<String> {
        let routes = self.simulator.with(|world| world.routes(ALIAS));
        let active = routes.into_iter().filter(|route| route.dial > 0);
        active.map(|route| route.region).collect()
    }

    /// Every request that changed the routes, by the world's truth.
    #[must_use]
    pub fn changes(&self) -> Vec<RouteChange> {
        let history = self
            .simulator
            .with(|world| world.route_history(ALIAS).to_vec());
        history
            .into_iter()
            .filter(|change| change.by != Actor::Start && change.before != change.after)
            .collect()
    }

    /// The function's state; none before it was first written.
    #[must_use]
    pub fn state(&self) -> Option<Value> {
        let (bucket, key) = STATE;
        let body = self
            .simulator
            .with(|world| Some(world.object(bucket, key)?.body.clone()))?;
        Some(serde_json::from_slice(&body).expect("a JSON document"))
    }

    /// Everything published so far, by both topics, in order.
    #[must_use]
    pub fn announced(&self) -> Vec<Announced> {
        let published = self.simulator.with(|world| world.published().to_vec());
        published
            .into_iter()
            .map(|one| {
                let protocols: Value = serde_json::from_str(&one.message).expect("JSON");
                let text = |name: &str| protocols[name].as_str().expect("a text").to_owned();
                Announced {
                    region: one.topic_arn.split(':').nth(3).expect("an ARN").to_owned(),
                    attributes: one.attributes,
                    subject: one.subject.expect("a subject"),
                    text: text("default"),
                    document: serde_json::from_str(&text("lambda")).expect("JSON"),
                }
            })
            .collect()
    }

    /// Asserts that the state records this one change, its incident, and the routes as they are.
    pub fn assert_recorded_once(&self) {
        let state = self.state().expect("a state");
        let changes = state["changes"].as_array().expect("changes");
        assert_eq!(changes.len(), 1, "{state:#}");
        assert_eq!(changes[0]["incident"], state["incident"]["id"], "{state:#}");
        let mut truth = self.simulator.with(|world| world.routes(ALIAS));
        truth.sort_by(|one, other| one.region.cmp(&other.region));
        assert_eq!(state["settled"]["routes"], json!(truth), "{state:#}");
        assert!(self.is_settled(), "{state:#}");
    }

    /// How many requests to change the routes were sent, whatever came of them.
    #[must_use]
    pub fn submits(&self) -> usize {
        let submit = "SubmitMultiRegionAccessPointRoutes";
        self.simulator.with(|world| {
            let log = world.log().iter();
            log.filter(|entry| entry.operation == submit).count()
        })
    }

    /// Whether somebody holds the claim.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.state().is_some_and(|state| !is_empty(&state["claim"]))
    }

    /// How many requests the world has seen.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.simulator.with(|world| world.log().len())
    }

    /// Sends ticks until no claim, proof or announcement is open; returns how many it took.
    pub async fn tick_until_settled(&self, function: &mut Function) -> usize {
        let mut ticks = 0;
        let settled = async {
            while !self.is_settled() {
                ticks += 1;
                // A tick may fail, and the next one goes on.
                let _ = function.invoke(tick(&format!("tick-{ticks}"))).await;
                if !self.is_settled() {
                    crate::pause(Duration::from_millis(500)).await;
                }
            }
        };
        let limit = Duration::from_mins(1);
        let in_time = timeout(limit, settled).await.is_ok();
        assert!(in_time, "never settled: {:#?}", self.state());
        ticks
    }

    fn is_settled(&self) -> bool {
        self.state().is_some_and(|state| {
            ["claim", "proof", "outbox"]
                .iter()
                .all(|field| is_empty(&state[*field]))
        })
    }
}

/// Whether a field of a document is absent or an empty list.
#[must_use]
pub fn is_empty(value: &Value) -> bool {
    value.is_null() || value == &json!([])
}

/// The tick.
#[must_use]
pub fn tick(request_id: &str) -> Invocation {
    command(&json!({ "command": "tick" }), request_id)
}

/// A command or any other payload with the time that the function's template gives it.
#[must_use]
pub fn command(payload: &Value, request_id: &str) -> Invocation {
    Invocation::new(payload, request_id, Duration::from_secs(20))
}

/// Asserts that an answer has the fields that other people's scripts rely on.
pub fn assert_answer(answer: &Value, outcome: &str) {
    assert_eq!(answer["outcome"], outcome, "{answer:#}");
    let explanation = answer["explanation"].as_str().unwrap_or_default();
    assert!(explanation.len() > 10, "{answer:#}");
    let object = answer.as_object().expect("an object");
    for field in ["incident", "decision"] {
        assert!(object.contains_key(field), "{field}: {answer:#}");
    }
    for field in ["from", "to", "guards"] {
        assert!(answer[field].is_array(), "{field}: {answer:#}");
    }
    for guard in answer["guards"].as_array().unwrap() {
        assert!(guard["guard"].is_string() && guard["detail"].is_string());
        let verdict = guard["verdict"].as_str().unwrap_or_default();
        assert!(["pass", "block", "unknown"].contains(&verdict), "{guard}");
    }
    for side in ["before", "after"] {
        for route in answer["routes"][side].as_array().expect("routes") {
            assert!(route["bucket"].is_string() && route["region"].is_string());
            let dial = route["dial"].as_u64().expect("a number");
            assert!(dial == 0 || dial == 100, "{route}");
        }
    }
}

/// Asserts what must be true of everything a process prints: standard output is JSON by the line,
/// metrics are complete, and nobody's secrets or keys are in it.
pub fn assert_log(output: &Output) {
    let all = output.all();
    for secret in [SECRET, TOKEN, CUSTOMERS_KEY, "Signature=", "VersionsResult"] {
        assert!(!all.contains(secret), "{secret} was printed:\n{all}");
    }
    for line in output.stdout() {
        let line: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{error} in this line: {line}\n{all}"));
        if line["_aws"].is_null() {
            for field in ["timestamp", "level", "message"] {
                assert!(line[field].is_string(), "{field}: {line}");
            }
        } else {
            assert_metrics(&line);
        }
    }
}

/// The embedded metric format: every named metric and dimension is in the line, with a unit.
fn assert_metrics(line: &Value) {
    assert!(line["_aws"]["Timestamp"].is_i64(), "{line}");
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    assert!(!directives.is_empty(), "{line}");
    for directive in directives {
        assert_eq!(directive["Namespace"], "MrapSentinel", "{line}");
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(metric["Unit"].is_string(), "{line}");
            assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{line}");
        }
        for set in directive["Dimensions"].as_array().unwrap() {
            for name in set.as_array().unwrap() {
                assert!(line[name.as_str().unwrap()].is_string(), "{line}");
            }
        }
    }
}

/// Asserts that every event was announced under one content, to both topics at least once, with
/// the attributes of the contract; returns the events.
#[must_use]
pub fn assert_announced(stage: &Stage) -> BTreeSet<String> {
    let mut by_id: BTreeMap<String, Vec<Announced>> = BTreeMap::new();
    for one in stage.announced() {
        for name in ["severity", "event", "event_id", "mrap"] {
            assert!(one.attributes.contains_key(name), "{name}: {one:#?}");
        }
        let severity = one.attributes["severity"].to_ascii_uppercase();
        assert!(one.subject.starts_with(&severity), "{one:#?}");
        assert_eq!(one.document["eventId"], one.event_id(), "{one:#?}");
        by_id
            .entry(one.event_id().to_owned())
            .or_default()
            .push(one);
    }
    for (id, copies) in &by_id {
        let regions: BTreeSet<&str> = copies.iter().map(|one| one.region.as_str()).collect();
        assert_eq!(regions.len(), 2, "{id} reached {regions:?} only");
        for copy in copies {
            let same = Announced {
                region: copies[0].region.clone(),
                ..copy.clone()
            };
            assert_eq!(same, copies[0], "{id} changed its content");
        }
    }
    let events = by_id.values().map(|copies| copies[0].event().to_owned());
    events.collect()
}
