//! One rule after the other: when a job is begun, over what, and what stops it.

use jiff::{SignedDuration, Timestamp};
use sentinel_core::ledger::{Group, How, Millis};
use sentinel_core::names::BucketName;
use sentinel_core::redrive::apply::{Happening, Worked};
use sentinel_core::redrive::job::{
    Creation, EndStatus, Ended, GatherCursor, Gathered, JobId, JobKind, Manifest, Outcome, Phase,
    Polled, Progress, ProofFiles, Reopened, Settled, Slice, Tally,
};
use sentinel_core::redrive::plan::Step;
use sentinel_core::redrive::price::Micros;
use sentinel_core::redrive::state::{GroupPhase, OpenJob};

use super::common::{Bench, file, group, unversioned};

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// What becomes of a job in the tests below.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    /// It ends with this for its first group.
    Ends(Outcome),
    /// S3 ends it as failed, without a report.
    Fails,
    /// S3 refuses to create it.
    Refused,
    /// A person cancels it.
    Cancelled,
    /// Its rows were settled already.
    Empty,
}

pub(crate) fn outcome(arrived: u64, failed: u64) -> Fate {
    Fate::Ends(Outcome {
        arrived,
        failed,
        ..Outcome::default()
    })
}

impl Bench {
    pub(crate) fn worked(&mut self, open: &OpenJob, work: Worked) {
        self.apply(&Happening::Worked {
            job: open.job.name.clone(),
            work: Box::new(work),
        });
    }

    /// Begins what the plan begins; there must be one such job.
    pub(crate) fn begin(&mut self) -> OpenJob {
        let plan = self.plan();
        let mut begun = plan.steps.iter().filter_map(|step| match step {
            Step::Plan { open, cost } => Some((open.clone(), *cost)),
            _ => None,
        });
        let (open, cost) = begun.next().expect("a job is begun");
        assert!(begun.next().is_none(), "one job");
        drop(begun);
        self.apply(&Happening::Planned {
            open: open.clone(),
            cost,
        });
        *open
    }

    /// Runs a job to its end, taking `rows` rows of its first group.
    pub(crate) fn run(&mut self, open: &OpenJob, rows: u64, fate: Fate) {
        let manifest = Manifest {
            bucket: "work-use1".parse().unwrap(),
            key: "manifest.csv".to_owned(),
            etag: "0".to_owned(),
            objects: rows,
        };
        let empty = matches!(fate, Fate::Empty);
        let gathered = Gathered {
            manifest: Some(manifest).filter(|_| open.is_of_s3() && !empty),
            rows: vec![if empty { 0 } else { rows }],
            handed_over: vec![0],
            complete: open.job.limit > rows,
            ..Gathered::default()
        };
        self.worked(open, Worked::Gather(Slice::Done(gathered.clone())));
        if gathered.manifest.is_some() {
            self.worked(open, Worked::Trying);
            let creation = match fate {
                Fate::Refused => Creation::Refused("access denied".to_owned()),
                _ => Creation::Created(JobId("s3-job".to_owned())),
            };
            self.worked(open, Worked::Create(creation));
        }
        let group = open.job.groups[0].clone();
        let (status, part) = match fate {
            Fate::Ends(part) => (EndStatus::Complete, part),
            Fate::Fails => (EndStatus::Failed, not_run(rows)),
            Fate::Cancelled => (EndStatus::Cancelled, not_run(rows)),
            Fate::Refused | Fate::Empty => (EndStatus::Unknown, Outcome::default()),
        };
        if let Phase::Poll { .. } = self.state.jobs[&open.job.name].job.phase {
            let ended = Ended {
                id: JobId("s3-job".to_owned()),
                status,
                at: self.now,
                progress: Progress::default(),
                reasons: Vec::new(),
            };
            self.worked(open, Worked::Poll(Polled::Ended(ended)));
            let tally = Tally {
                found: matches!(fate, Fate::Ends(_)),
                ..Tally::default()
            };
            self.worked(open, Worked::Report(Slice::Done(tally)));
            let back = part.failed + part.not_run + part.pending;
            let settled = Settled {
                groups: vec![part],
                reopened: (back > 0)
                    .then(|| Reopened {
                        group: group.clone(),
                        rows: back,
                    })
                    .into_iter()
                    .collect(),
                ..Settled::default()
            };
            self.worked(open, Worked::Settle(Slice::Done(settled)));
        }
        let Phase::Close { gathered, .. } = &self.state.jobs[&open.job.name].job.phase else {
            panic!(
                "not closing: {:?}",
                self.state.jobs[&open.job.name].job.phase
            );
        };
        if gathered.complete {
            let files = self.inventory.open.get_mut(&group.id()).unwrap();
            files.retain(|file| !open.job.inputs.contains(&file.name.key()));
            let back = part.failed + part.not_run + part.pending;
            if back > 0 {
                files.push(file(group.id(), back, self.now, self.now));
            }
        }
        self.inventory.open.retain(|_, files| !files.is_empty());
        self.worked(open, Worked::Close(Slice::Done(())));
        self.look();
    }

    /// Brings a group from its failure to its release.
    pub(crate) fn released(&mut self, rows: u64) {
        self.fail(&unversioned(), rows);
        self.wait(15 * MINUTE);
        let sample = self.begin();
        self.run(&sample, 10, outcome(10, 0));
        assert!(matches!(
            self.phase(&unversioned()),
            GroupPhase::Released { .. }
        ));
    }

    /// What came before a group was closed is weighed, and not all of it is settled.
    pub(crate) fn reopens(&mut self, group: &Group) {
        let group = group.id();
        let steps = self.plan().steps;
        let weighed = |step: &Step| matches!(step, Step::Weigh { group: it, .. } if *it == group);
        assert!(steps.iter().any(weighed), "{steps:?}");
        self.apply(&Happening::Reopened { group });
        self.look();
    }

    pub(crate) fn events(&self) -> Vec<&str> {
        self.state
            .outbox
            .iter()
            .map(|one| one.event.as_str())
            .collect()
    }

    pub(crate) fn next_sample_in(&self) -> i64 {
        match self.phase(&unversioned()) {
            GroupPhase::Held { next_sample_at, .. } => {
                next_sample_at.duration_since(self.now).as_secs()
            }
            other => panic!("not held: {other:?}"),
        }
    }
}

fn not_run(rows: u64) -> Outcome {
    Outcome {
        not_run: rows,
        ..Outcome::default()
    }
}

#[test]
fn a_new_group_is_paged_once_and_sampled_after_the_interval() {
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 1000);
    assert_eq!(bench.events(), ["replication-failing"]);
    bench.wait(14 * MINUTE);
    bench.fail(&unversioned(), 1000);
    assert_eq!(bench.events(), ["replication-failing"], "once");
    assert!(bench.begun().is_empty(), "not yet");
    bench.wait(MINUTE);
    let sample = bench.begin();
    assert_eq!(sample.job.kind, JobKind::Sample);
    assert_eq!((sample.job.limit, sample.job.inputs.len()), (10, 2));
    assert!(bench.begun().is_empty(), "one job a lane");
}

#[test]
fn samples_that_fail_come_ever_more_slowly() {
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 1000);
    let mut waits = Vec::new();
    for _ in 0..8 {
        bench.wait(bench.next_sample_in());
        let sample = bench.begin();
        bench.wait(5 * MINUTE);
        bench.run(&sample, 10, outcome(0, 10));
        waits.push(bench.next_sample_in());
    }
    assert_eq!(
        waits,
        [1800, 3600, 7200, 14_400, 28_800, 43_200, 43_200, 43_200]
    );
    assert_eq!(
        bench
            .events()
            .iter()
            .filter(|name| **name == "replication-failing")
            .count(),
        1,
        "one page for one cause"
    );
    assert_eq!(
        bench
            .events()
            .iter()
            .filter(|name| **name == "sample-failed")
            .count(),
        8
    );
}

#[test]
fn what_a_sample_means() {
    let part = |arrived, already, finals, failed, pending| {
        Fate::Ends(Outcome {
            arrived,
            already,
            finals,
            failed,
            pending,
            ..Outcome::default()
        })
    };
    #[rustfmt::skip]
    let table = [
        // arrived, already there, final, failed, pending -> state, seconds to the next sample
        (part(10, 0, 0, 0, 0), "released", None),
        (part(6, 0, 0, 4, 0), "released", None),
        (part(5, 0, 0, 5, 0), "held", Some(1800)),
        (part(0, 10, 0, 0, 0), "released", None),
        (part(1, 0, 9, 0, 0), "released", None),
        (part(0, 0, 10, 0, 0), "held", Some(0)),
        (part(0, 0, 9, 1, 0), "held", Some(1800)),
        // The Region is down: S3 does the rest by itself, and nothing says that the cause is gone.
        (part(0, 0, 0, 0, 10), "held", Some(1800)),
        (Fate::Fails, "held", Some(1800)),
        (Fate::Refused, "held", Some(1800)),
        (Fate::Cancelled, "held", Some(1800)),
        (Fate::Empty, "held", Some(900)),
    ];
    for (fate, state, next) in table {
        let mut bench = Bench::new(&[]);
        bench.fail(&unversioned(), 1000);
        bench.wait(15 * MINUTE);
        let sample = bench.begin();
        bench.run(&sample, 10, fate);
        let phase = bench.phase(&unversioned()).clone();
        assert_eq!(phase.as_str(), state, "{fate:?}");
        assert_eq!(
            next,
            matches!(phase, GroupPhase::Held { .. }).then(|| bench.next_sample_in()),
            "{fate:?}"
        );
        let cost = if matches!(fate, Fate::Refused | Fate::Empty) {
            0
        } else {
            250_010
        };
        assert_eq!(bench.state.spent_today(bench.now), Micros(cost), "{fate:?}");
    }
}

#[test]
fn regression_samples_of_gone_rows_grow_tenfold_up_to_a_bound() {
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 5_000_000);
    bench.wait(15 * MINUTE);
    let gone = |rows| {
        Fate::Ends(Outcome {
            finals: rows,
            ..Outcome::default()
        })
    };
    let mut limits = Vec::new();
    for _ in 0..7 {
        let sample = bench.begin();
        limits.push(sample.job.limit);
        bench.run(&sample, sample.job.limit.min(4_000_000), gone(1));
        bench.inventory.open.insert(
            unversioned().id(),
            vec![file(unversioned().id(), 5_000_000, bench.now, bench.now)],
        );
    }
    assert_eq!(
        limits,
        [10, 100, 1000, 10_000, 10_000, 10_000, 10_000],
        "what a sample takes is held in memory"
    );
    // Nobody has to do anything about it.
    assert_eq!(bench.events(), ["replication-failing"]);
}

#[test]
fn a_release_waits_for_many_or_for_long() {
    for (rows, waits) in [(99_000, 900), (100_000, 0)] {
        let mut bench = Bench::new(&[]);
        bench.released(rows);
        let fresh = file(unversioned().id(), rows, bench.now, bench.now);
        bench.inventory.open.insert(unversioned().id(), vec![fresh]);
        if waits > 0 {
            assert!(bench.begun().is_empty(), "{rows} wait");
            bench.wait(waits - 1);
            assert!(bench.begun().is_empty(), "{rows} wait");
            bench.wait(1);
        }
        let release = bench.begin();
        assert_eq!(release.job.kind, JobKind::Release, "{rows}");
        assert_eq!(release.job.limit, 10_000_000);
    }
}

/// Events that were hours late had waited long enough when they came: each was a job of its own.
#[test]
fn regression_a_trickle_of_late_failures_is_not_a_job_a_minute() {
    let mut bench = Bench::new(&[]);
    bench.released(1000);
    let failed_at = bench.now;
    bench.wait(900);
    let release = bench.begin();
    let mut planned = vec![bench.now];
    bench.run(&release, 1000, outcome(1000, 0));
    for minute in 0..180 {
        let late = file(unversioned().id(), 1 + minute % 3, failed_at, bench.now);
        let files = bench.inventory.open.entry(unversioned().id()).or_default();
        files.push(late);
        bench.look();
        if !matches!(bench.phase(&unversioned()), GroupPhase::Released { .. }) {
            bench.reopens(&unversioned());
        }
        for job in bench.begun() {
            assert_eq!(job.job.kind, JobKind::Release);
            let job = bench.begin();
            planned.push(bench.now);
            let rows = job.job.inputs.len() as u64;
            bench.run(&job, rows, outcome(rows, 0));
        }
        bench.wait(MINUTE);
    }
    assert!(planned.len() > 10, "{}", planned.len());
    for pair in planned.windows(2) {
        let between = pair[1].duration_since(pair[0]).as_secs();
        assert!(between >= 900, "{between} s");
    }
}

#[test]
fn one_release_takes_all_released_groups_of_its_lane() {
    let mut bench = Bench::new(&[]);
    let other = group("app-use1", "app-euw1", "DstBucketNotFound");
    let back = group("app-euw1", "app-use1", "DstBucketNotFound");
    for one in [&unversioned(), &other, &back] {
        bench.fail(one, 200_000);
        let record = bench.state.groups.get_mut(&one.id()).unwrap();
        record.phase = GroupPhase::Released { since: bench.now };
    }
    let begun = bench.begun();
    let mut of: Vec<(String, usize)> = begun
        .iter()
        .map(|open| (open.job.source.to_string(), open.job.groups.len()))
        .collect();
    of.sort();
    assert_eq!(of, [("app-euw1".to_owned(), 1), ("app-use1".to_owned(), 2)]);
    assert_ne!(begun[0].job.name, begun[1].job.name);
}

#[test]
fn what_a_release_means() {
    let pending = Fate::Ends(Outcome {
        arrived: 90,
        pending: 10,
        ..Outcome::default()
    });
    #[rustfmt::skip]
    let table = [
        (outcome(100, 0), "closed", 0, "redriven"),
        (outcome(99, 1), "held", 1, "replication-failing"),
        (outcome(0, 100), "held", 1, "replication-failing"),
        (pending, "held", 1, "replication-failing"),
        (Fate::Fails, "held", 1, "replication-failing"),
        (Fate::Cancelled, "held", 1, "replication-failing"),
    ];
    for (fate, state, again, event) in table {
        let mut bench = Bench::new(&[]);
        bench.released(100);
        bench.wait(20 * MINUTE);
        let release = bench.begin();
        bench.state.outbox.clear();
        bench.run(&release, 100, fate);
        assert_eq!(bench.phase(&unversioned()).as_str(), state, "{fate:?}");
        assert_eq!(bench.record(&unversioned()).episode, 1 + again, "{fate:?}");
        assert!(
            bench.events().contains(&event),
            "{fate:?}: {:?}",
            bench.events()
        );
        if again > 0 {
            assert_eq!(bench.next_sample_in(), 1800, "slower, {fate:?}");
        }
    }
}

#[test]
fn failures_within_the_life_of_a_job_belong_to_it() {
    for (after_the_end, state) in [(-1, "released"), (1, "held")] {
        let mut bench = Bench::new(&[]);
        bench.released(100);
        bench.wait(20 * MINUTE);
        let release = bench.begin();
        bench.wait(10 * MINUTE);
        let end = bench.now;
        bench.run(&release, 100, outcome(100, 0));
        assert_eq!(bench.phase(&unversioned()).as_str(), "closed");
        let pages = bench.record(&unversioned()).episode;
        bench.wait(MINUTE);
        let failed_at = end + SignedDuration::from_secs(after_the_end);
        let late = file(unversioned().id(), 5, failed_at, bench.now);
        bench.inventory.open.insert(unversioned().id(), vec![late]);
        bench.look();
        if after_the_end < 0 {
            bench.reopens(&unversioned());
        }
        assert_eq!(
            bench.phase(&unversioned()).as_str(),
            state,
            "{after_the_end}"
        );
        let again = u32::from(after_the_end > 0);
        assert_eq!(bench.record(&unversioned()).episode, pages + again);
    }
}

#[test]
fn the_interval_outlives_closing() {
    let mut bench = Bench::new(&[]);
    let mut waits = Vec::new();
    // A cause that comes and goes every half an hour.
    for _ in 0..6 {
        bench.fail(&unversioned(), 50);
        waits.push(bench.next_sample_in());
        bench.wait(bench.next_sample_in());
        let sample = bench.begin();
        bench.wait(MINUTE);
        bench.run(&sample, 10, outcome(10, 0));
        bench.wait(20 * MINUTE);
        let begun = bench.begun();
        if !begun.is_empty() {
            let release = bench.begin();
            bench.run(&release, 40, outcome(40, 0));
        }
        assert_eq!(bench.phase(&unversioned()).as_str(), "closed");
        bench.wait(10 * MINUTE);
    }
    assert_eq!(waits, [900, 1800, 3600, 7200, 14_400, 28_800]);
    // Long after, it is not doubled; and after 15 days it is forgotten.
    bench.wait(DAY);
    bench.fail(&unversioned(), 50);
    assert_eq!(bench.next_sample_in(), 28_800);
    bench.inventory.open.clear();
    bench.look();
    bench.wait(16 * DAY);
    bench.state.forget_old(bench.now);
    assert!(bench.state.groups.is_empty());
}

#[test]
fn final_reasons_are_settled_and_told_once() {
    for (reason, how, told) in [
        ("SrcVersionNotFound", How::Gone, 1),
        ("DstObjectHardDeleted", How::HardDeleted, 1),
        ("SrcObjectNotEligible", How::Ineligible, 1),
        ("SrcReplicationNotPending", How::Already, 0),
    ] {
        let mut bench = Bench::new(&[("REDRIVE", "observe")]);
        let group = group("app-use1", "app-euw1", reason);
        for _ in 0..3 {
            bench.fail(&group, 7);
            assert_eq!(bench.phase(&group).as_str(), "final", "{reason}");
            bench.wait(15 * MINUTE);
            let settle = bench.begin();
            assert_eq!(settle.job.kind, JobKind::Settle { how });
            bench.run(&settle, 7, outcome(0, 0));
            assert_eq!(bench.phase(&group).as_str(), "closed", "{reason}");
            bench.wait(MINUTE);
        }
        assert_eq!(bench.events().len(), told, "{reason}: {:?}", bench.events());
        assert_eq!(bench.state.spends, [], "settling is no job of S3");
        let totals = bench.state.totals;
        let counted = if how == How::Already {
            totals.replicated
        } else {
            totals.finals
        };
        assert_eq!(counted, 21, "{reason}");
    }
}

#[test]
fn nothing_begins_on_hold_and_what_was_not_tried_is_given_up() {
    for of_group in [false, true] {
        let mut bench = Bench::new(&[]);
        bench.fail(&unversioned(), 1000);
        bench.wait(15 * MINUTE);
        let sample = bench.begin();
        let group = of_group.then(|| unversioned().id());
        let mut state = bench.state.clone();
        bench
            .desk()
            .set_hold(&mut state, group, "night work", None)
            .unwrap();
        bench.state = state;
        // Gathering costs nothing and goes on; creating does not.
        assert!(matches!(bench.plan().steps[..], [Step::Work { .. }]));
        let gathered = Gathered {
            manifest: Some(Manifest {
                bucket: "work-use1".parse().unwrap(),
                key: "manifest.csv".to_owned(),
                etag: "0".to_owned(),
                objects: 10,
            }),
            rows: vec![10],
            handed_over: vec![0],
            complete: true,
            ..Gathered::default()
        };
        bench.worked(&sample, Worked::Gather(Slice::Done(gathered)));
        assert!(matches!(bench.plan().steps[..], [Step::Discard { .. }]));
        bench.apply(&Happening::Discarded {
            job: sample.job.name.clone(),
        });
        let Phase::Close {
            gathered, ended, ..
        } = &bench.state.jobs[&sample.job.name].job.phase
        else {
            panic!("not closing");
        };
        assert!(!gathered.complete && ended.is_none(), "its inputs stay");
        bench.worked(&sample, Worked::Close(Slice::Done(())));
        assert_eq!(bench.state.spends, []);
        bench.look();
        bench.wait(DAY);
        assert!(bench.begun().is_empty(), "still on hold");
        let mut state = bench.state.clone();
        bench.desk().lift_hold(&mut state, group, "over").unwrap();
        bench.state = state;
        assert_eq!(bench.begun().len(), 1, "at once");
    }
}

#[test]
fn no_more_jobs_than_allowed() {
    let members = "a-use1@us-east-1,a-euw1@eu-west-1,a-usw2@us-west-2,a-aps1@ap-south-1";
    let buckets = "w-use1@us-east-1,w-euw1@eu-west-1,w-usw2@us-west-2,w-aps1@ap-south-1";
    let mut bench = Bench::new(&[
        ("MEMBERS", members),
        ("WORK_BUCKETS", buckets),
        ("REDRIVE_JOBS", "2"),
    ]);
    for source in ["a-use1", "a-euw1", "a-usw2"] {
        bench.fail(&group(source, "other", "DstBucketNotFound"), 5);
    }
    bench.fail(&group("a-aps1", "other", "SrcVersionNotFound"), 5);
    bench.wait(15 * MINUTE);
    let begun = bench.begun();
    assert_eq!(begun.iter().filter(|open| open.is_of_s3()).count(), 2);
    assert_eq!(begun.len(), 3, "settling is no job of S3");
}

#[test]
fn the_days_money() {
    // Four samples for a dollar, less the objects.
    let mut bench = Bench::new(&[("REDRIVE_DAILY_DOLLARS", "1")]);
    for number in 0..5 {
        bench.fail(
            &group("app-use1", "app-euw1", &format!("Reason{number}")),
            1000,
        );
    }
    bench.wait(15 * MINUTE);
    for _ in 0..3 {
        let sample = bench.begin();
        bench.run(&sample, 10, outcome(0, 10));
    }
    let Some(Step::TellBudget { what, cost }) = bench.plan().steps.pop() else {
        panic!("{:?}", bench.plan().steps);
    };
    bench.apply(&Happening::BudgetUsedUp { what, cost });
    assert_eq!(bench.events().last(), Some(&"redrive-budget-exhausted"));
    assert_eq!(bench.plan().steps, [], "told once");
    // An operator's retry passes.
    let group = *bench
        .state
        .groups
        .iter()
        .find(|(_, record)| record.samples == 0)
        .unwrap()
        .0;
    let mut state = bench.state.clone();
    bench
        .desk()
        .retry(&mut state, &bench.inventory, group, "mended")
        .unwrap();
    bench.state = state;
    let asked = bench.begin();
    assert!(asked.asked);
    bench.run(&asked, 10, outcome(0, 10));
    assert!(bench.begun().is_empty());
    bench.wait(DAY);
    assert_eq!(bench.begun().len(), 1, "the next day");
}

#[test]
fn a_release_is_cut_to_the_days_money() {
    let mut bench = Bench::new(&[("REDRIVE_DAILY_DOLLARS", "5")]);
    bench.released(9_000_000);
    bench.wait(20 * MINUTE);
    let release = bench.begin();
    // Five dollars, less the sample (0.25001) and the job (0.25).
    assert_eq!(release.job.limit, 4_499_990);
    bench.run(&release, release.job.limit, outcome(4_499_990, 0));
    assert_eq!(bench.state.spent_today(bench.now), Micros::dollars(5));
    assert_eq!(
        bench.phase(&unversioned()).as_str(),
        "released",
        "the rest waits"
    );
    assert!(bench.begun().is_empty());
    bench.wait(DAY);
    assert_eq!(bench.begin().job.limit, 4_750_000);
}

#[test]
fn observing_says_what_it_would_do() {
    let mut bench = Bench::new(&[("REDRIVE", "observe")]);
    bench.fail(&unversioned(), 1000);
    bench.wait(HOUR);
    let plan = bench.plan();
    assert_eq!(plan.steps, []);
    assert_eq!(
        plan.would,
        [format!(
            "re-drive a sample of up to 10 versions of group {} ($0.26)",
            unversioned().id()
        )]
    );
    // What an operator asks for is done, and so is what follows from it.
    let mut state = bench.state.clone();
    bench
        .desk()
        .retry(&mut state, &bench.inventory, unversioned().id(), "mended")
        .unwrap();
    bench.state = state;
    let sample = bench.begin();
    bench.run(&sample, 10, outcome(10, 0));
    let release = bench.begin();
    assert_eq!(
        (release.job.kind.clone(), release.asked),
        (JobKind::Release, true)
    );
    bench.run(&release, 990, outcome(990, 0));
    assert_eq!(bench.phase(&unversioned()).as_str(), "closed");
}

#[test]
fn the_breaker_opens_doubles_and_closes() {
    let mut bench = Bench::new(&[]);
    for number in 0..9 {
        bench.fail(
            &group("app-use1", "app-euw1", &format!("Reason{number}")),
            1000,
        );
    }
    bench.wait(15 * MINUTE);
    for count in 1..=3 {
        assert!(bench.state.breaker.open.is_none());
        let sample = bench.begin();
        bench.run(&sample, 10, Fate::Refused);
        assert_eq!(bench.state.breaker.failures, count);
    }
    assert_eq!(bench.events().last(), Some(&"breaker-opened"));
    for hours in [1, 2, 4, 8, 16, 24, 24] {
        assert!(bench.begun().is_empty());
        bench.wait(hours * HOUR - 1);
        assert!(bench.begun().is_empty(), "{hours}");
        bench.wait(1);
        let trial = bench.begin();
        assert!(trial.trial);
        assert!(bench.begun().is_empty(), "one trial");
        bench.run(&trial, 10, Fate::Fails);
    }
    bench.wait(DAY);
    let trial = bench.begin();
    bench.run(&trial, 10, outcome(10, 0));
    assert!(bench.state.breaker.open.is_none());
    assert!(bench.events().contains(&"breaker-closed"));
    assert_eq!(bench.begun().len(), 1);
}

#[test]
fn what_the_breaker_counts() {
    #[rustfmt::skip]
    let table = [
        (outcome(51, 49), 0),
        (outcome(50, 50), 1),
        (Fate::Fails, 1),
        (Fate::Refused, 1),
        (Fate::Cancelled, 0),
        (Fate::Empty, 0),
    ];
    for (fate, failures) in table {
        let mut bench = Bench::new(&[]);
        bench.released(100);
        bench.wait(20 * MINUTE);
        let release = bench.begin();
        bench.run(&release, 100, fate);
        assert_eq!(bench.state.breaker.failures, failures, "{fate:?}");
    }
}

#[test]
fn a_trial_of_a_released_group_is_a_sample() {
    let mut bench = Bench::new(&[]);
    bench.released(1000);
    bench.state.breaker.open = Some(sentinel_core::redrive::state::OpenBreaker {
        since: bench.now,
        until: bench.now,
        seconds: 3600,
    });
    bench.wait(20 * MINUTE);
    let trial = bench.begin();
    assert_eq!(
        (trial.job.kind.clone(), trial.trial),
        (JobKind::Sample, true)
    );
    bench.run(&trial, 10, outcome(10, 0));
    assert!(bench.state.breaker.open.is_none());
    assert_eq!(bench.phase(&unversioned()).as_str(), "released");
}

#[test]
fn what_is_too_old_is_handed_over_in_any_mode() {
    let mut bench = Bench::new(&[("REDRIVE", "observe")]);
    bench.fail(&unversioned(), 12);
    bench.wait(30 * DAY);
    assert_eq!(bench.begun().len(), 0);
    bench.wait(1);
    let settle = bench.begin();
    let how = How::HandedOver;
    assert_eq!(settle.job.kind, JobKind::Settle { how });
    let gathered = Gathered {
        rows: vec![0],
        handed_over: vec![12],
        complete: true,
        ..Gathered::default()
    };
    bench.worked(&settle, Worked::Gather(Slice::Done(gathered)));
    assert_eq!(bench.record(&unversioned()).handed_over, 12);
    assert_eq!(bench.events(), ["replication-failing", "handed-over"]);
    bench.inventory.open.clear();
    bench.worked(&settle, Worked::Close(Slice::Done(())));
    bench.look();
    // They come back by retry, and the group is sampled although nothing was listed of it.
    let mut state = bench.state.clone();
    bench
        .desk()
        .retry(&mut state, &bench.inventory, unversioned().id(), "mended")
        .unwrap();
    bench.state = state;
    bench.look();
    let [Step::Restore { group }] = bench.plan().steps[..] else {
        panic!("{:?}", bench.plan().steps);
    };
    bench
        .inventory
        .open
        .insert(group, vec![file(group, 12, bench.now, bench.now)]);
    bench.apply(&Happening::Restored {
        group,
        rows: 12,
        done: true,
    });
    bench.look();
    assert_eq!(bench.record(&unversioned()).handed_over, 0);
    assert!(bench.begin().asked);
}

#[test]
fn many_files_are_compacted_first_and_frozen_ones_are_left_alone() {
    let mut bench = Bench::new(&[]);
    let id = unversioned().id();
    bench.fail(&unversioned(), 5);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    for number in 0..25 {
        let at = bench.now + SignedDuration::from_secs(number);
        bench
            .inventory
            .open
            .get_mut(&id)
            .unwrap()
            .push(file(id, 100, at, at));
    }
    let steps = bench.plan().steps;
    let Some(Step::Compact { group, files }) = steps.first() else {
        panic!("{steps:?}");
    };
    assert_eq!((*group, files.len()), (id, 25));
    assert!(
        files
            .iter()
            .all(|name| !sample.job.inputs.contains(&name.key()))
    );
    // Large ones stay as they are, however many: then a job takes as many as it can.
    let mut bench = Bench::new(&[]);
    let large: Vec<_> = (0..100)
        .map(|number| {
            let at = bench.now + SignedDuration::from_secs(number);
            let mut file = file(id, 100_000, at, at);
            file.bytes = 60 << 20;
            file
        })
        .collect();
    bench.fail(&unversioned(), 1);
    bench.inventory.open.insert(id, large);
    bench.wait(15 * MINUTE);
    assert_eq!(bench.begin().job.inputs.len(), 64);
}

#[test]
fn beyond_the_threshold_rows_are_counted_and_swept() {
    let mut bench = Bench::new(&[("GROUP_SWEEP_THRESHOLD", "100000")]);
    let id = unversioned().id();
    bench.fail(&unversioned(), 60_000);
    let first = bench.now;
    for _ in 0..3 {
        bench.wait(MINUTE);
        bench.fail(&unversioned(), 40_000);
    }
    assert_eq!(bench.events(), ["replication-failing", "group-overflowed"]);
    while let Some(Step::Drop { group }) = bench.plan().steps.into_iter().next() {
        let overflow = bench.record(&unversioned()).overflow.clone().unwrap();
        let files = bench.inventory.open.get_mut(&id).unwrap();
        files.retain(|file| !overflow.dropping.contains(&file.name));
        bench.apply(&Happening::Dropped { group });
        bench.look();
    }
    let kept = bench.inventory.extent(id).unwrap().rows;
    assert_eq!(
        kept + bench.record(&unversioned()).overflow.as_ref().unwrap().rows,
        180_000
    );
    assert!(kept <= 100_000);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    bench.run(&sample, 10, outcome(10, 0));
    // First what is kept: a sweep would take it, too.
    let release = bench.begin();
    assert_eq!(release.job.kind, JobKind::Release);
    bench.run(&release, kept, outcome(kept, 0));
    // The price of a sweep depends on the bucket.
    assert!(matches!(bench.plan().steps[..], [Step::Size { .. }]));
    bench.apply(&Happening::Sized {
        source: "app-use1".parse().unwrap(),
        objects: Some(1_000_000_000),
    });
    let sweep = bench.begin();
    let JobKind::Sweep(selects) = &sweep.job.kind else {
        panic!("{:?}", sweep.job.kind);
    };
    assert_eq!(
        selects.created_after,
        Some(first - SignedDuration::from_hours(1))
    );
    assert!(matches!(
        sweep.job.phase,
        Phase::Create { tried: false, .. }
    ));
    let spent = bench.state.spent_today(bench.now);
    assert!(spent > Micros(15_000_000), "{spent}");
}

#[test]
fn what_is_abandoned_is_settled_on_hold_too() {
    let mut bench = Bench::new(&[("REDRIVE", "observe")]);
    bench.fail(&unversioned(), 50);
    let mut state = bench.state.clone();
    let desk = bench.desk();
    desk.set_hold(&mut state, None, "night work", None).unwrap();
    desk.abandon(
        &mut state,
        &bench.inventory,
        unversioned().id(),
        "old test data",
    )
    .unwrap();
    bench.state = state;
    bench.wait(MINUTE);
    // What fails later is another matter.
    bench.fail(&unversioned(), 3);
    let settle = bench.begin();
    let how = How::Abandoned;
    assert_eq!(settle.job.kind, JobKind::Settle { how });
    assert_eq!(settle.job.inputs.len(), 1);
    assert_eq!(
        (settle.job.attempts, settle.job.not_before),
        (u32::MAX, jiff::Timestamp::MIN)
    );
    bench.run(&settle, 50, outcome(0, 0));
    assert!(bench.events().contains(&"group-abandoned"));
    assert_eq!(bench.state.totals.abandoned, 50);
    bench.reopens(&unversioned());
    assert_eq!(
        bench.phase(&unversioned()).as_str(),
        "held",
        "the three others"
    );
    assert_eq!(bench.record(&unversioned()).episode, 2);
}

#[test]
fn a_job_that_makes_no_progress_is_tried_ever_more_slowly_and_told() {
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 50);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    let mut pauses = Vec::new();
    for _ in 0..7 {
        bench.apply(&Happening::Stumbled {
            job: sample.job.name.clone(),
            error: "S3 cannot be reached".to_owned(),
        });
        assert_eq!(bench.plan().steps, []);
        let until = bench.state.jobs[&sample.job.name].wait_until.unwrap();
        pauses.push(until.duration_since(bench.now).as_secs());
        bench.now = until;
        assert_eq!(bench.plan().steps.len(), 1);
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480, 900, 900]);
    let stuck = bench
        .events()
        .iter()
        .filter(|name| **name == "redrive-stuck")
        .count();
    assert_eq!(stuck, 1);
}

#[test]
fn a_slice_that_waits_is_left_alone() {
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 50);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    let later = bench.now + SignedDuration::from_secs(90);
    bench.worked(
        &sample,
        Worked::Gather(Slice::Wait(GatherCursor::default(), later)),
    );
    assert_eq!(bench.plan().steps, []);
    bench.now = later;
    assert_eq!(bench.plan().steps.len(), 1);
}

#[test]
fn what_arrives_after_the_phase_is_over_changes_nothing() {
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 50);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    let before = bench.state.clone();
    bench.worked(&sample, Worked::Create(Creation::Refused("no".to_owned())));
    bench.worked(&sample, Worked::Close(Slice::Done(())));
    assert_eq!(bench.state, before);
}

#[test]
fn a_source_that_is_no_member_is_told_once() {
    let mut bench = Bench::new(&[]);
    let foreign = group("old-bucket", "app-euw1", "DstBucketNotFound");
    bench.fail(&foreign, 5);
    bench.wait(HOUR);
    bench.look();
    assert_eq!(bench.plan().steps, []);
    assert_eq!(bench.events(), ["source-unknown", "replication-failing"]);
    // It can be given up.
    let mut state = bench.state.clone();
    bench
        .desk()
        .abandon(
            &mut state,
            &bench.inventory,
            foreign.id(),
            "no member any more",
        )
        .unwrap();
    bench.state = state;
    let how = How::Abandoned;
    assert_eq!(bench.begin().job.kind, JobKind::Settle { how });
}

#[test]
fn regression_what_is_settled_is_remembered_as_long_as_an_older_file_is_open() {
    let source: BucketName = "app-use1".parse().unwrap();
    let mut bench = Bench::new(&[("REDRIVE", "observe")]);
    bench.inventory.settled.insert(source.clone(), vec![80; 30]);
    let failed_at = bench.now;
    let before = |bench: &Bench| {
        let steps = bench.plan().steps;
        let moments: Vec<Timestamp> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Trim { before } => before.get(&source).copied(),
                Step::CompactSettled { before, .. } => Some(*before),
                _ => None,
            })
            .collect();
        assert_eq!(moments.len(), 2, "{steps:?}");
        assert_eq!(moments[0], moments[1]);
        moments[0]
    };
    let ago = |bench: &Bench| bench.now.duration_since(before(bench)).as_secs() / DAY;
    assert_eq!(ago(&bench), 15, "late duplicates");
    // Another bucket's files do not matter, those of an unknown group may.
    let other = group("app-euw1", "app-use1", "DstBucketUnversioned");
    bench.fail(&other, 1);
    bench.wait(20 * DAY);
    assert_eq!(ago(&bench), 15);
    let unknown = group("app-use1", "app-euw1", "DstKmsKeyNotFound");
    let listed = file(unknown.id(), 1, failed_at, failed_at);
    bench.inventory.open.insert(unknown.id(), vec![listed]);
    assert_eq!(before(&bench), failed_at);
    bench.inventory.open.remove(&unknown.id());
    let old = file(unversioned().id(), 1, failed_at, failed_at);
    bench.fail(&unversioned(), 1);
    assert_eq!(ago(&bench), 15);
    bench.inventory.open.insert(unversioned().id(), vec![old]);
    assert_eq!(before(&bench), failed_at);
}

#[test]
fn files_of_which_some_rows_are_too_old_are_split() {
    for (days, settles) in [(30, false), (34, false), (36, true)] {
        let mut bench = Bench::new(&[("REDRIVE", "observe")]);
        bench.fail(&unversioned(), 2);
        let mut listed = bench.inventory.open[&unversioned().id()][0];
        bench.wait(days * DAY);
        listed.name.newest = Millis::from(bench.now);
        bench
            .inventory
            .open
            .insert(unversioned().id(), vec![listed]);
        let begun = bench.begun();
        assert_eq!(begun.len(), usize::from(settles), "after {days} days");
        if let Some(open) = begun.first() {
            let how = How::HandedOver;
            assert_eq!(open.job.kind, JobKind::Settle { how });
            assert!(open.job.not_before > listed.name.oldest.timestamp());
        }
    }
}

#[test]
fn regression_a_version_that_stays_pending_keeps_no_lane() {
    let mut bench = Bench::new(&[("REDRIVE_JOBS", "1")]);
    bench.fail(&unversioned(), 1000);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    let gathered = Gathered {
        manifest: Some(Manifest {
            bucket: "work-use1".parse().unwrap(),
            key: "manifest.csv".to_owned(),
            etag: "0".to_owned(),
            objects: 10,
        }),
        rows: vec![10],
        handed_over: vec![0],
        ..Gathered::default()
    };
    bench.worked(&sample, Worked::Gather(Slice::Done(gathered)));
    bench.worked(&sample, Worked::Trying);
    let id = JobId("s3-job".to_owned());
    let created = Creation::Created(id.clone());
    bench.worked(&sample, Worked::Create(created));
    let ended = Ended {
        id,
        status: EndStatus::Complete,
        at: bench.now,
        progress: Progress::default(),
        reasons: Vec::new(),
    };
    bench.worked(&sample, Worked::Poll(Polled::Ended(ended)));
    let tally = Tally {
        found: true,
        ..Tally::default()
    };
    bench.worked(&sample, Worked::Report(Slice::Done(tally)));
    let settled = |moving, outcome| Settled {
        groups: vec![outcome],
        proof: ProofFiles {
            all: 1,
            moving,
            ..ProofFiles::default()
        },
        ..Settled::default()
    };
    let initiated = Outcome {
        initiated: 10,
        ..Outcome::default()
    };
    bench.worked(&sample, Worked::Settle(Slice::Done(settled(0, initiated))));
    let nine = Outcome {
        arrived: 9,
        moving: 1,
        ..initiated
    };
    bench.worked(&sample, Worked::Prove(Slice::Done(settled(1, nine))));
    bench.worked(&sample, Worked::Close(Slice::Done(())));
    bench.look();
    assert_eq!(bench.phase(&unversioned()).as_str(), "released");
    let look = bench.state.jobs.values().next().unwrap().clone();
    assert_eq!(look.job.kind, JobKind::Look);
    assert_eq!(bench.state.jobs.len(), 1);
    assert_eq!(bench.state.spends.len(), 1, "looking is no job of S3");
    // Both the rest of the group and another group of the source go on.
    let release = bench.begin();
    assert_eq!(release.job.kind, JobKind::Release);
    bench.run(&release, 990, outcome(990, 0));
    assert_eq!(
        bench.phase(&unversioned()).as_str(),
        "released",
        "one has not arrived yet"
    );
    let other = group("app-use1", "app-euw1", "DstKmsKeyNotFound");
    bench.fail(&other, 5);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    bench.run(&sample, 5, outcome(0, 5));
    // It is looked for, and arrives.
    let steps = bench.plan().steps;
    let works = |step: &Step| matches!(step, Step::Work { job } if *job == look.job.name);
    assert!(steps.iter().any(works), "{steps:?}");
    let one = Outcome {
        arrived: 1,
        ..Outcome::default()
    };
    bench.worked(&look, Worked::Prove(Slice::Done(settled(0, one))));
    bench.worked(&look, Worked::Close(Slice::Done(())));
    bench.look();
    assert!(bench.state.jobs.is_empty());
    assert_eq!(bench.record(&unversioned()).replicated, 1000);
    assert_eq!(bench.phase(&unversioned()).as_str(), "closed");
}
