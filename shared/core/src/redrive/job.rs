//! One job: what it was planned with, where it stands, and what each of its phases gives.
//!
//! A job is part of the redrive function's document, so it stays small whatever the backlog: rows,
//! reports and part lists beyond a bound lie in files of their own. What is fixed when a job is
//! planned (inputs, limits, the age that is too old) never changes afterwards, so that a slice
//! that is repeated after a crash gives what it gave before.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ledger::{Group, How};
use crate::names::{BucketName, NameError};

/// Most input files of one job: each is one stream of the merge.
pub const MAX_INPUTS: usize = 64;

/// A job's own name: `<planned at>-<8 hex digits>`, such as `20261121T143059Z-5f0c11aa`.
///
/// It sorts by time and stands in keys, in the job's description and in its report's prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobName(String);

impl JobName {
    /// The name of the job that is planned at this moment for this lane. `sequence` tells apart
    /// what is planned within one second.
    #[must_use]
    pub fn new(planned_at: Timestamp, source: &BucketName, sequence: u64) -> Self {
        let digest = Sha256::digest(format!(
            "{}\0{source}\0{sequence}",
            planned_at.as_millisecond()
        ));
        let when = planned_at
            .to_zoned(TimeZone::UTC)
            .strftime("%Y%m%dT%H%M%SZ");
        Self(format!("{when}-{}", hex(&digest, 4)))
    }

    /// The name of the job that looks for what the one of this name left.
    #[must_use]
    pub fn follow_up(&self) -> Self {
        let (when, _) = self.0.split_once('-').unwrap_or((&self.0, ""));
        let digest = Sha256::digest(format!("{self}\0look"));
        Self(format!("{when}-{}", hex(&digest, 4)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for JobName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_name = text.split_once('-').is_some_and(|(when, id)| {
            when.len() == 16
                && when
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b"TZ".contains(&b))
                && id.len() == 8
                && id
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        if is_name {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Shape {
                text: text.to_owned(),
                expected: "a job's name such as 20261121T143059Z-5f0c11aa",
            })
        }
    }
}

impl TryFrom<String> for JobName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<JobName> for String {
    fn from(name: JobName) -> Self {
        name.0
    }
}

/// The first bytes of a digest in hexadecimal.
fn hex(digest: &[u8], bytes: usize) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(2 * bytes);
    for byte in digest.iter().take(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What a job is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum JobKind {
    /// A few rows of a held group, those with the fewest attempts, to see whether they arrive.
    Sample,
    /// What has piled up in released groups.
    Release,
    /// No job of S3: the rows are settled with this reason, and nothing is re-driven. Its phases
    /// are `Gather` and `Close`.
    Settle {
        /// How the rows are settled.
        how: How,
    },
    /// No job of S3: what an earlier job left that S3 still replicates is looked for, without
    /// keeping its lane. Its phases are `Prove` and `Close`; it has no inputs.
    Look,
    /// A manifest that S3 generates. Begins with `Create`; it has no inputs and no rows files.
    Sweep(Sweep),
}

/// Which versions a generated manifest takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sweep {
    /// With one of these replication statuses; never empty.
    pub statuses: Vec<SweepStatus>,
    /// Created after this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_after: Option<Timestamp>,
}

/// A replication status that a generated manifest can filter by. S3 offers no `PENDING`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SweepStatus {
    /// Replication failed.
    Failed,
    /// Never replicated.
    None,
    /// Replicated.
    Completed,
    /// Is itself a replica.
    Replica,
}

impl SweepStatus {
    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            Self::None => "NONE",
            Self::Completed => "COMPLETED",
            Self::Replica => "REPLICA",
        }
    }
}

/// A job from planning until it is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its name.
    pub name: JobName,
    /// What it is for.
    pub kind: JobKind,
    /// Its lane: the source bucket of all its rows.
    pub source: BucketName,
    /// The groups whose rows it takes; a row of the job's own files names its group by the
    /// position here. All have `source` as their source. For a sweep it may be empty.
    pub groups: Vec<Group>,
    /// Keys of the open files that it takes, at most [`MAX_INPUTS`]; each belongs to one of the groups.
    pub inputs: Vec<String>,
    /// Most versions in its manifest.
    pub limit: u64,
    /// Rows with so many attempts are handed over instead.
    pub attempts: u32,
    /// Rows that failed before this moment are handed over instead.
    pub not_before: Timestamp,
    /// When it was planned. What it gathers and hands over is settled as of this moment.
    pub planned_at: Timestamp,
    /// Where it stands.
    pub phase: Phase,
}

/// Where a job stands. Each phase carries what the earlier ones gave and its own cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "phase")]
pub enum Phase {
    /// Inputs become manifest and rows files.
    Gather {
        /// Where it goes on.
        cursor: GatherCursor,
    },
    /// The job is created at S3.
    #[serde(rename_all = "camelCase")]
    Create {
        /// What is in it; a sweep's is empty and without a manifest.
        gathered: Gathered,
        /// Its token, persisted before the first try.
        token: Token,
        /// A try was begun: whether it succeeded must be looked up first.
        tried: bool,
    },
    /// The job runs.
    #[serde(rename_all = "camelCase")]
    Poll {
        /// What is in it.
        gathered: Gathered,
        /// S3's id of it.
        id: JobId,
        /// When it was created, as far as we know.
        created_at: Timestamp,
    },
    /// Its report is read.
    Report {
        /// What is in it.
        gathered: Gathered,
        /// How it ended.
        ended: Ended,
        /// Where it goes on.
        cursor: ReportCursor,
    },
    /// Rows are joined with the report.
    Settle {
        /// What is in it.
        gathered: Gathered,
        /// How it ended.
        ended: Ended,
        /// What the report says.
        tally: Tally,
        /// Where it goes on.
        cursor: SettleCursor,
    },
    /// What was initiated is looked for in the destinations.
    Prove {
        /// What is in it.
        gathered: Gathered,
        /// How it ended.
        ended: Ended,
        /// What became of the rows so far.
        settled: Settled,
        /// Where it goes on.
        cursor: ProveCursor,
    },
    /// Its files and inputs are deleted.
    Close {
        /// What is in it.
        gathered: Gathered,
        /// How it ended; none if no job was created.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ended: Option<Ended>,
        /// What became of the rows.
        settled: Settled,
        /// Where it goes on.
        cursor: CloseCursor,
    },
}

/// What gathering gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gathered {
    /// The finished manifest; none if no row remained, for sweeps, and where rows are only settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
    /// Rows taken, for each of the job's groups.
    pub rows: Vec<u64>,
    /// Rows handed over because of their attempts or age, for each of the job's groups.
    pub handed_over: Vec<u64>,
    /// Rows left out because they were settled already.
    pub dropped: u64,
    /// Rows that stood more than once.
    pub duplicates: u64,
    /// Files of rows that were written.
    pub chunks: u32,
    /// Inputs that were not there any more.
    pub missing: u32,
    /// All inputs were used up, so that they can be deleted when the job closes.
    pub complete: bool,
}

/// A manifest in the lane's work bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: String,
    /// The entity tag without quotes, as `CreateJob` wants it.
    pub etag: String,
    /// Lines: versions, each once.
    pub objects: u64,
}

/// `ClientRequestToken` of a job: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token(String);

impl Token {
    /// The token of this job: of its manifest, so that the same manifest is never two jobs; of its
    /// name and filter for a sweep, which has none.
    #[must_use]
    pub fn new(job: &Job, gathered: &Gathered) -> Self {
        let text = match (&gathered.manifest, &job.kind) {
            (Some(manifest), _) => {
                format!("{}\0{}\0{}", manifest.bucket, manifest.key, manifest.etag)
            }
            (None, JobKind::Sweep(sweep)) => {
                let statuses: Vec<&str> = sweep.statuses.iter().map(|s| s.as_str()).collect();
                let after = sweep.created_after.map(Timestamp::as_millisecond);
                format!("{}\0{}\0{statuses:?}\0{after:?}", job.source, job.name)
            }
            (None, _) => format!("{}\0{}", job.source, job.name),
        };
        Self(hex(&Sha256::digest(text), 32))
    }

    /// The token as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// S3's id of a job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobId(pub String);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What came of trying to create a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// It exists.
    Created(JobId),
    /// S3 wants us to come again later, or gave no answer: whether the job exists is looked up next time.
    Throttled(String),
    /// S3 refuses: nothing was created, and the same request would be refused again.
    Refused(String),
}

/// What came of asking how a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// Not over, or not known yet.
    Open(Progress),
    /// Over.
    Ended(Ended),
}

impl Job {
    /// The job that looks for what this one left because S3 still replicates it, if there is such.
    #[must_use]
    pub fn follow_up(&self, ended: &Ended, settled: &Settled, now: Timestamp) -> Option<Self> {
        let all = settled.proof.moving;
        let gathered = Gathered {
            // It has no inputs: what is open again is so in one place only.
            complete: true,
            ..Gathered::default()
        };
        (all > 0).then(|| Self {
            name: self.name.follow_up(),
            kind: JobKind::Look,
            inputs: Vec::new(),
            limit: 0,
            planned_at: now,
            phase: Phase::Prove {
                gathered,
                ended: ended.clone(),
                settled: Settled {
                    proof: ProofFiles {
                        all,
                        must_be_all: true,
                        ..ProofFiles::default()
                    },
                    ..Settled::default()
                },
                cursor: ProveCursor::default(),
            },
            ..self.clone()
        })
    }
}

/// How far a job is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// S3's word for its state, such as `Active`; empty while S3 does not know the job yet.
    pub status: String,
    /// Tasks, once the manifest was read.
    pub total: u64,
    /// Tasks that initiated replication.
    pub succeeded: u64,
    /// Tasks that failed; not reliable at very high counts.
    pub failed: u64,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// S3's id of it.
    pub id: JobId,
    /// Its final state.
    pub status: EndStatus,
    /// When we learnt it. Settled rows are settled as of this moment.
    pub at: Timestamp,
    /// How far it came.
    pub progress: Progress,
    /// Why it failed, if it did; S3's words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// The final state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndStatus {
    /// All tasks ran; says nothing about their success.
    Complete,
    /// The job was stopped: too many tasks failed, or it could not begin.
    Failed,
    /// A person cancelled it.
    Cancelled,
    /// S3 does not know it (any more).
    Unknown,
}

/// What a report says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// There is a report. Without one nothing is known of any row: all count as not run.
    pub found: bool,
    /// The generated manifest was empty: a sweep that had nothing to do.
    pub nothing_to_do: bool,
    /// Rows that initiated replication: listed, or implied by a complete job.
    pub succeeded: u64,
    /// Rows that failed, by error code.
    pub failed: BTreeMap<String, u64>,
    /// Rows that could not be understood; what they speak of counts as not run.
    pub odd: u64,
    /// Why there is no report, or why the job failed; S3's words.
    pub reasons: Vec<String>,
    /// Report files that were written.
    pub chunks: u32,
}

/// What became of the rows of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settled {
    /// For each of the job's groups; a sweep without groups has one entry.
    pub groups: Vec<Outcome>,
    /// Groups that were given rows again, and how many.
    pub reopened: Vec<Reopened>,
    /// What there is to prove.
    #[serde(default)]
    pub proof: ProofFiles,
}

/// Files of rows that were initiated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofFiles {
    /// Files with all of them, the doubted ones aside.
    pub all: u32,
    /// Files with an even sample of them.
    pub sample: u32,
    /// Files with rows of which the report says something that may be about another destination:
    /// each of them is looked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub doubted: u32,
    /// Files with those that S3 still replicates, for the job that looks for them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub moving: u32,
    /// The report left doubts, or there are few: all are looked for.
    pub must_be_all: bool,
}

/// Rows that went back into the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopened {
    /// The group in which they are open now.
    pub group: Group,
    /// How many.
    pub rows: u64,
}

/// Fields that came later are left out where they say nothing.
fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

/// What became of the rows of one group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outcome {
    /// Initiated, and not yet looked for.
    pub initiated: u64,
    /// Proven to be in the destination, or in the proven sample's company.
    pub arrived: u64,
    /// S3 says that nothing was pending.
    pub already: u64,
    /// Settled with a final reason: gone, hard-deleted, not eligible.
    pub finals: u64,
    /// Failed again; open in the group of the reason.
    pub failed: u64,
    /// Not run, or not reported; open again.
    pub not_run: u64,
    /// Not seen when the patience ended; open again.
    pub pending: u64,
    /// The source said that S3 still replicates them when the patience ended: another job looks
    /// for them.
    #[serde(skip_serializing_if = "is_zero")]
    pub moving: u64,
}

impl Settled {
    /// Counts rows that went back into this group.
    pub fn reopen(&mut self, group: &Group, rows: u64) {
        match self.reopened.iter_mut().find(|known| known.group == *group) {
            Some(known) => known.rows += rows,
            None => self.reopened.push(Reopened {
                group: group.clone(),
                rows,
            }),
        }
    }

    /// Counts something in the figures of the job's group at this place.
    pub fn count(&mut self, place: usize, add: impl FnOnce(&mut Outcome)) {
        if self.groups.len() <= place {
            self.groups.resize(place + 1, Outcome::default());
        }
        if let Some(outcome) = self.groups.get_mut(place) {
            add(outcome);
        }
    }
}

impl Outcome {
    /// Adds another's figures.
    pub fn add(&mut self, other: &Self) {
        self.initiated += other.initiated;
        self.arrived += other.arrived;
        self.already += other.already;
        self.finals += other.finals;
        self.failed += other.failed;
        self.not_run += other.not_run;
        self.pending += other.pending;
        self.moving += other.moving;
    }
}

/// Where gathering goes on. Opaque to whoever keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatherCursor {
    /// The settled files that rows are held against, once they are fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled: Option<Vec<String>>,
    /// How far each input was used up.
    pub inputs_at: Vec<u64>,
    /// How far each settled file was.
    pub settled_at: Vec<u64>,
    /// The multipart upload of the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadCursor>,
    /// Files of rows whose lines are in uploaded parts; those of later ones come from the files.
    pub uploaded_chunks: u32,
    /// All was gathered, and whether that used the inputs up: only the upload is to be completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<bool>,
    /// Lines of the manifest so far.
    pub objects: u64,
    /// Settled and handed-over files so far.
    pub parts: u32,
    /// The rest so far.
    pub gathered: Gathered,
}

/// A multipart upload under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadCursor {
    /// S3's id of it.
    pub id: String,
    /// Entity tags of its parts, from part 1 on, without quotes.
    pub parts: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
}

/// Where reading a report goes on. Opaque to whoever keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReportCursor {
    /// Which of the files to be read is next.
    pub file: usize,
    /// From where on.
    pub offset: u64,
    /// What the report says so far.
    pub tally: Tally,
}

/// Where settling goes on. Opaque to whoever keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SettleCursor {
    /// Which file of rows, or for a sweep of the report, is next.
    pub chunk: u32,
    /// How far each file of the report was used up.
    pub report_at: Vec<u64>,
    /// Failed tasks that belong to no row, as far as was seen.
    pub unmatched: u64,
    /// Where looking into a sweep's report goes on.
    pub swept: SweptCursor,
    /// What became of the rows so far.
    pub settled: Settled,
}

/// Where taking an even sample of a sweep's report goes on: first its size is found out, then
/// pieces at even distances are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SweptCursor {
    /// Which of the report's files is next.
    pub file: usize,
    /// Bytes of those before it.
    pub before: u64,
    /// Bytes of all, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Where in all of them the next piece begins.
    pub at: u64,
}

/// Where proving goes on. Opaque to whoever keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProveCursor {
    /// What is being looked at.
    pub stage: ProveStage,
    /// How often what is pending was looked at.
    pub round: u32,
    /// Which file of this round is next.
    pub file: u32,
    /// Which of its rows.
    pub row: u64,
    /// Files of rows that this round left pending.
    pub pending_files: u32,
    /// Files of the round.
    pub files: u32,
    /// Numbers the files that are written.
    pub parts: u32,
    /// Files of rows that S3 still replicates, although the patience is over.
    pub moving: u32,
    /// What became of the rows; taken over from settling at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
}

/// What proving looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProveStage {
    /// Not decided yet.
    #[default]
    Start,
    /// An even sample.
    Sample,
    /// Everything.
    All,
    /// Nothing any more: the sample arrived, and the rest is settled like it.
    Trust,
    /// What the report leaves doubts about, whatever became of the rest.
    Doubted,
    /// Nothing any more: what S3 still replicates is given to the job that looks for it.
    Leave,
}

/// Where closing goes on. Opaque to whoever keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CloseCursor {
    /// The inputs are deleted.
    pub inputs: bool,
}

/// What one slice of a phase gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slice<C, D> {
    /// Time is up, or enough was done at once: go on from here.
    More(C),
    /// Nothing to do before this moment: go on from here then.
    Wait(C, Timestamp),
    /// The phase is over.
    Done(D),
}
