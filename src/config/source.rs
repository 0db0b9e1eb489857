//! Where settings come from: a flag, the environment, or a secret's file.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Command};

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
        .help(help)
        .hide_env_values(setting.secret)
        .global(true)
}

fn file_name(setting: &Setting) -> String {
    format!("{}_FILE", setting.name)
}

/// The settings as given: texts by name, defaults filled in.
#[derive(Default)]
pub struct Given(BTreeMap<&'static str, String>);

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Given {
    /// Gathers what the command line and the environment say. Empty texts count as not given.
    ///
    /// # Errors
    /// Every problem with a secret's file.
    pub fn gather(matches: &ArgMatches) -> Result<Self, Vec<String>> {
        let lookup =
            |name: &str| matches.get_one::<String>(name).filter(|text| !text.is_empty()).cloned();
        let mut given = BTreeMap::new();
        let mut problems = Vec::new();
        for setting in SETTINGS {
            let file = setting.secret.then(|| lookup(&file_name(setting))).flatten();
            let text = match (lookup(setting.name), file) {
                (Some(_), Some(_)) => {
                    problems.push(format!("{0} and {0}_FILE are both given", setting.name));
                    None
                }
                (None, Some(path)) => match std::fs::read_to_string(&path) {
                    Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
                    Err(error) => {
                        problems.push(format!("{}_FILE: {path}: {error}", setting.name));
                        None
                    }
                },
                (text, None) => text,
            };
            if let Some(text) = text.or_else(|| setting.default.map(str::to_owned)) {
                given.insert(setting.name, text);
            }
        }
        if problems.is_empty() { Ok(Self(given)) } else { Err(problems) }
    }

    /// What was given, or holds by default.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Settings as a test gives them, defaults filled in.
    #[cfg(test)]
    pub(super) fn of(pairs: &[(&'static str, &str)]) -> Self {
        let defaults = SETTINGS
            .iter()
            .filter_map(|setting| setting.default.map(|text| (setting.name, text.to_owned())));
        let given = pairs.iter().map(|(name, text)| (*name, (*text).to_owned()));
        Self(defaults.chain(given).collect())
    }
}
