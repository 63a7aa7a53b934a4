//! The redrive function's slices of work in the simulated world, a job at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use jiff::{SignedDuration, Timestamp};
use redrive::Deps;
use redrive::work::{self, Work};
use sentinel_aws::edge::{Edge, EdgeParts, HttpClients, Sink};
use sentinel_aws::endpoints::EndpointOverrides;
use sentinel_aws::ledger::Files;
use sentinel_core::ledger::{
    Format, Group, HANDED_OVER, Identity, Millis, OPEN, OpenFile, Reader, Row, Rows, SETTLED,
    Settled,
};
use sentinel_core::redrive::job::{
    CloseCursor, Creation, Ended, GatherCursor, Gathered, Job, JobKind, JobName, Phase, Polled,
    ProveCursor, ReportCursor, SettleCursor, Settled as Outcomes, Slice, Tally, Token,
};
use sentinel_core::settings::RedriveSettings;
use simulator::truth::Transfer;
use simulator::{Simulator, WorldConfig};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const HOME: &str = "app-use1";
pub(crate) const AWAY: &str = "app-euw1";
pub(crate) const WORK: &str = "work-use1";
/// The third member, where there is one.
pub(crate) const THIRD: &str = "app-apne1";
const STATE: &str = "sentinel-state";
const LABEL: &str = "redrive";

/// Two members, their work buckets, and the state bucket in the control Region.
pub(crate) fn config(seed: u64) -> WorldConfig {
    let mut config = WorldConfig::new(seed)
        .account(ACCOUNT)
        .mrap("mfzwi23gnjvgw.mrap")
        .member(HOME, "us-east-1")
        .member(AWAY, "eu-west-1")
        .bucket(WORK, "us-east-1")
        .bucket("work-euw1", "eu-west-1")
        .bucket(STATE, "us-east-2");
    config.jobs.late_failures = 0.0;
    config
}

/// A third member.
pub(crate) fn config_of_three(seed: u64) -> WorldConfig {
    config(seed)
        .member(THIRD, "ap-northeast-1")
        .bucket("work-apne1", "ap-northeast-1")
}

fn lookup(name: &str, has_third: bool) -> Option<String> {
    let value = match name {
        "MRAP_ARN" => "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
        "MEMBERS" => "app-use1@us-east-1,app-euw1@eu-west-1",
        "STATE_BUCKET" => STATE,
        "TOPIC_ARNS" => "arn:aws:sns:us-east-2:111122223333:mrap-sentinel",
        "WORK_BUCKETS" => "work-use1@us-east-1,work-euw1@eu-west-1",
        "BATCH_ROLE_ARN" => "arn:aws:iam::111122223333:role/mrap-sentinel-batch",
        _ => return None,
    };
    let third = match name {
        "MEMBERS" if has_third => ",app-apne1@ap-northeast-1",
        "WORK_BUCKETS" if has_third => ",work-apne1@ap-northeast-1",
        _ => "",
    };
    Some(format!("{value}{third}"))
}

#[derive(Debug)]
struct Quiet;

impl Sink for Quiet {
    fn line(&self, _: &str) {}
}

#[derive(Debug)]
struct Connections {
    sim: Simulator,
    label: &'static str,
}

impl HttpClients for Connections {
    fn fresh(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.sim.http_client(self.label))
    }
}

fn edge(sim: &Simulator, label: &'static str) -> Arc<Edge> {
    let key = Credentials::new(ACCOUNT, "secret", None, None, "test");
    Arc::new(Edge::new(EdgeParts {
        http: Arc::new(Connections {
            sim: sim.clone(),
            label,
        }),
        time_source: sim.time_source(),
        sleep: SharedAsyncSleep::new(TokioSleep::new()),
        credentials: SharedCredentialsProvider::new(key),
        identity_cache: IdentityCache::no_cache(),
        region: "us-east-2".parse().unwrap(),
        endpoints: EndpointOverrides::default(),
        retry_partition: Arc::new(|name| {
            RetryPartition::custom(name.to_owned())
                .token_bucket(TokenBucket::default())
                .build()
        }),
        stdout: Arc::new(Quiet),
    }))
}

/// A world and the function's adapters in it.
pub(crate) struct Stage {
    pub(crate) sim: Simulator,
    pub(crate) files: Files,
    pub(crate) settings: RedriveSettings,
    /// Seconds of a slice of work.
    pub(crate) slice: i64,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) gathered: Gathered,
    pub(crate) ended: Option<Ended>,
    pub(crate) tally: Option<Tally>,
    pub(crate) settled: Option<Outcomes>,
    /// The job that looks for what it left.
    pub(crate) left: Option<Job>,
}

/// What the ledger says in the end, times aside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Key, reason, attempts of what is open and not settled.
    pub(crate) open: BTreeSet<(String, String, u32)>,
    /// Identity and destination of what is settled, and how.
    pub(crate) settled: BTreeMap<(Identity, String), BTreeSet<&'static str>>,
    /// Keys that were given to a person.
    pub(crate) handed_over: BTreeSet<String>,
    /// Files that belong to jobs.
    pub(crate) job_files: usize,
}

impl Stage {
    pub(crate) fn new(config: WorldConfig) -> Self {
        fastrand::seed(config.seed);
        let members = &config.mraps[0].members;
        let has_third = members.iter().any(|member| member.bucket == THIRD);
        let sim = Simulator::new(config);
        let files = Files::of_state(edge(&sim, "test"), STATE.parse().unwrap());
        Self {
            sim,
            files,
            settings: RedriveSettings::from_lookup(|name| lookup(name, has_third)).unwrap(),
            slice: 240,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.sim.with(|world| world.calendar(world.now()))
    }

    pub(crate) async fn sleep(&self, seconds: u64) {
        self.sim.sleep(Duration::from_secs(seconds)).await;
    }

    /// A fresh process of the function.
    pub(crate) fn deps(&self) -> Deps {
        Deps::new(edge(&self.sim, LABEL), self.settings.clone())
    }

    pub(crate) fn put(&self, key: &str) {
        self.sim
            .with(|world| world.put_object_as_person(HOME, key, "content"));
    }

    /// The current version of a key at home.
    pub(crate) fn version(&self, key: &str) -> String {
        self.sim.with(|world| {
            let versions = world.versions(HOME, key);
            versions.first().expect("a version").version_id.to_string()
        })
    }

    /// A row for the current version of a key at home.
    pub(crate) fn row(&self, key: &str, attempts: u32) -> Row {
        Row {
            key: key.to_owned(),
            version: self.version(key),
            failed_at: Millis::from(self.now()),
            attempts,
            size: Some(7),
            group: 0,
        }
    }

    /// Appends rows to the ledger, and gives the file's key.
    pub(crate) async fn append(&self, group: &Group, rows: Vec<Row>) -> String {
        let file = OpenFile::new(group, rows).unwrap().expect("rows");
        let key = file.name.key();
        self.files.append(&key, file.body).await.unwrap();
        key
    }

    pub(crate) fn job(&self, kind: JobKind, groups: &[Group], inputs: &[String]) -> Job {
        let source = HOME.parse().unwrap();
        let planned_at = self.now();
        let name = JobName::new(planned_at, &source, 0);
        let phase = match kind {
            JobKind::Sweep(_) => Phase::Create {
                gathered: Gathered::default(),
                token: Token::new(
                    &placeholder(kind.clone(), groups, &name, planned_at),
                    &Gathered::default(),
                ),
                tried: false,
            },
            _ => Phase::Gather {
                cursor: GatherCursor::default(),
            },
        };
        Job {
            inputs: inputs.to_vec(),
            phase,
            ..placeholder(kind, groups, &name, planned_at)
        }
    }

    /// Runs a job to its end.
    pub(crate) async fn run(&self, job: Job) -> End {
        let mut run = Run::new(&job);
        run.go_on(self).await;
        run.end
    }

    /// Runs a job to its end; whenever the process has sent so many requests it dies, and another
    /// one goes on from what was saved.
    pub(crate) async fn run_crashing(&self, job: Job, after: u64) -> (End, u32) {
        let mut run = Run::new(&job);
        let mut crashes = 0;
        loop {
            self.sim.crash_after(LABEL, after);
            let is_over = tokio::select! {
                biased;
                () = run.go_on(self) => true,
                () = self.sim.crashed(LABEL) => false,
            };
            self.sim.revive(LABEL);
            if is_over {
                return (run.end, crashes);
            }
            crashes += 1;
            assert!(
                crashes < 2000,
                "no progress with {after} requests at a time"
            );
        }
    }

    /// Runs a job to its end; the process dies once, after its n-th request. Whether it came so far.
    pub(crate) async fn run_crashing_once(&self, job: Job, n: u64) -> (End, bool) {
        let mut run = Run::new(&job);
        self.sim.crash_after(LABEL, n);
        let is_over = tokio::select! {
            biased;
            () = run.go_on(self) => true,
            () = self.sim.crashed(LABEL) => false,
        };
        self.sim.revive(LABEL);
        if !is_over {
            run.go_on(self).await;
        }
        (run.end, !is_over)
    }

    /// How often this was asked of S3.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.sim.with(|world| {
            let log = world.log().iter();
            log.filter(|entry| entry.operation.as_str() == operation)
                .count()
        })
    }

    pub(crate) fn requests(&self) -> u64 {
        self.sim.requests_of(LABEL)
    }

    /// Whether the current version of a key at home is at the other member.
    pub(crate) fn has_arrived(&self, key: &str) -> bool {
        self.is_in(AWAY, key)
    }

    /// Whether it is in this bucket.
    pub(crate) fn is_in(&self, bucket: &str, key: &str) -> bool {
        let version = self.version(key);
        self.sim.with(|world| {
            let there = world.versions(bucket, key);
            there
                .iter()
                .any(|found| found.version_id.to_string() == version)
        })
    }

    /// Keys at home whose replication failed.
    pub(crate) fn failed(&self) -> Vec<String> {
        self.sim.with(|world| {
            let keys = world.keys(HOME).into_iter();
            keys.filter(|key| {
                let versions = world.versions(HOME, key);
                versions.first().is_some_and(|version| {
                    version
                        .transfers
                        .iter()
                        .any(|(_, transfer)| matches!(transfer, Transfer::Failed { .. }))
                })
            })
            .map(str::to_owned)
            .collect()
        })
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        let mut keys = Vec::new();
        let mut after = None;
        loop {
            let page = self.files.list(prefix, after.as_deref()).await.unwrap();
            keys.extend(page.files.into_iter().map(|file| file.key));
            after = page.next;
            if after.is_none() {
                return keys;
            }
        }
    }

    async fn records<F: Format>(&self, prefix: &str, mut take: impl FnMut(&F::Header, F::Record)) {
        for key in self.keys(prefix).await {
            let body = self.files.read(&key, 0..100_000_000).await.unwrap().bytes;
            let mut reader = Reader::<F>::new(&key);
            reader.feed(&body);
            let mut records = Vec::new();
            while let Some(record) = reader.next_record().unwrap() {
                records.push(record);
            }
            let header = reader.header().unwrap();
            for record in records {
                take(header, record);
            }
        }
    }

    pub(crate) async fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::default();
        let mut done = Vec::new();
        self.records::<Settled>(SETTLED, |header, entry| {
            let to = header.destinations[usize::from(entry.destination)].to_string();
            done.push((entry.identity, to.clone(), entry.settled_at));
            let how = ledger.settled.entry((entry.identity, to)).or_default();
            how.insert(entry.how.as_str());
        })
        .await;
        let mut open: BTreeMap<(String, String, String), u32> = BTreeMap::new();
        self.records::<Rows>(OPEN, |header, row| {
            let group = &header.groups[usize::from(row.group)];
            let is_done = done.iter().any(|(identity, to, at)| {
                *identity == row.identity()
                    && (to == group.destination.as_str() || to == "*")
                    && *at >= row.failed_at
            });
            if !is_done {
                let key = (row.key, row.version, group.reason.clone());
                let attempts = open.entry(key).or_default();
                *attempts = (*attempts).max(row.attempts);
            }
        })
        .await;
        ledger.open = open
            .into_iter()
            .map(|((key, _, reason), attempts)| (key, reason, attempts))
            .collect();
        self.records::<Rows>(HANDED_OVER, |_, row| {
            ledger.handed_over.insert(row.key);
        })
        .await;
        ledger.job_files = self.keys("ledger/jobs/").await.len();
        ledger
    }
}

fn placeholder(kind: JobKind, groups: &[Group], name: &JobName, planned_at: Timestamp) -> Job {
    Job {
        name: name.clone(),
        kind,
        source: HOME.parse().unwrap(),
        groups: groups.to_vec(),
        inputs: Vec::new(),
        limit: 1000,
        attempts: 10,
        not_before: planned_at - SignedDuration::from_hours(24 * 30),
        planned_at,
        phase: Phase::Gather {
            cursor: GatherCursor::default(),
        },
    }
}

/// A job as the function's document holds it, and what came of it.
struct Run {
    saved: String,
    end: End,
}

impl Run {
    fn new(job: &Job) -> Self {
        Self {
            saved: serde_json::to_string(job).unwrap(),
            end: End {
                gathered: Gathered::default(),
                ended: None,
                tally: None,
                settled: None,
                left: None,
            },
        }
    }

    fn save(&mut self, job: &Job) {
        self.saved = serde_json::to_string(job).unwrap();
    }

    /// Goes on from what was saved; a new process after a crash.
    async fn go_on(&mut self, stage: &Stage) {
        let deps = stage.deps();
        for _ in 0..10_000 {
            let job: Job = serde_json::from_str(&self.saved).unwrap();
            match self.step(stage, &deps, job).await {
                Some(job) => self.save(&job),
                None => return,
            }
        }
        panic!("the job does not end: {}", self.saved);
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each phase")]
    async fn step(&mut self, stage: &Stage, deps: &Deps, mut job: Job) -> Option<Job> {
        let until = stage.now() + SignedDuration::from_secs(stage.slice);
        let work = Work::new(deps, until);
        job.phase = match job.phase.clone() {
            Phase::Gather { cursor } => match work::gather(&work, &job, cursor).await.unwrap() {
                Slice::More(cursor) => Phase::Gather { cursor },
                Slice::Wait(..) => panic!("gathering waits for nothing"),
                Slice::Done(gathered) if gathered.manifest.is_some() => Phase::Create {
                    token: Token::new(&job, &gathered),
                    gathered,
                    tried: false,
                },
                Slice::Done(gathered) => close(gathered),
            },
            Phase::Create {
                gathered,
                token,
                tried,
            } => {
                let mut saved = job.clone();
                saved.phase = Phase::Create {
                    gathered: gathered.clone(),
                    token: token.clone(),
                    tried: true,
                };
                self.save(&saved);
                match work::create(&work, &job).await.unwrap() {
                    Creation::Created(id) => Phase::Poll {
                        gathered,
                        id,
                        created_at: stage.now(),
                    },
                    Creation::Throttled(_) => {
                        stage.sleep(60).await;
                        return Some(saved);
                    }
                    Creation::Refused(why) => panic!("refused ({tried}): {why}"),
                }
            }
            Phase::Poll { gathered, .. } => match work::poll(&work, &job).await.unwrap() {
                Polled::Open(_) => {
                    stage.sleep(30).await;
                    return Some(job);
                }
                Polled::Ended(ended) => Phase::Report {
                    gathered,
                    ended,
                    cursor: ReportCursor::default(),
                },
            },
            Phase::Report {
                gathered,
                ended,
                cursor,
            } => match work::report(&work, &job, cursor).await.unwrap() {
                Slice::More(cursor) => Phase::Report {
                    gathered,
                    ended,
                    cursor,
                },
                Slice::Wait(cursor, _) => {
                    stage.sleep(30).await;
                    Phase::Report {
                        gathered,
                        ended,
                        cursor,
                    }
                }
                Slice::Done(tally) => Phase::Settle {
                    gathered,
                    ended,
                    tally,
                    cursor: SettleCursor::default(),
                },
            },
            Phase::Settle {
                gathered,
                ended,
                tally,
                cursor,
            } => match work::settle(&work, &job, cursor).await.unwrap() {
                Slice::More(cursor) | Slice::Wait(cursor, _) => Phase::Settle {
                    gathered,
                    ended,
                    tally,
                    cursor,
                },
                Slice::Done(settled) => {
                    self.end.tally = Some(tally);
                    Phase::Prove {
                        gathered,
                        ended,
                        settled,
                        cursor: ProveCursor::default(),
                    }
                }
            },
            Phase::Prove {
                gathered,
                ended,
                settled,
                cursor,
            } => match work::prove(&work, &job, cursor).await.unwrap() {
                Slice::More(cursor) => Phase::Prove {
                    gathered,
                    ended,
                    settled,
                    cursor,
                },
                Slice::Wait(cursor, at) => {
                    let pause = at.duration_since(stage.now()).as_secs().max(1);
                    stage.sleep(u64::try_from(pause).unwrap()).await;
                    Phase::Prove {
                        gathered,
                        ended,
                        settled,
                        cursor,
                    }
                }
                Slice::Done(settled) => {
                    self.end.left = job.follow_up(&ended, &settled, stage.now());
                    Phase::Close {
                        gathered,
                        ended: Some(ended),
                        settled,
                        cursor: CloseCursor::default(),
                    }
                }
            },
            Phase::Close {
                gathered,
                ended,
                settled,
                cursor,
            } => match work::close(&work, &job, cursor).await.unwrap() {
                Slice::More(cursor) | Slice::Wait(cursor, _) => Phase::Close {
                    gathered,
                    ended,
                    settled,
                    cursor,
                },
                Slice::Done(()) => {
                    self.end.gathered = gathered;
                    self.end.settled = ended.as_ref().map(|_| settled);
                    self.end.ended = ended;
                    return None;
                }
            },
        };
        Some(job)
    }
}

fn close(gathered: Gathered) -> Phase {
    Phase::Close {
        gathered,
        ended: None,
        settled: Outcomes::default(),
        cursor: CloseCursor::default(),
    }
}
