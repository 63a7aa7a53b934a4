//! Messages that are delivered once more after everything was settled.

use serde_json::{Value, json};

use crate::stage::{AWAY, HOME, Stage, on_virtual_time};

/// Versions that fail, and the messages about them, which were delivered once.
async fn failing(stage: &mut Stage) -> (Value, Vec<simulator::ReplicationMessage>) {
    stage.deny(Some("DstBucketUnversioned"));
    stage.write(HOME, 7);
    stage.rest(60).await;
    let messages = stage.sent();
    assert!(!messages.is_empty());
    stage.deliver(messages.clone()).await;
    stage.minutes(1).await;
    let status = stage.status().await;
    assert_eq!(status["groups"][0]["state"], "held");
    (status["groups"][0]["group"].clone(), messages)
}

/// Delivers them again when the group is closed: nothing comes of it.
async fn nothing_comes_of(stage: &mut Stage, messages: Vec<simulator::ReplicationMessage>) {
    let before = stage.status().await;
    assert_eq!(before["groups"][0]["state"], "closed", "{before:#}");
    assert_eq!(stage.files("ledger/open/"), [""; 0]);
    let (told, jobs) = (stage.announced(), stage.jobs());
    for _ in 0..2 {
        stage.deliver(messages.clone()).await;
        assert!(
            !stage.files("ledger/open/").is_empty(),
            "they are rows again"
        );
        stage.minutes(2).await;
        assert_eq!(stage.files("ledger/open/"), [""; 0], "nothing lingers");
    }
    let after = stage.status().await;
    assert_eq!(stage.announced(), told);
    assert_eq!(stage.jobs(), jobs);
    assert_eq!(after["groups"], before["groups"]);
}

#[test]
fn regression_a_duplicate_of_what_was_abandoned_pages_nobody() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        let (group, messages) = failing(&mut stage).await;
        let abandon = json!({"command": "abandon", "group": group, "reason": "old test data"});
        stage.command(abandon).await;
        stage.minutes(3).await;
        nothing_comes_of(&mut stage, messages).await;
        assert_eq!(stage.jobs(), 0);
    });
}

#[test]
fn regression_a_duplicate_of_what_was_handed_over_pages_nobody() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[("REDRIVE_AGE_DAYS", "1"), ("REDRIVE", "observe")]);
        let (_, messages) = failing(&mut stage).await;
        stage.rest(25 * 3600).await;
        stage.minutes(3).await;
        assert!(stage.announced().contains(&"handed-over".to_owned()));
        nothing_comes_of(&mut stage, messages).await;
    });
}

#[test]
fn regression_a_duplicate_does_not_linger_in_mode_observe() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[("REDRIVE", "observe")]);
        let (group, messages) = failing(&mut stage).await;
        stage.deny(None);
        let retry = json!({"command": "retry", "group": group, "reason": "mended"});
        stage.command(retry).await;
        stage
            .until(60, |status| status["groups"][0]["state"] == "closed")
            .await;
        assert_eq!(stage.missing(HOME, AWAY), 0);
        nothing_comes_of(&mut stage, messages).await;
    });
}

#[test]
fn what_is_delivered_late_for_the_first_time_comes_home() {
    on_virtual_time(async || {
        let mut stage = Stage::new(&[]);
        stage.deny(Some("DstBucketUnversioned"));
        stage.write(HOME, 7);
        stage.rest(60).await;
        let mut messages = stage.sent();
        let late = messages.split_off(messages.len() - 1);
        stage.deliver(messages).await;
        stage.minutes(1).await;
        stage.deny(None);
        stage
            .until(60, |status| status["groups"][0]["state"] == "closed")
            .await;
        assert_ne!(stage.missing(HOME, AWAY), 0);
        stage.deliver(late).await;
        stage
            .until(60, |status| status["groups"][0]["state"] != "closed")
            .await;
        stage
            .until(60, |status| status["groups"][0]["state"] == "closed")
            .await;
        assert_eq!(stage.missing(HOME, AWAY), 0);
    });
}
