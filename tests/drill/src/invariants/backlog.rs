//! Invariant 4: what becomes of failed replications.

use std::collections::BTreeMap;

use sentinel_core::ledger::{GroupId, How};

use super::GRACE;
use crate::backlog::{FailedCopy, Fate};
use crate::history::{History, body};
use crate::verdict::Violation;

/// So many violations of one kind are told; a storm has very many copies.
const TOLD: usize = 10;

/// Invariant 4: every acknowledged version whose replication failed ends as replicated, settled
/// with a final reason, or handed to a person; none is forgotten and none is re-driven without end.
///
/// For every copy that S3 gave up at least once, by the simulator's account:
///
/// - The destination holds it, or the source no longer does: good.
/// - The ledger settled it: with `replicated` or `already` only if the destination really got it,
///   with `gone` only if the source really lost it, with `hard-deleted` only if somebody deleted
///   it in the destination.
/// - It was given to a person, or given up by one: a page must have named the group.
/// - It waits in the ledger: good only if S3 would refuse it at this very moment, so that a person
///   is needed, and a page named its group.
/// - The ledger knows nothing of it: forgotten, unless S3 gave it up moments ago or its message
///   is still in the queue.
///
/// A version is in at most as many jobs as the cap of attempts allows for each of its copies. No
/// event of a failure is left in the dead-letter queue.
#[must_use]
pub fn failed_replication_is_not_forgotten(history: &History) -> Vec<Violation> {
    let mut violations = forgotten(history);
    violations.extend(endless(history));
    violations.extend(dead_letters(history));
    violations
}

fn forgotten(history: &History) -> Vec<Violation> {
    let index = history.backlog.index();
    let paged = paged(history);
    let acknowledged = history.backlog.copies.iter();
    let acknowledged = acknowledged.filter(|copy| copy.acknowledged);
    let problems = acknowledged.filter_map(|copy| {
        let problem = problem(history, &paged, copy, index.fate(copy))?;
        let text = format!(
            "{} was acknowledged, its replication to {} failed ({}), and it {problem}",
            copy.key, copy.destination, copy.reason
        );
        Some(Violation::new("4", copy.last, text))
    });
    problems.take(TOLD).collect()
}

/// What is wrong with a failed copy's end, if anything is.
fn problem(history: &History, paged: &Paged, copy: &FailedCopy, fate: Fate<'_>) -> Option<String> {
    let pair = (copy.source.to_string(), copy.destination.to_string());
    let refused = || history.backlog.refusals.contains_key(&pair);
    let deleted_there = || {
        let version = (copy.key.clone(), copy.version.clone());
        let there = (copy.destination.to_string(), version.0, version.1);
        history.deleted.contains(&there)
    };
    match fate {
        // Ineligible is what S3 says, and the world's to know; the others are no settled ends.
        Fate::Arrived
        | Fate::Gone
        | Fate::Settled(How::Ineligible | How::HandedOver | How::Abandoned | How::Moving) => None,
        Fate::Settled(how @ (How::Replicated | How::Already)) => {
            (!deleted_there()).then(|| format!("is settled as {how}, but is not there"))
        }
        Fate::Settled(How::HardDeleted) => (!deleted_there())
            .then(|| "is settled as deleted there, but nobody deleted it".to_owned()),
        Fate::Settled(How::Gone) => {
            Some("is settled as gone, but is still in the source".to_owned())
        }
        Fate::Abandoned(Some(row)) => (!paged.contains_key(&row.group.id()))
            .then(|| "was handed over, and nobody was told of its group".to_owned()),
        // What is settled names no group: one that goes the same way it must be.
        Fate::Abandoned(None) => (!paged.values().any(|way| *way == pair))
            .then(|| "was given up, and nobody was told of its group".to_owned()),
        Fate::Open(row) if !paged.contains_key(&row.group.id()) => {
            Some("waits in the ledger, and nobody was told".to_owned())
        }
        Fate::Open(row) => (!refused() && !unsettled(history, copy)).then(|| {
            let attempts = row.attempts;
            format!("waits in the ledger after {attempts} attempts, although S3 would take it")
        }),
        Fate::Unknown => (!unsettled(history, copy)).then(|| "is nowhere in the ledger".to_owned()),
    }
}

/// Whether it failed so shortly before the end that nothing had to have come of it yet.
fn unsettled(history: &History, copy: &FailedCopy) -> bool {
    copy.last + GRACE > history.end
}

/// Groups that an announcement named, each with its source and destination.
type Paged = BTreeMap<GroupId, (String, String)>;

fn paged(history: &History) -> Paged {
    let groups = history.published.iter().filter_map(|one| {
        let body = body(one);
        let text = |field: &str| Some(body[field].as_str()?.to_owned());
        // An operator's command is announced with the group alone.
        let way = (text("source")?, text("destination")?);
        Some((text("group")?.parse().ok()?, way))
    });
    groups.collect()
}

fn endless(history: &History) -> Vec<Violation> {
    let backlog = &history.backlog;
    let mut tries: Vec<(&str, &str, &str)> = Vec::new();
    for job in &backlog.jobs {
        let tasks = job.tasks.iter();
        tries.extend(tasks.map(|(key, version)| (job.source.as_str(), &**key, &**version)));
    }
    tries.sort_unstable();
    let versions = tries.chunk_by(|one, other| one == other);
    let beyond = versions.filter_map(|tries| {
        let (source, key, version) = *tries.first()?;
        let copies = backlog.copies_of(source, key, version).len().max(1);
        let allowed = backlog.limits.attempts * copies;
        let text = format!(
            "{key} was in {} jobs, at most {allowed} are allowed",
            tries.len()
        );
        (tries.len() > allowed).then(|| Violation::new("4", history.end, text))
    });
    beyond.take(TOLD).collect()
}

fn dead_letters(history: &History) -> Vec<Violation> {
    let dead = history.backlog.letters.dead.iter();
    let failures = dead.filter(|letter| letter.contains("OperationFailedReplication"));
    let count = failures.count();
    let text = format!("{count} messages about failures are in the dead-letter queue");
    (count > 0)
        .then(|| Violation::new("4", history.end, text))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::Story;
    use simulator::SimTime;

    fn texts(story: &Story) -> Vec<String> {
        let violations = failed_replication_is_not_forgotten(&story.history);
        violations.into_iter().map(|one| one.text).collect()
    }

    #[test]
    fn a_copy_that_the_ledger_does_not_know_is_forgotten() {
        let mut story = Story::new();
        story.fails(10, "data/a");
        assert_eq!(texts(&story).len(), 1);
        story.copy().arrived = Some(SimTime::from_secs(500));
        assert!(texts(&story).is_empty(), "it is there");
        story.copy().arrived = None;
        story.copy().gone = true;
        assert!(texts(&story).is_empty(), "nothing is left to copy");
        story.copy().gone = false;
        story.copy().acknowledged = false;
        assert!(texts(&story).is_empty(), "nobody was promised anything");
    }

    #[test]
    fn a_copy_that_failed_just_now_may_be_on_its_way() {
        let mut story = Story::new();
        let end = story.history.end.as_secs();
        story.fails(end - 30, "data/a");
        assert!(texts(&story).is_empty());
    }

    #[test]
    fn what_is_settled_must_be_true() {
        for (how, expected) in [
            (How::Replicated, 1),
            (How::Already, 1),
            (How::Gone, 1),
            (How::HardDeleted, 1),
            (How::Ineligible, 0),
        ] {
            let mut story = Story::new();
            story.fails(10, "data/a");
            story.settles("data/a", how);
            assert_eq!(texts(&story).len(), expected, "{how}");
        }
    }

    #[test]
    fn what_was_deleted_in_the_destination_may_be_settled_so() {
        let mut story = Story::new();
        story.fails(10, "data/a");
        story.settles("data/a", How::HardDeleted);
        let there = ["app-euw1", "data/a", "v"].map(str::to_owned);
        let [bucket, key, version] = there;
        story.history.deleted.insert((bucket, key, version));
        assert!(texts(&story).is_empty());
    }

    #[test]
    fn who_waits_must_need_a_person_who_was_told() {
        let mut story = Story::new();
        story.fails(10, "data/a");
        story.waits(10, "data/a");
        assert_eq!(texts(&story).len(), 1, "nobody was told");
        story.pages_group(20);
        assert_eq!(texts(&story).len(), 1, "told, but nobody is needed");
        story.refuses();
        assert!(texts(&story).is_empty());
    }

    #[test]
    fn what_was_given_up_must_have_been_told() {
        for how in [How::HandedOver, How::Abandoned] {
            let mut story = Story::new();
            story.fails(10, "data/a");
            story.settles("data/a", how);
            assert_eq!(texts(&story).len(), 1, "{how}");
            story.pages_group(20);
            assert!(texts(&story).is_empty(), "{how}");
        }
    }

    #[test]
    fn a_page_about_another_group_does_not_count() {
        for how in [How::HandedOver, How::Abandoned] {
            let mut story = Story::new();
            story.fails(10, "data/a");
            story.settles("data/a", how);
            story.pages(20, ("app-euw1", "app-use1"), "DstBucketUnversioned");
            assert_eq!(texts(&story).len(), 1, "{how}: the way back");
        }
        let mut story = Story::new();
        story.fails(10, "data/a");
        story.hands_over(20, "data/a");
        story.pages(20, ("app-use1", "app-euw1"), "DstKmsKeyNotFound");
        assert_eq!(texts(&story).len(), 1, "another reason");
        story.pages_group(30);
        assert!(texts(&story).is_empty());
    }

    #[test]
    fn a_version_in_more_jobs_than_allowed_is_a_violation() {
        let mut story = Story::new();
        story.fails(10, "data/a");
        story.copy().arrived = Some(SimTime::from_secs(500));
        for number in 0..story.history.backlog.limits.attempts as u64 {
            story.job(100 + 100 * number, 50, &["data/a"]);
        }
        assert!(texts(&story).is_empty());
        story.job(20_000, 50, &["data/a"]);
        assert_eq!(texts(&story).len(), 1);
    }

    #[test]
    fn a_failure_in_the_dead_letter_queue_is_a_violation() {
        let mut story = Story::new();
        let letters = &mut story.history.backlog.letters.dead;
        letters.push("not ours".to_owned());
        assert!(texts(&story).is_empty());
        let letters = &mut story.history.backlog.letters.dead;
        letters.push(r#"{"eventName":"Replication:OperationFailedReplication"}"#.to_owned());
        assert_eq!(texts(&story).len(), 1);
    }
}
