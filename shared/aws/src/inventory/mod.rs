//! Reading what is configured: everything at once, each read with its own time limit, so that a
//! Region that hangs takes nothing from the others. Nothing here writes.
//!
//! What the service says is absent, what this role may not see, and what got no answer are told
//! apart by the service's error codes: the absence of a replication rule is a finding, a refused
//! look at it is another one, and a time-out is none.

mod buckets;
mod ourselves;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures_util::future::join_all;
use jiff::Timestamp;
use sentinel_core::names::MrapArn;
use sentinel_core::readiness::inventory::{Inventory, Looked};
use sentinel_core::settings::ReadinessSettings;

use crate::edge::Edge;
use crate::failure::{Failure, failure_of};
use crate::limits::Purpose;
use crate::store::Store;

/// Reads the inventory.
#[derive(Debug, Clone)]
pub struct InventoryReader {
    edge: Arc<Edge>,
    store: Store,
    settings: ReadinessSettings,
}

impl InventoryReader {
    /// Over this edge.
    #[must_use]
    pub fn new(edge: Arc<Edge>, settings: ReadinessSettings) -> Self {
        Self {
            store: Store::new(edge.clone(), settings.state_bucket.clone()),
            edge,
            settings,
        }
    }

    /// Reads everything; returns by `until` with what was answered by then.
    pub async fn read(&self, until: Timestamp) -> Inventory {
        let look = Look {
            edge: &self.edge,
            mrap: &self.settings.mrap,
            until,
        };
        let settings = &self.settings;
        let (
            members,
            work,
            endpoints,
            topics,
            alarm_topic,
            alarms,
            watchdog,
            dead_letters,
            documents,
        ) = tokio::join!(
            join_all(settings.members.iter().map(|member| look.bucket(member))),
            join_all(settings.members.regions().filter_map(|region| {
                let bucket = settings.work_buckets.in_region(region)?;
                Some(look.work_bucket(bucket, region))
            })),
            look.endpoints(),
            join_all(settings.topics.iter().map(|topic| async {
                let subscriptions = look.subscriptions(topic.as_str(), topic.region()).await;
                (topic.clone(), subscriptions)
            })),
            async {
                let topic = settings.alarm_topic.as_ref()?;
                let subscriptions = look.subscriptions(topic.as_str(), topic.region()).await;
                Some((topic.clone(), subscriptions))
            },
            look.alarms(self.edge.region(), &settings.alarms),
            async {
                let alarm = settings.watchdog_alarm();
                let region = settings.heartbeat.as_ref()?;
                look.alarms(region, std::slice::from_ref(&alarm))
                    .await
                    .remove(&alarm)
            },
            look.dead_letters(&settings.dead_letters),
            look.documents(&self.store, settings.witness.is_some()),
        );
        // Only the notifications say which topics those are.
        let named: BTreeSet<&str> = members
            .iter()
            .filter_map(|bucket| bucket.events.found())
            .flatten()
            .map(|target| target.arn.as_str())
            .filter(|arn| arn.split(':').nth(2) == Some("sns"))
            .collect();
        let event_topics = join_all(named.into_iter().map(|arn| async {
            let region = arn.split(':').nth(3).and_then(|text| text.parse().ok());
            (arn.to_owned(), look.subscriptions(arn, region).await)
        }))
        .await;
        Inventory {
            region: self.edge.region().clone(),
            members,
            work,
            endpoints,
            topics,
            alarm_topic,
            event_topics: event_topics.into_iter().collect::<BTreeMap<_, _>>(),
            alarms,
            watchdog,
            dead_letters,
            evidence: documents.evidence,
            witness: documents.witness,
            records: documents.records,
            jobs: documents.jobs,
        }
    }
}

/// One look at everything.
struct Look<'a> {
    edge: &'a Arc<Edge>,
    mrap: &'a MrapArn,
    until: Timestamp,
}

impl Look<'_> {
    /// The outcome of one request: `action` is what it takes to be allowed, `absent` the codes
    /// that say that there is no such thing.
    async fn ask<T, E>(
        &self,
        action: &str,
        absent: &[&str],
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Looked<T>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let limit = Purpose::Look.limits().operation;
        let limit = limit.min(self.edge.left(self.until));
        match self.edge.within(limit, request).await {
            None => looked(&Failure::Deadline, action, absent),
            Some(Ok(answer)) => Looked::Found(answer),
            Some(Err(error)) => looked(&failure_of(&error), action, absent),
        }
    }
}

/// What a failure says of the thing that was asked about.
fn looked<T>(failure: &Failure, action: &str, absent: &[&str]) -> Looked<T> {
    let code = failure.code();
    if code.is_some_and(|code| absent.contains(&code)) {
        return Looked::Absent;
    }
    let denied = match (failure.status(), code) {
        (_, Some(code)) if OBSERVERS.contains(&code) => false,
        (_, Some(code)) if DENIALS.contains(&code) => true,
        (status, _) => status == Some(403),
    };
    if denied {
        Looked::Denied {
            action: action.to_owned(),
        }
    } else {
        Looked::Failed {
            detail: failure.to_string(),
        }
    }
}

/// Codes with which services refuse, whatever the status: SNS and `CloudWatch` have their own.
const DENIALS: [&str; 6] = [
    "AccessDenied",
    "AccessDeniedException",
    "AllAccessDisabled",
    "AuthorizationError",
    "AuthorizationErrorException",
    "UnauthorizedOperation",
];

/// Codes that speak of the observer's clock and credentials, not of its permissions; they come
/// with a 403 too.
const OBSERVERS: [&str; 8] = [
    "RequestTimeTooSkewed",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidToken",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "RequestExpired",
];
