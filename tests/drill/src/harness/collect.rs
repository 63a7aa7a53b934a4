//! What happened, put together when a run has ended.

use std::collections::BTreeMap;

use sentinel_core::readiness::{REPORT_KEY, Report};
use sentinel_core::state::State;
use simulator::truth::Published;
use simulator::{SimTime, Simulator, World};

use super::{Witnesses, ledger};
use crate::history::{Acknowledged, Data, Function, Held, History, Invocation};
use crate::scenario::Stage;
use crate::{ALIAS, STATE_BUCKET, alarm_topic_arn, mrap_arn};

/// The history of a run that ended.
pub(super) fn history(sim: &Simulator, stage: Stage, witnesses: &Witnesses) -> History {
    let machine = &witnesses.machine;
    let (mut invocations, mut lines) = (Vec::new(), Vec::new());
    let functions = [
        &machine.failover,
        &machine.health,
        &machine.collector,
        &machine.redrive,
        &machine.readiness,
    ];
    for lambda in functions.into_iter().chain(&witnesses.second_view) {
        let (invoked, said) = lambda.records();
        invocations.extend(invoked);
        lines.extend(said);
    }
    invocations.sort_by_key(|invocation| invocation.started);
    lines.sort_by_key(|line| line.at);
    let (mut requests, mut acknowledged) = (Vec::new(), witnesses.imports.records());
    for workload in &witnesses.workloads {
        let (asked, told) = workload.records();
        requests.extend(asked);
        acknowledged.extend(told);
    }
    requests.sort_by_key(|request| request.done);
    acknowledged.sort_by_key(|write| write.at);
    sim.with(|world| {
        name_buckets(world, &mut acknowledged);
        let submissions = submissions(world, &mut invocations);
        let backlog = ledger::backlog(world, &stage, machine, &acknowledged);
        History {
            epoch: world.config().epoch,
            end: world.now(),
            thresholds: machine.settings.failover.thresholds.clone(),
            routes: world.route_history(ALIAS).to_vec(),
            submissions,
            states: states(world),
            reports: reports(world),
            published: pages(world),
            watchdog: machine.barks.lock().unwrap().clone(),
            outages: world.outages(),
            data: data(world, &stage),
            deleted: witnesses.imports.deleted(),
            backlog,
            current: current(world, &stage),
            log: world.log().to_vec(),
            log_hash: world.log_hash(),
            stage,
            invocations,
            lines,
            probes: witnesses.found.lock().unwrap().clone(),
            requests,
            acknowledged,
        }
    })
}

/// Which invocation of `failover` sent each submission; counts on the way whom the world hindered.
fn submissions(world: &World, invocations: &mut [Invocation]) -> BTreeMap<u64, String> {
    let mut submissions = BTreeMap::new();
    for entry in world.log() {
        if Function::of(&entry.client) != Some(Function::Failover) {
            continue;
        }
        let running = invocations.iter_mut().find(|invocation| {
            invocation.environment == entry.client
                && (invocation.started..=invocation.ended).contains(&entry.at)
        });
        let Some(invocation) = running else { continue };
        if entry.operation == "SubmitMultiRegionAccessPointRoutes" {
            submissions.insert(entry.seq, invocation.request_id.clone());
        }
        let matters = entry.service == simulator::Service::S3Control
            || entry.resource.starts_with(STATE_BUCKET);
        if matters && entry.fault.is_some() {
            invocation.hindered += 1;
        }
    }
    submissions
}

/// What was published for people: wake-ups are for the function.
fn pages(world: &World) -> Vec<Published> {
    let topic = alarm_topic_arn();
    let all = world.published().iter();
    all.filter(|one| one.topic_arn != topic).cloned().collect()
}

/// Which bucket took each write: only the simulator knows.
fn name_buckets(world: &World, acknowledged: &mut [Acknowledged]) {
    let took: BTreeMap<(&str, &str), &str> = world
        .writes()
        .iter()
        .map(|write| {
            (
                (write.key.as_str(), write.version_id.as_str()),
                write.bucket.as_str(),
            )
        })
        .collect();
    for write in acknowledged {
        if let Some(bucket) = took.get(&(write.key.as_str(), write.version.as_str())) {
            write.bucket = (*bucket).to_owned();
        }
    }
}

/// Every version of the state document, oldest first.
fn states(world: &World) -> Vec<(SimTime, State)> {
    let mrap = mrap_arn().parse().expect("an ARN");
    let mut states: Vec<(SimTime, State)> = world
        .versions(STATE_BUCKET, "state.json")
        .into_iter()
        .filter(|version| !version.delete_marker)
        .map(|version| {
            let document = serde_json::from_slice(&version.body).expect("JSON");
            let state = State::parse(document, &mrap).expect("a state document");
            (version.last_modified, state)
        })
        .collect();
    states.reverse();
    states
}

fn reports(world: &World) -> Vec<(SimTime, Report)> {
    let mrap = mrap_arn().parse().expect("an ARN");
    let versions = world.versions(STATE_BUCKET, REPORT_KEY).into_iter();
    let mut reports: Vec<(SimTime, Report)> = versions
        .filter(|version| !version.delete_marker)
        .map(|version| {
            let document = serde_json::from_slice(&version.body).expect("JSON");
            let report = Report::parse(document, &mrap).expect("a report");
            (version.last_modified, report)
        })
        .collect();
    reports.reverse();
    reports
}

fn data_keys(world: &World, bucket: &str) -> Vec<String> {
    let keys = world.keys(bucket).into_iter();
    keys.filter(|key| key.starts_with(crate::DATA_PREFIX))
        .map(str::to_owned)
        .collect()
}

fn data(world: &World, stage: &Stage) -> Data {
    let mut data = Data::new();
    for member in &stage.members {
        for key in data_keys(world, &member.bucket) {
            for version in world.versions(&member.bucket, &key) {
                let held = Held {
                    since: version.visible_since,
                    transfers: version.transfers.to_map(),
                };
                data.entry((key.clone(), version.version_id.to_string()))
                    .or_default()
                    .insert(member.bucket.clone(), held);
            }
        }
    }
    data
}

fn current(world: &World, stage: &Stage) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut current: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for member in &stage.members {
        for key in data_keys(world, &member.bucket) {
            if let Some(object) = world.object(&member.bucket, &key) {
                let version = object.version_id.to_string();
                current
                    .entry(key)
                    .or_default()
                    .insert(member.bucket.clone(), version);
            }
        }
    }
    current
}
