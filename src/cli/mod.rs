//! The command line: one binary, one subcommand a file.

mod api_key;
mod authority;
mod backup;
mod callers;
mod channel;
mod console;
mod doctor;
mod health;
mod help;
mod keys;
mod migrate;
mod moment;
mod operator;
mod problem;
mod quickstart;
mod rollout;
mod serve;
mod sessions;
mod status;
mod table;
mod try_life;

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::Config;
use crate::config::source::{self, Given, Shown};

/// The exit code for invalid settings or an invalid command line (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// Returns the command line, with the settings' flags in its help or without.
fn command(shown: Shown) -> Command {
    let command = Command::new("token-authority")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Mints, renews, revokes and checks a product's tokens.")
        .after_help(
            "Every setting is an environment variable and a flag of every subcommand. List them \
             with --help-settings.",
        )
        .arg(
            Arg::new("help-settings")
                .long("help-settings")
                .action(ArgAction::SetTrue)
                .global(true)
                .help("Print all settings"),
        )
        .subcommand(Command::new("serve").about("Serve gRPC and HTTP (the default)"))
        .subcommand(try_life::command())
        .subcommand(Command::new("migrate").about("Bring the database's schema up to date"))
        .subcommand(backup::command())
        .subcommand(
            Command::new("doctor")
                .about(
                    "Check this installation and change nothing; exit code 1 for a warning, 2 for \
                     an error",
                )
                .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON")),
        )
        .subcommand(
            Command::new("health").about("Check whether the service on this machine serves"),
        )
        .subcommand(status::command())
        .subcommand(console::command())
        .subcommand(rollout::command())
        .subcommand(keys::command())
        .subcommand(sessions::command())
        .subcommand(callers::command())
        .subcommands(help::commands());
    source::add_flags(command, shown)
}

/// Runs the subcommand that the command line names.
#[must_use]
pub fn main() -> ExitCode {
    if help::asks_for_settings(std::env::args_os().skip(1)) {
        return print(&help::settings());
    }
    let matches = match command(Shown::No).try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    if let Some(text) = help::run(&matches) {
        return print(&text);
    }
    let given = Given::collect(innermost(&matches));
    // The callers file is created before the first start, so the other settings are not checked.
    if let Some(("callers", matches)) = matches.subcommand() {
        let Some(path) = given.get("CALLERS_FILE") else {
            let text = "CALLERS_FILE is required: set it, or --callers-file, to the path of the \
                        callers file";
            return refuse(&[text]);
        };
        return match callers::run(matches, path.as_ref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => fail(&problem),
        };
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    if let Some(("doctor", matches)) = matches.subcommand() {
        return runtime.block_on(doctor::run(&given, matches.get_flag("json")));
    }
    let read = match matches.subcommand_name() {
        None | Some("serve") => Config::read_to_serve(&given),
        Some(_) => Config::read(&given),
    };
    let config = match read {
        Ok(config) => config,
        Err(problems) => return refuse(&problems),
    };
    let result = runtime.block_on(run(config, &matches));
    // A pending DNS look-up or a hanging disk must not delay the end of the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem),
    }
}

async fn run(config: Config, matches: &ArgMatches) -> Result<(), String> {
    match matches.subcommand() {
        Some(("migrate", _)) => migrate::run(config).await,
        Some(("backup", matches)) => backup::run(config, matches).await,
        Some(("health", _)) => health::run(config).await,
        Some(("keys", matches)) => keys::run(config, matches).await,
        Some(("sessions", matches)) => sessions::run(config, matches).await,
        Some(("rollout", _)) => rollout::run(config, matches).await,
        Some(("console", matches)) => console::run(config, matches).await,
        Some(("status", matches)) => status::run(config, matches).await,
        Some(("try", matches)) => try_life::run(config, matches).await,
        _ => serve::run(config).await,
    }
}

/// Returns the matches of the innermost subcommand, where clap puts global flags.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| innermost(inner))
}

fn print(text: &str) -> ExitCode {
    // A reader such as `head` may have closed the pipe.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn refuse<P: Display>(problems: &[P]) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "token-authority: invalid settings:");
    for problem in problems {
        let _ = writeln!(stderr, "  - {problem}");
    }
    ExitCode::from(USAGE)
}

fn fail(problem: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "token-authority: {problem}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        command(Shown::No).debug_assert();
        command(Shown::Yes).debug_assert();
    }
}
