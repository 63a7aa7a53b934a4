//! A Lambda Runtime API on loopback: what an execution environment offers the function's process.
//!
//! After <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// Where the calls of this version of the interface begin.
const PREFIX: &str = "/2018-06-01/runtime/";

/// What the function is asked.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The event; a text that is no JSON is sent as it is.
    pub payload: Vec<u8>,
    /// Lambda repeats it when it retries an asynchronous event.
    pub request_id: String,
    /// When Lambda would end the invocation.
    pub deadline: Timestamp,
}

impl Invocation {
    /// This event under this request id, to be answered within `limit` from now.
    #[must_use]
    pub fn new(payload: &Value, request_id: impl Into<String>, limit: Duration) -> Self {
        let limit = SignedDuration::try_from(limit).expect("a few seconds");
        Self {
            payload: payload.to_string().into_bytes(),
            request_id: request_id.into(),
            deadline: crate::now().checked_add(limit).expect("a near deadline"),
        }
    }
}

/// What the function reported.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It answered.
    Response(Value),
    /// The invocation failed.
    Error(Failure),
}

/// An error as the Runtime API takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `errorType`.
    pub kind: String,
    /// `errorMessage`.
    pub message: String,
}

/// A running Runtime API for one process. Its listener closes when it is dropped.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    /// An invocation waits.
    queued: Notify,
    /// `next` was called, so the process has started.
    ready: Notify,
}

#[derive(Debug, Default)]
struct Ledger {
    waiting: VecDeque<(Invocation, oneshot::Sender<Outcome>)>,
    running: BTreeMap<String, oneshot::Sender<Outcome>>,
    init_error: Option<Failure>,
    /// Calls that are not part of the interface, or about an invocation that is not running.
    unexpected: Vec<String>,
}

impl RuntimeApi {
    /// Listens on a free port of the loopback interface.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a bound listener");
        let shared = Arc::new(Shared::default());
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            server,
        }
    }

    /// For `AWS_LAMBDA_RUNTIME_API`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Queues an invocation. The receiver fails if this API is dropped before it is answered.
    #[must_use]
    pub fn begin(&self, invocation: Invocation) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.ledger(|ledger| ledger.waiting.push_back((invocation, sender)));
        self.shared.queued.notify_one();
        receiver
    }

    /// Waits until the process has asked for its first (or another) invocation.
    pub async fn ready(&self) {
        self.shared.ready.notified().await;
    }

    /// What the process said about its failed start.
    #[must_use]
    pub fn init_error(&self) -> Option<Failure> {
        self.ledger(|ledger| ledger.init_error.clone())
    }

    /// Calls that a correct runtime does not make.
    #[must_use]
    pub fn unexpected(&self) -> Vec<String> {
        self.ledger(|ledger| ledger.unexpected.clone())
    }

    fn ledger<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        work(&mut self.shared.ledger.lock().unwrap())
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(shared.answer(request).await) }
        });
        tokio::spawn(async move {
            // A connection ends with its process, killed or not.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let Ok(body) = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
        else {
            return plain(StatusCode::BAD_REQUEST);
        };
        let path = parts.uri.path();
        let Some(call) = path.strip_prefix(PREFIX) else {
            return self.unexpected(&parts.method, path);
        };
        let words: Vec<&str> = call.split('/').collect();
        match (&parts.method, words.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => {
                let value = serde_json::from_slice(&body)
                    .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
                self.finish(id, Outcome::Response(value))
            }
            (&Method::POST, ["invocation", id, "error"]) => {
                self.finish(id, Outcome::Error(failure(&parts.headers, &body)))
            }
            (&Method::POST, ["init", "error"]) => {
                self.ledger.lock().unwrap().init_error = Some(failure(&parts.headers, &body));
                plain(StatusCode::ACCEPTED)
            }
            _ => self.unexpected(&parts.method, path),
        }
    }

    /// The long poll: answers when there is an invocation.
    async fn next(&self) -> Response<Full<Bytes>> {
        self.ready.notify_one();
        loop {
            let queued = self.queued.notified();
            if let Some(response) = self.take() {
                return response;
            }
            queued.await;
        }
    }

    fn take(&self) -> Option<Response<Full<Bytes>>> {
        let mut ledger = self.ledger.lock().unwrap();
        let (invocation, sender) = ledger.waiting.pop_front()?;
        ledger.running.insert(invocation.request_id.clone(), sender);
        let deadline = invocation.deadline.as_millisecond();
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &invocation.request_id)
            .header("lambda-runtime-deadline-ms", deadline)
            .header(
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-2:111122223333:function:failover",
            )
            .header(
                "lambda-runtime-trace-id",
                "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
            )
            .body(Full::new(Bytes::from(invocation.payload)))
            .expect("a request id is a header's value");
        Some(response)
    }

    fn finish(&self, request_id: &str, outcome: Outcome) -> Response<Full<Bytes>> {
        let mut ledger = self.ledger.lock().unwrap();
        let Some(sender) = ledger.running.remove(request_id) else {
            let text = format!("{request_id} is answered and does not run: {outcome:?}");
            ledger.unexpected.push(text);
            return plain(StatusCode::BAD_REQUEST);
        };
        // Whoever asked may have stopped waiting.
        let _ = sender.send(outcome);
        plain(StatusCode::ACCEPTED)
    }

    fn unexpected(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let mut ledger = self.ledger.lock().unwrap();
        ledger.unexpected.push(format!("{method} {path}"));
        plain(StatusCode::NOT_FOUND)
    }
}

fn failure(headers: &HeaderMap, body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| body[name].as_str().map(str::to_owned);
    let header = headers
        .get("lambda-runtime-function-error-type")
        .and_then(|value| value.to_str().ok());
    Failure {
        kind: field("errorType")
            .or_else(|| header.map(str::to_owned))
            .unwrap_or_default(),
        message: field("errorMessage").unwrap_or_default(),
    }
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"status\":\"OK\"}")));
    *response.status_mut() = status;
    response
}
