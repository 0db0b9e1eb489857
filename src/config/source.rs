//! The sources of settings: flags, the environment, and files of secrets.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};

use super::problem::Problem;
use super::setting::Setting;
use super::settings::SETTINGS;

/// Whether a command's help lists the settings. There are too many for the help of a subcommand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The settings are listed.
    Yes,
    /// The settings are accepted, but not listed.
    No,
}

/// Adds every setting to a command, as a flag with an environment variable.
#[must_use]
pub fn add_flags(command: Command, shown: Shown) -> Command {
    SETTINGS.iter().fold(command, |command, setting| {
        let (name, help) = (setting.name.to_owned(), setting.help.to_owned());
        let command = command.arg(flag(setting, name, help, shown));
        if !setting.secret {
            return command;
        }
        let help = format!("The file that holds {}.", setting.name);
        command.arg(flag(setting, file_name(setting), help, shown))
    })
}

fn flag(setting: &Setting, name: String, help: String, shown: Shown) -> Arg {
    let long = name.to_lowercase().replace('_', "-");
    let help = match setting.default {
        Some(default) => format!("{help} [default: {default}]"),
        None => help,
    };
    Arg::new(name.clone())
        .long(long)
        .env(name)
        .value_name("VALUE")
        // A value that is not UTF-8 is reported with all other problems, by the setting's name.
        .value_parser(value_parser!(OsString))
        .help(help)
        // A URL may contain a password.
        .hide_env_values(true)
        .hide(shown == Shown::No)
        .global(true)
}

fn file_name(setting: &Setting) -> String {
    format!("{}_FILE", setting.name)
}

/// The settings as given: texts by name, including defaults.
#[derive(Default)]
pub struct Given {
    texts: BTreeMap<&'static str, String>,
    /// The files that values came from, by the name of the setting.
    files: BTreeMap<&'static str, PathBuf>,
    /// Values that could not be read.
    problems: BTreeMap<&'static str, Problem>,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.texts.keys()).finish()
    }
}

impl Given {
    /// Collects the settings from the command line and the environment. Empty texts count as not given.
    /// Values that cannot be read become problems, which are reported with all others.
    #[must_use]
    pub fn collect(matches: &ArgMatches) -> Self {
        let mut given = Self::default();
        for setting in SETTINGS.iter() {
            match read(matches, setting) {
                Ok((text, file)) => {
                    given.files.extend(file.map(|file| (setting.name, file)));
                    let text = text.or_else(|| setting.default.map(str::to_owned));
                    given.texts.extend(text.map(|text| (setting.name, text)));
                }
                Err(problem) => {
                    given.texts.extend(setting.default.map(|text| (setting.name, text.to_owned())));
                    given.problems.insert(setting.name, problem);
                }
            }
        }
        given
    }

    /// Returns the values that could not be read.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.values()
    }

    /// Returns whether a value was given that could not be read.
    pub(super) fn is_unreadable(&self, name: &str) -> bool {
        self.problems.contains_key(name)
    }

    /// Returns the file that the value of a setting came from, if it came from one.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&Path> {
        self.files.get(name).map(PathBuf::as_path)
    }

    /// Returns the given value or the default.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// Creates settings for a test, with defaults.
    #[cfg(test)]
    pub(super) fn of(pairs: &[(&'static str, &str)]) -> Self {
        let defaults = SETTINGS
            .iter()
            .filter_map(|setting| setting.default.map(|text| (setting.name, text.to_owned())));
        let given = pairs.iter().map(|(name, text)| (*name, (*text).to_owned()));
        Self { texts: defaults.chain(given).collect(), ..Self::default() }
    }
}

/// The value of a setting, and the file that it came from.
type Read = (Option<String>, Option<PathBuf>);

/// Reads the value of one setting from its flag, variable or file.
fn read(matches: &ArgMatches, setting: &Setting) -> Result<Read, Problem> {
    let (name, file) = (setting.name, file_name(setting));
    let problem = |text: String| Problem::new(name, text);
    let text = lookup(matches, name).map_err(problem)?;
    let path = if setting.secret { lookup(matches, &file).map_err(problem)? } else { None };
    match (text, path) {
        (Some(_), Some(_)) => {
            Err(problem(format!("{name} and {file} are both given: remove one of them")))
        }
        // Editors and `echo` end a file with a line break. It is not part of the secret.
        (None, Some(path)) => match std::fs::read_to_string(&path) {
            Ok(text) => {
                let text = text.trim_end_matches(['\r', '\n']).to_owned();
                Ok((Some(text), Some(path.into())))
            }
            Err(error) => Err(problem(format!("{file}: {path}: {error}"))),
        },
        (text, None) => Ok((text, None)),
    }
}

fn lookup(matches: &ArgMatches, name: &str) -> Result<Option<String>, String> {
    let Some(given) = matches.get_one::<OsString>(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    given.to_str().map(|text| Some(text.to_owned())).ok_or(format!("{name} is not UTF-8"))
}
