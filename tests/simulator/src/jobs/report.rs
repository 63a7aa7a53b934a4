//! Completion reports, as real jobs write them: the declared schema names the columns in an order
//! that the rows do not have.

use std::borrow::Cow;

use bytes::Bytes;
use md5::{Digest, Md5};
use serde_json::json;

use super::request::ReportRequest;
use crate::log::{hex, sha256_hex};
use crate::reasons;

/// The order that AWS's manifest declares.
const DECLARED: &str =
    "Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage";

/// The rows of a report so far.
#[derive(Debug)]
pub(crate) struct Report {
    wants_successes: bool,
    wants_failures: bool,
    rows_per_file: usize,
    succeeded: Files,
    failed: Files,
}

#[derive(Debug, Default)]
struct Files {
    full: Vec<Bytes>,
    open: Option<csv::Writer<Vec<u8>>>,
    rows: usize,
}

/// Files to write: key within the report bucket, and content.
pub(crate) type Written = Vec<(String, Bytes)>;

impl Report {
    pub(super) fn new(request: &ReportRequest, rows_per_file: usize) -> Self {
        Self {
            wants_successes: request.enabled && !request.failed_only,
            wants_failures: request.enabled,
            rows_per_file: rows_per_file.max(1),
            succeeded: Files::default(),
            failed: Files::default(),
        }
    }

    /// Adds the row of a task; `failure` is its reason.
    pub(crate) fn add(&mut self, bucket: &str, key: &str, version_id: &str, failure: Option<&str>) {
        let (wanted, files) = match failure {
            None => (self.wants_successes, &mut self.succeeded),
            Some(_) => (self.wants_failures, &mut self.failed),
        };
        if !wanted {
            return;
        }
        let row = match failure {
            None => ["succeeded", "200", "", "success"].map(Cow::Borrowed),
            Some(reason) => [
                Cow::Borrowed("failed"),
                Cow::Owned(reasons::status(reason).to_string()),
                Cow::Borrowed(reason),
                Cow::Borrowed(reasons::message(reason)),
            ],
        };
        let place = [bucket, key, version_id];
        files.add(place.into_iter().chain(row.iter().map(|field| &**field)));
        if files.rows >= self.rows_per_file {
            files.close();
        }
    }

    /// Ends the report: result files, `manifest.json` and its checksum.
    pub(crate) fn finish(
        &mut self,
        request: &ReportRequest,
        job_id: &str,
        created: &str,
    ) -> Written {
        let folder = match &request.prefix {
            Some(prefix) => format!("{prefix}/job-{job_id}"),
            None => format!("job-{job_id}"),
        };
        let mut written = Vec::new();
        let mut results = Vec::new();
        for (status, files) in [
            ("succeeded", &mut self.succeeded),
            ("failed", &mut self.failed),
        ] {
            files.close();
            for (number, body) in std::mem::take(&mut files.full).into_iter().enumerate() {
                let name = sha256_hex(format!("{job_id}-{status}-{number}").as_bytes());
                let key = format!("{folder}/results/{}.csv", &name[..40]);
                results.push(json!({
                    "TaskExecutionStatus": status,
                    "Bucket": request.bucket,
                    "MD5Checksum": hex(&Md5::digest(&body)),
                    "Key": key,
                }));
                written.push((key, body));
            }
        }
        let manifest = json!({
            "Format": "Report_CSV_20180820",
            "ReportCreationDate": created,
            "Results": results,
            "ReportSchema": DECLARED,
        });
        let manifest = Bytes::from(manifest.to_string());
        let checksum = Bytes::from(hex(&Md5::digest(&manifest)));
        written.push((format!("{folder}/manifest.json"), manifest));
        written.push((format!("{folder}/manifest.json.md5"), checksum));
        written
    }
}

impl Files {
    fn add<'a>(&mut self, fields: impl Iterator<Item = &'a str>) {
        let open = self
            .open
            .get_or_insert_with(|| csv::Writer::from_writer(Vec::new()));
        open.write_record(fields).expect("memory takes everything");
        self.rows += 1;
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            let bytes = open.into_inner().expect("memory takes everything");
            self.full.push(Bytes::from(bytes));
        }
        self.rows = 0;
    }
}
