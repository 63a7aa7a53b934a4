//! An outside prober: writes a small object straight into every member's bucket every ten
//! seconds and feeds the metric that the alarms watch.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_smithy_runtime_api::client::result::SdkError;
use simulator::cloudwatch::{AlarmConfig, MetricName};
use simulator::{SimTime, Simulator};

use super::sdk::{self, Patience};
use crate::history::Probe;
use crate::scenario::Member;
use crate::{CONTROL_REGION, alarm_name};

/// Time between two probes of a member.
pub(crate) const ROUND: Duration = Duration::from_secs(10);

/// The label of its HTTP client.
pub(super) const LABEL: &str = "prober";

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(3),
    attempt: Duration::from_secs(3),
    operation: Duration::from_secs(3),
    attempts: 1,
};

/// What the prober found, in order of time.
pub(super) type Found = Arc<Mutex<Vec<Probe>>>;

fn metric(region: &str) -> MetricName {
    MetricName::new("OutsideProber", "Unavailable").dimension("Region", region)
}

/// Where the alarms send their actions: straight to the function, and to the topic that it reads.
const ACTIONS: [&str; 2] = [
    "arn:aws:lambda:us-east-2:111122223333:function:failover",
    "arn:aws:sns:us-east-2:111122223333:mrap-sentinel-alarms",
];

/// The alarm about a member: three probes in a row failed.
pub(super) fn alarm(region: &str) -> AlarmConfig {
    let [function, topic] = ACTIONS;
    AlarmConfig::metric(CONTROL_REGION, alarm_name(region), metric(region), 0.5)
        .with(|rule| {
            rule.period_seconds = ROUND.as_secs();
            (rule.evaluation_periods, rule.datapoints_to_alarm) = (3, 3);
        })
        .action(function)
        .action(topic)
}

/// An alarm about something else, which has no data of its own: it is what it is set to.
pub(super) fn other_alarm(name: &str) -> AlarmConfig {
    let metric = MetricName::new("Business", name);
    AlarmConfig::metric(CONTROL_REGION, name, metric, 0.5)
}

/// Probes one member until the end.
pub(super) async fn run(sim: Simulator, member: Member, found: Found, until: SimTime) {
    let client = sdk::s3(&sim, sim.http_client(LABEL), &member.region, PATIENCE);
    let metric = metric(&member.region);
    while sim.now() < until {
        let next = sim.now() + ROUND;
        let ok = answers(&client, &member).await;
        let value = if ok { 0.0 } else { 1.0 };
        sim.with(|world| world.put_metric(CONTROL_REGION, &metric, value));
        found.lock().unwrap().push(Probe {
            at: sim.now(),
            region: member.region.clone(),
            ok,
        });
        sim.clock().sleep_until(next).await;
    }
}

/// Whether the member serves: a refusal of its service is an answer, but no good one.
async fn answers(client: &Client, member: &Member) -> bool {
    let put = client
        .put_object()
        .bucket(&member.bucket)
        .key(format!("prober/{}", member.region))
        .body(Vec::new().into());
    match Box::pin(put.send()).await {
        Ok(_) => true,
        Err(SdkError::ServiceError(error)) => error.raw().status().as_u16() < 500,
        Err(_) => false,
    }
}
