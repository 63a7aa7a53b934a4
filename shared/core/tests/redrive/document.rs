//! The document: what was written is read for ever, what cannot be trusted is refused, and it
//! stays small.

use sentinel_core::names::MrapArn;
use sentinel_core::redrive::apply::{Happening, Worked};
use sentinel_core::redrive::command::SweepCommand;
use sentinel_core::redrive::job::{Gathered, Manifest, Slice};
use sentinel_core::redrive::operator::Measured;
use sentinel_core::redrive::state::{
    Asked, OpenBreaker, Overflow, RedriveClaim, RedriveState, RedriveStateError,
};
use serde_json::{Value, json};

use super::common::{Bench, group, start};
use super::planning::outcome;

fn mrap() -> MrapArn {
    "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap"
        .parse()
        .unwrap()
}

/// A document in which everything is set.
fn everything() -> RedriveState {
    let mut bench = Bench::new(&[]);
    let asked = Asked {
        at: bench.now,
        reason: "mended".to_owned(),
    };
    bench.released(1000);
    bench.wait(1200);
    let release = bench.begin();
    bench.run(&release, 990, outcome(900, 90));
    let other = group("app-euw1", "app-use1", "DstKmsKeyNotFound");
    bench.fail(&other, 50);
    bench.wait(900);
    let sample = bench.begin();
    let gathered = Gathered {
        manifest: Some(Manifest {
            bucket: "work-euw1".parse().unwrap(),
            key: "mrap-sentinel/mfzwi23gnjvgw.mrap/job/manifest.csv".to_owned(),
            etag: "9b2cf535f27731c974343645a3985328".to_owned(),
            objects: 10,
        }),
        rows: vec![10],
        handed_over: vec![3],
        chunks: 1,
        complete: true,
        ..Gathered::default()
    };
    bench.worked(&sample, Worked::Gather(Slice::Done(gathered)));
    bench.worked(&sample, Worked::Trying);
    bench.apply(&Happening::Stumbled {
        job: sample.job.name.clone(),
        error: "S3 cannot be reached".to_owned(),
    });
    bench.apply(&Happening::Sized {
        source: "app-use1".parse().unwrap(),
        objects: Some(1_000_000),
    });
    bench.apply(&Happening::BudgetUsedUp {
        what: "re-drive".to_owned(),
        cost: sentinel_core::redrive::price::JOB,
    });
    bench.apply(&Happening::Troubled {
        what: "trimming settled files".to_owned(),
        error: "access denied".to_owned(),
    });
    bench.apply(&Happening::Trimmed);
    let command = SweepCommand {
        source: Some("app-use1".parse().unwrap()),
        group: None,
        statuses: None,
        created_after: Some(start()),
        confirm: None,
        reason: "all at once".to_owned(),
    };
    let mut state = bench.state.clone();
    let desk = bench.desk();
    let wish = desk.wish(&state, &bench.inventory, &command).unwrap();
    desk.offer(&mut state, &wish, Measured::default());
    state.sweeps.push(wish);
    desk.set_hold(
        &mut state,
        None,
        "night work",
        Some(bench.now + jiff::SignedDuration::from_hours(8)),
    )
    .unwrap();
    desk.set_hold(&mut state, Some(other.id()), "night work", None)
        .unwrap();
    state.claim = Some(RedriveClaim {
        request_id: "2f1c3f0e-8a0b-4e57-9d6d-6a5f0d3c8f11".to_owned(),
        claimed_at: bench.now,
        expires: bench.now,
    });
    state.breaker.failures = 3;
    state.breaker.last_failure = Some("S3 refused to create it: access denied".to_owned());
    state.breaker.open = Some(OpenBreaker {
        since: bench.now,
        until: bench.now,
        seconds: 3600,
    });
    let record = state.groups.get_mut(&other.id()).unwrap();
    record.asked = Some(asked.clone());
    record.abandon = Some(asked.clone());
    record.restore = Some(asked);
    record.overflow = Some(Overflow {
        rows: 5,
        oldest: start(),
        dropping: vec![bench.inventory.files(other.id())[0].name],
        told: true,
    });
    "request-1@1795190400000#4".clone_into(&mut state.written_by);
    state
}

fn fixture() -> Value {
    serde_json::from_str(include_str!("../fixtures/redrive/schema-1.json")).unwrap()
}

#[test]
fn what_was_written_is_read_for_ever() {
    let document = fixture();
    let fields: Vec<&str> = document
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        [
            "breaker",
            "budgetTold",
            "claim",
            "closed",
            "groups",
            "hold",
            "jobs",
            "mrap",
            "offers",
            "outbox",
            "problems",
            "schema",
            "sequence",
            "sizes",
            "spends",
            "sweeps",
            "totals",
            "trimmedAt",
            "writtenAt",
            "writtenBy",
        ],
        "the fixture proves nothing about a field that it does not have"
    );
    let state = RedriveState::parse(document.clone(), &mrap()).unwrap();
    assert!(state.others.is_empty(), "{:?}", state.others);
    assert_eq!(serde_json::to_value(&state).unwrap(), document);
}

/// Where the fixture comes from. A change of what is written shows here; the fixture stays as it
/// is, because documents like it are out there.
#[test]
fn everything_is_written_and_read_again() {
    let state = everything();
    let document = serde_json::to_value(&state).unwrap();
    assert_eq!(RedriveState::parse(document, &mrap()).unwrap(), state);
}

#[test]
fn what_a_newer_version_added_is_kept() {
    let mut document = fixture();
    document["witness"] = json!({"region": "eu-north-1"});
    let state = RedriveState::parse(document.clone(), &mrap()).unwrap();
    assert_eq!(serde_json::to_value(&state).unwrap(), document);
}

#[test]
fn the_smallest_document_is_enough() {
    let document =
        json!({"schema": 1, "mrap": mrap(), "writtenBy": "", "writtenAt": "2026-11-20T17:00:00Z"});
    let state = RedriveState::parse(document, &mrap()).unwrap();
    assert_eq!(state, RedriveState::first(mrap(), start()));
}

#[test]
fn what_cannot_be_trusted_is_a_clear_error() {
    let changed = |field: &str, value: Value| {
        let mut document = fixture();
        document[field] = value;
        document
    };
    let other = "arn:aws:s3::111122223333:accesspoint/another.mrap";
    #[rustfmt::skip]
    let table = [
        (changed("schema", json!(2)), "has schema 2"),
        (changed("schema", json!("1")), "has schema \"1\""),
        (json!([]), "has schema none"),
        (changed("mrap", json!(other)), "STATE_BUCKET is shared or wrong"),
        (changed("groups", json!([])), "cannot be read"),
        (changed("jobs", json!({"x": {}})), "cannot be read"),
    ];
    for (document, says) in table {
        let error = RedriveState::parse(document, &mrap()).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    // A later document is refused as such, whatever else is strange about it.
    let mut later = changed("mrap", json!(other));
    later["schema"] = json!(7);
    assert!(matches!(
        RedriveState::parse(later, &mrap()),
        Err(RedriveStateError::Schema { .. })
    ));
}

#[test]
fn what_is_kept_is_bounded() {
    let mut bench = Bench::new(&[("REDRIVE_DAILY_DOLLARS", "100000")]);
    for number in 0..520 {
        let one = group("app-use1", "app-euw1", &format!("Reason{number}"));
        bench.fail(&one, 9);
        bench.wait(900);
        let sample = bench.begin();
        bench.run(&sample, 9, outcome(9, 0));
        bench.state.forget_old(bench.now);
    }
    assert!(bench.state.closed.len() <= 50);
    assert!(
        bench.state.groups.len() <= 502,
        "{}",
        bench.state.groups.len()
    );
    assert!(bench.state.outbox.len() <= 100);
    let size = serde_json::to_vec(&bench.state).unwrap().len();
    assert!(size < 1024 * 1024, "{size} bytes");
}
