//! A world with two members, and both functions beside it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use jiff::{SignedDuration, Timestamp};
use sentinel_aws::edge::{Edge, EdgeParts, HttpClients, Sink};
use sentinel_aws::endpoints::EndpointOverrides;
use sentinel_core::ledger::{Group, OpenFile, Row};
use sentinel_core::settings::{CollectorSettings, RedriveSettings};
use serde_json::{Value, json};
use simulator::{ReplicationMessage, Simulator, WorldConfig};

pub(crate) const HOME: &str = "app-use1";
pub(crate) const AWAY: &str = "app-euw1";
pub(crate) const STATE: &str = "sentinel-state";
const ALIAS: &str = "mfzwi23gnjvgw.mrap";
const ACCOUNT: &str = "111122223333";
const CONTROL: &str = "us-east-2";

/// Lambda ends an invocation after this.
const TIME_OUT: SignedDuration = SignedDuration::from_secs(300);

/// What a function printed.
#[derive(Debug, Default)]
pub(crate) struct Output(Mutex<Vec<String>>);

impl Sink for Output {
    fn line(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

impl Output {
    /// The printed lines as JSON; every line must be.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = self.0.lock().unwrap();
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
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
    settings: RedriveSettings,
    redrive: redrive::Deps,
    collector: replication_events::Deps,
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

fn variable(name: &str, more: &[(&str, &str)]) -> Option<String> {
    if let Some((_, value)) = more.iter().find(|(known, _)| *known == name) {
        return Some((*value).to_owned());
    }
    let value = match name {
        "MRAP_ARN" => format!("arn:aws:s3::{ACCOUNT}:accesspoint/{ALIAS}"),
        "MEMBERS" => format!("{HOME}@us-east-1,{AWAY}@eu-west-1"),
        "STATE_BUCKET" => STATE.to_owned(),
        "TOPIC_ARNS" => format!("arn:aws:sns:{CONTROL}:{ACCOUNT}:pages"),
        "WORK_BUCKETS" => "work-use1@us-east-1,work-euw1@eu-west-1".to_owned(),
        "BATCH_ROLE_ARN" => format!("arn:aws:iam::{ACCOUNT}:role/batch"),
        "REDRIVE" => "automatic".to_owned(),
        "REDRIVE_SAMPLE_SECONDS" => "300".to_owned(),
        "REDRIVE_BATCH_SECONDS" => "120".to_owned(),
        _ => return None,
    };
    Some(value)
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

impl Stage {
    pub(crate) fn new(variables: &[(&str, &str)]) -> Self {
        Self::with(variables, |_| {})
    }

    /// With settings that no variable can give.
    pub(crate) fn with(
        variables: &[(&str, &str)],
        change: impl FnOnce(&mut RedriveSettings),
    ) -> Self {
        let sim = Simulator::new(
            WorldConfig::new(7)
                .mrap(ALIAS)
                .member(HOME, "us-east-1")
                .member(AWAY, "eu-west-1")
                .bucket(STATE, CONTROL)
                .bucket("work-use1", "us-east-1")
                .bucket("work-euw1", "eu-west-1")
                .topic(CONTROL, "pages"),
        );
        let output = Arc::new(Output::default());
        let mut settings = RedriveSettings::from_lookup(|name| variable(name, variables)).unwrap();
        change(&mut settings);
        let collecting = CollectorSettings::from_lookup(|name| variable(name, variables)).unwrap();
        Self {
            redrive: redrive::Deps::new(edge(&sim, "redrive", output.clone()), settings.clone()),
            settings,
            collector: replication_events::Deps::new(
                edge(&sim, "collector", output.clone()),
                collecting,
            ),
            sim,
            output,
            invocations: 0,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.sim.with(|world| {
            let now = world.now();
            world.calendar(now)
        })
    }

    /// Another execution environment of the redrive function.
    pub(crate) fn another(&self) -> redrive::Deps {
        let edge = edge(&self.sim, "another", self.output.clone());
        redrive::Deps::new(edge, self.settings.clone())
    }

    /// Invokes the redrive function.
    pub(crate) async fn invoke(&mut self, payload: Value) -> Result<Value, redrive::Error> {
        self.invocations += 1;
        let request = format!("request-{}", self.invocations);
        let deadline = self.now() + TIME_OUT;
        let answer = redrive::handle(&self.redrive, payload, deadline, &request).await?;
        Ok(serde_json::to_value(answer).unwrap())
    }

    /// A command that must be answered.
    pub(crate) async fn command(&mut self, payload: Value) -> Value {
        let text = payload.to_string();
        self.invoke(payload)
            .await
            .unwrap_or_else(|error| panic!("{text}: {}", error.chain()))
    }

    /// Hands what S3 sent to the collector.
    pub(crate) async fn collect(&self) {
        self.deliver(self.sent()).await;
    }

    /// What S3 sent since it was taken the last time.
    pub(crate) fn sent(&self) -> Vec<ReplicationMessage> {
        self.sim.with(simulator::World::take_replication_messages)
    }

    /// Hands these messages to the collector, whether it had them before or not.
    pub(crate) async fn deliver(&self, messages: Vec<ReplicationMessage>) {
        if messages.is_empty() {
            return;
        }
        let records: Vec<Value> = messages
            .into_iter()
            .map(|message| {
                json!({"messageId": message.id, "body": message.body, "eventSource": "aws:sqs"})
            })
            .collect();
        let batch = json!({"Records": records});
        let deadline = self.now() + TIME_OUT;
        let answer = replication_events::handle(&self.collector, batch, deadline, "batch").await;
        assert_eq!(answer.unwrap(), json!({"batchItemFailures": []}));
    }

    /// Minutes, each with what S3 sent and a tick.
    pub(crate) async fn minutes(&mut self, count: u32) {
        for _ in 0..count {
            self.rest(60).await;
            self.collect().await;
            self.command(json!({"command": "tick"})).await;
        }
    }

    /// Ticks until this is so; at most for so many minutes.
    pub(crate) async fn until(&mut self, minutes: u32, done: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..minutes {
            self.minutes(1).await;
            let status = self.status().await;
            if done(&status) {
                return status;
            }
        }
        panic!("not so after {minutes} minutes: {:#}", self.status().await);
    }

    pub(crate) async fn status(&mut self) -> Value {
        self.command(json!({"command": "redrive-status"})).await
    }

    #[expect(clippy::disallowed_methods, reason = "the clock of the world")]
    pub(crate) async fn rest(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Writes objects into a member.
    pub(crate) fn write(&self, bucket: &str, count: u32) {
        self.sim.with(|world| {
            for number in 0..count {
                let key = format!("photos/2026 {number}+ü,\"x\".jpg");
                world.put_object_as_person(bucket, &key, "body");
            }
        });
    }

    /// A row of a group of its own appears in the ledger.
    pub(crate) fn append(&self, reason: &str) {
        let group = Group {
            source: HOME.parse().unwrap(),
            destination: AWAY.parse().unwrap(),
            rule: format!("to-{AWAY}"),
            reason: reason.to_owned(),
        };
        let row = Row {
            key: "photos/1.jpg".to_owned(),
            version: "1".to_owned(),
            failed_at: self.now().into(),
            attempts: 0,
            size: None,
            group: 0,
        };
        let file = OpenFile::new(&group, vec![row]).unwrap().unwrap();
        self.sim
            .with(|world| world.put_object_as_person(STATE, &file.name.key(), file.body));
    }

    pub(crate) fn deny(&self, reason: Option<&str>) {
        self.sim
            .with(|world| world.deny_replication(HOME, AWAY, reason));
    }

    /// Events of what was announced, in order.
    pub(crate) fn announced(&self) -> Vec<String> {
        self.sim.with(|world| {
            world
                .published()
                .iter()
                .map(|one| one.attributes["event"].clone())
                .collect()
        })
    }

    /// Another execution environment ticks, and dies after so many requests; whether it came so far.
    pub(crate) async fn tick_dying_after(&mut self, requests: u64) -> bool {
        self.sim.crash_after("another", requests);
        let another = self.another();
        let deadline = self.now() + TIME_OUT;
        let request = format!("dying-{}", self.invocations);
        let tick = redrive::handle(&another, json!({"command": "tick"}), deadline, &request);
        let is_over = tokio::select! {
            biased;
            done = tick => {
                done.unwrap_or_else(|error| panic!("{}", error.chain()));
                true
            }
            () = self.sim.crashed("another") => false,
        };
        self.sim.revive("another");
        // Whoever comes next finds the dead one's claim expired.
        self.rest(360).await;
        !is_over
    }

    /// How many versions of the source's keys are not in the destination.
    pub(crate) fn missing_versions(&self, from: &str, to: &str) -> usize {
        self.sim.with(|world| {
            let ids = |bucket: &str, key: &str| -> Vec<String> {
                let versions = world.versions(bucket, key).into_iter();
                versions.map(|one| one.version_id.to_string()).collect()
            };
            let keys: Vec<String> = world.keys(from).iter().map(ToString::to_string).collect();
            let missing = |key: &String| {
                let there = ids(to, key);
                ids(from, key)
                    .iter()
                    .filter(|id| !there.contains(id))
                    .count()
            };
            keys.iter().map(missing).sum()
        })
    }

    /// How many of the source's keys are not in the destination.
    pub(crate) fn missing(&self, from: &str, to: &str) -> usize {
        self.sim.with(|world| {
            let keys: Vec<String> = world.keys(from).iter().map(ToString::to_string).collect();
            keys.iter()
                .filter(|key| world.object(to, key).is_none())
                .count()
        })
    }

    pub(crate) fn jobs(&self) -> usize {
        self.sim.with(|world| world.jobs().len())
    }

    /// Keys in the state bucket with this prefix.
    pub(crate) fn files(&self, prefix: &str) -> Vec<String> {
        self.sim.with(|world| {
            world
                .keys(STATE)
                .iter()
                .filter(|key| key.starts_with(prefix) && world.object(STATE, key).is_some())
                .map(ToString::to_string)
                .collect()
        })
    }
}
