//! How long failures of one group take from the queue to a finished manifest, how much memory that
//! takes, and what AWS would charge.
//!
//! `cargo run --release -p scale -- 100000 1000000 10000000`
//!
//! The code under test is what is deployed: `replication_events::handle` over batches as SQS hands
//! them out, then the slices of work of `redrive` (compacting and gathering), through the real SDK
//! clients over HTTP. Every stage runs in a process of its own, so that the peak of its resident
//! memory is its own; the bucket lives in this one, which serves a few requests of S3 over files.
//! The simulator is not used: it keeps every object in memory, checks every signature and sees one
//! request at a time, so most of the time would be its own.
//!
//! The manifest is read back and checked: each version exactly once, in order, none missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark: it reads the clock, prints, and stops where an assumption breaks"
)]

mod failures;
mod process;
mod report;
mod store;
mod worker;

use std::process::Stdio;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

use report::{Run, Table};
use store::Store;
use worker::{Measured, Stage};

/// Collects failures of one group and brings them to a finished manifest, measured.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// How many failures; several sizes are run one after the other.
    #[arg(default_values_t = [100_000, 1_000_000, 10_000_000])]
    rows: Vec<u64>,
    #[command(subcommand)]
    worker: Option<Worker>,
}

#[derive(Subcommand)]
enum Worker {
    /// One stage, in a process of its own; used by the benchmark itself.
    #[command(hide = true)]
    Stage {
        /// Which.
        stage: Stage,
        /// How many failures.
        rows: u64,
    },
}

fn main() {
    let args = Args::parse();
    match args.worker {
        Some(Worker::Stage { stage, rows }) => {
            // As in Lambda: one thread.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let measured = runtime.block_on(worker::run(stage, rows));
            println!("{}", serde_json::to_string(&measured).unwrap());
        }
        None => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(bench(&args.rows));
        }
    }
}

async fn bench(sizes: &[u64]) {
    let mut table = Table::default();
    for rows in sizes {
        let store = Arc::new(Store::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(store::serve(Arc::clone(&store), listener));
        let mut run = Run::new(*rows);
        for stage in Stage::ALL {
            store.reset_counts();
            let measured = in_child(stage, *rows, &endpoint).await;
            if stage.is_measured() {
                run.add(stage, measured, store.counts());
            }
        }
        let mut manifest = store.only_object("work-use1");
        failures::check_manifest(&mut manifest, *rows);
        server.abort();
        table.add(run);
    }
    table.print();
}

/// Runs a stage in a process of its own.
async fn in_child(stage: Stage, rows: u64, endpoint: &str) -> Measured {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["stage", &stage.to_string(), &rows.to_string()])
        .env_clear()
        .env("AWS_REGION", "us-east-2")
        .env("AWS_ACCESS_KEY_ID", failures::ACCOUNT)
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_ENDPOINT_URL", endpoint)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = String::new();
    // What the function logs comes first, the measurement is the last line.
    while let Some(line) = lines.next_line().await.unwrap() {
        last = line;
    }
    assert!(child.wait().await.unwrap().success(), "{stage}: {last}");
    serde_json::from_str(&last).unwrap_or_else(|error| panic!("{stage}: {error}: {last}"))
}
