//! `--help-settings`, `token-authority completions` and `token-authority man`.

use std::ffi::OsString;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use super::command;
use crate::config::source::{self, Shown};

pub(super) fn commands() -> [Command; 2] {
    let shell = Arg::new("shell")
        .value_name("SHELL")
        .required(true)
        .value_parser(value_parser!(Shell))
        .help("The shell");
    [
        Command::new("completions")
            .about("Print a completion script for a shell")
            .after_help(
                "For example: token-authority completions bash \
                 >/etc/bash_completion.d/token-authority",
            )
            .arg(shell),
        Command::new("man")
            .about("Print the manual page")
            .after_help("For example: token-authority man | man -l -"),
    ]
}

/// Returns the text of `completions` and `man`. `None`: another subcommand runs.
pub(super) fn run(matches: &ArgMatches) -> Option<String> {
    let mut text = Vec::new();
    match matches.subcommand()? {
        ("completions", matches) => {
            let shell = *matches.get_one::<Shell>("shell")?;
            let mut command = command(Shown::Yes);
            clap_complete::generate(shell, &mut command, "token-authority", &mut text);
        }
        ("man", _) => {
            // Writing to memory cannot fail.
            let _ = manual(&mut text);
        }
        _ => return None,
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Writes one page with all subcommands, and the settings at its end.
fn manual(text: &mut Vec<u8>) -> std::io::Result<()> {
    let command = command(Shown::No).disable_help_subcommand(true);
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(text)?;
    page.render_name_section(text)?;
    page.render_synopsis_section(text)?;
    page.render_description_section(text)?;
    page.render_options_section(text)?;
    text.extend(b".SH COMMANDS\n");
    let mut path = Vec::new();
    subcommands(&command, &mut path, text)?;
    text.extend(b".SH SETTINGS\n");
    let settings = source::add_flags(Command::new("token-authority"), Shown::Yes);
    let settings = settings.disable_help_flag(true);
    let mut section = Vec::new();
    clap_mangen::Man::new(settings).render_options_section(&mut section)?;
    // The section has its own heading above.
    let section = String::from_utf8_lossy(&section).replacen(".SH OPTIONS\n", "", 1);
    text.extend(section.into_bytes());
    text.extend(
        b".SH EXIT STATUS\n0 for success, 64 for invalid settings or an invalid command \
                  line, 1 for any other failure.\n",
    );
    Ok(())
}

fn subcommands<'a>(
    command: &'a Command,
    path: &mut Vec<&'a str>,
    text: &mut Vec<u8>,
) -> std::io::Result<()> {
    for inner in command.get_subcommands() {
        path.push(inner.get_name());
        text.extend(format!(".SS {}\n", path.join(" ")).into_bytes());
        let page = clap_mangen::Man::new(inner.clone());
        let mut section = Vec::new();
        page.render_description_section(&mut section)?;
        if inner.get_arguments().any(|argument| !argument.is_hide_set()) {
            page.render_options_section(&mut section)?;
        }
        let section = String::from_utf8_lossy(&section);
        let lines = section.lines().filter(|line| !line.starts_with(".SH "));
        text.extend(lines.flat_map(|line| format!("{line}\n").into_bytes()));
        subcommands(inner, path, text)?;
        path.pop();
    }
    Ok(())
}

/// Returns whether the command line asks for the settings, at any position. Otherwise a subcommand
/// with missing arguments would be refused before this flag is read.
pub(super) fn asks_for_settings(arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.take_while(|argument| argument != "--").any(|argument| argument == "--help-settings")
}

/// Returns the help of all settings.
pub(super) fn settings() -> String {
    let command = Command::new("token-authority")
        .about(
            "All settings. Each is a flag and an environment variable; a flag takes precedence. A \
             secret can also be given as a file.",
        )
        .disable_help_flag(true)
        .help_template("{about}\n\n{options}\n");
    source::add_flags(command, Shown::Yes).render_help().to_string()
}
