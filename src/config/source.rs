//! Where settings come from: a flag, the environment, or a secret's file.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::settings::{SETTINGS, Setting};

/// Adds every setting to a command as a flag with its variable.
#[must_use]
pub fn add_flags(command: Command) -> Command {
    SETTINGS.iter().fold(command, |command, setting| {
        let command = command.arg(flag(setting, setting.name.to_owned(), setting.help.to_owned()));
        if !setting.secret {
            return command;
        }
        let name = file_name(setting);
        command.arg(flag(setting, name, format!("A file that holds {}.", setting.name)))
    })
}

fn flag(setting: &Setting, name: String, help: String) -> Arg {
    let long = name.to_lowercase().replace('_', "-");
    let help = match setting.default {
        Some(default) => format!("{help} [default: {default}]"),
        None => help,
    };
    Arg::new(name.clone())
        .long(long)
        .env(name)
        .value_name("VALUE")
        // What is no UTF-8 is told among all other problems, with the setting's name.
        .value_parser(value_parser!(OsString))
        .help(help)
        .hide_env_values(setting.secret)
        .global(true)
}

fn file_name(setting: &Setting) -> String {
    format!("{}_FILE", setting.name)
}

/// The settings as given: texts by name, defaults filled in.
#[derive(Default)]
pub struct Given {
    texts: BTreeMap<&'static str, String>,
    /// What could not be taken in, by the name of its setting.
    problems: BTreeMap<&'static str, String>,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.texts.keys()).finish()
    }
}

impl Given {
    /// Gathers what the command line and the environment say. Empty texts count as not given.
    /// What is wrong with that is told with everything else that is wrong.
    #[must_use]
    pub fn gather(matches: &ArgMatches) -> Self {
        let mut given = Self::default();
        for setting in SETTINGS {
            match gather(matches, setting) {
                Ok(text) => {
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

    /// What could not be taken in. Never quotes a secret.
    pub(super) fn problems(&self) -> impl Iterator<Item = &str> {
        self.problems.values().map(String::as_str)
    }

    /// Whether something was given that could not be taken in.
    pub(super) fn is_unreadable(&self, name: &str) -> bool {
        self.problems.contains_key(name)
    }

    /// What was given, or holds by default.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// Settings as a test gives them, defaults filled in.
    #[cfg(test)]
    pub(super) fn of(pairs: &[(&'static str, &str)]) -> Self {
        let defaults = SETTINGS
            .iter()
            .filter_map(|setting| setting.default.map(|text| (setting.name, text.to_owned())));
        let given = pairs.iter().map(|(name, text)| (*name, (*text).to_owned()));
        Self { texts: defaults.chain(given).collect(), problems: BTreeMap::new() }
    }
}

/// What one setting was given, if it was.
fn gather(matches: &ArgMatches, setting: &Setting) -> Result<Option<String>, String> {
    let (text, file) = (lookup(matches, setting.name)?, file_name(setting));
    let path = if setting.secret { lookup(matches, &file)? } else { None };
    match (text, path) {
        (Some(_), Some(_)) => Err(format!("{} and {file} are both given", setting.name)),
        (None, Some(path)) => match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) => Err(format!("{file}: {path}: {error}")),
        },
        (text, None) => Ok(text),
    }
}

fn lookup(matches: &ArgMatches, name: &str) -> Result<Option<String>, String> {
    let Some(given) = matches.get_one::<OsString>(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    given.to_str().map(|text| Some(text.to_owned())).ok_or(format!("{name} is no UTF-8"))
}
