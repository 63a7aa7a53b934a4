//! Random histories: whatever happens, no group is forgotten, and nothing goes on without end.

use jiff::SignedDuration;
use proptest::prelude::*;
use sentinel_core::ledger::Group;
use sentinel_core::redrive::state::GroupPhase;
use sentinel_core::settings::RedriveMode;

use super::common::{group, settings, unversioned};
use super::model::{Luck, Model};

/// Something that happens.
#[derive(Debug, Clone)]
enum Op {
    /// So many versions of a group fail.
    Fail(usize, u32),
    /// A cause comes.
    Break(usize),
    /// A cause goes.
    Mend(usize),
    /// Ticks, one of which dies after a step.
    Ticks(u16, Option<usize>),
    /// The mode is switched.
    Observe(bool),
    /// What becomes of jobs from now on.
    Luck(Luck),
    /// An operator's commands.
    Hold(Option<usize>),
    Release(Option<usize>),
    Retry(usize),
    Abandon(usize),
}

fn groups() -> Vec<Group> {
    vec![
        unversioned(),
        group("app-use1", "app-euw1", "DstKmsKeyInvalidState"),
        group("app-euw1", "app-use1", "AssumeRoleNotPermitted"),
        group("app-use1", "app-euw1", "SrcObjectNotEligible"),
        group("app-use1", "app-euw1", "DstVersionNotFound"),
        group("app-euw1", "app-use1", "SomethingNew"),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let any_group = 0..groups().len();
    prop_oneof![
        4 => (any_group.clone(), 1..40_u32).prop_map(|(at, rows)| Op::Fail(at, rows)),
        1 => any_group.clone().prop_map(Op::Break),
        2 => any_group.clone().prop_map(Op::Mend),
        6 => (1..120_u16, proptest::option::weighted(0.4, 0..12_usize))
            .prop_map(|(ticks, crash)| Op::Ticks(ticks, crash)),
        2 => prop_oneof![
            Just(Luck::Good), Just(Luck::Throttled), Just(Luck::Refused), Just(Luck::Failed),
            Just(Luck::Cancelled), Just(Luck::NoReport), Just(Luck::Pending), Just(Luck::Gone),
        ].prop_map(Op::Luck),
        1 => any::<bool>().prop_map(Op::Observe),
        1 => proptest::option::of(any_group.clone()).prop_map(Op::Hold),
        1 => proptest::option::of(any_group.clone()).prop_map(Op::Release),
        1 => any_group.clone().prop_map(Op::Retry),
        1 => any_group.prop_map(Op::Abandon),
    ]
}

fn carry_out(model: &mut Model, op: &Op) {
    let inventory = model.inventory();
    let id = |at: usize, model: &Model| model.groups[at].id();
    match op {
        Op::Fail(at, rows) => {
            let group = model.groups[*at].clone();
            model.fail(&group, *rows);
        }
        Op::Break(at) => {
            let id = id(*at, model);
            model.broken.insert(id);
        }
        Op::Mend(at) => {
            let id = id(*at, model);
            model.broken.remove(&id);
        }
        Op::Ticks(ticks, crash) => {
            for number in 0..*ticks {
                model.tick(crash.filter(|_| number == 0));
            }
        }
        Op::Luck(luck) => model.luck = *luck,
        Op::Observe(true) => model.settings.mode = RedriveMode::Observe,
        Op::Observe(false) => model.settings.mode = RedriveMode::Automatic,
        // An unknown group is refused, and then nothing happens.
        Op::Hold(at) => {
            let group = at.map(|at| id(at, model));
            model.change(|desk, state| drop(desk.set_hold(state, group, "night work", None)));
        }
        Op::Release(at) => {
            let group = at.map(|at| id(at, model));
            model.change(|desk, state| drop(desk.lift_hold(state, group, "over")));
        }
        Op::Retry(at) => {
            let group = id(*at, model);
            model.change(|desk, state| drop(desk.retry(state, &inventory, group, "mended")));
        }
        Op::Abandon(at) => {
            let group = id(*at, model);
            model.change(|desk, state| drop(desk.abandon(state, &inventory, group, "of no use")));
        }
    }
}

/// Everything is mended and nobody interferes: what is open has to come to an end.
fn comes_to_an_end(model: &mut Model) {
    model.broken.clear();
    model.luck = Luck::Good;
    model.settings.mode = RedriveMode::Automatic;
    model.change(|desk, state| drop(desk.lift_hold(state, None, "over")));
    let ids: Vec<_> = model.state.groups.keys().copied().collect();
    for id in ids {
        model.change(|desk, state| drop(desk.lift_hold(state, Some(id), "over")));
    }
    // The longest sampling interval and a day of the budget, a few times over.
    for _ in 0..6 * 24 * 60 {
        model.tick(None);
        let mut records = model.state.groups.values();
        let is_closed = records.all(sentinel_core::redrive::state::GroupRecord::is_closed);
        if model.open().is_empty() && model.state.jobs.is_empty() && is_closed {
            break;
        }
    }
    assert!(
        model.open().is_empty(),
        "still open: {:?}\n{:#?}",
        model.open(),
        model.state.groups
    );
    // The next looks see that there is nothing more.
    for _ in 0..30 {
        model.tick(None);
    }
    for (id, record) in &model.state.groups {
        assert!(
            matches!(record.phase, GroupPhase::Closed { .. }),
            "{id} is not closed: {record:?}"
        );
    }
}

fn model(variables: &[(&str, &str)]) -> Model {
    let usual = [
        ("REDRIVE_JOBS", "1"),
        ("REDRIVE_SAMPLE_OBJECTS", "3"),
        ("REDRIVE_SAMPLE_SECONDS", "300"),
        ("REDRIVE_SAMPLE_MAX_SECONDS", "7200"),
        ("REDRIVE_BATCH_OBJECTS", "50"),
        ("REDRIVE_ATTEMPTS", "4"),
    ];
    let all: Vec<_> = usual.iter().chain(variables).copied().collect();
    Model::new(settings(&all), groups())
}

/// Some days, an hour at a time; every day a version of the group fails.
fn days(model: &mut Model, days: u32, group: &Group) {
    for hour in 0..days * 24 {
        if hour % 24 == 0 {
            model.fail(group, 1);
        }
        model.now = model
            .now
            .checked_add(SignedDuration::from_mins(59))
            .unwrap();
        model.tick(None);
    }
}

#[test]
fn regression_what_a_sample_settled_is_not_handed_over_a_month_later() {
    for mode in [RedriveMode::Automatic, RedriveMode::Observe] {
        let mut model = model(&[("REDRIVE_ATTEMPTS", "100")]);
        let group = unversioned();
        model.fail(&group, 30);
        // A sample of three finds nothing but deleted versions, and leaves its input.
        model.luck = Luck::Gone;
        while model.jobs_created < 1 {
            model.tick(None);
        }
        model.settings.mode = RedriveMode::Observe;
        for _ in 0..3 {
            model.tick(None);
        }
        assert_eq!(model.open().len(), 27);
        model.luck = Luck::Good;
        model.settings.mode = mode;
        // The model fails the test when one of them is back.
        days(&mut model, 40, &group);
        let handed_over = model.handed_over[&group.id()].len();
        assert!(handed_over >= 27, "{mode:?}: {handed_over}");
        // Nor is it kept for ever, although something fails each day.
        days(&mut model, 40, &group);
        let age = model.now.duration_since(model.settled_since().unwrap());
        assert!(
            age.as_hours() < 24 * 45,
            "{mode:?}: {} hours",
            age.as_hours()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_is_forgotten_and_nothing_goes_on_without_end(
        ops in proptest::collection::vec(op(), 1..24),
        jobs in 1..4_usize,
        dollars in 1..6_u32,
        kept in prop_oneof![Just(u64::MAX), 20..100_u64],
    ) {
        let (jobs, dollars) = (jobs.to_string(), dollars.to_string());
        let mut model = model(&[("REDRIVE_JOBS", &jobs), ("REDRIVE_DAILY_DOLLARS", &dollars)]);
        model.settings.thresholds.group_sweep = kept;
        for op in &ops {
            carry_out(&mut model, op);
        }
        comes_to_an_end(&mut model);
    }

    /// Without an operator no job is ever created in mode observe, and still everybody is told.
    #[test]
    fn observing_costs_nothing(ops in proptest::collection::vec(op(), 1..16)) {
        let mut model = model(&[("REDRIVE", "observe")]);
        for op in &ops {
            if !matches!(op, Op::Retry(_) | Op::Observe(_)) {
                carry_out(&mut model, op);
            }
        }
        prop_assert_eq!(model.jobs_created, 0);
    }
}
