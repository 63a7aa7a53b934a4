//! The ledger at the end of a run, read as its formats say, beside the simulator's truth.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use sentinel_core::ledger::{
    Group, GroupId, HANDED_OVER, Millis, OPEN, Reader, Rows, SETTLED, Settled,
};
use sentinel_core::redrive::state::{REDRIVE_KEY, RedriveState};
use simulator::{SimTime, World};

use super::{Machine, truth};
use crate::backlog::{Backlog, GroupSeen, Limits, OpenRow, SettledVersions};
use crate::history::Acknowledged;
use crate::scenario::Stage;
use crate::{STATE_BUCKET, mrap_arn};

/// Everything about failed copies.
pub(super) fn backlog(
    world: &World,
    stage: &Stage,
    machine: &Machine,
    acknowledged: &[Acknowledged],
) -> Backlog {
    let settled = settled(world);
    let mut open = rows(world, OPEN);
    // Files leave the ledger when a job closes; their rows are done with when they are settled.
    open.retain(|row| {
        let at = settled.of(row).map(|(at, _)| at);
        at.is_none_or(|at| at < row.failed_at)
    });
    let documents = documents(world);
    let thresholds = &machine.settings.redrive.thresholds;
    Backlog {
        copies: truth::copies(world, acknowledged),
        jobs: truth::jobs(world),
        refusals: truth::refusals(world, stage),
        open,
        handed_over: rows(world, HANDED_OVER),
        settled,
        groups: groups(&documents),
        recorded: recorded(&documents),
        letters: machine.queue.letters(world.waiting_replication_messages()),
        limits: Limits {
            jobs: thresholds.jobs,
            attempts: thresholds.attempts as usize,
            daily_dollars: f64::from(thresholds.daily_dollars),
        },
    }
}

/// Every version of the `redrive` function's document, oldest first.
fn documents(world: &World) -> Vec<(SimTime, RedriveState)> {
    let mrap = mrap_arn().parse().expect("an ARN");
    let versions = world.versions(STATE_BUCKET, REDRIVE_KEY).into_iter().rev();
    let versions = versions.filter(|version| !version.delete_marker);
    versions
        .map(|version| {
            let document = serde_json::from_slice(&version.body).expect("JSON");
            let state = RedriveState::parse(document, &mrap).expect("a document of redrive");
            (version.last_modified, state)
        })
        .collect()
}

fn groups(documents: &[(SimTime, RedriveState)]) -> BTreeMap<GroupId, GroupSeen> {
    let mut groups: BTreeMap<GroupId, GroupSeen> = BTreeMap::new();
    for (at, document) in documents {
        for (id, record) in &document.groups {
            let seen = groups.entry(*id).or_insert_with(|| GroupSeen {
                group: record.group.clone(),
                phases: Vec::new(),
            });
            let phase = record.phase.as_str();
            if seen.phases.last().is_none_or(|(_, last)| last != phase) {
                seen.phases.push((*at, phase.to_owned()));
            }
        }
    }
    groups
}

/// When each announcement was first in the outbox, and whether a newer one may replace it.
fn recorded(documents: &[(SimTime, RedriveState)]) -> BTreeMap<String, (SimTime, bool)> {
    let mut recorded = BTreeMap::new();
    for (at, document) in documents {
        for announcement in &document.outbox {
            let id = announcement.event_id.clone();
            let entry = (*at, announcement.event.is_reminder());
            recorded.entry(id).or_insert(entry);
        }
    }
    recorded
}

/// A calendar time as a moment of the run.
fn moment(epoch: Timestamp, at: Millis) -> SimTime {
    let millis = at.get() - epoch.as_millisecond();
    SimTime::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Keys and contents under a prefix of the state bucket.
fn files<'a>(world: &'a World, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    let keys = world.keys(STATE_BUCKET).into_iter();
    let keys = keys.filter(move |key| key.starts_with(prefix));
    keys.filter_map(|key| Some((key, &*world.object(STATE_BUCKET, key)?.body)))
}

fn rows(world: &World, prefix: &str) -> Vec<OpenRow> {
    let epoch = world.config().epoch;
    let mut rows = Vec::new();
    for (key, body) in files(world, prefix) {
        let mut reader = Reader::<Rows>::new(key);
        reader.feed(body);
        let mut groups: Vec<Arc<Group>> = Vec::new();
        while let Some(row) = reader.next_record().expect("a file of rows") {
            if groups.is_empty() {
                let header = reader.header().expect("it was read");
                groups.extend(header.groups.iter().cloned().map(Arc::new));
            }
            rows.push(OpenRow {
                group: groups[usize::from(row.group)].clone(),
                key: row.key,
                version: row.version,
                failed_at: moment(epoch, row.failed_at),
                attempts: row.attempts,
            });
        }
        reader.finish().expect("a whole file");
    }
    rows
}

fn settled(world: &World) -> SettledVersions {
    let epoch = world.config().epoch;
    let mut settled = SettledVersions::default();
    for (key, body) in files(world, SETTLED) {
        let mut reader = Reader::<Settled>::new(key);
        reader.feed(body);
        let mut names: Option<(Arc<str>, Vec<Arc<str>>)> = None;
        while let Some(row) = reader.next_record().expect("a settled file") {
            let header = reader.header().expect("it was read");
            let (source, destinations) = names.get_or_insert_with(|| {
                let destinations = header.destinations.iter();
                let destinations = destinations.map(|one| Arc::from(one.as_str()));
                (Arc::from(header.source.as_str()), destinations.collect())
            });
            let destination = &destinations[usize::from(row.destination)];
            let version = (row.identity, source.clone(), destination.clone());
            settled.insert(version, moment(epoch, row.settled_at), row.how);
        }
        reader.finish().expect("a whole file");
    }
    settled
}
