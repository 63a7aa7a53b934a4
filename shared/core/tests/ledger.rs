//! The ledger's files: readable for ever, the same for the same rows, and never half understood.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use sentinel_core::ledger::{
    ContentHash, Destination, Group, HandedOverName, How, Identity, LineError, Lines, MAX_LINE,
    Millis, OpenFile, OpenName, Reader, Row, Rows, RowsHeader, Settled, SettledHeader, SettledName,
    SettledRow, job_prefix, report_key, rows_key, sort_rows,
};

/// Files as this version once wrote them. Never edit them: what was written has to be read.
const OPEN_FILE: &[u8] = include_bytes!("fixtures/ledger/open-schema-1.jsonl");
const SETTLED_FILE: &[u8] = include_bytes!("fixtures/ledger/settled-schema-1.jsonl");

fn group() -> Group {
    Group {
        source: "app-use1".parse().unwrap(),
        destination: "app-euw1".parse().unwrap(),
        rule: "to-app-euw1".to_owned(),
        reason: "AssumeRoleNotPermitted".to_owned(),
    }
}

fn millis(millis: i64) -> Millis {
    Millis::new(millis).unwrap()
}

fn row(key: &str, version: &str, at: i64, size: Option<u64>) -> Row {
    Row {
        key: key.to_owned(),
        version: version.to_owned(),
        failed_at: millis(at),
        attempts: 0,
        size,
        group: 0,
    }
}

/// The rows of the fixture, in no order.
fn rows() -> Vec<Row> {
    let at = 1_795_193_943_250;
    let mut retried = row("report.pdf", "null", at + 5, Some(7));
    retried.attempts = 3;
    vec![
        row(
            "photos/a b.jpg",
            "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY",
            at,
            Some(520_080),
        ),
        retried,
        row("", "v1", at + 9, None),
        row(
            "a+b%2B,\"quoted\"\n\tcolumn/ümläut/\u{1F600}\u{2028}\u{7f}\u{0}\\",
            "v2",
            at - 1000,
            Some(0),
        ),
        row("photos/a b.jpg", "other-version", at + 1, Some(u64::MAX)),
        row("photos/a b.jpg", "other-version", at, Some(u64::MAX)),
    ]
}

fn settled() -> (SettledHeader, Vec<SettledRow>) {
    let header = SettledHeader {
        source: "app-use1".parse().unwrap(),
        destinations: vec![Destination::Any, "app-euw1".parse().unwrap()],
    };
    let mut rows: Vec<SettledRow> = How::ALL
        .iter()
        .zip(1_795_193_943_250..)
        .map(|(how, at)| SettledRow {
            identity: Identity::of(how.as_str(), "v1"),
            destination: u16::from(at % 2 == 0),
            settled_at: millis(at),
            how: *how,
        })
        .collect();
    rows.sort();
    (header, rows)
}

fn read<F: sentinel_core::ledger::Format>(file: &[u8], piece: usize) -> (F::Header, Vec<F::Record>)
where
    F::Header: Clone,
{
    let mut reader = Reader::<F>::new("a file");
    let mut records = Vec::new();
    for piece in file.chunks(piece) {
        reader.feed(piece);
        while let Some(record) = reader.next_record().unwrap() {
            records.push(record);
        }
    }
    let header = reader.header().unwrap().clone();
    reader.finish().unwrap();
    (header, records)
}

#[test]
fn what_was_written_is_read_for_ever() {
    let file = OpenFile::new(&group(), rows()).unwrap().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&file.body),
        String::from_utf8_lossy(OPEN_FILE)
    );
    assert_eq!(
        file.name.key(),
        "ledger/open/c003dd0a17ae36b6/1795193942250-1795193943259-6-7c3bb1a38d392e7e.jsonl"
    );
    let (header, read_rows) = read::<Rows>(OPEN_FILE, 7);
    assert_eq!(header.groups, [group()]);
    let mut expected = rows();
    sort_rows(&mut expected);
    assert_eq!(read_rows, expected);

    let (header, entries) = settled();
    let mut written = Vec::new();
    header.encode(&mut written).unwrap();
    for entry in &entries {
        entry.encode(&mut written).unwrap();
    }
    assert_eq!(
        String::from_utf8_lossy(&written),
        String::from_utf8_lossy(SETTLED_FILE)
    );
    let (read_header, read_entries) = read::<Settled>(SETTLED_FILE, 1 << 16);
    assert_eq!((read_header, read_entries), (header, entries));
}

/// Which group and which version is meant must never change: files of several versions of the
/// code are merged.
#[test]
fn names_are_what_they_always_were() {
    assert_eq!(group().id().to_string(), "c003dd0a17ae36b6");
    assert_eq!(
        Identity::of("photos/a b.jpg", "v1").to_string(),
        "4043f27e62c6dfbcd3e0fd60b7db5368"
    );
    // The parts are told apart, not only put together.
    let mut other = group();
    other.rule = "to-app-euw1A".to_owned();
    other.reason = "ssumeRoleNotPermitted".to_owned();
    assert_ne!(other.id(), group().id());
    assert_ne!(Identity::of("ab", "c"), Identity::of("a", "bc"));
}

#[test]
fn names_are_read_back() {
    let name = OpenFile::new(&group(), rows()).unwrap().unwrap().name;
    assert_eq!(name.key().parse::<OpenName>().unwrap(), name);
    assert!(name.key().starts_with(&OpenName::prefix(group().id())));
    assert_eq!(name.hash, ContentHash::of(OPEN_FILE));

    let settled = SettledName {
        source: "app-use1".parse().unwrap(),
        until: millis(1_795_193_943_250),
        rows: 12,
        job: "20261120t165903-app-use1-r7".to_owned(),
        part: 3,
    };
    let key = "ledger/settled/app-use1/1795193943250-12-20261120t165903-app-use1-r7-00003.jsonl";
    assert_eq!(settled.key(), key);
    assert_eq!(key.parse::<SettledName>().unwrap(), settled);
    assert!(key.starts_with(&SettledName::prefix(&settled.source)));

    let handed_over = HandedOverName {
        group: group().id(),
        job: settled.job.clone(),
        part: 100_000,
        rows: 12,
        hash: "7c3bb1a38d392e7e".parse().unwrap(),
    };
    let key = "ledger/handed-over/c003dd0a17ae36b6/20261120t165903-app-use1-r7-100000-12-7c3bb1a38d392e7e.jsonl";
    assert_eq!(handed_over.key(), key);
    assert_eq!(key.parse::<HandedOverName>().unwrap(), handed_over);
    assert!(key.starts_with(&HandedOverName::prefix(group().id())));

    assert_eq!(job_prefix("j-1"), "ledger/jobs/j-1/");
    assert_eq!(rows_key("j-1", 7), "ledger/jobs/j-1/rows/00007.jsonl");
    assert_eq!(report_key("j-1", 7), "ledger/jobs/j-1/report/00007.jsonl");
}

#[test]
fn other_names_are_refused() {
    let group = "c003dd0a17ae36b6";
    let times = "1795193942250-1795193943259";
    let hash = "7c3bb1a38d392e7e";
    assert!(
        format!("ledger/open/{group}/{times}-6-{hash}.jsonl")
            .parse::<OpenName>()
            .is_ok()
    );
    for key in [
        String::new(),
        "state/current.json".to_owned(),
        format!("ledger/open/{group}/{times}-6-{hash}.json"),
        format!("ledger/open/{group}/{times}-06-{hash}.jsonl"),
        format!("ledger/open/{group}/{times}-+6-{hash}.jsonl"),
        format!("ledger/open/{group}/{times}-6-{hash}-1.jsonl"),
        format!("ledger/open/{group}/{times}-6.jsonl"),
        format!(
            "ledger/open/{group}/{times}-6-{}.jsonl",
            hash.to_uppercase()
        ),
        format!("ledger/open/{group}/x/{times}-6-{hash}.jsonl"),
        format!("ledger/open/{group}0/{times}-6-{hash}.jsonl"),
        format!("ledger/open/{group}/1795193943259-1795193942250-6-{hash}.jsonl"),
        format!("ledger/open/{group}/01795193942250-1795193943259-6-{hash}.jsonl"),
        format!("ledger/settled/{group}/{times}-6-{hash}.jsonl"),
    ] {
        let error = key.parse::<OpenName>().expect_err(&key);
        assert!(error.to_string().contains("<oldest ms>"), "{error}");
    }
    for key in [
        "ledger/settled/app-use1/1795193943250-12-00003.jsonl",
        "ledger/settled/app-use1/1795193943250-12-job-3.jsonl",
        "ledger/settled/app-use1/1795193943250-12-job-000003.jsonl",
        "ledger/settled/app-use1/179519394325-12-job-00003.jsonl",
        "ledger/settled/Not A Bucket/1795193943250-12-job-00003.jsonl",
        "ledger/settled/app-use1/1795193943250-12-a/b-00003.jsonl",
    ] {
        assert!(key.parse::<SettledName>().is_err(), "{key}");
    }
    for key in [
        "ledger/handed-over/c003dd0a17ae36b6/00003-1-7c3bb1a38d392e7e.jsonl",
        "ledger/handed-over/c003dd0a17ae36b6/-00003-1-7c3bb1a38d392e7e.jsonl",
        "ledger/handed-over/c003dd0a17ae36b6/job-00003-01-7c3bb1a38d392e7e.jsonl",
        "ledger/handed-over/c003dd0a17ae36b6/job-00003.jsonl",
        "ledger/handed-over/group/job-00003-1-7c3bb1a38d392e7e.jsonl",
    ] {
        assert!(key.parse::<HandedOverName>().is_err(), "{key}");
    }
}

/// Reads a whole file as rows; gives the error with its cause.
fn refused(file: &[u8]) -> String {
    let mut reader = Reader::<Rows>::new("ledger/open/g/f.jsonl");
    reader.feed(file);
    let result = loop {
        match reader.next_record() {
            Ok(Some(_)) => {}
            Ok(None) => break reader.finish(),
            Err(error) => break Err(error),
        }
    };
    let error = result.expect_err("this must not be read");
    assert_eq!(error.file, "ledger/open/g/f.jsonl");
    format!("{error}: {}", error.source)
}

#[test]
fn what_cannot_be_understood_is_refused_by_name() {
    let header = r#"{"format":"mrap-sentinel/ledger","schema":1,"groups":[{"source":"app-use1","destination":"app-euw1","rule":"r","reason":"x"}]}"#;
    let good = r#"["k","v",1795193943250,0,null,0]"#;
    let with = |row: &str| format!("{header}\n{good}\n{row}\n");
    for (file, says) in [
        (
            header.replace("\"schema\":1", "\"schema\":2") + "\n",
            "line 1: its schema is 2",
        ),
        (
            header.replace("\"schema\":1", "\"schema\":\"1\"") + "\n",
            "its schema is \"1\"",
        ),
        (
            header.replace("\"schema\":1", "\"x\":1") + "\n",
            "its schema is missing",
        ),
        // A later schema is told as such, whatever else is new about it.
        (
            r#"{"format":"mrap-sentinel/ledger","schema":7,"tables":[]}"#.to_owned() + "\n",
            "its schema is 7",
        ),
        (
            String::from_utf8_lossy(SETTLED_FILE).into_owned(),
            "its format is \"mrap-sentinel/settled\", expected \"mrap-sentinel/ledger\"",
        ),
        ("{}\n".to_owned(), "its format is missing"),
        ("[]\n".to_owned(), "its format is missing"),
        ("key,version\n".to_owned(), "line 1: it is not a first line"),
        (
            header.replace("app-use1", "App") + "\n",
            "it is not the first line of a file of rows",
        ),
        (
            with(r#"["k","v",1795193943250,0,null]"#),
            "line 3: it is not a row",
        ),
        (
            with(r#"["k","v",1795193943250,0,null,0,0]"#),
            "it is not a row",
        ),
        (
            with(r#"["k","v","1795193943250",0,null,0]"#),
            "it is not a row",
        ),
        (with(r#"["k","v",-1,0,null,0]"#), "it is not a row"),
        (
            with(r#"["k","v",10000000000000,0,null,0]"#),
            "it is not a row",
        ),
        (with(r#"["k","v",1,-1,null,0]"#), "it is not a row"),
        (with(r#"["k","v",1,0,1.5,0]"#), "it is not a row"),
        (with(r#"["\ud800","v",1,0,null,0]"#), "it is not a row"),
        (with(""), "it is not a row"),
        (with(r#"["k","v",1,0,null,1]"#), "it refers to group 1 of 1"),
        (header.to_owned(), "line 1: the file is cut off"),
        (String::new(), "line 1: the file is cut off"),
        (format!("{header}\n{good}"), "line 2: the file is cut off"),
    ] {
        let error = refused(file.as_bytes());
        assert!(error.contains(says), "{file}\n{error}");
        assert!(
            !error.contains("1795193943250"),
            "rows are not repeated: {error}"
        );
    }
    assert!(
        refused(&[with("").as_bytes(), b"[\"\xff\",\"v\",1,0,null,0]\n"].concat())
            .contains("line 3")
    );
}

#[test]
fn what_schema_1_gains_may_be_left_out_of_account() {
    let header = br#"{"format":"mrap-sentinel/ledger","schema":1,"writtenBy":"x","groups":[]}"#;
    assert_eq!(RowsHeader::decode(header).unwrap().groups, []);
}

#[test]
fn lines_are_bounded() {
    let too_long = row(&"x".repeat(MAX_LINE), "v", 1, None);
    let mut out = b"before\n".to_vec();
    assert_eq!(too_long.encode(&mut out), Err(LineError::TooLong));
    assert_eq!(out, b"before\n", "nothing of it is written");
    assert_eq!(
        OpenFile::new(&group(), vec![too_long]),
        Err(LineError::TooLong)
    );

    // A file without an end of line does not fill the memory first.
    let mut lines = Lines::default();
    let piece = vec![b'x'; MAX_LINE / 4];
    let error = (0..8).find_map(|_| {
        lines.feed(&piece);
        lines.next_line().err()
    });
    assert_eq!(error, Some(LineError::TooLong));
    assert!(lines.held() <= MAX_LINE);

    // As long as may be.
    let mut lines = Lines::default();
    lines.feed(&[vec![b'x'; MAX_LINE - 1], b"\ny\n".to_vec()].concat());
    assert_eq!(
        lines.next_line().unwrap().map(<[u8]>::len),
        Some(MAX_LINE - 1)
    );
    assert_eq!(lines.next_line().unwrap(), Some(&b"y"[..]));
    lines.feed(&[vec![b'x'; MAX_LINE], b"\n".to_vec()].concat());
    assert_eq!(lines.next_line(), Err(LineError::TooLong));
}

#[test]
fn nothing_makes_no_file() {
    assert_eq!(OpenFile::new(&group(), Vec::new()), Ok(None));
}

/// Keys as people have them, and worse.
fn some_key() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        vec(any::<char>(), 0..40).prop_map(String::from_iter),
        "[a+%2B,\"' \n\r\t\\\\/\u{0}\u{feff}]{0,12}",
    ]
}

fn some_row() -> impl Strategy<Value = Row> {
    let versions = prop_oneof![Just("null".to_owned()), "[A-Za-z0-9._+]{1,32}"];
    let times = 0..=Millis::MAX.get();
    (
        some_key(),
        versions,
        times,
        any::<u32>(),
        any::<Option<u64>>(),
    )
        .prop_map(|(key, version, at, attempts, size)| Row {
            key,
            version,
            failed_at: millis(at),
            attempts,
            size,
            group: 0,
        })
}

proptest! {
    #[test]
    fn any_rows_go_round(rows in vec(some_row(), 1..40), piece in 1..300_usize) {
        let file = OpenFile::new(&group(), rows.clone()).unwrap().unwrap();
        let (_, read) = read::<Rows>(&file.body, piece);
        let mut expected = rows;
        sort_rows(&mut expected);
        expected.dedup();
        prop_assert_eq!(&read, &expected);
        prop_assert_eq!(file.name.rows, u64::try_from(read.len()).unwrap());
        prop_assert!(read.iter().all(|row| row.failed_at >= file.name.oldest));
        prop_assert!(read.iter().all(|row| row.failed_at <= file.name.newest));
        prop_assert!(read.is_sorted_by_key(Row::identity));
        prop_assert_eq!(file.name.key().parse::<OpenName>(), Ok(file.name));
        prop_assert_eq!(file.body.split_inclusive(|byte| *byte == b'\n').count(), read.len() + 1);
    }

    #[test]
    fn the_same_rows_make_the_same_file(
        rows in vec(some_row(), 1..20),
        order in vec(any::<Index>(), 0..60),
    ) {
        // Each row at least once, some several times, in any order.
        let mut again: Vec<Row> = order.iter().map(|index| index.get(&rows).clone()).collect();
        again.extend(rows.iter().rev().cloned());
        let file = OpenFile::new(&group(), rows).unwrap();
        prop_assert_eq!(OpenFile::new(&group(), again).unwrap(), file);
    }

    #[test]
    fn reading_goes_on_where_it_stopped(
        rows in vec(some_row(), 1..20),
        taken in any::<Index>(),
    ) {
        let file = OpenFile::new(&group(), rows).unwrap().unwrap();
        let (header, expected) = read::<Rows>(&file.body, 1 << 20);
        let taken = taken.index(expected.len() + 1);
        let mut reader = Reader::<Rows>::new("f");
        reader.feed(&file.body);
        let mut rows = Vec::new();
        for _ in 0..taken {
            rows.push(reader.next_record().unwrap().unwrap());
        }
        let offset = reader.offset();
        drop(reader);
        // Nothing was read yet: the first line is still to come.
        let mut reader = match offset {
            0 => Reader::<Rows>::new("f"),
            offset => Reader::<Rows>::resume("f", header, offset),
        };
        reader.feed(&file.body[usize::try_from(offset).unwrap()..]);
        while let Some(row) = reader.next_record().unwrap() {
            rows.push(row);
        }
        reader.finish().unwrap();
        prop_assert_eq!(rows, expected);
    }

    #[test]
    fn settled_identities_go_round(
        entries in vec((some_key(), any::<bool>(), 0..=Millis::MAX.get(), any::<Index>()), 1..40),
        piece in 1..300_usize,
    ) {
        let (header, _) = settled();
        let mut body = Vec::new();
        header.encode(&mut body).unwrap();
        let entries: Vec<SettledRow> = entries
            .into_iter()
            .map(|(key, second, at, how)| SettledRow {
                identity: Identity::of(&key, "v"),
                destination: u16::from(second),
                settled_at: millis(at),
                how: *how.get(&How::ALL),
            })
            .collect();
        for entry in &entries {
            entry.encode(&mut body).unwrap();
        }
        prop_assert_eq!(read::<Settled>(&body, piece), (header, entries));
    }

    #[test]
    fn broken_files_are_errors_and_never_a_panic(
        bytes in vec(any::<u8>(), 0..200),
        at in any::<Index>(),
        piece in 1..100_usize,
    ) {
        // A whole file, harmed at one place: either refused, or every record is one that could be.
        let mut file = OPEN_FILE.to_vec();
        let at = at.index(file.len());
        file.splice(at..at, bytes);
        let mut reader = Reader::<Rows>::new("f");
        for piece in file.chunks(piece) {
            reader.feed(piece);
            loop {
                match reader.next_record() {
                    Ok(Some(row)) => prop_assert_eq!(row.group, 0),
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
        }
        let _ = reader.finish();
    }

    #[test]
    fn identities_do_not_meet(keys in prop::collection::btree_set(some_key(), 2..50)) {
        let identities: BTreeSet<Identity> =
            keys.iter().map(|key| Identity::of(key, "null")).collect();
        prop_assert_eq!(identities.len(), keys.len());
        for identity in identities {
            prop_assert_eq!(identity.to_string().parse::<Identity>(), Ok(identity));
        }
    }
}
