//! The way of a version from its failure to its proof.

use serde_json::json;

use crate::stage::{AWAY, HOME, Stage, on_virtual_time};

#[test]
fn what_failed_comes_home_when_the_cause_is_gone() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        stage.deny(Some("AssumeRoleNotPermitted"));
        stage.write(HOME, 120);
        stage
            .until(10, |status| status["counts"]["open"] == json!(120))
            .await;
        let status = stage.status().await;
        let group = &status["groups"][0];
        assert_eq!(group["state"], "held");
        assert_eq!(group["reason"], "AssumeRoleNotPermitted");
        assert_eq!(stage.announced(), ["replication-failing"]);
        // A sample fails while the cause is there.
        stage
            .until(30, |status| {
                status["groups"][0]["last"]
                    .as_str()
                    .unwrap()
                    .contains("did not arrive")
            })
            .await;
        assert_eq!(stage.jobs(), 1);
        assert_eq!(stage.missing(HOME, AWAY), 120);
        stage.deny(None);
        let status = stage
            .until(120, |status| status["counts"]["open"] == json!(0))
            .await;
        assert_eq!(stage.missing(HOME, AWAY), 0);
        let status = if status["groups"][0]["state"] == "closed" {
            status
        } else {
            stage.minutes(2).await;
            stage.status().await
        };
        assert_eq!(status["groups"][0]["state"], "closed", "{status:#}");
        assert_eq!(status["totals"]["replicated"], json!(120));
        assert_eq!(
            stage.announced(),
            [
                "replication-failing",
                "sample-failed",
                "sample-arrived",
                "redriven"
            ]
        );
        assert_eq!(stage.jobs(), 3, "two samples and the rest");
        let twice = stage.sim.with(|world| world.repeated_tasks());
        assert!(twice.iter().all(|task| !task.overlapping), "{twice:?}");
        // Nothing is left behind but what is settled.
        assert_eq!(stage.files("ledger/open/"), [""; 0]);
        assert_eq!(stage.files("ledger/jobs/"), [""; 0]);
        assert!(!stage.files("ledger/settled/").is_empty());
        for line in stage.output.lines() {
            assert!(
                !line.to_string().contains("photos/"),
                "a key in the log: {line}"
            );
        }
    });
}

#[test]
fn nothing_is_redriven_while_a_region_is_down() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        let start = stage.sim.now();
        stage.sim.with(|world| {
            let hour = std::time::Duration::from_hours(1);
            world.region_down(simulator::Outage::hang("eu-west-1", start, hour));
        });
        stage.write(HOME, 20);
        stage.minutes(90).await;
        assert_eq!(stage.jobs(), 0);
        assert_eq!(stage.missing(HOME, AWAY), 0);
        assert_eq!(stage.announced(), [""; 0]);
    });
}

#[test]
fn observing_pages_and_waits_for_a_retry() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[("REDRIVE", "observe")]);
        stage.deny(Some("DstBucketUnversioned"));
        stage.write(HOME, 30);
        stage
            .until(10, |status| status["counts"]["open"] == json!(30))
            .await;
        stage.minutes(20).await;
        assert_eq!(stage.jobs(), 0);
        let idle = stage.command(json!({"command": "tick"})).await;
        assert_eq!(idle["outcome"], "would-act");
        stage.deny(None);
        let status = stage.status().await;
        let group = status["groups"][0]["group"].clone();
        let answer = stage
            .command(json!({"command": "retry", "group": group, "reason": "mended"}))
            .await;
        assert_eq!(answer["outcome"], "retrying");
        stage
            .until(60, |status| status["counts"]["open"] == json!(0))
            .await;
        assert_eq!(stage.missing(HOME, AWAY), 0);
        assert_eq!(stage.jobs(), 2);
    });
}

#[test]
fn a_tick_without_anything_to_do_writes_nothing() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        let idle = stage.command(json!({"command": "tick"})).await;
        assert_eq!(idle["outcome"], "idle");
        assert_eq!(stage.files(""), [""; 0]);
    });
}
