//! The edge: everything that reaches outside the process, injected in one place.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep, Sleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::identity::SharedIdentityCache;
use aws_types::SdkConfig;
use jiff::Timestamp;
use sentinel_core::names::Region;

use crate::endpoints::{EndpointError, EndpointOverrides, S3ControlResolver, S3Resolver, Service};
use crate::limits::Purpose;

/// Makes HTTP clients.
pub trait HttpClients: Send + Sync + fmt::Debug {
    /// A client with an empty connection pool.
    fn fresh(&self) -> SharedHttpClient;
}

/// Standard output: logs and embedded metrics, one JSON document a line.
pub trait Sink: Send + Sync + fmt::Debug {
    /// Writes one line; `line` contains no line break.
    fn line(&self, line: &str);
}

/// Names the retry partition of a client, given its service and Region such as `s3-eu-west-1`.
pub type RetryPartitions = Arc<dyn Fn(&str) -> RetryPartition + Send + Sync>;

/// What an [`Edge`] is made of. Tests, emulators and simulators fill it in themselves.
#[derive(Clone)]
pub struct EdgeParts {
    /// Where connections come from.
    pub http: Arc<dyn HttpClients>,
    /// What time it is.
    pub time_source: SharedTimeSource,
    /// How to wait.
    pub sleep: SharedAsyncSleep,
    /// Who is asking.
    pub credentials: SharedCredentialsProvider,
    /// How credentials are kept between requests. The SDK's lazy cache jitters its refreshes, so
    /// repeatable runs take `IdentityCache::no_cache()`.
    pub identity_cache: SharedIdentityCache,
    /// The control Region: where this runs.
    pub region: Region,
    /// Endpoint overrides.
    pub endpoints: EndpointOverrides,
    /// Retry quota of each client. The SDK's default partitions are shared by the whole process.
    pub retry_partition: RetryPartitions,
    /// Standard output.
    pub stdout: Arc<dyn Sink>,
}

/// Builds every client, tells the time, waits and prints.
pub struct Edge {
    parts: EdgeParts,
    http: SharedHttpClient,
    s3: Cache<aws_sdk_s3::Client>,
    s3control: Cache<aws_sdk_s3control::Client>,
    sns: Cache<aws_sdk_sns::Client>,
    cloudwatch: Cache<aws_sdk_cloudwatch::Client>,
}

/// Clients by Region and purpose: building one costs more than a request.
type Cache<C> = Mutex<BTreeMap<(Region, Purpose), C>>;

/// Why there is no edge.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// A variable that Lambda sets is missing.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// A variable cannot be used.
    #[error("{variable}: {reason}")]
    Invalid {
        /// The environment variable.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An endpoint override cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("region", &self.parts.region)
            .field("endpoints", &self.parts.endpoints)
            .finish_non_exhaustive()
    }
}

impl Edge {
    /// An edge over these parts.
    #[must_use]
    pub fn new(parts: EdgeParts) -> Self {
        Self {
            http: parts.http.fresh(),
            parts,
            s3: Cache::default(),
            s3control: Cache::default(),
            sns: Cache::default(),
            cloudwatch: Cache::default(),
        }
    }

    /// The real world: the system's clock and network, the SDK's chain of credentials, and the
    /// Region and endpoint overrides of the environment.
    ///
    /// # Errors
    /// [`EdgeError`] names the variable that is missing or not usable.
    pub async fn from_env() -> Result<Self, EdgeError> {
        #[expect(clippy::disallowed_methods, reason = "this is the edge")]
        let lookup = |name: &str| std::env::var(name).ok();
        let region: Region = lookup("AWS_REGION")
            .ok_or(EdgeError::Missing("AWS_REGION"))?
            .parse()
            .map_err(
                |error: sentinel_core::names::NameError| EdgeError::Invalid {
                    variable: "AWS_REGION",
                    reason: error.to_string(),
                },
            )?;
        let endpoints = EndpointOverrides::from_lookup(lookup)?;
        let credentials =
            aws_config::default_provider::credentials::DefaultCredentialsChain::builder()
                .region(sdk_region(&region))
                .build()
                .await;
        Ok(Self::new(EdgeParts {
            http: Arc::new(Https),
            time_source: SharedTimeSource::new(SystemTimeSource::new()),
            sleep: SharedAsyncSleep::new(TokioSleep::new()),
            credentials: SharedCredentialsProvider::new(credentials),
            identity_cache: IdentityCache::lazy().build(),
            region,
            endpoints,
            retry_partition: Arc::new(|name| RetryPartition::new(name.to_owned())),
            stdout: Arc::new(Stdout),
        }))
    }

    /// The control Region: where this runs.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.parts.region
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        // Only a clock outside the years -9999 to 9999 cannot be told as a timestamp.
        Timestamp::try_from(self.parts.time_source.now()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Waits.
    pub async fn sleep(&self, duration: Duration) {
        self.parts.sleep.sleep(duration).await;
    }

    /// A timer that can be polled again and again.
    pub(crate) fn timer(&self, duration: Duration) -> Sleep {
        self.parts.sleep.sleep(duration)
    }

    /// How long it is until `until`; zero once it has passed.
    #[must_use]
    pub fn left(&self, until: Timestamp) -> Duration {
        Duration::try_from(until.duration_since(self.now())).unwrap_or_default()
    }

    /// What `work` gives, or nothing if it takes longer than `limit`; then it is dropped.
    pub fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> impl Future<Output = Option<T>> {
        // The future of an SDK request has tens of kilobytes: on the heap it is moved once.
        let work = Box::pin(work);
        let expired = self.timer(limit);
        async move {
            tokio::select! {
                biased;
                done = work => Some(done),
                () = expired => None,
            }
        }
    }

    /// Prints one line.
    pub fn print(&self, line: &str) {
        self.parts.stdout.line(line);
    }

    /// S3 in this Region.
    #[must_use]
    pub fn s3(&self, region: &Region, purpose: Purpose) -> aws_sdk_s3::Client {
        cached(&self.s3, region, purpose, || {
            self.new_s3(region, purpose, self.http.clone())
        })
    }

    /// S3 over a new pool of connections: an open connection through the Multi-Region Access
    /// Point keeps going where it went before the routes changed.
    #[must_use]
    pub fn s3_fresh(&self, region: &Region, purpose: Purpose) -> aws_sdk_s3::Client {
        self.new_s3(region, purpose, self.parts.http.fresh())
    }

    fn new_s3(
        &self,
        region: &Region,
        purpose: Purpose,
        http: SharedHttpClient,
    ) -> aws_sdk_s3::Client {
        let config = self.sdk_config(region, purpose, http);
        let mut builder = aws_sdk_s3::config::Builder::from(&config)
            .retry_partition(self.retry_partition(Service::S3, region));
        if purpose == Purpose::Upload {
            // Else the SDK states a CRC32 with every part, but no algorithm when the upload is
            // created, which S3 has refused with a 400. TLS and the entity tags guard the parts.
            builder = builder.request_checksum_calculation(
                aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired,
            );
        }
        if let Some(to) = self.parts.endpoints.of(Service::S3) {
            // Otherwise the bucket's name would become part of the host.
            builder = builder
                .force_path_style(true)
                .endpoint_resolver(S3Resolver::new(to.clone()));
        }
        aws_sdk_s3::Client::from_conf(builder.build())
    }

    /// S3 Control in this Region.
    #[must_use]
    pub fn s3control(&self, region: &Region, purpose: Purpose) -> aws_sdk_s3control::Client {
        cached(&self.s3control, region, purpose, || {
            let config = self.sdk_config(region, purpose, self.http.clone());
            let mut builder = aws_sdk_s3control::config::Builder::from(&config)
                .retry_partition(self.retry_partition(Service::S3Control, region));
            if let Some(to) = self.parts.endpoints.of(Service::S3Control) {
                builder = builder.endpoint_resolver(S3ControlResolver::new(to.clone()));
            }
            aws_sdk_s3control::Client::from_conf(builder.build())
        })
    }

    /// SNS in this Region.
    #[must_use]
    pub fn sns(&self, region: &Region, purpose: Purpose) -> aws_sdk_sns::Client {
        cached(&self.sns, region, purpose, || {
            let config = self.sdk_config(region, purpose, self.http.clone());
            let mut builder = aws_sdk_sns::config::Builder::from(&config)
                .retry_partition(self.retry_partition(Service::Sns, region));
            if let Some(to) = self.parts.endpoints.of(Service::Sns) {
                builder = builder.endpoint_url(to.as_str());
            }
            aws_sdk_sns::Client::from_conf(builder.build())
        })
    }

    /// CloudWatch in this Region.
    #[must_use]
    pub fn cloudwatch(&self, region: &Region, purpose: Purpose) -> aws_sdk_cloudwatch::Client {
        cached(&self.cloudwatch, region, purpose, || {
            let config = self.sdk_config(region, purpose, self.http.clone());
            let mut builder = aws_sdk_cloudwatch::config::Builder::from(&config)
                .retry_partition(self.retry_partition(Service::CloudWatch, region));
            if let Some(to) = self.parts.endpoints.of(Service::CloudWatch) {
                builder = builder.endpoint_url(to.as_str());
            }
            aws_sdk_cloudwatch::Client::from_conf(builder.build())
        })
    }

    fn retry_partition(&self, service: Service, region: &Region) -> RetryPartition {
        (self.parts.retry_partition)(&format!("{}-{region}", service.name()))
    }

    fn sdk_config(&self, region: &Region, purpose: Purpose, http: SharedHttpClient) -> SdkConfig {
        let limits = purpose.limits();
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(sdk_region(region))
            .http_client(http)
            .time_source(self.parts.time_source.clone())
            .sleep_impl(self.parts.sleep.clone())
            .credentials_provider(self.parts.credentials.clone())
            .identity_cache(self.parts.identity_cache.clone())
            .timeout_config(limits.timeouts())
            .retry_config(limits.retries())
            .build()
    }
}

fn cached<C: Clone>(
    cache: &Cache<C>,
    region: &Region,
    purpose: Purpose,
    make: impl FnOnce() -> C,
) -> C {
    let mut clients = cache.lock().unwrap_or_else(PoisonError::into_inner);
    clients
        .entry((region.clone(), purpose))
        .or_insert_with(make)
        .clone()
}

fn sdk_region(region: &Region) -> aws_types::region::Region {
    aws_types::region::Region::new(region.as_str().to_owned())
}

/// Real connections: TLS against the platform's roots, plain HTTP where an override asks for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Https;

impl HttpClients for Https {
    fn fresh(&self) -> SharedHttpClient {
        use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
        aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build_https()
    }
}

/// The process's standard output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stdout;

impl Sink for Stdout {
    fn line(&self, line: &str) {
        // Whoever closed standard output cannot be told that it is closed.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}
