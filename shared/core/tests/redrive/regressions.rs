//! What went wrong once.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use sentinel_core::announce::OUTBOX_KEPT;
use sentinel_core::ledger::{GroupId, How};
use sentinel_core::redrive::apply::{Happening, Worked};
use sentinel_core::redrive::inventory::Inventory;
use sentinel_core::redrive::job::{
    Creation, EndStatus, Ended, JobId, JobKind, Outcome, Phase, Polled, Progress, ProofFiles,
    Settled, Slice, Tally,
};
use sentinel_core::redrive::operator::OperatorError;
use sentinel_core::redrive::plan::Step;
use sentinel_core::redrive::state::{GroupPhase, OpenJob, RedriveState};
use sentinel_core::redrive::status::{RedriveAnswer, RedriveOutcome};

use super::common::{Bench, file, group, start, unversioned};
use super::notices::manifest;
use super::planning::{Fate, outcome};

const MINUTE: i64 = 60;

impl Bench {
    /// What an operator does.
    fn decree(
        &mut self,
        decree: impl FnOnce(
            &sentinel_core::redrive::apply::Desk<'_>,
            &mut RedriveState,
            &Inventory,
        ) -> Result<RedriveAnswer, OperatorError>,
    ) -> RedriveAnswer {
        let mut state = self.state.clone();
        let answer = decree(&self.desk(), &mut state, &self.inventory).unwrap();
        self.state = state;
        answer
    }

    fn retry(&mut self) -> RedriveAnswer {
        self.decree(|desk, state, inventory| {
            desk.retry(state, inventory, unversioned().id(), "mended")
        })
    }

    fn abandon(&mut self) -> RedriveAnswer {
        self.decree(|desk, state, inventory| {
            desk.abandon(state, inventory, unversioned().id(), "old test data")
        })
    }

    fn files(&mut self) -> &mut Vec<sentinel_core::redrive::inventory::Listed> {
        let id = unversioned().id();
        self.inventory.open.entry(id).or_default()
    }

    /// Deletes the files that are counted, as the function does.
    fn drop_counted(&mut self) {
        while let Some(Step::Drop { group }) = self.plan().steps.into_iter().next() {
            let overflow = self.record(&unversioned()).overflow.clone().unwrap();
            self.files()
                .retain(|file| !overflow.dropping.contains(&file.name));
            self.apply(&Happening::Dropped { group });
            self.look();
        }
    }

    /// A group of which more failed than is kept, at the beginning of its sweep.
    fn sweeping() -> (Self, OpenJob) {
        let mut bench = Self::new(&[("GROUP_SWEEP_THRESHOLD", "100000")]);
        bench.fail(&unversioned(), 60_000);
        for _ in 0..3 {
            bench.wait(MINUTE);
            bench.fail(&unversioned(), 40_000);
        }
        bench.drop_counted();
        bench.wait(15 * MINUTE);
        let sample = bench.begin();
        bench.run(&sample, 10, outcome(10, 0));
        let release = bench.begin();
        assert_eq!(
            release.job.kind,
            JobKind::Release,
            "what is kept comes first"
        );
        bench.run(&release, 100_000, outcome(100_000, 0));
        bench.inventory.open.clear();
        bench.look();
        bench.apply(&Happening::Sized {
            source: "app-use1".parse().unwrap(),
            objects: Some(1_000_000),
        });
        let sweep = bench.begin();
        assert!(matches!(sweep.job.kind, JobKind::Sweep(_)));
        bench.wait(10 * MINUTE);
        (bench, sweep)
    }

    /// A sweep comes to its end: with this by its report, and that after the proof.
    pub(crate) fn end_sweep(
        &mut self,
        sweep: &OpenJob,
        status: EndStatus,
        reported: Outcome,
        proved: Outcome,
    ) {
        let created = Creation::Created(JobId("4f1c".to_owned()));
        self.worked(sweep, Worked::Create(created));
        let ended = Ended {
            id: JobId("4f1c".to_owned()),
            status,
            at: self.now,
            progress: Progress::default(),
            reasons: Vec::new(),
        };
        self.worked(sweep, Worked::Poll(Polled::Ended(ended)));
        let tally = Tally {
            found: true,
            ..Tally::default()
        };
        self.worked(sweep, Worked::Report(Slice::Done(tally)));
        let settled = |outcome| Settled {
            groups: vec![outcome],
            proof: ProofFiles {
                all: 1,
                ..ProofFiles::default()
            },
            ..Settled::default()
        };
        self.worked(sweep, Worked::Settle(Slice::Done(settled(reported))));
        if reported.initiated > 0 {
            self.worked(sweep, Worked::Prove(Slice::Done(settled(proved))));
        }
        self.worked(sweep, Worked::Close(Slice::Done(())));
    }
}

fn initiated(initiated: u64) -> Outcome {
    Outcome {
        initiated,
        ..Outcome::default()
    }
}

#[test]
fn regression_what_fails_while_its_sweep_runs_is_not_dropped() {
    let (mut bench, sweep) = Bench::sweeping();
    let counted = bench.record(&unversioned()).overflow.clone().unwrap().rows;
    for _ in 0..3 {
        bench.wait(MINUTE);
        bench.fail(&unversioned(), 80_000);
        assert_eq!(
            bench.plan().steps,
            [Step::Work {
                job: sweep.job.name.clone()
            }]
        );
    }
    assert_eq!(
        bench.record(&unversioned()).overflow.clone().unwrap().rows,
        counted
    );
    let all = initiated(counted);
    let proved = Outcome {
        arrived: 1000,
        ..all
    };
    bench.end_sweep(&sweep, EndStatus::Complete, all, proved);
    // Only now what is too much is counted, for the next sweep.
    bench.look();
    bench.drop_counted();
    let kept = bench.inventory.extent(unversioned().id()).unwrap().rows;
    let overflow = bench.record(&unversioned()).overflow.clone().unwrap();
    assert_eq!(kept + overflow.rows, 240_000, "nothing is forgotten");
}

#[test]
fn regression_an_overflow_ends_only_with_a_sweep_that_arrived() {
    let all = initiated(80_000);
    let part = |arrived, failed, pending| Outcome {
        arrived,
        failed,
        pending,
        ..all
    };
    let not_run = Outcome { not_run: 7, ..all };
    let refused = Outcome { failed: 5, ..all };
    let refused_and_seen = Outcome {
        arrived: 1000,
        ..refused
    };
    #[rustfmt::skip]
    let table = [
        // by the report, after the proof -> whether it is forgotten
        (EndStatus::Complete, all, part(1000, 0, 0), true),
        // What S3 refused is in the ledger, row by row.
        (EndStatus::Complete, refused, refused_and_seen, true),
        (EndStatus::Complete, Outcome::default(), Outcome::default(), true),
        (EndStatus::Complete, all, part(999, 1, 0), false),
        (EndStatus::Complete, all, part(0, 0, 1000), false),
        // None could be looked for.
        (EndStatus::Complete, all, all, false),
        (EndStatus::Complete, not_run, Outcome { arrived: 1000, ..not_run }, false),
        (EndStatus::Cancelled, all, part(1000, 0, 0), false),
    ];
    for (status, reported, proved, forgotten) in table {
        let (mut bench, sweep) = Bench::sweeping();
        let counted = bench.record(&unversioned()).overflow.clone().unwrap().rows;
        bench.state.outbox.clear();
        bench.end_sweep(&sweep, status, reported, proved);
        let case = format!("{status:?} {reported:?} {proved:?}");
        let record = bench.record(&unversioned()).clone();
        assert_eq!(record.overflow.is_none(), forgotten, "{case}");
        if forgotten {
            bench.look();
            assert!(bench.record(&unversioned()).is_closed(), "{case}");
            continue;
        }
        assert_eq!(record.overflow.unwrap().rows, counted, "{case}");
        assert!(bench.events().contains(&"replication-failing"), "{case}");
        // Nothing of it is kept that could be sampled: after the interval it is swept again.
        let wait = bench.next_sample_in();
        assert_eq!(wait, 1800, "{case}");
        bench.wait(wait - 1);
        bench.look();
        assert!(bench.begun().is_empty(), "{case}");
        bench.wait(1);
        bench.look();
        assert!(
            matches!(bench.begin().job.kind, JobKind::Sweep(_)),
            "{case}"
        );
    }
}

#[test]
fn regression_what_a_large_sweep_says_to_the_breaker() {
    #[rustfmt::skip]
    let table = [
        // refused by S3; of a sample of 1000: arrived, failed, pending -> whether it counts
        (3000, 1000, 0, 0, 0),
        (90_000, 1000, 0, 0, 1),
        (0, 400, 600, 0, 1),
        (0, 600, 400, 0, 0),
        (0, 0, 0, 1000, 0),
    ];
    for (refused, arrived, failed, pending, failures) in table {
        let (mut bench, sweep) = Bench::sweeping();
        let reported = Outcome {
            failed: refused,
            ..initiated(77_000)
        };
        let proved = Outcome {
            arrived,
            failed: refused + failed,
            pending,
            ..reported
        };
        bench.end_sweep(&sweep, EndStatus::Complete, reported, proved);
        assert_eq!(
            bench.state.breaker.failures, failures,
            "{reported:?} {proved:?}"
        );
    }
}

#[test]
fn regression_a_try_that_begins_does_not_end_the_pauses() {
    let mut bench = Bench::new(&[]);
    let sample = tried(&mut bench);
    let job = sample.job.name.clone();
    let mut pauses = Vec::new();
    for _ in 0..5 {
        bench.worked(&sample, Worked::Trying);
        let throttled = Creation::Throttled("slow down".to_owned());
        bench.worked(&sample, Worked::Create(throttled));
        let until = bench.state.jobs[&job].wait_until.unwrap();
        pauses.push(until.duration_since(bench.now).as_secs());
        bench.now = until;
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480]);
    assert_eq!(
        bench.state.jobs[&job].tried_at,
        Some(bench.now - SignedDuration::from_mins(8))
    );
    assert!(bench.events().contains(&"redrive-stuck"));
}

#[test]
fn regression_restored_rows_are_never_dropped() {
    let mut bench = Bench::new(&[("GROUP_SWEEP_THRESHOLD", "100000")]);
    bench.fail(&unversioned(), 90_000);
    let id = unversioned().id();
    bench.state.groups.get_mut(&id).unwrap().handed_over = 70_000;
    bench.wait(MINUTE);
    bench.retry();
    let back = file(id, 70_000, bench.now, bench.now);
    bench.files().push(back);
    bench.apply(&Happening::Restored {
        group: id,
        rows: 70_000,
        done: true,
    });
    bench.wait(MINUTE);
    bench.fail(&unversioned(), 50_000);
    let overflow = bench.record(&unversioned()).overflow.clone().unwrap();
    assert!(
        !overflow.dropping.contains(&back.name),
        "its time is not its failure's"
    );
    assert_eq!(overflow.rows, 50_000, "what failed since can be counted");
}

#[test]
fn regression_a_refused_release_is_not_asked_for_again_at_once() {
    for asks in [false, true] {
        let mut bench = Bench::new(&[]);
        bench.released(1000);
        if asks {
            bench.retry();
        }
        bench.wait(20 * MINUTE);
        let release = bench.begin();
        assert_eq!(release.asked, asks);
        bench.run(&release, 1000, Fate::Refused);
        assert_eq!(bench.phase(&unversioned()).as_str(), "held", "{asks}");
        assert_eq!(bench.next_sample_in(), 1800, "{asks}");
        assert!(bench.begun().is_empty(), "{asks}");
    }
}

#[test]
fn regression_something_is_kept_to_sample() {
    let mut bench = Bench::new(&[("GROUP_SWEEP_THRESHOLD", "100000")]);
    // As large as compaction makes them.
    bench.fail(&unversioned(), 490_000);
    bench.wait(MINUTE);
    bench.fail(&unversioned(), 7);
    bench.drop_counted();
    assert_eq!(
        bench.record(&unversioned()).overflow.clone().unwrap().rows,
        7
    );
    bench.wait(15 * MINUTE);
    assert_eq!(bench.begin().job.kind, JobKind::Sample);
}

#[test]
fn regression_no_page_is_dropped_while_topics_take_them() {
    let mut bench = Bench::new(&[]);
    let ids: BTreeSet<GroupId> = (0..250)
        .map(|number| {
            let one = group("app-use1", "app-euw1", &format!("Reason{number}"));
            bench.apply(&Happening::Learnt(one.clone()));
            let row = file(one.id(), 1, bench.now, bench.now);
            bench.inventory.open.insert(one.id(), vec![row]);
            one.id()
        })
        .collect();
    let mut told = BTreeSet::new();
    for _ in 0..250 {
        bench.look();
        assert!(bench.state.outbox.len() <= OUTBOX_KEPT);
        told.extend(bench.state.outbox.drain(..).map(|one| one.event_id));
    }
    for id in ids {
        assert!(
            told.contains(&format!("{id}/replication-failing/1")),
            "{id}"
        );
    }
}

#[test]
fn regression_what_no_topic_takes_is_counted() {
    let mut bench = Bench::new(&[]);
    for number in 0..250 {
        let one = group("app-use1", "app-euw1", &format!("Reason{number}"));
        bench.apply(&Happening::Learnt(one.clone()));
        let row = file(one.id(), 1, bench.now, bench.now);
        bench.inventory.open.insert(one.id(), vec![row]);
    }
    for _ in 0..60 {
        bench.look();
        bench.wait(MINUTE);
    }
    let held = |record: &sentinel_core::redrive::state::GroupRecord| {
        matches!(record.phase, GroupPhase::Held { .. })
    };
    assert!(
        bench.state.groups.values().all(held),
        "nothing waits for SNS"
    );
    assert!(bench.state.outbox.len() <= OUTBOX_KEPT + 1);
    let unsaid: Vec<u64> = bench
        .state
        .outbox
        .iter()
        .filter_map(|one| one.body["unsaid"].as_u64())
        .collect();
    assert_eq!(unsaid, [251 - bench.state.outbox.len() as u64], "said once");
}

#[test]
fn regression_a_few_verdicts_do_not_settle_a_whole_group() {
    let missing = group("app-use1", "app-euw1", "DstVersionNotFound");
    let finals = Fate::Ends(Outcome {
        finals: 10,
        ..Outcome::default()
    });
    for fate in [outcome(0, 10), finals] {
        let mut bench = Bench::new(&[]);
        bench.fail(&missing, 3000);
        bench.wait(15 * MINUTE);
        let sample = bench.begin();
        bench.run(&sample, 10, fate);
        assert_eq!(bench.phase(&missing).as_str(), "released", "{fate:?}");
        bench.wait(15 * MINUTE);
        let release = bench.begin();
        assert_eq!(release.job.kind, JobKind::Release, "{fate:?}");
        assert_eq!(release.job.limit, 10_000_000, "{fate:?}");
    }
    // A job that failed says nothing.
    for fate in [Fate::Fails, Fate::Cancelled, Fate::Refused] {
        let mut bench = Bench::new(&[]);
        bench.fail(&missing, 3000);
        bench.wait(15 * MINUTE);
        let sample = bench.begin();
        bench.run(&sample, 10, fate);
        assert_eq!(bench.phase(&missing).as_str(), "held", "{fate:?}");
    }
}

#[test]
fn regression_what_is_given_up_is_not_compacted() {
    let mut bench = Bench::new(&[]);
    let id = unversioned().id();
    bench.fail(&unversioned(), 5);
    for number in 0..30 {
        let at = bench.now + SignedDuration::from_secs(number);
        bench.files().push(file(id, 100, at, at));
    }
    bench.wait(MINUTE);
    assert!(matches!(bench.plan().steps[..], [Step::Compact { .. }]));
    bench.abandon();
    assert!(matches!(bench.plan().steps[..], [Step::Plan { .. }]));
    let settle = bench.begin();
    let how = How::Abandoned;
    assert_eq!(settle.job.kind, JobKind::Settle { how });
    assert_eq!(settle.job.inputs.len(), 31);
}

#[test]
fn regression_what_comes_back_from_a_job_is_given_up_too() {
    let mut bench = Bench::new(&[]);
    let id = unversioned().id();
    bench.fail(&unversioned(), 10);
    let failed_at = bench.now;
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    bench.wait(MINUTE);
    bench.abandon();
    bench.wait(MINUTE);
    bench.run(&sample, 10, outcome(0, 10));
    // Rows that a job gives back keep the time of their failure.
    *bench.files() = vec![file(id, 10, failed_at, bench.now)];
    bench.look();
    let settle = bench.begin();
    let how = How::Abandoned;
    assert_eq!(settle.job.kind, JobKind::Settle { how });
    bench.run(&settle, 10, outcome(0, 0));
    assert!(bench.record(&unversioned()).is_closed());
    assert_eq!(bench.state.totals.abandoned, 10);
}

#[test]
fn regression_what_was_handed_over_and_given_up_does_not_come_back() {
    let mut bench = Bench::new(&[]);
    let id = unversioned().id();
    bench.fail(&unversioned(), 5);
    bench.inventory.open.clear();
    bench.look();
    bench.state.groups.get_mut(&id).unwrap().handed_over = 40;
    bench.abandon();
    bench.look();
    assert!(
        bench.record(&unversioned()).abandon.is_some(),
        "not done yet"
    );
    let forget = [Step::Forget { group: id }];
    assert_eq!(bench.plan().steps, forget);
    let more = |done| Happening::Forgotten { group: id, done };
    bench.apply(&more(false));
    bench.look();
    assert_eq!(bench.plan().steps, forget, "page by page");
    bench.apply(&more(true));
    bench.look();
    assert!(bench.plan().steps.is_empty());
    assert_eq!(bench.state.totals.abandoned, 40);
    assert_eq!(bench.retry().outcome, RedriveOutcome::NoChange);
}

#[test]
fn regression_compaction_does_not_begin_the_wait_anew() {
    let mut bench = Bench::new(&[]);
    bench.released(100);
    let id = unversioned().id();
    let failed_at = bench.now;
    bench.wait(14 * MINUTE);
    *bench.files() = vec![file(id, 500, failed_at, bench.now)];
    bench.look();
    assert!(bench.begun().is_empty());
    bench.wait(MINUTE);
    assert_eq!(bench.begin().job.kind, JobKind::Release);
}

#[test]
fn regression_a_failed_sample_vouches_for_nothing() {
    for (fate, state) in [(outcome(0, 10), "held"), (outcome(10, 0), "released")] {
        let mut bench = Bench::new(&[]);
        let id = unversioned().id();
        bench.fail(&unversioned(), 10);
        bench.wait(15 * MINUTE);
        let sample = bench.begin();
        let during = bench.now;
        bench.wait(5 * MINUTE);
        bench.run(&sample, 10, fate);
        bench.inventory.open.clear();
        bench.look();
        assert!(bench.record(&unversioned()).is_closed(), "{fate:?}");
        // Late messages about failures from before the end of that job.
        bench.wait(MINUTE);
        *bench.files() = vec![file(id, 5000, during, bench.now)];
        bench.look();
        bench.reopens(&unversioned());
        assert_eq!(bench.phase(&unversioned()).as_str(), state, "{fate:?}");
    }
}

/// A sample whose creation was tried and not answered.
fn tried(bench: &mut Bench) -> OpenJob {
    bench.fail(&unversioned(), 1000);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    bench.worked(&sample, Worked::Gather(Slice::Done(manifest(10))));
    bench.worked(&sample, Worked::Trying);
    sample
}

fn hold(bench: &mut Bench) {
    bench.decree(|desk, state, _| desk.set_hold(state, None, "night work", None));
}

#[test]
fn regression_a_job_that_may_exist_is_looked_for_under_a_hold() {
    for (finds, minutes, phase) in [
        (true, 0, "poll"),
        (false, 14, "create"),
        (false, 15, "close"),
    ] {
        let mut bench = Bench::new(&[]);
        let sample = tried(&mut bench);
        hold(&mut bench);
        let job = sample.job.name.clone();
        assert_eq!(bench.plan().steps, [Step::Find { job: job.clone() }]);
        bench.wait(minutes * MINUTE);
        bench.apply(&Happening::Looked {
            job: job.clone(),
            found: finds.then(|| JobId("4f1c".to_owned())),
        });
        let open = bench.state.jobs[&job].clone();
        let now = match &open.job.phase {
            Phase::Poll { id, .. } if id.0 == "4f1c" => "poll",
            Phase::Create { .. } => "create",
            Phase::Close { gathered, .. } if !gathered.complete => "close",
            other => panic!("{other:?}"),
        };
        assert_eq!(now, phase, "{finds} after {minutes} minutes");
        if phase == "create" {
            assert!(bench.plan().steps.is_empty(), "not in a hurry");
        }
        assert_eq!(bench.state.spends.is_empty(), phase == "close");
        assert_eq!(bench.state.totals.jobs, u64::from(finds));
    }
}

#[test]
fn regression_a_retry_lets_a_job_that_was_tried_go_on_in_mode_observe() {
    let mut bench = Bench::new(&[]);
    let sample = tried(&mut bench);
    bench.settings = super::common::settings(&[("REDRIVE", "observe")]);
    let job = sample.job.name.clone();
    assert_eq!(bench.plan().steps, [Step::Find { job: job.clone() }]);
    bench.retry();
    assert_eq!(bench.plan().steps, [Step::Work { job }]);
}

#[test]
fn regression_groups_that_somebody_has_to_see_to_are_not_cut() {
    let mut bench = Bench::new(&[]);
    for number in 0..700 {
        let one = group("app-use1", "app-euw1", &format!("Reason{number}"));
        bench.apply(&Happening::Learnt(one.clone()));
        bench.wait(1);
        let record = bench.state.groups.get_mut(&one.id()).unwrap();
        match number {
            0..60 => record.handed_over = 5,
            60..70 => {
                record.hold = Some(sentinel_core::state::Hold {
                    since: bench.now,
                    reason: "a test".to_owned(),
                    until: None,
                });
            }
            _ => {}
        }
    }
    bench.state.forget_old(bench.now);
    assert_eq!(bench.state.groups.len(), 570);
}

#[test]
fn regression_a_closed_job_does_not_keep_where_its_rows_went() {
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 1000);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    bench.run(&sample, 10, outcome(0, 10));
    let closed = bench.state.closed.last().unwrap();
    assert_eq!(closed.settled.groups[0].failed, 10);
    assert_eq!(closed.settled.reopened, []);
}

#[test]
fn a_file_is_from_before_by_its_writing_or_by_its_failures() {
    let at = |minute: i64| -> Timestamp { start() + SignedDuration::from_mins(minute) };
    let id = unversioned().id();
    #[rustfmt::skip]
    let table = [
        // failed, written -> is given up at minute 10
        (1, 2, true), (1, 20, true), (10, 10, true), (11, 20, false),
    ];
    for (failed, written, expected) in table {
        let file = file(id, 1, at(failed), at(written));
        assert_eq!(file.is_from_before(at(10)), expected, "{failed} {written}");
    }
}
