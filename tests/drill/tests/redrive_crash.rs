//! Invariant 7 for the collector and the re-drive: a crash after any call, and whatever comes
//! next, end in the same state as no crash.
//!
//! A short episode of failed replication is played once for every request that an acting
//! invocation of either function sends: the process dies when that request was delivered. The
//! queue then delivers the batch again, the schedule invokes the re-drive again.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use drill::harness::{self, Crash, Options};
use drill::history::{Ending, Function, History, Invocation, attribute};
use drill::invariants;
use drill::scenario::{Action, Scenario, Stage};
use drill::verdict::Violation;
use simulator::{JobRules, SimTime};

/// Sixty copies fail within two minutes and can be made five minutes later. Samples and
/// batches do not take long to come.
const EPISODE: Scenario = Scenario {
    name: "an episode",
    story: "",
    stage: |_| {
        let refuse = |reason| Action::Refuse {
            source: "app-use1".to_owned(),
            destination: "app-euw1".to_owned(),
            reason,
        };
        let at = SimTime::from_secs;
        let import = Action::Import {
            bucket: "app-use1".to_owned(),
            objects: 60,
            over: Duration::from_mins(2),
        };
        let settings = [
            ("REDRIVE_SAMPLE_SECONDS", "600"),
            ("REDRIVE_BATCH_SECONDS", "60"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Stage {
            length: Duration::from_mins(45),
            redrive: BTreeMap::from(settings),
            repeats: 0.0,
            // What fails by chance would fail for another version after a crash.
            jobs: JobRules {
                late_failures: 0.0,
                ..JobRules::default()
            },
            ..Stage::default()
        }
        .step(at(60), "", refuse(Some("AssumeRoleNotPermitted")))
        .step(at(90), "", import)
        .step(at(500), "", refuse(None))
    },
    expect: |_| Vec::new(),
};

fn play(crash: Option<Crash>) -> History {
    let options = Options {
        crash,
        copies_only: true,
        ..Options::default()
    };
    harness::run(&EPISODE, 1, options)
}

/// What must be the same.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// Failed copies that arrived.
    arrived: BTreeSet<(String, String)>,
    /// How often each version was in a job, where that was not once.
    repeated: BTreeMap<String, usize>,
    jobs: usize,
    /// How each failed copy was settled.
    settled: BTreeMap<String, Option<String>>,
    open: usize,
    handed_over: usize,
    groups: BTreeMap<String, Option<String>>,
    /// What people were told, by group.
    told: BTreeSet<(String, String)>,
    dead_letters: usize,
    left_in_the_queue: usize,
    violations: Vec<Violation>,
}

fn end(history: &History) -> End {
    let backlog = &history.backlog;
    let index = backlog.index();
    let mut tasks: BTreeMap<String, usize> = BTreeMap::new();
    for (key, _) in backlog.jobs.iter().flat_map(|job| &job.tasks) {
        *tasks.entry(key.clone()).or_default() += 1;
    }
    tasks.retain(|_, count| *count != 1);
    let copies = backlog.copies.iter();
    let arrived = copies.clone().filter(|copy| copy.arrived.is_some());
    let name = |copy: &drill::backlog::FailedCopy| copy.key.clone();
    let told = history.published.iter().map(|one| {
        let body = drill::history::body(one);
        let about = body["group"].as_str().unwrap_or_default().to_owned();
        (attribute(one, "event").to_owned(), about)
    });
    End {
        arrived: arrived
            .map(|copy| (copy.key.clone(), copy.destination.to_string()))
            .collect(),
        repeated: tasks,
        jobs: backlog.jobs.len(),
        settled: copies
            .map(|copy| (name(copy), index.settled(copy).map(|how| how.to_string())))
            .collect(),
        open: backlog.open.len(),
        handed_over: backlog.handed_over.len(),
        groups: backlog
            .groups
            .values()
            .map(|seen| {
                let last = seen.phases.last().map(|(_, phase)| phase.clone());
                (seen.label(), last)
            })
            .collect(),
        told: told.collect(),
        dead_letters: backlog.letters.dead.len(),
        left_in_the_queue: backlog.letters.left,
        violations: invariants::check(history),
    }
}

/// Operations that change nothing.
fn is_a_look(operation: &str) -> bool {
    ["Get", "Head", "List", "Describe"]
        .iter()
        .any(|verb| operation.starts_with(verb))
}

/// Invocations that do more than look, and take and give back their claim.
fn acting(history: &History) -> Vec<&Invocation> {
    let acts = |invocation: &&Invocation| {
        let sent = history.log.iter().filter(|entry| {
            entry.client == invocation.environment
                && (invocation.started..=invocation.ended).contains(&entry.at)
                && !is_a_look(&entry.operation)
        });
        match invocation.function {
            Function::Failover | Function::HealthCheck | Function::Readiness => false,
            Function::ReplicationEvents => sent.count() > 0,
            Function::Redrive => sent.count() > 2,
        }
    };
    history.invocations.iter().filter(acts).collect()
}

#[test]
fn a_crash_after_any_request_changes_nothing_in_the_end() {
    let whole = play(None);
    let expected = end(&whole);
    assert_eq!(expected.violations, [], "the run without a crash");
    assert_eq!(expected.arrived.len(), 60, "{expected:?}");
    assert_eq!((expected.open, expected.left_in_the_queue), (0, 0));
    let acting = acting(&whole);
    let crashes: Vec<Crash> = acting
        .iter()
        .flat_map(|invocation| {
            (1..=invocation.requests).map(|request| Crash {
                request_id: invocation.request_id.clone(),
                request,
            })
        })
        .collect();
    for function in [Function::ReplicationEvents, Function::Redrive] {
        let acts = acting.iter().filter(|one| one.function == function);
        assert!(acts.count() > 2, "{}", function.name());
    }

    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(crash) = crashes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let history = play(Some(crash.clone()));
                    let died = history.invocations.iter().any(|invocation| {
                        invocation.request_id == crash.request_id
                            && invocation.ending == Ending::Crashed
                    });
                    assert!(died, "{crash:?}");
                    assert_eq!(end(&history), expected, "{crash:?}");
                }
            });
        }
    });
}
