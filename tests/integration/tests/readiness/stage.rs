//! A world with two members, and the function beside it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use jiff::{SignedDuration, Timestamp};
use readiness_check::{Deps, Error, handle};
use sentinel_aws::edge::{Edge, EdgeParts, HttpClients, Sink};
use sentinel_aws::endpoints::EndpointOverrides;
use sentinel_core::settings::ReadinessSettings;
use serde_json::{Value, json};
use simulator::cloudwatch::{AlarmConfig, MetricName};
use simulator::{Simulator, World, WorldConfig};

pub(crate) const HOME: &str = "app-use1";
pub(crate) const AWAY: &str = "app-euw1";
pub(crate) const STATE: &str = "sentinel-state";
pub(crate) const CONTROL: &str = "us-east-2";
pub(crate) const ALARM: &str = "sentinel-failover-silent";
pub(crate) const TOPIC: &str = "arn:aws:sns:us-east-2:111122223333:pages";
pub(crate) const BARKS: &str = "arn:aws:sns:us-west-2:111122223333:watchdog";
pub(crate) const ALARMS: &str = "arn:aws:sns:us-east-2:111122223333:alarms";
pub(crate) const FAILOVER: &str = "arn:aws:lambda:us-east-2:111122223333:function:failover:live";
const ELSEWHERE: &str = "us-west-2";
const WATCHDOG: &str = "mrap-sentinel-mfzwi23gnjvgw-watchdog";
pub(crate) const LETTERS: &str = "sentinel-dead-letters";
/// What is found in a world in which all is well, but which was never rehearsed.
pub(crate) const NOTHING: [&str; 1] = ["rehearsal/mfzwi23gnjvgw.mrap"];
const ALIAS: &str = "mfzwi23gnjvgw.mrap";
const ACCOUNT: &str = "111122223333";

/// Lambda ends an invocation after this.
pub(crate) const TIME_OUT: SignedDuration = SignedDuration::from_secs(60);

/// What a function printed.
#[derive(Debug, Default)]
pub(crate) struct Output(Mutex<Vec<String>>);

impl Sink for Output {
    fn line(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

#[derive(Debug)]
struct Connections {
    sim: Simulator,
    label: String,
}

impl HttpClients for Connections {
    fn fresh(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.sim.http_client(self.label.clone()))
    }
}

/// The world and what runs in it.
pub(crate) struct Stage {
    pub(crate) sim: Simulator,
    pub(crate) output: Arc<Output>,
    deps: Deps,
    invocations: u32,
}

fn partition(name: &str) -> RetryPartition {
    RetryPartition::custom(name.to_owned())
        .token_bucket(TokenBucket::default())
        .build()
}

fn edge(sim: &Simulator, label: &str, output: Arc<Output>) -> Arc<Edge> {
    let key = Credentials::new(ACCOUNT, "secret", None, None, "test");
    Arc::new(Edge::new(EdgeParts {
        http: Arc::new(Connections {
            sim: sim.clone(),
            label: label.to_owned(),
        }),
        time_source: sim.time_source(),
        sleep: SharedAsyncSleep::new(TokioSleep::new()),
        credentials: SharedCredentialsProvider::new(key),
        identity_cache: IdentityCache::no_cache(),
        region: CONTROL.parse().unwrap(),
        endpoints: EndpointOverrides::default(),
        retry_partition: Arc::new(partition),
        stdout: output,
    }))
}

pub(crate) fn variables() -> Vec<(&'static str, String)> {
    vec![
        (
            "MRAP_ARN",
            format!("arn:aws:s3::{ACCOUNT}:accesspoint/{ALIAS}"),
        ),
        ("MEMBERS", format!("{HOME}@us-east-1,{AWAY}@eu-west-1")),
        ("STATE_BUCKET", STATE.to_owned()),
        ("TOPIC_ARNS", TOPIC.to_owned()),
        (
            "WORK_BUCKETS",
            "work-use1@us-east-1,work-euw1@eu-west-1".to_owned(),
        ),
        (
            "REPLICATION_EVENTS_QUEUE_ARN",
            WorldConfig::new(0).events_queue_arn(),
        ),
        ("ALARM_TOPIC_ARN", ALARMS.to_owned()),
        ("FAILOVER_FUNCTION_ARN", FAILOVER.to_owned()),
        ("STACK_ALARMS", ALARM.to_owned()),
        ("HEARTBEAT_REGION", ELSEWHERE.to_owned()),
        ("DEAD_LETTER_QUEUES", LETTERS.to_owned()),
    ]
}

pub(crate) fn settings() -> ReadinessSettings {
    ReadinessSettings::from_lookup(|name| {
        let variables = variables();
        let found = variables.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    })
    .unwrap()
}

/// Runs a test on virtual time.
pub(crate) fn on_virtual_time(test: impl AsyncFnOnce()) {
    fastrand::seed(7);
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test());
}

/// The watchdog's alarm, which does nothing yet.
pub(crate) fn watchdog() -> AlarmConfig {
    let heartbeat = MetricName::new("MrapSentinel", "Heartbeat");
    AlarmConfig::metric(ELSEWHERE, WATCHDOG, heartbeat, 1.0)
}

pub(crate) fn blueprint() -> WorldConfig {
    let silent = MetricName::new("AWS/Lambda", "Invocations");
    WorldConfig::new(7)
        .mrap(ALIAS)
        .member(HOME, "us-east-1")
        .member(AWAY, "eu-west-1")
        .bucket(STATE, CONTROL)
        .bucket("work-use1", "us-east-1")
        .bucket("work-euw1", "eu-west-1")
        .topic(CONTROL, "pages")
        .topic(CONTROL, "alarms")
        .alarm(AlarmConfig::metric(CONTROL, ALARM, silent, 0.5).action(TOPIC))
        .alarm(watchdog().action(BARKS))
}

/// The world, with the failover function subscribed to its alarms.
pub(crate) fn begin(config: WorldConfig) -> Simulator {
    let sim = Simulator::new(config);
    sim.with(|world| world.set_subscriptions(ALARMS, &[("lambda", FAILOVER, true)]));
    sim
}

impl Stage {
    pub(crate) fn new() -> Self {
        let sim = begin(blueprint());
        let output = Arc::new(Output::default());
        Self {
            deps: Deps::new(edge(&sim, "readiness", output.clone()), settings()),
            sim,
            output,
            invocations: 0,
        }
    }

    /// Another execution environment.
    pub(crate) fn another(&self) -> Deps {
        Deps::new(edge(&self.sim, "another", self.output.clone()), settings())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.sim.with(|world| {
            let now = world.now();
            world.calendar(now)
        })
    }

    /// Invokes the function.
    pub(crate) async fn invoke(&mut self, payload: Value) -> Result<Value, Error> {
        self.invocations += 1;
        let request = format!("request-{}", self.invocations);
        let deadline = self.now() + TIME_OUT;
        let answer = handle(&self.deps, payload, deadline, &request).await?;
        Ok(serde_json::to_value(answer).unwrap())
    }

    /// What an operator gets who asks.
    pub(crate) async fn readiness(&mut self) -> Value {
        self.invoke(json!({"command": "readiness"}))
            .await
            .unwrap_or_else(|error| panic!("{}", error.chain()))
    }

    /// Ids of what is found now.
    pub(crate) async fn found(&mut self) -> Vec<String> {
        ids(&self.readiness().await)
    }

    pub(crate) async fn rest(&self, span: Duration) {
        self.sim.sleep(span).await;
    }

    pub(crate) fn change<R>(&self, work: impl FnOnce(&mut World) -> R) -> R {
        self.sim.with(work)
    }

    /// The stored report.
    pub(crate) fn report(&self) -> Value {
        let body = self
            .sim
            .with(|world| world.object(STATE, "drift.json").unwrap().body.clone());
        serde_json::from_slice(&body).unwrap()
    }

    /// Events and their ids of what was announced, in order.
    pub(crate) fn announced(&self) -> Vec<(String, String)> {
        let attribute =
            |one: &simulator::truth::Published, name: &str| one.attributes[name].clone();
        self.sim.with(|world| {
            let published = world.published().iter();
            published
                .map(|one| (attribute(one, "event"), attribute(one, "event_id")))
                .collect()
        })
    }
}

/// Ids of an answer's findings.
pub(crate) fn ids(answer: &Value) -> Vec<String> {
    let findings = answer["findings"].as_array().into_iter().flatten();
    findings
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}
