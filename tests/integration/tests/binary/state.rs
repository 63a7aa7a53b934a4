//! The state cannot be used: nothing moves by itself, people are told, and they have ways out.

use integration::{
    AWAY, Announced, HOME, Stage, assert_announced, assert_answer, assert_log, command, tick,
};
use serde_json::{Value, json};
use simulator::{Fault, FaultKind};

use crate::{start, told, told_once};

/// Bucket and key of the state.
const BUCKET: &str = "sentinel-state";
const KEY: &str = "state.json";

/// The payload of the one command in a message that has this field.
fn pasted(message: &Announced, field: &str) -> Value {
    let quoted = message.text.split('\'');
    let mut payloads = quoted
        .filter_map(|text| serde_json::from_str::<Value>(text).ok())
        .filter(|payload| payload.get(field).is_some());
    let payload = payloads.next();
    payload.unwrap_or_else(|| panic!("no command with {field}: {}", message.text))
}

/// The store is out of reach while home is down: a page with commands, and the one that breaks the
/// glass works as it stands there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_store_only_a_person_moves_the_dial() {
    let stage = Stage::set(51).await;
    let mut function = start(&stage, &[]).await;
    assert_answer(&function.answer(tick("tick-1")).await, "no-change");
    let fault = Fault::new(FaultKind::Refuse).path_contains(BUCKET);
    let fault = stage.simulator().with(|world| world.add_fault(fault));
    let event = stage.outage().await.eventbridge_json.unwrap();

    let failure = function.failure(command(&event, "alarm-1")).await;
    assert!(failure.message.contains("state store"), "{failure:?}");
    function.failure(command(&event, "alarm-1")).await;
    assert_eq!(stage.changes(), []);
    assert_eq!(stage.submits(), 0);
    let page = told_once(&stage, "state-unreachable");
    assert_eq!(page.attributes["severity"], "critical");
    assert_eq!(page.attributes["region"], HOME);
    assert!(page.subject.contains("UNRECORDED"), "{}", page.subject);
    for part in [
        "aws s3control submit-multi-region-access-point-routes --region us-west-2",
        "Bucket=app-euw1,TrafficDialPercentage=100",
        "Bucket=app-use1,TrafficDialPercentage=0",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }

    let breaking = pasted(&page, "breakGlass");
    assert_eq!(breaking["breakGlass"], true);
    assert_eq!(breaking["from"], json!([HOME]));
    assert_eq!(breaking["to"], AWAY);
    assert_eq!(breaking["override"], json!(["target-is-healthy"]));
    let mut careful = breaking.clone();
    careful.as_object_mut().unwrap().remove("breakGlass");
    let failure = function.failure(command(&careful, "failover-1")).await;
    assert!(failure.message.contains("breakGlass"), "{failure:?}");
    assert_eq!(stage.submits(), 0);

    let answer = function.answer(command(&breaking, "failover-2")).await;
    assert_answer(&answer, "submitted");
    assert_eq!(stage.active(), [AWAY]);
    assert_eq!(stage.changes().len(), 1);
    let moved = told_once(&stage, "submitted");
    assert!(moved.subject.contains("UNRECORDED"), "{}", moved.subject);

    stage.simulator().with(|world| world.remove_fault(fault));
    let adopted = function.answer(tick("tick-2")).await;
    assert_answer(&adopted, "no-change");
    assert_answer(&function.answer(tick("tick-3")).await, "no-change");
    assert_eq!(stage.active(), [AWAY]);
    assert_eq!(stage.changes().len(), 1);
    told_once(&stage, "outside-change");
    stage.assert_recorded_once();
    assert_eq!(stage.state().unwrap()["changes"][0]["by"], "outside");
    assert_log(&function.kill().await);
}

/// A deleted state is no first start: nobody knows of holds and cooldowns any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_state_stops_everything_until_it_is_repaired_and_released() {
    let stage = Stage::set(52).await;
    let mut function = start(&stage, &[]).await;
    assert_answer(&function.answer(tick("tick-1")).await, "no-change");
    stage
        .simulator()
        .with(|world| world.delete_object_as_person(BUCKET, KEY));

    let failure = function.failure(tick("tick-2")).await;
    assert!(failure.message.contains("deleted"), "{failure:?}");
    let quiet = told_once(&stage, "state-lost");
    assert_eq!(quiet.attributes["severity"], "critical");
    let event = stage.outage().await.eventbridge_json.unwrap();
    let failure = function.failure(command(&event, "alarm-1")).await;
    assert!(failure.message.contains("repair-state"), "{failure:?}");
    assert_eq!(told(&stage, "state-lost").len(), 2, "the alarm is news");
    assert_eq!(stage.submits(), 0);
    assert_eq!(stage.state(), None, "nothing was written over the marker");

    let mut repair = pasted(&quiet, "command");
    assert_eq!(repair["command"], "repair-state");
    repair["reason"] = json!("somebody emptied the bucket");
    assert_answer(&function.answer(command(&repair, "repair-1")).await, "held");
    let answer = function.answer(command(&event, "alarm-1")).await;
    assert_answer(&answer, "blocked");
    assert_eq!(stage.submits(), 0);

    let release = json!({ "command": "release", "reason": "looked around" });
    let answer = function.answer(command(&release, "release-1")).await;
    assert_answer(&answer, "released");
    let answer = function.answer(tick("tick-3")).await;
    assert_answer(&answer, "failed-over");
    assert_eq!(stage.active(), [AWAY]);
    assert_eq!(stage.changes().len(), 1);
    stage.tick_until_settled(&mut function).await;
    stage.assert_recorded_once();
    let events = assert_announced(&stage);
    for event in ["state-lost", "state-repaired", "released", "failed-over"] {
        assert!(events.contains(event), "{event}: {events:?}");
    }
    assert_log(&function.kill().await);
}

/// What somebody put in the state's place.
#[derive(Debug, Clone, Copy)]
enum Foul {
    Garbage,
    Half,
    NewerSchema,
    AnotherAccessPoint,
}

impl Foul {
    fn document(self, state: &Value) -> String {
        let whole = state.to_string();
        let with = |field: &str, value: Value| {
            let mut state = state.clone();
            assert!(!state[field].is_null(), "{field}: {state:#}");
            state[field] = value;
            state.to_string()
        };
        match self {
            Self::Garbage => "<html>not a state</html>".to_owned(),
            Self::Half => whole[..whole.len() / 2].to_owned(),
            Self::NewerSchema => with("schema", json!(2)),
            Self::AnotherAccessPoint => with("mrap", json!(OTHER)),
        }
    }

    /// What the error has to say.
    fn says(self) -> &'static str {
        match self {
            Self::Garbage | Self::Half => "state.json cannot be understood",
            Self::NewerSchema => "schema 2",
            Self::AnotherAccessPoint => OTHER,
        }
    }
}

/// Somebody else's access point.
const OTHER: &str = "arn:aws:s3::111122223333:accesspoint/abcdefghijklm.mrap";

async fn refuses_and_repairs(seed: u64, foul: Foul) {
    let stage = Stage::set(seed).await;
    let mut function = start(&stage, &[]).await;
    assert_answer(&function.answer(tick("tick-1")).await, "no-change");
    let document = foul.document(&stage.state().unwrap());
    stage
        .simulator()
        .with(|world| world.put_object_as_person(BUCKET, KEY, document.clone()));
    let event = stage.outage().await.eventbridge_json.unwrap();

    for invocation in [command(&event, "alarm-1"), tick("tick-2")] {
        let failure = function.failure(invocation).await;
        assert!(
            failure.message.contains(foul.says()),
            "{foul:?}: {failure:?}"
        );
    }
    for page in told(&stage, "state-lost").into_values().flatten() {
        assert!(page.text.contains(foul.says()), "{foul:?}: {}", page.text);
    }
    assert!(assert_announced(&stage).contains("state-lost"), "{foul:?}");

    let repair = json!({ "command": "repair-state", "reason": "it is torn" });
    if let Foul::AnotherAccessPoint = foul {
        let failure = function.failure(command(&repair, "repair-1")).await;
        assert!(failure.message.contains(OTHER), "{failure:?}");
        let left = stage.simulator().with(|world| {
            let object = world.object(BUCKET, KEY).expect("still there");
            object.body.clone()
        });
        assert_eq!(left, document.as_bytes(), "its owner needs it");
    } else {
        let answer = function.answer(command(&repair, "repair-1")).await;
        assert_answer(&answer, "held");
        assert_answer(&function.answer(tick("tick-3")).await, "no-change");
        assert_eq!(stage.state().unwrap()["schema"], 1, "{foul:?}");
    }
    assert_eq!(stage.submits(), 0, "{foul:?}");
    assert_eq!(stage.active(), [HOME], "{foul:?}");
    assert_log(&function.kill().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foul_state_is_named_and_repaired_unless_it_is_somebody_elses() {
    tokio::join!(
        refuses_and_repairs(53, Foul::Garbage),
        refuses_and_repairs(54, Foul::Half),
        refuses_and_repairs(55, Foul::NewerSchema),
        refuses_and_repairs(56, Foul::AnotherAccessPoint),
    );
}
