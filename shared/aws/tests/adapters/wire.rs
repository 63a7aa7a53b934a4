//! A scripted world: an HTTP client whose answers a test writes down.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use sentinel_aws::edge::{Edge, EdgeParts, HttpClients, Sink};
use sentinel_aws::endpoints::EndpointOverrides;

/// When every test begins.
pub(crate) const EPOCH: &str = "2026-11-20T16:59:03Z";

/// A request as it left the SDK.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Milliseconds since the test began.
    pub(crate) at: u128,
    /// Which pool of connections it used: 0 is the long-lived one.
    pub(crate) pool: usize,
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The host and port that the connection goes to.
    pub(crate) fn authority(&self) -> &str {
        self.uri.split('/').nth(2).unwrap()
    }

    /// Path and query.
    pub(crate) fn path(&self) -> &str {
        &self.uri[self.uri.find("://").unwrap() + 3 + self.authority().len()..]
    }

    /// The Region in the request's signature.
    pub(crate) fn region(&self) -> &str {
        self.header("authorization")
            .unwrap()
            .split('/')
            .nth(2)
            .unwrap()
    }
}

/// What the world does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    After(u64, Box<Reply>),
    Refuse,
    Hang,
}

pub(crate) fn answer(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply::Answer {
        status,
        headers: Vec::new(),
        body: body.into(),
    }
}

pub(crate) fn answer_with(
    status: u16,
    headers: &[(&'static str, &str)],
    body: impl Into<Vec<u8>>,
) -> Reply {
    Reply::Answer {
        status,
        headers: headers.iter().map(|(k, v)| (*k, (*v).to_owned())).collect(),
        body: body.into(),
    }
}

pub(crate) fn error(status: u16, code: &str) -> Reply {
    answer(
        status,
        format!("<Error><Code>{code}</Code><Message>scripted</Message></Error>"),
    )
}

pub(crate) fn after(millis: u64, reply: Reply) -> Reply {
    Reply::After(millis, Box::new(reply))
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

/// The scripted world and everything that reached it.
#[derive(Clone)]
pub(crate) struct World {
    script: Arc<Script>,
    requests: Arc<Mutex<Vec<Request>>>,
    lines: Arc<Mutex<Vec<String>>>,
    pools: Arc<Mutex<usize>>,
    epoch: Timestamp,
    begun: tokio::time::Instant,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

impl World {
    #[expect(
        clippy::disallowed_methods,
        reason = "tokio's paused clock is the injected one"
    )]
    pub(crate) fn new(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            script: Arc::new(script),
            requests: Arc::default(),
            lines: Arc::default(),
            pools: Arc::default(),
            epoch: EPOCH.parse().unwrap(),
            begun: tokio::time::Instant::now(),
        }
    }

    pub(crate) fn edge(&self) -> Arc<Edge> {
        self.edge_with(EndpointOverrides::default())
    }

    pub(crate) fn edge_with(&self, endpoints: EndpointOverrides) -> Arc<Edge> {
        Arc::new(Edge::new(self.parts(endpoints)))
    }

    pub(crate) fn parts(&self, endpoints: EndpointOverrides) -> EdgeParts {
        EdgeParts {
            http: Arc::new(self.clone()),
            time_source: SharedTimeSource::new(self.clone()),
            sleep: SharedAsyncSleep::new(TokioSleep::new()),
            credentials: SharedCredentialsProvider::new(Credentials::new(
                "AKIDSCRIPTED",
                "secret",
                None,
                None,
                "scripted",
            )),
            identity_cache: IdentityCache::no_cache(),
            region: "eu-central-1".parse().unwrap(),
            endpoints,
            retry_partition: Arc::new(|name| {
                RetryPartition::custom(name.to_owned())
                    .token_bucket(TokenBucket::new(500))
                    .build()
            }),
            stdout: Arc::new(self.clone()),
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn elapsed(&self) -> u128 {
        self.begun.elapsed().as_millis()
    }

    /// This many milliseconds after the test began.
    pub(crate) fn at(&self, millis: i64) -> Timestamp {
        self.epoch + jiff::SignedDuration::from_millis(millis)
    }
}

impl TimeSource for World {
    fn now(&self) -> std::time::SystemTime {
        std::time::SystemTime::from(self.epoch) + self.begun.elapsed()
    }
}

impl Sink for World {
    fn line(&self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }
}

impl HttpClients for World {
    fn fresh(&self) -> SharedHttpClient {
        let mut pools = self.pools.lock().unwrap();
        let pool = *pools;
        *pools += 1;
        SharedHttpClient::new(Client {
            world: self.clone(),
            pool,
        })
    }
}

#[derive(Debug, Clone)]
struct Client {
    world: World,
    pool: usize,
}

impl HttpClient for Client {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Client {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = Request {
            at: self.world.elapsed(),
            pool: self.pool,
            method: request.method().to_owned(),
            uri: request.uri().to_owned(),
            headers: request
                .headers()
                .iter()
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
            body: String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned(),
        };
        let reply = (self.world.script)(&request);
        self.world.requests.lock().unwrap().push(request);
        HttpConnectorFuture::new(play(reply))
    }
}

async fn play(mut reply: Reply) -> Result<HttpResponse, ConnectorError> {
    loop {
        match reply {
            Reply::After(millis, then) => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the scripted network waits on paused time"
                )]
                tokio::time::sleep(Duration::from_millis(millis)).await;
                reply = *then;
            }
            Reply::Hang => std::future::pending().await,
            Reply::Refuse => {
                return Err(ConnectorError::io(
                    std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into(),
                ));
            }
            Reply::Answer {
                status,
                headers,
                body,
            } => {
                let mut response =
                    HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body));
                for (name, value) in headers {
                    response.headers_mut().insert(name, value);
                }
                return Ok(response);
            }
        }
    }
}
