//! What goes wrong, where, when and for whom.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::SimTime;

/// An AWS service of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// The S3 data plane, directly or through an MRAP.
    S3,
    /// The routes API.
    S3Control,
    /// Announcements.
    Sns,
    /// Metrics and alarms.
    CloudWatch,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The connection is refused. Nothing is applied.
    Refuse,
    /// Nothing ever comes back and nothing is applied.
    Hang,
    /// The name does not resolve. Nothing is applied.
    DnsFailure,
    /// The request is applied, the answer never arrives.
    AnswerLost,
    /// The answer never arrives; the request is applied `millis` after the client gave up.
    LateLanding {
        /// Milliseconds after the client gave up.
        millis: u64,
    },
    /// 503 `SlowDown` (`ServiceUnavailable` outside S3). Nothing is applied.
    SlowDown,
    /// 400 `TooManyRequestsException`, as Batch Operations throttles. Nothing is applied.
    TooManyRequests,
    /// 500 `InternalError`. Nothing is applied.
    InternalError,
    /// Applied and answered, `millis` later than usual.
    Slow {
        /// Added latency in milliseconds.
        millis: u64,
    },
    /// Applied; the answer's body stops half-way.
    BodyStalls,
    /// 403 `InvalidAccessKeyId` (`InvalidClientTokenId` outside S3), as with revoked credentials.
    InvalidCredentials,
    /// 403 `AccessDenied`, as after a policy edit.
    AccessDenied,
    /// 403 `RequestTimeTooSkewed`, as when the client's clock is wrong.
    ClockSkew,
}

impl FaultKind {
    /// Its name in the log.
    pub(crate) fn name(&self) -> String {
        let json = serde_json::to_value(self).expect("plain data");
        match json {
            serde_json::Value::String(name) => name,
            other => other
                .as_object()
                .and_then(|map| map.keys().next().cloned())
                .unwrap_or_default(),
        }
    }
}

/// A fault: an effect with a scope. An empty list means "any".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// Regions that serve the request (for the MRAP's data plane: the one it is routed to).
    #[serde(default)]
    pub regions: Vec<String>,
    /// Services.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Operations by API name, such as `PutObject`.
    #[serde(default)]
    pub operations: Vec<String>,
    /// Client labels.
    #[serde(default)]
    pub clients: Vec<String>,
    /// Text that the resource contains: `bucket/key`, MRAP ARN, topic ARN.
    #[serde(default)]
    pub path_contains: Option<String>,
    /// `Some(true)`: only through an MRAP; `Some(false)`: only directly.
    #[serde(default)]
    pub through_mrap: Option<bool>,
    /// First moment.
    #[serde(default)]
    pub from: SimTime,
    /// First moment after it; for ever if absent.
    #[serde(default)]
    pub until: Option<SimTime>,
    /// Probability per request.
    #[serde(default = "always")]
    pub probability: f64,
}

fn always() -> f64 {
    1.0
}

impl Fault {
    /// A fault that hits everything, always, from the start.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            regions: Vec::new(),
            services: Vec::new(),
            operations: Vec::new(),
            clients: Vec::new(),
            path_contains: None,
            through_mrap: None,
            from: SimTime::ZERO,
            until: None,
            probability: 1.0,
        }
    }

    /// Adds a Region.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.regions.push(region.into());
        self
    }

    /// Adds a service.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// Adds an operation by its API name.
    #[must_use]
    pub fn operation(mut self, operation: impl Into<String>) -> Self {
        self.operations.push(operation.into());
        self
    }

    /// Adds a client label.
    #[must_use]
    pub fn client(mut self, label: impl Into<String>) -> Self {
        self.clients.push(label.into());
        self
    }

    /// Only resources that contain this text.
    #[must_use]
    pub fn path_contains(mut self, text: impl Into<String>) -> Self {
        self.path_contains = Some(text.into());
        self
    }

    /// Only requests through an MRAP, or only direct ones.
    #[must_use]
    pub fn through_mrap(mut self, yes: bool) -> Self {
        self.through_mrap = Some(yes);
        self
    }

    /// First moment.
    #[must_use]
    pub fn from(mut self, at: SimTime) -> Self {
        self.from = at;
        self
    }

    /// First moment after it.
    #[must_use]
    pub fn until(mut self, at: SimTime) -> Self {
        self.until = Some(at);
        self
    }

    /// Probability per request, 0 to 1.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Whether it covers this request at this moment, chance aside.
    #[must_use]
    pub(crate) fn covers(&self, target: &Target<'_>, now: SimTime) -> bool {
        now >= self.from
            && self.until.is_none_or(|until| now < until)
            && any_or(&self.regions, target.region)
            && (self.services.is_empty() || self.services.contains(&target.service))
            && any_or(&self.operations, target.operation)
            && any_or(&self.clients, target.client)
            && self
                .path_contains
                .as_ref()
                .is_none_or(|text| target.resource.contains(text.as_str()))
            && self
                .through_mrap
                .is_none_or(|wanted| wanted == target.through_mrap)
    }
}

fn any_or(list: &[String], value: &str) -> bool {
    list.is_empty() || list.iter().any(|item| item == value)
}

/// What a fault's scope is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) region: &'a str,
    pub(crate) service: Service,
    pub(crate) operation: &'a str,
    pub(crate) client: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) through_mrap: bool,
}

/// Handle of an installed fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u64);

/// An outage of a whole Region: requests to `services` meet `kind`, replication from and to the
/// Region pauses, and its CloudWatch stops evaluating if it is among the services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// The Region.
    pub region: String,
    /// What its requests meet, usually [`FaultKind::Refuse`] or [`FaultKind::Hang`].
    pub kind: FaultKind,
    /// Services that are down.
    pub services: Vec<Service>,
    /// First moment.
    pub from: SimTime,
    /// When the Region is back; for ever if absent.
    #[serde(default)]
    pub until: Option<SimTime>,
}

impl Outage {
    /// S3 and the Region's control endpoint hang from `from` for `span`.
    #[must_use]
    pub fn hang(region: impl Into<String>, from: SimTime, span: Duration) -> Self {
        Self::new(region, FaultKind::Hang, from, span)
    }

    /// S3 and the Region's control endpoint refuse connections from `from` for `span`.
    #[must_use]
    pub fn refuse(region: impl Into<String>, from: SimTime, span: Duration) -> Self {
        Self::new(region, FaultKind::Refuse, from, span)
    }

    fn new(region: impl Into<String>, kind: FaultKind, from: SimTime, span: Duration) -> Self {
        Self {
            region: region.into(),
            kind,
            services: vec![Service::S3, Service::S3Control],
            from,
            until: Some(from + span),
        }
    }

    /// Takes SNS and CloudWatch of the Region down as well.
    #[must_use]
    pub fn everything(mut self) -> Self {
        self.services = vec![
            Service::S3,
            Service::S3Control,
            Service::Sns,
            Service::CloudWatch,
        ];
        self
    }

    pub(crate) fn is_on(&self, now: SimTime) -> bool {
        now >= self.from && self.until.is_none_or(|until| now < until)
    }
}
