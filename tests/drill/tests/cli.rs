//! The command line: its documents, its exit status, and its silence.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

use std::process::{Command, Output};

use serde_json::Value;

fn drill(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drill"))
        .args(arguments)
        .output()
        .expect("the drill starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_list_names_every_scenario() {
    let output = drill(&["--list"]);
    assert!(output.status.success());
    let listed = text(&output.stdout);
    for scenario in &drill::scenarios::ALL {
        let name = format!("{}  ", scenario.name);
        assert!(listed.lines().any(|line| line.starts_with(&name)), "{name}");
    }
}

#[test]
fn nonsense_ends_with_status_2() {
    for arguments in [
        &["--scenario", "no-such-thing"][..],
        &["--seed", "many"],
        &["--verbose"],
        &[
            "--pace",
            "100000",
            "--json",
            "--report",
            "/nowhere/at/all/report.html",
        ],
    ] {
        let output = drill(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn json_is_one_document_and_the_report_stands_alone() {
    let directory = directory();
    let page = directory.join("report.html");
    let path = page.to_str().expect("a path");
    let output = drill(&["--json", "--pace", "5000", "--seed", "3", "--report", path]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(document["scenario"], "regional-outage");
    assert_eq!(document["seed"], 3);
    assert_eq!(document["virtual_seconds"], 7200);
    assert_eq!(document["route_changes"][0]["to"][0], "eu-west-1");
    assert!(document["rto_s"].as_u64() >= document["dial_moved_s"].as_u64());
    assert!(document["dial_moved_s"].as_u64() >= document["detected_s"].as_u64());
    assert!(document["detected_s"].is_u64());
    assert_eq!(document["lost_objects"], 0);
    assert_eq!(document["violations"], serde_json::json!([]));
    for (count, expected) in [
        ("failures", 0),
        ("jobs", 0),
        ("redriven", 0),
        ("abandoned", 0),
    ] {
        assert_eq!(document["redrive"][count], expected, "{count}");
    }

    let html = std::fs::read_to_string(&page).expect("the report");
    std::fs::remove_dir_all(&directory).expect("it is ours");
    assert!(html.starts_with("<!doctype html>") && html.contains("<svg"));
    for elsewhere in ["<script", "src=", "href=", "url("] {
        assert!(!html.contains(elsewhere), "{elsewhere}");
    }
}

#[test]
fn a_person_sees_the_story_the_numbers_and_what_was_checked() {
    let output = drill(&["--pace", "5000"]);
    assert_eq!(output.status.code(), Some(0));
    let story = text(&output.stdout);
    for expected in [
        "S3 in us-east-1 goes down",
        "routes set to us-east-1 0, eu-west-1 100 by the function",
        "CRITICAL: failover us-east-1 -> eu-west-1 submitted",
        "dial moved after",
        "at least one member is active",
    ] {
        assert!(story.contains(expected), "{expected}\n{story}");
    }
    assert!(
        !story.contains('\u{1b}'),
        "no colours where there is no terminal"
    );
}

/// A fresh directory.
fn directory() -> std::path::PathBuf {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("drill-report");
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}
