//! What people read of re-drives: subject, e-mail and document of every kind of announcement.

use std::collections::{BTreeMap, BTreeSet};

use sentinel_core::announce::{Announcement, Event, Severity};
use sentinel_core::redrive::apply::{Happening, Worked};
use sentinel_core::redrive::command::SweepCommand;
use sentinel_core::redrive::job::{
    Creation, Gathered, JobId, Manifest, Outcome, Polled, Progress, Slice,
};
use sentinel_core::redrive::operator::Measured;
use sentinel_core::redrive::price::Micros;

use super::common::{Bench, file, group, unversioned};
use super::planning::{Fate, outcome};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

/// The last announcement of this kind.
fn last(bench: &Bench, event: Event) -> Announcement {
    bench
        .state
        .outbox
        .iter()
        .rfind(|one| one.event == event)
        .unwrap_or_else(|| panic!("no {}: {:?}", event.as_str(), bench.events()))
        .clone()
}

pub(crate) fn manifest(objects: u64) -> Gathered {
    Gathered {
        manifest: Some(Manifest {
            bucket: "work-use1".parse().unwrap(),
            key: "manifest.csv".to_owned(),
            etag: "0".to_owned(),
            objects,
        }),
        rows: vec![objects],
        handed_over: vec![0],
        complete: true,
        ..Gathered::default()
    }
}

fn failing(variables: &[(&str, &str)]) -> Bench {
    let mut bench = Bench::new(variables);
    bench.fail(&unversioned(), 1234);
    bench
}

/// After the first sample.
fn sampled(fate: Fate) -> Bench {
    let mut bench = failing(&[]);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    bench.wait(4 * MINUTE);
    bench.run(&sample, 10, fate);
    bench
}

/// After the release.
fn redriven(fate: Fate) -> Bench {
    let mut bench = sampled(outcome(10, 0));
    bench.wait(20 * MINUTE);
    let release = bench.begin();
    bench.wait(10 * MINUTE);
    bench.run(&release, 1224, fate);
    bench
}

fn operate(
    bench: &mut Bench,
    wish: impl FnOnce(
        &sentinel_core::redrive::apply::Desk<'_>,
        &mut sentinel_core::redrive::state::RedriveState,
        &sentinel_core::redrive::inventory::Inventory,
    ),
) {
    let mut state = bench.state.clone();
    wish(&bench.desk(), &mut state, &bench.inventory);
    bench.state = state;
}

fn stuck() -> Bench {
    let mut bench = failing(&[]);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    for _ in 0..5 {
        bench.apply(&Happening::Stumbled {
            job: sample.job.name.clone(),
            error: "s3://work-use1: S3 cannot be reached".to_owned(),
        });
    }
    bench
}

fn overdue() -> Bench {
    let mut bench = failing(&[]);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    bench.worked(&sample, Worked::Gather(Slice::Done(manifest(10))));
    let created = Creation::Created(JobId("4f1c".to_owned()));
    bench.worked(&sample, Worked::Create(created));
    bench.wait(DAY);
    let progress = Progress {
        status: "Paused".to_owned(),
        total: 10,
        succeeded: 3,
        failed: 1,
    };
    bench.worked(&sample, Worked::Poll(Polled::Open(progress)));
    bench
}

fn handed_over() -> Bench {
    let mut bench = failing(&[]);
    bench.wait(30 * DAY + 1);
    let settle = bench.begin();
    let gathered = Gathered {
        rows: vec![0],
        handed_over: vec![1234],
        complete: true,
        ..Gathered::default()
    };
    bench.worked(&settle, Worked::Gather(Slice::Done(gathered)));
    bench
}

fn overflowed() -> Bench {
    let mut bench = Bench::new(&[("GROUP_SWEEP_THRESHOLD", "100000")]);
    bench.fail(&unversioned(), 90_000);
    bench.wait(MINUTE);
    bench.fail(&unversioned(), 90_000);
    bench
}

fn abandoned() -> Bench {
    let mut bench = failing(&[]);
    operate(&mut bench, |desk, state, inventory| {
        desk.abandon(state, inventory, unversioned().id(), "old test data")
            .unwrap();
    });
    bench.wait(MINUTE);
    let settle = bench.begin();
    bench.run(&settle, 1234, outcome(0, 0));
    bench
}

fn swept(reported: Outcome, proved: Outcome) -> Bench {
    let mut bench = failing(&[]);
    let command = SweepCommand {
        source: None,
        group: Some(unversioned().id()),
        statuses: None,
        created_after: None,
        confirm: None,
        reason: "all at once".to_owned(),
    };
    operate(&mut bench, |desk, state, inventory| {
        let wish = desk.wish(state, inventory, &command).unwrap();
        let answer = desk.offer(state, &wish, Measured::default());
        let confirm = answer.estimate.unwrap().confirm;
        let command = SweepCommand {
            group: None,
            ..command.clone()
        };
        desk.confirm(state, &confirm, &command).unwrap();
    });
    let sweep = bench.begin();
    let complete = sentinel_core::redrive::job::EndStatus::Complete;
    bench.end_sweep(&sweep, complete, reported, proved);
    bench
}

/// Breaker open, and closed by a trial.
fn breaker(closed: bool) -> Bench {
    let mut bench = failing(&[("REDRIVE_BREAKER_JOBS", "1")]);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    bench.run(&sample, 10, Fate::Refused);
    if closed {
        bench.wait(60 * MINUTE);
        let trial = bench.begin();
        bench.run(&trial, 10, outcome(10, 0));
    }
    bench
}

fn held(release: bool) -> Bench {
    let mut bench = failing(&[]);
    operate(&mut bench, |desk, state, _| {
        desk.set_hold(state, None, "night work", None).unwrap();
        if release {
            desk.lift_hold(state, None, "night work is over").unwrap();
        }
    });
    bench
}

fn asked() -> Bench {
    let mut bench = failing(&[]);
    operate(&mut bench, |desk, state, inventory| {
        desk.retry(state, inventory, unversioned().id(), "versioning is on")
            .unwrap();
    });
    bench
}

fn broke() -> Bench {
    let mut bench = sampled(outcome(10, 0));
    bench.apply(&Happening::BudgetUsedUp {
        what: "re-drive 60000000 versions of app-use1 ($60.25)".to_owned(),
        cost: Micros(60_250_000),
    });
    bench
}

fn foreign() -> Bench {
    let mut bench = Bench::new(&[]);
    bench.fail(&group("old-bucket", "app-euw1", "DstBucketNotFound"), 5);
    bench
}

fn final_reason() -> Bench {
    let mut bench = Bench::new(&[]);
    let gone = group("app-use1", "app-euw1", "SrcVersionNotFound");
    bench.fail(&gone, 7);
    bench.wait(15 * MINUTE);
    let settle = bench.begin();
    bench.run(&settle, 7, outcome(0, 0));
    bench
}

#[test]
fn announcements() {
    let mixed = Outcome {
        arrived: 1190,
        failed: 30,
        pending: 4,
        ..Outcome::default()
    };
    let reported = Outcome {
        initiated: 9000,
        already: 1,
        failed: 6,
        finals: 3,
        not_run: 1,
        ..Outcome::default()
    };
    let proved = Outcome {
        arrived: 997,
        finals: 4,
        failed: 7,
        pending: 1,
        ..reported
    };
    #[rustfmt::skip]
    let table = vec![
        ("failing", failing(&[]), Event::ReplicationFailing),
        ("failing-observed", failing(&[("REDRIVE", "observe")]), Event::ReplicationFailing),
        ("failing-again", redriven(Fate::Ends(mixed)), Event::ReplicationFailing),
        ("sample-arrived", sampled(outcome(9, 1)), Event::SampleArrived),
        ("sample-failed", sampled(outcome(2, 8)), Event::SampleFailed),
        ("redriven", redriven(outcome(1224, 0)), Event::Redriven),
        ("settled-final", final_reason(), Event::SettledFinal),
        ("handed-over", handed_over(), Event::HandedOver),
        ("abandoned", abandoned(), Event::GroupAbandoned),
        ("overflowed", overflowed(), Event::GroupOverflowed),
        ("job-failed", sampled(Fate::Fails), Event::JobFailed),
        ("job-overdue", overdue(), Event::JobOverdue),
        ("sweep-ended", swept(reported, proved), Event::SweepEnded),
        ("sweep-empty", swept(Outcome::default(), Outcome::default()), Event::SweepEnded),
        ("budget", broke(), Event::RedriveBudgetExhausted),
        ("breaker-opened", breaker(false), Event::BreakerOpened),
        ("breaker-closed", breaker(true), Event::BreakerClosed),
        ("stuck", stuck(), Event::RedriveStuck),
        ("source-unknown", foreign(), Event::SourceUnknown),
        ("held", held(false), Event::RedriveHeld),
        ("released", held(true), Event::RedriveReleased),
        ("asked", asked(), Event::RedriveAsked),
    ];
    for (name, bench, event) in &table {
        insta::assert_json_snapshot!(*name, last(bench, *event));
    }
    let lost = failing(&[])
        .desk()
        .lost("redrive.json was deleted: nothing is re-driven until it is restored");
    insta::assert_json_snapshot!("lost", lost);
    // Nobody is woken for less than what stops everything.
    let critical: BTreeSet<&str> = table
        .iter()
        .filter(|(_, bench, event)| last(bench, *event).severity == Severity::Critical)
        .map(|(name, ..)| *name)
        .collect();
    assert_eq!(critical, BTreeSet::from(["breaker-opened"]));
    // What SNS takes, and an id of its own for each.
    let mut ids = BTreeMap::new();
    for (name, bench, event) in &table {
        let one = last(bench, *event);
        assert!(one.subject.len() <= 100 && one.subject.is_ascii(), "{name}");
        ids.entry(one.event_id).or_insert_with(Vec::new).push(*name);
    }
    assert!(ids.len() >= table.len() - 3, "{ids:?}");
}

#[test]
fn a_repeat_after_a_crash_has_the_same_id() {
    let once = failing(&[]);
    let mut again = Bench::new(&[]);
    again.apply(&Happening::Learnt(unversioned()));
    again.inventory.open.insert(
        unversioned().id(),
        vec![file(unversioned().id(), 1300, again.now, again.now)],
    );
    again.wait(MINUTE);
    again.look();
    let id = |bench: &Bench| bench.state.outbox[0].event_id.clone();
    assert_eq!(id(&once), id(&again));
}
