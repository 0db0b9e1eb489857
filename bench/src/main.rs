//! Measures token-authority against its limits, in one run on one machine.
//!
//! Every figure is a ratio to a limit that is measured in the same run. The contestants take turns,
//! because the figures of one machine vary from minute to minute. `scripts/bench` starts it.
#![expect(clippy::unwrap_used, reason = "a benchmark may fail by a panic")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures of a benchmark are far below the limits of their types"
)]
#![expect(clippy::print_stdout, reason = "it prints its progress")]

mod client;
mod echo;
mod load;
mod pgbench;
mod process;
mod report;
mod scenarios;
mod sink;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Measures token-authority against its limits.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Run,
}

#[derive(Debug, Subcommand)]
enum Run {
    /// The limit of RPC: a bare tonic server that answers with the same bytes.
    Echo {
        /// The address to listen on.
        #[arg(long)]
        addr: SocketAddr,
        /// A file with the encoded answer.
        #[arg(long)]
        answer: PathBuf,
    },
    /// An OpenTelemetry collector that receives traces and drops them.
    Sink {
        /// The address to listen on.
        #[arg(long)]
        addr: SocketAddr,
    },
    /// Measures everything.
    Measure(Settings),
}

/// The settings of a measurement.
#[derive(Debug, Clone, clap::Args)]
struct Settings {
    /// The server's binary.
    #[arg(long)]
    server: PathBuf,
    /// The URL of the `postgres` database of a Postgres that may be filled with test data.
    #[arg(long)]
    postgres: String,
    /// How long each contestant runs in a round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many rounds; medians are reported.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measure only scenarios whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// The sizes of the growth scenario, in sessions.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000,10000000")]
    sizes: Vec<u64>,
    /// The path of the report.
    #[arg(long)]
    out: PathBuf,
}

impl Settings {
    fn sizes(&self) -> Vec<u64> {
        self.sizes.clone()
    }

    const fn turn(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[tokio::main]
async fn main() {
    match Arguments::parse().command {
        Run::Echo { addr, answer } => echo::serve(addr, &answer).await,
        Run::Sink { addr } => sink::serve(addr).await,
        Run::Measure(mut settings) => {
            settings.server = settings.server.canonicalize().unwrap();
            let report = scenarios::run(&settings).await;
            report.write(&settings.out);
        }
    }
}
