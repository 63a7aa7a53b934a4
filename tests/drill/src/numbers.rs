//! What a run measured, all of it from the truth.

use std::ops::Add;
use std::time::Duration;

use serde::Serialize;
use simulator::SimTime;

use crate::backlog::{Fate, Job};
use crate::harness::CALM;
use crate::history::{ClientRequest, History, Served};

/// The observed numbers. `None` stands for what did not happen.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// From the trouble's start until the function first recorded a trigger.
    pub detected: Option<Duration>,
    /// From the trouble's start until the struck Region stopped being active.
    pub dial_moved: Option<Duration>,
    /// From the trouble's start until a client's request succeeded again for the first time
    /// after one had failed.
    pub recovered: Option<Duration>,
    /// From the trouble's start until requests succeeded again for good: the first success with
    /// no failure after it for at least 30 s, unless trouble of another cause came later.
    pub rto: Option<Duration>,
    /// Requests of the clients, the SDK's retries not counted.
    pub requests: u64,
    /// Those that failed after all retries. A read of an object that is not there (yet) was answered.
    pub failed_requests: u64,
    /// Reads of acknowledged objects that were not there (yet).
    pub absent_reads: u64,
    /// Objects that the clients were told are safe.
    pub acked_objects: u64,
    /// Those of them that the struck Region took and that the serving members lacked when service
    /// was restored by moving the dial.
    pub rpo_objects: u64,
    /// Those of them that are nowhere in the end.
    pub lost_objects: u64,
    /// What replication failed to copy, and what became of it.
    pub redrive: Redrive,
    /// Objects whose versions, or whose current version, differ between members in the end.
    pub diverged_objects: u64,
}

/// What replication failed to copy: copies of a version to one destination, each counted once.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Redrive {
    /// Copies that S3 gave up at least once.
    pub failures: u64,
    /// Jobs that S3 ran for them.
    pub jobs: u64,
    /// Copies that were in a job and arrived.
    pub redriven: u64,
    /// Copies that were given to a person, or given up by one.
    pub abandoned: u64,
    /// Copies that nothing can bring about any more: gone in the source, deleted in the
    /// destination, not eligible.
    pub settled: u64,
    /// Copies that still wait.
    pub open: u64,
    /// What the jobs cost, in dollars.
    pub dollars: f64,
}

/// Counts what became of failed copies.
#[must_use]
fn redrive(history: &History) -> Redrive {
    let backlog = &history.backlog;
    let index = backlog.index();
    let mut tried: Vec<(&str, &str, &str)> = Vec::new();
    for job in &backlog.jobs {
        let tasks = job.tasks.iter();
        tried.extend(tasks.map(|(key, version)| (job.source.as_str(), &**key, &**version)));
    }
    tried.sort_unstable();
    let mut counts = Redrive {
        failures: backlog.copies.len() as u64,
        jobs: backlog.jobs.len() as u64,
        // Thousandths of a cent say nothing.
        dollars: (backlog.jobs.iter().map(Job::dollars).fold(0.0, Add::add) * 100.0).round()
            / 100.0,
        ..Redrive::default()
    };
    for copy in &backlog.copies {
        let version = (&*copy.source, &*copy.key, &*copy.version);
        match index.fate(copy) {
            Fate::Arrived if tried.binary_search(&version).is_ok() => counts.redriven += 1,
            // Written anew or resumed: it came by itself.
            Fate::Arrived => {}
            Fate::Gone | Fate::Settled(_) => counts.settled += 1,
            Fate::Abandoned(_) => counts.abandoned += 1,
            Fate::Open(_) | Fate::Unknown => counts.open += 1,
        }
    }
    counts
}

/// Measures a run.
#[must_use]
pub fn measure(history: &History) -> Numbers {
    let requests = &history.requests;
    let count = |served: Served| requests.iter().filter(|one| one.served == served).count() as u64;
    let trouble = history.stage.trouble.as_ref().map(|trouble| trouble.at);
    let since = |at: Option<SimTime>| Some(at?.since(trouble?));
    let first_failure = trouble.and_then(|start| {
        requests
            .iter()
            .find(|one| one.served == Served::Failed && one.done >= start)
            .map(|one| one.done)
    });
    let first_success = first_failure.and_then(|failed| {
        requests
            .iter()
            .find(|one| one.served != Served::Failed && one.sent > failed)
            .map(|one| one.done)
    });
    let lasting = first_failure.and_then(|failed| lasting_success(requests, failed));
    let moved = dial_moved(history);
    Numbers {
        detected: since(detected(history)),
        dial_moved: since(moved),
        recovered: since(first_success),
        rto: since(lasting),
        requests: requests.len() as u64,
        failed_requests: count(Served::Failed),
        absent_reads: count(Served::Absent),
        acked_objects: history.acknowledged.len() as u64,
        rpo_objects: moved.map_or(0, |moved| {
            missing_at(history, lasting.unwrap_or(moved).max(moved))
        }),
        lost_objects: lost(history),
        diverged_objects: diverged(history),
        redrive: redrive(history),
    }
}

fn detected(history: &History) -> Option<SimTime> {
    let trouble = history.stage.trouble.as_ref()?;
    let mut versions = history.states.iter().filter(|(at, _)| *at >= trouble.at);
    versions
        .find(|(_, state)| !state.triggers.is_empty())
        .map(|(at, _)| *at)
}

fn dial_moved(history: &History) -> Option<SimTime> {
    let trouble = history.stage.trouble.as_ref()?;
    let moves = history.moves().into_iter();
    let mut moves =
        moves.filter(|moved| moved.at >= trouble.at && moved.from().contains(&trouble.region));
    moves.next().map(|moved| moved.at)
}

/// The first success after `failed` that begins [`CALM`] without a failure.
fn lasting_success(requests: &[ClientRequest], failed: SimTime) -> Option<SimTime> {
    let mut candidate: Option<SimTime> = None;
    for one in requests.iter().filter(|one| one.done >= failed) {
        if one.served == Served::Failed {
            candidate = None;
        } else if let Some(start) = candidate {
            if one.done.since(start) >= CALM {
                return candidate;
            }
        } else {
            candidate = Some(one.done);
        }
    }
    None
}

/// Versions that the struck Region had taken and no serving member had at that moment.
fn missing_at(history: &History, at: SimTime) -> u64 {
    let Some(trouble) = &history.stage.trouble else {
        return 0;
    };
    let old = history.stage.bucket(&trouble.region);
    let active = history.active_at(at);
    let serving: Vec<&str> = active
        .iter()
        .map(|region| history.stage.bucket(region))
        .collect();
    let missing = history.acknowledged.iter().filter(|write| {
        let places = history
            .data
            .get(&(write.key.clone(), write.version.clone()));
        write.bucket == old
            && write.at <= at
            && !serving.iter().any(|bucket| {
                places
                    .and_then(|places| places.get(*bucket))
                    .is_some_and(|held| held.since <= at)
            })
    });
    missing.count() as u64
}

fn lost(history: &History) -> u64 {
    let nowhere = history.acknowledged.iter().filter(|write| {
        !history
            .data
            .contains_key(&(write.key.clone(), write.version.clone()))
    });
    nowhere.count() as u64
}

fn diverged(history: &History) -> u64 {
    let members = history.stage.members.len();
    let mut keys = std::collections::BTreeSet::new();
    for ((key, _), places) in &history.data {
        if places.len() != members {
            keys.insert(key.as_str());
        }
    }
    for (key, current) in &history.current {
        let versions: std::collections::BTreeSet<&String> = current.values().collect();
        if current.len() != members || versions.len() != 1 {
            keys.insert(key.as_str());
        }
    }
    keys.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_core::ledger::How;

    use crate::invariants::testing::{EUW1, Story, USE1};

    fn asked(at: u64, served: Served) -> ClientRequest {
        ClientRequest {
            sent: SimTime::from_secs(at),
            done: SimTime::from_secs(at),
            write: true,
            served,
        }
    }

    #[test]
    fn recovery_is_for_good_only_after_a_calm_while() {
        let mut story = Story::new();
        story.history.stage = story.history.stage.trouble(USE1, SimTime::from_secs(100));
        for at in 90..400 {
            let failing = (105..200).contains(&at) && at != 150;
            story
                .history
                .requests
                .push(asked(at, if failing { Served::Failed } else { Served::Ok }));
        }
        let numbers = measure(&story.history);
        assert_eq!(numbers.recovered, Some(Duration::from_secs(50)));
        assert_eq!(numbers.rto, Some(Duration::from_secs(100)));
        assert_eq!(numbers.failed_requests, 94);
    }

    #[test]
    fn without_trouble_there_is_nothing_to_measure() {
        let mut story = Story::new();
        story.history.requests.push(asked(10, Served::Ok));
        let numbers = measure(&story.history);
        assert_eq!(
            (numbers.recovered, numbers.rto, numbers.dial_moved),
            (None, None, None)
        );
    }

    #[test]
    fn copies_are_counted_by_what_became_of_them() {
        let mut story = Story::new();
        for key in ["data/a", "data/b", "data/c", "data/d", "data/e"] {
            story.fails(10, key);
        }
        let copies = &mut story.history.backlog.copies;
        copies[0].arrived = Some(SimTime::from_secs(500));
        copies[1].arrived = Some(SimTime::from_secs(500));
        copies[2].gone = true;
        story.settles("data/d", How::HandedOver);
        story.job(100, 60, &["data/a"]);
        let numbers = measure(&story.history);
        let expected = Redrive {
            failures: 5,
            jobs: 1,
            redriven: 1,
            abandoned: 1,
            settled: 1,
            open: 1,
            dollars: 0.25,
        };
        assert_eq!(numbers.redrive, expected);
    }

    #[test]
    fn what_the_new_member_lacks_is_counted() {
        let mut story = Story::new();
        story.history.stage = story.history.stage.trouble(USE1, SimTime::from_secs(100));
        story.acknowledges(50, "data/a", &["app-use1", "app-euw1"]);
        story.acknowledges(99, "data/b", &["app-use1"]);
        story.acknowledges(99, "data/c", &[]);
        story.moves(200, USE1, EUW1);
        let numbers = measure(&story.history);
        assert_eq!(numbers.rpo_objects, 2);
        assert_eq!(numbers.lost_objects, 1);
        assert_eq!(numbers.diverged_objects, 1, "in the members as they are");
        assert_eq!(numbers.acked_objects, 3);
    }
}
