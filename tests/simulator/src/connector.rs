//! The SDK's HTTP client interface over the world, in process and on virtual time.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::Simulator;
use crate::log::Fate;
use crate::simulator::Leave;
use crate::world::{Course, Exchange, Sender};

/// An HTTP client with a connection pool of its own; clones share the pool.
#[derive(Debug, Clone)]
pub struct SimClient {
    simulator: Simulator,
    label: String,
    pool: u64,
}

impl SimClient {
    pub(crate) fn new(simulator: Simulator, label: String, pool: u64) -> Self {
        Self {
            simulator,
            label,
            pool,
        }
    }

    /// The client's label.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// A client of the same label with a fresh pool.
    #[must_use]
    pub fn fresh_pool(&self) -> Self {
        self.simulator.http_client(&self.label)
    }

    /// See [`Simulator::crash_after`].
    pub fn crash_after(&self, n: u64) {
        self.simulator.crash_after(&self.label, n);
    }

    /// See [`Simulator::crashed`].
    pub async fn crashed(&self) {
        self.simulator.crashed(&self.label).await;
    }
}

impl HttpClient for SimClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            client: self.clone(),
            connect_timeout: settings.connect_timeout(),
            read_timeout: settings.read_timeout(),
        })
    }
}

#[derive(Debug, Clone)]
struct Connector {
    client: SimClient,
    connect_timeout: Option<Duration>,
    read_timeout: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        HttpConnectorFuture::new(async move { connector.exchange(request).await })
    }
}

impl Connector {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = collect(request).await?;
        let simulator = &self.client.simulator;
        let leave = simulator.leave_to_send(&self.client.label);
        if leave == Leave::Dead {
            return pending().await;
        }
        let sender = Sender {
            label: &self.client.label,
            pool: self.client.pool,
            wall: None,
        };
        let started = simulator.now();
        let exchange = simulator.with(|world| world.begin(sender, &request));
        let ticket = Ticket::new(simulator.clone(), exchange.seq);
        if leave == Leave::SendAndCrash {
            simulator.report_crash(&self.client.label);
            return pending().await;
        }
        let Exchange {
            connect,
            unconnected,
            course,
            ..
        } = exchange;
        let clock = simulator.clock();
        match course {
            Course::Refused { after } => {
                clock.sleep_until(started + after).await;
                ticket.settle(Fate::ConnectionFailed);
                Err(io_error(
                    std::io::ErrorKind::ConnectionRefused,
                    "connection refused",
                ))
            }
            Course::Unresolved { after } => {
                clock.sleep_until(started + after).await;
                ticket.settle(Fate::ConnectionFailed);
                Err(io_error(
                    std::io::ErrorKind::NotFound,
                    "dns error: failed to lookup address information: Name or service not known",
                ))
            }
            Course::Silent => {
                let (phase, limit) = if unconnected {
                    ("connect", self.connect_timeout)
                } else {
                    ("read", self.read_timeout.map(|limit| connect + limit))
                };
                let Some(limit) = limit else {
                    return pending().await;
                };
                clock.sleep_until(started + limit).await;
                Err(timeout(phase, limit))
            }
            Course::Answer {
                after,
                response,
                stalls,
            } => {
                if let Some(limit) = self.connect_timeout.filter(|limit| connect > *limit) {
                    clock.sleep_until(started + limit).await;
                    return Err(timeout("connect", limit));
                }
                let limit = self.read_timeout.map(|limit| connect + limit);
                if let Some(limit) = limit.filter(|limit| after > *limit) {
                    clock.sleep_until(started + limit).await;
                    return Err(timeout("read", limit));
                }
                clock.sleep_until(started + after).await;
                Ok(deliver(response, stalls, ticket)?)
            }
        }
    }
}

async fn collect(request: HttpRequest) -> Result<http::Request<Bytes>, ConnectorError> {
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(ConnectorError::user)?;
    Ok(http::Request::from_parts(parts, body.to_bytes()))
}

fn deliver(
    response: http::Response<Bytes>,
    stalls: bool,
    ticket: Ticket,
) -> Result<HttpResponse, ConnectorError> {
    let response = response.map(|body| {
        if stalls {
            SdkBody::from_body_1_x(StallingBody::new(body, ticket))
        } else {
            ticket.settle(Fate::Answered);
            SdkBody::from(body)
        }
    });
    HttpResponse::try_from(response).map_err(|error| ConnectorError::user(error.into()))
}

fn timeout(phase: &str, limit: Duration) -> ConnectorError {
    let message = format!("HTTP {phase} timeout occurred after {limit:?}");
    ConnectorError::timeout(std::io::Error::new(std::io::ErrorKind::TimedOut, message).into())
}

fn io_error(kind: std::io::ErrorKind, message: &str) -> ConnectorError {
    ConnectorError::io(std::io::Error::new(kind, message).into())
}

/// Tells the world a request's fate; dropping it means that the client gave up.
#[derive(Debug)]
pub(crate) struct Ticket {
    simulator: Simulator,
    seq: u64,
    settled: bool,
}

impl Ticket {
    pub(crate) fn new(simulator: Simulator, seq: u64) -> Self {
        Self {
            simulator,
            seq,
            settled: false,
        }
    }

    pub(crate) fn settle(mut self, fate: Fate) {
        self.settled = true;
        self.simulator.with(|world| world.settle(self.seq, fate));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Without a runtime there is no clock: the run is over. So it is in a panic.
        if !self.settled
            && !std::thread::panicking()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            let seq = self.seq;
            self.simulator.with(|world| world.settle(seq, Fate::GaveUp));
        }
    }
}

/// The first half of a body, then nothing.
#[derive(Debug)]
pub(crate) struct StallingBody {
    half: Option<Bytes>,
    size: u64,
    _ticket: Ticket,
}

impl StallingBody {
    pub(crate) fn new(mut body: Bytes, ticket: Ticket) -> Self {
        let size = body.len() as u64;
        body.truncate(body.len() / 2);
        Self {
            half: Some(body),
            size,
            _ticket: ticket,
        }
    }
}

impl Body for StallingBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.half.take() {
            Some(half) if !half.is_empty() => Poll::Ready(Some(Ok(Frame::data(half)))),
            // Never woken again: the reader's own time-out must end it.
            _ => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.size)
    }
}
