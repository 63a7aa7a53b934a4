//! Runs: rounds in time, no hole between two of them, nothing that waits for anybody.

use std::time::Duration;

use jiff::SignedDuration;
use sentinel_core::evidence::{Lag, Observer, Verdict};
use serde_json::json;
use simulator::{Fault, FaultKind, Service};

use crate::world::{AWAY, CONTROL, HOME, THIRD, THREE, World, member};

#[tokio::test(start_paused = true)]
async fn a_run_makes_a_round_every_ten_seconds_for_seventy() {
    let world = World::new();
    let process = world.boot("health", &[("HEARTBEAT_REGION", "us-west-2")]);
    let answer = world.run(&process, "run-1").await.unwrap();
    assert_eq!(
        answer,
        json!({
            "outcome": "observed", "rounds": 8, "recorded": 8, "wakes": 0,
            "verdicts": {HOME: "good", AWAY: "good"},
        })
    );
    let history = world.history("evidence.json");
    assert_eq!(history.len(), 8);
    for pair in history.windows(2) {
        let apart = pair[1].observed_at.duration_since(pair[0].observed_at);
        assert!(apart.abs_diff_to(10) < 1, "{apart}");
    }
    let last = world.evidence();
    assert_eq!(last.run.as_ref().unwrap().id, "run-1");
    assert_eq!(last.observer, Observer::Well);
    assert_eq!(member(&last, HOME).since, history[0].observed_at);
    assert!(member(&last, HOME).latency_millis.is_some());
    let pair = last.pair(&HOME.parse().unwrap(), &AWAY.parse().unwrap());
    assert!(
        matches!(pair.unwrap().lag, Lag::Arrived { within_seconds } if within_seconds < 30),
        "{pair:?}"
    );
    let serving = last.serving.as_ref().unwrap();
    assert_eq!(serving.agrees, Some(true), "{serving:?}");

    assert_eq!(process.metric("Availability", Some(HOME)), [100.0; 8]);
    assert_eq!(process.metric("Heartbeat", Some(CONTROL)), [1.0; 8]);
    assert_eq!(process.metric("ObserverSick", None), [0.0; 8]);
    assert_eq!(process.metric("Serving", Some(HOME)), [1.0]);
    assert_eq!(process.metric("Serving", Some(AWAY)), [0.0]);
    assert_eq!(
        process.metric("SelfTest", None),
        [1.0],
        "the first of a day"
    );
    let beats = world.sim.with(|world| {
        let log = world.log().iter();
        let beats = log.filter(|entry| entry.operation == "PutMetricData");
        beats.map(|entry| entry.region.clone()).collect::<Vec<_>>()
    });
    assert_eq!(beats, ["us-west-2"], "once a run");
}

/// Lambda's time-out must leave room for the last round, whatever the patience.
#[tokio::test(start_paused = true)]
async fn the_longest_patience_makes_no_run_shorter() {
    let world = World::new();
    let process = world.boot("health", &[("PROBE_TIMEOUT_MILLIS", "20000")]);
    let answer = world.run(&process, "run-1").await.unwrap();
    assert_eq!(answer["rounds"], 8, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_no_rule_brings_canaries_to_has_no_endless_lag() {
    let world = World::of_three();
    world.narrow("app-use1", "app-apne1");
    let process = world.boot("health", &[THREE, ("MAX_LAG_SECONDS", "15")]);
    world.run(&process, "run-1").await.unwrap();
    let [home, away, third] = [HOME, AWAY, THIRD].map(|region| region.parse().unwrap());
    let first = world.evidence();
    let waits = &first.pair(&home, &third).unwrap().lag;
    assert!(matches!(waits, Lag::Waiting { .. }), "{waits}");
    assert!(member(&first, HOME).tracked.is_some());

    world.run(&process, "run-2").await.unwrap();
    let last = world.evidence();
    let passed = last.pair(&home, &third).unwrap();
    let said = passed.lag.to_string();
    assert!(said.contains("no rule brings them there"), "{said}");
    assert_eq!(passed.exposure_seconds, None);
    assert_eq!(member(&last, HOME).tracked, None);
    for (source, destination) in [(&home, &away), (&away, &third), (&third, &home)] {
        let lag = &last.pair(source, destination).unwrap().lag;
        assert!(matches!(lag, Lag::Arrived { .. }), "{source} {lag}");
    }
    let asked = world.sim.with(|world| {
        let log = world.log().iter();
        let heads = log.filter(|entry| entry.operation == "HeadObject" && !entry.through_mrap);
        let own =
            |resource: &str| resource.starts_with("app-use1/") && resource.ends_with("/us-east-1");
        heads.filter(|entry| own(&entry.resource)).count()
    });
    assert_eq!(asked, 1, "once, by the second run");
}

#[tokio::test(start_paused = true)]
async fn a_newer_run_takes_over_without_a_hole() {
    let world = World::new();
    let (first, second) = (world.boot("health-1", &[]), world.boot("health-2", &[]));
    let later = async {
        world.sim.sleep(Duration::from_secs(55)).await;
        world.run(&second, "run-2").await.unwrap()
    };
    let (ended, went_on) = tokio::join!(world.run(&first, "run-1"), later);
    let ended = ended.unwrap();
    assert_eq!(ended["outcome"], "taken-over", "{ended}");
    assert_eq!(went_on["outcome"], "observed", "{went_on}");
    let history = world.history("evidence.json");
    let order: Vec<&str> = history
        .iter()
        .map(|one| one.run.as_ref().unwrap().id.as_str())
        .collect();
    let handed_over = order.iter().position(|id| *id == "run-2").unwrap();
    assert!(
        order[handed_over..].iter().all(|id| *id == "run-2"),
        "who was taken over writes no more: {order:?}"
    );
    for pair in history.windows(2) {
        let apart = pair[1].observed_at.duration_since(pair[0].observed_at);
        assert!(
            apart > SignedDuration::ZERO && apart < SignedDuration::from_secs(11),
            "{apart}"
        );
    }
    // Nothing was forgotten at the handover.
    let last = world.evidence();
    assert_eq!(member(&last, HOME).since, history[0].observed_at);
    assert_eq!(second.metric("SelfTest", None), [0.0; 0], "once a day");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_starts_late_ends_at_once() {
    let world = World::new();
    let (first, second) = (world.boot("health-1", &[]), world.boot("health-2", &[]));
    world.run(&second, "run-2").await.unwrap();
    // Of two runs that began at the same moment one is the newer; a retry of an old one is older.
    let mut newer = serde_json::to_value(world.evidence()).unwrap();
    newer["run"]["startedAt"] = json!(World::second(120).to_string());
    world.sim.with(|w| {
        w.put_object_as_person("sentinel-state", "evidence.json", newer.to_string());
    });
    let answer = world.run(&first, "run-1").await.unwrap();
    assert_eq!(answer["outcome"], "taken-over");
    assert_eq!(answer["rounds"], 0, "it does not even probe");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_region_delays_nobody() {
    let world = World::new();
    world.hang(HOME, 0, 600);
    let process = world.boot("health", &[]);
    let answer = world.run(&process, "run-1").await.unwrap();
    assert_eq!(answer["rounds"], 8);
    assert_eq!(answer["verdicts"], json!({HOME: "bad", AWAY: "good"}));
    let last = world.evidence();
    assert_eq!(member(&last, HOME).bad_rounds, 8);
    let millis = member(&last, AWAY).latency_millis.unwrap();
    assert!(millis < 1_000, "{millis} ms");
    assert_eq!(process.metric("Availability", Some(HOME)), [0.0; 8]);
    // The other one is seen to serve nothing: the access point still sends everybody home.
    assert_eq!(last.serving.unwrap().agrees, None);
}

#[tokio::test(start_paused = true)]
async fn an_isolated_observer_knows_nothing_and_says_so() {
    let world = World::new();
    world.hang(HOME, 0, 600);
    world.hang(AWAY, 0, 600);
    let process = world.boot("health", &[]);
    let answer = world.run(&process, "run-1").await.unwrap();
    assert_eq!(
        answer["verdicts"],
        json!({HOME: "observer sick", AWAY: "observer sick"})
    );
    assert_eq!(process.metric("Availability", None), [0.0; 0]);
    assert_eq!(process.metric("ObserverSick", None), [1.0; 8]);
    let last = world.evidence();
    assert!(matches!(last.observer, Observer::Sick { .. }));
    assert_eq!(member(&last, HOME).bad_rounds, 0);
    assert_eq!(world.wakes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_member_has_no_data_point() {
    let world = World::new();
    world.sim.with(|w| {
        w.add_fault(
            Fault::new(FaultKind::SlowDown)
                .service(Service::S3)
                .region(HOME),
        );
    });
    let process = world.boot("health", &[]);
    world.run(&process, "run-1").await.unwrap();
    assert_eq!(process.metric("Availability", Some(HOME)), [0.0; 0]);
    assert_eq!(process.metric("Availability", Some(AWAY)), [100.0; 8]);
    assert_eq!(member(&world.evidence(), HOME).verdict, Verdict::Throttled);
}

#[tokio::test(start_paused = true)]
async fn only_the_schedule_is_served() {
    let world = World::new();
    let process = world.boot("health", &[]);
    for (payload, says) in [
        (json!({"command": "status"}), "knows no command \"status\""),
        (
            json!({"command": "tick", "dryRun": true}),
            "no further fields",
        ),
        (json!({"Records": []}), "the payload is no command"),
        (json!("tick"), "the payload is no command"),
    ] {
        let error = world.invoke(&process, payload, "r").await.unwrap_err();
        assert!(error.chain().contains(says), "{}", error.chain());
    }
    assert_eq!(world.history("evidence.json").len(), 0);
}

/// Whole seconds between a duration and so many seconds.
trait AbsDiff {
    fn abs_diff_to(&self, seconds: i64) -> i64;
}

impl AbsDiff for SignedDuration {
    fn abs_diff_to(&self, seconds: i64) -> i64 {
        (*self - Self::from_secs(seconds)).abs().as_secs()
    }
}
