//! The function in process, in a simulated AWS on virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use jiff::SignedDuration;
use replication_events::{Deps, Error, handle};
use sentinel_aws::edge::{Edge, EdgeParts, HttpClients, Sink};
use sentinel_aws::endpoints::EndpointOverrides;
use sentinel_core::ledger::{ContentHash, Group, OpenName, Reader, Row, Rows};
use sentinel_core::settings::CollectorSettings;
use serde_json::Value;
use simulator::{Simulator, WorldConfig};

use crate::messages::Failed;

pub(crate) const STATE: &str = "sentinel-state";
const CONTROL: &str = "us-east-2";
pub(crate) const LABEL: &str = "collector";
/// The function's time-out, as the template sets it.
pub(crate) const TIMEOUT: SignedDuration = SignedDuration::from_secs(60);

/// The settings' variables.
const VARIABLES: [(&str, &str); 3] = [
    (
        "MRAP_ARN",
        "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
    ),
    ("MEMBERS", "app-use1@us-east-1,app-euw1@eu-west-1"),
    ("STATE_BUCKET", STATE),
];

#[derive(Debug)]
struct Connections(Simulator);

impl HttpClients for Connections {
    fn fresh(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.0.http_client(LABEL))
    }
}

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Sink for Lines {
    fn line(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

/// The world with one execution environment of the function.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) sim: Simulator,
    deps: Deps,
    lines: Lines,
}

impl World {
    /// Needs a paused tokio runtime.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// As [`new`](Self::new), with these changes.
    pub(crate) fn with(change: impl FnOnce(&mut WorldConfig)) -> Self {
        fastrand::seed(1); // the SDK's generator
        let config = WorldConfig::new(1)
            .mrap("mfzwi23gnjvgw.mrap")
            .member("app-use1", "us-east-1")
            .member("app-euw1", "eu-west-1")
            .bucket(STATE, CONTROL);
        let mut config = WorldConfig {
            epoch: "2026-11-20T16:59:03Z".parse().unwrap(),
            ..config
        };
        change(&mut config);
        let sim = Simulator::new(config);
        let lines = Lines::default();
        let deps = deps(&sim, &lines);
        Self { sim, deps, lines }
    }

    /// Invokes the function with the template's time-out.
    pub(crate) async fn invoke(&self, payload: Value, request_id: &str) -> Result<Value, Error> {
        let epoch: jiff::Timestamp = "2026-11-20T16:59:03Z".parse().unwrap();
        let elapsed = SignedDuration::try_from(self.elapsed()).unwrap();
        let deadline = epoch + elapsed + TIMEOUT;
        handle(&self.deps, payload, deadline, request_id).await
    }

    /// As [`invoke`](Self::invoke), for what should be answered.
    pub(crate) async fn answer(&self, payload: Value) -> Value {
        match self.invoke(payload, "request-1").await {
            Ok(answer) => answer,
            Err(error) => panic!("{}", error.chain()),
        }
    }

    /// What it printed since this was last asked: log lines, then metrics.
    pub(crate) fn printed(&self) -> (Vec<Value>, Vec<Value>) {
        let lines = std::mem::take(&mut *self.lines.0.lock().unwrap());
        lines
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .partition(|line| line["_aws"].is_null())
    }

    /// Keys of the open files.
    pub(crate) fn files(&self) -> BTreeSet<String> {
        self.sim.with(|world| {
            let keys = world.keys(STATE);
            let open = keys.into_iter().filter(|key| key.starts_with("ledger/"));
            open.map(str::to_owned).collect()
        })
    }

    /// Rows of the ledger.
    pub(crate) fn rows(&self) -> BTreeSet<Found> {
        rows_of(&self.sim)
    }

    /// Rows of the ledger with their groups; one may stand in several files.
    pub(crate) fn groups(&self) -> Vec<(Group, Row)> {
        groups_of(&self.sim)
    }

    /// `lag.json`, and how often it was written.
    pub(crate) fn lag(&self) -> (Option<Value>, usize) {
        self.sim.with(|world| {
            let document = world.object(STATE, "lag.json");
            let document = document.map(|one| serde_json::from_slice(&one.body).unwrap());
            (document, world.versions(STATE, "lag.json").len())
        })
    }

    /// Requests since the world began, by operation.
    pub(crate) fn requests(&self) -> BTreeMap<String, usize> {
        self.sim.with(|world| {
            let mut counts = BTreeMap::new();
            for entry in world.log() {
                *counts.entry(entry.operation.clone()).or_default() += 1;
            }
            counts
        })
    }

    /// Virtual time since the world began.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_millis(self.sim.now().as_millis())
    }
}

fn deps(sim: &Simulator, lines: &Lines) -> Deps {
    let settings = CollectorSettings::from_lookup(|name| {
        let mut variables = VARIABLES.iter();
        let found = variables.find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    let edge = Edge::new(EdgeParts {
        http: Arc::new(Connections(sim.clone())),
        time_source: sim.time_source(),
        sleep: SharedAsyncSleep::new(TokioSleep::new()),
        credentials: SharedCredentialsProvider::new(Credentials::new(
            "111122223333",
            "secret",
            None,
            None,
            "test",
        )),
        identity_cache: IdentityCache::no_cache(),
        region: CONTROL.parse().unwrap(),
        endpoints: EndpointOverrides::default(),
        retry_partition: Arc::new(|name| {
            RetryPartition::custom(name.to_owned())
                .token_bucket(TokenBucket::default())
                .build()
        }),
        stdout: Arc::new(lines.clone()),
    });
    Deps::new(Arc::new(edge), settings.unwrap())
}

/// A row of the ledger with its group: destination, reason, key, version, time.
pub(crate) type Found = (String, String, String, String, i64);

/// What the ledger should hold after these failures.
pub(crate) fn expected<'a>(failures: impl IntoIterator<Item = &'a Failed>) -> BTreeSet<Found> {
    failures
        .into_iter()
        .map(|failed| {
            (
                failed.destination.to_owned(),
                failed.reason.to_owned(),
                failed.key.clone(),
                failed.version.clone(),
                failed.at,
            )
        })
        .collect()
}

/// Every row of the ledger as it is expected of the failures here.
pub(crate) fn rows_of(sim: &Simulator) -> BTreeSet<Found> {
    groups_of(sim)
        .into_iter()
        .map(|(group, row)| {
            assert_eq!((row.attempts, row.size), (0, Some(520_080)), "{row:?}");
            let destination = group.destination.to_string();
            let at = row.failed_at.get();
            (destination, group.reason, row.key, row.version, at)
        })
        .collect()
}

/// Every row of every open file with its group; each file is checked against its name.
fn groups_of(sim: &Simulator) -> Vec<(Group, Row)> {
    let files: Vec<(String, Vec<u8>)> = sim.with(|world| {
        let keys: Vec<String> = world.keys(STATE).into_iter().map(str::to_owned).collect();
        keys.into_iter()
            .filter(|key| key.starts_with("ledger/"))
            .map(|key| {
                let versions = world.versions(STATE, &key);
                assert_eq!(versions.len(), 1, "{key} was written again");
                let body = versions[0].body.to_vec();
                (key, body)
            })
            .collect()
    });
    let mut found = Vec::new();
    for (key, body) in files {
        let name: OpenName = key.parse().unwrap();
        assert_eq!(name.hash, ContentHash::of(&body), "{key}");
        let mut reader = Reader::<Rows>::new(&key);
        reader.feed(&body);
        let mut rows = Vec::new();
        while let Some(row) = reader.next_record().unwrap() {
            rows.push(row);
        }
        let group = reader.header().unwrap().groups[0].clone();
        reader.finish().unwrap();
        assert_eq!(group.id(), name.group, "{key}");
        assert_eq!(u64::try_from(rows.len()).unwrap(), name.rows, "{key}");
        let times = || rows.iter().map(|row| row.failed_at);
        assert_eq!(times().min(), Some(name.oldest), "{key}");
        assert_eq!(times().max(), Some(name.newest), "{key}");
        found.extend(rows.into_iter().map(|row| (group.clone(), row)));
    }
    found
}

/// Runs on a paused runtime of its own, for tests that are no async functions.
pub(crate) fn play<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work)
}
