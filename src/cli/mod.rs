//! The command line: one binary, one subcommand a file.

mod callers;
mod doctor;
mod health;
mod keys;
mod migrate;
mod quickstart;
mod rollout;
mod serve;
mod sessions;
mod table;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};

use crate::config::Config;
use crate::config::source::{self, Given};

/// The settings or the command line make no sense (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

fn command() -> Command {
    let command = Command::new("token-authority")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Mints, renews, revokes and checks a product's tokens.")
        .after_help("Every setting can be given as a flag or by its name in the environment.")
        .subcommand(Command::new("serve").about("Serve gRPC and HTTP (the default)"))
        .subcommand(Command::new("migrate").about("Bring the database's schema up to date"))
        .subcommand(rollout::command())
        .subcommand(
            Command::new("doctor")
                .about("Say what may be wrong, and change nothing: exit code 1 for a warning, 2 for an error")
                .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Report in JSON")),
        )
        .subcommand(Command::new("health").about("Ask the process on this machine whether it serves"))
        .subcommand(keys::command())
        .subcommand(sessions::command())
        .subcommand(callers::command());
    source::add_flags(command)
}

/// Runs what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let given = Given::gather(innermost(&matches));
    // Callers come before there is anything to serve, so the other settings are not looked at.
    if let Some(("callers", matches)) = matches.subcommand() {
        let Some(path) = given.get("CALLERS_FILE") else {
            return refuse(&["CALLERS_FILE must say where callers are kept".into()]);
        };
        return match callers::run(matches, path.as_ref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => fail(&problem),
        };
    }
    let read = match matches.subcommand_name() {
        None | Some("serve") => Config::read_to_serve,
        Some(_) => Config::read,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    if let Some(("doctor", matches)) = matches.subcommand() {
        return runtime.block_on(doctor::run(&given, matches.get_flag("json")));
    }
    let config = match read(&given) {
        Ok(config) => config,
        Err(problems) => return refuse(&problems),
    };
    let result = runtime.block_on(async {
        match matches.subcommand() {
            Some(("migrate", _)) => migrate::run(config).await,
            Some(("health", _)) => health::run(config).await,
            Some(("keys", matches)) => keys::run(config, matches).await,
            Some(("sessions", matches)) => sessions::run(config, matches).await,
            Some(("rollout", _)) => rollout::run(config, &matches).await,
            _ => serve::run(config).await,
        }
    });
    // A name that is still being looked up, or a disk that hangs, may not hold the end.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem),
    }
}

/// The subcommand's own matches, where global flags arrive wherever they were given.
fn innermost(matches: &clap::ArgMatches) -> &clap::ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| innermost(inner))
}

fn refuse(problems: &[String]) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "token-authority: the settings will not do:");
    for problem in problems {
        let _ = writeln!(stderr, "  - {problem}");
    }
    ExitCode::from(USAGE)
}

fn fail(problem: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "token-authority: {problem}");
    ExitCode::FAILURE
}
