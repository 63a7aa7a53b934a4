//! A readiness check that finds nothing: its report, as `failover` reads it.

use std::time::Duration;

use serde_json::json;
use simulator::Simulator;

use crate::STATE_BUCKET;

/// Its schedule.
const HOURLY: Duration = Duration::from_hours(1);

/// Reports for as long as it is polled.
pub(super) async fn run(sim: Simulator) {
    loop {
        sim.with(|world| {
            let report = json!({
                "schema": 1,
                "observedAt": world.calendar(world.now()),
                "checked": 1,
                "findings": [],
            });
            world.put_object_as_person(STATE_BUCKET, "drift.json", report.to_string());
        });
        sim.sleep(HOURLY).await;
    }
}
