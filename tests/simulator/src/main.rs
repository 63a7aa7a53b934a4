//! Serves a simulated AWS on loopback: `cargo run -p simulator -- serve --port 0`.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use jiff::Timestamp;
use simulator::{Simulator, WorldConfig, server};
use tokio::net::TcpListener;

/// A simulated AWS: several Regions of S3, an MRAP, SNS and CloudWatch.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a world on 127.0.0.1; the first line printed is the port.
    Serve {
        /// Port; 0 takes a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// How many virtual seconds pass in a real one.
        #[arg(long, default_value_t = 1.0)]
        time_scale: f64,
        /// Seed of every delay and id; overrides that of the world file.
        #[arg(long)]
        seed: Option<u64>,
        /// Blueprint as JSON, standing at the present unless it names an epoch; without it two members, a state bucket and two topics.
        #[arg(long)]
        world: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Command::Serve {
        port,
        time_scale,
        seed,
        world,
    } = Arguments::parse().command;
    let mut config = blueprint(world.as_deref())?;
    if let Some(seed) = seed {
        config.seed = seed;
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    announce(listener.local_addr()?.port());
    let simulator = Simulator::with_time_scale(config, time_scale);
    tokio::select! {
        served = server::serve(simulator, listener) => Ok(served?),
        stopped = tokio::signal::ctrl_c() => Ok(stopped?),
    }
}

/// The world of the file, or a small one that stands at the present.
fn blueprint(file: Option<&Path>) -> Result<WorldConfig, Box<dyn Error>> {
    let Some(path) = file else {
        let mut config = WorldConfig::new(1)
            .mrap("mfzwi23gnjvgw.mrap")
            .member("app-use1", "us-east-1")
            .member("app-euw1", "eu-west-1")
            .bucket("sentinel-state", "us-east-2")
            .topic("us-east-2", "notifications")
            .topic("us-west-2", "notifications");
        config.epoch = present();
        return Ok(config);
    };
    let mut world: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
    if let Some(fields) = world.as_object_mut() {
        fields
            .entry("epoch")
            .or_insert_with(|| present().to_string().into());
    }
    Ok(serde_json::from_value(world)?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a served world starts at the present"
)]
fn present() -> Timestamp {
    Timestamp::now()
}

#[expect(clippy::print_stdout, reason = "the caller reads the port from here")]
fn announce(port: u16) {
    println!("{port}");
}
