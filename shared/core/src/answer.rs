//! The answer of the `failover` function: also the body of its log line and of its JSON announcements.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use crate::announce::Severity;
use crate::decide::{Assessment, Decision, Drift};
use crate::evidence::{PairEvidence, ServingEvidence};
use crate::guard::{Guard, GuardReport};
use crate::homeward::Homeward;
use crate::names::Region;
use crate::readiness::Report;
use crate::rehearsal::{Rehearsal, Rehearsed, TimedStep};
use crate::routes::Routes;
use crate::state::{Actor, Change, ClosedIncident, Hold, Kind, Plan, SelfTest, Trigger};

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The dial was moved away from a bad Region, and the data plane shows it.
    FailedOver,
    /// The dial was moved home, and the data plane shows it.
    FailedBack,
    /// The dial was moved as planned, and the data plane shows it.
    SwitchedOver,
    /// The routes show the change; the data plane has yet to.
    Submitted,
    /// It would be done in another mode, or without `dryRun`.
    WouldAct,
    /// It waits for `approve`.
    NeedsApproval,
    /// A guard stands in the way.
    Blocked,
    /// Nothing to do.
    NoChange,
    /// The hold is set.
    Held,
    /// The hold is lifted.
    Released,
    /// The incident is closed.
    Acknowledged,
    /// Over and back again, as an exercise.
    Rehearsed,
    /// What is.
    Status,
}

impl Outcome {
    /// What a change of this kind is called once it is proven.
    #[must_use]
    pub fn proven(kind: Kind) -> Self {
        match kind {
            Kind::Failover => Self::FailedOver,
            Kind::Failback => Self::FailedBack,
            Kind::Switchover => Self::SwitchedOver,
        }
    }

    /// The outcome as printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FailedOver => "failed-over",
            Self::FailedBack => "failed-back",
            Self::SwitchedOver => "switched-over",
            Self::Submitted => "submitted",
            Self::WouldAct => "would-act",
            Self::NeedsApproval => "needs-approval",
            Self::Blocked => "blocked",
            Self::NoChange => "no-change",
            Self::Held => "held",
            Self::Released => "released",
            Self::Acknowledged => "acknowledged",
            Self::Rehearsed => "rehearsed",
            Self::Status => "status",
        }
    }
}

/// The routes before and after; `after` is empty while nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct RoutesShown {
    /// As they were read.
    pub before: Vec<crate::routes::Route>,
    /// As they are, or would be.
    pub after: Vec<crate::routes::Route>,
}

/// A topic that could not be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedTopic {
    /// The topic.
    pub topic: String,
    /// Why.
    pub error: String,
}

/// One member's health as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// The Region.
    pub region: Region,
    /// The verdict, as in the evidence.
    pub verdict: &'static str,
    /// Its reason.
    pub detail: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How long the health check's latest round took there, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_millis: Option<u64>,
    /// The health check's bad rounds in a row.
    pub bad_rounds: u32,
    /// Age of the evidence in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<i64>,
}

/// Whoever is acting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimStatus {
    /// The invocation.
    pub request_id: String,
    /// The decision it carries out.
    pub decision: String,
    /// Where to.
    pub to: BTreeSet<Region>,
    /// When it expires.
    pub expires: Timestamp,
}

/// What the readiness check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// In one sentence.
    pub detail: String,
    /// Age of the report in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<i64>,
    /// What it found, the worst first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingStatus>,
}

/// One finding as `status` shows it; `readiness` tells what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingStatus {
    /// How bad it is.
    pub severity: Severity,
    /// Check and subject.
    pub id: String,
    /// What was seen.
    pub evidence: String,
    /// Regions that it makes unfit to serve.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Region>,
    /// It makes them unfit only for those who leave this Region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Region>,
    /// It could not be looked at the last time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unconfirmed: bool,
}

impl DriftStatus {
    /// What this report says now.
    #[must_use]
    pub fn of(report: Option<&Report>, now: Timestamp) -> Self {
        let Some(report) = report else {
            return Self {
                detail: "unknown: no report of the readiness check".to_owned(),
                age_seconds: None,
                findings: Vec::new(),
            };
        };
        let detail = match (report.drift(now), report.findings.len()) {
            (Drift::Unknown, _) => format!(
                "unknown: the last report of the readiness check is of {}",
                report.observed_at
            ),
            (
                Drift::Known {
                    unknown, findings, ..
                },
                _,
            ) if findings.is_empty() && !unknown.is_empty() => {
                let unknown = report.unknown(now).map(|one| one.id.as_str());
                let unknown: Vec<&str> = unknown.collect();
                format!("unknown: could not be looked at: {}", unknown.join(", "))
            }
            (Drift::Known { .. }, 0) => format!("none: {} checks found nothing", report.checked),
            (Drift::Known { findings, .. }, some) if findings.is_empty() => {
                format!("{some} findings, none of them stands against a failover")
            }
            (Drift::Known { .. }, some) => {
                format!("{some} findings, some of them stand against a failover")
            }
        };
        let findings = report.findings.iter().map(|finding| FindingStatus {
            severity: finding.severity,
            id: finding.id.clone(),
            evidence: finding.evidence.clone(),
            targets: finding.targets.clone(),
            leaving: finding.leaving.clone(),
            unconfirmed: finding.unconfirmed,
        });
        Self {
            detail,
            age_seconds: Some(now.duration_since(report.observed_at).as_secs()),
            findings: findings.collect(),
        }
    }
}

/// What `status` adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusDetails {
    /// `MODE`.
    pub mode: crate::settings::Mode,
    /// `FAILBACK`.
    pub failback: crate::settings::FailbackMode,
    /// The hold, if one is set.
    pub hold: Option<Hold>,
    /// The open triggers.
    pub triggers: Vec<Trigger>,
    /// What the members look like.
    pub evidence: Vec<MemberStatus>,
    /// From how many Regions they were looked at, if at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vantage_points: Option<u8>,
    /// Which Regions the access point really serves, if the health check looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<ServingEvidence>,
    /// Replication between the members, if the health check looked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PairEvidence>,
    /// The last self-test of the alarms that arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_test: Option<SelfTest>,
    /// Whoever is acting.
    pub claim: Option<ClaimStatus>,
    /// The change that the data plane has yet to show.
    pub unproven: Option<String>,
    /// The decision that can be approved.
    pub proposal: Option<String>,
    /// What the readiness check found.
    pub drift: DriftStatus,
    /// What was last decided about the way home, if there is one to go.
    pub homeward: Option<Homeward>,
    /// The rehearsal that is under way.
    pub rehearsal: Option<Rehearsal>,
    /// The last one that is over.
    pub rehearsed: Option<Rehearsed>,
    /// Why automatic failback is suspended, if it is.
    pub failback_suspended: Option<String>,
    /// Members that a person made active although nothing showed them good.
    pub accepted: BTreeSet<Region>,
    /// Announcements that wait to be published.
    pub unpublished: usize,
    /// Changes of the routes, newest first.
    pub history: Vec<Change>,
    /// Incidents that are over, newest first.
    pub incidents: Vec<ClosedIncident>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// The incident it belongs to.
    pub incident: Option<String>,
    /// The decision's id.
    pub decision: Option<String>,
    /// Regions that are left.
    pub from: BTreeSet<Region>,
    /// Regions that serve afterwards.
    pub to: BTreeSet<Region>,
    /// Every guard.
    pub guards: Vec<GuardReport>,
    /// The guards that stand in the way.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub blocking: BTreeSet<Guard>,
    /// The routes.
    pub routes: RoutesShown,
    /// One paragraph for a person woken at night.
    pub explanation: String,
    /// Who wanted the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// What a rehearsal took, step by step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<TimedStep>,
    /// Topics that could not be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_topics: Vec<FailedTopic>,
    /// What `status` adds.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusDetails>,
}

impl Answer {
    /// Names topics that could not be reached: each once, however many messages it missed.
    pub fn name_failed_topics(&mut self, failed: Vec<FailedTopic>) {
        for one in failed {
            if self
                .failed_topics
                .iter()
                .all(|known| known.topic != one.topic)
            {
                self.failed_topics.push(one);
            }
        }
    }

    /// An answer that is only words.
    #[must_use]
    pub fn plain(outcome: Outcome, explanation: impl Into<String>) -> Self {
        Self {
            outcome,
            incident: None,
            decision: None,
            from: BTreeSet::new(),
            to: BTreeSet::new(),
            guards: Vec::new(),
            blocking: BTreeSet::new(),
            routes: RoutesShown::default(),
            explanation: explanation.into(),
            by: None,
            steps: Vec::new(),
            failed_topics: Vec::new(),
            status: None,
        }
    }

    /// The answer about a plan.
    #[must_use]
    pub fn about(outcome: Outcome, plan: &Plan, explanation: impl Into<String>) -> Self {
        let changed = !matches!(outcome, Outcome::Blocked | Outcome::NoChange);
        Self {
            incident: Some(plan.incident.clone()),
            decision: Some(plan.decision.clone()),
            from: plan.from.clone(),
            to: plan.to.clone(),
            guards: plan.guards.clone(),
            routes: RoutesShown {
                before: plan.before.clone().into(),
                after: if changed {
                    plan.after.clone().into()
                } else {
                    Vec::new()
                },
            },
            by: Some(plan.by),
            ..Self::plain(outcome, explanation)
        }
    }

    /// The answer about a decision that changes nothing.
    #[must_use]
    pub fn standing_still(decision: &Decision, routes: &Routes) -> Self {
        let about = |outcome, assessment: &Assessment| Self {
            blocking: assessment.blocking.clone(),
            ..Self::about(outcome, &assessment.plan, assessment.explanation.clone())
        };
        match decision {
            Decision::NoChange { explanation } => Self {
                routes: RoutesShown {
                    before: routes.clone().into(),
                    after: Vec::new(),
                },
                ..Self::plain(Outcome::NoChange, explanation.clone())
            },
            Decision::Blocked(assessment) => about(Outcome::Blocked, assessment),
            // Nothing is held up that anybody waits for: the guards say what it takes.
            Decision::Waits(assessment) => Self::about(
                Outcome::NoChange,
                &assessment.plan,
                assessment.explanation.clone(),
            ),
            Decision::NeedsApproval(assessment) => about(Outcome::NeedsApproval, assessment),
            Decision::WouldAct(assessment) | Decision::Act(assessment) => {
                about(Outcome::WouldAct, assessment)
            }
        }
    }
}
