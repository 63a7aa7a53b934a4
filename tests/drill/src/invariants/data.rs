//! Invariant 5: what becomes of the data.

use crate::history::History;
use crate::verdict::Violation;

/// So many violations are told; a storm has very many versions.
const TOLD: usize = 10;

/// Invariant 5: after everything heals and settles, every member holds every acknowledged
/// version that its rules cover.
///
/// All members replicate everything to each other, so each of them must hold, at the end, every
/// version that a client was told is safe. What is judged otherwise:
///
/// - A version that was deleted for good, in the source or (as S3 never copies it there again) in
///   a destination, need not be there. So long as the source holds it, all others must.
/// - Where S3 would still refuse to replicate, or a Region is still down at the end, nothing has
///   healed. Invariant 4 says what must have happened instead.
#[must_use]
pub fn converged(history: &History) -> Vec<Violation> {
    let healed = history
        .outages
        .iter()
        .all(|outage| outage.until.is_some_and(|until| until < history.end));
    if !healed {
        return Vec::new();
    }
    let missing = history.acknowledged.iter().filter_map(|write| {
        let places = history
            .data
            .get(&(write.key.clone(), write.version.clone()));
        let deleted = |bucket: &str| {
            let key = (bucket.to_owned(), write.key.clone(), write.version.clone());
            history.deleted.contains(&key)
        };
        if deleted(&write.bucket) {
            return None;
        }
        let lacking = history.stage.members.iter().find(|member| {
            let pair = (write.bucket.clone(), member.bucket.clone());
            places.is_none_or(|places| !places.contains_key(&member.bucket))
                && !deleted(&member.bucket)
                && !history.backlog.refusals.contains_key(&pair)
        })?;
        Some((write, lacking))
    });
    missing
        .take(TOLD)
        .map(|(write, member)| {
            let text = format!(
                "{} was acknowledged but is not in {}",
                write.key, member.bucket
            );
            Violation::new("5", write.at, text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::Story;
    use simulator::SimTime;
    use simulator::truth::DownInterval;

    #[test]
    fn a_version_that_is_missing_somewhere_is_a_violation() {
        let mut story = Story::new();
        story.acknowledges(10, "data/a", &["app-use1", "app-euw1"]);
        assert!(converged(&story.history).is_empty());
        story.acknowledges(20, "data/b", &["app-use1"]);
        assert_eq!(converged(&story.history).len(), 1);
        story.acknowledges(30, "data/c", &[]);
        assert_eq!(converged(&story.history).len(), 2);
        story.history.outages.push(DownInterval {
            region: "eu-west-1".to_owned(),
            from: SimTime::from_secs(15),
            until: None,
        });
        assert!(converged(&story.history).is_empty(), "nothing has healed");
    }

    #[test]
    fn what_was_deleted_or_is_refused_need_not_be_there() {
        let deleted = |bucket: &str| {
            let of = [bucket, "data/a", "v"].map(str::to_owned);
            let [bucket, key, version] = of;
            (bucket, key, version)
        };
        for (bucket, expected) in [("app-use1", 0), ("app-euw1", 0), ("elsewhere", 1)] {
            let mut story = Story::new();
            story.acknowledges(10, "data/a", &["app-use1"]);
            story.history.deleted.insert(deleted(bucket));
            assert_eq!(converged(&story.history).len(), expected, "{bucket}");
        }
        let mut story = Story::new();
        story.acknowledges(10, "data/a", &["app-use1"]);
        let pair = ("app-use1".to_owned(), "app-euw1".to_owned());
        let reason = "DstBucketUnversioned".to_owned();
        story.history.backlog.refusals.insert(pair, reason);
        assert!(converged(&story.history).is_empty(), "nothing has healed");
    }
}
