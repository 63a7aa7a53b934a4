//! Invariants 4 and 5: what becomes of the data.

use simulator::truth::Transfer;

use crate::history::History;
use crate::verdict::Violation;

/// Invariant 4: every acknowledged version whose replication failed ends as replicated, settled
/// with a final reason, or handed to a person.
///
/// Nothing re-drives failed replication yet, and an outage alone must never make it fail: what
/// is bound for a Region that is down stays pending. So, for now, an acknowledged version that
/// S3 gave up on at the end of a run was forgotten.
#[must_use]
pub fn failed_replication_is_not_forgotten(history: &History) -> Vec<Violation> {
    let acknowledged = history.acknowledged.iter().filter_map(|write| {
        let places = history
            .data
            .get(&(write.key.clone(), write.version.clone()))?;
        let transfers = &places.get(&write.bucket)?.transfers;
        let failed = transfers.iter().find_map(|(to, transfer)| match transfer {
            Transfer::Failed { reason, .. } if !places.contains_key(to) => Some((to, reason)),
            _ => None,
        });
        failed.map(|(to, reason)| (write, to, reason))
    });
    acknowledged
        .map(|(write, to, reason)| {
            let text = format!(
                "{} was acknowledged, its replication to {to} failed ({reason}), and nobody knows",
                write.key
            );
            Violation::new("4", write.at, text)
        })
        .collect()
}

/// Invariant 5: after everything heals and settles, every member holds every acknowledged
/// version that its rules cover.
///
/// All members replicate everything to each other, so each of them must hold, at the end, every
/// version that a client was told is safe. A scenario in which a Region is still down at the end
/// is not judged: nothing has healed.
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
        let lacking = history
            .stage
            .members
            .iter()
            .find(|member| places.is_none_or(|places| !places.contains_key(&member.bucket)))?;
        Some((write, lacking))
    });
    missing
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
    fn a_replication_that_failed_for_good_is_a_violation() {
        let mut story = Story::new();
        story.acknowledges(10, "data/a", &["app-use1"]);
        assert!(failed_replication_is_not_forgotten(&story.history).is_empty());
        let places = story.history.data.values_mut().next().unwrap();
        let failed = Transfer::Failed {
            at: SimTime::from_secs(12),
            reason: "DstBucketUnversioned".to_owned(),
        };
        let held = places.get_mut("app-use1").unwrap();
        held.transfers.insert("app-euw1".to_owned(), failed);
        assert_eq!(failed_replication_is_not_forgotten(&story.history).len(), 1);
    }
}
