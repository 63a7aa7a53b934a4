//! Looking at the world: routes, evidence, drift, alarms and replication metrics.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{join_all, join3, join4};
use jiff::{SignedDuration, Timestamp};
use sentinel_aws::alarms::{DescribeError, DescribedAlarm};
use sentinel_aws::control::ControlError;
use sentinel_core::alarm::AlarmState;
use sentinel_core::decide::{Drift, Observation, Pending, Wish};
use sentinel_core::evidence::{EVIDENCE_SCHEMA, Evidence, Verdict};
use sentinel_core::names::{AlarmArn, Member, Region};
use sentinel_core::readiness::{REPORT_KEY, Report};
use sentinel_core::routes::Routes;
use sentinel_core::state::{Source, State};
use sentinel_core::triggers::AlarmNow;
use serde_json::Value;

use crate::deps::std_duration;
use crate::error::Error;
use crate::record::{EVIDENCE_KEY, WITNESS_KEY};
use crate::turn::Turn;

/// How long reading the routes may take: every control endpoint twice.
const READ_ROUTES: SignedDuration = SignedDuration::from_secs(9);
/// How long a round of probes may take beyond the time limits of its requests.
const ROUND_SLACK: SignedDuration = SignedDuration::from_secs(1);
/// Rounds this close together are one run: a schedule fires anywhere inside its minute, so two
/// ticks can be nearly two minutes apart.
const TICK_GAP: SignedDuration = SignedDuration::from_secs(150);
/// How long describing alarms may take.
const DESCRIBE: SignedDuration = SignedDuration::from_secs(6);
/// How long reading replication metrics may take; they only explain.
const METRICS: SignedDuration = SignedDuration::from_secs(4);

/// What was seen, owned.
#[derive(Debug)]
pub(crate) struct Seen {
    /// When looking began.
    pub(crate) began: Timestamp,
    /// The routes, or why they could not be read.
    pub(crate) routes: Result<Routes, ControlError>,
    /// The evidence: the health check's if it is fresh, else of a round made just now.
    pub(crate) evidence: Evidence,
    /// Whether the evidence is of a round made just now, to be recorded.
    pub(crate) probed: bool,
    /// What the readiness check found.
    pub(crate) drift: Drift,
    /// What CloudWatch says of the alarms that were asked about.
    pub(crate) alarms: BTreeMap<AlarmArn, AlarmNow>,
    /// Replication metrics.
    pub(crate) pending: BTreeMap<(Region, Region), Pending>,
}

impl Seen {
    /// What CloudWatch said of alarms that have not changed since: another invocation may have
    /// noted a newer transition while this one lost a race.
    pub(crate) fn alarms_still_true(&self, state: &State) -> BTreeMap<AlarmArn, AlarmNow> {
        let changed_since = |arn: &AlarmArn| {
            state
                .alarms
                .get(arn.as_str())
                .is_some_and(|memory| memory.changed_at >= self.began)
        };
        self.alarms
            .iter()
            .filter(|(arn, _)| !changed_since(arn))
            .map(|(arn, now)| (arn.clone(), now.clone()))
            .collect()
    }

    /// The observation for a decision about these routes.
    pub(crate) fn about<'a>(&'a self, routes: &'a Routes) -> Observation<'a> {
        Observation {
            routes,
            evidence: Some(&self.evidence),
            drift: &self.drift,
            pending: &self.pending,
        }
    }
}

impl Turn<'_> {
    /// Looks at everything a decision needs, at once.
    ///
    /// # Errors
    /// [`Error::NoTime`] if a probe would be cut off: that must not look like a member that does not answer.
    pub(crate) async fn observe(
        &self,
        state: &State,
        confirm: &BTreeSet<AlarmArn>,
        wish: &Wish,
    ) -> Result<Seen, Error> {
        let began = self.now();
        let (left, needed) = (
            self.deps.edge.left(self.end),
            std_duration(self.round_limit()),
        );
        if left < needed {
            return Err(Error::NoTime {
                left_seconds: left.as_secs(),
                needed_seconds: needed.as_secs(),
            });
        }
        let avoid = believed_bad(state, None);
        let (routes, (evidence, probed), alarms, report) = join4(
            self.deps.control.routes(&avoid, self.within(READ_ROUTES)),
            self.evidence(state),
            self.describe(confirm),
            self.readiness(),
        )
        .await;
        let routes = routes.map(|read| read.routes);
        let pending = self.pending(&evidence, routes.as_ref().ok(), wish).await;
        Ok(Seen {
            began,
            routes,
            evidence,
            probed,
            drift: report.map_or(Drift::Unknown, |report| report.drift(self.now())),
            alarms: alarms
                .into_iter()
                .map(|(arn, described)| (arn, alarm_now(described)))
                .collect(),
            pending,
        })
    }

    /// How long a round of probes may take: a write, then a read.
    fn round_limit(&self) -> SignedDuration {
        self.deps
            .settings
            .thresholds
            .probe_timeout
            .saturating_mul(2)
            + ROUND_SLACK
    }

    /// The health check's evidence if it is fresh enough and nothing newer disputes it, else that
    /// of a round made now.
    async fn evidence(&self, state: &State) -> (Evidence, bool) {
        let (control, witness) = self.vantage_points().await;
        let recorded = self.agreed(control.as_ref(), witness.as_ref());
        let max_age = self.deps.settings.thresholds.evidence_max_age;
        let speaks = |evidence: &Evidence| {
            evidence.is_fresh(self.now(), max_age) && !is_disputed(state, evidence)
        };
        if let Some(evidence) = recorded.clone().filter(speaks) {
            return (evidence, false);
        }
        let until = self.within(self.round_limit());
        let round = self.deps.prober.round(self.request_id, until).await;
        let previous = [state.evidence.as_ref(), recorded.as_ref()]
            .into_iter()
            .flatten()
            .max_by_key(|evidence| evidence.observed_at);
        let gap = self.deps.settings.thresholds.evidence_max_age.max(TICK_GAP);
        let own = Evidence::after(previous, &round, gap);
        self.measure_round(&own);
        // Where there is a witness, its word is needed for a round of ours too.
        let evidence = self.agreed(Some(&own), witness.as_ref()).unwrap_or(own);
        (evidence, true)
    }

    /// What two vantage points say together.
    fn agreed(&self, control: Option<&Evidence>, witness: Option<&Evidence>) -> Option<Evidence> {
        let max_age = self.deps.settings.thresholds.evidence_max_age;
        Evidence::agreed(control, witness, self.now(), max_age)
    }

    /// What the health check wrote, together with what its witness wrote if there is one. Whatever
    /// is wrong with it only means that the members are probed.
    pub(crate) async fn recorded_evidence(&self) -> Option<Evidence> {
        let (control, witness) = self.vantage_points().await;
        self.agreed(control.as_ref(), witness.as_ref())
    }

    /// What the health check wrote, and its witness if there is one.
    async fn vantage_points(&self) -> (Option<Evidence>, Option<Evidence>) {
        if self.deps.settings.witness.is_none() {
            return (self.recorded(EVIDENCE_KEY).await, None);
        }
        join(
            Box::pin(self.recorded(EVIDENCE_KEY)),
            Box::pin(self.recorded(WITNESS_KEY)),
        )
        .await
    }

    async fn recorded(&self, key: &str) -> Option<Evidence> {
        match self.deps.store.load_optional::<Evidence>(key).await {
            Ok(found) => found
                .map(|(evidence, _)| evidence)
                .filter(|evidence| evidence.schema == EVIDENCE_SCHEMA),
            Err(error) => {
                self.warn(
                    "the recorded evidence cannot be used; probing instead",
                    &error,
                );
                None
            }
        }
    }

    /// What the readiness check wrote. Whatever is wrong with it only means that drift is not known.
    async fn readiness(&self) -> Option<Report> {
        let document = match self.deps.store.load_optional::<Value>(REPORT_KEY).await {
            Ok(found) => found?.0,
            Err(error) => {
                self.warn("the readiness report cannot be used", &error);
                return None;
            }
        };
        match Report::parse(document, &self.deps.settings.mrap) {
            Ok(report) => Some(report),
            Err(error) => {
                self.warn("the readiness report cannot be used", &error);
                None
            }
        }
    }

    /// Describes alarms, each in its own Region.
    pub(crate) async fn describe(
        &self,
        arns: &BTreeSet<AlarmArn>,
    ) -> BTreeMap<AlarmArn, Result<DescribedAlarm, DescribeError>> {
        if arns.is_empty() {
            return BTreeMap::new();
        }
        self.deps.alarms.describe(arns, self.within(DESCRIBE)).await
    }

    /// Replication metrics: for a failback from every active member to those that would be
    /// activated, else from every bad member to every good one: what a failover leaves behind.
    async fn pending(
        &self,
        evidence: &Evidence,
        routes: Option<&Routes>,
        wish: &Wish,
    ) -> BTreeMap<(Region, Region), Pending> {
        let homeward = matches!(wish, Wish::Failback(_));
        let is_active =
            |member: &Member| routes.is_some_and(|routes| routes.is_active(&member.region));
        let is = |member: &Member, verdict| evidence.verdict(&member.region) == verdict;
        let members = || self.deps.settings.members.iter();
        let sources = members().filter(|one| {
            if homeward {
                is_active(one)
            } else {
                is(one, Verdict::Bad)
            }
        });
        let now = self.now();
        let until = self.within(METRICS);
        let asked = sources.flat_map(|source| {
            members()
                .filter(|one| is(one, Verdict::Good) && !(homeward && is_active(one)))
                .map(move |target| (source, target))
        });
        let answers = asked.map(|(source, target)| async move {
            let answer = self.deps.pending.pending(source, target, now, until).await;
            ((source.region.clone(), target.region.clone()), answer)
        });
        let mut pending = BTreeMap::new();
        for (pair, answer) in join_all(answers).await {
            match answer {
                Ok(Some(metrics)) => {
                    pending.insert(
                        pair,
                        Pending {
                            operations: metrics.operations,
                            at: metrics.at,
                        },
                    );
                }
                Ok(None) => {}
                Err(error) => self.warn("replication metrics cannot be read", &error),
            }
        }
        pending
    }

    /// Reads the routes again, with the endpoints of believed-bad Regions last.
    pub(crate) async fn read_routes(
        &self,
        avoid: &BTreeSet<Region>,
    ) -> Result<Routes, ControlError> {
        self.deps
            .control
            .routes(avoid, self.within(READ_ROUTES))
            .await
            .map(|read| read.routes)
    }

    /// Routes, recorded evidence and the readiness report for `status`: nothing is probed, nothing waits long.
    pub(crate) async fn glance(
        &self,
        state: &State,
    ) -> (
        Result<Routes, ControlError>,
        Option<Evidence>,
        Option<Report>,
    ) {
        let avoid = believed_bad(state, None);
        let (routes, recorded, report) = join3(
            self.read_routes(&avoid),
            self.recorded_evidence(),
            self.readiness(),
        )
        .await;
        // Of two that are equally new the one with the pairs.
        let evidence = [state.evidence.clone(), recorded]
            .into_iter()
            .flatten()
            .max_by_key(|evidence| evidence.observed_at);
        (routes, evidence, report)
    }
}

/// Whether an alarm that is newer than the evidence speaks of a member that this does not call bad:
/// the health check's next round may be seconds away, and a decision should not wait for it.
fn is_disputed(state: &State, evidence: &Evidence) -> bool {
    state.triggers.iter().any(|trigger| {
        trigger.source != Source::Evidence
            && trigger.last_confirmed > evidence.observed_at
            && evidence.verdict(&trigger.region) != Verdict::Bad
    })
}

/// Regions whose control endpoint had better be asked last.
pub(crate) fn believed_bad(state: &State, evidence: Option<&Evidence>) -> BTreeSet<Region> {
    let evidence = evidence.or(state.evidence.as_ref());
    let by_evidence = evidence
        .into_iter()
        .flat_map(|evidence| &evidence.members)
        .filter(|member| member.verdict == Verdict::Bad)
        .map(|member| member.region.clone());
    let by_trigger = state.triggers.iter().map(|trigger| trigger.region.clone());
    by_evidence.chain(by_trigger).collect()
}

fn alarm_now(described: Result<DescribedAlarm, DescribeError>) -> AlarmNow {
    match described {
        Ok(alarm) => AlarmNow::State {
            state: AlarmState::from(alarm.state),
            suppressed_by: alarm.suppressed_by,
        },
        Err(DescribeError::Gone) => AlarmNow::Gone,
        Err(DescribeError::Failed(_)) => AlarmNow::Unreachable,
    }
}
