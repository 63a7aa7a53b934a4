//! Multi-Region Access Points: the routes API and where the data plane sends a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use fastrand::Rng;

use crate::SimTime;
use crate::call::{Call, Subject};
use crate::config::{ClientConfig, MrapConfig, WorldConfig};
use crate::dice::span;
use crate::regions::round_trip_millis;
use crate::truth::{Actor, Route, RouteChange};
use crate::wire::xml::{Element, Writer};
use crate::wire::{Answer, ServiceError};

/// The Regions that serve the routes API.
pub const CONTROL_REGIONS: [&str; 5] = [
    "us-east-1",
    "us-west-2",
    "ap-southeast-2",
    "ap-northeast-1",
    "eu-west-1",
];

/// All MRAPs of the account.
#[derive(Debug)]
pub(crate) struct Mraps {
    account: String,
    /// Every place that a client can be in.
    locations: BTreeSet<String>,
    propagation: RangeInclusive<u64>,
    conflict_window: RangeInclusive<u64>,
    by_alias: BTreeMap<String, Mrap>,
}

#[derive(Debug)]
struct Mrap {
    history: Vec<RouteChange>,
    busy_until: SimTime,
}

impl Mrap {
    fn routes(&self) -> &[Route] {
        self.history.last().map_or(&[], |change| &change.after)
    }

    /// What new connections from a location follow.
    fn effective(&self, location: &str, now: SimTime) -> &[Route] {
        let seen = |change: &&RouteChange| {
            change
                .effective
                .get(location)
                .is_none_or(|from| *from <= now)
        };
        let newest = self.history.iter().rev().find(seen);
        newest.map_or(&[], |change| &change.after)
    }
}

impl Mraps {
    pub(crate) fn new(config: &WorldConfig) -> Self {
        let mut locations: BTreeSet<String> = config
            .clients
            .values()
            .map(|client| client.location.clone())
            .collect();
        locations.insert(config.default_location.clone());
        let members = config.mraps.iter().flat_map(|mrap| &mrap.members);
        locations.extend(members.map(|member| member.region.clone()));
        Self {
            account: config.account.clone(),
            locations,
            propagation: config.timing.route_propagation.clone(),
            conflict_window: config.timing.route_conflict_window.clone(),
            by_alias: config
                .mraps
                .iter()
                .map(|mrap| (mrap.alias.clone(), Mrap::start(mrap)))
                .collect(),
        }
    }

    pub(crate) fn aliases(&self) -> impl Iterator<Item = &str> {
        self.by_alias.keys().map(String::as_str)
    }

    pub(crate) fn routes(&self, alias: &str) -> &[Route] {
        self.by_alias.get(alias).map_or(&[], Mrap::routes)
    }

    pub(crate) fn effective(&self, alias: &str, location: &str, now: SimTime) -> &[Route] {
        self.by_alias
            .get(alias)
            .map_or(&[], |mrap| mrap.effective(location, now))
    }

    pub(crate) fn history(&self, alias: &str) -> &[RouteChange] {
        self.by_alias.get(alias).map_or(&[], |mrap| &mrap.history)
    }

    /// The member that a new connection of this client goes to: the nearest active one.
    pub(crate) fn nearest(
        &self,
        alias: &str,
        client: &ClientConfig,
        now: SimTime,
    ) -> Option<&Route> {
        let rank = |route: &&Route| {
            let preferred = client.preference.iter().position(|r| *r == route.region);
            let distance = round_trip_millis(&client.location, &route.region);
            (
                preferred.unwrap_or(usize::MAX),
                distance,
                route.region.clone(),
            )
        };
        self.effective(alias, &client.location, now)
            .iter()
            .filter(|route| route.dial > 0)
            .min_by_key(rank)
    }

    /// Serves a call of the routes API.
    pub(crate) fn handle(
        &mut self,
        call: &Call,
        by: Actor,
        now: SimTime,
        rng: &mut Rng,
    ) -> Result<Answer, ServiceError> {
        let Subject::Routes { arn } = &call.subject else {
            return Err(invalid("The specified URI couldn't be parsed"));
        };
        if !CONTROL_REGIONS.contains(&call.region.as_str()) {
            let message = format!(
                "This API operation is only available in the following Regions: {}",
                CONTROL_REGIONS.join(",")
            );
            return Err(ServiceError::new(301, "PermanentRedirect", message));
        }
        let account = call
            .header("x-amz-account-id")
            .or(call.host_account.as_deref());
        if account != Some(self.account.as_str()) {
            return Err(ServiceError::new(403, "AccessDenied", "Access Denied"));
        }
        let prefix = format!("arn:aws:s3::{}:accesspoint/", self.account);
        let alias = arn
            .strip_prefix(&prefix)
            .filter(|alias| !alias.is_empty())
            .ok_or_else(|| invalid("Invalid Multi-Region Access Point ARN"))?;
        if !self.by_alias.contains_key(alias) {
            return Err(ServiceError::new(
                404,
                "NoSuchMultiRegionAccessPoint",
                "The specified Multi-Region Access Point does not exist",
            ));
        }
        match call.operation.as_str() {
            "GetMultiRegionAccessPointRoutes" => Ok(show(arn, self.routes(alias))),
            "SubmitMultiRegionAccessPointRoutes" => self.submit(alias, call, by, now, rng),
            _ => Err(ServiceError::new(
                405,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
            )),
        }
    }

    fn submit(
        &mut self,
        alias: &str,
        call: &Call,
        by: Actor,
        now: SimTime,
        rng: &mut Rng,
    ) -> Result<Answer, ServiceError> {
        let mrap = &self.by_alias[alias];
        if mrap.routes().len() < 2 {
            let message =
                "Routes of a Multi-Region Access Point with a single Region cannot be changed";
            return Err(ServiceError::new(405, "MethodNotAllowed", message));
        }
        let after = updated(mrap.routes(), &call.body)?;
        if now < mrap.busy_until {
            let message =
                "A conflicting operation is in progress on this Multi-Region Access Point";
            return Err(ServiceError::new(409, "OperationAborted", message));
        }
        self.change(alias, after, by, now, rng);
        Ok(Answer::new(200))
    }

    /// Records a change and draws when each location follows it.
    pub(crate) fn change(
        &mut self,
        alias: &str,
        after: Vec<Route>,
        by: Actor,
        now: SimTime,
        rng: &mut Rng,
    ) {
        let effective = self
            .locations
            .iter()
            .map(|location| (location.clone(), now + span(rng, &self.propagation)))
            .collect();
        let busy_until = now + span(rng, &self.conflict_window);
        let Some(mrap) = self.by_alias.get_mut(alias) else {
            return;
        };
        mrap.busy_until = busy_until;
        mrap.history.push(RouteChange {
            at: now,
            by,
            before: mrap.routes().to_vec(),
            after,
            effective,
        });
    }
}

impl Mrap {
    fn start(config: &MrapConfig) -> Self {
        let routes = config.members.iter().map(|member| Route {
            bucket: member.bucket.clone(),
            region: member.region.clone(),
            dial: member.dial,
        });
        let start = RouteChange {
            at: SimTime::ZERO,
            by: Actor::Start,
            before: Vec::new(),
            after: routes.collect(),
            effective: BTreeMap::new(),
        };
        Self {
            history: vec![start],
            busy_until: SimTime::ZERO,
        }
    }
}

/// The routes after an update document.
fn updated(routes: &[Route], body: &[u8]) -> Result<Vec<Route>, ServiceError> {
    let document = Element::parse(body).ok_or_else(|| {
        ServiceError::new(
            400,
            "MalformedXML",
            "The XML you provided was not well-formed",
        )
    })?;
    let updates = document
        .child("RouteUpdates")
        .map_or(&[][..], |updates| &updates.children);
    if updates.is_empty() {
        return Err(invalid("At least one route must be given"));
    }
    let mut after = routes.to_vec();
    for update in updates {
        let dial = match update.text_of("TrafficDialPercentage") {
            Some("0") => 0,
            Some("100") => 100,
            _ => return Err(invalid("TrafficDialPercentage must be 0 or 100")),
        };
        let bucket = update.text_of("Bucket");
        let region = update.text_of("Region");
        let route = after
            .iter_mut()
            .filter(|_| bucket.is_some() || region.is_some())
            .find(|route| {
                bucket.is_none_or(|bucket| bucket == route.bucket)
                    && region.is_none_or(|region| region == route.region)
            })
            .ok_or_else(|| invalid("A route names no bucket of this Multi-Region Access Point"))?;
        route.dial = dial;
    }
    if after.iter().all(|route| route.dial == 0) {
        return Err(invalid("At least one Region must be active"));
    }
    Ok(after)
}

fn show(arn: &str, routes: &[Route]) -> Answer {
    let mut xml = Writer::new();
    xml.element("GetMultiRegionAccessPointRoutesResult", |w| {
        w.text("Mrap", arn);
        w.element("Routes", |w| {
            for route in routes {
                w.element("Route", |w| {
                    w.text("Bucket", &route.bucket);
                    w.text("Region", &route.region);
                    w.text("TrafficDialPercentage", route.dial.to_string());
                });
            }
        });
    });
    Answer::new(200).xml(xml.finish())
}

fn invalid(message: &str) -> ServiceError {
    ServiceError::new(400, "InvalidRequest", message)
}

/// An S3 Control error document.
pub(crate) fn render_error(error: &ServiceError, request_id: &str) -> Answer {
    let mut xml = Writer::new();
    xml.element("ErrorResponse", |w| {
        w.element("Error", |w| {
            w.text("Code", &error.code);
            w.text("Message", &error.message);
        });
        w.text("RequestId", request_id);
    });
    let mut answer = Answer::new(error.status).xml(xml.finish());
    answer.headers.extend(error.headers.iter().cloned());
    answer.error = Some(error.code.clone());
    answer
}
