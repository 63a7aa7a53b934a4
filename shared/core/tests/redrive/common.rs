//! Settings, groups and files to test with.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sentinel_core::ledger::{ContentHash, Group, GroupId, Millis, OpenName};
use sentinel_core::redrive::apply::Desk;
use sentinel_core::redrive::inventory::{Inventory, Listed};
use sentinel_core::redrive::plan::{Plan, Step, plan};
use sentinel_core::redrive::state::{GroupPhase, GroupRecord, OpenJob, RedriveState};
use sentinel_core::settings::RedriveSettings;

/// A Friday evening.
pub(crate) fn start() -> Timestamp {
    "2026-11-20T17:00:00Z".parse().unwrap()
}

/// Settings of an automatic deployment, with these variables on top.
pub(crate) fn settings(variables: &[(&str, &str)]) -> RedriveSettings {
    let mut all = BTreeMap::from([
        (
            "MRAP_ARN",
            "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
        ),
        ("MEMBERS", "app-use1@us-east-1,app-euw1@eu-west-1"),
        ("STATE_BUCKET", "sentinel-state"),
        (
            "TOPIC_ARNS",
            "arn:aws:sns:us-east-2:111122223333:mrap-sentinel",
        ),
        ("WORK_BUCKETS", "work-use1@us-east-1,work-euw1@eu-west-1"),
        (
            "BATCH_ROLE_ARN",
            "arn:aws:iam::111122223333:role/mrap-sentinel-batch",
        ),
        ("REDRIVE", "automatic"),
    ]);
    all.extend(variables.iter().copied());
    RedriveSettings::from_lookup(|name| all.get(name).map(|value| (*value).to_owned())).unwrap()
}

pub(crate) fn group(source: &str, destination: &str, reason: &str) -> Group {
    Group {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        rule: format!("to-{destination}"),
        reason: reason.to_owned(),
    }
}

/// The group that most tests are about.
pub(crate) fn unversioned() -> Group {
    group("app-use1", "app-euw1", "DstBucketUnversioned")
}

/// A file of a group with so many rows that failed then.
pub(crate) fn file(group: GroupId, rows: u64, failed_at: Timestamp, appended: Timestamp) -> Listed {
    let millis = Millis::from(failed_at);
    Listed {
        name: OpenName {
            group,
            oldest: millis,
            newest: millis,
            rows,
            hash: ContentHash::of(format!("{rows} {failed_at} {appended}").as_bytes()),
        },
        bytes: rows * 150,
        appended,
    }
}

/// A document, a ledger and a clock.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    pub(crate) state: RedriveState,
    pub(crate) inventory: Inventory,
    pub(crate) settings: RedriveSettings,
    pub(crate) now: Timestamp,
}

impl Bench {
    pub(crate) fn new(variables: &[(&str, &str)]) -> Self {
        let settings = settings(variables);
        Self {
            state: RedriveState::first(settings.mrap.clone(), start()),
            inventory: Inventory::default(),
            settings,
            now: start(),
        }
    }

    pub(crate) fn desk(&self) -> Desk<'_> {
        Desk {
            settings: &self.settings,
            request_id: "request-1",
            now: self.now,
        }
    }

    pub(crate) fn apply(&mut self, happening: &sentinel_core::redrive::apply::Happening) {
        let mut state = self.state.clone();
        self.desk().apply(&mut state, happening);
        self.state = state;
    }

    pub(crate) fn look(&mut self) {
        let mut state = self.state.clone();
        self.desk().look(&mut state, &self.inventory);
        self.state = state;
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now = self
            .now
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap();
    }

    /// Rows of a group that fail now.
    pub(crate) fn fail(&mut self, group: &Group, rows: u64) {
        let file = file(group.id(), rows, self.now, self.now);
        let files = self.inventory.open.entry(group.id()).or_default();
        files.push(file);
        if !self.state.groups.contains_key(&group.id()) {
            self.apply(&sentinel_core::redrive::apply::Happening::Learnt(
                group.clone(),
            ));
        }
        self.look();
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.state, &self.inventory, &self.settings, self.now)
    }

    /// The jobs that are to be begun.
    pub(crate) fn begun(&self) -> Vec<OpenJob> {
        self.plan()
            .steps
            .into_iter()
            .filter_map(|step| match step {
                Step::Plan { open, .. } => Some(*open),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn record(&self, group: &Group) -> &GroupRecord {
        &self.state.groups[&group.id()]
    }

    pub(crate) fn phase(&self, group: &Group) -> &GroupPhase {
        &self.record(group).phase
    }
}
