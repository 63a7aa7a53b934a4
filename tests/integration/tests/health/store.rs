//! What the store may do to the function.

use jiff::SignedDuration;
use sentinel_core::evidence::Verdict;
use serde_json::json;
use simulator::{Fault, FaultKind, SimTime};

use crate::world::{AWAY, HOME, STATE, World, member};

fn on_evidence(kind: FaultKind) -> Fault {
    Fault::new(kind).path_contains("evidence.json")
}

#[tokio::test(start_paused = true)]
async fn without_the_store_metrics_go_on_and_the_run_fails() {
    let world = World::new();
    world
        .sim
        .with(|w| w.add_fault(on_evidence(FaultKind::InternalError)));
    let process = world.boot("health", &[]);
    let error = world.run(&process, "run-1").await.unwrap_err().chain();
    assert!(
        error.contains("none of 8 rounds could be recorded"),
        "{error}"
    );
    assert!(error.contains("the state store cannot be"), "{error}");
    assert_eq!(process.metric("Availability", Some(HOME)), [100.0; 8]);
    assert_eq!(process.metric("Errors", None), [1.0]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_does_not_outlast_the_invocation() {
    let world = World::new();
    world.hang(HOME, 0, 600);
    world.sim.with(|w| {
        // The second round cannot be written, so the third one's record reads first; then the
        // witness's evidence does not come.
        w.add_fault(
            on_evidence(FaultKind::InternalError)
                .from(SimTime::from_secs(9))
                .until(SimTime::from_secs(20)),
        );
        w.add_fault(on_evidence(FaultKind::Slow { millis: 1900 }).from(SimTime::from_secs(20)));
        w.add_fault(Fault::new(FaultKind::Hang).path_contains("evidence-witness.json"));
    });
    let process = world.boot("health", &[("WITNESS_REGION", "us-west-2")]);
    let time = SignedDuration::from_secs(35);
    let payload = json!({"command": "tick"});
    let answer = world.invoke_for(&process, payload, "run-1", time).await;
    let ended = world.sim.now();
    assert!(ended < SimTime::from_secs(35), "{ended:?}: {answer:?}");
    let answer = answer.unwrap();
    assert_eq!(
        (&answer["rounds"], &answer["wakes"]),
        (&json!(3), &json!(1))
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_while_the_store_was_away_counts() {
    let world = World::new();
    world.hang(HOME, 0, 600);
    let away = on_evidence(FaultKind::InternalError).until(SimTime::from_secs(35));
    world.sim.with(|w| w.add_fault(away));
    let process = world.boot("health", &[]);
    let answer = world.run(&process, "run-1").await.unwrap();
    let recorded = answer["recorded"].as_u64().unwrap();
    assert!((1..8).contains(&recorded), "{answer}");
    let first = &world.history("evidence.json")[0];
    assert!(
        member(first, HOME).bad_rounds >= 3,
        "{:?}",
        member(first, HOME)
    );
}

/// The first round of a day is not always written down.
#[tokio::test(start_paused = true)]
async fn a_self_test_that_was_not_recorded_is_made_by_the_next_round() {
    for (kind, until) in [
        (FaultKind::InternalError, 1),
        (FaultKind::InternalError, 15),
        (FaultKind::AnswerLost, 5),
    ] {
        let world = World::new();
        let away = on_evidence(kind.clone()).operation("PutObject");
        let away = away.until(SimTime::from_secs(until));
        world.sim.with(|w| w.add_fault(away));
        let process = world.boot("health", &[]);
        world.run(&process, "run-1").await.unwrap();
        assert_eq!(process.metric("SelfTest", None), [1.0], "{kind:?} {until}");
        let tested = world.evidence().self_test_at.unwrap();
        let history = world.history("evidence.json");
        let first = history.iter().find(|one| one.self_test_at == Some(tested));
        assert_eq!(first.unwrap().observed_at, tested, "{kind:?} {until}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_no_loss() {
    let world = World::new();
    let lost = on_evidence(FaultKind::AnswerLost)
        .operation("PutObject")
        .from(SimTime::from_secs(15))
        .until(SimTime::from_secs(25));
    world.sim.with(|w| w.add_fault(lost));
    let process = world.boot("health", &[]);
    let answer = world.run(&process, "run-1").await.unwrap();
    let rounds = world.history("evidence.json").len();
    assert!(rounds >= 7, "{answer}, {rounds} written");
    let newest = world.evidence();
    assert_eq!(member(&newest, HOME).verdict, Verdict::Good);
    assert_eq!(
        member(&newest, AWAY).since,
        world.history("evidence.json")[0].observed_at
    );
}

#[tokio::test(start_paused = true)]
async fn a_later_version_s_document_is_left_alone() {
    let world = World::new();
    let later = json!({"schema": 2, "whatever": true}).to_string();
    world.sim.with(|w| {
        w.put_object_as_person(STATE, "evidence.json", later.clone());
    });
    let process = world.boot("health", &[]);
    let error = world.run(&process, "run-1").await.unwrap_err().chain();
    assert!(
        error.contains("evidence.json has schema 2, this version understands 1: deploy"),
        "{error}"
    );
    let still = world
        .sim
        .with(|w| w.object(STATE, "evidence.json").unwrap().body.to_vec());
    assert_eq!(still, later.into_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_torn_document_is_written_anew() {
    for torn in ["{\"schema\":1,\"obser", "{\"schema\":1}", "null", "[]"] {
        let world = World::new();
        world.sim.with(|w| {
            w.put_object_as_person(STATE, "evidence.json", torn);
        });
        let process = world.boot("health", &[]);
        let answer = world.run(&process, "run-1").await.unwrap();
        assert_eq!(answer["recorded"], 8, "{torn}");
        let (log, _) = process.printed();
        let warned = log.iter().any(|line| {
            line["message"] == "the evidence is torn and written anew" && line["level"] == "WARN"
        });
        assert!(warned, "{torn}");
    }
}

/// A wrong clock must not stop every run until its time has come.
#[tokio::test(start_paused = true)]
async fn evidence_of_the_future_is_written_anew() {
    let world = World::new();
    let process = world.boot("health", &[]);
    world.run(&process, "run-1").await.unwrap();
    for field in ["observedAt", "startedAt"] {
        let mut document = serde_json::to_value(world.evidence()).unwrap();
        let parent = match field {
            "observedAt" => &mut document,
            _ => &mut document["run"],
        };
        parent[field] = json!("2031-01-01T00:00:00Z");
        world.sim.with(|w| {
            w.put_object_as_person(STATE, "evidence.json", document.to_string());
        });
        let answer = world.run(&process, "run-2").await.unwrap();
        assert_eq!(answer["recorded"], 8, "{field}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_dies_anywhere_is_gone_on_with() {
    for request in [1, 2, 5, 9, 14, 23, 31] {
        let world = World::new();
        world.hang(HOME, 0, 600);
        let (first, second) = (world.boot("health-1", &[]), world.boot("health-2", &[]));
        world.sim.crash_after("health-1", request);
        tokio::select! {
            biased;
            () = world.sim.crashed("health-1") => {}
            _ = world.run(&first, "run-1") => panic!("it should have died at request {request}"),
        }
        let answer = world.run(&second, "run-2").await.unwrap();
        assert_eq!(answer["outcome"], "observed", "{request}");
        let history = world.history("evidence.json");
        let rounds = member(history.last().unwrap(), HOME).bad_rounds;
        assert_eq!(usize::try_from(rounds).unwrap(), history.len(), "{request}");
        assert!(!world.wakes().is_empty(), "{request}");
    }
}
