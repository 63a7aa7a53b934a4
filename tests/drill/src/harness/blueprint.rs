//! What a run is built from: the world's blueprint, and the functions' settings.

use std::collections::BTreeMap;

use sentinel_core::settings::{
    CollectorSettings, HealthSettings, ReadinessSettings, RedriveSettings, Settings,
};
use simulator::WorldConfig;

use super::{monitoring, prober};
use crate::scenario::Stage;
use crate::{
    ACCOUNT, ALARM_TOPIC, ALIAS, CONTROL_REGION, STATE_BUCKET, TOPIC, TOPIC_REGIONS,
    WATCHDOG_REGION, WITNESS_REGION, alarm_name, alarm_topic_arn, mrap_arn,
};

/// The role that S3 Batch Operations assumes.
const BATCH_ROLE: &str = "arn:aws:iam::111122223333:role/mrap-sentinel-batch";

/// The bucket whose answers tell the witness whether S3 of its own Region works.
const WITNESS_BUCKET: &str = "mrap-sentinel-witness";

/// The bucket for manifests and reports in a Region.
pub(super) fn work_bucket(region: &str) -> String {
    format!("mrap-sentinel-work-{region}")
}

/// Settings of the four functions, as the template sets them.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) failover: Settings,
    pub(super) health: HealthSettings,
    pub(super) witness: HealthSettings,
    pub(super) collector: CollectorSettings,
    pub(super) redrive: RedriveSettings,
    pub(super) readiness: ReadinessSettings,
}

impl Deployment {
    pub(super) fn new(stage: &Stage) -> Self {
        let failover = with(failover(stage), &stage.settings);
        let health = with(health(stage), &stage.health);
        let witness = with(witness(stage), &stage.health);
        let collector = common(stage);
        let redrive = with(redrive(stage), &stage.redrive);
        let readiness = readiness(stage);
        let from = |variables: &BTreeMap<String, String>, name: &str| variables.get(name).cloned();
        Self {
            failover: Settings::from_lookup(|name| from(&failover, name))
                .expect("settings of a scenario"),
            health: HealthSettings::from_lookup(|name| from(&health, name))
                .expect("settings of a scenario"),
            witness: HealthSettings::from_lookup(|name| from(&witness, name))
                .expect("settings of a scenario"),
            collector: CollectorSettings::from_lookup(|name| from(&collector, name))
                .expect("settings of a scenario"),
            redrive: RedriveSettings::from_lookup(|name| from(&redrive, name))
                .expect("settings of a scenario"),
            readiness: ReadinessSettings::from_lookup(|name| from(&readiness, name))
                .expect("settings of a scenario"),
        }
    }
}

type Variables = BTreeMap<String, String>;

fn with(mut variables: Variables, more: &Variables) -> Variables {
    variables.extend(more.clone());
    variables
}

/// What every function is told.
fn common(stage: &Stage) -> Variables {
    let members: Vec<String> = stage
        .members
        .iter()
        .map(|member| format!("{}@{}", member.bucket, member.region))
        .collect();
    BTreeMap::from([
        ("MRAP_ARN".to_owned(), mrap_arn()),
        ("MEMBERS".to_owned(), members.join(",")),
        ("STATE_BUCKET".to_owned(), STATE_BUCKET.to_owned()),
    ])
}

fn topics() -> (String, String) {
    let topics = TOPIC_REGIONS.map(|region| format!("arn:aws:sns:{region}:{ACCOUNT}:{TOPIC}"));
    ("TOPIC_ARNS".to_owned(), topics.join(","))
}

fn failover(stage: &Stage) -> Variables {
    let topology = if stage.active_active {
        "active-active"
    } else {
        "active-passive"
    };
    let mut variables = common(stage);
    variables.extend([
        ("TOPOLOGY".to_owned(), topology.to_owned()),
        ("MODE".to_owned(), "automatic".to_owned()),
        topics(),
    ]);
    variables.extend(witness_region(stage));
    variables
}

fn witness_region(stage: &Stage) -> Option<(String, String)> {
    let expected = stage.witness;
    expected.then(|| ("WITNESS_REGION".to_owned(), WITNESS_REGION.to_owned()))
}

fn health(stage: &Stage) -> Variables {
    let mut variables = common(stage);
    variables.extend([
        ("ALARM_TOPIC_ARN".to_owned(), alarm_topic_arn()),
        ("HEARTBEAT_REGION".to_owned(), WATCHDOG_REGION.to_owned()),
    ]);
    variables.extend(witness_region(stage));
    variables
}

fn witness(stage: &Stage) -> Variables {
    let mut variables = common(stage);
    variables.extend([
        ("STATE_BUCKET".to_owned(), WITNESS_BUCKET.to_owned()),
        (
            "WITNESS_OF".to_owned(),
            format!("{STATE_BUCKET}@{CONTROL_REGION}"),
        ),
    ]);
    variables
}

fn work_buckets(stage: &Stage) -> (String, String) {
    let buckets: Vec<String> = stage
        .members
        .iter()
        .map(|member| format!("{}@{}", work_bucket(&member.region), member.region))
        .collect();
    ("WORK_BUCKETS".to_owned(), buckets.join(","))
}

fn readiness(stage: &Stage) -> Variables {
    let mut variables = failover(stage);
    variables.extend([
        work_buckets(stage),
        (
            "REPLICATION_EVENTS_QUEUE_ARN".to_owned(),
            WorldConfig::new(0).events_queue_arn(),
        ),
        ("STACK_ALARMS".to_owned(), alarm_name("{region}")),
    ]);
    // Without a health check there is no heartbeat to wait for.
    if stage.health_check.is_some() {
        variables.insert("HEARTBEAT_REGION".to_owned(), WATCHDOG_REGION.to_owned());
    }
    variables
}

fn redrive(stage: &Stage) -> Variables {
    let mut variables = common(stage);
    variables.extend([
        ("REDRIVE".to_owned(), "automatic".to_owned()),
        work_buckets(stage),
        ("BATCH_ROLE_ARN".to_owned(), BATCH_ROLE.to_owned()),
        topics(),
    ]);
    variables
}

/// The world.
pub(super) fn world(stage: &Stage, seed: u64) -> WorldConfig {
    let mut config = WorldConfig::new(seed).mrap(ALIAS);
    for member in &stage.members {
        let alarm = if stage.health_check.is_some() {
            monitoring::member_alarm(&member.region)
        } else {
            prober::alarm(&member.region)
        };
        config = config
            .member(&member.bucket, &member.region)
            .bucket(work_bucket(&member.region), &member.region)
            .alarm(alarm);
    }
    if stage.health_check.is_some() {
        config = config
            .topic(CONTROL_REGION, ALARM_TOPIC)
            .alarm(monitoring::self_test_alarm())
            .alarm(monitoring::watchdog());
    }
    if stage.witness {
        config = config.bucket(WITNESS_BUCKET, WITNESS_REGION);
    }
    if stage.active_active {
        config = config.all_active();
    }
    for region in TOPIC_REGIONS {
        config = config.topic(region, TOPIC);
    }
    for (label, region) in &stage.clients {
        config = config.client(label, region);
    }
    for name in &stage.alarms {
        config = config.alarm(prober::other_alarm(name));
    }
    config.jobs = stage.jobs.clone();
    for (bucket, key) in &stage.encrypted {
        config = config.encrypted(bucket, key);
    }
    config
        .bucket(STATE_BUCKET, CONTROL_REGION)
        .client(prober::LABEL, "us-west-2")
        .timing(stage.timing.clone())
}
