//! The stages, each in a process of its own.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use redrive::work::{Work, compact, gather};
use sentinel_aws::edge::Edge;
use sentinel_aws::ledger::Files;
use sentinel_core::ledger::{
    Destination, How, Identity, Millis, OpenName, SettledHeader, SettledName, SettledRow,
};
use sentinel_core::redrive::job::{GatherCursor, Gathered, Job, JobKind, JobName, Phase, Slice};
use sentinel_core::settings::{CollectorSettings, RedriveSettings};
use serde::{Deserialize, Serialize};

use crate::failures;
use crate::process::{cpu_seconds, peak_memory};

/// A stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// Batches of the queue become open files.
    Collect,
    /// Files of what is settled; only prepares the next stages.
    Settled,
    /// Open files become few.
    Compact,
    /// Open files become a manifest.
    Gather,
}

impl Stage {
    pub(crate) const ALL: [Self; 4] = [Self::Collect, Self::Settled, Self::Compact, Self::Gather];

    pub(crate) fn is_measured(self) -> bool {
        self != Self::Settled
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Collect => "collect",
            Self::Settled => "settled",
            Self::Compact => "compact",
            Self::Gather => "gather",
        })
    }
}

/// What a stage took.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Wall-clock time; the making of messages is not counted.
    pub(crate) seconds: f64,
    /// Processor time of the process, the making of messages included.
    pub(crate) cpu_seconds: f64,
    /// Highest resident memory of the process in bytes.
    pub(crate) peak_memory: u64,
    /// Calls of the function or of a slice.
    pub(crate) calls: u64,
}

/// How long Lambda lets a slice run.
const SLICE: SignedDuration = SignedDuration::from_secs(240);

const STATE: &str = "sentinel-state";

fn lookup(name: &str) -> Option<String> {
    let value = match name {
        "MRAP_ARN" => "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
        "MEMBERS" => "app-use1@us-east-1,app-euw1@eu-west-1",
        "STATE_BUCKET" => STATE,
        "TOPIC_ARNS" => "arn:aws:sns:us-east-2:111122223333:mrap-sentinel",
        "WORK_BUCKETS" => "work-use1@us-east-1,work-euw1@eu-west-1",
        "BATCH_ROLE_ARN" => "arn:aws:iam::111122223333:role/mrap-sentinel-batch",
        _ => return None,
    };
    Some(value.to_owned())
}

/// Runs a stage and measures it.
pub(crate) async fn run(stage: Stage, rows: u64) -> Measured {
    let edge = Arc::new(Edge::from_env().await.expect("an edge"));
    let mut measured = Measured::default();
    let started = Instant::now();
    match stage {
        Stage::Collect => collect(edge, rows, &mut measured).await,
        Stage::Settled => settled(edge, rows).await,
        Stage::Compact => compact_all(edge, &mut measured).await,
        Stage::Gather => gather_all(edge, rows, &mut measured).await,
    }
    if stage != Stage::Collect {
        measured.seconds = started.elapsed().as_secs_f64();
    }
    measured.cpu_seconds = cpu_seconds();
    measured.peak_memory = peak_memory();
    measured
}

async fn collect(edge: Arc<Edge>, rows: u64, measured: &mut Measured) {
    let settings = CollectorSettings::from_lookup(lookup).unwrap();
    let deps = replication_events::Deps::new(edge, settings);
    for batch in failures::batches(rows) {
        let started = Instant::now();
        let deadline = Timestamp::now() + SignedDuration::from_secs(60);
        let request = format!("request-{}", measured.calls);
        let answer = replication_events::handle(&deps, batch, deadline, &request);
        let answer = answer.await.expect("collected");
        assert_eq!(answer["batchItemFailures"].as_array().unwrap().len(), 0);
        measured.calls += 1;
        measured.seconds += started.elapsed().as_secs_f64();
    }
}

/// Writes the settled files that gathering has to hold the rows against.
async fn settled(edge: Arc<Edge>, rows: u64) {
    const PART: usize = 100_000;
    let files = Files::of_state(edge, STATE.parse().unwrap());
    let at = Millis::new(failures::FIRST).unwrap();
    let mut entries: Vec<Identity> = (0..rows)
        .filter(|number| failures::is_settled(*number))
        .map(|number| Identity::of(&failures::key(number), &failures::version(number)))
        .collect();
    entries.sort_unstable();
    for (part, entries) in entries.chunks(PART).enumerate() {
        let mut body = Vec::new();
        let header = SettledHeader {
            source: failures::SOURCE.parse().unwrap(),
            destinations: vec![Destination::Bucket(failures::DESTINATION.parse().unwrap())],
        };
        header.encode(&mut body).unwrap();
        for identity in entries {
            let entry = SettledRow {
                identity: *identity,
                destination: 0,
                settled_at: at,
                how: How::Replicated,
            };
            entry.encode(&mut body).unwrap();
        }
        let name = SettledName {
            source: header.source,
            until: at,
            rows: entries.len() as u64,
            job: "earlier".to_owned(),
            part: u32::try_from(part).unwrap(),
        };
        files.append(&name.key(), body).await.unwrap();
    }
}

fn redrive_deps(edge: Arc<Edge>) -> redrive::Deps {
    redrive::Deps::new(edge, RedriveSettings::from_lookup(lookup).unwrap())
}

async fn open_files(files: &Files) -> Vec<(u64, OpenName)> {
    let prefix = OpenName::prefix(failures::group().id());
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = files.list(&prefix, after.as_deref()).await.unwrap();
        let names = page.files.into_iter();
        found.extend(names.map(|file| (file.size, file.key.parse().unwrap())));
        after = page.next;
        if after.is_none() {
            found.sort_unstable_by_key(|(size, name)| (*size, *name));
            return found;
        }
    }
}

/// Compacts as the function does: the smallest files first, while there are too many.
async fn compact_all(edge: Arc<Edge>, measured: &mut Measured) {
    const FILES: usize = 24;
    const INPUTS: usize = 64;
    const BYTES: u64 = 64 << 20;
    let files = Files::of_state(Arc::clone(&edge), STATE.parse().unwrap());
    let deps = redrive_deps(edge);
    loop {
        let found = open_files(&files).await;
        let mut bytes = 0;
        let smallest: Vec<OpenName> = found
            .iter()
            .take(INPUTS)
            .take_while(|(size, _)| {
                bytes += size;
                bytes <= BYTES
            })
            .map(|(_, name)| *name)
            .collect();
        if found.len() <= FILES || smallest.len() < 2 {
            return;
        }
        let work = Work::new(&deps, Timestamp::now() + SLICE);
        compact(&work, &failures::group(), &smallest).await.unwrap();
        measured.calls += 1;
    }
}

async fn gather_all(edge: Arc<Edge>, rows: u64, measured: &mut Measured) {
    let files = Files::of_state(Arc::clone(&edge), STATE.parse().unwrap());
    let deps = redrive_deps(edge);
    let inputs: Vec<String> = open_files(&files)
        .await
        .into_iter()
        .map(|(_, name)| name.key())
        .collect();
    let source = failures::group().source;
    let planned_at = Timestamp::now();
    let job = Job {
        name: JobName::new(planned_at, &source, 0),
        kind: JobKind::Release,
        source,
        groups: vec![failures::group()],
        inputs,
        limit: rows,
        attempts: 10,
        not_before: Timestamp::from_millisecond(failures::FIRST - 1).unwrap(),
        planned_at,
        phase: Phase::Gather {
            cursor: GatherCursor::default(),
        },
    };
    let mut cursor = GatherCursor::default();
    let gathered: Gathered = loop {
        let work = Work::new(&deps, Timestamp::now() + SLICE);
        measured.calls += 1;
        match gather(&work, &job, cursor).await.unwrap() {
            // As the function keeps it, through its document.
            Slice::More(next) => {
                let text = serde_json::to_string(&next).unwrap();
                cursor = serde_json::from_str(&text).unwrap();
            }
            Slice::Wait(..) => panic!("nothing to wait for"),
            Slice::Done(gathered) => break gathered,
        }
    };
    let manifest = gathered.manifest.as_ref().expect("a manifest");
    assert_eq!(manifest.objects, failures::open(rows));
    assert!(gathered.complete);
    assert_eq!(gathered.missing, 0);
}
