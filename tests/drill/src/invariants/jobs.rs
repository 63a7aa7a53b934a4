//! What the jobs of S3 may cost and touch, by the simulator's account.

use std::collections::BTreeMap;

use simulator::SimTime;

use crate::backlog::Job;
use crate::history::{Cause, Function, History};
use crate::verdict::Violation;

/// So many violations of one kind are told.
const TOLD: usize = 10;

/// Jobs are few, cheap, and about nothing but failed versions:
///
/// - A version is in a job only if S3 had given up copying it before the job was created, and there
///   is no job before S3 gave up anything. What is bound for a Region that is down stays pending,
///   S3 resumes it by itself: no job is for that.
/// - A version is in one open job at a time.
/// - No more jobs are open at once than the settings allow.
/// - All jobs of a rolling day cost no more than the budget, until an operator asks for one.
///
/// What an operator's sweep takes is the operator's wish and not judged by the first.
#[must_use]
pub fn sparing(history: &History) -> Vec<Violation> {
    let mut violations = unfailed(history);
    violations.extend(baseless(history));
    violations.extend(doubly_open(history));
    violations.extend(crowded(history));
    violations.extend(expensive(history));
    violations
}

/// When an operator first asked for a job.
fn asked(history: &History, commands: &[&str]) -> Option<SimTime> {
    let mut asked = history.invoked(Function::Redrive).filter(|invocation| {
        matches!(&invocation.cause, Cause::Operator(name) if commands.contains(&name.as_str()))
    });
    asked.next().map(|invocation| invocation.started)
}

fn unfailed(history: &History) -> Vec<Violation> {
    let backlog = &history.backlog;
    let swept = asked(history, &["sweep"]);
    let judged = backlog.jobs.iter().filter(|job| {
        let wished = job.generated && swept.is_some_and(|at| at <= job.created);
        !wished
    });
    let wrong = judged.flat_map(|job| {
        let tasks = job.tasks.iter().filter(|(key, version)| {
            let mut copies = backlog.copies_of(&job.source, key, version).iter();
            !copies.any(|copy| copy.first <= job.created)
        });
        tasks.map(|(key, _)| {
            let text = format!("job {} is about {key}, which had not failed", job.id);
            Violation::new("jobs", job.created, text)
        })
    });
    wrong.take(TOLD).collect()
}

fn baseless(history: &History) -> Vec<Violation> {
    let backlog = &history.backlog;
    let first = backlog.copies.iter().map(|copy| copy.first).min();
    let swept = asked(history, &["sweep"]);
    let reason = [first, swept].into_iter().flatten().min();
    let jobs = backlog.jobs.iter();
    let early = jobs.filter(|job| reason.is_none_or(|reason| job.created < reason));
    early
        .take(TOLD)
        .map(|job| {
            let text = format!("job {} was created before anything had failed", job.id);
            Violation::new("jobs", job.created, text)
        })
        .collect()
}

/// Whether two jobs are open at the same time; `first` was created first.
fn overlap(first: &Job, second: &Job) -> bool {
    first.ended.is_none_or(|ended| ended > second.created)
}

fn doubly_open(history: &History) -> Vec<Violation> {
    let jobs = &history.backlog.jobs;
    let mut violations = Vec::new();
    for (position, second) in jobs.iter().enumerate() {
        let earlier = jobs[..position].iter();
        for first in earlier.filter(|first| first.source == second.source) {
            if !overlap(first, second) {
                continue;
            }
            let versions: std::collections::BTreeSet<_> = first.tasks.iter().collect();
            if let Some((key, _)) = second.tasks.iter().find(|one| versions.contains(one)) {
                let text = format!(
                    "{key} is in the jobs {} and {} at once",
                    first.id, second.id
                );
                violations.push(Violation::new("jobs", second.created, text));
            }
        }
    }
    violations
}

fn crowded(history: &History) -> Vec<Violation> {
    let backlog = &history.backlog;
    let mut steps: BTreeMap<SimTime, i64> = BTreeMap::new();
    for job in &backlog.jobs {
        *steps.entry(job.created).or_default() += 1;
        if let Some(ended) = job.ended {
            *steps.entry(ended).or_default() -= 1;
        }
    }
    let limit = i64::try_from(backlog.limits.jobs).unwrap_or(i64::MAX);
    let mut open = 0;
    let crowds = steps.into_iter().filter_map(|(at, step)| {
        open += step;
        (step > 0 && open > limit).then_some((at, open))
    });
    crowds
        .take(TOLD)
        .map(|(at, open)| {
            let text = format!("{open} jobs are open, {limit} are allowed");
            Violation::new("jobs", at, text)
        })
        .collect()
}

fn expensive(history: &History) -> Vec<Violation> {
    let backlog = &history.backlog;
    let wished = asked(history, &["retry", "sweep"]);
    let automatic = |job: &&Job| wished.is_none_or(|at| job.created < at);
    let jobs: Vec<&Job> = backlog.jobs.iter().filter(automatic).collect();
    let day = std::time::Duration::from_hours(24);
    let over = jobs.iter().enumerate().filter_map(|(position, last)| {
        let day_before = jobs[..=position].iter();
        let spent: f64 = day_before
            .filter(|job| job.created + day > last.created)
            .map(|job| job.dollars())
            .sum();
        let budget = backlog.limits.daily_dollars;
        let text = format!("jobs of a day cost ${spent:.2}, the budget is ${budget:.2}");
        (spent > budget).then(|| Violation::new("jobs", last.created, text))
    });
    over.take(1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::Story;

    fn texts(story: &Story) -> Vec<String> {
        let violations = sparing(&story.history);
        violations.into_iter().map(|one| one.text).collect()
    }

    #[test]
    fn a_job_about_what_had_not_failed_is_a_violation() {
        let mut story = Story::new();
        story.fails(10, "data/b");
        story.job(100, 60, &["data/a"]);
        assert_eq!(texts(&story).len(), 1, "it never failed");
        story.history.backlog.copies.clear();
        story.fails(110, "data/a");
        assert_eq!(texts(&story).len(), 2, "it failed later");
        story.copy().first = SimTime::from_secs(99);
        assert!(texts(&story).is_empty());
    }

    #[test]
    fn a_job_before_anything_failed_is_a_violation_even_if_it_is_empty() {
        let mut story = Story::new();
        story.job(100, 60, &[]);
        assert_eq!(texts(&story).len(), 1);
        story.fails(90, "data/a");
        assert!(texts(&story).is_empty());
    }

    #[test]
    fn an_operators_sweep_may_take_what_never_failed() {
        let mut story = Story::new();
        story.fails(10, "data/b");
        story.job(100, 60, &["data/a"]);
        story.history.backlog.jobs[0].generated = true;
        assert_eq!(texts(&story).len(), 1);
        story.operator_of(Function::Redrive, 90, "sweep", "swept");
        assert!(texts(&story).is_empty());
    }

    #[test]
    fn a_version_in_two_open_jobs_is_a_violation() {
        let mut story = Story::new();
        story.fails(10, "data/a");
        story.job(100, 60, &["data/a"]);
        story.job(160, 60, &["data/a"]);
        assert!(texts(&story).is_empty(), "one after the other");
        story.job(200, 60, &["data/a"]);
        assert_eq!(texts(&story).len(), 1);
    }

    #[test]
    fn more_open_jobs_than_allowed_are_a_violation() {
        let mut story = Story::new();
        story.history.backlog.limits.jobs = 2;
        story.fails(10, "data/b");
        story.job(100, 60, &[]);
        story.job(110, 60, &[]);
        story.job(160, 60, &[]);
        assert!(texts(&story).is_empty());
        story.job(165, 60, &[]);
        assert_eq!(texts(&story).len(), 1);
    }

    #[test]
    fn more_than_the_budget_is_a_violation_unless_a_person_wants_it() {
        let mut story = Story::new();
        story.history.backlog.limits.daily_dollars = 1.0;
        story.fails(10, "data/b");
        for number in 0..4 {
            story.job(100 + 100 * number, 60, &[]);
        }
        assert!(texts(&story).is_empty(), "just a dollar");
        story.job(1000, 60, &[]);
        assert_eq!(texts(&story).len(), 1);
        story.operator_of(Function::Redrive, 990, "retry", "retried");
        assert!(texts(&story).is_empty());
    }
}
