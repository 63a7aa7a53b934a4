//! The control plane and the stack itself.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, ScanBy};
use futures_util::future::join_all;
use jiff::SignedDuration;
use sentinel_core::evidence::{EVIDENCE_SCHEMA, Evidence};
use sentinel_core::names::{AlarmArn, Region};
use sentinel_core::readiness::inventory::{
    AlarmSeen, JobRecords, Looked, Records, RouteSeen, Subscription,
};
use sentinel_core::routes::{CONTROL_ENDPOINTS, Dial};
use serde_json::Value;

use super::{Look, looked};
use crate::alarms::{Alarms, DescribeError};
use crate::limits::Purpose;
use crate::store::{Store, StoreError};

/// How far back a queue's length still counts. SQS publishes it by the minute, and nothing of a
/// queue that has been idle for hours.
const LOOK_BACK: SignedDuration = SignedDuration::from_mins(15);

/// Pages of a topic's subscriptions that are read: 100 stand on each.
const PAGES: usize = 10;

/// Queries that one `GetMetricData` takes.
const QUERIES: usize = 500;

impl Look<'_> {
    /// The routes as every control endpoint tells them.
    pub(super) async fn endpoints(&self) -> Vec<(Region, Looked<Vec<RouteSeen>>)> {
        let endpoints = CONTROL_ENDPOINTS
            .iter()
            .filter_map(|name| name.parse::<Region>().ok());
        join_all(endpoints.map(|endpoint| async {
            let request = self
                .edge
                .s3control(&endpoint, Purpose::Look)
                .get_multi_region_access_point_routes()
                .account_id(self.mrap.account())
                .mrap(self.mrap.as_str())
                .send();
            let answer = self
                .ask(
                    "s3:GetMultiRegionAccessPointRoutes",
                    &["NoSuchMultiRegionAccessPoint"],
                    request,
                )
                .await;
            let routes = answer.map(|answer| {
                let routes = answer.routes.unwrap_or_default().into_iter();
                let seen = routes.map(|route| RouteSeen {
                    bucket: route.bucket.unwrap_or_default(),
                    region: route.region.unwrap_or_default(),
                    dial: Dial::from(route.traffic_dial_percentage),
                });
                seen.collect()
            });
            (endpoint, routes)
        }))
        .await
    }

    /// Who subscribes to a topic.
    pub(super) async fn subscriptions(
        &self,
        topic: &str,
        region: Option<Region>,
    ) -> Looked<Vec<Subscription>> {
        let Some(region) = region else {
            return Looked::Failed {
                detail: format!("{topic} names no Region"),
            };
        };
        let client = self.edge.sns(&region, Purpose::Look);
        let mut seen = Vec::new();
        let mut token = None;
        for _ in 0..PAGES {
            let request = client
                .list_subscriptions_by_topic()
                .topic_arn(topic)
                .set_next_token(token.take())
                .send();
            let absent = ["NotFound", "NotFoundException"];
            let page = match self
                .ask("sns:ListSubscriptionsByTopic", &absent, request)
                .await
            {
                Looked::Found(page) => page,
                Looked::Absent => return Looked::Absent,
                Looked::Denied { action } => return Looked::Denied { action },
                Looked::Failed { detail } => return Looked::Failed { detail },
            };
            let subscriptions = page.subscriptions.unwrap_or_default().into_iter();
            seen.extend(subscriptions.map(|one| {
                Subscription {
                    protocol: one.protocol.unwrap_or_default(),
                    endpoint: one.endpoint.unwrap_or_default(),
                    // `PendingConfirmation` or `Deleted` stand in the ARN's place.
                    confirmed: one
                        .subscription_arn
                        .is_some_and(|arn| arn.starts_with("arn:")),
                }
            }));
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        Looked::Found(seen)
    }

    /// Alarms of a Region.
    pub(super) async fn alarms(
        &self,
        region: &Region,
        names: &[String],
    ) -> BTreeMap<String, Looked<AlarmSeen>> {
        let account = self.mrap.account();
        let arns: BTreeMap<AlarmArn, &String> = names
            .iter()
            .filter_map(|name| {
                let arn = format!("arn:aws:cloudwatch:{region}:{account}:alarm:{name}");
                Some((arn.parse().ok()?, name))
            })
            .collect();
        let described = Alarms::new(self.edge.clone())
            .describe(&arns.keys().cloned().collect(), self.until)
            .await;
        described
            .into_iter()
            .filter_map(|(arn, described)| {
                let seen = match described {
                    Ok(alarm) => Looked::Found(AlarmSeen {
                        actions_enabled: alarm.actions_enabled,
                        has_actions: alarm.has_actions,
                    }),
                    Err(DescribeError::Gone) => Looked::Absent,
                    Err(DescribeError::Failed(failure)) => {
                        looked(&failure, "cloudwatch:DescribeAlarms", &[])
                    }
                };
                Some(((*arns.get(&arn)?).clone(), seen))
            })
            .collect()
    }

    /// Messages in queues of the control Region.
    pub(super) async fn dead_letters(&self, names: &[String]) -> BTreeMap<String, Looked<u64>> {
        let mut seen = BTreeMap::new();
        for names in names.chunks(QUERIES) {
            let now = self.edge.now();
            let mut request = self
                .edge
                .cloudwatch(self.edge.region(), Purpose::Look)
                .get_metric_data()
                .start_time(DateTime::from_secs((now - LOOK_BACK).as_second()))
                .end_time(DateTime::from_secs(now.as_second().saturating_add(1)))
                .scan_by(ScanBy::TimestampDescending);
            for (index, name) in names.iter().enumerate() {
                request = request.metric_data_queries(queue_length(index, name));
            }
            let answer = self
                .ask("cloudwatch:GetMetricData", &[], request.send())
                .await;
            for (index, name) in names.iter().enumerate() {
                let length = match &answer {
                    Looked::Found(answer) => {
                        let id = query_id(index);
                        let mut results = answer.metric_data_results().iter();
                        let result = results.find(|result| result.id() == Some(id.as_str()));
                        match result.and_then(|result| result.values().first()) {
                            Some(newest) => Looked::Found(whole(*newest)),
                            None => Looked::Absent,
                        }
                    }
                    Looked::Absent => Looked::Absent,
                    Looked::Denied { action } => Looked::Denied {
                        action: action.clone(),
                    },
                    Looked::Failed { detail } => Looked::Failed {
                        detail: detail.clone(),
                    },
                };
                seen.insert(name.clone(), length);
            }
        }
        seen
    }

    /// What the other functions wrote down.
    pub(super) async fn documents(&self, store: &Store, has_witness: bool) -> Documents {
        let now = self.edge.now();
        let witness = async {
            if has_witness {
                store
                    .load_optional::<Evidence>("evidence-witness.json")
                    .await
            } else {
                Ok(None)
            }
        };
        let (evidence, witness, state, redrive) = tokio::join!(
            store.load_optional::<Evidence>("evidence.json"),
            witness,
            store.load_optional::<Value>("state.json"),
            store.load_optional::<Value>("redrive.json"),
        );
        let understood = |evidence: Evidence| {
            if evidence.schema == EVIDENCE_SCHEMA {
                Looked::Found(evidence)
            } else {
                Looked::Failed {
                    detail: format!("evidence of schema {}", evidence.schema),
                }
            }
        };
        Documents {
            evidence: document(evidence, understood),
            witness: document(witness, understood),
            records: document(state, |state: Value| {
                Looked::Found(Records::of(&state, now))
            }),
            jobs: document(redrive, |state: Value| {
                Looked::Found(JobRecords::of(&state))
            }),
        }
    }
}

/// What the other functions wrote down.
pub(super) struct Documents {
    pub(super) evidence: Looked<Evidence>,
    pub(super) witness: Looked<Evidence>,
    pub(super) records: Looked<Records>,
    pub(super) jobs: Looked<JobRecords>,
}

fn document<D, T, E>(
    loaded: Result<Option<(D, E)>, StoreError>,
    read: impl FnOnce(D) -> Looked<T>,
) -> Looked<T> {
    match loaded {
        Ok(Some((document, _))) => read(document),
        Ok(None) => Looked::Absent,
        Err(StoreError::Denied { source, .. } | StoreError::Unreachable { source, .. }) => {
            looked(&source, "s3:GetObject on the state bucket", &[])
        }
        Err(error) => Looked::Failed {
            detail: error.to_string(),
        },
    }
}

fn query_id(index: usize) -> String {
    format!("q{index}")
}

fn queue_length(index: usize, name: &str) -> MetricDataQuery {
    let queue = Dimension::builder().name("QueueName").value(name).build();
    let metric = Metric::builder()
        .namespace("AWS/SQS")
        .metric_name("ApproximateNumberOfMessagesVisible")
        .dimensions(queue)
        .build();
    let stat = MetricStat::builder()
        .metric(metric)
        .period(60)
        .stat("Maximum")
        .build();
    MetricDataQuery::builder()
        .id(query_id(index))
        .metric_stat(stat)
        .build()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and a count is neither negative nor fractional"
)]
fn whole(value: f64) -> u64 {
    value as u64
}
