//! A second vantage point in another Region.

use simulator::{Fault, FaultKind, Service};

use crate::world::{AWAY, CONTROL, HOME, STATE, World, member};

const AS_WITNESS: [(&str, &str); 3] = [
    ("WITNESS_OF", "sentinel-state@us-east-2"),
    ("STATE_BUCKET", "sentinel-witness"),
    ("ALARM_TOPIC_ARN", ""),
];

#[tokio::test(start_paused = true)]
async fn the_witness_only_writes_what_it_sees() {
    let world = World::new();
    world.hang(HOME, 0, 600);
    let witness = world.boot("witness", &AS_WITNESS);
    let answer = world.run(&witness, "run-w").await.unwrap();
    assert_eq!(answer["recorded"], 8);
    assert_eq!(answer["wakes"], 0);
    assert_eq!(world.history("evidence.json").len(), 0);
    let seen = world.history("evidence-witness.json").pop().unwrap();
    assert_eq!(member(&seen, HOME).bad_rounds, 8);
    assert_eq!(seen.self_test_at, None);
    assert_eq!(witness.metric("Availability", None), [0.0; 0]);
    assert_eq!(witness.metric("Heartbeat", Some("us-west-2")), [1.0; 8]);
    let elsewhere = world.sim.with(|w| {
        let log = w.log().iter();
        let other = log.filter(|one| one.service != Service::S3);
        other.count()
    });
    assert_eq!(elsewhere, 0, "it asks S3 and nobody else");
    let buckets = world.sim.with(|w| {
        let mut log = w.log().iter();
        log.any(|one| one.region == CONTROL && one.resource.starts_with(STATE))
    });
    assert!(buckets);
}

/// Runs both for a minute, with this trouble for the control Region's view alone, and says how
/// often the failover function was woken.
async fn wakes(both: bool) -> usize {
    let world = World::new();
    if both {
        world.hang(HOME, 0, 600);
    } else {
        let fault = Fault::new(FaultKind::Hang)
            .service(Service::S3)
            .region(HOME)
            .client("control");
        world.sim.with(|w| w.add_fault(fault));
    }
    let control = world.boot("control", &[("WITNESS_REGION", "us-west-2")]);
    let witness = world.boot("witness", &AS_WITNESS);
    let (first, second) = tokio::join!(world.run(&control, "run-c"), world.run(&witness, "run-w"));
    assert_eq!(first.unwrap()["verdicts"][HOME], "bad");
    let second = second.unwrap();
    assert_eq!(second["verdicts"][HOME], if both { "bad" } else { "good" });
    assert_eq!(second["verdicts"][AWAY], "good");
    world.wakes().len()
}

#[tokio::test(start_paused = true)]
async fn both_must_agree_before_anybody_is_woken() {
    assert_eq!(wakes(true).await, 1);
    assert_eq!(wakes(false).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_witness_that_is_silent_holds_nobody_back() {
    let world = World::new();
    world.hang(HOME, 0, 600);
    let control = world.boot("control", &[("WITNESS_REGION", "us-west-2")]);
    world.run(&control, "run-c").await.unwrap();
    assert_eq!(world.wakes().len(), 1);
}
