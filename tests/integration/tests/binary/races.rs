//! Two execution environments at the same moment.

use integration::{AWAY, Stage, assert_announced, assert_log, command};
use simulator::{Fault, FaultKind};

use crate::start;

/// Whether the nearest control endpoint takes the change. If it hangs, whoever holds the claim has
/// not submitted yet while the other one decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nearest {
    Answers,
    Hangs,
}

async fn two_at_once(seed: u64, nearest: Nearest) {
    let stage = Stage::set(seed).await;
    if nearest == Nearest::Hangs {
        let hang = Fault::new(FaultKind::Hang)
            .region("us-west-2")
            .operation("SubmitMultiRegionAccessPointRoutes");
        stage.simulator().with(|world| world.add_fault(hang));
    }
    // Late hedging: one request an endpoint, so that requests tell how many decided to change.
    let patient = [("HEDGE_DELAY_MILLIS", "1500")];
    let mut one = start(&stage, &patient).await;
    let mut other = start(&stage, &patient).await;
    tokio::join!(one.api().ready(), other.api().ready());
    let event = stage.outage().await.eventbridge_json.unwrap();

    let (first, second) = tokio::join!(
        one.invoke(command(&event, "alarm-a")),
        other.invoke(command(&event, "alarm-b")),
    );

    let story = || format!("{first:?}\n{second:?}");
    stage.tick_until_settled(&mut one).await;
    assert_eq!(stage.active(), [AWAY], "{}", story());
    assert_eq!(stage.changes().len(), 1, "{}", story());
    let tries = match nearest {
        Nearest::Answers => 1,
        Nearest::Hangs => 2,
    };
    assert_eq!(stage.submits(), tries, "{}", story());
    stage.assert_recorded_once();
    assert!(assert_announced(&stage).contains("failed-over"));
    assert_log(&one.kill().await);
    assert_log(&other.kill().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_functions_with_the_same_alarm_make_one_change() {
    tokio::join!(
        two_at_once(31, Nearest::Answers),
        two_at_once(32, Nearest::Answers),
        two_at_once(33, Nearest::Hangs),
        two_at_once(34, Nearest::Hangs),
    );
}
