//! Killed after any request and delivered again: the ledger is the same as without.

use serde_json::{Value, json};

use crate::messages::{Failed, batch, given_back, late, message};
use crate::world::{LABEL, World, expected};

fn payload(failures: &[Failed]) -> Value {
    let mut messages: Vec<Value> = failures
        .iter()
        .enumerate()
        .map(|(number, failed)| message(&format!("m{number}"), failed.body()))
        .collect();
    let records = json!({"Records": [late("OperationMissedThreshold", "2026-11-20T16:45:00Z")]});
    messages.push(message("late", records.to_string()));
    batch(&messages)
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_any_request_and_a_retry_are_as_no_crash() {
    let failures: Vec<Failed> = (0..60).map(Failed::number).collect();
    let world = World::new();
    world.answer(payload(&failures)).await;
    let requests = world.sim.requests_of(LABEL);
    let (files, lag) = (world.files(), world.lag());
    assert!(
        requests >= 6,
        "four files and the record of lag: {requests}"
    );

    for number in 1..=requests {
        let world = World::new();
        world.sim.crash_after(LABEL, number);
        tokio::select! {
            biased;
            () = world.sim.crashed(LABEL) => {}
            result = world.invoke(payload(&failures), "request-1") => {
                panic!("request {number} of {requests} was never sent: {result:?}")
            }
        }
        world.sim.revive(LABEL);
        let answer = world.answer(payload(&failures)).await;
        assert_eq!(
            given_back(&answer),
            [""; 0],
            "killed after request {number}"
        );
        assert_eq!(world.files(), files, "killed after request {number}");
        assert_eq!(world.lag(), lag, "killed after request {number}");
        assert_eq!(world.rows(), expected(&failures));
    }
}
