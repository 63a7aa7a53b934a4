//! What becomes of a batch when the store fails.

use serde_json::Value;
use simulator::{Fault, FaultKind};

use crate::messages::{Failed, batch, batch_of, given_back, late, message};
use crate::world::{STATE, TIMEOUT, World, expected};

fn some_failures(count: usize) -> Vec<Failed> {
    (0..count).map(Failed::number).collect()
}

/// The ledger's name of the group of this failure.
fn group_of(failed: &Failed) -> String {
    let body = failed.body();
    let mut events = sentinel_core::replication::parse(&body).unwrap().events;
    match events.remove(0) {
        sentinel_core::replication::Event::Failed(failure) => failure.group.id().to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_store_down_nothing_is_acknowledged() {
    for (kind, says) in [
        (FaultKind::Refuse, "S3 cannot be reached"),
        (FaultKind::Hang, "S3 cannot be reached"),
        (FaultKind::InternalError, "S3 cannot be reached"),
        (FaultKind::SlowDown, "S3 cannot be reached"),
        (FaultKind::AccessDenied, "S3 refuses"),
    ] {
        let world = World::new();
        let failures = some_failures(40);
        let mut messages: Vec<Value> = failures
            .iter()
            .enumerate()
            .map(|(number, failed)| message(&format!("m{number}"), failed.body()))
            .collect();
        messages.push(message("nonsense", "nonsense"));
        let records =
            serde_json::json!({"Records": [late("OperationNotTracked", "2026-11-20T16:59:00Z")]});
        messages.push(message("late", records.to_string()));
        let fault = Fault::new(kind.clone()).path_contains(STATE);
        let fault = world.sim.with(|world| world.add_fault(fault));
        let error = world
            .invoke(batch(&messages), "request-1")
            .await
            .expect_err("nothing could be done");
        assert!(
            error
                .chain()
                .contains("none of 42 messages could be recorded"),
            "{}",
            error.chain()
        );
        assert!(error.chain().contains(says), "{kind:?}: {}", error.chain());
        assert!(world.rows().is_empty());
        let timeout = std::time::Duration::try_from(TIMEOUT).unwrap();
        assert!(
            world.elapsed() < timeout,
            "it answers in time: {:?}",
            world.elapsed()
        );
        let (log, _) = world.printed();
        assert!(log.iter().any(|line| line["level"] == "ERROR"));

        world.sim.with(|world| world.remove_fault(fault));
        let answer = world.answer(batch(&messages)).await;
        assert_eq!(given_back(&answer), ["nonsense"], "{kind:?}");
        assert_eq!(world.rows(), expected(&failures));
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_messages_of_what_failed_are_given_back() {
    let world = World::new();
    let failures = some_failures(40);
    let group = group_of(&failures[1]);
    let fault = Fault::new(FaultKind::InternalError).path_contains(group);
    let fault = world.sim.with(|world| world.add_fault(fault));
    let answer = world.answer(batch_of(&failures)).await;
    let mut lost: Vec<String> = (0..40)
        .filter(|number| number % 4 == 1)
        .map(|number| format!("m{number}"))
        .collect();
    lost.sort();
    assert_eq!(given_back(&answer), lost);
    let kept = failures
        .iter()
        .filter(|failed| failed.reason != failures[1].reason);
    assert_eq!(world.rows(), expected(kept));
    let (log, metrics) = world.printed();
    assert_eq!(log.last().unwrap()["givenBack"], 10);
    assert_eq!(log[0]["level"], "ERROR");
    assert_eq!(metrics[0]["Errors"], 1.0);

    // The queue delivers those alone.
    world.sim.with(|world| world.remove_fault(fault));
    let again: Vec<Failed> = (0..40)
        .filter(|number| number % 4 == 1)
        .map(Failed::number)
        .collect();
    assert_eq!(given_back(&world.answer(batch_of(&again)).await), [""; 0]);
    assert_eq!(world.rows(), expected(&failures));
}

/// A message with failures of two groups is given back if one of them could not be written.
#[tokio::test(start_paused = true)]
async fn a_message_counts_as_recorded_when_all_of_it_is() {
    let world = World::new();
    let failures = some_failures(3);
    let records: Vec<Value> = failures.iter().map(Failed::record).collect();
    let messages = [
        message(
            "both",
            serde_json::json!({"Records": records[..2]}).to_string(),
        ),
        message("other", failures[2].body()),
    ];
    let fault = Fault::new(FaultKind::AccessDenied).path_contains(group_of(&failures[1]));
    world.sim.with(|world| world.add_fault(fault));
    let answer = world.answer(batch(&messages)).await;
    assert_eq!(given_back(&answer), ["both"]);
    assert_eq!(world.rows(), expected([&failures[0], &failures[2]]));
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_lost_change_nothing() {
    let world = World::new();
    let failures = some_failures(40);
    let fault = Fault::new(FaultKind::AnswerLost).probability(0.5);
    let fault = world.sim.with(|world| world.add_fault(fault));
    for _ in 0..5 {
        let _ = world.invoke(batch_of(&failures), "request-1").await;
    }
    world.sim.with(|world| world.remove_fault(fault));
    let answer = world.answer(batch_of(&failures)).await;
    assert_eq!(given_back(&answer), [""; 0]);
    assert_eq!(world.rows(), expected(&failures));
    assert_eq!(world.files().len(), 4, "each file is there once");
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_is_given_up_before_lambda_gives_up() {
    let world = World::new();
    // Each write is answered, but only just within its time-out.
    let fault = Fault::new(FaultKind::Slow { millis: 9_000 });
    world.sim.with(|world| world.add_fault(fault));
    // 200 groups, 8 at once: far more than a minute.
    let messages: Vec<Value> = (0..200)
        .map(|number| {
            let mut record = Failed::number(number).record();
            record["replicationEventData"]["replicationRuleId"] = format!("rule-{number}").into();
            let body = serde_json::json!({"Records": [record]});
            message(&format!("m{number:03}"), body.to_string())
        })
        .collect();
    let answer = world.answer(batch(&messages)).await;
    assert!(world.elapsed().as_secs() < 60, "{:?}", world.elapsed());
    let back = given_back(&answer);
    assert!(back.len() > 100 && back.len() < 200, "{}", back.len());
    assert!(world.rows().len() >= 200 - back.len());
    let (log, _) = world.printed();
    assert!(
        log[0]
            .to_string()
            .contains("the time of the invocation is up"),
        "{}",
        log[0]
    );
}
