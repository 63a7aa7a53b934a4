//! Killed at any point and repeated: the end is the same as without.

use std::time::Duration;

use integration::process::Function;
use integration::runtime_api::Invocation;
use integration::{AWAY, Stage, assert_announced, assert_log, command, pause, tick};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::start;

/// Points at which a process is killed, besides the first request and the last.
const POINTS: usize = 10;

/// When a process is killed, counted from the start of the invocation.
#[derive(Debug, Clone, Copy)]
enum Point {
    /// When the world has seen this many requests: before the last of them is answered.
    Requests(usize),
    /// After this time.
    Millis(u64),
}

/// What an invocation without a crash sends.
async fn undisturbed() -> usize {
    let stage = Stage::set(40).await;
    let mut function = start(&stage, &[]).await;
    let event = stage.outage().await.eventbridge_json.unwrap();
    let answer = function.answer(command(&event, "alarm-1")).await;
    assert_eq!(answer["outcome"], "failed-over", "{answer:#}");
    stage.requests()
}

/// Kills at this point, repeats, and judges the end. Returns whether the invocation was still
/// running when its process was killed.
async fn killed_at(seed: u64, point: Point) -> bool {
    let stage = Stage::set(seed).await;
    let function = start(&stage, &[]).await;
    function.api().ready().await;
    let event = stage.outage().await.eventbridge_json.unwrap();

    let interrupted = kill_at(&stage, function, command(&event, "alarm-1"), point).await;

    // Lambda starts another environment and repeats the event under the same id.
    let mut function = start(&stage, &[]).await;
    let _ = function.invoke(command(&event, "alarm-1")).await;
    let ticks = stage.tick_until_settled(&mut function).await;

    let story = format!("killed at {point:?}, settled after {ticks} ticks");
    assert_eq!(stage.active(), [AWAY], "{story}");
    assert_eq!(stage.changes().len(), 1, "{story}");
    stage.assert_recorded_once();
    let events = assert_announced(&stage);
    for event in ["submitted", "failed-over"] {
        assert!(events.contains(event), "{story}: {events:?}");
    }
    assert_log(&function.kill().await);
    interrupted
}

/// Kills a process at this point of an invocation; returns whether it was still running.
async fn kill_at(stage: &Stage, function: Function, invocation: Invocation, point: Point) -> bool {
    let outcome = function.begin(invocation);
    let interrupted = tokio::select! {
        () = reached(stage, point) => true,
        // Faster than the measured run: then the crash comes after the end.
        _ = outcome => false,
    };
    let output = function.kill().await;
    // A killed process may leave half a line; all before it are whole.
    for line in output.stdout().iter().rev().skip(1) {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    interrupted
}

async fn reached(stage: &Stage, point: Point) {
    match point {
        Point::Millis(millis) => pause(Duration::from_millis(millis)).await,
        Point::Requests(requests) => {
            while stage.requests() < requests {
                pause(Duration::from_millis(1)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_and_repeated_it_ends_as_without() {
    let requests = undisturbed().await;
    let mut dice = fastrand::Rng::with_seed(41);
    let mut points = vec![Point::Requests(1), Point::Requests(requests)];
    for point in 1..=POINTS {
        // Spread over the whole invocation, each a little off its place.
        let place = point * requests / (POINTS + 1);
        points.push(Point::Requests(place.max(1) + dice.usize(0..2)));
    }
    points.extend((0..4).map(|_| Point::Millis(dice.u64(0..2_000))));
    let count = points.len();
    let mut crashes = JoinSet::new();
    for (seed, point) in (100..).zip(points) {
        crashes.spawn(killed_at(seed, point));
    }
    let interrupted = crashes.join_all().await.into_iter().filter(|one| *one);
    let interrupted = interrupted.count();
    assert!(
        interrupted * 2 > count,
        "only {interrupted} of {count} processes were killed at work"
    );
}

/// Just enough for a round of probes and what has to follow it. A claim lasts 30 s longer.
const DEADLINE: Duration = Duration::from_secs(8);

/// Killed while it holds the claim, and nobody repeats the event: the tick waits until the claim
/// has expired and goes on then.
async fn orphaned_at(seed: u64, requests_after_claim: usize) {
    let stage = Stage::set(seed).await;
    let function = start(&stage, &[]).await;
    function.api().ready().await;
    let event = stage.outage().await.eventbridge_json.unwrap();
    let alarm = Invocation::new(&event, "alarm-1", DEADLINE);
    let outcome = function.begin(alarm);
    let mut claimed = None;
    let reached = async {
        while claimed.is_none_or(|at| stage.requests() < at + requests_after_claim) {
            if claimed.is_none() && stage.is_claimed() {
                claimed = Some(stage.requests());
            }
            pause(Duration::from_millis(1)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
    assert!(reached.is_ok(), "nothing was claimed");
    function.kill().await;
    drop(outcome);
    assert!(stage.is_claimed(), "killed too late");

    let mut function = start(&stage, &[]).await;
    let early = function.answer(tick("tick-0")).await;
    assert_eq!(early["outcome"], "no-change", "{early:#}");
    pause(DEADLINE + Duration::from_secs(27)).await;
    stage.tick_until_settled(&mut function).await;

    let story = format!("killed {requests_after_claim} requests after its claim");
    assert_eq!(stage.active(), [AWAY], "{story}");
    assert_eq!(stage.changes().len(), 1, "{story}");
    stage.assert_recorded_once();
    assert!(assert_announced(&stage).contains("failed-over"), "{story}");
    assert_log(&function.kill().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_without_its_holder_is_taken_over_once_it_has_expired() {
    tokio::join!(
        orphaned_at(201, 0),
        orphaned_at(202, 1),
        orphaned_at(203, 2)
    );
}
