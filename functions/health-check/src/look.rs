//! What is looked at once a run, beside the rounds: the serving Region, S3's own replication metrics,
//! canaries that are followed, and the heartbeat.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use futures_util::future::{join, join_all, join4};
use jiff::{SignedDuration, Timestamp};
use sentinel_aws::proof::Serving;
use sentinel_core::evidence::{Copying, Evidence, PairMetrics, ServingEvidence, Verdict};
use sentinel_core::names::Region;

use crate::deps::Control;
use crate::rounds::Turn;

/// How long reading the routes may take: every control endpoint once.
const READ_ROUTES: SignedDuration = SignedDuration::from_secs(9);
/// How long asking the data plane may take.
const PROVE: SignedDuration = SignedDuration::from_secs(4);
/// How long reading the metrics of all pairs may take.
const METRICS: SignedDuration = SignedDuration::from_secs(15);
/// How long asking for the canaries that are followed may take.
const FOLLOW: SignedDuration = SignedDuration::from_secs(5);
/// How long a heartbeat may take.
const BEAT: SignedDuration = SignedDuration::from_secs(8);

/// What was found so far. The rounds put it into the evidence as it comes.
#[derive(Debug, Default)]
pub(crate) struct Looked(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    serving: Option<ServingEvidence>,
    pairs: Vec<(Region, Region, PairMetrics)>,
    /// The source, the version of its canary, and what S3 says of it.
    followed: Vec<(Region, String, Copying)>,
}

impl Looked {
    fn note(&self, write: impl FnOnce(&mut Found)) {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Puts what was found into evidence.
    pub(crate) fn put_into(&self, evidence: &mut Evidence) {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(serving) = &found.serving {
            evidence.serving = Some(serving.clone());
        }
        for (source, destination, metrics) in &found.pairs {
            evidence.measured(source, destination, metrics);
        }
        for (source, version, copying) in &found.followed {
            evidence.followed(source, version, *copying);
        }
    }
}

impl Turn<'_> {
    /// Looks; never fails, because nothing of it is needed to find a member bad.
    pub(crate) async fn look(&self, previous: Option<&Evidence>, looked: &Looked) {
        let Some(control) = &self.deps.control else {
            join(self.beat(), self.follow(previous, looked)).await;
            return;
        };
        join4(
            self.beat(),
            self.follow(previous, looked),
            self.serving(control, previous, looked),
            self.metrics_of_pairs(control, previous, looked),
        )
        .await;
    }

    /// Tells another Region that this one is alive.
    async fn beat(&self) {
        let Some(heartbeat) = &self.deps.heartbeat else {
            return;
        };
        if let Err(failure) = heartbeat.beat(self.within(BEAT)).await {
            self.warn("the heartbeat did not reach its Region", &failure);
        }
    }

    /// Canaries of which S3 has not said yet that all their destinations have them. Asked only where
    /// one is late.
    async fn follow(&self, previous: Option<&Evidence>, looked: &Looked) {
        let until = self.within(FOLLOW);
        let asking = self.deps.settings.members.iter().filter_map(|member| {
            let there = previous?.member(&member.region)?;
            let tracked = there
                .tracked
                .as_ref()
                .filter(|_| there.verdict == Verdict::Good)?;
            (!tracked.completed).then_some(async move {
                let asked = self.deps.prober.copying(member, &tracked.version, until);
                match asked.await {
                    Ok(copying) => Some((member.region.clone(), tracked.version.clone(), copying)),
                    Err(failure) => {
                        let text = format!("{}: {failure}", member.region);
                        self.warn("a canary's replication status cannot be read", &text);
                        None
                    }
                }
            })
        });
        let followed = join_all(asking).await.into_iter().flatten().collect();
        looked.note(|found| found.followed = followed);
    }

    /// Which Region serves, and which should.
    async fn serving(&self, control: &Control, previous: Option<&Evidence>, looked: &Looked) {
        let avoid = believed_bad(previous);
        let (routes, report) = join(
            control.routes.routes(&avoid, self.within(READ_ROUTES)),
            control.proof.serving(self.within(PROVE)),
        )
        .await;
        let active = match routes {
            Ok(read) => Some(read.routes.active()),
            Err(error) => {
                self.warn("the routes cannot be read", &error);
                None
            }
        };
        let (regions, seen) = match report.serving {
            Serving::Member(region) => {
                let seen = format!("{region} serves");
                (BTreeSet::from([region]), seen)
            }
            Serving::Several(regions) => {
                let names: Vec<&str> = regions.iter().map(Region::as_str).collect();
                let seen = format!("{} serve", names.join(" and "));
                (regions, seen)
            }
            Serving::None { detail } => (BTreeSet::new(), detail),
        };
        let serving = ServingEvidence::compared(regions, &seen, active.as_ref(), self.now());
        self.measure_serving(&serving);
        looked.note(|found| found.serving = Some(serving));
    }

    /// S3's own replication metrics of every pair, if this run is the first of its period.
    async fn metrics_of_pairs(
        &self,
        control: &Control,
        previous: Option<&Evidence>,
        looked: &Looked,
    ) {
        let period = self.deps.settings.replication_metrics.as_secs();
        let before = previous.and_then(|previous| previous.run.as_ref());
        let before = before.map(|run| run.started_at);
        if !is_first_of(period, before, self.run.started_at) {
            return;
        }
        let (at, until) = (self.now(), self.within(METRICS));
        let members: Vec<_> = self.deps.settings.members.iter().collect();
        let pairs = members.iter().flat_map(|source| {
            let others = members.iter().filter(move |other| *other != source);
            others.map(move |target| (*source, *target))
        });
        let reading = pairs.map(|(source, target)| async move {
            let (metrics, errors) = control.pairs.read(source, target, at, until).await;
            for error in errors {
                self.warn("replication metrics cannot be read", &error);
            }
            (source.region.clone(), target.region.clone(), metrics)
        });
        let pairs = join_all(reading).await;
        looked.note(|found| found.pairs = pairs);
    }
}

/// Regions whose control endpoint had better be asked last.
fn believed_bad(previous: Option<&Evidence>) -> BTreeSet<Region> {
    let members = previous.into_iter().flat_map(|evidence| &evidence.members);
    members
        .filter(|member| member.verdict == Verdict::Bad)
        .map(|member| member.region.clone())
        .collect()
}

/// Whether a run is the first of its period, given when the run before it began.
fn is_first_of(period: i64, before: Option<Timestamp>, now: Timestamp) -> bool {
    period > 0
        && before.is_none_or(|before| {
            before.as_second().div_euclid(period) != now.as_second().div_euclid(period)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_of_a_period_reads_the_metrics() {
        let at = |second: i64| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        // Starts are never exactly a minute apart.
        let starts: Vec<i64> = (0..60).map(|n| n * 60 + (n * 37) % 50).collect();
        let reading = starts
            .iter()
            .scan(None, |before, start| {
                let first = is_first_of(300, *before, at(*start));
                *before = Some(at(*start));
                Some(first)
            })
            .filter(|first| *first)
            .count();
        assert_eq!(reading, 12);
        assert!(!is_first_of(0, None, at(0)), "zero never reads");
    }
}
