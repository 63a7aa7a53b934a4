//! What opens and closes the breaker.

use sentinel_core::redrive::job::{JobKind, Outcome};
use sentinel_core::redrive::state::OpenBreaker;

use super::common::{Bench, file, group, unversioned};
use super::planning::{Fate, outcome};

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;

impl Bench {
    fn opens_the_breaker(&mut self) {
        self.state.breaker.failures = 3;
        self.state.breaker.open = Some(OpenBreaker {
            since: self.now,
            until: self.now,
            seconds: HOUR,
        });
    }

    /// A sample that arrives, and the release that follows it.
    fn sample_and_release(&mut self, fate: Fate) {
        self.wait(self.next_sample_in());
        let sample = self.begin();
        assert_eq!(sample.job.kind, JobKind::Sample);
        self.run(&sample, 10, outcome(10, 0));
        let rows = file(unversioned().id(), 100_000, self.now, self.now);
        self.inventory.open.insert(unversioned().id(), vec![rows]);
        let release = self.begin();
        assert_eq!(release.job.kind, JobKind::Release);
        self.run(&release, 100, fate);
    }
}

#[test]
fn regression_samples_between_releases_do_not_keep_the_breaker_closed() {
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 100_000);
    for count in 1..=3 {
        assert!(bench.state.breaker.open.is_none(), "{count}");
        bench.sample_and_release(outcome(20, 80));
        assert_eq!(bench.state.breaker.failures, count);
    }
    assert!(bench.state.breaker.open.is_some());
    assert!(bench.events().contains(&"breaker-opened"));
}

#[test]
fn a_release_that_arrives_ends_the_row() {
    let mut bench = Bench::new(&[]);
    bench.fail(&unversioned(), 100_000);
    bench.sample_and_release(outcome(20, 80));
    bench.sample_and_release(outcome(20, 80));
    bench.sample_and_release(outcome(99, 1));
    assert_eq!(bench.state.breaker.failures, 0);
}

#[test]
fn what_a_sample_says_to_the_breaker() {
    let finals = Fate::Ends(Outcome {
        finals: 10,
        ..Outcome::default()
    });
    #[rustfmt::skip]
    let table = [
        // failures in a row after two of them, and whether the trial closes an open breaker
        (outcome(10, 0), 2, true),
        (outcome(6, 4), 2, true),
        (outcome(5, 5), 2, false),
        (outcome(0, 10), 2, false),
        (finals, 2, false),
        (Fate::Cancelled, 2, false),
        (Fate::Empty, 2, false),
        // That is S3's word about jobs, not about versions.
        (Fate::Refused, 3, false),
        (Fate::Fails, 3, false),
    ];
    for (fate, failures, closes) in table {
        let mut bench = Bench::new(&[("REDRIVE_BREAKER_JOBS", "9")]);
        bench.fail(&unversioned(), 1000);
        bench.wait(15 * MINUTE);
        bench.state.breaker.failures = 2;
        let sample = bench.begin();
        bench.run(&sample, 10, fate);
        assert_eq!(bench.state.breaker.failures, failures, "{fate:?}");

        let mut bench = Bench::new(&[]);
        bench.fail(&unversioned(), 1000);
        bench.wait(15 * MINUTE);
        bench.opens_the_breaker();
        let trial = bench.begin();
        assert!(trial.trial);
        bench.run(&trial, 10, fate);
        assert_eq!(bench.state.breaker.open.is_none(), closes, "{fate:?}");
    }
}

#[test]
fn an_asked_sample_that_arrives_closes_the_breaker() {
    for (fate, closes) in [(outcome(10, 0), true), (outcome(0, 10), false)] {
        let mut bench = Bench::new(&[]);
        bench.fail(&unversioned(), 1000);
        bench.opens_the_breaker();
        bench.state.breaker.open.as_mut().unwrap().until += jiff::SignedDuration::from_hours(1);
        let mut state = bench.state.clone();
        let id = unversioned().id();
        let answer = bench
            .desk()
            .retry(&mut state, &bench.inventory, id, "mended");
        answer.unwrap();
        bench.state = state;
        let sample = bench.begin();
        assert!(sample.asked && !sample.trial);
        bench.run(&sample, 10, fate);
        assert_eq!(bench.state.breaker.open.is_none(), closes, "{fate:?}");
    }
}

#[test]
fn a_trial_whose_versions_fail_leaves_the_next_sample_to_be_the_trial() {
    let mut bench = Bench::new(&[]);
    let other = group("app-use1", "app-euw1", "DstBucketNotFound");
    bench.fail(&unversioned(), 1000);
    bench.wait(1);
    bench.fail(&other, 1000);
    bench.wait(15 * MINUTE);
    bench.opens_the_breaker();
    let first = bench.begin();
    bench.run(&first, 10, outcome(0, 10));
    let second = bench.begin();
    assert!(second.trial && second.job.groups != first.job.groups);
    bench.run(&second, 10, outcome(10, 0));
    assert!(bench.state.breaker.open.is_none());
}
