//! One run: one seed, one thread, one paused tokio runtime.

mod alarms;
mod blueprint;
mod collect;
mod director;
mod functions;
mod imports;
mod lambda;
mod ledger;
mod monitoring;
mod prober;
mod progress;
mod queue;
mod sdk;
mod spectator;
mod truth;
mod watch;
mod workload;

use std::sync::mpsc::Sender;
use std::time::Duration;

use fastrand::Rng;
use simulator::{SimTime, Simulator};

pub use lambda::Crash;
pub(crate) use lambda::blocking;
pub(crate) use prober::ROUND;
pub use spectator::{Kind, Moment, Seen};
pub(crate) use workload::CALM;

use crate::history::{Cause, Function, History};
use crate::scenario::{Scenario, Stage, Wakes};
use alarms::Postman;
use director::Director;
use functions::Deployed;
use imports::Imports;
use lambda::{Lambda, Power};
use monitoring::{Barks, Monitoring, Subscription};
use queue::Queue;
use spectator::Spectator;
use workload::Workload;

/// The schedule of the tick.
pub(crate) const TICK: Duration = Duration::from_mins(1);

/// The schedule of the readiness check.
pub(crate) const LOOK: Duration = Duration::from_hours(1);

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
    /// Imports are cut to so many objects.
    pub import_at_most: Option<u64>,
    /// Probability that an invocation of the collector or the re-drive dies; the stage's if absent.
    pub deaths: Option<f64>,
    /// Only what fails to be copied is of interest: no clients, no probes, no alarms, and the
    /// `failover` function is never invoked.
    pub copies_only: bool,
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
            stage.deaths = options.deaths.unwrap_or(stage.deaths);
            // One thread, so nothing that a function keeps between two requests has to be `Send`.
            let tasks = tokio::task::LocalSet::new();
            tasks.block_on(&runtime, play(stage, seed, dice, options))
        })
        .expect("a thread")
        .join();
    played.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

async fn play(stage: Stage, seed: u64, mut dice: Rng, options: Options) -> History {
    let sim = Simulator::new(blueprint::world(&stage, seed));
    let end = SimTime::ZERO + stage.length;
    // Dice of their own for what joined later: who knows a run of `failover` by its seed finds it again.
    let mut more = Rng::with_seed(seed ^ 0x7265_6472_6976_6500);
    let machine = Machine::deploy(&sim, &stage, &options, (&mut dice, &mut more));
    let spectator = machine.spectator.clone();
    let lambda = machine.failover.clone();
    let found = prober::Found::default();
    let pace = options.pace.or(stage.pace).unwrap_or(PACE);

    let probed = stage.members.iter().filter(|_| !options.copies_only);
    for member in probed {
        let probing = prober::run(sim.clone(), member.clone(), found.clone(), end);
        tokio::task::spawn_local(probing);
    }
    let mut workloads = Vec::new();
    let clients = stage.clients.iter().filter(|_| !options.copies_only);
    for (label, region) in clients {
        let workload = Workload::new(&sim, label, region, spectator.clone());
        tokio::task::spawn_local(workload.clone().run(dice.fork(), pace, end - QUIET));
        workloads.push(workload);
    }
    if !options.copies_only {
        let postman = Postman {
            sim: sim.clone(),
            lambda: lambda.clone(),
            spectator: spectator.clone(),
            channels: stage.channels,
            delays: stage.delays.clone(),
            barks: machine.barks.clone(),
        };
        tokio::task::spawn_local(postman.deliver(dice.fork()));
    }
    let wakes = stage.health_check.filter(|_| !options.copies_only);
    if let Some(wakes) = wakes {
        machine.watch(&sim, wakes, Rng::with_seed(seed ^ 0x6865_616c_7468));
    }
    let second_view = (stage.witness && !options.copies_only).then(|| {
        let mut dice = Rng::with_seed(seed ^ 0x7769_746e_6573);
        // It shares neither fate nor logs with the control Region.
        let around = (spectator.clone(), None, Power::default());
        let deployed = Deployed::Witness(machine.settings.witness.clone());
        let witness = Lambda::new(&sim, deployed, around, dice.fork(), (None, 0.0));
        let offset = Duration::from_millis(dice.u64(0..60_000));
        tokio::task::spawn_local(jittered(sim.clone(), witness.clone(), offset, dice));
        witness
    });
    let imports = Imports::default();
    let director = Director {
        sim: sim.clone(),
        lambda: lambda.clone(),
        redrive: machine.redrive.clone(),
        imports: imports.clone(),
        queue: machine.queue.clone(),
        import_at_most: options.import_at_most,
        spectator: spectator.clone(),
        power: machine.power.clone(),
    };
    tokio::task::spawn_local(director.play(stage.clone()));
    let offset = |dice: &mut Rng| Duration::from_millis(dice.u64(0..60_000));
    if !options.copies_only {
        tokio::task::spawn_local(tick(sim.clone(), lambda.clone(), offset(&mut dice), TICK));
    }
    let redrive = machine.redrive.clone();
    tokio::task::spawn_local(tick(sim.clone(), redrive, offset(&mut more), TICK));
    if stage.is_checked && !options.copies_only {
        let mut dice = Rng::with_seed(seed ^ 0x7265_6164_7900);
        let readiness = machine.readiness.clone();
        tokio::task::spawn_local(tick(sim.clone(), readiness, offset(&mut dice), LOOK));
    }
    tokio::task::spawn_local(machine.queue.clone().fill());
    tokio::task::spawn_local(machine.queue.clone().poll());

    watch::until(&sim, &spectator, end).await;
    let witnesses = Witnesses {
        machine,
        second_view,
        found,
        workloads,
        imports,
    };
    collect::history(&sim, stage, &witnesses)
}

/// The functions and the queue, as they are deployed.
#[derive(Debug)]
struct Machine {
    settings: blueprint::Deployment,
    power: Power,
    barks: Barks,
    failover: Lambda,
    health: Lambda,
    collector: Lambda,
    redrive: Lambda,
    readiness: Lambda,
    queue: Queue,
    spectator: Spectator,
}

impl Machine {
    fn deploy(
        sim: &Simulator,
        stage: &Stage,
        options: &Options,
        (dice, more): (&mut Rng, &mut Rng),
    ) -> Self {
        let settings = blueprint::Deployment::new(stage);
        let spectator = Spectator::new(options.watcher.clone());
        let power = Power::default();
        // Dice of their own again: nobody else's may fall differently because of them.
        let mut own = Rng::with_seed(more.clone().u64(..) ^ 0x6c6f_6773);
        let monitoring = stage.health_check.map(|_| Monitoring::new(sim, own.fork()));
        let lambda = |deployed: Deployed, dice: Rng| {
            let deaths = match deployed.function() {
                Function::Failover | Function::HealthCheck | Function::Readiness => 0.0,
                Function::ReplicationEvents | Function::Redrive => stage.deaths,
            };
            let crash = options.crash.clone();
            let around = (spectator.clone(), monitoring.clone(), power.clone());
            Lambda::new(sim, deployed, around, dice, (crash, deaths))
        };
        let failover = lambda(
            Deployed::Failover(Box::new(settings.failover.clone())),
            dice.fork(),
        );
        let health = lambda(Deployed::HealthCheck(settings.health.clone()), own.fork());
        let collector = Deployed::ReplicationEvents(settings.collector.clone());
        let collector = lambda(collector, more.fork());
        let redrive = lambda(Deployed::Redrive(settings.redrive.clone()), more.fork());
        let queue = Queue::new(sim, collector.clone(), stage.repeats, more.fork());
        let readiness = Deployed::Readiness(settings.readiness.clone());
        let readiness = lambda(readiness, more.fork());
        Self {
            settings,
            power,
            barks: Barks::default(),
            failover,
            health,
            collector,
            redrive,
            readiness,
            queue,
            spectator,
        }
    }
}

impl Machine {
    /// Lets the health check run by its schedule, and its wake-ups arrive.
    fn watch(&self, sim: &Simulator, wakes: Wakes, mut dice: Rng) {
        let offset = Duration::from_millis(dice.u64(0..60_000));
        let subscription = Subscription {
            sim: sim.clone(),
            lambda: self.failover.clone(),
            spectator: self.spectator.clone(),
            lost: wakes == Wakes::Lost,
        };
        tokio::task::spawn_local(subscription.deliver(dice.fork()));
        let schedule = jittered(sim.clone(), self.health.clone(), offset, dice);
        tokio::task::spawn_local(schedule);
    }
}

/// A schedule that fires anywhere inside its minute, near the same second of it most of the time.
async fn jittered(sim: Simulator, lambda: Lambda, offset: Duration, mut dice: Rng) {
    let mut minute = SimTime::ZERO;
    loop {
        let late = Duration::from_millis(dice.u64(0..8_000));
        sim.clock().sleep_until(minute + offset + late).await;
        lambda.send(serde_json::json!({"command": "tick"}), Cause::Tick);
        minute = minute + TICK;
    }
}

/// Everybody who can tell something in the end.
#[derive(Debug)]
struct Witnesses {
    machine: Machine,
    second_view: Option<Lambda>,
    found: prober::Found,
    workloads: Vec<Workload>,
    imports: Imports,
}

/// A schedule.
async fn tick(sim: Simulator, lambda: Lambda, offset: Duration, every: Duration) {
    let mut next = sim.now() + offset;
    loop {
        sim.clock().sleep_until(next).await;
        lambda.send(serde_json::json!({"command": "tick"}), Cause::Tick);
        next = next + every;
    }
}
