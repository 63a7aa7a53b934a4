//! The function in process, in a simulated AWS on virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use health_check::{Deps, Error, handle};
use jiff::SignedDuration;
use sentinel_aws::edge::{Edge, EdgeParts, HttpClients, Sink};
use sentinel_aws::endpoints::EndpointOverrides;
use sentinel_core::evidence::{Evidence, MemberEvidence};
use sentinel_core::settings::HealthSettings;
use serde_json::{Value, json};
use simulator::{Outage, ReplicationRule, SimTime, Simulator, WorldConfig};

pub(crate) const HOME: &str = "us-east-1";
pub(crate) const AWAY: &str = "eu-west-1";
pub(crate) const THIRD: &str = "ap-northeast-1";
pub(crate) const CONTROL: &str = "us-east-2";
pub(crate) const WITNESS: &str = "us-west-2";
pub(crate) const STATE: &str = "sentinel-state";
const MEMBERS: [(&str, &str); 3] = [("app-use1", HOME), ("app-euw1", AWAY), ("app-apne1", THIRD)];
/// The setting that tells a process of all three.
pub(crate) const THREE: (&str, &str) = (
    "MEMBERS",
    "app-use1@us-east-1,app-euw1@eu-west-1,app-apne1@ap-northeast-1",
);
const ALIAS: &str = "mfzwi23gnjvgw.mrap";
const EPOCH: &str = "2026-11-20T16:59:03Z";
const TOPIC: &str = "arn:aws:sns:us-east-2:111122223333:alarms";
/// The function's time-out, as the template sets it.
const TIMEOUT: SignedDuration = SignedDuration::from_secs(120);

#[derive(Debug)]
struct Connections(Simulator, String);

impl HttpClients for Connections {
    fn fresh(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.0.http_client(self.1.clone()))
    }
}

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Sink for Lines {
    fn line(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

/// The world: two members, the state store, the topic of the alarms, and a Region for the witness.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) sim: Simulator,
}

/// An execution environment of the function.
#[derive(Debug)]
pub(crate) struct Process {
    deps: Deps,
    lines: Lines,
}

impl World {
    /// Needs a paused tokio runtime.
    pub(crate) fn new() -> Self {
        Self::of(&MEMBERS[..2])
    }

    /// The world with a third member; [`THREE`] tells a process of it.
    pub(crate) fn of_three() -> Self {
        Self::of(&MEMBERS)
    }

    fn of(members: &[(&str, &str)]) -> Self {
        fastrand::seed(1); // the SDK's generator
        let mut config = WorldConfig::new(1).mrap(ALIAS);
        for (bucket, region) in members {
            config = config.member(*bucket, *region);
        }
        let config = config
            .bucket(STATE, CONTROL)
            .bucket("sentinel-witness", WITNESS)
            .topic(CONTROL, "alarms");
        let sim = Simulator::new(WorldConfig {
            epoch: EPOCH.parse().unwrap(),
            ..config
        });
        // Of earlier runs: whoever serves is told by them.
        sim.with(|world| {
            for (bucket, region) in members {
                let canary = format!(".mrap-sentinel/{ALIAS}/{region}");
                world.put_object_as_person(bucket, &canary, "canary");
            }
        });
        Self { sim }
    }

    /// A cold start with the usual settings and these; an empty value unsets.
    pub(crate) fn boot(&self, label: &str, changes: &[(&str, &str)]) -> Process {
        let usual = [
            (
                "MRAP_ARN",
                "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
            ),
            ("MEMBERS", "app-use1@us-east-1,app-euw1@eu-west-1"),
            ("STATE_BUCKET", STATE),
            ("ALARM_TOPIC_ARN", TOPIC),
        ];
        let settings = HealthSettings::from_lookup(|name| {
            let mut all = changes.iter().chain(&usual);
            let found = all.find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        });
        let is_witness = changes.iter().any(|(name, _)| *name == "WITNESS_OF");
        let region = if is_witness { WITNESS } else { CONTROL };
        let lines = Lines::default();
        let edge = Edge::new(EdgeParts {
            http: Arc::new(Connections(self.sim.clone(), label.to_owned())),
            time_source: self.sim.time_source(),
            sleep: SharedAsyncSleep::new(TokioSleep::new()),
            credentials: SharedCredentialsProvider::new(Credentials::new(
                "111122223333",
                "secret",
                None,
                None,
                "test",
            )),
            identity_cache: IdentityCache::no_cache(),
            region: region.parse().unwrap(),
            endpoints: EndpointOverrides::default(),
            retry_partition: Arc::new(|name| {
                RetryPartition::custom(name.to_owned())
                    .token_bucket(TokenBucket::default())
                    .build()
            }),
            stdout: Arc::new(lines.clone()),
        });
        Process {
            deps: Deps::new(Arc::new(edge), settings.unwrap()),
            lines,
        }
    }

    /// Runs the function once, as the schedule does.
    pub(crate) async fn run(&self, process: &Process, request_id: &str) -> Result<Value, Error> {
        let payload = json!({"command": "tick"});
        self.invoke(process, payload, request_id).await
    }

    pub(crate) async fn invoke(
        &self,
        process: &Process,
        payload: Value,
        request_id: &str,
    ) -> Result<Value, Error> {
        self.invoke_for(process, payload, request_id, TIMEOUT).await
    }

    /// Runs the function with so much time.
    pub(crate) async fn invoke_for(
        &self,
        process: &Process,
        payload: Value,
        request_id: &str,
        timeout: SignedDuration,
    ) -> Result<Value, Error> {
        let epoch: jiff::Timestamp = EPOCH.parse().unwrap();
        let elapsed = Duration::from_millis(self.sim.now().as_millis());
        let deadline = epoch + SignedDuration::try_from(elapsed).unwrap() + timeout;
        let answer = handle(&process.deps, payload, deadline, request_id).await?;
        Ok(serde_json::to_value(answer).unwrap())
    }

    /// Lets no rule bring canaries from one member to another.
    pub(crate) fn narrow(&self, source: &str, destination: &str) {
        self.sim.with(|world| {
            let mut rules = world.replication_rules(source).into_iter();
            let rule = rules.find(|rule| rule.destination == destination).unwrap();
            world.set_replication_rule(ReplicationRule {
                prefix: "data/".to_owned(),
                ..rule
            });
        });
    }

    /// Takes a Region down from that second on: requests hang.
    pub(crate) fn hang(&self, region: &str, second: u64, span: u64) {
        let from = SimTime::from_secs(second);
        let outage = Outage::hang(region, from, Duration::from_secs(span));
        self.sim.with(|world| world.region_down(outage));
    }

    /// Every version of the evidence, oldest first.
    pub(crate) fn history(&self, key: &str) -> Vec<Evidence> {
        self.sim.with(|world| {
            let versions = world.versions(STATE, key).into_iter().rev();
            versions
                .map(|version| serde_json::from_slice(&version.body).unwrap())
                .collect()
        })
    }

    /// The evidence as it stands.
    pub(crate) fn evidence(&self) -> Evidence {
        self.history("evidence.json").pop().expect("evidence")
    }

    /// The wake-ups that the topic took: when, and what they say.
    pub(crate) fn wakes(&self) -> Vec<(u64, Value)> {
        self.sim.with(|world| {
            let published = world.published().iter();
            published
                .map(|one| {
                    assert_eq!(one.topic_arn, TOPIC);
                    let protocols: Value = serde_json::from_str(&one.message).unwrap();
                    let message = protocols["lambda"].as_str().unwrap();
                    (one.at.as_secs(), serde_json::from_str(message).unwrap())
                })
                .collect()
        })
    }

    /// A second of the world as a calendar time.
    pub(crate) fn second(second: u64) -> jiff::Timestamp {
        let seconds = i64::try_from(second).unwrap();
        EPOCH.parse::<jiff::Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }
}

impl Process {
    /// What it printed so far: log lines, then metrics.
    pub(crate) fn printed(&self) -> (Vec<Value>, Vec<Value>) {
        let lines = self.lines.0.lock().unwrap();
        lines
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .partition(|line| line["_aws"].is_null())
    }

    /// The values of a metric, in order; of a member's Region if one is given.
    pub(crate) fn metric(&self, name: &str, region: Option<&str>) -> Vec<f64> {
        let (_, metrics) = self.printed();
        metrics
            .iter()
            .filter(|line| region.is_none_or(|region| line["Region"] == region))
            .filter_map(|line| line[name].as_f64())
            .collect()
    }
}

pub(crate) fn member<'a>(evidence: &'a Evidence, region: &str) -> &'a MemberEvidence {
    evidence.member(&region.parse().unwrap()).unwrap()
}
