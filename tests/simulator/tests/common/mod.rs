//! Real SDK clients over a simulated world.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    unreachable_pub,
    reason = "shared by several tests, each of which uses a part"
)]

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use simulator::{SimClient, SimTime, Simulator, WorldConfig};

pub const ACCOUNT: &str = "111122223333";
pub const ALIAS: &str = "mfzwi23gnjvgw.mrap";
pub const MRAP: &str = "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap";
pub const HOME: &str = "app-use1";
pub const AWAY: &str = "app-euw1";
pub const TOPIC: &str = "arn:aws:sns:us-east-2:111122223333:pages";

/// Two members, a state bucket, a topic.
pub fn config(seed: u64) -> WorldConfig {
    WorldConfig::new(seed)
        .account(ACCOUNT)
        .mrap(ALIAS)
        .member(HOME, "us-east-1")
        .member(AWAY, "eu-west-1")
        .bucket("state", "us-east-2")
        .topic("us-east-2", "pages")
}

/// A seeded world; the SDK's own randomness is seeded with it.
pub fn start(config: WorldConfig) -> Simulator {
    fastrand::seed(config.seed);
    Simulator::new(config)
}

pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .read_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(4))
        .build()
}

pub fn credentials(access_key: &str) -> Credentials {
    Credentials::new(access_key, "secret", None, None, "test")
}

macro_rules! sdk_config {
    ($builder:expr, $sim:expr, $http:expr, $region:expr, $key:expr) => {
        $builder
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new($region.to_owned()))
            .credentials_provider(credentials($key))
            .http_client($http)
            .time_source($sim.time_source())
            .sleep_impl(TokioSleep::new())
            .identity_cache(IdentityCache::no_cache())
            .retry_config(RetryConfig::disabled())
            .retry_partition(RetryPartition::new(format!("test-{}", $region)))
            .timeout_config(timeouts())
            .build()
    };
}

pub fn s3_over(sim: &Simulator, http: SimClient, region: &str) -> aws_sdk_s3::Client {
    s3_as(sim, http, region, ACCOUNT)
}

pub fn s3_as(sim: &Simulator, http: SimClient, region: &str, key: &str) -> aws_sdk_s3::Client {
    let builder = aws_sdk_s3::Config::builder();
    aws_sdk_s3::Client::from_conf(sdk_config!(builder, sim, http, region, key))
}

pub fn s3(sim: &Simulator, label: &str, region: &str) -> aws_sdk_s3::Client {
    s3_over(sim, sim.http_client(label), region)
}

pub fn s3control(sim: &Simulator, label: &str, region: &str) -> aws_sdk_s3control::Client {
    let builder = aws_sdk_s3control::Config::builder();
    let http = sim.http_client(label);
    aws_sdk_s3control::Client::from_conf(sdk_config!(builder, sim, http, region, ACCOUNT))
}

pub fn sns(sim: &Simulator, label: &str, region: &str) -> aws_sdk_sns::Client {
    let builder = aws_sdk_sns::Config::builder();
    let http = sim.http_client(label);
    aws_sdk_sns::Client::from_conf(sdk_config!(builder, sim, http, region, ACCOUNT))
}

pub fn cloudwatch(sim: &Simulator, label: &str, region: &str) -> aws_sdk_cloudwatch::Client {
    let builder = aws_sdk_cloudwatch::Config::builder();
    let http = sim.http_client(label);
    aws_sdk_cloudwatch::Client::from_conf(sdk_config!(builder, sim, http, region, ACCOUNT))
}

pub async fn put(client: &aws_sdk_s3::Client, bucket: &str, key: &str, body: &str) -> String {
    let put = client.put_object().bucket(bucket).key(key);
    let put = put.body(body.to_owned().into_bytes().into());
    put.send().await.unwrap().e_tag.unwrap()
}

pub async fn get(client: &aws_sdk_s3::Client, bucket: &str, key: &str) -> String {
    let get = client.get_object().bucket(bucket).key(key);
    let body = get.send().await.unwrap().body.collect().await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Status and error code; 0 when no answer came.
pub fn refusal<T, E>(result: Result<T, SdkError<E, HttpResponse>>) -> (u16, String)
where
    E: ProvideErrorMetadata,
{
    match result {
        Ok(_) => (200, String::new()),
        Err(error) => {
            let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
            let code = error
                .as_service_error()
                .and_then(ProvideErrorMetadata::code);
            (status, code.unwrap_or_default().to_owned())
        }
    }
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn at(secs: u64) -> SimTime {
    SimTime::from_secs(secs)
}
