//! Gathering what does not fit into one part, compacting, trimming.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use redrive::work::{Work, compact, compact_settled, gather, trim};
use sentinel_core::ledger::{
    Group, How, Identity, Millis, Row, SettledHeader, SettledName, SettledRow,
};
use sentinel_core::names::BucketName;
use sentinel_core::redrive::job::{GatherCursor, Gathered, Job, JobKind, Slice};

use crate::stage::{AWAY, HOME, Stage, WORK, config};

fn group() -> Group {
    Group {
        source: HOME.parse().unwrap(),
        destination: AWAY.parse().unwrap(),
        rule: "mesh".to_owned(),
        reason: "DstBucketUnversioned".to_owned(),
    }
}

/// Long keys that are three times as long when they are encoded: parts fill up with few rows.
fn rows(stage: &Stage, from: usize, to: usize) -> Vec<Row> {
    // Within the same minute: the queue delivers the same failure twice.
    let minute = stage.now().as_second() / 60 * 60;
    let failed_at = Millis::new(minute * 1000).unwrap();
    (from..to)
        .map(|number| Row {
            key: format!("{number:06}{}", "ü".repeat(480)),
            version: format!("v{number}"),
            failed_at,
            attempts: 0,
            size: None,
            group: 0,
        })
        .collect()
}

/// More rows than fit into one part, in three files that overlap.
async fn large(stage: &Stage) -> Job {
    let mut inputs = Vec::new();
    for (from, to) in [(0, 1500), (1200, 3200), (3000, 4500)] {
        inputs.push(stage.append(&group(), rows(stage, from, to)).await);
    }
    stage.job(JobKind::Release, &[group()], &inputs)
}

async fn gather_on(stage: &Stage, job: &Job, saved: &mut GatherCursor) -> Gathered {
    let mut job = job.clone();
    job.limit = 1_000_000;
    let deps = stage.deps();
    loop {
        let work = Work::new(&deps, stage.now() + SignedDuration::from_secs(240));
        match gather(&work, &job, saved.clone()).await.unwrap() {
            Slice::More(next) => {
                let text = serde_json::to_string(&next).unwrap();
                *saved = serde_json::from_str(&text).unwrap();
            }
            Slice::Wait(..) => panic!("nothing to wait for"),
            Slice::Done(gathered) => return gathered,
        }
    }
}

fn manifest(stage: &Stage, gathered: &Gathered) -> bytes::Bytes {
    let manifest = gathered.manifest.as_ref().unwrap();
    stage.sim.with(|world| {
        let object = world.object(WORK, &manifest.key).unwrap();
        assert_eq!(object.etag.trim_matches('"'), manifest.etag);
        object.body.clone()
    })
}

#[tokio::test(start_paused = true)]
async fn parts_come_together_whichever_request_was_the_last() {
    let stage = Stage::new(config(20));
    let job = large(&stage).await;
    let gathered = gather_on(&stage, &job, &mut GatherCursor::default()).await;
    assert_eq!(gathered.manifest.as_ref().unwrap().objects, 4500);
    assert_eq!(gathered.duplicates, 500);
    assert!(gathered.complete && gathered.chunks > 1);
    let body = manifest(&stage, &gathered);
    let identities: Vec<Identity> = body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let line = std::str::from_utf8(line).unwrap();
            let columns: Vec<&str> = line.split(',').collect();
            assert_eq!(columns[0], HOME);
            Identity::of(&columns[1].replace("%C3%BC", "ü"), columns[2])
        })
        .collect();
    assert_eq!(identities.len(), 4500);
    assert!(identities.is_sorted_by(|a, b| a < b), "in order, each once");
    let requests = stage.requests();
    assert!(requests > 10, "{requests}");

    for n in 1..=requests {
        let stage = Stage::new(config(20));
        let job = large(&stage).await;
        let mut saved = GatherCursor::default();
        stage.sim.crash_after("redrive", n);
        let done = tokio::select! {
            biased;
            gathered = gather_on(&stage, &job, &mut saved) => Some(gathered),
            () = stage.sim.crashed("redrive") => None,
        };
        stage.sim.revive("redrive");
        assert!(done.is_none(), "request {n} was the last one");
        let after = gather_on(&stage, &job, &mut saved).await;
        assert_eq!(after, gathered, "after request {n}");
        assert!(manifest(&stage, &after) == body, "after request {n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_manifest_is_cut_at_its_limit_and_its_inputs_stay() {
    let stage = Stage::new(config(21));
    let rows = rows(&stage, 0, 50);
    let inputs = [stage.append(&group(), rows).await];
    let mut job = stage.job(JobKind::Release, &[group()], &inputs);
    job.limit = 20;
    let deps = stage.deps();
    let work = Work::new(&deps, stage.now() + SignedDuration::from_secs(240));
    let mut cursor = GatherCursor::default();
    let gathered = loop {
        match gather(&work, &job, cursor).await.unwrap() {
            Slice::More(next) => cursor = next,
            Slice::Wait(..) => panic!("nothing to wait for"),
            Slice::Done(gathered) => break gathered,
        }
    };
    assert_eq!(gathered.rows, [20]);
    assert!(!gathered.complete);
    // Exactly as many as there are uses the inputs up.
    let mut job = stage.job(JobKind::Release, &[group()], &inputs);
    job.limit = 50;
    let gathered = {
        let mut cursor = GatherCursor::default();
        loop {
            match gather(&work, &job, cursor).await.unwrap() {
                Slice::More(next) => cursor = next,
                Slice::Wait(..) => panic!("nothing to wait for"),
                Slice::Done(gathered) => break gathered,
            }
        }
    };
    assert_eq!(gathered.rows, [50]);
    assert!(gathered.complete);
}

#[tokio::test(start_paused = true)]
async fn compacting_says_the_same_in_one_file() {
    let stage = Stage::new(config(22));
    let mut names = Vec::new();
    for (from, to) in [(0, 10), (5, 20), (15, 17)] {
        let key = stage.append(&group(), rows(&stage, from, to)).await;
        names.push(key.parse().unwrap());
    }
    let before = stage.ledger().await;
    let deps = stage.deps();
    let until = stage.now() + SignedDuration::from_secs(240);
    compact(&Work::new(&deps, until), &group(), &names)
        .await
        .unwrap();
    assert_eq!(stage.ledger().await, before);
    let files = stage.files.list("ledger/open/", None).await.unwrap().files;
    assert_eq!(files.len(), 1);
    let name: sentinel_core::ledger::OpenName = files[0].key.parse().unwrap();
    assert_eq!(name.rows, 20);

    // Again: it is the same file, and it stays.
    compact(&Work::new(&deps, until), &group(), &[name])
        .await
        .unwrap();
    assert_eq!(stage.ledger().await, before);
}

async fn settle(stage: &Stage, number: u32, days_ago: i64) {
    let at = Millis::from(stage.now() - SignedDuration::from_hours(24 * days_ago));
    let header = SettledHeader {
        source: HOME.parse().unwrap(),
        // In one file after the other, at another place.
        destinations: if number.is_multiple_of(2) {
            vec![AWAY.parse().unwrap(), "*".parse().unwrap()]
        } else {
            vec!["*".parse().unwrap(), AWAY.parse().unwrap()]
        },
    };
    let mut body = Vec::new();
    header.encode(&mut body).unwrap();
    let entry = SettledRow {
        identity: Identity::of(&format!("k{}", number / 2), "v"),
        destination: 0,
        settled_at: at,
        how: How::Replicated,
    };
    entry.encode(&mut body).unwrap();
    let name = SettledName {
        source: header.source,
        until: at,
        rows: 1,
        job: format!("job-{number}"),
        part: 0,
    };
    stage.files.append(&name.key(), body).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn settled_files_are_compacted_and_trimmed() {
    let stage = Stage::new(config(23));
    for number in 0..30 {
        settle(&stage, number, 1).await;
    }
    let before = stage.ledger().await;
    assert_eq!(before.settled.len(), 30);
    let deps = stage.deps();
    let until = stage.now() + SignedDuration::from_secs(240);
    let work = Work::new(&deps, until);
    let source: BucketName = HOME.parse().unwrap();
    let two_weeks = stage.now() - SignedDuration::from_hours(24 * 15);
    compact_settled(&work, &source, two_weeks).await.unwrap();
    let files = |stage: &Stage| {
        let files = stage.files.clone();
        async move { files.list("ledger/settled/", None).await.unwrap().files }
    };
    assert_eq!(files(&stage).await.len(), 1);
    assert_eq!(stage.ledger().await, before);

    settle(&stage, 100, 14).await;
    settle(&stage, 101, 16).await;
    // Another source's are none of its business.
    let other = BTreeMap::from([(AWAY.parse().unwrap(), stage.now())]);
    trim(&work, &other).await.unwrap();
    assert_eq!(files(&stage).await.len(), 3);
    trim(&work, &BTreeMap::from([(source, two_weeks)]))
        .await
        .unwrap();
    assert_eq!(
        files(&stage).await.len(),
        2,
        "only the one of 16 days is deleted"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_files_become_fewer_changes_nothing() {
    let source: BucketName = HOME.parse().unwrap();
    for n in 1.. {
        let stage = Stage::new(config(24));
        for (from, to) in [(0, 10), (5, 20), (15, 17)] {
            stage.append(&group(), rows(&stage, from, to)).await;
        }
        for number in 0..26 {
            settle(&stage, number, 1).await;
        }
        let before = stage.ledger().await;
        let deps = stage.deps();
        let fewer = async || {
            let page = stage.files.list("ledger/open/", None).await.unwrap();
            let names: Vec<_> = page
                .files
                .iter()
                .map(|file| file.key.parse().unwrap())
                .collect();
            let now = stage.now();
            let work = Work::new(&deps, now + SignedDuration::from_secs(240));
            compact(&work, &group(), &names).await.unwrap();
            let days = now - SignedDuration::from_hours(24 * 15);
            compact_settled(&work, &source, days).await.unwrap();
        };
        stage.sim.crash_after("redrive", n);
        let died = tokio::select! {
            biased;
            () = fewer() => false,
            () = stage.sim.crashed("redrive") => true,
        };
        stage.sim.revive("redrive");
        assert_eq!(stage.ledger().await, before, "after request {n}");
        fewer().await;
        assert_eq!(stage.ledger().await, before, "after request {n}");
        let page = stage.files.list("ledger/open/", None).await.unwrap();
        assert_eq!(page.files.len(), 1, "after request {n}");
        if !died {
            assert!(n > 20, "{n} requests");
            return;
        }
    }
}
