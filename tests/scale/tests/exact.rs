//! The benchmark at a size that belongs into every run: it checks the manifest itself, version by
//! version, and fails if one is missing, stands twice or does not belong there.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

#[test]
fn twenty_thousand_failures_come_out_exactly() {
    let output = Command::new(env!("CARGO_BIN_EXE_scale"))
        .args(["1000", "20000"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    for stage in ["collect", "compact", "gather"] {
        let lines = text.lines().filter(|line| line.contains(stage)).count();
        assert_eq!(lines, 2, "{text}");
    }
}
