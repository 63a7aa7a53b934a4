//! Holds that come while a job is being made.

use std::time::Duration;

use sentinel_core::redrive::status::RedriveOutcome;
use serde_json::{Value, json};
use simulator::Simulator;

use crate::stage::{HOME, STATE, Stage, on_virtual_time};

/// How the creation of a job stands: whether it was tried, if one is due.
fn tried(sim: &Simulator) -> Option<bool> {
    let document: Value = sim.with(|world| {
        let object = world.object(STATE, "redrive.json")?;
        serde_json::from_slice(&object.body).ok()
    })?;
    let mut jobs = document["jobs"].as_object()?.values();
    let phase = |open: &Value| open["job"]["phase"].clone();
    jobs.find_map(|open| phase(open)["tried"].as_bool())
}

#[expect(clippy::disallowed_methods, reason = "the clock of the world")]
async fn until_gathered(sim: &Simulator) {
    while tried(sim).is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn regression_a_hold_between_gathering_and_trying_is_not_overtaken() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        stage.deny(Some("DstBucketUnversioned"));
        stage.write(HOME, 10);
        stage.minutes(3).await;
        assert_eq!(stage.jobs(), 0);
        let (sim, operator) = (stage.sim.clone(), stage.another());
        let deadline = stage.now() + jiff::SignedDuration::from_hours(1);
        let hold = async {
            until_gathered(&sim).await;
            let hold = json!({"command": "redrive-hold", "reason": "night work"});
            let answer = redrive::handle(&operator, hold, deadline, "operator").await;
            (
                answer.unwrap().outcome,
                tried(&sim),
                sim.with(|world| world.jobs().len()),
            )
        };
        let (answer, ()) = tokio::join!(hold, stage.minutes(10));
        // It was acknowledged when nothing had been tried yet.
        assert_eq!(answer, (RedriveOutcome::Held, Some(false), 0));
        assert_eq!(stage.jobs(), 0, "nothing is created after that");
        let status = stage.status().await;
        assert_eq!(status["jobs"], json!([]), "{status:#}");
    });
}
