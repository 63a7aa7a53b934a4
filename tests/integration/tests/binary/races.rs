//! Two execution environments at the same moment.

use integration::{AWAY, Stage, assert_announced, assert_log, command};

use crate::start;

async fn two_at_once(seed: u64) {
    let stage = Stage::set(seed).await;
    let mut one = start(&stage, &[]).await;
    let mut other = start(&stage, &[]).await;
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
    stage.assert_recorded_once();
    assert!(assert_announced(&stage).contains("failed-over"));
    assert_log(&one.kill().await);
    assert_log(&other.kill().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_functions_with_the_same_alarm_make_one_change() {
    tokio::join!(two_at_once(31), two_at_once(32), two_at_once(33));
}
