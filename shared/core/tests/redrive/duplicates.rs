//! Messages that come once more after everything they speak of was settled.

use jiff::SignedDuration;
use sentinel_core::redrive::plan::Step;

use super::common::{Bench, file, unversioned};
use super::planning::outcome;

const MINUTE: i64 = 60;

/// How the last job of the group went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Arrived,
    Failed,
    Abandoned,
}

/// A group that is closed, and when its versions had failed.
fn closed(last: Last, mode: &str) -> (Bench, jiff::Timestamp) {
    let mut bench = Bench::new(&[]);
    let id = unversioned().id();
    bench.fail(&unversioned(), 10);
    let failed_at = bench.now;
    bench.wait(15 * MINUTE);
    let fate = match last {
        Last::Arrived => outcome(10, 0),
        Last::Failed | Last::Abandoned => outcome(0, 10),
    };
    let sample = bench.begin();
    bench.run(&sample, 10, fate);
    if last == Last::Abandoned {
        let mut state = bench.state.clone();
        let desk = bench.desk();
        desk.abandon(&mut state, &bench.inventory, id, "old test data")
            .unwrap();
        bench.state = state;
        let settle = bench.begin();
        bench.run(&settle, 10, outcome(0, 0));
    }
    // As if a job of another group had settled what was left.
    bench.inventory.open.clear();
    bench.look();
    assert!(bench.record(&unversioned()).is_closed(), "{last:?}");
    bench.settings = super::common::settings(&[("REDRIVE", mode)]);
    bench.state.outbox.clear();
    bench.wait(30 * MINUTE);
    (bench, failed_at)
}

#[test]
fn regression_a_late_duplicate_changes_nothing() {
    for mode in ["automatic", "observe"] {
        for last in [Last::Arrived, Last::Failed, Last::Abandoned] {
            let (mut bench, failed_at) = closed(last, mode);
            let id = unversioned().id();
            let before = bench.record(&unversioned()).clone();
            let late = file(id, 10, failed_at, bench.now);
            bench.inventory.open.insert(id, vec![late]);
            bench.look();
            let weigh = Step::Weigh {
                group: id,
                files: vec![late.name],
            };
            assert_eq!(bench.plan().steps, [weigh], "{last:?} {mode}");
            assert_eq!(bench.plan().would, [""; 0]);
            // All of it is settled.
            bench.inventory.open.clear();
            bench.look();
            assert_eq!(*bench.record(&unversioned()), before, "{last:?} {mode}");
            assert_eq!(bench.events(), [""; 0], "{last:?} {mode}");
        }
    }
}

#[test]
fn what_comes_late_for_the_first_time_opens_its_group() {
    #[rustfmt::skip]
    let table = [
        (Last::Arrived, "automatic", "released", 0),
        (Last::Failed, "automatic", "held", 1),
        (Last::Abandoned, "automatic", "held", 1),
        // Nobody else would say that it waits.
        (Last::Arrived, "observe", "held", 1),
        (Last::Abandoned, "observe", "held", 1),
    ];
    for (last, mode, state, pages) in table {
        let (mut bench, failed_at) = closed(last, mode);
        let id = unversioned().id();
        let late = file(id, 5, failed_at, bench.now);
        bench.inventory.open.insert(id, vec![late]);
        bench.look();
        bench.reopens(&unversioned());
        let case = format!("{last:?} {mode}");
        assert_eq!(bench.phase(&unversioned()).as_str(), state, "{case}");
        let paged = bench
            .events()
            .iter()
            .filter(|it| **it == "replication-failing")
            .count();
        assert_eq!(paged, pages, "{case}: {:?}", bench.events());
        let weighed = |step: &Step| matches!(step, Step::Weigh { .. });
        assert!(!bench.plan().steps.iter().any(weighed), "{case}: once");
        assert!(!bench.record(&unversioned()).reopens, "{case}");
    }
}

#[test]
fn what_failed_since_the_closing_opens_its_group_at_once() {
    let (mut bench, failed_at) = closed(Last::Arrived, "automatic");
    let id = unversioned().id();
    let late = file(id, 5, failed_at, bench.now);
    let fresh = file(id, 5, bench.now - SignedDuration::from_secs(9), bench.now);
    bench.inventory.open.insert(id, vec![late, fresh]);
    bench.look();
    assert_eq!(bench.phase(&unversioned()).as_str(), "held");
    assert_eq!(bench.events(), ["replication-failing"]);
}

#[test]
fn a_group_that_closes_without_a_redrive_does_not_boast_of_none() {
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 10);
    bench.inventory.open.clear();
    bench.look();
    let last = bench.state.outbox.last().unwrap();
    assert_eq!(last.event.as_str(), "redriven");
    assert!(
        last.text
            .contains("it had been settled before, so nothing was re-driven"),
        "{}",
        last.text
    );
}
