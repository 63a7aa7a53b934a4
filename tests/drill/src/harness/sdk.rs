//! SDK clients in the simulated world, repeatable to the byte.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::{Builder, Region};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{HttpClient, SharedHttpClient};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use sentinel_aws::edge::{Edge, EdgeParts, HttpClients, Sink};
use sentinel_aws::endpoints::EndpointOverrides;
use simulator::Simulator;

use crate::ACCOUNT;

/// Time-outs and attempts of a client that is not ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) connect: Duration,
    pub(super) attempt: Duration,
    pub(super) operation: Duration,
    pub(super) attempts: u32,
}

/// In the simulated world an access key is its account's number.
fn credentials() -> SharedCredentialsProvider {
    let key = Credentials::new(ACCOUNT, "secret", None, None, "drill");
    SharedCredentialsProvider::new(key)
}

/// The SDK's own partitions are shared by the whole process: failures of one run would change
/// how often the next one retries.
fn partition(name: String) -> RetryPartition {
    RetryPartition::custom(name)
        .token_bucket(TokenBucket::default())
        .build()
}

/// An S3 client of somebody else.
pub(super) fn s3(
    sim: &Simulator,
    http: impl HttpClient + 'static,
    region: &str,
    patience: Patience,
) -> aws_sdk_s3::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(patience.connect)
        .read_timeout(patience.attempt)
        .operation_attempt_timeout(patience.attempt)
        .operation_timeout(patience.operation)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(patience.attempts)
        .with_initial_backoff(Duration::from_millis(200));
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .http_client(http)
        .time_source(sim.time_source())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .credentials_provider(credentials())
        .identity_cache(IdentityCache::no_cache())
        .timeout_config(timeouts)
        .retry_config(retries)
        .retry_partition(partition(format!("somebody-{region}")));
    aws_sdk_s3::Client::from_conf(config.build())
}

/// Connections of one execution environment.
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

/// The edge of one execution environment of the function.
pub(super) fn edge(sim: &Simulator, label: &str, region: &str, stdout: Arc<dyn Sink>) -> Arc<Edge> {
    Arc::new(Edge::new(EdgeParts {
        http: Arc::new(Connections {
            sim: sim.clone(),
            label: label.to_owned(),
        }),
        time_source: sim.time_source(),
        sleep: SharedAsyncSleep::new(TokioSleep::new()),
        credentials: credentials(),
        identity_cache: IdentityCache::no_cache(),
        region: region.parse().expect("a Region"),
        endpoints: EndpointOverrides::default(),
        retry_partition: Arc::new(|name| partition(name.to_owned())),
        stdout,
    }))
}
