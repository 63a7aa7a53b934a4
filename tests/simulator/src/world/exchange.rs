//! One request: connection, fault, permission, service, answer.

use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::World;
use super::events::Event;
use crate::SimTime;
use crate::call::{Call, Subject};
use crate::canonical;
use crate::cloudwatch::{self, MetricName, Resolution};
use crate::config::ClientConfig;
use crate::dice::{chance, span};
use crate::faults::{FaultKind, Service, Target};
use crate::log::{Fate, LogEntry, sha256_hex};
use crate::regions::round_trip_millis;
use crate::s3::Author;
use crate::truth::Actor;
use crate::wire::auth::{Claims, Scheme, request_time};
use crate::wire::{Answer, ServiceError};
use crate::{mrap, s3, sns};

/// Pool and authority.
pub(super) type ConnectionKey = (u64, String);

/// A pooled connection.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    opened: SimTime,
    last_used: SimTime,
    /// On an MRAP: the bucket and Region it was opened to. It stays there.
    member: Option<Place>,
}

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    region: String,
    bucket: Option<String>,
}

/// Who sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) label: &'a str,
    pub(crate) pool: u64,
    /// The clock that the sender signs by, where that is not the world's.
    pub(crate) wall: Option<Timestamp>,
}

/// What the sender will experience.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) seq: u64,
    /// Spent on a new connection, before the request is sent.
    pub(crate) connect: Duration,
    /// Whether no connection ever comes about, so that the connect time-out applies.
    pub(crate) unconnected: bool,
    pub(crate) course: Course,
}

/// How an exchange goes on.
#[derive(Debug)]
pub(crate) enum Course {
    /// An answer, this long after the start of the exchange.
    Answer {
        after: Duration,
        response: http::Response<Bytes>,
        /// The body stops half-way.
        stalls: bool,
    },
    /// Connection refused.
    Refused { after: Duration },
    /// The name does not resolve.
    Unresolved { after: Duration },
    /// Nothing, ever.
    Silent,
}

/// A request that is applied late.
#[derive(Debug)]
pub(super) struct LateCall {
    call: Call,
    label: String,
    place: Place,
    after: Duration,
    wall: Option<Timestamp>,
}

impl World {
    /// Takes a request at the present moment. Its effect, if any, is immediate; the sender must
    /// tell its fate by [`settle`](Self::settle).
    pub(crate) fn begin(&mut self, sender: Sender<'_>, request: &http::Request<Bytes>) -> Exchange {
        let call = Call::read(request);
        let client = self.client(sender.label);
        let key = (sender.pool, call.authority.clone());
        let known = self.usable_connection(&key);
        let place = match known.as_ref().and_then(|c| c.member.clone()) {
            Some(member) => Some(member),
            None => self.place_of(&call, &client),
        };
        let connecting = known.is_none();
        let Some(place) = place else {
            return self.unresolved(sender, &call, request);
        };
        let fault = self.fault_for(sender, &call, &place, connecting);
        let seq = self.write_down(sender, &call, request, &place, fault.as_ref());
        let rtt = Duration::from_millis(round_trip_millis(&client.location, &place.region));
        let connect = if connecting { rtt * 2 } else { Duration::ZERO };
        self.keep_connection(&key, &call, &place, connecting);
        self.in_flight.insert(seq, key);
        let unconnected = connecting && fault == Some(FaultKind::Hang);
        let course = self.course(sender, seq, call, place, fault, connect + rtt);
        self.settle_plans();
        Exchange {
            seq,
            connect,
            unconnected,
            course,
        }
    }

    /// Notes what became of a request for its sender.
    pub(crate) fn settle(&mut self, seq: u64, fate: Fate) {
        let Some(key) = self.in_flight.remove(&seq) else {
            return;
        };
        self.log.settle(seq, fate, self.now);
        if fate == Fate::Answered {
            self.s3.acknowledge(seq, self.now);
            return;
        }
        self.connections.remove(&key);
        if let Some(late) = self.landing.get(&seq) {
            self.plan(self.now + late.after, Event::Land { seq });
        }
    }

    fn usable_connection(&self, key: &ConnectionKey) -> Option<Connection> {
        let timing = &self.config.timing;
        let connection = self.connections.get(key)?;
        let idle = self.now.since(connection.last_used);
        let age = self.now.since(connection.opened);
        let usable = idle <= Duration::from_millis(timing.connection_idle)
            && age <= Duration::from_millis(timing.connection_lifetime);
        usable.then(|| connection.clone())
    }

    fn keep_connection(&mut self, key: &ConnectionKey, call: &Call, place: &Place, new: bool) {
        let now = self.now;
        if new {
            let member = matches!(call.subject, Subject::Mrap { .. }).then(|| place.clone());
            let connection = Connection {
                opened: now,
                last_used: now,
                member,
            };
            self.connections.insert(key.clone(), connection);
        } else if let Some(connection) = self.connections.get_mut(key) {
            connection.last_used = now;
        }
    }

    /// Where a new connection goes; `None` if there is no such name.
    fn place_of(&self, call: &Call, client: &ClientConfig) -> Option<Place> {
        match &call.subject {
            Subject::Mrap { alias, .. } => {
                let route = self.mraps.nearest(alias, client, self.now)?;
                Some(Place {
                    region: route.region.clone(),
                    bucket: Some(route.bucket.clone()),
                })
            }
            Subject::Bucket { bucket, .. } => Some(Place {
                region: call.region.clone(),
                bucket: Some(bucket.clone()),
            }),
            Subject::Routes { .. } | Subject::Jobs { .. } | Subject::Other => Some(Place {
                region: call.region.clone(),
                bucket: None,
            }),
        }
    }

    fn unresolved(
        &mut self,
        sender: Sender<'_>,
        call: &Call,
        request: &http::Request<Bytes>,
    ) -> Exchange {
        let nowhere = Place {
            region: String::new(),
            bucket: None,
        };
        let seq = self.write_down(sender, call, request, &nowhere, None);
        self.in_flight
            .insert(seq, (sender.pool, call.authority.clone()));
        let after = Duration::from_millis(self.config.timing.refuse);
        Exchange {
            seq,
            connect: Duration::ZERO,
            unconnected: true,
            course: Course::Unresolved { after },
        }
    }

    /// The outage, or else the first fault, that hits a call.
    fn fault_for(
        &mut self,
        sender: Sender<'_>,
        call: &Call,
        place: &Place,
        connecting: bool,
    ) -> Option<FaultKind> {
        let resource = resource(call, place);
        let target = Target {
            region: &place.region,
            service: call.service,
            operation: &call.operation,
            client: sender.label,
            resource: &resource,
            through_mrap: matches!(call.subject, Subject::Mrap { .. }),
        };
        let now = self.now;
        let mut outages = self.outages.iter();
        let outage = outages.find(|outage| {
            outage.region == place.region
                && outage.is_on(now)
                && outage.services.contains(&call.service)
        });
        let kind = if let Some(outage) = outage {
            outage.kind.clone()
        } else {
            let rng = &mut self.dice.faults;
            let mut faults = self.faults.values();
            let hit = faults.find(|f| f.covers(&target, now) && chance(rng, f.probability))?;
            hit.kind.clone()
        };
        // An open connection needs no name.
        (kind != FaultKind::DnsFailure || connecting).then_some(kind)
    }

    fn write_down(
        &mut self,
        sender: Sender<'_>,
        call: &Call,
        request: &http::Request<Bytes>,
        place: &Place,
        fault: Option<&FaultKind>,
    ) -> u64 {
        let seq = self.log.next_seq();
        self.log.push(LogEntry {
            seq,
            at: self.now,
            client: sender.label.to_owned(),
            pool: sender.pool,
            region: place.region.clone(),
            service: call.service,
            operation: call.operation.clone(),
            resource: resource(call, place),
            through_mrap: matches!(call.subject, Subject::Mrap { .. }),
            status: None,
            error: None,
            fault: fault.map(FaultKind::name),
            fate: Fate::InFlight,
            fate_at: None,
            body_hash: sha256_hex(&canonical::body(&call.headers, &call.body)),
            fingerprint: canonical::fingerprint(request),
        });
        seq
    }

    fn course(
        &mut self,
        sender: Sender<'_>,
        seq: u64,
        call: Call,
        place: Place,
        fault: Option<FaultKind>,
        travel: Duration,
    ) -> Course {
        let timing = &self.config.timing;
        let refuse = Duration::from_millis(timing.refuse);
        let mut after = travel + span(&mut self.dice.latency, &timing.service);
        let mut stalls = false;
        let label = sender.label;
        let answer = match fault {
            Some(FaultKind::Refuse) => return Course::Refused { after: refuse },
            Some(FaultKind::DnsFailure) => return Course::Unresolved { after: refuse },
            Some(FaultKind::Hang) => return Course::Silent,
            Some(FaultKind::AnswerLost) => {
                self.apply(label, seq, &call, &place, sender.wall);
                return Course::Silent;
            }
            Some(FaultKind::LateLanding { millis }) => {
                let limit = Duration::from_millis(timing.late_landing_limit);
                let late = LateCall {
                    call,
                    label: label.to_owned(),
                    place,
                    after: Duration::from_millis(millis),
                    wall: sender.wall,
                };
                self.landing.insert(seq, late);
                self.plan(self.now + limit, Event::Land { seq });
                return Course::Silent;
            }
            Some(FaultKind::Slow { millis }) => {
                after += Duration::from_millis(millis);
                self.apply(label, seq, &call, &place, sender.wall)
            }
            Some(FaultKind::BodyStalls) => {
                stalls = true;
                self.apply(label, seq, &call, &place, sender.wall)
            }
            Some(kind) => {
                let answer = render(&refusal(&kind, call.service), &call, seq);
                self.note_answer(seq, &call, &place, &answer);
                answer
            }
            None => self.apply(label, seq, &call, &place, sender.wall),
        };
        Course::Answer {
            after,
            stalls: stalls && !answer.body.is_empty(),
            response: self.response(answer, seq),
        }
    }

    /// Applies a request whose client is gone.
    pub(super) fn land(&mut self, seq: u64) {
        if let Some(late) = self.landing.remove(&seq) {
            self.apply(&late.label, seq, &late.call, &late.place, late.wall);
        }
    }

    /// Lets the service do its work.
    fn apply(
        &mut self,
        label: &str,
        seq: u64,
        call: &Call,
        place: &Place,
        wall: Option<Timestamp>,
    ) -> Answer {
        let result = self
            .authorize(call, place, wall)
            .and_then(|()| self.serve(label, seq, call, place));
        let answer = result.unwrap_or_else(|error| render(&error, call, seq));
        self.note_answer(seq, call, place, &answer);
        answer
    }

    fn serve(
        &mut self,
        label: &str,
        seq: u64,
        call: &Call,
        place: &Place,
    ) -> Result<Answer, ServiceError> {
        let now = self.now;
        match call.service {
            Service::S3Control if matches!(call.subject, Subject::Jobs { .. }) => {
                self.serve_jobs(call)
            }
            Service::S3Control => {
                let by = Actor::Client {
                    label: label.to_owned(),
                    seq,
                };
                self.mraps.handle(call, by, now, &mut self.dice.routes)
            }
            Service::Sns => self.topics.handle(call, label, seq, now),
            Service::CloudWatch => self.cloudwatch.handle(call, now, &mut self.dice.alarms),
            Service::S3 => {
                let (Subject::Bucket { key, .. } | Subject::Mrap { key, .. }) = &call.subject
                else {
                    let message = "The request is not valid";
                    return Err(ServiceError::new(400, "InvalidURI", message));
                };
                let bucket = place.bucket.as_deref().unwrap_or_default();
                self.check_home(bucket, &place.region)?;
                self.check_owner(call, bucket)?;
                let author = Author {
                    at: now,
                    client: label,
                    seq: Some(seq),
                    through_mrap: matches!(call.subject, Subject::Mrap { .. }),
                };
                self.s3.handle(call, author, bucket, key.as_deref())
            }
        }
    }

    /// A bucket answers in its own Region only.
    fn check_home(&self, bucket: &str, region: &str) -> Result<(), ServiceError> {
        match self.s3.bucket(bucket) {
            Some(found) if found.region != region => Err(ServiceError::new(
                301,
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified endpoint.",
            )
            .header("x-amz-bucket-region", &found.region)),
            _ => Ok(()),
        }
    }

    /// Whoever names an owner gets answers of that account's bucket only.
    fn check_owner(&self, call: &Call, bucket: &str) -> Result<(), ServiceError> {
        let (Some(expected), Some(found)) = (
            call.header("x-amz-expected-bucket-owner"),
            self.s3.bucket(bucket),
        ) else {
            return Ok(());
        };
        let owner = found.settings.foreign_owner.as_ref();
        if owner.unwrap_or(&self.config.account) == expected {
            Ok(())
        } else {
            Err(refusal(&FaultKind::AccessDenied, call.service))
        }
    }

    fn authorize(
        &self,
        call: &Call,
        place: &Place,
        wall: Option<Timestamp>,
    ) -> Result<(), ServiceError> {
        let claims = call.claims.as_ref().map_err(Clone::clone)?;
        claims.check_form(&call.headers)?;
        self.check_account(claims, call.service)?;
        check_scope(claims, call, place)?;
        let now = wall.unwrap_or_else(|| self.calendar(self.now));
        let limit = i64::try_from(self.config.timing.clock_skew_limit).unwrap_or(i64::MAX);
        let skew = request_time(&call.headers).map(|at| now.duration_since(at).abs());
        match skew {
            Some(skew) if skew <= SignedDuration::from_millis(limit) => Ok(()),
            _ => Err(refusal(&FaultKind::ClockSkew, call.service)),
        }
    }

    /// The access key id is the account's twelve digits.
    fn check_account(&self, claims: &Claims, service: Service) -> Result<(), ServiceError> {
        let key = claims.access_key.as_str();
        if key.len() != 12 || !key.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refusal(&FaultKind::InvalidCredentials, service));
        }
        if key != self.config.account {
            return Err(refusal(&FaultKind::AccessDenied, service));
        }
        Ok(())
    }

    /// Log and request metrics, for what reached the service.
    fn note_answer(&mut self, seq: u64, call: &Call, place: &Place, answer: &Answer) {
        self.log.answer(seq, answer.status, answer.error.clone());
        let bucket = place
            .bucket
            .as_deref()
            .filter(|_| call.service == Service::S3);
        let Some(bucket) = bucket.filter(|name| self.s3.bucket(name).is_some()) else {
            return;
        };
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        let metrics = [
            ("AllRequests", 1.0),
            ("4xxErrors", flag((400..500).contains(&answer.status))),
            ("5xxErrors", flag(answer.status >= 500)),
        ];
        for (name, value) in metrics {
            let metric = MetricName::of_bucket(name, bucket);
            let at = self.now;
            self.cloudwatch
                .put_metric(&place.region, &metric, Resolution::Minute, at, value);
        }
    }

    fn response(&self, answer: Answer, seq: u64) -> http::Response<Bytes> {
        let date = self
            .calendar(self.now)
            .strftime("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        let request_id = request_id(seq);
        let mut builder = http::Response::builder()
            .status(answer.status)
            .header("date", date)
            .header("x-amz-request-id", &request_id)
            .header("x-amzn-requestid", &request_id);
        let mut sized = false;
        for (name, value) in &answer.headers {
            sized |= name == "content-length";
            builder = builder.header(name, value);
        }
        if !sized && answer.status != 204 && answer.status != 304 {
            builder = builder.header("content-length", answer.body.len());
        }
        builder
            .body(answer.body)
            .expect("headers from valid requests")
    }
}

/// Whether the signature is of the right kind for this service and Region.
fn check_scope(claims: &Claims, call: &Call, place: &Place) -> Result<(), ServiceError> {
    let through_mrap = matches!(call.subject, Subject::Mrap { .. });
    if through_mrap && claims.scheme != Scheme::SigV4a {
        let message = "The authorization mechanism you have provided is not supported. Please use AWS4-ECDSA-P256-SHA256.";
        return Err(ServiceError::new(400, "InvalidRequest", message));
    }
    let service = match call.service {
        Service::S3 | Service::S3Control => "s3",
        Service::Sns => "sns",
        Service::CloudWatch => "monitoring",
    };
    if claims.service == service && claims.covers(&place.region) {
        return Ok(());
    }
    if service == "s3" {
        let message = format!(
            "The authorization header is malformed; the region '{}' is wrong; expecting '{}'",
            claims.region, place.region
        );
        return Err(ServiceError::new(
            400,
            "AuthorizationHeaderMalformed",
            message,
        ));
    }
    let message = "Credential should be scoped to a valid region and the correct service";
    Err(ServiceError::new(403, "SignatureDoesNotMatch", message))
}

fn request_id(seq: u64) -> String {
    format!("{seq:016X}")
}

/// `bucket/key` of the bucket that serves, else what the call names.
fn resource(call: &Call, place: &Place) -> String {
    match (&call.subject, &place.bucket) {
        (Subject::Mrap { key, .. }, Some(bucket)) => match key {
            Some(key) => format!("{bucket}/{key}"),
            None => bucket.clone(),
        },
        _ => call.resource(),
    }
}

/// The error that a fault answers with.
fn refusal(kind: &FaultKind, service: Service) -> ServiceError {
    let s3 = matches!(service, Service::S3 | Service::S3Control);
    let (status, code, message) = match kind {
        FaultKind::TooManyRequests => (
            400,
            "TooManyRequestsException",
            "Too many requests have been sent to the server",
        ),
        FaultKind::SlowDown if s3 => (503, "SlowDown", "Please reduce your request rate."),
        FaultKind::SlowDown => (
            503,
            "ServiceUnavailable",
            "Please reduce your request rate.",
        ),
        FaultKind::InvalidCredentials if s3 => (
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        ),
        FaultKind::InvalidCredentials => (
            403,
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
        ),
        FaultKind::AccessDenied if service == Service::Sns => {
            (403, "AuthorizationError", "User is not authorized")
        }
        FaultKind::AccessDenied => (403, "AccessDenied", "Access Denied"),
        FaultKind::ClockSkew => (
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
        _ if service == Service::CloudWatch => (
            500,
            "InternalServiceError",
            "Request processing has failed due to an unknown error.",
        ),
        _ => (
            500,
            "InternalError",
            "We encountered an internal error. Please try again.",
        ),
    };
    ServiceError::new(status, code, message)
}

fn render(error: &ServiceError, call: &Call, seq: u64) -> Answer {
    let id = request_id(seq);
    match call.service {
        Service::S3 => s3::render_error(error, call, &id),
        Service::S3Control => mrap::render_error(error, &id),
        Service::Sns => sns::render_error(error, &id),
        Service::CloudWatch => cloudwatch::render_error(error, call),
    }
}
