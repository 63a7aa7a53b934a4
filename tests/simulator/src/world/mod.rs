//! The state machine: everything that AWS is, at one virtual moment.

mod events;
mod exchange;
mod harness;
mod jobs;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::SimTime;
use crate::cloudwatch::CloudWatch;
use crate::config::{
    BucketSettings, ClientConfig, Encryption, ReplicationRule, Versioning, WorldConfig,
};
use crate::dice::Dice;
use crate::faults::{Fault, Outage, Service};
use crate::jobs::Jobs;
use crate::log::{LogEntry, RequestLog};
use crate::mrap::Mraps;
use crate::notifications::Notifications;
use crate::replication::Replication;
use crate::s3::{Lane, S3};
use crate::sns::Topics;
use crate::time::calendar;
use crate::truth::ReplicationFailure;

use events::{Counts, Event, Queue};
use exchange::{Connection, ConnectionKey, LateCall};
pub(crate) use exchange::{Course, Exchange, Sender};

/// AWS as one deterministic state machine. Reach it through
/// [`Simulator::with`](crate::Simulator::with), which moves it to the present first.
#[derive(Debug)]
pub struct World {
    config: WorldConfig,
    now: SimTime,
    queue: Queue,
    dice: Dice,
    log: RequestLog,
    s3: S3,
    replication: Replication,
    replication_failures: Vec<ReplicationFailure>,
    /// What became of transfers in the present step, for their metric.
    counts: BTreeMap<u32, (Arc<Lane>, Counts)>,
    lanes_made: u32,
    notifications: Notifications,
    jobs: Jobs,
    mraps: Mraps,
    topics: Topics,
    cloudwatch: CloudWatch,
    faults: BTreeMap<u64, Fault>,
    faults_made: u64,
    outages: Vec<Outage>,
    connections: BTreeMap<ConnectionKey, Connection>,
    /// Connection of each request whose fate is open.
    in_flight: BTreeMap<u64, ConnectionKey>,
    /// Requests that will be applied after their client gave up.
    landing: BTreeMap<u64, LateCall>,
}

impl World {
    /// Builds a world at its epoch.
    ///
    /// # Panics
    /// If the blueprint contradicts itself: a bucket twice, a rule from an unknown bucket, an
    /// unreadable alarm rule, an impossible alarm period.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        let timing = &config.timing;
        let mut world = Self {
            now: SimTime::ZERO,
            queue: Queue::default(),
            dice: Dice::new(config.seed),
            log: RequestLog::default(),
            s3: S3::new(
                config.seed,
                config.epoch,
                timing.conditional_conflict_window,
            ),
            replication: Replication::new(timing),
            replication_failures: Vec::new(),
            counts: BTreeMap::new(),
            lanes_made: 0,
            notifications: Notifications::new(&config),
            jobs: Jobs::new(&config),
            mraps: Mraps::new(&config),
            topics: Topics::new(&config),
            cloudwatch: CloudWatch::new(&config),
            faults: BTreeMap::new(),
            faults_made: 0,
            outages: Vec::new(),
            connections: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            landing: BTreeMap::new(),
            config,
        };
        world.create_buckets();
        world.plan_ticks();
        world
    }

    fn create_buckets(&mut self) {
        for bucket in &self.config.buckets {
            self.s3.create_bucket(
                &bucket.name,
                &bucket.region,
                bucket.versioning,
                bucket.encryption.clone(),
            );
        }
        let mut rules = Vec::new();
        for mrap in &self.config.mraps {
            for member in &mrap.members {
                self.s3.create_bucket(
                    &member.bucket,
                    &member.region,
                    Versioning::Enabled,
                    member.encryption.clone(),
                );
                let settings = BucketSettings::of_member(&self.config.account, None);
                if let Some(bucket) = self.s3.bucket_mut(&member.bucket) {
                    bucket.settings = settings;
                }
                let others = mrap.members.iter().filter(|other| *other != member);
                rules.extend(
                    others
                        .filter(|_| mrap.full_mesh)
                        .map(|other| ReplicationRule {
                            time_control: mrap.time_control,
                            replica_kms_key: match &other.encryption {
                                Encryption::SseS3 => None,
                                Encryption::SseKms { key } => Some(key.clone()),
                            },
                            ..ReplicationRule::new(
                                format!("to-{}", other.bucket),
                                &member.bucket,
                                &other.bucket,
                            )
                        }),
                );
            }
        }
        rules.extend(self.config.replication.iter().cloned());
        for rule in rules {
            self.set_replication_rule(rule);
        }
        self.configure_notifications();
    }

    /// The source buckets of rules send their events to the queue, a test event first.
    fn configure_notifications(&mut self) {
        if !self.config.replication_events.enabled {
            return;
        }
        let sources = self
            .s3
            .buckets()
            .filter(|(_, b)| b.rules().next().is_some());
        let sources: Vec<String> = sources.map(|(name, _)| name.to_owned()).collect();
        let through = self.config.replication_events.through_topic.clone();
        let to = through.unwrap_or_else(|| self.config.events_queue_arn());
        for bucket in sources {
            if let Some(state) = self.s3.bucket_mut(&bucket) {
                state.settings.replication_events_to = Some(to.clone());
            }
            let rng = &mut self.dice.notifications;
            self.notifications
                .configure(&bucket, &self.config.timing, self.now, rng);
        }
    }

    /// The blueprint it was built from.
    #[must_use]
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// The moment that everything has happened up to.
    #[must_use]
    pub fn now(&self) -> SimTime {
        self.now
    }

    /// The calendar time of a moment.
    #[must_use]
    pub fn calendar(&self, at: SimTime) -> jiff::Timestamp {
        calendar(self.config.epoch, at)
    }

    /// Every request so far.
    #[must_use]
    pub fn log(&self) -> &[LogEntry] {
        self.log.entries()
    }

    /// SHA-256 over the whole log, signatures and fates included: equal runs have equal hashes.
    #[must_use]
    pub fn log_hash(&self) -> String {
        self.log.hash()
    }

    /// A JSON picture of the world: routes, buckets, faults, outages, alarms, topics.
    #[must_use]
    pub fn dump(&self) -> Value {
        let aliases: Vec<&str> = self.mraps.aliases().collect();
        let mraps = aliases.iter().map(|alias| {
            let details = json!({
                "routes": self.routes(alias),
                "history": self.route_history(alias),
            });
            ((*alias).to_owned(), details)
        });
        let buckets = self.s3.buckets().map(|(name, bucket)| {
            let details = json!({
                "region": bucket.region,
                "versioning": bucket.versioning,
                "rules": bucket.rules().collect::<Vec<_>>(),
                "keys": self.keys(name).len(),
            });
            (name.to_owned(), details)
        });
        let alarms = self
            .cloudwatch
            .states()
            .map(|((region, name), state)| json!({"region": region, "name": name, "state": state}));
        let pending = self.replication.pending().map(|(lane, pending)| {
            json!({
                "source": &*lane.source,
                "destination": &*lane.destination,
                "rule": &*lane.rule,
                "operations": pending.operations,
                "bytes": pending.bytes,
            })
        });
        json!({
            "now_ms": self.now,
            "time": self.calendar(self.now).to_string(),
            "seed": self.config.seed,
            "account": self.config.account,
            "requests": self.log.next_seq(),
            "log_hash": self.log_hash(),
            "mraps": mraps.collect::<serde_json::Map<_, _>>(),
            "buckets": buckets.collect::<serde_json::Map<_, _>>(),
            "pending": pending.collect::<Vec<_>>(),
            "faults": self.faults,
            "outages": self.outages,
            "alarms": alarms.collect::<Vec<_>>(),
            "topics": self.topics.arns(),
            "published": self.topics.published().len(),
            "jobs": self.jobs(),
            "replication_messages": self.waiting_replication_messages(),
        })
    }

    /// Where a client is.
    fn client(&self, label: &str) -> ClientConfig {
        let known = self.config.clients.get(label).cloned();
        known.unwrap_or_else(|| ClientConfig {
            location: self.config.default_location.clone(),
            preference: Vec::new(),
        })
    }

    /// Whether a service of a Region is up.
    fn is_up(&self, region: &str, service: Service) -> bool {
        is_up(&self.outages, region, service, self.now)
    }

    fn plan(&mut self, at: SimTime, event: Event) {
        self.queue.push(at, event);
    }
}

/// Whether no outage takes a service of a Region down.
fn is_up(outages: &[Outage], region: &str, service: Service, now: SimTime) -> bool {
    !outages.iter().any(|outage| {
        outage.region == region && outage.is_on(now) && outage.services.contains(&service)
    })
}
