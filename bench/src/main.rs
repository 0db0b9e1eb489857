//! Measures token-authority against its limits, in one run on one machine.
//!
//! Every figure is a ratio to a limit that is measured in the same run, the contestants taking
//! turns, since one machine's figures vary from minute to minute. Started by `scripts/bench`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures of a benchmark are nowhere near the ends of their types"
)]
#![expect(clippy::print_stdout, reason = "it tells how far it is")]

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
        /// Where to listen.
        #[arg(long)]
        addr: SocketAddr,
        /// A file with the encoded answer.
        #[arg(long)]
        answer: PathBuf,
    },
    /// An OpenTelemetry collector that takes traces and throws them away.
    Sink {
        /// Where to listen.
        #[arg(long)]
        addr: SocketAddr,
    },
    /// Measures everything.
    Measure(Settings),
}

/// How to measure.
#[derive(Debug, Clone, clap::Args)]
struct Settings {
    /// The server's binary.
    #[arg(long)]
    server: PathBuf,
    /// A Postgres that may be filled at will: the URL of its `postgres` database.
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
    /// Where the report goes.
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
