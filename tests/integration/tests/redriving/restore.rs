//! What was handed over to a person, and comes back; and what must not be handed over.

use serde_json::{Value, json};

use crate::stage::{AWAY, HOME, Stage, on_virtual_time};

const OBJECTS: u64 = 5;

/// Versions that went through their one job, and the operator's word that the cause is gone.
async fn handed_over() -> (Stage, Value) {
    let mut stage = Stage::new(&[("REDRIVE_ATTEMPTS", "1")]);
    stage.deny(Some("DstBucketUnversioned"));
    stage.write(HOME, u32::try_from(OBJECTS).unwrap());
    let status = stage
        .until(120, |status| {
            status["counts"]["waitingForAPerson"] == json!(OBJECTS)
        })
        .await;
    let group = status["groups"][0]["group"].clone();
    assert!(!stage.files("ledger/handed-over/").is_empty());
    stage.deny(None);
    let retry = json!({"command": "retry", "group": group, "reason": "versioned again"});
    assert_eq!(stage.command(retry).await["outcome"], "retrying");
    (stage, group)
}

async fn comes_home(stage: &mut Stage, context: &str) {
    let status = stage
        .until(60, |status| {
            status["counts"]["open"] == json!(0) && status["groups"][0]["state"] == "closed"
        })
        .await;
    assert_eq!(stage.missing(HOME, AWAY), 0, "{context}");
    assert_eq!(status["counts"]["waitingForAPerson"], json!(0), "{context}");
    assert_eq!(
        status["totals"]["replicated"],
        json!(OBJECTS),
        "{context}: {status:#}"
    );
    for prefix in ["ledger/handed-over/", "ledger/open/", "ledger/jobs/"] {
        assert_eq!(stage.files(prefix), [""; 0], "{context}");
    }
}

#[test]
fn what_was_handed_over_comes_back_with_a_retry() {
    on_virtual_time(async || {
        let (mut stage, _) = handed_over().await;
        comes_home(&mut stage, "without a crash").await;
    });
}

#[test]
fn a_crash_while_rows_come_back_neither_loses_nor_doubles_them() {
    on_virtual_time(async || {
        for requests in 1.. {
            let (mut stage, _) = handed_over().await;
            let died = stage.tick_dying_after(requests).await;
            comes_home(&mut stage, &format!("after request {requests}")).await;
            if !died {
                assert!(requests > 8, "{requests}");
                return;
            }
        }
    });
}

#[test]
fn regression_what_is_gone_is_not_handed_over_a_month_later() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[("REDRIVE", "observe")]);
        stage.deny(Some("DstBucketUnversioned"));
        stage.write(HOME, 40);
        let status = stage
            .until(10, |status| status["counts"]["open"] == json!(40))
            .await;
        stage.sim.with(|world| {
            let keys: Vec<String> = world.keys(HOME).iter().map(ToString::to_string).collect();
            for key in keys.iter().step_by(2) {
                let version = world.versions(HOME, key)[0].version_id.to_string();
                assert!(world.delete_version_as_person(HOME, key, &version));
            }
        });
        // A sample of ten finds some of them gone and the others failing, and leaves its inputs.
        let group = status["groups"][0]["group"].clone();
        let retry = json!({"command": "retry", "group": group, "reason": "let us see"});
        assert_eq!(stage.command(retry).await["outcome"], "retrying");
        let status = stage
            .until(60, |status| {
                status["counts"]["jobs"] == json!(0)
                    && status["groups"][0]["state"] == "held"
                    && status["totals"]["finals"].as_u64() > Some(0)
            })
            .await;
        let gone = status["totals"]["finals"].as_u64().unwrap();
        assert!((1..10).contains(&gone), "{gone} of ten");
        for _ in 0..40 * 12 {
            stage.rest(2 * 3600).await;
            stage.command(json!({"command": "tick"})).await;
        }
        let status = stage.status().await;
        let given_up = &status["counts"]["waitingForAPerson"];
        assert_eq!(given_up, &json!(40 - gone), "{status:#}");
        assert_eq!(stage.files("ledger/open/"), [""; 0]);
        // Then nothing keeps what was settled.
        for _ in 0..20 {
            stage.rest(24 * 3600).await;
            stage.command(json!({"command": "tick"})).await;
        }
        assert_eq!(stage.files("ledger/settled/"), [""; 0]);
    });
}
