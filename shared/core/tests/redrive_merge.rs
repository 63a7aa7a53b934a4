//! Merging the ledger's files against a model that holds everything in memory: wherever the bytes
//! are cut into pieces and wherever a pass is stopped and resumed, the same comes out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use sentinel_core::ledger::{
    Destination, Group, How, Identity, Millis, OpenFile, Reader, Row, Rows, RowsHeader, Settled,
    SettledHeader, SettledRow,
};
use sentinel_core::redrive::merge::{
    ByIdentity, Dropped, Merge, MergeError, Next, OpenRows, compacted, latest,
};

fn group(destination: &str, reason: &str) -> Group {
    Group {
        source: "app-use1".parse().unwrap(),
        destination: destination.parse().unwrap(),
        rule: "all".to_owned(),
        reason: reason.to_owned(),
    }
}

/// Three groups towards two destinations.
fn groups() -> Vec<Group> {
    vec![
        group("app-euw1", "AssumeRoleNotPermitted"),
        group("app-euw1", "DstKmsKeyNotFound"),
        group("app-apn1", "DstBucketUnversioned"),
    ]
}

const DESTINATIONS: [&str; 4] = ["app-euw1", "app-apn1", "app-usw2", "*"];

fn millis(at: i64) -> Millis {
    Millis::new(at).unwrap()
}

#[derive(Debug, Clone)]
struct Failed {
    key: u8,
    version: u8,
    at: u8,
    attempts: u8,
    group: u8,
}

#[derive(Debug, Clone)]
struct Done {
    key: u8,
    version: u8,
    at: u8,
    destination: u8,
}

fn failed() -> impl Strategy<Value = Failed> {
    (0..12_u8, 0..2_u8, 0..20_u8, 0..4_u8, 0..3_u8).prop_map(
        |(key, version, at, attempts, group)| Failed {
            key,
            version,
            at,
            attempts,
            group,
        },
    )
}

fn done() -> impl Strategy<Value = Done> {
    (0..12_u8, 0..2_u8, 0..20_u8, 0..4_u8).prop_map(|(key, version, at, destination)| Done {
        key,
        version,
        at,
        destination,
    })
}

fn name(key: u8, version: u8) -> (String, String) {
    (format!("k\n,\"{key}é"), format!("v{version}"))
}

fn row(failed: &Failed) -> Row {
    let (key, version) = name(failed.key, failed.version);
    Row {
        key,
        version,
        failed_at: millis(failed.at.into()),
        attempts: failed.attempts.into(),
        size: (failed.attempts > 1).then_some(u64::from(failed.attempts)),
        group: 0,
    }
}

/// One open file of each group that occurs.
fn open_files(rows: &[Failed]) -> Vec<(String, Vec<u8>)> {
    let all = groups();
    (0..3_u8)
        .filter_map(|place| {
            let own = rows.iter().filter(|failed| failed.group == place);
            let file = OpenFile::new(&all[usize::from(place)], own.map(row).collect()).unwrap()?;
            Some((file.name.key(), file.body))
        })
        .collect()
}

fn settled_file(number: usize, done: &[Done]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    let header = SettledHeader {
        source: "app-use1".parse().unwrap(),
        destinations: DESTINATIONS.map(|to| to.parse().unwrap()).to_vec(),
    };
    header.encode(&mut body).unwrap();
    let mut entries: Vec<SettledRow> = done
        .iter()
        .map(|done| {
            let (key, version) = name(done.key, done.version);
            SettledRow {
                identity: Identity::of(&key, &version),
                destination: done.destination.into(),
                settled_at: millis(done.at.into()),
                how: How::Replicated,
            }
        })
        .collect();
    entries.sort_unstable();
    for entry in entries {
        entry.encode(&mut body).unwrap();
    }
    (format!("settled-{number}"), body)
}

type Version = (Identity, Vec<Row>);

/// What should come out.
fn model(open: &[Vec<Failed>], settled: &[Vec<Done>]) -> Vec<Version> {
    let mut versions: BTreeMap<Identity, BTreeMap<(String, String, u16), Row>> = BTreeMap::new();
    for failed in open.iter().flatten() {
        let to = groups()[usize::from(failed.group)].destination.clone();
        let is_done = settled.iter().flatten().any(|done| {
            let covered = DESTINATIONS[usize::from(done.destination)];
            (done.key, done.version) == (failed.key, failed.version)
                && done.at >= failed.at
                && (covered == "*" || covered == to.as_str())
        });
        if is_done {
            continue;
        }
        let mut row = row(failed);
        row.group = failed.group.into();
        let rows = versions.entry(row.identity()).or_default();
        rows.entry((row.key.clone(), row.version.clone(), row.group))
            .and_modify(|known| {
                known.failed_at = known.failed_at.min(row.failed_at);
                known.attempts = known.attempts.max(row.attempts);
                known.size = known.size.max(row.size);
            })
            .or_insert(row);
    }
    versions
        .into_iter()
        .map(|(identity, rows)| (identity, rows.into_values().collect()))
        .collect()
}

fn merge<F: ByIdentity>(files: &[(String, Vec<u8>)], offsets: Option<&[u64]>) -> Merge<F> {
    let mut merge = Merge::default();
    for (place, (key, body)) in files.iter().enumerate() {
        let offset = offsets.map_or(0, |offsets| offsets[place]);
        if offset == 0 {
            merge.add(key, Reader::<F>::new(key));
        } else {
            let line = body.split(|byte| *byte == b'\n').next().unwrap();
            merge.add(key, Reader::resume(key, F::header(line).unwrap(), offset));
        }
    }
    merge
}

/// Feeds whatever starves with the next `piece` bytes.
fn feed<F: ByIdentity>(
    merge: &mut Merge<F>,
    files: &[(String, Vec<u8>)],
    read: &mut [u64],
    piece: usize,
) {
    let starving: Vec<usize> = merge.starving().collect();
    for place in starving {
        let body = &files[place].1;
        let from = usize::try_from(read[place]).unwrap();
        let to = (from + piece).min(body.len());
        merge.feed(place, &body[from..to]);
        if to == body.len() {
            merge.end(place);
        }
        read[place] = to as u64;
    }
}

/// All versions, the pass being stopped and resumed after every `stop` of them.
fn versions(
    open: &[(String, Vec<u8>)],
    settled: &[(String, Vec<u8>)],
    piece: usize,
    stop: usize,
) -> (Vec<Version>, Dropped) {
    let mut out = Vec::new();
    let mut total = Dropped::default();
    let mut offsets: Option<(Vec<u64>, Vec<u64>)> = None;
    loop {
        let (of_open, of_settled) = match &offsets {
            Some((open, settled)) => (Some(&open[..]), Some(&settled[..])),
            None => (None, None),
        };
        let mut rows = OpenRows::new(&groups(), merge(open, of_open), merge(settled, of_settled));
        let mut open_read = of_open.map_or(vec![0; open.len()], <[u64]>::to_vec);
        let mut settled_read = of_settled.map_or(vec![0; settled.len()], <[u64]>::to_vec);
        let mut count = 0;
        let is_over = loop {
            match rows.next_version().unwrap() {
                Next::Version(identity, version) => {
                    out.push((identity, version));
                    count += 1;
                    if count == stop {
                        break false;
                    }
                }
                Next::Settled => {}
                Next::Starved => {
                    feed(&mut rows.rows, open, &mut open_read, piece);
                    feed(&mut rows.settled.merge, settled, &mut settled_read, piece);
                }
                Next::End => break true,
            }
        };
        let dropped = rows.dropped();
        total.settled += dropped.settled;
        total.duplicates += dropped.duplicates;
        if is_over {
            return (out, total);
        }
        offsets = rows.offsets();
        assert!(offsets.is_some(), "a place to go on from after a version");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_cut_gives_what_the_model_gives(
        open in prop::collection::vec(prop::collection::vec(failed(), 0..20), 0..5),
        settled in prop::collection::vec(prop::collection::vec(done(), 0..10), 0..4),
        piece in 1..400_usize,
        stop in 1..20_usize,
    ) {
        let files: Vec<_> = open.iter().flat_map(|rows| open_files(rows)).collect();
        let entries: Vec<_> = settled
            .iter()
            .enumerate()
            .map(|(number, done)| settled_file(number, done))
            .collect();
        let expected = model(&open, &settled);
        let (whole, dropped) = versions(&files, &entries, usize::MAX / 2, usize::MAX);
        prop_assert_eq!(&whole, &expected);
        let (cut, dropped_in_pieces) = versions(&files, &entries, piece, stop);
        prop_assert_eq!(&cut, &expected);
        prop_assert_eq!(dropped, dropped_in_pieces);
        let kept: usize = expected.iter().map(|(_, rows)| rows.len()).sum();
        let lines: usize = files
            .iter()
            .map(|(_, body)| body.split(|byte| *byte == b'\n').count() - 2)
            .sum();
        let left_out = usize::try_from(dropped.settled + dropped.duplicates).unwrap();
        prop_assert_eq!(kept + left_out, lines, "every row is accounted for");
    }

    #[test]
    fn compacting_first_changes_nothing(
        open in prop::collection::vec(prop::collection::vec(failed(), 0..20), 1..5),
        settled in prop::collection::vec(prop::collection::vec(done(), 0..10), 0..3),
    ) {
        let expected = model(&open, &settled);
        let all = groups();
        let files: Vec<(String, Vec<u8>)> = (0..3_u8)
            .filter_map(|place| {
                let own = open.iter().flatten().filter(|failed| failed.group == place);
                let rows = compacted(own.map(row).collect());
                let mut body = Vec::new();
                let groups = vec![all[usize::from(place)].clone()];
                RowsHeader { groups }.encode(&mut body).unwrap();
                for row in &rows {
                    row.encode(&mut body).unwrap();
                }
                (!rows.is_empty()).then(|| (format!("compacted-{place}"), body))
            })
            .collect();
        let entries: Vec<_> = settled
            .iter()
            .enumerate()
            .map(|(number, done)| settled_file(number, done))
            .collect();
        let (whole, _) = versions(&files, &entries, 100, usize::MAX);
        prop_assert_eq!(whole, expected);
    }
}

#[test]
fn an_old_duplicate_takes_no_new_failure_along() {
    let at = |at| Failed {
        key: 1,
        version: 0,
        at,
        attempts: 0,
        group: 0,
    };
    let settled = Done {
        key: 1,
        version: 0,
        at: 5,
        destination: 0,
    };
    let files = open_files(&[at(4), at(6)]);
    let (found, dropped) = versions(&files, &[settled_file(0, &[settled])], 50, 1);
    let [(_, rows)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(rows[0].failed_at, millis(6));
    assert_eq!(
        dropped,
        Dropped {
            settled: 1,
            duplicates: 0
        }
    );
}

#[test]
fn a_file_out_of_order_is_an_error_that_names_it() {
    let mut body = Vec::new();
    let header = RowsHeader {
        groups: vec![groups()[0].clone()],
    };
    header.encode(&mut body).unwrap();
    let mut rows: Vec<Row> = (0..12)
        .map(|key| {
            row(&Failed {
                key,
                version: 0,
                at: 1,
                attempts: 0,
                group: 0,
            })
        })
        .collect();
    rows.sort_by_key(Row::identity);
    rows.reverse();
    for row in &rows {
        row.encode(&mut body).unwrap();
    }
    let files = vec![("ledger/open/torn".to_owned(), body)];
    let mut rows = OpenRows::new(
        &groups(),
        merge::<Rows>(&files, None),
        Merge::<Settled>::default(),
    );
    let mut read = [0];
    let error = loop {
        match rows.next_version() {
            Ok(Next::Starved) => feed(&mut rows.rows, &files, &mut read, 10_000),
            Ok(Next::Version(..) | Next::Settled) => {}
            Ok(Next::End) => panic!("read to its end"),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, MergeError::Unsorted { file, .. } if file == "ledger/open/torn"),
        "{error}"
    );
}

#[test]
fn rows_of_a_foreign_group_are_an_error() {
    let foreign = group("app-usw2", "SrcBucketNotFound");
    let failed = Failed {
        key: 1,
        version: 1,
        at: 1,
        attempts: 0,
        group: 0,
    };
    let file = OpenFile::new(&foreign, vec![row(&failed)])
        .unwrap()
        .unwrap();
    let files = vec![(file.name.key(), file.body)];
    let mut rows = OpenRows::new(
        &groups(),
        merge::<Rows>(&files, None),
        Merge::<Settled>::default(),
    );
    feed(&mut rows.rows, &files, &mut [0], 10_000);
    assert!(matches!(
        rows.next_version(),
        Err(MergeError::Foreign { .. })
    ));
}

#[test]
fn a_file_that_is_gone_has_no_rows() {
    let failed = Failed {
        key: 1,
        version: 1,
        at: 1,
        attempts: 0,
        group: 0,
    };
    let mut files = open_files(&[failed]);
    files.push(("ledger/open/gone".to_owned(), Vec::new()));
    let mut rows = OpenRows::new(
        &groups(),
        merge::<Rows>(&files, None),
        Merge::<Settled>::default(),
    );
    rows.rows.forget(1);
    let mut read = [0; 2];
    feed(&mut rows.rows, &files, &mut read, 10_000);
    assert!(matches!(rows.next_version(), Ok(Next::Version(..))));
    assert_eq!(rows.next_version(), Ok(Next::End));
}

#[test]
fn a_cut_off_file_is_an_error() {
    let failed = Failed {
        key: 1,
        version: 1,
        at: 1,
        attempts: 0,
        group: 0,
    };
    let mut files = open_files(&[failed]);
    files[0].1.pop();
    let mut rows = OpenRows::new(
        &groups(),
        merge::<Rows>(&files, None),
        Merge::<Settled>::default(),
    );
    feed(&mut rows.rows, &files, &mut [0], 10_000);
    assert!(matches!(rows.next_version(), Err(MergeError::Ledger(_))));
}

#[test]
fn the_latest_entry_of_each_destination_remains() {
    let identity = Identity::of("k", "v");
    let entry = |destination, at, how| SettledRow {
        identity,
        destination,
        settled_at: millis(at),
        how,
    };
    let kept = latest(vec![
        entry(1, 5, How::Gone),
        entry(0, 3, How::HandedOver),
        entry(0, 9, How::Replicated),
    ]);
    assert_eq!(kept, [entry(0, 9, How::Replicated), entry(1, 5, How::Gone)]);
}

#[test]
fn any_destination_covers_all() {
    let failed = |group| Failed {
        key: 1,
        version: 0,
        at: 4,
        attempts: 0,
        group,
    };
    let any = Done {
        key: 1,
        version: 0,
        at: 4,
        destination: 3,
    };
    assert_eq!(DESTINATIONS[3], Destination::Any.as_str());
    let files = open_files(&[failed(0), failed(2)]);
    let (found, dropped) = versions(&files, &[settled_file(0, &[any])], 50, 1);
    assert!(found.is_empty());
    assert_eq!(dropped.settled, 2);
}
