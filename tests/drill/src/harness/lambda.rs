//! An emulated Lambda service around a real handler: execution environments that are reused
//! when they are free, a time limit, and retries of asynchronous invocations.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use sentinel_aws::edge::Sink;
use serde_json::Value;
use simulator::Simulator;
use tokio::sync::Notify;

use super::functions::{Deployed, Process};
use super::monitoring::Monitoring;
use super::sdk;
use super::spectator::{Kind, Spectator};
use crate::history::{Cause, Ending, Function, Invocation, Line};

/// A message that was received more often than this does not meet an invocation that dies.
const SPARED: &str = "3";

/// An invocation that dies by chance does so at one of this many first requests: about as many as
/// it sends.
fn deadly(function: Function) -> u64 {
    match function {
        Function::ReplicationEvents => 2,
        Function::Failover | Function::HealthCheck | Function::Redrive | Function::Readiness => 12,
    }
}

/// Where an invocation dies: its `request`-th request is the last one of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// Request id of the invocation; its first attempt dies.
    pub request_id: String,
    /// Number of the request, from 1. It is delivered, its answer never arrives.
    pub request: u64,
}

/// Whether the Region in which the functions run is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Power(Arc<(AtomicBool, Notify)>);

impl Power {
    fn is_on(&self) -> bool {
        !self.0.0.load(Ordering::Relaxed)
    }

    /// Returns when the Region is lost, once it is.
    async fn lost(&self) {
        while self.is_on() {
            self.0.1.notified().await;
        }
    }

    /// The Region is lost, or back.
    pub(super) fn switch(&self, on: bool) {
        self.0.0.store(!on, Ordering::Relaxed);
        self.0.1.notify_waiters();
    }
}

/// The service, as far as one function is concerned. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lambda(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sim: Simulator,
    deployed: Deployed,
    spectator: Spectator,
    /// What makes metrics of the embedded ones, where the drill has it.
    monitoring: Option<Monitoring>,
    power: Power,
    crash: Option<Crash>,
    /// Probability that an invocation dies at one of its first requests.
    deaths: f64,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Shared {
    idle: Vec<Environment>,
    environments: usize,
    invocations: Vec<Invocation>,
    lines: Vec<Line>,
    dice: Rng,
    /// What the last tick came to: a spectator is not told the same every minute.
    last_tick: String,
}

#[derive(Debug, Clone)]
struct Environment {
    label: String,
    number: usize,
    process: Process,
}

/// Standard output of one environment.
#[derive(Debug)]
struct Output {
    lambda: std::sync::Weak<Inner>,
    environment: String,
}

impl Sink for Output {
    fn line(&self, line: &str) {
        if let Some(inner) = self.lambda.upgrade() {
            let at = inner.sim.now();
            if let Some(monitoring) = &inner.monitoring {
                monitoring.read(line);
            }
            let environment = self.environment.clone();
            inner.shared.lock().unwrap().lines.push(Line {
                at,
                environment,
                text: line.to_owned(),
            });
        }
    }
}

impl Lambda {
    pub(super) fn new(
        sim: &Simulator,
        deployed: Deployed,
        (spectator, monitoring, power): (Spectator, Option<Monitoring>, Power),
        dice: Rng,
        (crash, deaths): (Option<Crash>, f64),
    ) -> Self {
        Self(Arc::new(Inner {
            sim: sim.clone(),
            deployed,
            spectator,
            monitoring,
            power,
            crash,
            deaths,
            shared: Mutex::new(Shared {
                idle: Vec::new(),
                environments: 0,
                invocations: Vec::new(),
                lines: Vec::new(),
                dice,
                last_tick: String::new(),
            }),
        }))
    }

    /// Invokes asynchronously, as a schedule or an event does: failures are retried.
    pub(super) fn send(&self, payload: Value, cause: Cause) {
        let lambda = self.clone();
        let request_id = self.new_request_id();
        tokio::task::spawn_local(async move {
            let mut waits = lambda.0.deployed.retries().iter();
            let mut attempt = 1;
            loop {
                let ending = lambda
                    .invoke_once(&payload, &cause, &request_id, attempt)
                    .await;
                let (false, Some(wait)) = (matches!(ending, Ending::Answered(_)), waits.next())
                else {
                    return;
                };
                lambda.0.sim.sleep(*wait).await;
                attempt += 1;
            }
        });
    }

    /// Invokes synchronously, as an operator does.
    pub(super) async fn call(&self, payload: Value) -> Ending {
        let name = payload["command"].as_str().unwrap_or("?").to_owned();
        let request_id = self.new_request_id();
        self.invoke_once(&payload, &Cause::Operator(name), &request_id, 1)
            .await
    }

    /// Invokes synchronously, as an event source mapping does: what failed comes again by itself.
    pub(super) async fn deliver(&self, payload: Value, cause: Cause) -> Ending {
        let request_id = self.new_request_id();
        self.invoke_once(&payload, &cause, &request_id, 1).await
    }

    async fn invoke_once(
        &self,
        payload: &Value,
        cause: &Cause,
        request_id: &str,
        attempt: u32,
    ) -> Ending {
        let inner = &self.0;
        if !inner.power.is_on() {
            // Nobody is there to start anything.
            return Ending::Crashed;
        }
        let environment = self.environment().await;
        let started = inner.sim.now();
        let before = inner.sim.requests_of(&environment.label);
        if let Some(crash) = inner
            .crash
            .as_ref()
            .filter(|crash| crash.request_id == request_id && attempt == 1)
        {
            inner.sim.crash_after(&environment.label, crash.request);
        } else if let Some(request) = self.doom(payload) {
            inner.sim.crash_after(&environment.label, request);
        }
        let timeout = inner.deployed.timeout();
        let deadline = inner.sim.clock().calendar(started + timeout);
        let process = &environment.process;
        let work = Box::pin(process.handle(payload.clone(), deadline, request_id));
        let ending = tokio::select! {
            biased;
            () = inner.sim.crashed(&environment.label) => Ending::Crashed,
            () = inner.power.lost() => Ending::Crashed,
            result = work => match result {
                Ok(answer) => Ending::Answered(answer),
                Err(error) => Ending::Failed(error),
            },
            () = inner.sim.sleep(timeout) => Ending::TimedOut,
        };
        let invocation = Invocation {
            function: inner.deployed.function(),
            request_id: request_id.to_owned(),
            attempt,
            environment: environment.label.clone(),
            cause: cause.clone(),
            started,
            ended: inner.sim.now(),
            ending: ending.clone(),
            requests: inner.sim.requests_of(&environment.label) - before,
            hindered: 0,
        };
        self.tell(&invocation);
        let mut shared = inner.shared.lock().unwrap();
        shared.invocations.push(invocation);
        // A process that died or ran out of time is not used again.
        if matches!(ending, Ending::Answered(_) | Ending::Failed(_)) {
            // It was done before the request at which it should have died.
            inner.sim.revive(&environment.label);
            shared.idle.push(environment);
        }
        ending
    }

    /// The request at which an invocation dies by chance, if it is to die. Messages that were
    /// received often are spared: bad luck alone must not make dead letters of them.
    fn doom(&self, payload: &Value) -> Option<u64> {
        let records = payload["Records"].as_array().into_iter().flatten();
        let mut receives = records.map(|one| &one["attributes"]["ApproximateReceiveCount"]);
        let worn = receives.any(|count| count.as_str() > Some(SPARED));
        if self.0.deaths <= 0.0 || worn {
            return None;
        }
        let function = self.0.deployed.function();
        let dice = &mut self.0.shared.lock().unwrap().dice;
        (dice.f64() < self.0.deaths).then(|| dice.u64(1..=deadly(function)))
    }

    /// A free environment, else a new one after a cold start.
    async fn environment(&self) -> Environment {
        let (number, cold_start) = {
            let mut shared = self.0.shared.lock().unwrap();
            let free = shared.idle.iter().enumerate();
            if let Some((position, _)) = free.min_by_key(|(_, one)| one.number) {
                return shared.idle.remove(position);
            }
            shared.environments += 1;
            (shared.environments, shared.dice.u64(150..500))
        };
        let label = format!("{}-{number}", self.0.deployed.label());
        self.0.sim.sleep(Duration::from_millis(cold_start)).await;
        let output = Output {
            lambda: Arc::downgrade(&self.0),
            environment: label.clone(),
        };
        let edge = sdk::edge(
            &self.0.sim,
            &label,
            self.0.deployed.region(),
            Arc::new(output),
        );
        Environment {
            process: self.0.deployed.boot(edge),
            label,
            number,
        }
    }

    /// An id in the form that Lambda gives.
    fn new_request_id(&self) -> String {
        let dice = &mut self.0.shared.lock().unwrap().dice;
        let (high, low) = (dice.u64(..), dice.u64(..));
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0xfff,
            low & 0xffff_ffff_ffff
        )
    }

    fn tell(&self, invocation: &Invocation) {
        let function = invocation.function;
        let outcome = outcome(invocation);
        let what = match &invocation.cause {
            // What comes of it is told by the watch, from the document that it keeps.
            Cause::Tick
                if matches!(function, Function::Redrive | Function::HealthCheck)
                    && answered(invocation) =>
            {
                return;
            }
            Cause::Tick => {
                let mut shared = self.0.shared.lock().unwrap();
                let before = std::mem::replace(&mut shared.last_tick, outcome.clone());
                if before == outcome || (before.is_empty() && outcome == "no-change") {
                    return;
                }
                "tick".to_owned()
            }
            Cause::Messages(_) if outcome.is_empty() => return,
            Cause::Messages(count) => format!("{count} messages of the queue"),
            Cause::Alarm { what, shape } => format!("{what} by {shape}"),
            Cause::Wake(region) => format!("wake-up for {region}"),
            Cause::Operator(command) => format!("operator's {command}"),
        };
        let retry = if invocation.attempt > 1 {
            ", retried"
        } else {
            ""
        };
        let text = format!("{what}{retry}: {outcome}");
        let kind = Kind::Function(function);
        self.0.spectator.tell(invocation.ended, kind, text);
    }

    /// Everything that was invoked and printed, by start.
    pub(super) fn records(&self) -> (Vec<Invocation>, Vec<Line>) {
        let shared = self.0.shared.lock().unwrap();
        let mut invocations = shared.invocations.clone();
        invocations.sort_by_key(|invocation| invocation.started);
        (invocations, shared.lines.clone())
    }
}

fn answered(invocation: &Invocation) -> bool {
    matches!(invocation.ending, Ending::Answered(_))
}

/// What came of an invocation, in few words; none if all messages of a queue were taken.
fn outcome(invocation: &Invocation) -> String {
    let answer = match &invocation.ending {
        Ending::Answered(answer) => answer,
        Ending::Failed(error) => return format!("failed: {error}"),
        Ending::TimedOut => return "timed out".to_owned(),
        Ending::Crashed => return "the process died".to_owned(),
    };
    if invocation.function == Function::ReplicationEvents {
        return match refused(answer).len() {
            0 => String::new(),
            count => format!("{count} of them come again"),
        };
    }
    let outcome = invocation.outcome().unwrap_or("?");
    match blocking(answer).join(", ") {
        guards if guards.is_empty() => outcome.to_owned(),
        guards => format!("{outcome} by {guards}"),
    }
}

/// The ids of the messages that a batch's answer gives back to the queue.
pub(super) fn refused(answer: &Value) -> Vec<&str> {
    let failures = answer["batchItemFailures"].as_array().into_iter().flatten();
    failures
        .filter_map(|failure| failure["itemIdentifier"].as_str())
        .collect()
}

/// The guards that stand in the way, by an answer or an announcement.
pub(crate) fn blocking(answer: &Value) -> Vec<&str> {
    let guards = answer["blocking"].as_array().into_iter().flatten();
    guards.filter_map(Value::as_str).collect()
}
