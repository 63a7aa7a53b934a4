//! The one document that all invocations of the `failover` function share.
//!
//! Hold, claim, triggers, incident, history, settled routes and outbox are one object, changed
//! only by compare-and-swap, so that any two of them can never disagree.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::announce::{Announcement, enqueue};
use crate::evidence::Evidence;
use crate::guard::GuardReport;
use crate::homeward::Homeward;
use crate::names::{AlarmArn, MrapArn, Region};
use crate::rehearsal::{Rehearsal, Rehearsed};
use crate::routes::Routes;

/// Version of the state document that this code writes and understands.
pub const STATE_SCHEMA: u32 = 1;

/// How long an intention that was given up can still land: a submit that hung in a control
/// endpoint is not known to outlive this.
pub const LATE_LANDING: SignedDuration = SignedDuration::from_secs(900);

/// How long a proposed decision can be approved.
pub const APPROVAL: SignedDuration = SignedDuration::from_secs(900);

/// Route changes kept in the document.
const CHANGES_KEPT: usize = 100;
/// Closed incidents kept in the document.
const INCIDENTS_KEPT: usize = 20;
/// Lines kept of one incident's history.
const NOTES_KEPT: usize = 50;
/// How long the last transition of an alarm is remembered, to recognise what arrives late.
const ALARM_MEMORY: SignedDuration = SignedDuration::from_hours(24);
/// Alarms remembered at most.
const ALARMS_KEPT: usize = 500;

/// Why a state document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The document's form is not the one that this code knows.
    #[error(
        "the state document has schema {found}, this version understands {STATE_SCHEMA}: deploy the version that wrote it, or run repair-state"
    )]
    Schema {
        /// What stands in the document.
        found: String,
    },
    /// The document belongs to another Multi-Region Access Point.
    #[error(
        "the state document belongs to {found}, not to {expected}: STATE_BUCKET is shared or wrong"
    )]
    Foreign {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: MrapArn,
    },
    /// The document cannot be read.
    #[error(
        "the state document cannot be read ({detail}): restore an older version of it, or run repair-state"
    )]
    Torn {
        /// What the parser said.
        detail: String,
    },
}

/// The operator's kill switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Why it was set.
    pub reason: String,
    /// When it was set.
    pub since: Timestamp,
    /// When it ends by itself, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Hold {
    /// Whether it still holds.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// What kind of change a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Away from a bad member.
    Failover,
    /// Home again.
    Failback,
    /// Planned, both sides healthy.
    Switchover,
}

impl Kind {
    /// The noun used in texts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Failback => "failback",
            Self::Switchover => "switchover",
        }
    }
}

/// Who wants or made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// This machine, by itself.
    Automatic,
    /// A person, through this machine.
    Operator,
    /// Somebody else, past this machine.
    Outside,
    /// This machine, but long after it gave the change up: an abandoned submit that landed.
    LateLanding,
}

impl Actor {
    /// Whether a person wanted the change.
    #[must_use]
    pub fn is_person(self) -> bool {
        matches!(self, Self::Operator | Self::Outside)
    }
}

/// A change of the routes as it was decided: what is claimed, submitted, settled and announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The decision's id.
    pub decision: String,
    /// The incident's id.
    pub incident: String,
    /// What kind of change it is.
    pub kind: Kind,
    /// Who wants it.
    pub by: Actor,
    /// Regions whose dial goes from 100 to 0.
    pub from: BTreeSet<Region>,
    /// Regions that serve afterwards.
    pub to: BTreeSet<Region>,
    /// The routes as they were read.
    pub before: Routes,
    /// The routes as they shall be.
    pub after: Routes,
    /// The operator's reason, or what triggered it.
    pub reason: String,
    /// All guards with their verdicts.
    pub guards: Vec<GuardReport>,
    /// When the earliest trigger, or the operator, asked for it: where the clock of the recovery starts.
    pub asked_at: Timestamp,
    /// Members that a person makes active although the evidence does not show them good.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accepts: BTreeSet<Region>,
}

/// The compare-and-swapped intent to change the routes; whoever holds it may submit until it expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The invocation that holds it.
    pub request_id: String,
    /// What it intends.
    pub plan: Plan,
    /// When it was made.
    pub claimed_at: Timestamp,
    /// After this moment its holder submits no more and others may decide.
    pub expires: Timestamp,
}

/// An intention that was given up but may still land.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Abandoned {
    /// What was intended.
    pub plan: Plan,
    /// When it may last have been submitted.
    pub at: Timestamp,
}

/// Why a trigger may not act for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quiet {
    /// What silences it: a mute rule, or a composite alarm's suppressor.
    pub by: String,
    /// When that ends, if known; a muted alarm is decided again then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Quiet {
    /// Whether it still silences.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// What opened a trigger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Source {
    /// A CloudWatch alarm in ALARM.
    Alarm {
        /// The alarm.
        arn: AlarmArn,
        /// The contributor of a multi-time-series alarm.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contributor: Option<String>,
    },
    /// Our own probes.
    Evidence,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Alarm {
                arn,
                contributor: None,
            } => write!(f, "alarm {}", arn.name()),
            Self::Alarm {
                arn,
                contributor: Some(id),
            } => write!(f, "alarm {} (contributor {id})", arn.name()),
            Self::Evidence => f.write_str("our own probes"),
        }
    }
}

/// A reason to act on a Region that stays open until it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// The Region it speaks for.
    pub region: Region,
    /// What opened it.
    pub source: Source,
    /// When the trouble began, by its own account.
    pub since: Timestamp,
    /// When it was last known to persist.
    pub last_confirmed: Timestamp,
    /// What silences it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<Quiet>,
}

/// The last transition of an alarm, to recognise duplicates and what arrives out of order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmMemory {
    /// The state it changed to.
    pub state: String,
    /// When.
    pub changed_at: Timestamp,
    /// The Regions it speaks for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub regions: BTreeSet<Region>,
}

/// One line of an incident's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub text: String,
}

/// One episode, from the first trigger to the acknowledged end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// `<earliest trigger's state-change time>-<Region>`, so that retries agree.
    pub id: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The routes before its first change: what a failback restores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes_before: Option<Routes>,
    /// What happened, oldest first, bounded.
    pub notes: Vec<Note>,
}

/// An incident that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClosedIncident {
    /// Its id.
    pub id: String,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// How it ended.
    pub how: String,
}

/// A change of the routes that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// When it was read back, or noticed.
    pub at: Timestamp,
    /// Who made it.
    pub by: Actor,
    /// What kind it was; none for a change made outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Its incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// Its decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// Regions that stopped serving.
    pub from: BTreeSet<Region>,
    /// Regions that began to serve.
    pub to: BTreeSet<Region>,
    /// The routes before.
    pub before: Routes,
    /// The routes after.
    pub after: Routes,
    /// Why.
    pub reason: String,
}

/// The routes that this machine knows and accounts for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settled {
    /// The routes.
    pub routes: Routes,
    /// Since when they are accounted for.
    pub at: Timestamp,
}

/// A settled change whose effect on the data plane has yet to be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingProof {
    /// The change.
    pub plan: Plan,
    /// When it was settled.
    pub settled_at: Timestamp,
    /// Whether people were told that it takes too long.
    #[serde(default)]
    pub overdue_announced: bool,
}

/// A decision that waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// What would be done.
    pub plan: Plan,
    /// When it was last proposed: every tick that still proposes it renews it.
    pub at: Timestamp,
}

/// What was last announced about decisions that did not lead to a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standstill {
    /// What distinguishes it: ruling, incident, Regions and blocking guards.
    pub fingerprint: String,
    /// When it was announced last.
    pub announced_at: Timestamp,
    /// How often it was announced: numbers the reminders.
    pub count: u32,
}

/// The last time that the self-test's alarm arrived: the path of the alarms works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SelfTest {
    /// When the health check emitted the metric, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emitted_at: Option<Timestamp>,
    /// When the alarm changed its state.
    pub fired_at: Timestamp,
    /// When the event arrived here.
    pub received_at: Timestamp,
    /// From the metric, or else from the alarm's change, to the arrival.
    pub latency_seconds: u64,
}

impl SelfTest {
    /// One that arrives now. A metric that was emitted after the alarm changed, or more than an
    /// hour before, belongs to another test.
    #[must_use]
    pub fn arrived(fired_at: Timestamp, emitted_at: Option<Timestamp>, now: Timestamp) -> Self {
        let emitted_at = emitted_at.filter(|emitted| {
            let took = fired_at.duration_since(*emitted);
            !took.is_negative() && took <= SignedDuration::from_hours(1)
        });
        let took = now.duration_since(emitted_at.unwrap_or(fired_at));
        Self {
            emitted_at,
            fired_at,
            received_at: now,
            latency_seconds: u64::try_from(took.as_secs()).unwrap_or(0),
        }
    }
}

/// The shared document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// [`STATE_SCHEMA`].
    pub schema: u32,
    /// Whose state this is.
    pub mrap: MrapArn,
    /// The last writer.
    pub written_by: String,
    /// When it was written.
    pub written_at: Timestamp,
    /// The kill switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// The current claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// Intentions that may still land.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abandoned: Vec<Abandoned>,
    /// Open triggers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// Last transition per alarm (and contributor).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alarms: BTreeMap<String, AlarmMemory>,
    /// The open incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<Incident>,
    /// Incidents that are over, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<ClosedIncident>,
    /// Changes of the routes, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// The routes accounted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// What has yet to be proven on the data plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<PendingProof>,
    /// Members that a person sent traffic to although nothing showed them good: nothing moves away from them
    /// automatically until they were seen good, or an operator acknowledges.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accepted: BTreeMap<Region, Timestamp>,
    /// Why automatic failback is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failback_suspended: Option<String>,
    /// The end of cooldowns by acknowledgement: changes before it start none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown_ended: Option<Timestamp>,
    /// The decision that can be approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
    /// What was last announced about a decision that led to no change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standstill: Option<Standstill>,
    /// What was last decided about the way home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homeward: Option<Homeward>,
    /// The rehearsal that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsal>,
    /// The last rehearsal that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsed: Option<Rehearsed>,
    /// Problems that are announced once while they last, with the time of the announcement.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub problems: BTreeMap<String, Timestamp>,
    /// Announcements that are recorded but not yet marked as published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<Announcement>,
    /// The last self-test of the alarms' path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_test: Option<SelfTest>,
    /// The evidence that was last decided on, without its pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Fields that a newer version added within this schema: kept, so that a roll-back loses nothing.
    #[serde(flatten)]
    pub others: BTreeMap<String, serde_json::Value>,
}

impl State {
    /// The state of a first start.
    #[must_use]
    pub fn first(mrap: MrapArn, now: Timestamp) -> Self {
        Self {
            schema: STATE_SCHEMA,
            mrap,
            written_by: String::new(),
            written_at: now,
            hold: None,
            claim: None,
            abandoned: Vec::new(),
            triggers: Vec::new(),
            alarms: BTreeMap::new(),
            incident: None,
            closed: Vec::new(),
            changes: Vec::new(),
            settled: None,
            proof: None,
            accepted: BTreeMap::new(),
            failback_suspended: None,
            cooldown_ended: None,
            proposal: None,
            standstill: None,
            homeward: None,
            rehearsal: None,
            rehearsed: None,
            problems: BTreeMap::new(),
            outbox: Vec::new(),
            self_test: None,
            evidence: None,
            others: BTreeMap::new(),
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// A document of another schema, of another access point, or one that cannot be read.
    pub fn parse(document: serde_json::Value, mrap: &MrapArn) -> Result<Self, StateError> {
        let schema = document.get("schema");
        if schema.and_then(serde_json::Value::as_u64) != Some(u64::from(STATE_SCHEMA)) {
            return Err(StateError::Schema {
                found: schema.map_or_else(|| "none".to_owned(), ToString::to_string),
            });
        }
        let owner = document.get("mrap").and_then(serde_json::Value::as_str);
        if owner.is_some_and(|owner| owner != mrap.as_str()) {
            return Err(StateError::Foreign {
                found: owner.unwrap_or_default().to_owned(),
                expected: mrap.clone(),
            });
        }
        serde_json::from_value(document).map_err(|error| StateError::Torn {
            detail: error.to_string(),
        })
    }

    /// The hold, if it is set and has not ended.
    #[must_use]
    pub fn active_hold(&self, now: Timestamp) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| hold.is_active(now))
    }

    /// Another invocation's claim that has not expired.
    #[must_use]
    pub fn foreign_claim(&self, request_id: &str, now: Timestamp) -> Option<&Claim> {
        self.claim
            .as_ref()
            .filter(|claim| claim.request_id != request_id && now <= claim.expires)
    }

    /// The newest change that left this member and was not an operator's by this machine: one made
    /// outside begins the cooldown too.
    #[must_use]
    pub fn last_automatic_departure(&self, region: &Region) -> Option<&Change> {
        self.changes
            .iter()
            .rev()
            .find(|change| change.by != Actor::Operator && change.from.contains(region))
    }

    /// Automatic changes after `start`.
    #[must_use]
    pub fn automatic_changes_since(&self, start: Timestamp) -> usize {
        self.changes
            .iter()
            .filter(|change| change.by == Actor::Automatic && change.at > start)
            .count()
    }

    /// Opens the incident unless one is open, and returns its id.
    pub fn open_incident(&mut self, since: Timestamp, region: &Region, now: Timestamp) -> String {
        self.incident
            .get_or_insert_with(|| Incident {
                id: incident_id(since, region),
                opened_at: now,
                routes_before: None,
                notes: Vec::new(),
            })
            .id
            .clone()
    }

    /// Adds a line to the open incident's history.
    pub fn note(&mut self, now: Timestamp, text: impl Into<String>) {
        if let Some(incident) = &mut self.incident {
            incident.notes.push(Note {
                at: now,
                text: text.into(),
            });
            let excess = incident.notes.len().saturating_sub(NOTES_KEPT);
            // The first lines say how it began: they stay.
            incident.notes.drain(1..=excess);
        }
    }

    /// Closes the open incident.
    pub fn close_incident(&mut self, now: Timestamp, how: &str) {
        if let Some(incident) = self.incident.take() {
            self.closed.push(ClosedIncident {
                id: incident.id,
                closed_at: now,
                how: how.to_owned(),
            });
            let excess = self.closed.len().saturating_sub(INCIDENTS_KEPT);
            self.closed.drain(..excess);
            self.standstill = None;
            self.homeward = None;
            self.proposal = None;
        }
    }

    /// Records a change of the routes and takes its result as the new baseline.
    pub fn record_change(&mut self, change: Change) {
        self.settled = Some(Settled {
            routes: change.after.clone(),
            at: change.at,
        });
        if let Some(incident) = &mut self.incident {
            incident
                .routes_before
                .get_or_insert_with(|| change.before.clone());
        }
        self.note(
            change.at,
            format!("routes {} ({})", change.after, change.reason),
        );
        self.changes.push(change);
        let excess = self.changes.len().saturating_sub(CHANGES_KEPT);
        self.changes.drain(..excess);
        self.standstill = None;
        self.homeward = None;
        self.proposal = None;
    }

    /// Takes note of a self-test. The same one may arrive in several ways: the first counts.
    pub fn note_self_test(&mut self, arrived: SelfTest) {
        let known = self.self_test.as_ref();
        if known.is_none_or(|known| known.fired_at < arrived.fired_at) {
            self.self_test = Some(arrived);
        }
    }

    /// Puts an announcement into the outbox.
    pub fn announce(&mut self, announcement: Announcement) {
        enqueue(&mut self.outbox, announcement);
    }

    /// Forgets what has become too old to matter.
    pub fn forget_old(&mut self, now: Timestamp) {
        self.abandoned
            .retain(|abandoned| now.duration_since(abandoned.at) <= LATE_LANDING);
        self.alarms
            .retain(|_, memory| now.duration_since(memory.changed_at) <= ALARM_MEMORY);
        while self.alarms.len() > ALARMS_KEPT {
            let oldest = self
                .alarms
                .iter()
                .min_by_key(|(_, memory)| memory.changed_at)
                .map(|(key, _)| key.clone());
            if let Some(key) = oldest {
                self.alarms.remove(&key);
            }
        }
        if self
            .proposal
            .as_ref()
            .is_some_and(|proposal| now.duration_since(proposal.at) > APPROVAL)
        {
            self.proposal = None;
        }
        if self.hold.as_ref().is_some_and(|hold| !hold.is_active(now)) {
            self.hold = None;
        }
    }
}

/// The id of the incident that began at `since` in `region`, such as `2026-11-20T16:59:03Z-us-east-1`.
#[must_use]
pub fn incident_id(since: Timestamp, region: &Region) -> String {
    format!("{}-{region}", since.strftime("%Y-%m-%dT%H:%M:%SZ"))
}
