//! The function as a process of its own: started, invoked, killed, listened to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::runtime_api::{Failure, Invocation, Outcome, RuntimeApi};

/// How long a process may take to start or to end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long beyond its deadline an invocation is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// Environment variables of a process.
pub type Environment = BTreeMap<String, String>;

/// The binary of a function to try: `FAILOVER_BINARY` if it is set (an absolute path, such as that
/// of a release build), else `built`, which cargo has just made.
#[must_use]
pub fn failover_binary(built: &str) -> PathBuf {
    chosen_binary("FAILOVER_BINARY", "failover", built)
}

/// Likewise the collector's, and `COLLECTOR_BINARY`.
#[must_use]
pub fn collector_binary(built: &str) -> PathBuf {
    chosen_binary("COLLECTOR_BINARY", "replication-events", built)
}

/// Likewise the health check's, and `HEALTH_CHECK_BINARY`.
#[must_use]
pub fn health_check_binary(built: &str) -> PathBuf {
    chosen_binary("HEALTH_CHECK_BINARY", "health-check", built)
}

/// Likewise the readiness check's, and `READINESS_BINARY`.
#[must_use]
pub fn readiness_binary(built: &str) -> PathBuf {
    chosen_binary("READINESS_BINARY", "readiness-check", built)
}

fn chosen_binary(variable: &str, name: &str, built: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "the edge of the tests")]
    let chosen = std::env::var_os(variable);
    let path = chosen.map_or_else(|| PathBuf::from(built), PathBuf::from);
    assert!(
        path.is_file(),
        "there is no binary {}: unset {variable}, or run `cargo build --release --bin {name}` \
         and set it to the absolute path of target/release/{name}",
        path.display()
    );
    path
}

/// A running process with its Runtime API. It is killed when dropped.
#[derive(Debug)]
pub struct Function {
    api: RuntimeApi,
    child: Child,
    output: Output,
    readers: Vec<JoinHandle<()>>,
}

/// What a process printed.
#[derive(Debug, Clone, Default)]
pub struct Output {
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
}

impl Output {
    /// The lines of standard output so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    /// The lines of standard error so far.
    #[must_use]
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lock().unwrap().clone()
    }

    /// Everything printed so far.
    #[must_use]
    pub fn all(&self) -> String {
        [self.stdout(), self.stderr()].concat().join("\n")
    }
}

impl Function {
    /// Starts the process with these variables, those that Lambda sets, and no others.
    pub async fn start(binary: &Path, environment: &Environment) -> Self {
        let api = RuntimeApi::start().await;
        let mut child = Command::new(binary)
            .env_clear()
            .envs(environment)
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "failover")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/failover")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", binary.display()));
        let output = Output::default();
        let readers = vec![
            collect(child.stdout.take().expect("piped"), &output.stdout),
            collect(child.stderr.take().expect("piped"), &output.stderr),
        ];
        Self {
            api,
            child,
            output,
            readers,
        }
    }

    /// Its Runtime API.
    #[must_use]
    pub fn api(&self) -> &RuntimeApi {
        &self.api
    }

    /// What it printed.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Its process id; none once it has ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Hands it an invocation without waiting.
    #[must_use]
    pub fn begin(&self, invocation: Invocation) -> oneshot::Receiver<Outcome> {
        self.api.begin(invocation)
    }

    /// Hands it an invocation and waits for what it reports.
    pub async fn invoke(&mut self, invocation: Invocation) -> Outcome {
        let left = invocation.deadline.duration_since(crate::now());
        let limit = Duration::try_from(left).unwrap_or_default() + GRACE;
        let outcome = self.begin(invocation);
        tokio::select! {
            outcome = timeout(limit, outcome) => match outcome {
                Ok(Ok(outcome)) => outcome,
                _ => panic!("no report within {limit:?}; it printed:\n{}", self.output.all()),
            },
            status = self.child.wait() => {
                panic!("the process ended with {status:?}; it printed:\n{}", self.output.all())
            }
        }
    }

    /// As [`invoke`](Self::invoke), for what should be answered.
    pub async fn answer(&mut self, invocation: Invocation) -> Value {
        match self.invoke(invocation).await {
            Outcome::Response(answer) => answer,
            Outcome::Error(failure) => {
                panic!("{failure:?}; it printed:\n{}", self.output.all())
            }
        }
    }

    /// As [`invoke`](Self::invoke), for what should be refused.
    pub async fn failure(&mut self, invocation: Invocation) -> Failure {
        match self.invoke(invocation).await {
            Outcome::Error(failure) => failure,
            Outcome::Response(answer) => panic!("this should have failed: {answer}"),
        }
    }

    /// Ends it as Lambda does: `SIGKILL`, without warning. Returns what it had printed.
    pub async fn kill(mut self) -> Output {
        // It may have ended by itself.
        let _ = self.child.start_kill();
        self.ended().await;
        self.output.clone()
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("still running; it printed:\n{}", self.output.all()))
            .expect("a child of ours");
        for reader in self.readers.drain(..) {
            let _ = timeout(PATIENCE, reader).await;
        }
        status
    }
}

fn collect(
    pipe: impl AsyncRead + Send + Unpin + 'static,
    lines: &Arc<Mutex<Vec<String>>>,
) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    let mut reader = BufReader::new(pipe).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = reader.next_line().await {
            lines.lock().unwrap().push(line);
        }
    })
}
