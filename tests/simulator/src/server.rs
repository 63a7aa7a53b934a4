//! The world on loopback, for any SDK in any language.
//!
//! Point the SDK's endpoint at the listener, path style for S3, with the account's twelve digits
//! as access key id and any secret. The Region comes from the signature. An MRAP is reached by
//! the `Host` header `<alias>.accesspoint.s3-global.amazonaws.com`. A client is labelled by its
//! application id (`AWS_SDK_UA_APP_ID`), else `http`.
//!
//! Control calls, all JSON:
//!
//! | call | effect |
//! |---|---|
//! | `POST /_sim/faults` | add a [`Fault`]; answers `{"id": n}` |
//! | `DELETE /_sim/faults`, `DELETE /_sim/faults/{id}` | clear all faults and outages, or one fault |
//! | `POST /_sim/outages` | plan an [`Outage`] |
//! | `DELETE /_sim/outages/{region}` | end a Region's outages |
//! | `POST /_sim/advance` | `{"millis": n}` of virtual time pass at once |
//! | `POST /_sim/reset` | a fresh world: the same blueprint, or the one in the body |
//! | `POST /_sim/routes` | `{"alias": …, "dials": {bucket: dial}}`, as a person would |
//! | `POST /_sim/metrics` | `{"region": …, "metric": …, "value": n}` |
//! | `POST /_sim/replication` | `{"source": bucket, "destination": bucket, "reason": …}`: it fails so; without a reason it works again |
//! | `POST /_sim/alarms/state` | `{"region": …, "name": …, "state": …, "reason": …}` |
//! | `POST /_sim/versioning` | `{"bucket": …, "versioning": "suspended"}` |
//! | `POST /_sim/kms` | `{"key": …, "state": "enabled"}`, `disabled` or `deleted` |
//! | `POST /_sim/batch-role` | `{"denial": "read-manifest", "on": true}` |
//! | `GET /_sim/jobs`, `/_sim/tasks?job=…` | Batch Operations jobs, and the tasks of one |
//! | `GET /_sim/state`, `/log`, `/published`, `/writes` | the truth |
//! | `GET /_sim/object?bucket=…&key=…` | versions of an object, newest first |
//! | `GET /_sim/deliveries` | takes the alarm deliveries that have arrived |
//! | `GET /_sim/messages?limit=…` | takes the messages about replication that have arrived, `[{"id", "body", …}]` |

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::cloudwatch::{AlarmState, MetricName};
use crate::connector::{StallingBody, Ticket};
use crate::faults::{Fault, FaultId, Outage};
use crate::log::Fate;
use crate::truth::Task;
use crate::wire::query;
use crate::world::{Course, Sender};
use crate::{BatchDenial, Simulator, Versioning, World, WorldConfig};

type Body = BoxBody<Bytes, Infallible>;

/// Serves the world until the future is dropped.
///
/// # Errors
/// When the listener fails.
pub async fn serve(simulator: Simulator, listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve_connection(simulator.clone(), stream));
    }
}

/// A TCP connection is a connection pool of its own.
async fn serve_connection(simulator: Simulator, stream: TcpStream) {
    let pool = simulator.new_pool();
    let service = service_fn(move |request| answer(simulator.clone(), pool, request));
    // A failed connection is the client's to notice: refusing ends it on purpose.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    simulator: Simulator,
    pool: u64,
    request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let request = Request::from_parts(parts, body);
    if let Some(path) = request.uri().path().strip_prefix("/_sim/") {
        return Ok(control(&simulator, path, &request));
    }
    exchange(simulator, pool, request).await
}

async fn exchange(
    simulator: Simulator,
    pool: u64,
    request: Request<Bytes>,
) -> io::Result<Response<Body>> {
    let label = label_of(&request);
    let sender = Sender {
        label: &label,
        pool,
        wall: Some(wall_clock()),
    };
    let started = simulator.now();
    let exchange = simulator.with(|world| world.begin(sender, &request));
    let ticket = Ticket::new(simulator.clone(), exchange.seq);
    match exchange.course {
        Course::Silent => pending().await,
        Course::Refused { after } | Course::Unresolved { after } => {
            simulator.clock().sleep_until(started + after).await;
            ticket.settle(Fate::ConnectionFailed);
            Err(io::Error::from(io::ErrorKind::ConnectionAborted))
        }
        Course::Answer {
            after,
            response,
            stalls,
        } => {
            simulator.clock().sleep_until(started + after).await;
            Ok(response.map(|body| {
                if stalls {
                    StallingBody::new(body, ticket).boxed()
                } else {
                    ticket.settle(Fate::Answered);
                    Full::new(body).boxed()
                }
            }))
        }
    }
}

/// `app/<name>` of the user agent.
fn label_of(request: &Request<Bytes>) -> String {
    let agents = ["x-amz-user-agent", "user-agent"];
    let mut words = agents
        .iter()
        .filter_map(|name| request.headers().get(*name)?.to_str().ok())
        .flat_map(|agent| agent.split(' '));
    words
        .find_map(|word| word.strip_prefix("app/"))
        .unwrap_or("http")
        .to_owned()
}

#[expect(
    clippy::disallowed_methods,
    reason = "SDKs outside sign by the wall clock, and their skew is judged by it"
)]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}

#[derive(Deserialize)]
struct Advance {
    millis: u64,
}

#[derive(Deserialize)]
struct Dials {
    alias: String,
    dials: std::collections::BTreeMap<String, u8>,
}

#[derive(Deserialize)]
struct MetricPoint {
    region: String,
    metric: MetricName,
    value: f64,
}

#[derive(Deserialize)]
struct Denial {
    source: String,
    destination: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct ForcedState {
    region: String,
    name: String,
    state: AlarmState,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct VersioningChange {
    bucket: String,
    versioning: Versioning,
}

#[derive(Deserialize)]
struct KeyChange {
    key: String,
    state: KeyUse,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeyUse {
    Enabled,
    Disabled,
    Deleted,
}

#[derive(Deserialize)]
struct RoleChange {
    denial: BatchDenial,
    on: bool,
}

fn control(simulator: &Simulator, path: &str, request: &Request<Bytes>) -> Response<Body> {
    let result = match request.method().as_str() {
        "GET" => look(simulator, path, request.uri().query().unwrap_or_default()),
        "POST" => change(simulator, path, request.body()),
        "DELETE" => remove(simulator, path),
        _ => Err("use GET, POST or DELETE".to_owned()),
    };
    let (status, value) = match result {
        Ok(value) => (StatusCode::OK, value),
        Err(message) => (StatusCode::BAD_REQUEST, json!({ "error": message })),
    };
    let body = Full::new(Bytes::from(value.to_string())).boxed();
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(body)
        .expect("constant headers")
}

fn look(simulator: &Simulator, path: &str, parameters: &str) -> Result<Value, String> {
    simulator.with(|world| {
        Ok(match path {
            "state" => world.dump(),
            "log" => json!(world.log()),
            "published" => json!(world.published()),
            "writes" => json!(world.writes()),
            "deliveries" => json!(world.take_deliveries()),
            "jobs" => json!(world.jobs()),
            "tasks" => tasks(world, parameters),
            "messages" => {
                let parameters = query::parse(parameters);
                let limit = parameters.get("limit").map(|limit| limit.parse());
                let limit = limit.transpose().map_err(|_| "limit is not a number")?;
                json!(world.take_some_replication_messages(limit.unwrap_or(usize::MAX)))
            }
            "object" => {
                let parameters = query::parse(parameters);
                let of = |name: &str| parameters.get(name).map_or("", String::as_str);
                let versions = world.versions(of("bucket"), of("key"));
                versions
                    .into_iter()
                    .map(|version| {
                        json!({
                            "version_id": &*version.version_id,
                            "etag": &*version.etag,
                            "size": version.body.len(),
                            "body": String::from_utf8_lossy(&version.body),
                            "metadata": version.properties.metadata,
                            "last_modified_ms": version.last_modified,
                            "delete_marker": version.delete_marker,
                            "replication": version.replication(),
                            "transfers": version.transfers.to_map(),
                        })
                    })
                    .collect()
            }
            _ => return Err(format!("unknown control call {path}")),
        })
    })
}

/// The tasks of a job.
fn tasks(world: &World, parameters: &str) -> Value {
    let parameters = query::parse(parameters);
    let tasks = world.job_tasks(parameters.get("job").map_or("", String::as_str));
    let task = |task: &Task| {
        json!({
            "at_ms": task.at,
            "key": &*task.key,
            "version_id": &*task.version_id,
            "failure": task.failure,
        })
    };
    tasks.iter().map(task).collect()
}

fn change(simulator: &Simulator, path: &str, body: &[u8]) -> Result<Value, String> {
    match path {
        "faults" => {
            let fault: Fault = parse(body)?;
            let id = simulator.with(|world| world.add_fault(fault));
            return Ok(json!({ "id": id }));
        }
        "outages" => {
            let outage: Outage = parse(body)?;
            simulator.with(|world| world.region_down(outage));
        }
        "advance" => {
            let advance: Advance = parse(body)?;
            simulator
                .clock()
                .advance(Duration::from_millis(advance.millis));
        }
        "reset" => {
            let config = if body.is_empty() {
                let mut config = simulator.with(|world| world.config().clone());
                config.epoch = wall_clock();
                config
            } else {
                parse::<WorldConfig>(body)?
            };
            simulator.reset(config);
        }
        "routes" => {
            let dials: Dials = parse(body)?;
            change_routes(simulator, &dials)?;
        }
        "metrics" => {
            let point: MetricPoint = parse(body)?;
            simulator.with(|world| world.put_metric(&point.region, &point.metric, point.value));
        }
        "alarms/state" => {
            let forced: ForcedState = parse(body)?;
            simulator.with(|world| {
                if world.alarm_state(&forced.region, &forced.name).is_none() {
                    return Err("no such alarm".to_owned());
                }
                let (region, name) = (&forced.region, &forced.name);
                world.set_alarm_state(region, name, forced.state, &forced.reason);
                Ok(())
            })?;
        }
        _ => change_replication(simulator, path, body)?,
    }
    Ok(json!({ "now_ms": simulator.now() }))
}

/// What decides whether replication and jobs work.
fn change_replication(simulator: &Simulator, path: &str, body: &[u8]) -> Result<(), String> {
    match path {
        "replication" => {
            let denial: Denial = parse(body)?;
            let reason = denial.reason.as_deref();
            simulator.with(|w| w.deny_replication(&denial.source, &denial.destination, reason));
        }
        "versioning" => {
            let change: VersioningChange = parse(body)?;
            if simulator.with(|world| !world.has_bucket(&change.bucket)) {
                return Err("no such bucket".to_owned());
            }
            simulator.with(|world| world.set_versioning(&change.bucket, change.versioning));
        }
        "kms" => {
            let change: KeyChange = parse(body)?;
            simulator.with(|world| match change.state {
                KeyUse::Enabled => world.enable_kms_key(&change.key),
                KeyUse::Disabled => world.disable_kms_key(&change.key),
                KeyUse::Deleted => world.delete_kms_key(&change.key),
            });
        }
        "batch-role" => {
            let change: RoleChange = parse(body)?;
            simulator.with(|world| world.deny_batch_role(change.denial, change.on));
        }
        _ => return Err(format!("unknown control call {path}")),
    }
    Ok(())
}

fn change_routes(simulator: &Simulator, wanted: &Dials) -> Result<(), String> {
    simulator.with(|world| {
        let routes = world.routes(&wanted.alias);
        let known = |bucket: &String| routes.iter().any(|route| route.bucket == *bucket);
        if !wanted.dials.keys().all(known) {
            return Err("no such MRAP or bucket".to_owned());
        }
        let dial = |route: &crate::truth::Route| {
            wanted
                .dials
                .get(&route.bucket)
                .copied()
                .unwrap_or(route.dial)
        };
        if routes.iter().all(|route| dial(route) == 0) {
            return Err("at least one member must stay active".to_owned());
        }
        let dials: Vec<(&str, u8)> = wanted
            .dials
            .iter()
            .map(|(bucket, dial)| (bucket.as_str(), *dial))
            .collect();
        world.set_routes_as_person(&wanted.alias, &dials);
        Ok(())
    })
}

fn remove(simulator: &Simulator, path: &str) -> Result<Value, String> {
    simulator.with(|world| match path.split_once('/') {
        None if path == "faults" => {
            world.clear_faults();
            Ok(json!({}))
        }
        Some(("faults", id)) => {
            let id = id.parse().map_err(|_| "not a fault id".to_owned())?;
            Ok(json!({ "removed": world.remove_fault(FaultId(id)) }))
        }
        Some(("outages", region)) => {
            world.region_up(region);
            Ok(json!({}))
        }
        _ => Err(format!("unknown control call {path}")),
    })
}

fn parse<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// Runs [`serve`] in the background on a free loopback port; returns its address.
///
/// # Errors
/// When no loopback port can be had.
pub async fn spawn(simulator: Simulator) -> io::Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(simulator, listener));
    Ok(address)
}
