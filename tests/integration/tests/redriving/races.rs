//! Several invocations at once, and invocations that die.

use sentinel_core::redrive::status::RedriveOutcome;
use serde_json::json;

use crate::stage::{AWAY, HOME, Stage, on_virtual_time};

#[test]
fn of_two_ticks_at_once_one_works() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        stage.deny(Some("DstBucketUnversioned"));
        stage.write(HOME, 10);
        stage.rest(120).await;
        stage.collect().await;
        let another = stage.another();
        let deadline = stage.now() + jiff::SignedDuration::from_secs(300);
        let tick = json!({"command": "tick"});
        let second = redrive::handle(&another, tick.clone(), deadline, "second");
        let (first, second) = tokio::join!(stage.invoke(tick), second);
        let mut outcomes = [
            first.unwrap()["outcome"].as_str().unwrap().to_owned(),
            second.unwrap().outcome.as_str().to_owned(),
        ];
        outcomes.sort();
        // The second comes too late for the work, or finds nothing left to do.
        assert!(
            outcomes == ["busy", "worked"] || outcomes == ["idle", "worked"],
            "{outcomes:?}"
        );
        assert_eq!(stage.announced(), ["replication-failing"], "told once");
    });
}

#[test]
fn a_dead_workers_claim_expires() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        stage.deny(Some("DstBucketUnversioned"));
        stage.write(HOME, 10);
        stage.rest(120).await;
        stage.collect().await;
        // It dies with its claim, after the listing, the readiness report and the claim, before anything else is recorded.
        let begun = stage.sim.requests_of("another");
        stage.sim.crash_after("another", begun + 6);
        let another = stage.another();
        let deadline = stage.now() + jiff::SignedDuration::from_secs(300);
        let dying = redrive::handle(&another, json!({"command": "tick"}), deadline, "dying");
        let died = tokio::time::timeout(std::time::Duration::from_secs(310), dying).await;
        assert!(died.is_err() || died.unwrap().is_err());
        let status = stage.status().await;
        assert_eq!(status["outcome"], "status", "a command never waits");
        assert_eq!(
            stage.command(json!({"command": "tick"})).await["outcome"],
            "busy"
        );
        stage.minutes(6).await;
        assert_eq!(stage.announced()[0], "replication-failing");
        stage.deny(None);
        stage
            .until(60, |status| status["counts"]["open"] == json!(0))
            .await;
        assert_eq!(stage.missing(HOME, AWAY), 0);
    });
}

#[expect(clippy::disallowed_methods, reason = "the clock of the world")]
async fn moment() {
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
}

#[test]
fn regression_of_two_deliveries_of_one_tick_one_works() {
    on_virtual_time(async || {
        let stage = Stage::new(&[]);
        stage.deny(Some("DstBucketUnversioned"));
        stage.write(HOME, 10);
        stage.rest(120).await;
        stage.collect().await;
        let (one, other) = (stage.another(), stage.another());
        let deadline = stage.now() + jiff::SignedDuration::from_secs(300);
        let tick = json!({"command": "tick"});
        let (first, second) = tokio::join!(
            redrive::handle(&one, tick.clone(), deadline, "the same"),
            async {
                moment().await;
                redrive::handle(&other, tick.clone(), deadline, "the same").await
            },
        );
        let mut outcomes =
            [first.unwrap().outcome, second.unwrap().outcome].map(RedriveOutcome::as_str);
        outcomes.sort_unstable();
        assert!(
            outcomes == ["busy", "worked"] || outcomes == ["idle", "worked"],
            "{outcomes:?}"
        );
        assert_eq!(stage.announced(), ["replication-failing"], "told once");
    });
}

#[test]
fn regression_a_repetition_does_not_take_a_dead_ones_claim_for_its_own() {
    on_virtual_time(async || {
        let stage = Stage::new(&[]);
        stage.deny(Some("DstBucketUnversioned"));
        stage.write(HOME, 10);
        stage.rest(120).await;
        stage.collect().await;
        let begun = stage.sim.requests_of("another");
        stage.sim.crash_after("another", begun + 6);
        let another = stage.another();
        let deadline = stage.now() + jiff::SignedDuration::from_secs(300);
        let tick = json!({"command": "tick"});
        let dying = redrive::handle(&another, tick.clone(), deadline, "request-1");
        let died = tokio::time::timeout(std::time::Duration::from_secs(200), dying).await;
        assert!(died.is_err() || died.unwrap().is_err());
        // The stage's first invocation has that id, too. The dead one may only seem to be dead.
        let mut stage = stage;
        assert_eq!(stage.command(tick).await["outcome"], "busy");
    });
}

#[test]
fn regression_a_page_does_not_wait_for_the_work_of_the_turn() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        stage.deny(Some("DstBucketUnversioned"));
        stage.write(HOME, 10);
        stage
            .until(20, |status| status["jobs"][0]["phase"] == "run")
            .await;
        let told = stage.announced().len();
        // Whoever asks for that job waits long for an answer.
        let begun = stage.sim.now();
        stage.sim.with(|world| {
            let hour = std::time::Duration::from_hours(1);
            world.region_down(simulator::Outage::hang("us-east-1", begun, hour));
        });
        stage.append("DstKmsKeyNotFound");
        stage.rest(60).await;
        let sim = stage.sim.clone();
        let begun = sim.now();
        let page = async {
            while sim.with(|world| world.published().len()) == told {
                moment().await;
            }
            sim.now()
        };
        let tick = async {
            let _ = stage.invoke(json!({"command": "tick"})).await;
            sim.now()
        };
        let (paged, ended) = tokio::join!(page, tick);
        let after = |at: simulator::SimTime| at.as_millis() - begun.as_millis();
        // The job's own Region is asked how it stands, and hangs.
        let (paged, ended) = (after(paged), after(ended));
        assert!(paged + 2000 < ended, "told after {paged} ms of {ended}");
    });
}
