//! An emulated Lambda service around the real handler: execution environments that are reused
//! when they are free, a time limit, and retries of asynchronous invocations.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::Deps;
use fastrand::Rng;
use sentinel_aws::edge::Sink;
use sentinel_core::settings::Settings;
use serde_json::Value;
use simulator::Simulator;

use super::sdk;
use super::spectator::{Kind, Spectator};
use crate::history::{Cause, Ending, Invocation, Line};

/// The function's time-out, as the template sets it.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Lambda retries a failed asynchronous invocation twice, one and then two minutes later.
const RETRIES: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(2)];

/// Where an invocation dies: its `request`-th request is the last one of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// Request id of the invocation; its first attempt dies.
    pub request_id: String,
    /// Number of the request, from 1. It is delivered, its answer never arrives.
    pub request: u64,
}

/// The service. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lambda(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sim: Simulator,
    settings: Settings,
    spectator: Spectator,
    crash: Option<Crash>,
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
    deps: Arc<Deps>,
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
        settings: Settings,
        spectator: Spectator,
        dice: Rng,
        crash: Option<Crash>,
    ) -> Self {
        Self(Arc::new(Inner {
            sim: sim.clone(),
            settings,
            spectator,
            crash,
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
        tokio::spawn(async move {
            let mut waits = RETRIES.iter();
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

    async fn invoke_once(
        &self,
        payload: &Value,
        cause: &Cause,
        request_id: &str,
        attempt: u32,
    ) -> Ending {
        let inner = &self.0;
        let environment = self.environment().await;
        let started = inner.sim.now();
        let before = inner.sim.requests_of(&environment.label);
        if let Some(crash) = inner
            .crash
            .as_ref()
            .filter(|crash| crash.request_id == request_id && attempt == 1)
        {
            inner.sim.crash_after(&environment.label, crash.request);
        }
        let deadline = inner.sim.clock().calendar(started + TIMEOUT);
        let work = Box::pin(failover::handle(
            &environment.deps,
            payload.clone(),
            deadline,
            request_id,
        ));
        let ending = tokio::select! {
            biased;
            () = inner.sim.crashed(&environment.label) => Ending::Crashed,
            result = work => match result {
                Ok(answer) => Ending::Answered(serde_json::to_value(answer).expect("plain data")),
                Err(error) => Ending::Failed(error.chain()),
            },
            () = inner.sim.sleep(TIMEOUT) => Ending::TimedOut,
        };
        let invocation = Invocation {
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
            shared.idle.push(environment);
        }
        ending
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
        let label = format!("failover-{number}");
        self.0.sim.sleep(Duration::from_millis(cold_start)).await;
        let output = Output {
            lambda: Arc::downgrade(&self.0),
            environment: label.clone(),
        };
        let edge = sdk::edge(&self.0.sim, &label, Arc::new(output));
        let deps = Arc::new(Deps::new(edge, self.0.settings.clone()));
        Environment {
            label,
            number,
            deps,
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
        let outcome = match &invocation.ending {
            Ending::Answered(answer) => {
                let outcome = invocation.outcome().unwrap_or("?");
                match blocking(answer).join(", ") {
                    guards if guards.is_empty() => outcome.to_owned(),
                    guards => format!("{outcome} by {guards}"),
                }
            }
            Ending::Failed(error) => format!("failed: {error}"),
            Ending::TimedOut => "timed out".to_owned(),
            Ending::Crashed => "the process died".to_owned(),
        };
        let what = match &invocation.cause {
            Cause::Tick => {
                let mut shared = self.0.shared.lock().unwrap();
                let before = std::mem::replace(&mut shared.last_tick, outcome.clone());
                if before == outcome || (before.is_empty() && outcome == "no-change") {
                    return;
                }
                "tick".to_owned()
            }
            Cause::Alarm { what, shape } => format!("{what} by {shape}"),
            Cause::Operator(command) => format!("operator's {command}"),
        };
        let retry = if invocation.attempt > 1 {
            ", retried"
        } else {
            ""
        };
        let text = format!("{what}{retry}: {outcome}");
        self.0
            .spectator
            .tell(invocation.ended, Kind::Function, text);
    }

    /// Everything that was invoked and printed, by start.
    pub(super) fn records(&self) -> (Vec<Invocation>, Vec<Line>) {
        let shared = self.0.shared.lock().unwrap();
        let mut invocations = shared.invocations.clone();
        invocations.sort_by_key(|invocation| invocation.started);
        (invocations, shared.lines.clone())
    }
}

/// The guards that stand in the way, by an answer or an announcement.
pub(crate) fn blocking(answer: &Value) -> Vec<&str> {
    let guards = answer["blocking"].as_array().into_iter().flatten();
    guards.filter_map(Value::as_str).collect()
}
