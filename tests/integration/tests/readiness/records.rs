//! The report: stored by compare-and-swap, never older than what is there, told once.

use std::time::Duration;

use readiness_check::handle;
use serde_json::{Value, json};
use simulator::Versioning;

use crate::stage::{AWAY, NOTHING, STATE, Stage, TIME_OUT, ids, on_virtual_time};

#[test]
fn only_changes_are_told_and_a_digest_once_a_week() {
    on_virtual_time(async || {
        let mut stage = Stage::new();
        let tick = json!({"command": "tick"});
        stage.invoke(tick.clone()).await.unwrap();
        assert_eq!(stage.announced().len(), 1, "what was found the first time");
        for _ in 0..3 {
            stage.rest(Duration::from_hours(1)).await;
            stage.invoke(tick.clone()).await.unwrap();
        }
        assert_eq!(stage.announced().len(), 1);
        stage.change(|world| world.set_versioning(AWAY, Versioning::Suspended));
        let answer = stage.invoke(tick.clone()).await.unwrap();
        assert_eq!(answer["new"], json!(["versioning/app-euw1"]));
        assert_eq!(answer.get("findings"), None, "the schedule needs no report");
        assert_eq!(stage.announced().len(), 2);
        stage.change(|world| world.set_versioning(AWAY, Versioning::Enabled));
        let answer = stage.readiness().await;
        assert_eq!(answer["fixed"], json!(["versioning/app-euw1"]));
        stage.rest(Duration::from_hours(7 * 24)).await;
        stage.invoke(tick).await.unwrap();
        let events: Vec<String> = stage.announced().into_iter().map(|one| one.0).collect();
        let changed = "readiness-changed";
        assert_eq!(events, [changed, changed, changed, "readiness-digest"]);
    });
}

#[test]
fn a_newer_report_is_not_replaced() {
    on_virtual_time(async || {
        let mut stage = Stage::new();
        stage.readiness().await;
        let mut newer = stage.report();
        newer["observedAt"] = json!(stage.now() + jiff::SignedDuration::from_secs(50));
        let body = newer.to_string();
        stage.change(|world| world.put_object_as_person(STATE, "drift.json", body));
        let answer = stage.readiness().await;
        assert_eq!(ids(&answer), NOTHING, "whoever asks is answered");
        assert_eq!(stage.report(), newer);
        // Of a clock that is wrong it is no newer one: it would stop all looks until then.
        newer["observedAt"] = json!(stage.now() + jiff::SignedDuration::from_hours(1));
        let body = newer.to_string();
        stage.change(|world| world.put_object_as_person(STATE, "drift.json", body));
        stage.readiness().await;
        let replaced: jiff::Timestamp =
            serde_json::from_value(stage.report()["observedAt"].clone()).unwrap();
        assert!(replaced <= stage.now(), "{replaced}");
    });
}

#[test]
fn a_torn_report_is_replaced_and_a_foreign_one_is_not() {
    on_virtual_time(async || {
        let mut stage = Stage::new();
        for torn in ["{\"schema\":1,", "{\"schema\":1}", "[]"] {
            stage.change(|world| world.put_object_as_person(STATE, "drift.json", torn));
            assert_eq!(stage.found().await, NOTHING, "{torn}");
            assert_eq!(stage.report()["schema"], 1);
        }
        let mut later = stage.report();
        later["schema"] = json!(2);
        let body = later.to_string();
        stage.change(|world| world.put_object_as_person(STATE, "drift.json", body));
        let error = stage.invoke(json!({"command": "tick"})).await.unwrap_err();
        assert!(error.chain().contains("schema 2"), "{}", error.chain());
        assert_eq!(stage.report(), later, "what it has yet to tell is not lost");
        later["schema"] = json!(1);
        let body = later.to_string();
        stage.change(|world| world.put_object_as_person(STATE, "drift.json", body));
        let mut foreign = stage.report();
        foreign["mrap"] = json!("arn:aws:s3::111122223333:accesspoint/other.mrap");
        let body = foreign.to_string();
        stage.change(|world| world.put_object_as_person(STATE, "drift.json", body));
        let error = stage.invoke(json!({"command": "tick"})).await.unwrap_err();
        assert!(
            error.chain().contains("must not share"),
            "{}",
            error.chain()
        );
        assert_eq!(stage.report(), foreign);
    });
}

#[test]
fn two_looks_at_once_tell_the_same() {
    on_virtual_time(async || {
        let mut stage = Stage::new();
        let another = stage.another();
        let deadline = stage.now() + TIME_OUT;
        let second = handle(&another, json!({"command": "tick"}), deadline, "second");
        let (first, second) = tokio::join!(stage.invoke(json!({"command": "tick"})), second);
        first.unwrap();
        second.unwrap();
        let mut told = stage.announced();
        told.dedup();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(stage.report().get("outbox"), None);
    });
}

/// A crash after any request and a later look end as if there had been no crash.
#[test]
fn a_crash_after_any_request_leaves_it_to_the_next_look() {
    let sent = std::cell::Cell::new(0);
    on_virtual_time(async || {
        let mut stage = Stage::new();
        stage.readiness().await;
        sent.set(stage.sim.requests_of("readiness"));
    });
    assert!(sent.get() > 40, "{} requests", sent.get());
    for request in 1..=sent.get() {
        on_virtual_time(async || {
            let mut stage = Stage::new();
            stage.change(|world| world.set_versioning(AWAY, Versioning::Suspended));
            stage.sim.crash_after("another", request);
            let another = stage.another();
            let deadline = stage.now() + TIME_OUT;
            let dying = handle(&another, json!({"command": "tick"}), deadline, "dying");
            tokio::select! {
                biased;
                () = stage.sim.crashed("another") => {}
                done = dying => { done.unwrap(); }
            }
            stage.rest(Duration::from_mins(1)).await;
            let answer = stage.readiness().await;
            assert!(ids(&answer).contains(&"versioning/app-euw1".to_owned()));
            let mut told: Vec<String> = stage.announced().into_iter().map(|one| one.1).collect();
            told.dedup();
            assert_eq!(told.len(), 1, "request {request}: {told:?}");
            let report: Value = stage.report();
            assert_eq!(report.get("outbox"), None, "request {request}");
        });
    }
}
