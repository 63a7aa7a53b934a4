//! What operators are told: exactly what to send, and what it waits for.

use sentinel_core::ledger::{GroupId, How};
use sentinel_core::redrive::apply::{Desk, Happening, Worked};
use sentinel_core::redrive::inventory::Inventory;
use sentinel_core::redrive::job::{Creation, JobId, JobKind, Slice};
use sentinel_core::redrive::operator::OperatorError;
use sentinel_core::redrive::plan::Step;
use sentinel_core::redrive::state::{OpenBreaker, RedriveState};
use sentinel_core::redrive::status::{RedriveAnswer, RedriveOutcome};

use super::common::{Bench, group, unversioned};
use super::notices::manifest;
use super::planning::outcome;

const MINUTE: i64 = 60;

impl Bench {
    fn try_word(
        &mut self,
        word: impl FnOnce(
            &Desk<'_>,
            &mut RedriveState,
            &Inventory,
        ) -> Result<RedriveAnswer, OperatorError>,
    ) -> Result<RedriveAnswer, OperatorError> {
        let mut state = self.state.clone();
        let answer = word(&self.desk(), &mut state, &self.inventory)?;
        self.state = state;
        Ok(answer)
    }

    fn retries(&mut self, group: GroupId) -> RedriveAnswer {
        self.try_word(|desk, state, inventory| desk.retry(state, inventory, group, "mended"))
            .unwrap()
    }

    fn holds(&mut self, group: Option<GroupId>) -> RedriveAnswer {
        self.try_word(|desk, state, _| desk.set_hold(state, group, "night work", None))
            .unwrap()
    }

    fn releases(&mut self, group: Option<GroupId>) -> RedriveAnswer {
        self.try_word(|desk, state, _| desk.lift_hold(state, group, "over"))
            .unwrap()
    }

    fn abandons(&mut self, group: GroupId) -> RedriveAnswer {
        self.try_word(|desk, state, inventory| {
            desk.abandon(state, inventory, group, "old test data")
        })
        .unwrap()
    }
}

/// The groups of the `redrive-release` commands that a text names; nothing is for all.
fn sends(text: &str) -> Vec<Option<GroupId>> {
    let commands = text.match_indices("--payload '").map(|(at, mark)| {
        let rest = &text[at + mark.len()..];
        serde_json::from_str::<serde_json::Value>(&rest[..rest.find('\'').unwrap()]).unwrap()
    });
    commands
        .filter(|command| command["command"] == "redrive-release")
        .map(|command| command["group"].as_str().map(|id| id.parse().unwrap()))
        .collect()
}

#[test]
fn regression_who_sends_what_the_answer_names_can_retry() {
    let id = unversioned().id();
    for holds in [vec![None], vec![Some(id)], vec![None, Some(id)]] {
        let mut bench = Bench::new(&[]);
        bench.fail(&unversioned(), 10);
        for hold in &holds {
            bench.holds(*hold);
        }
        let blocked = bench.retries(id);
        assert_eq!(blocked.outcome, RedriveOutcome::Blocked);
        let named = sends(&blocked.explanation);
        assert_eq!(named, holds, "{}", blocked.explanation);
        for group in named {
            assert_eq!(bench.releases(group).outcome, RedriveOutcome::Released);
        }
        assert_eq!(bench.retries(id).outcome, RedriveOutcome::Retrying);
    }
}

#[test]
fn regression_a_release_that_does_nothing_says_what_is_set_elsewhere() {
    let id = unversioned().id();
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 10);
    let answer = bench.releases(Some(id));
    assert_eq!(
        answer.explanation,
        format!("No hold of group {id} alone was set.")
    );
    // A hold for all.
    bench.holds(None);
    let answer = bench.releases(Some(id));
    assert_eq!(answer.outcome, RedriveOutcome::NoChange);
    assert_eq!(sends(&answer.explanation), [None], "{}", answer.explanation);
    bench.releases(None);
    // The breaker.
    bench.state.breaker.open = Some(OpenBreaker {
        since: bench.now,
        until: bench.now,
        seconds: 1,
    });
    let answer = bench.releases(Some(id));
    assert!(
        answer.explanation.contains("The breaker is open"),
        "{}",
        answer.explanation
    );
    assert_eq!(sends(&answer.explanation), [None]);
    assert_eq!(bench.releases(None).outcome, RedriveOutcome::Released);
    // A group's own hold.
    bench.holds(Some(id));
    let answer = bench.releases(None);
    assert_eq!(answer.outcome, RedriveOutcome::NoChange);
    assert_eq!(
        sends(&answer.explanation),
        [Some(id)],
        "{}",
        answer.explanation
    );
}

#[test]
fn regression_a_retry_says_what_it_waits_for() {
    let other = group("app-use1", "app-euw1", "DstBucketNotFound");
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 10);
    assert!(
        bench
            .clone()
            .retries(unversioned().id())
            .explanation
            .contains("at the next tick")
    );
    // Another group's job has the lane.
    bench.fail(&other, 10);
    bench.wait(15 * MINUTE);
    let asked = bench.retries(other.id());
    assert!(
        asked.explanation.contains("at the next tick"),
        "{}",
        asked.explanation
    );
    let behind = bench.clone().retries(unversioned().id()).explanation;
    assert!(
        behind.contains("as soon as 1 others that were asked for before"),
        "{behind}"
    );
    let sample = bench.begin();
    assert_eq!(sample.job.groups, [other]);
    bench.worked(&sample, Worked::Gather(Slice::Done(manifest(10))));
    bench.worked(&sample, Worked::Trying);
    bench.worked(
        &sample,
        Worked::Create(Creation::Created(JobId("4f1c".to_owned()))),
    );
    let waits = bench.clone().retries(unversioned().id()).explanation;
    let job = format!("as soon as job {} is over (sample since", sample.job.name);
    assert!(
        waits.contains(&job) && waits.contains("in phase run"),
        "{waits}"
    );
    assert!(!waits.contains("next tick"), "{waits}");
    // All jobs are taken by other lanes.
    bench.settings.thresholds.jobs = 1;
    let back = group("app-euw1", "app-use1", "DstBucketNotFound");
    bench.fail(&back, 10);
    let waits = bench.retries(back.id()).explanation;
    assert!(
        waits.contains("one of the 1 open jobs is over, because REDRIVE_JOBS"),
        "{waits}"
    );
}

#[test]
fn regression_a_retry_for_no_member_is_refused() {
    let foreign = group("old-bucket", "app-euw1", "DstBucketNotFound");
    let mut bench = Bench::new(&[]);
    bench.fail(&foreign, 5);
    let before = bench.state.clone();
    let id = foreign.id();
    let error = bench
        .try_word(|desk, state, inventory| desk.retry(state, inventory, id, "mended"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("old-bucket, which is no member"), "{error}");
    assert!(error.contains("\"command\":\"abandon\""), "{error}");
    assert_eq!(bench.state, before);
}

#[test]
fn regression_an_asked_sample_goes_before_those_that_are_merely_due() {
    let mut bench = Bench::new(&[]);
    let others = ["One", "Two"].map(|reason| group("app-use1", "app-euw1", reason));
    for other in &others {
        bench.fail(other, 1000);
    }
    bench.wait(60 * MINUTE);
    bench.fail(&unversioned(), 10);
    bench.retries(unversioned().id());
    let first = bench.begin();
    assert_eq!(first.job.groups, [unversioned()]);
    bench.run(&first, 10, outcome(10, 0));
    // What follows it is no sample, and has its turn with the others.
    assert!(others.contains(&bench.begin().job.groups[0]));
}

#[test]
fn regression_a_hold_says_what_it_may_come_too_late_for() {
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 10);
    bench.wait(15 * MINUTE);
    let sample = bench.begin();
    bench.worked(&sample, Worked::Gather(Slice::Done(manifest(10))));
    assert!(
        !bench
            .clone()
            .holds(None)
            .explanation
            .contains(sample.job.name.as_str())
    );
    bench.worked(&sample, Worked::Trying);
    for scope in [None, Some(unversioned().id())] {
        let text = bench.clone().holds(scope).explanation;
        assert!(text.contains(sample.job.name.as_str()), "{text}");
    }
}

#[test]
fn regression_nothing_is_tried_after_a_hold() {
    let id = unversioned().id();
    for scope in [None, Some(id)] {
        let mut bench = Bench::new(&[]);
        bench.fail(&unversioned(), 10);
        bench.wait(15 * MINUTE);
        let sample = bench.begin();
        bench.worked(&sample, Worked::Gather(Slice::Done(manifest(10))));
        assert!(bench.desk().may_try(&bench.state, &sample.job.name));
        bench.holds(scope);
        let held = bench.state.clone();
        // What was planned before the hold is written after it.
        assert!(!bench.desk().may_try(&bench.state, &sample.job.name));
        bench.worked(&sample, Worked::Trying);
        assert_eq!(bench.state, held);
        let job = sample.job.name.clone();
        assert_eq!(bench.plan().steps, [Step::Discard { job }]);
    }
}

#[test]
fn regression_what_is_being_given_up_is_not_promised_to_be_retried() {
    let id = unversioned().id();
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 10);
    bench.abandons(id);
    // Nothing has begun: it can be taken back.
    let back = bench.clone().retries(id);
    assert_eq!(back.outcome, RedriveOutcome::Retrying);
    assert!(
        back.explanation.contains("is taken back"),
        "{}",
        back.explanation
    );
    let settle = bench.begin();
    let how = How::Abandoned;
    assert_eq!(settle.job.kind, JobKind::Settle { how });
    let before = bench.state.clone();
    let blocked = bench.retries(id);
    assert_eq!(blocked.outcome, RedriveOutcome::Blocked);
    let text = blocked.explanation;
    assert!(
        text.contains("goes on") && text.contains("\"command\":\"retry\""),
        "{text}"
    );
    assert_eq!(bench.state, before);
    bench.run(&settle, 10, outcome(0, 0));
    assert_eq!(bench.state.totals.abandoned, 10);
    assert_eq!(bench.retries(id).outcome, RedriveOutcome::NoChange);
}

#[test]
fn regression_a_plan_to_give_up_that_was_taken_back_is_not_begun() {
    let id = unversioned().id();
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 10);
    bench.abandons(id);
    let stale = bench.begun().remove(0);
    bench.retries(id);
    bench.apply(&Happening::Planned {
        open: Box::new(stale),
        cost: sentinel_core::redrive::price::Micros(0),
    });
    assert!(bench.state.jobs.is_empty());
    assert_eq!(bench.begin().job.kind, JobKind::Sample);
}

#[test]
fn regression_what_is_being_deleted_is_not_promised_to_come_back() {
    let id = unversioned().id();
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 10);
    bench.state.groups.get_mut(&id).unwrap().handed_over = 40;
    bench.inventory.open.clear();
    bench.look();
    bench.abandons(id);
    bench.look();
    assert_eq!(bench.plan().steps, [Step::Forget { group: id }]);
    let blocked = bench.retries(id);
    assert_eq!(
        blocked.outcome,
        RedriveOutcome::Blocked,
        "{}",
        blocked.explanation
    );
    assert!(bench.record(&unversioned()).abandon.is_some());
}
