//! One run: one seed, one thread, one paused tokio runtime.

mod alarms;
mod director;
mod lambda;
mod prober;
mod sdk;
mod spectator;
mod watch;
mod workload;

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::time::Duration;

use fastrand::Rng;
use sentinel_core::settings::Settings;
use sentinel_core::state::State;
use simulator::{SimTime, Simulator, World, WorldConfig};

pub use lambda::Crash;
pub(crate) use lambda::blocking;
pub(crate) use prober::ROUND;
pub use spectator::{Kind, Moment, Seen};
pub(crate) use workload::CALM;

use crate::history::{Acknowledged, Cause, Data, Held, History};
use crate::scenario::{Scenario, Stage};
use crate::{ALIAS, CONTROL_REGION, STATE_BUCKET, TOPIC, TOPIC_REGIONS, mrap_arn};
use alarms::Postman;
use director::Director;
use lambda::Lambda;
use spectator::Spectator;
use workload::Workload;

/// The schedule of the tick.
pub(crate) const TICK: Duration = Duration::from_mins(1);

/// The clients stop this long before the end, so that replication can finish.
const QUIET: Duration = Duration::from_mins(3);

/// Mean time between two requests of a client.
const PACE: Duration = Duration::from_millis(500);

/// What may differ between runs of a scenario with a seed.
#[derive(Debug, Default)]
pub struct Options {
    /// An invocation that dies.
    pub crash: Option<Crash>,
    /// Who watches.
    pub watcher: Option<Sender<Seen>>,
    /// Mean time between two requests of a client; half a second if absent.
    pub pace: Option<Duration>,
    /// Virtual time that it takes; the stage's if absent.
    pub length: Option<Duration>,
}

/// Plays a scenario.
///
/// # Panics
/// If the harness or the world breaks.
#[must_use]
pub fn run(scenario: &Scenario, seed: u64, options: Options) -> History {
    let stage = scenario.stage;
    let played = std::thread::Builder::new()
        .name(format!("{} {seed}", scenario.name))
        .stack_size(32 << 20) // the SDK's futures are large in debug builds
        .spawn(move || {
            fastrand::seed(seed); // the SDK's generator: per thread
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime");
            let mut dice = Rng::with_seed(seed ^ 0x6472_696c_6c00);
            let mut stage = stage(&mut dice);
            stage.length = options.length.unwrap_or(stage.length);
            runtime.block_on(play(stage, seed, dice, options))
        })
        .expect("a thread")
        .join();
    played.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

async fn play(stage: Stage, seed: u64, mut dice: Rng, options: Options) -> History {
    let sim = Simulator::new(world(&stage, seed));
    let end = SimTime::ZERO + stage.length;
    let settings = settings(&stage);
    let thresholds = settings.thresholds.clone();
    let spectator = Spectator::new(options.watcher);
    let lambda = Lambda::new(
        &sim,
        settings,
        spectator.clone(),
        dice.fork(),
        options.crash,
    );
    let found = prober::Found::default();
    let pace = options.pace.unwrap_or(PACE);

    for member in &stage.members {
        let probing = prober::run(sim.clone(), member.clone(), found.clone(), end);
        tokio::spawn(probing);
    }
    let mut workloads = Vec::new();
    for (label, region) in &stage.clients {
        let workload = Workload::new(&sim, label, region, spectator.clone());
        tokio::spawn(workload.clone().run(dice.fork(), pace, end - QUIET));
        workloads.push(workload);
    }
    let postman = Postman {
        sim: sim.clone(),
        lambda: lambda.clone(),
        spectator: spectator.clone(),
        channels: stage.channels,
        delays: stage.delays.clone(),
    };
    tokio::spawn(postman.deliver(dice.fork()));
    let director = Director {
        sim: sim.clone(),
        lambda: lambda.clone(),
        spectator: spectator.clone(),
    };
    tokio::spawn(director.play(stage.clone()));
    let offset = Duration::from_millis(dice.u64(0..60_000));
    tokio::spawn(tick(sim.clone(), lambda.clone(), offset));

    watch::until(&sim, &spectator, end).await;
    collect(&sim, stage, thresholds, &lambda, &found, &workloads)
}

/// The schedule: every minute.
async fn tick(sim: Simulator, lambda: Lambda, offset: Duration) {
    let mut next = sim.now() + offset;
    loop {
        sim.clock().sleep_until(next).await;
        lambda.send(serde_json::json!({"command": "tick"}), Cause::Tick);
        next = next + TICK;
    }
}

fn world(stage: &Stage, seed: u64) -> WorldConfig {
    let mut config = WorldConfig::new(seed).mrap(ALIAS);
    for member in &stage.members {
        config = config
            .member(&member.bucket, &member.region)
            .alarm(prober::alarm(&member.region));
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
    config
        .bucket(STATE_BUCKET, CONTROL_REGION)
        .client(prober::LABEL, "us-west-2")
        .timing(stage.timing.clone())
}

fn settings(stage: &Stage) -> Settings {
    let members: Vec<String> = stage
        .members
        .iter()
        .map(|member| format!("{}@{}", member.bucket, member.region))
        .collect();
    let topics =
        TOPIC_REGIONS.map(|region| format!("arn:aws:sns:{region}:{}:{TOPIC}", crate::ACCOUNT));
    let topology = if stage.active_active {
        "active-active"
    } else {
        "active-passive"
    };
    let mut variables = BTreeMap::from([
        ("MRAP_ARN".to_owned(), mrap_arn()),
        ("MEMBERS".to_owned(), members.join(",")),
        ("TOPOLOGY".to_owned(), topology.to_owned()),
        ("MODE".to_owned(), "automatic".to_owned()),
        ("STATE_BUCKET".to_owned(), STATE_BUCKET.to_owned()),
        ("TOPIC_ARNS".to_owned(), topics.join(",")),
    ]);
    variables.extend(stage.settings.clone());
    Settings::from_lookup(|name| variables.get(name).cloned()).expect("settings of a scenario")
}

fn collect(
    sim: &Simulator,
    stage: Stage,
    thresholds: sentinel_core::settings::Thresholds,
    lambda: &Lambda,
    found: &prober::Found,
    workloads: &[Workload],
) -> History {
    let (mut invocations, lines) = lambda.records();
    let (mut requests, mut acknowledged) = (Vec::new(), Vec::new());
    for workload in workloads {
        let (asked, told) = workload.records();
        requests.extend(asked);
        acknowledged.extend(told);
    }
    requests.sort_by_key(|request| request.done);
    acknowledged.sort_by_key(|write| write.at);
    sim.with(|world| {
        name_buckets(world, &mut acknowledged);
        let mut submissions = BTreeMap::new();
        for entry in world
            .log()
            .iter()
            .filter(|entry| entry.client.starts_with("failover-"))
        {
            let running = invocations.iter_mut().find(|invocation| {
                invocation.environment == entry.client
                    && (invocation.started..=invocation.ended).contains(&entry.at)
            });
            let Some(invocation) = running else { continue };
            if entry.operation == "SubmitMultiRegionAccessPointRoutes" {
                submissions.insert(entry.seq, invocation.request_id.clone());
            }
            let matters = entry.service == simulator::Service::S3Control
                || entry.resource.starts_with(STATE_BUCKET);
            if matters && entry.fault.is_some() {
                invocation.hindered += 1;
            }
        }
        History {
            epoch: world.config().epoch,
            end: world.now(),
            thresholds,
            routes: world.route_history(ALIAS).to_vec(),
            submissions,
            states: states(world),
            published: world.published().to_vec(),
            outages: world.outages(),
            data: data(world, &stage),
            current: current(world, &stage),
            log: world.log().to_vec(),
            log_hash: world.log_hash(),
            stage,
            invocations,
            lines,
            probes: found.lock().unwrap().clone(),
            requests,
            acknowledged,
        }
    })
}

/// Which bucket took each write: only the simulator knows.
fn name_buckets(world: &World, acknowledged: &mut [Acknowledged]) {
    let took: BTreeMap<(&str, &str), &str> = world
        .writes()
        .iter()
        .map(|write| {
            (
                (write.key.as_str(), write.version_id.as_str()),
                write.bucket.as_str(),
            )
        })
        .collect();
    for write in acknowledged {
        if let Some(bucket) = took.get(&(write.key.as_str(), write.version.as_str())) {
            write.bucket = (*bucket).to_owned();
        }
    }
}

/// Every version of the state document, oldest first.
fn states(world: &World) -> Vec<(SimTime, State)> {
    let mrap = mrap_arn().parse().expect("an ARN");
    let mut states: Vec<(SimTime, State)> = world
        .versions(STATE_BUCKET, "state.json")
        .into_iter()
        .filter(|version| !version.delete_marker)
        .map(|version| {
            let document = serde_json::from_slice(&version.body).expect("JSON");
            let state = State::parse(document, &mrap).expect("a state document");
            (version.last_modified, state)
        })
        .collect();
    states.reverse();
    states
}

fn data_keys(world: &World, bucket: &str) -> Vec<String> {
    let keys = world.keys(bucket).into_iter();
    keys.filter(|key| key.starts_with(crate::DATA_PREFIX))
        .map(str::to_owned)
        .collect()
}

fn data(world: &World, stage: &Stage) -> Data {
    let mut data = Data::new();
    for member in &stage.members {
        for key in data_keys(world, &member.bucket) {
            for version in world.versions(&member.bucket, &key) {
                let held = Held {
                    since: version.visible_since,
                    transfers: version.transfers.to_map(),
                };
                data.entry((key.clone(), version.version_id.to_string()))
                    .or_default()
                    .insert(member.bucket.clone(), held);
            }
        }
    }
    data
}

fn current(world: &World, stage: &Stage) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut current: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for member in &stage.members {
        for key in data_keys(world, &member.bucket) {
            if let Some(object) = world.object(&member.bucket, &key) {
                let version = object.version_id.to_string();
                current
                    .entry(key)
                    .or_default()
                    .insert(member.bucket.clone(), version);
            }
        }
    }
    current
}
