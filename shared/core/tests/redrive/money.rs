//! What sweeps may cost, and what is paid for once.

use sentinel_core::redrive::apply::{Desk, Happening, Worked};
use sentinel_core::redrive::command::SweepCommand;
use sentinel_core::redrive::job::{
    Creation, EndStatus, Ended, JobId, JobKind, Outcome, Polled, Progress, Slice,
};
use sentinel_core::redrive::operator::{Measured, OperatorError};
use sentinel_core::redrive::plan::Step;
use sentinel_core::redrive::price::Micros;
use sentinel_core::redrive::state::{GroupPhase, OpenJob, RedriveState};
use sentinel_core::redrive::status::RedriveAnswer;

use super::common::{Bench, unversioned};

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

impl Bench {
    /// A released group of which everything was counted and nothing is kept.
    fn overflowed() -> Self {
        let mut bench = Self::new(&[("GROUP_SWEEP_THRESHOLD", "100000")]);
        bench.fail(&unversioned(), 60_000);
        bench.wait(MINUTE);
        bench.fail(&unversioned(), 80_000);
        let id = unversioned().id();
        bench.apply(&Happening::Dropped { group: id });
        bench.inventory.open.clear();
        let record = bench.state.groups.get_mut(&id).unwrap();
        assert!(record.overflow.is_some());
        record.phase = GroupPhase::Released { since: bench.now };
        bench
    }

    fn sized(&mut self, objects: Option<u64>) {
        self.apply(&Happening::Sized {
            source: "app-use1".parse().unwrap(),
            objects,
        });
    }

    fn says(
        &mut self,
        word: impl FnOnce(&Desk<'_>, &mut RedriveState) -> Result<RedriveAnswer, OperatorError>,
    ) -> String {
        let mut state = self.state.clone();
        let answer = word(&self.desk(), &mut state).unwrap();
        self.state = state;
        answer.explanation
    }

    fn swept_by_wish(&mut self, created_after: Option<jiff::Timestamp>) -> OpenJob {
        let command = SweepCommand {
            source: None,
            group: Some(unversioned().id()),
            statuses: None,
            created_after,
            confirm: None,
            reason: "all at once".to_owned(),
        };
        let inventory = self.inventory.clone();
        let wish = self.desk().wish(&self.state, &inventory, &command).unwrap();
        let measured = Measured {
            objects: Some(1_000_000),
            bytes: None,
        };
        self.says(|desk, state| Ok(desk.offer(state, &wish, measured)));
        let confirm = self.state.offers[0].id.clone();
        self.says(|desk, state| desk.confirm(state, &confirm, &command));
        self.begin()
    }
}

#[test]
fn regression_a_bucket_of_unknown_size_is_not_swept_for_nothing() {
    let mut bench = Bench::overflowed();
    assert!(matches!(bench.plan().steps[..], [Step::Size { .. }]));
    bench.sized(None);
    // Something was spent today.
    bench
        .state
        .spends
        .push(sentinel_core::redrive::price::Spend {
            at: bench.now,
            job: "20261120T170000Z-00000000".parse().unwrap(),
            micros: Micros(1),
        });
    let Some(Step::TellBudget { what, cost }) = bench.plan().steps.pop() else {
        panic!("{:?}", bench.plan().steps);
    };
    assert!(what.contains("is not known"), "{what}");
    assert_eq!(cost, Micros::dollars(50));
    // Nothing was spent for a day.
    bench.wait(DAY);
    bench.sized(None);
    let sweep = bench.begin();
    assert!(matches!(sweep.job.kind, JobKind::Sweep(_)));
    assert_eq!(bench.state.spent_today(bench.now), Micros::dollars(50));
    bench.worked(
        &sweep,
        Worked::Create(Creation::Created(JobId("4f1c".to_owned()))),
    );
    let ended = Ended {
        id: JobId("4f1c".to_owned()),
        status: EndStatus::Complete,
        at: bench.now,
        progress: Progress {
            total: 5,
            ..Progress::default()
        },
        reasons: Vec::new(),
    };
    bench.worked(&sweep, Worked::Poll(Polled::Ended(ended)));
    assert_eq!(
        bench.state.spent_today(bench.now),
        Micros::dollars(50),
        "it stays so"
    );
}

#[test]
fn regression_a_size_that_was_not_known_is_asked_for_again_after_an_hour() {
    for (objects, hours) in [(None, 1), (Some(1_000_000_000_000), 24)] {
        let mut bench = Bench::overflowed();
        bench.sized(objects);
        bench.state.budget_told = Some(bench.now);
        // Too dear for any day, the one as the other.
        bench.settings.thresholds.daily_dollars = 0;
        bench.wait(hours * HOUR);
        assert_eq!(bench.plan().steps, [], "{objects:?}");
        bench.wait(1);
        assert!(
            matches!(bench.plan().steps[..], [Step::Size { .. }]),
            "{objects:?}"
        );
    }
}

#[test]
fn an_operator_sweeps_a_bucket_of_unknown_size_on_any_day() {
    let mut bench = Bench::overflowed();
    bench.sized(None);
    bench
        .state
        .spends
        .push(sentinel_core::redrive::price::Spend {
            at: bench.now,
            job: "20261120T170000Z-00000000".parse().unwrap(),
            micros: Micros::dollars(50),
        });
    let inventory = bench.inventory.clone();
    bench.says(|desk, state| desk.retry(state, &inventory, unversioned().id(), "mended"));
    let id = unversioned().id();
    bench.state.groups.get_mut(&id).unwrap().phase = GroupPhase::Released { since: bench.now };
    assert!(bench.begin().asked);
}

#[test]
fn regression_what_an_operator_swept_is_not_swept_and_paid_for_again() {
    let mut bench = Bench::overflowed();
    let id = unversioned().id();
    let sweep = bench.swept_by_wish(None);
    assert_eq!(sweep.sweeps, Some(id));
    assert!(bench.state.sweeps.is_empty());
    let initiated = Outcome {
        initiated: 80_000,
        ..Outcome::default()
    };
    let proved = Outcome {
        arrived: 1000,
        ..initiated
    };
    bench.end_sweep(&sweep, EndStatus::Complete, initiated, proved);
    assert_eq!(bench.record(&unversioned()).overflow, None);
    bench.look();
    assert!(bench.record(&unversioned()).is_closed());
    assert_eq!(bench.plan().steps, []);
}

#[test]
fn a_sweep_of_a_part_leaves_what_was_counted() {
    let mut bench = Bench::overflowed();
    let part = bench.now - jiff::SignedDuration::from_mins(30);
    let sweep = bench.swept_by_wish(Some(part));
    assert_eq!(sweep.sweeps, None);
}

#[test]
fn a_wish_that_an_automatic_sweep_fulfils_is_not_paid_for_again() {
    let mut bench = Bench::overflowed();
    bench.sized(Some(1_000_000));
    let automatic = bench.begun();
    let sweep = bench.swept_by_wish(None);
    assert_eq!(automatic[0].job.kind, sweep.job.kind);
    // The other way round: the plan of the automatic one came first.
    let mut bench = Bench::overflowed();
    bench.sized(Some(1_000_000));
    let wished = bench.clone().swept_by_wish(None);
    let JobKind::Sweep(wish) = &wished.job.kind else {
        panic!()
    };
    bench
        .state
        .sweeps
        .push(sentinel_core::redrive::state::SweepWish {
            source: "app-use1".parse().unwrap(),
            group: None,
            statuses: wish.statuses.iter().copied().collect(),
            created_after: wish.created_after,
            in_bucket: None,
            asked: sentinel_core::redrive::state::Asked {
                at: bench.now,
                reason: String::new(),
            },
        });
    bench.apply(&Happening::Planned {
        open: Box::new(automatic[0].clone()),
        cost: Micros(0),
    });
    assert!(bench.state.sweeps.is_empty());
}

#[test]
fn a_sweep_for_a_held_group_waits_for_the_end_of_the_hold() {
    let mut bench = Bench::overflowed();
    let id = unversioned().id();
    bench.says(|desk, state| desk.set_hold(state, Some(id), "night work", None));
    let command = SweepCommand {
        source: None,
        group: Some(id),
        statuses: None,
        created_after: None,
        confirm: None,
        reason: "all at once".to_owned(),
    };
    let inventory = bench.inventory.clone();
    let wish = bench
        .desk()
        .wish(&bench.state, &inventory, &command)
        .unwrap();
    bench.says(|desk, state| Ok(desk.offer(state, &wish, Measured::default())));
    let confirm = bench.state.offers[0].id.clone();
    let text = bench.says(|desk, state| desk.confirm(state, &confirm, &command));
    assert!(
        text.contains("a hold is in the way") && text.contains(&format!("\"group\":\"{id}\"")),
        "{text}"
    );
    assert!(bench.begun().is_empty());
    bench.says(|desk, state| desk.lift_hold(state, Some(id), "over"));
    assert_eq!(bench.begun().len(), 1);
}

#[test]
fn regression_a_confirmed_sweep_that_a_hold_stops_is_not_forgotten() {
    for scope in [None, Some(unversioned().id())] {
        let mut bench = Bench::overflowed();
        let sweep = bench.swept_by_wish(None);
        bench.says(|desk, state| desk.set_hold(state, scope, "night work", None));
        let job = sweep.job.name.clone();
        assert_eq!(bench.plan().steps, [Step::Discard { job: job.clone() }]);
        bench.apply(&Happening::Discarded { job });
        bench.worked(&sweep, Worked::Close(Slice::Done(())));
        assert!(bench.begun().is_empty());
        bench.says(|desk, state| desk.lift_hold(state, scope, "over"));
        let again = bench.begin();
        assert_eq!(again.job.kind, sweep.job.kind);
        assert_eq!((again.asked, again.sweeps), (true, sweep.sweeps));
        assert!(bench.state.sweeps.is_empty());
    }
}
