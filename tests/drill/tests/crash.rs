//! Invariant 7: a crash after any call, followed by a retry, ends in the same state as no crash.
//!
//! `regional-outage` is played once for every request that the acting invocation sends: the
//! process dies when that request was delivered, and Lambda retries the event a minute later
//! under the same request id.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use drill::harness::{self, Crash, Options};
use drill::history::{Ending, History};
use drill::verdict::Violation;
use drill::{invariants, scenarios};

/// Long enough for the outage, the failover and two retries.
const LENGTH: Duration = Duration::from_mins(40);

fn play(seed: u64, crash: Option<Crash>) -> History {
    let scenario = scenarios::find("regional-outage").expect("it is there");
    let options = Options {
        crash,
        pace: Some(Duration::from_secs(10)),
        length: Some(LENGTH),
        ..Options::default()
    };
    harness::run(scenario, seed, options)
}

/// What must be the same: routes, changes, and what people were told. Not the ids of it: they begin
/// with the first trigger that was recorded, and when the invocation of one dies before it wrote
/// anything, another one may be the first.
#[derive(Debug, PartialEq, Eq)]
struct End {
    active: BTreeSet<String>,
    moves: Vec<BTreeSet<String>>,
    recorded: usize,
    /// Event names, and under how many ids each was told.
    told: BTreeMap<String, usize>,
    unsettled: bool,
    violations: Vec<Violation>,
}

fn end(history: &History) -> End {
    let (_, state) = history.states.last().expect("a state");
    let mut told: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for one in &history.published {
        let attribute = |name: &str| one.attributes.get(name).map_or("", String::as_str);
        let ids = told.entry(attribute("event").to_owned()).or_default();
        ids.insert(attribute("event_id"));
    }
    End {
        active: history.active_at(history.end),
        moves: history
            .moves()
            .into_iter()
            .map(|moved| moved.after)
            .collect(),
        recorded: state.changes.len(),
        told: told
            .into_iter()
            .map(|(event, ids)| (event, ids.len()))
            .collect(),
        unsettled: state.claim.is_some() || state.proof.is_some() || !state.outbox.is_empty(),
        violations: invariants::check(history),
    }
}

#[test]
fn a_crash_after_any_request_changes_nothing_in_the_end() {
    let seed = 1;
    let whole = play(seed, None);
    let expected = end(&whole);
    assert_eq!(expected.moves.len(), 1, "{expected:?}");
    assert_eq!(expected.violations, [], "the run without a crash");
    let request_id = whole.moves()[0].request_id.clone().expect("an invocation");
    let acting = whole
        .invocations
        .iter()
        .find(|invocation| invocation.request_id == request_id)
        .expect("it was logged");
    assert!(acting.requests > 12, "{}", acting.requests);

    let crashes = (1..=acting.requests).map(|request| Crash {
        request_id: request_id.clone(),
        request,
    });
    side_by_side(&crashes.collect::<Vec<Crash>>(), |crash| {
        let history = play(seed, Some(crash.clone()));
        let died = history.invocations.iter().any(|invocation| {
            invocation.request_id == request_id && invocation.ending == Ending::Crashed
        });
        assert!(died, "the invocation dies: {crash:?}");
        assert_eq!(end(&history), expected, "{crash:?} of {}", acting.requests);
    });
}

/// Plays these crashes on all cores.
fn side_by_side(crashes: &[Crash], judge: impl Fn(&Crash) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(crash) = crashes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    judge(crash);
                }
            });
        }
    });
}

/// A rehearsal that dies on its way, out or back, ends at home all the same with nothing left
/// open: what the command did not get to, the ticks go on with or give up.
#[test]
fn a_rehearsal_that_dies_on_its_way_ends_at_home() {
    let scenario = scenarios::find("scheduled-rehearsal").expect("it is there");
    let play = |crash: Option<Crash>| {
        let options = Options {
            crash,
            pace: Some(Duration::from_secs(20)),
            length: Some(Duration::from_mins(85)),
            ..Options::default()
        };
        harness::run(scenario, 1, options)
    };
    let whole = play(None);
    assert_eq!(invariants::check(&whole), [], "the run without a crash");
    let moves = whole.moves();
    assert_eq!(moves.len(), 2);
    let crashes = moves.iter().flat_map(|moved| {
        let request_id = moved.request_id.clone().expect("an invocation");
        let mut all = whole.invocations.iter();
        let acting = all.find(|invocation| invocation.request_id == request_id);
        let requests = acting.expect("it was logged").requests;
        // Every fifth request: a run takes seconds.
        (1..=requests).step_by(5).map(move |request| Crash {
            request_id: request_id.clone(),
            request,
        })
    });
    side_by_side(&crashes.collect::<Vec<Crash>>(), |crash| {
        let history = play(Some(crash.clone()));
        assert_eq!(invariants::check(&history), [], "{crash:?}");
        let home: BTreeSet<String> = ["us-east-1".to_owned()].into();
        assert_eq!(history.active_at(history.end), home, "{crash:?}");
        let (_, state) = history.states.last().expect("a state");
        assert_eq!(state.rehearsal, None, "{crash:?}");
        assert_eq!(state.incident, None, "{crash:?}");
        assert_eq!(state.claim, None, "{crash:?}");
    });
}
