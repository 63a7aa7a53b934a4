//! The deployed functions with their settings: what the emulated Lambda service runs.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sentinel_aws::edge::Edge;
use sentinel_core::settings::{
    CollectorSettings, HealthSettings, ReadinessSettings, RedriveSettings, Settings,
};
use serde_json::Value;

use crate::history::Function;
use crate::{CONTROL_REGION, WITNESS_REGION};

/// A function as it is deployed.
#[derive(Debug, Clone)]
pub(super) enum Deployed {
    /// `failover`.
    Failover(Box<Settings>),
    /// `health-check`.
    HealthCheck(HealthSettings),
    /// `health-check` as the witness, in a Region of its own.
    Witness(HealthSettings),
    /// `replication-events`.
    ReplicationEvents(CollectorSettings),
    /// `redrive`.
    Redrive(RedriveSettings),
    /// `readiness-check`.
    Readiness(ReadinessSettings),
}

/// A function in an execution environment of its own.
#[derive(Debug, Clone)]
pub(super) enum Process {
    /// `failover`.
    Failover(Arc<failover::Deps>),
    /// `health-check`.
    HealthCheck(Arc<health_check::Deps>),
    /// `replication-events`.
    ReplicationEvents(Arc<replication_events::Deps>),
    /// `redrive`.
    Redrive(Arc<redrive::Deps>),
    /// `readiness-check`.
    Readiness(Arc<readiness_check::Deps>),
}

/// The time-out of a function.
pub(super) fn timeout_of(function: Function) -> Duration {
    match function {
        Function::Failover | Function::ReplicationEvents | Function::Readiness => {
            Duration::from_mins(1)
        }
        Function::HealthCheck => Duration::from_mins(2),
        Function::Redrive => Duration::from_mins(5),
    }
}

impl Deployed {
    pub(super) fn function(&self) -> Function {
        match self {
            Self::Failover(_) => Function::Failover,
            Self::HealthCheck(_) | Self::Witness(_) => Function::HealthCheck,
            Self::ReplicationEvents(_) => Function::ReplicationEvents,
            Self::Redrive(_) => Function::Redrive,
            Self::Readiness(_) => Function::Readiness,
        }
    }

    /// How the labels of its environments begin.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Witness(_) => "witness",
            _ => self.function().name(),
        }
    }

    /// Where it runs.
    pub(super) fn region(&self) -> &'static str {
        match self {
            Self::Witness(_) => WITNESS_REGION,
            _ => CONTROL_REGION,
        }
    }

    /// How long an invocation may take, as the template sets it.
    pub(super) fn timeout(&self) -> Duration {
        timeout_of(self.function())
    }

    /// How long Lambda waits before each retry of an asynchronous invocation that failed.
    pub(super) fn retries(&self) -> &'static [Duration] {
        const TWICE: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(2)];
        match self.function() {
            Function::Failover | Function::Readiness => &TWICE,
            // The queue brings its messages again; the schedule comes again every minute.
            Function::HealthCheck | Function::ReplicationEvents | Function::Redrive => &[],
        }
    }

    /// What a cold start does.
    pub(super) fn boot(&self, edge: Arc<Edge>) -> Process {
        match self {
            Self::Failover(settings) => Process::Failover(Arc::new(failover::Deps::new(
                edge,
                Settings::clone(settings),
            ))),
            Self::HealthCheck(settings) | Self::Witness(settings) => {
                let deps = health_check::Deps::new(edge, settings.clone());
                Process::HealthCheck(Arc::new(deps))
            }
            Self::ReplicationEvents(settings) => {
                let deps = replication_events::Deps::new(edge, settings.clone());
                Process::ReplicationEvents(Arc::new(deps))
            }
            Self::Redrive(settings) => {
                Process::Redrive(Arc::new(redrive::Deps::new(edge, settings.clone())))
            }
            Self::Readiness(settings) => {
                let deps = readiness_check::Deps::new(edge, settings.clone());
                Process::Readiness(Arc::new(deps))
            }
        }
    }
}

impl Process {
    /// Runs the real handler. The error is the text that Lambda would see.
    pub(super) async fn handle(
        &self,
        payload: Value,
        deadline: Timestamp,
        request_id: &str,
    ) -> Result<Value, String> {
        match self {
            Self::Failover(deps) => {
                match Box::pin(failover::handle(deps, payload, deadline, request_id)).await {
                    Ok(answer) => Ok(serde_json::to_value(answer).expect("plain data")),
                    Err(error) => Err(error.chain()),
                }
            }
            Self::HealthCheck(deps) => {
                let work = health_check::handle(deps, payload, deadline, request_id);
                match Box::pin(work).await {
                    Ok(answer) => Ok(serde_json::to_value(answer).expect("plain data")),
                    Err(error) => Err(error.chain()),
                }
            }
            Self::ReplicationEvents(deps) => {
                let work = replication_events::handle(deps, payload, deadline, request_id);
                Box::pin(work).await.map_err(|error| error.chain())
            }
            Self::Readiness(deps) => {
                let work = readiness_check::handle(deps, payload, deadline, request_id);
                match Box::pin(work).await {
                    Ok(answer) => Ok(serde_json::to_value(answer).expect("plain data")),
                    Err(error) => Err(error.chain()),
                }
            }
            Self::Redrive(deps) => {
                match Box::pin(redrive::handle(deps, payload, deadline, request_id)).await {
                    Ok(answer) => Ok(serde_json::to_value(answer).expect("plain data")),
                    Err(error) => Err(error.chain()),
                }
            }
        }
    }
}
