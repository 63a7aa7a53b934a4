//! When the failover function is woken.

use std::time::Duration;

use sentinel_core::wake::Wake;
use simulator::{Fault, FaultKind, Service, SimTime};

use crate::world::{AWAY, HOME, THREE, World};

#[tokio::test(start_paused = true)]
async fn after_three_bad_rounds_and_again_each_minute() {
    let world = World::new();
    let process = world.boot("health", &[]);
    // The rounds of seconds 0 and 10 are good, those of 20, 30 and 40 bad.
    world.hang(HOME, 15, 600);
    let answer = world.run(&process, "run-1").await.unwrap();
    assert_eq!(answer["wakes"], 1, "{answer}");
    let wakes = world.wakes();
    let (at, message) = &wakes[0];
    assert!((40..48).contains(at), "published at {at} s");
    assert_eq!(message["source"], "mrap-sentinel.health-check");
    let wake: Wake = serde_json::from_value(message["detail"].clone()).unwrap();
    assert_eq!((wake.region.as_str(), wake.rounds), (HOME, 3));
    assert!(wake.since >= World::second(20) && wake.since < World::second(21));
    assert!(wake.observed_at >= World::second(40) && wake.observed_at < World::second(41));

    // The next run finds it still bad, and says so at once; then only a minute later.
    let answer = world.run(&process, "run-2").await.unwrap();
    assert_eq!(answer["wakes"], 2, "{answer}");
    let seconds: Vec<u64> = world.wakes().iter().map(|(at, _)| *at).collect();
    assert!(seconds[1] - seconds[0] < 60, "{seconds:?}");
    assert!(
        (60..=71).contains(&(seconds[2] - seconds[1])),
        "{seconds:?}"
    );
}

/// A passive member that is bad for long must not delay what is to be said of the active one.
#[tokio::test(start_paused = true)]
async fn for_each_member_by_itself() {
    let world = World::of_three();
    let process = world.boot("health", &[THREE]);
    world.hang(AWAY, 0, 600);
    world.hang(HOME, 15, 600);
    let answer = world.run(&process, "run-1").await.unwrap();
    assert_eq!(answer["wakes"], 2, "{answer}");
    let wakes = world.wakes();
    let told: Vec<(&str, bool)> = wakes
        .iter()
        .map(|(at, message)| {
            let soon = (20..28).contains(at) || (40..48).contains(at);
            (message["detail"]["region"].as_str().unwrap(), soon)
        })
        .collect();
    assert_eq!(told, [(AWAY, true), (HOME, true)], "{wakes:?}");
}

#[tokio::test(start_paused = true)]
async fn for_a_member_that_was_activated_since_the_run_began() {
    let world = World::new();
    world.hang(AWAY, 15, 600);
    let process = world.boot("health", &[]);
    let turn = async {
        world.sim.sleep(Duration::from_secs(12)).await;
        world.sim.with(|w| {
            w.set_routes_as_person("mfzwi23gnjvgw.mrap", &[("app-use1", 0), ("app-euw1", 100)]);
        });
    };
    let (answer, ()) = tokio::join!(world.run(&process, "run-1"), turn);
    assert_eq!(answer.unwrap()["verdicts"][AWAY], "bad");
    let (at, message) = &world.wakes()[0];
    assert_eq!(message["detail"]["region"], AWAY);
    assert!((40..48).contains(at), "published at {at} s");
}

#[tokio::test(start_paused = true)]
async fn not_for_two_bad_rounds() {
    let world = World::new();
    world.hang(HOME, 15, 20);
    let process = world.boot("health", &[]);
    let answer = world.run(&process, "run-1").await.unwrap();
    assert_eq!(answer["verdicts"][HOME], "good");
    assert_eq!(process.metric("Availability", Some(HOME))[2..4], [0.0, 0.0]);
    assert_eq!(world.wakes(), []);
}

#[tokio::test(start_paused = true)]
async fn for_whoever_may_serve_if_the_routes_cannot_be_read() {
    let world = World::new();
    world.hang(AWAY, 0, 600);
    world.sim.with(|w| {
        w.add_fault(Fault::new(FaultKind::Refuse).service(Service::S3Control));
    });
    let process = world.boot("health", &[]);
    world.run(&process, "run-1").await.unwrap();
    assert!(!world.wakes().is_empty(), "whoever is woken reads them");
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_out_of_reach_is_tried_after_the_next_round() {
    let world = World::new();
    world.hang(HOME, 0, 600);
    let refused = Fault::new(FaultKind::Refuse)
        .service(Service::Sns)
        .until(SimTime::from_secs(45));
    world.sim.with(|w| w.add_fault(refused));
    let process = world.boot("health", &[]);
    let answer = world.run(&process, "run-1").await.unwrap();
    assert_eq!(answer["wakes"], 1, "{answer}");
    let (at, _) = world.wakes()[0];
    assert!((46..50).contains(&at), "{at} s");
    let (log, _) = process.printed();
    let told = log
        .iter()
        .any(|line| line["message"] == "the failover function could not be woken");
    assert!(told);
}
