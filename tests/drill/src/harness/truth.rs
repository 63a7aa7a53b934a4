//! What the simulator knows about failed copies and jobs.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use simulator::World;

use crate::backlog::{FailedCopy, Job};
use crate::history::Acknowledged;
use crate::scenario::Stage;

/// Every copy that S3 gave up at least once, sorted by source, key, version, destination.
pub(super) fn copies(world: &World, acknowledged: &[Acknowledged]) -> Vec<FailedCopy> {
    let told = acknowledged.iter();
    let told: BTreeSet<(&str, &str)> = told.map(|one| (&*one.key, &*one.version)).collect();
    let mut failures: Vec<_> = world.replication_failures().iter().collect();
    failures.sort_by(|one, other| place(one).cmp(&place(other)).then(one.at.cmp(&other.at)));
    let copies = failures.chunk_by(|one, other| place(one) == place(other));
    copies
        .filter_map(|failures| {
            let (first, last) = (failures.first()?, failures.last()?);
            let version = |bucket: &str| {
                let mut versions = world.versions(bucket, &first.key).into_iter();
                versions.find(|one| one.version_id == first.version_id)
            };
            Some(FailedCopy {
                source: first.source.clone(),
                destination: first.destination.clone(),
                key: first.key.to_string(),
                version: first.version_id.to_string(),
                first: first.at,
                last: last.at,
                times: u32::try_from(failures.len()).unwrap_or(u32::MAX),
                reason: Arc::from(&*last.reason),
                acknowledged: told.contains(&(&*first.key, &*first.version_id)),
                arrived: version(&first.destination).map(|one| one.visible_since),
                gone: version(&first.source).is_none(),
            })
        })
        .collect()
}

fn place(one: &simulator::truth::ReplicationFailure) -> (&str, &str, &str, &str) {
    (&one.source, &one.key, &one.version_id, &one.destination)
}

/// Every job.
pub(super) fn jobs(world: &World) -> Vec<Job> {
    let jobs = world.jobs().into_iter();
    jobs.map(|job| {
        let tasks = world.job_tasks(&job.id).iter();
        let source = job.bucket.unwrap_or_default();
        let scanned = if job.is_generated {
            let keys = world.keys(&source).into_iter();
            keys.map(|key| world.versions(&source, key).len() as u64)
                .sum()
        } else {
            0
        };
        Job {
            tasks: tasks
                .map(|task| (task.key.to_string(), task.version_id.to_string()))
                .collect(),
            id: job.id,
            created: job.created,
            ended: job.terminated,
            status: job.state.as_str().to_owned(),
            generated: job.is_generated,
            scanned,
            succeeded: job.succeeded,
            source,
        }
    })
    .collect()
}

/// What S3 would refuse now, from each member to each other one.
pub(super) fn refusals(world: &World, stage: &Stage) -> BTreeMap<(String, String), String> {
    let mut refusals = BTreeMap::new();
    for source in &stage.members {
        for destination in &stage.members {
            let reason = world.replication_refusal(&source.bucket, &destination.bucket);
            if let Some(reason) = reason.filter(|_| source != destination) {
                let pair = (source.bucket.clone(), destination.bucket.clone());
                refusals.insert(pair, reason.into_owned());
            }
        }
    }
    refusals
}

/// Whether a job of so many versions or more runs, and a third of it is done.
pub(super) fn is_under_way(world: &World, objects: u64) -> bool {
    let active = |job: &simulator::truth::Job| {
        let total = job.total.unwrap_or(0);
        !job.state.is_terminal() && total >= objects && 3 * (job.succeeded + job.failed) >= total
    };
    world.jobs().iter().any(active)
}
