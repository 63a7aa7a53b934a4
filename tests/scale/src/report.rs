//! What is printed.

use crate::store::Counts;
use crate::worker::{Measured, Stage};

/// Dollars, us-east-1, list prices: a thousand PUT, POST and LIST requests.
const PUTS: f64 = 0.005;
/// A thousand GET and HEAD requests. DELETE costs nothing.
const GETS: f64 = 0.0004;
/// A GB-second of Lambda on arm64.
const LAMBDA: f64 = 0.000_013_333_4;
/// Memory of the functions in GB.
const LAMBDA_GB: f64 = 0.5;
/// The share of a processor that Lambda gives to 512 MB: a whole one comes with 1,769 MB.
const LAMBDA_CPU: f64 = 512.0 / 1769.0;
/// A million requests to SQS: a message is sent alone, and received and deleted with nine others.
const SQS: f64 = 0.4;
/// A job.
const JOB: f64 = 0.25;
/// A million objects in a job.
const OBJECTS: f64 = 1.0;
/// A million objects in the bucket of which S3 generates the manifest.
const GENERATED: f64 = 0.015;

/// One size.
pub(crate) struct Run {
    rows: u64,
    stages: Vec<(Stage, Measured, Counts)>,
}

impl Run {
    pub(crate) fn new(rows: u64) -> Self {
        Self {
            rows,
            stages: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, stage: Stage, measured: Measured, counts: Counts) {
        self.stages.push((stage, measured, counts));
    }

    fn seconds(&self) -> f64 {
        self.stages.iter().map(|(_, took, _)| took.seconds).sum()
    }
}

/// All sizes.
#[derive(Default)]
pub(crate) struct Table {
    runs: Vec<Run>,
}

impl Table {
    /// Adds a size, and prints its lines at once.
    pub(crate) fn add(&mut self, run: Run) {
        if self.runs.is_empty() {
            println!(
                "{:>10}  {:<8} {:>8} {:>9} {:>7} {:>8} {:>9} {:>7} {:>9} {:>9} {:>9}",
                "rows",
                "stage",
                "seconds",
                "rows/s",
                "growth",
                "cpu s",
                "peak MiB",
                "calls",
                "requests",
                "MB in",
                "MB out"
            );
        }
        for (place, (stage, took, counts)) in run.stages.iter().enumerate() {
            let before = self
                .runs
                .last()
                .map(|last| (last.rows, last.stages[place].1.cpu_seconds));
            println!(
                "{:>10}  {:<8} {:>8.1} {:>9.0} {:>7} {:>8.1} {:>9.0} {:>7} {:>9} {:>9.0} {:>9.0}",
                run.rows,
                stage.to_string(),
                took.seconds,
                run.rows as f64 / took.seconds.max(0.001),
                growth(run.rows, took.cpu_seconds, before),
                took.cpu_seconds,
                took.peak_memory as f64 / f64::from(1 << 20),
                took.calls,
                counts.puts + counts.gets + counts.deletes,
                counts.bytes_in as f64 / 1e6,
                counts.bytes_out as f64 / 1e6,
            );
        }
        println!(
            "{:>10}  {:<8} {:>8.1} {:>9.0}",
            run.rows,
            "all",
            run.seconds(),
            run.rows as f64 / run.seconds().max(0.001),
        );
        self.runs.push(run);
    }

    /// Prints what AWS would charge.
    pub(crate) fn print(&self) {
        println!();
        println!(
            "growth: how the processor time grew against the rows since the size before; 1.00 is linear, whatever else the machine does meanwhile."
        );
        println!();
        println!("Dollars by list price (us-east-1), and the same failures by a sweep instead:");
        println!(
            "{:>10}  {:>10} {:>9} {:>9} {:>9} {:>9}   {:>14} {:>14}",
            "failures",
            "lambda",
            "requests",
            "queue",
            "job",
            "together",
            "sweep of 10^7",
            "sweep of 10^9"
        );
        for run in &self.runs {
            let million = run.rows as f64 / 1e6;
            let cpu: f64 = run.stages.iter().map(|(_, took, _)| took.cpu_seconds).sum();
            let lambda = cpu / LAMBDA_CPU * LAMBDA_GB * LAMBDA;
            let requests: f64 = run
                .stages
                .iter()
                .map(|(_, _, counts)| {
                    counts.puts as f64 / 1000.0 * PUTS + counts.gets as f64 / 1000.0 * GETS
                })
                .sum();
            let queue = million * 1.2 * SQS;
            let job = JOB + million * OBJECTS;
            let sweep = |objects: f64| JOB + million * OBJECTS + objects / 1e6 * GENERATED;
            println!(
                "{:>10}  {:>10.3} {:>9.3} {:>9.2} {:>9.2} {:>9.2}   {:>14.2} {:>14.2}",
                run.rows,
                lambda,
                requests,
                queue,
                job,
                lambda + requests + queue + job,
                sweep(1e7),
                sweep(1e9),
            );
        }
        println!();
        println!(
            "lambda: the processor time above at the {:.0} % of a processor that 512 MB buy; the bucket's, not the network's, waits are left out.",
            LAMBDA_CPU * 100.0
        );
        println!(
            "job: $0.25 and $1 a million objects; a sweep adds $0.015 a million objects in the bucket, whether they failed or not."
        );
    }
}

/// Against the size before.
fn growth(rows: u64, seconds: f64, before: Option<(u64, f64)>) -> String {
    match before {
        None => "-".to_owned(),
        Some((rows_before, seconds_before)) => format!(
            "{:.2}",
            (seconds / seconds_before.max(0.001)) / (rows as f64 / rows_before as f64)
        ),
    }
}
