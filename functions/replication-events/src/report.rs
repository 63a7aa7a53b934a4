//! Logs and embedded metrics. Keys of objects appear in neither.

use std::collections::{BTreeMap, BTreeSet};

use sentinel_aws::log::{EmbeddedMetrics, Level, Resolution, Unit, log};
use sentinel_core::names::BucketName;
use serde_json::json;

use crate::batch::QueueMessage;
use crate::collect::{Collected, Signs};
use crate::deps::Deps;
use crate::error::{Error, chain};
use crate::record::Recorded;

/// Groups, refusals and failures that are logged one by one; the rest is counted.
const SHOWN: usize = 10;

/// Name of the Region of a destination that is no member.
const OTHER: &str = "other";

/// Numbers of a batch that are known before it is recorded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) messages: usize,
    pub(crate) failures: usize,
}

/// What an invocation came to.
pub(crate) fn report(
    deps: &Deps,
    request_id: &str,
    messages: &[QueueMessage],
    counts: Counts,
    collected: &Collected,
    recorded: &Recorded,
    given_back: &BTreeSet<usize>,
) {
    let id = |place: &usize| messages.get(*place).map(|message| message.id.as_str());
    for (place, why) in collected.refused.iter().take(SHOWN) {
        log(
            &deps.edge,
            Level::Warn,
            "refused a message or a record of it: it ends in the dead-letter queue",
            &json!({"requestId": request_id, "messageId": id(place), "error": why.to_string()}),
        );
    }
    for error in recorded.errors.iter().take(SHOWN) {
        log(
            &deps.edge,
            Level::Error,
            "could not record a part of the batch: its messages are given back",
            &json!({"requestId": request_id, "error": chain(error)}),
        );
    }
    let groups: Vec<_> = recorded
        .new
        .iter()
        .take(SHOWN)
        .map(|(group, name)| json!({"id": name.group, "group": group, "rows": name.rows}))
        .collect();
    let lag: u64 = collected
        .signs
        .values()
        .map(|signs| signs.missed + signs.arrived_late + signs.not_tracked)
        .sum();
    log(
        &deps.edge,
        Level::Info,
        "collected",
        &json!({
            "requestId": request_id,
            "messages": counts.messages,
            "failures": counts.failures,
            "signsOfLag": lag,
            "testMessages": collected.tests,
            "refused": collected.refused.len(),
            "givenBack": given_back.len(),
            "files": {"new": recorded.new.len(), "alreadyThere": recorded.already_there},
            "groups": groups,
        }),
    );
    measure(deps, request_id, collected, recorded);
}

/// The invocation failed as a whole.
pub(crate) fn report_error(deps: &Deps, request_id: &str, error: &Error) {
    log(
        &deps.edge,
        Level::Error,
        &error.chain(),
        &json!({"requestId": request_id}),
    );
    own_metrics(deps, request_id)
        .metric("Errors", 1.0, Unit::Count, Resolution::Minute)
        .print(&deps.edge);
}

/// Metrics about the function itself, in the Region where it runs.
fn own_metrics(deps: &Deps, request_id: &str) -> EmbeddedMetrics {
    let dimensions = [
        ("Mrap", deps.settings.mrap.alias()),
        ("Region", deps.edge.region().as_str()),
    ];
    EmbeddedMetrics::new(deps.edge.now(), &dimensions).property("requestId", request_id)
}

/// What is counted of one ordered pair of Regions.
#[derive(Default)]
struct Pair {
    failures: u64,
    signs: Signs,
}

fn measure(deps: &Deps, request_id: &str, collected: &Collected, recorded: &Recorded) {
    if !recorded.errors.is_empty() {
        let count = as_number(recorded.errors.len());
        own_metrics(deps, request_id)
            .metric("Errors", count, Unit::Count, Resolution::Minute)
            .print(&deps.edge);
    }
    if !collected.refused.is_empty() {
        own_metrics(deps, request_id)
            .metric(
                "RefusedEvents",
                as_number(collected.refused.len()),
                Unit::Count,
                Resolution::Minute,
            )
            .print(&deps.edge);
    }
    let region = |bucket: &BucketName| {
        let member = deps.settings.members.with_bucket(bucket.as_str());
        member.map_or(OTHER, |member| member.region.as_str())
    };
    let mut pairs: BTreeMap<(&str, &str), Pair> = BTreeMap::new();
    // Only what is new: a batch that is delivered again failed once.
    for ((source, destination), rows) in recorded.new_rows() {
        let regions = (region(source), destination.map_or(OTHER, region));
        pairs.entry(regions).or_default().failures += rows;
    }
    for ((source, destination), signs) in &collected.signs {
        let pair = pairs
            .entry((region(source), region(destination)))
            .or_default();
        pair.signs.missed += signs.missed;
        pair.signs.arrived_late += signs.arrived_late;
        pair.signs.not_tracked += signs.not_tracked;
        pair.signs.longest = pair.signs.longest.max(signs.longest);
    }
    for ((source, destination), Pair { failures, signs }) in pairs {
        let dimensions = [
            ("Mrap", deps.settings.mrap.alias()),
            ("SourceRegion", source),
            ("DestinationRegion", destination),
        ];
        let mut metrics =
            EmbeddedMetrics::new(deps.edge.now(), &dimensions).property("requestId", request_id);
        for (name, count) in [
            ("ReplicationFailures", failures),
            ("MissedThreshold", signs.missed),
            ("ReplicatedAfterThreshold", signs.arrived_late),
            ("NotTracked", signs.not_tracked),
        ] {
            if count > 0 {
                let value = as_number(usize::try_from(count).unwrap_or(usize::MAX));
                metrics = metrics.metric(name, value, Unit::Count, Resolution::Minute);
            }
        }
        if let Some(longest) = signs.longest {
            let seconds = longest.as_secs_f64();
            metrics = metrics.metric(
                "ReplicationDelay",
                seconds,
                Unit::Seconds,
                Resolution::Minute,
            );
        }
        metrics.print(&deps.edge);
    }
}

/// Counts of one batch are far below what a float tells exactly.
#[expect(clippy::cast_precision_loss, reason = "a batch has few records")]
fn as_number(count: usize) -> f64 {
    count as f64
}
