//! Looking at the world: routes, evidence, drift, alarms and replication metrics.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{join, join_all, join3, join4};
use jiff::{SignedDuration, Timestamp};
use sentinel_aws::alarms::{DescribeError, DescribedAlarm};
use sentinel_aws::control::ControlError;
use sentinel_aws::readiness;
use sentinel_aws::store::Loaded;
use sentinel_core::alarm::AlarmState;
use sentinel_core::decide::{Drain, Drift, Observation, Pending, Redrives, WayHome, Wish};
use sentinel_core::evidence::{EVIDENCE_SCHEMA, Evidence, Verdict};
use sentinel_core::names::{AlarmArn, Member, Region};
use sentinel_core::readiness::Report;
use sentinel_core::redrive::state::{REDRIVE_KEY, RedriveState};
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
    /// What the readiness check found.
    pub(crate) drift: Drift,
    /// What CloudWatch says of the alarms that were asked about.
    pub(crate) alarms: BTreeMap<AlarmArn, AlarmNow>,
    /// Replication metrics.
    pub(crate) pending: BTreeMap<(Region, Region), Pending>,
    /// What is still on its way home.
    pub(crate) way_home: WayHome,
    /// Those of the alarms that stand in the way of a scheduled rehearsal.
    pub(crate) blocking_alarms: BTreeMap<AlarmArn, AlarmNow>,
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
            way_home: &self.way_home,
            blocking_alarms: &self.blocking_alarms,
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
        let blocking = self.blocking_alarms(state, wish);
        let asked: BTreeSet<AlarmArn> = confirm.union(&blocking).cloned().collect();
        let (routes, evidence, alarms, report) = join4(
            self.deps.control.routes(&avoid, self.within(READ_ROUTES)),
            self.evidence(state),
            self.describe(&asked),
            self.readiness(),
        )
        .await;
        let routes = routes.map(|read| read.routes);
        let (pending, way_home) = join(
            self.pending(&evidence, wish),
            self.way_home(state, &evidence, routes.as_ref().ok(), wish),
        )
        .await;
        let alarms: BTreeMap<AlarmArn, AlarmNow> = alarms
            .into_iter()
            .map(|(arn, described)| (arn, alarm_now(described)))
            .collect();
        Ok(Seen {
            began,
            routes,
            evidence,
            drift: report.map_or(Drift::Unknown, |report| report.drift(self.now())),
            blocking_alarms: alarms
                .iter()
                .filter(|(arn, _)| blocking.contains(*arn))
                .map(|(arn, now)| (arn.clone(), now.clone()))
                .collect(),
            alarms: alarms
                .into_iter()
                .filter(|(arn, _)| confirm.contains(arn))
                .collect(),
            pending,
            way_home,
        })
    }

    /// The alarms that have a say in the rehearsal that is wanted or under way.
    fn blocking_alarms(&self, state: &State, wish: &Wish) -> BTreeSet<AlarmArn> {
        let under_way = state.rehearsal.as_ref();
        let scheduled = matches!(
            wish,
            Wish::Rehearsal {
                scheduled: true,
                ..
            }
        ) || under_way.is_some_and(|rehearsal| rehearsal.scheduled);
        if !scheduled {
            return BTreeSet::new();
        }
        let settings = &self.deps.settings;
        let (region, account) = (self.deps.edge.region(), settings.mrap.account());
        let alarms = settings.rehearsal_alarms.iter();
        alarms
            .filter_map(|alarm| alarm.arn(region, account))
            .collect()
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
    async fn evidence(&self, state: &State) -> Evidence {
        let (control, witness) = self.vantage_points().await;
        let recorded = self.agreed(control.as_ref(), witness.as_ref());
        let max_age = self.deps.settings.thresholds.evidence_max_age;
        let speaks = |evidence: &Evidence| {
            evidence.is_fresh(self.now(), max_age) && !is_disputed(state, evidence)
        };
        if let Some(evidence) = recorded.clone().filter(speaks) {
            return evidence;
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
        self.agreed(Some(&own), witness.as_ref()).unwrap_or(own)
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
        let found = readiness::report(&self.deps.store, &self.deps.settings.mrap).await;
        found.unwrap_or_else(|error| {
            self.warn("the readiness report cannot be used", &error);
            None
        })
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

    /// What is on its way from every acting member to those that going home would activate. Asked
    /// only if that is wanted, or if there is a way home and home is well.
    async fn way_home(
        &self,
        state: &State,
        evidence: &Evidence,
        routes: Option<&Routes>,
        wish: &Wish,
    ) -> WayHome {
        let unknown = |why: &str| WayHome {
            redrives: Redrives::Unknown {
                why: why.to_owned(),
            },
            ..WayHome::default()
        };
        let Some(routes) = routes else {
            return unknown("the routes cannot be read");
        };
        let before = state
            .incident
            .as_ref()
            .and_then(|incident| incident.routes_before.as_ref())
            .map(Routes::active);
        let is_home = |region: &Region| before.as_ref().is_none_or(|home| home.contains(region));
        let commanded = matches!(wish, Wish::Failback(_) | Wish::Homeward);
        let by_itself = *wish == (Wish::Triggers { approved: false })
            && before.as_ref().is_some_and(|home| *home != routes.active());
        if !commanded && !by_itself {
            return unknown("going home is not wanted");
        }
        let members = || self.deps.settings.members.iter();
        let targets: Vec<&Member> = members()
            .filter(|one| is_home(&one.region) && !routes.is_active(&one.region))
            .filter(|one| evidence.verdict(&one.region) == Verdict::Good)
            .collect();
        if targets.is_empty() {
            return unknown("home is not well");
        }
        let acting = members().filter(|one| routes.is_active(&one.region));
        let pairs: Vec<(&Member, &Member)> = acting
            .flat_map(|source| targets.iter().map(move |target| (source, *target)))
            .collect();
        let (drains, redrives) = join(self.drains(pairs), self.redrives()).await;
        WayHome { drains, redrives }
    }

    /// Replication metrics over the drain window.
    async fn drains(
        &self,
        pairs: Vec<(&Member, &Member)>,
    ) -> BTreeMap<(Region, Region), Vec<Drain>> {
        let window = self.deps.settings.thresholds.drain;
        let times = (self.now(), self.within(METRICS));
        let asked = pairs.into_iter().map(|(source, target)| async move {
            let answer = self
                .deps
                .pending
                .drains(source, target, window, times)
                .await;
            ((source.region.clone(), target.region.clone()), answer)
        });
        let mut drains = BTreeMap::new();
        for (pair, answer) in join_all(asked).await {
            match answer {
                Ok(found) => {
                    drains.insert(pair, found);
                }
                Err(error) => self.warn("replication metrics cannot be read", &error),
            }
        }
        drains
    }

    /// What the `redrive` function has under way. It writes its document when the first failure
    /// comes: one that never was means that there never was anything to re-drive.
    async fn redrives(&self) -> Redrives {
        let settings = &self.deps.settings;
        let unknown = |why: String| {
            self.warn("the document of re-drives cannot be used", &why);
            Redrives::Unknown { why }
        };
        match self.deps.store.load::<Value>(REDRIVE_KEY).await {
            Ok(Loaded::FirstStart) => Redrives::Known(Vec::new()),
            Ok(Loaded::Deleted) => unknown(format!("{REDRIVE_KEY} was deleted")),
            Ok(Loaded::Found { document, .. }) => {
                match RedriveState::parse(document, &settings.mrap) {
                    Ok(state) => Redrives::of(&state, &settings.members),
                    Err(error) => unknown(error.to_string()),
                }
            }
            Err(error) => unknown(error.to_string()),
        }
    }

    /// Replication metrics from every bad member to every good one: what a failover leaves behind.
    async fn pending(
        &self,
        evidence: &Evidence,
        wish: &Wish,
    ) -> BTreeMap<(Region, Region), Pending> {
        if matches!(wish, Wish::Failback(_) | Wish::Homeward) {
            return BTreeMap::new();
        }
        let is = |member: &Member, verdict| evidence.verdict(&member.region) == verdict;
        let members = || self.deps.settings.members.iter();
        let sources = members().filter(|one| is(one, Verdict::Bad));
        let now = self.now();
        let until = self.within(METRICS);
        let asked = sources.flat_map(|source| {
            members()
                .filter(|one| is(one, Verdict::Good))
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
