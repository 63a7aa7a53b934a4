//! Completion reports: columns by content, odd rows, pieces that end anywhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use proptest::prelude::*;
use sentinel_core::ledger::{Format, Identity, Reader};
use sentinel_core::names::BucketName;
use sentinel_core::redrive::manifest;
use sentinel_core::redrive::report::{
    ReportError, ReportFiles, ReportReader, ReportRow, Task, Verdict, Verdicts,
};

fn bucket() -> BucketName {
    "app-use1".parse().unwrap()
}

/// Reads a report in pieces of this size, beginning anew from the offset after every `stop` rows.
fn read(text: &[u8], piece: usize, stop: usize) -> Vec<ReportRow> {
    let mut rows = Vec::new();
    let mut offset = 0;
    loop {
        let mut reader = ReportReader::new(&bucket(), offset);
        let mut at = usize::try_from(offset).unwrap();
        let mut count = 0;
        loop {
            if let Some(row) = reader.next_row() {
                rows.push(row);
                count += 1;
                if count == stop {
                    break;
                }
            } else if reader.is_done() {
                return rows;
            } else {
                let to = (at + piece).min(text.len());
                reader.feed(&text[at..to]);
                at = to;
                if at == text.len() {
                    reader.end();
                }
            }
        }
        offset = reader.offset();
    }
}

fn one(line: &str) -> ReportRow {
    let rows = read(line.as_bytes(), usize::MAX / 2, usize::MAX);
    assert_eq!(rows.len(), 1, "{line:?}: {rows:?}");
    rows.into_iter().next().unwrap()
}

fn task(key: &str, version: &str, failed: Option<&str>) -> ReportRow {
    ReportRow::Task(Task {
        key: key.to_owned(),
        version: version.to_owned(),
        failed: failed.map(str::to_owned),
    })
}

#[test]
fn rows_say_what_they_say() {
    for (line, expected) in [
        (
            "app-use1,a%20b.txt,v+1,succeeded,200,,success",
            task("a b.txt", "v+1", None),
        ),
        (
            "app-use1,a%20b.txt,v1,failed,500,SrcObjectNotEligible,Object is not eligible for replication\n",
            task("a b.txt", "v1", Some("SrcObjectNotEligible")),
        ),
        // In the order that the report declares.
        (
            "app-use1,a,v1,failed,SrcObjectNotEligible,500,\"not, \"\"eligible\"\"\n\"\r\n",
            task("a", "v1", Some("SrcObjectNotEligible")),
        ),
        // One code is documented with a blank after it.
        (
            "app-use1,a,v1,failed,404,DstVersionNotFound ,x",
            task("a", "v1", Some("DstVersionNotFound")),
        ),
        (
            "app-use1,a%2Bb+c,v1,succeeded,200,,",
            task("a+b c", "v1", None),
        ),
        (
            "\"app-use1\",\"%C3%BC%0A%2C\",\"null\",\"succeeded\",\"200\",\"\",\"\"",
            task("ü\n,", "null", None),
        ),
        (
            "app-use1,a,v1,failed,500,,It broke",
            task("a", "v1", Some("It broke")),
        ),
        (
            "app-use1,a,v1,failed,503,,",
            task("a", "v1", Some("HTTP 503")),
        ),
        (
            "app-use1,a,v1,failed,,,",
            task("a", "v1", Some("failed without a reason")),
        ),
    ] {
        assert_eq!(one(line), expected, "{line}");
    }
}

#[test]
fn what_cannot_be_understood_is_odd_and_never_a_success() {
    for line in [
        "app-use1,a,v1,succeeded,200,",
        "app-use1,a,v1,succeeded,200,,,more",
        "app-use1,a,v1,succeeded,200,,1,2,3,4,5,6,7,8,9,10",
        "app-use1,a,v1,skipped,200,,",
        "app-use1,a,v1,,200,,",
        "app-use1,a,,succeeded,200,,",
        "app-use1,,v1,succeeded,200,,",
        "app-euw1,a,v1,succeeded,200,,",
        "app-use1,%FF%FE,v1,succeeded,200,,",
        "Bucket,Key,VersionId,TaskStatus,HTTPStatusCode,ErrorCode,ResultMessage",
    ] {
        assert_eq!(one(line), ReportRow::Odd, "{line}");
    }
    let long = format!("app-use1,a,v1,succeeded,200,,\"{}", "x".repeat(300_000));
    assert_eq!(one(&long), ReportRow::Odd, "a quote that is never closed");
}

#[test]
fn neighbours_of_an_odd_row_are_unharmed() {
    let text = b"app-use1,a,v1,succeeded,200,,\n\nnonsense\napp-use1,1,2,3,4,5,6,7,8,9,0,1,2\napp-use1,b,v1,failed,403,AccessDenied,no";
    for piece in [1, 2, 7, 1000] {
        for stop in [1, 2, 100] {
            assert_eq!(
                read(text, piece, stop),
                [
                    task("a", "v1", None),
                    ReportRow::Odd,
                    ReportRow::Odd,
                    task("b", "v1", Some("AccessDenied")),
                ]
            );
        }
    }
}

#[test]
fn the_list_of_files_is_read() {
    let text = r#"{"Format":"Report_CSV_20180820","ReportCreationDate":"2019-04-05T17:48:39.725Z","Results":[
        {"TaskExecutionStatus":"succeeded","Bucket":"work","MD5Checksum":"83","Key":"p/job-1/results/a.csv"},
        {"TaskExecutionStatus":"failed","Bucket":"work","MD5Checksum":"22","Key":"p/job-1/results/b.csv"}],
        "ReportSchema":"Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage"}"#;
    let files = ReportFiles::parse(text.as_bytes()).unwrap().results;
    let seen: Vec<_> = files
        .iter()
        .map(|file| (file.is_failed, file.key.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (false, "p/job-1/results/a.csv"),
            (true, "p/job-1/results/b.csv")
        ]
    );
    for (text, expected) in [
        ("{}", "Shape"),
        ("[", "Shape"),
        (r#"{"Format":"Report_CSV_2030"}"#, "Format"),
        (
            r#"{"Format":"Report_CSV_20180820","Results":[{"TaskExecutionStatus":"odd","Bucket":"b","Key":"k"}]}"#,
            "Shape",
        ),
    ] {
        let error = ReportFiles::parse(text.as_bytes()).unwrap_err();
        let kind = match error {
            ReportError::Shape(_) => "Shape",
            ReportError::Format(_) => "Format",
        };
        assert_eq!(kind, expected, "{text}");
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

proptest! {
    #[test]
    fn what_a_manifest_names_comes_back(
        rows in prop::collection::vec(("\\PC{1,12}|[ -~\n\r\t]{1,12}", "[A-Za-z0-9._+-]{1,8}", any::<bool>(), ".{0,10}"), 0..12),
        piece in 1..60_usize,
        stop in 1..6_usize,
    ) {
        let mut text = Vec::new();
        let mut expected = Vec::new();
        for (key, version, failed, message) in &rows {
            let mut line = Vec::new();
            manifest::line(&mut line, &bucket(), key, version);
            line.pop();
            text.extend_from_slice(&line);
            let rest = if *failed { "failed,403,SomeCode" } else { "succeeded,200," };
            text.extend_from_slice(format!(",{rest},{}\n", quoted(message)).as_bytes());
            expected.push(task(key, version, failed.then_some("SomeCode")));
        }
        prop_assert_eq!(read(&text, piece, stop), expected);
    }

    #[test]
    fn any_bytes_are_read_to_their_end(text in prop::collection::vec(any::<u8>(), 0..300), piece in 1..50_usize) {
        let rows = read(&text, piece, usize::MAX);
        let whole = read(&text, 1000, usize::MAX);
        prop_assert_eq!(rows, whole);
    }
}

#[test]
fn verdicts_are_sorted_and_refuse_what_they_are_not() {
    let verdict = |key: &str, failed| Verdict {
        identity: Identity::of(key, "v"),
        failed,
    };
    let some = vec![
        verdict("a", Some(0)),
        verdict("b", None),
        verdict("c", Some(1)),
    ];
    let codes = vec!["AccessDenied".to_owned(), "SrcKeyNotFound".to_owned()];
    let file = Verdicts::file(codes.clone(), some.clone());
    let mut reader = Reader::<Verdicts>::new("f");
    reader.feed(&file);
    let mut read = Vec::new();
    while let Some(verdict) = reader.next_record().unwrap() {
        read.push(verdict);
    }
    assert_eq!(reader.header().unwrap().codes, codes);
    let mut sorted = some;
    sorted.sort_unstable();
    assert_eq!(read, sorted);
    reader.finish().unwrap();
    for line in [
        r#"{"format":"mrap-sentinel/ledger","schema":1,"codes":[]}"#,
        r#"{"format":"mrap-sentinel/report","schema":2,"codes":[]}"#,
        "[]",
    ] {
        assert!(Verdicts::header(line.as_bytes()).is_err(), "{line}");
    }
}
