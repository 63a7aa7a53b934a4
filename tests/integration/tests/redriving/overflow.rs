//! Groups of which more fails than the ledger keeps.

use serde_json::{Value, json};

use crate::stage::{AWAY, HOME, Stage, on_virtual_time};

const VERSIONS: u64 = 75;

/// Five files of fifteen versions of a group of which thirty are kept.
async fn overflown() -> Stage {
    // No sample before the crashes.
    let variables = [("REDRIVE_SAMPLE_SECONDS", "3600")];
    let stage = Stage::with(&variables, |settings| settings.thresholds.group_sweep = 30);
    stage.deny(Some("DstBucketUnversioned"));
    for _ in 0..5 {
        stage.write(HOME, 15);
        stage.rest(60).await;
        stage.collect().await;
    }
    // Some events are late.
    stage.rest(600).await;
    stage.collect().await;
    stage
}

fn is_closed(status: &Value) -> bool {
    status["counts"]["open"] == json!(0) && status["groups"][0]["state"] == "closed"
}

/// All arrived, by a sample, a release of what was kept and a sweep, and nothing is left behind.
async fn comes_home(stage: &mut Stage, context: &str) {
    stage.deny(None);
    // How large the bucket is nobody knows: the sweep waits for a day on which nothing is spent.
    stage.until(1800, is_closed).await;
    assert_eq!(stage.missing_versions(HOME, AWAY), 0, "{context}");
    let status = stage.status().await;
    let kinds: Vec<&Value> = status["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| &job["kind"]["kind"])
        .collect();
    let count = |kind: &str| kinds.iter().filter(|known| **known == kind).count();
    assert_eq!(
        (count("sweep"), count("release")),
        (1, 1),
        "{context}: {status:#}"
    );
    assert_eq!(stage.files("ledger/open/"), [""; 0], "{context}");
    assert_eq!(stage.files("ledger/jobs/"), [""; 0], "{context}");
    let told = stage.announced();
    let count = |event: &str| told.iter().filter(|known| *known == event).count();
    assert_eq!(count("sweep-ended"), 1, "{context}: {told:?}");
    assert_eq!(count("group-overflowed"), 1, "{context}: {told:?}");
}

#[test]
fn a_group_that_overflows_is_counted_dropped_and_swept_by_itself() {
    on_virtual_time(async || {
        let mut stage = overflown().await;
        stage.minutes(2).await;
        let status = stage.status().await;
        assert_eq!(status["counts"]["open"], json!(VERSIONS), "{status:#}");
        let kept = stage.files("ledger/open/").len();
        assert!(kept < 5, "{kept} files");
        comes_home(&mut stage, "without a crash").await;
    });
}

#[test]
fn a_crash_while_files_are_dropped_neither_loses_nor_doubles_the_count() {
    on_virtual_time(async || {
        for requests in 1.. {
            let mut stage = overflown().await;
            let died = stage.tick_dying_after(requests).await;
            stage.minutes(2).await;
            let status = stage.status().await;
            let open = &status["counts"]["open"];
            assert_eq!(
                open,
                &json!(VERSIONS),
                "after request {requests}: {status:#}"
            );
            if !died {
                assert!(requests > 5, "{requests}");
                break;
            }
            if requests % 5 == 0 {
                comes_home(&mut stage, &format!("after request {requests}")).await;
            }
        }
    });
}

#[test]
fn a_crash_of_an_automatic_sweep_makes_no_second_one() {
    on_virtual_time(async || {
        // Every tick until the group is closed dies once, each at another place.
        for salt in 0..4_u64 {
            let mut stage = overflown().await;
            stage.minutes(2).await;
            stage.deny(None);
            for tick in 0..400_u64 {
                stage.tick_dying_after(1 + (tick * 7 + salt * 3) % 23).await;
                stage.collect().await;
                stage.command(json!({"command": "tick"})).await;
                let status = stage.status().await;
                if is_closed(&status) {
                    break;
                }
            }
            comes_home(&mut stage, &format!("salt {salt}")).await;
        }
    });
}
