//! `token-authority callers add|list|remove`: who may call.
//!
//! A running service sees the changed file within a second.

mod kept;

use std::io::Write as _;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::clock::OsEntropy;
use crate::transport::callers::credential::{KeyHash, make_key};
use crate::transport::callers::file::{CallerEntry, CallersFile};
use crate::transport::callers::roles::Role;

/// How many digits of a key's hash tell it from the caller's others.
const KEY_ID: usize = 12;

pub(super) fn command() -> Command {
    let name = || {
        let name = Arg::new("caller").value_name("NAME").required(true);
        name.help("The caller's name, as logs and limits know it")
    };
    let role = Arg::new("role")
        .long("role")
        .value_name("ROLE")
        .num_args(1..)
        .action(ArgAction::Append)
        .value_delimiter(',')
        .value_parser(Role::ALL.map(Role::name))
        .help("What the caller may do. Needed for a new one");
    let san = Arg::new("san")
        .long("san")
        .value_name("NAME")
        .num_args(1..)
        .action(ArgAction::Append)
        .help("A DNS name or URI in the caller's client certificates");
    let no_key = Arg::new("no-key")
        .long("no-key")
        .action(ArgAction::SetTrue)
        .help("Make no API key: the caller has a certificate");
    let key = Arg::new("key")
        .long("key")
        .value_name("ID")
        .help("Remove this key alone, by its id as in `callers list`");
    Command::new("callers")
        .about("Say who may call, in CALLERS_FILE")
        .subcommand_required(true)
        .subcommand(
            Command::new("add")
                .about("Add a caller, or a further key for one, and print the key: once")
                .args([name(), role, san, no_key]),
        )
        .subcommand(Command::new("list").about("List the callers, their roles and keys' ids"))
        .subcommand(
            Command::new("remove").about("Remove a caller, or one of its keys").args([name(), key]),
        )
}

pub(super) fn run(matches: &ArgMatches, path: &Path) -> Result<(), String> {
    match matches.subcommand() {
        Some(("add", matches)) => add(path, matches),
        Some(("remove", matches)) => remove(path, matches),
        _ => list(path),
    }
}

fn texts(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many::<String>(name).unwrap_or_default().cloned().collect()
}

fn add(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let name = texts(matches, "caller").concat();
    let (roles, sans) = (texts(matches, "role"), texts(matches, "san"));
    let key = (!matches.get_flag("no-key")).then(|| make_key(&OsEntropy));
    let hash = key.as_ref().map(|key| KeyHash::of(key).to_hex());
    kept::change(path, |file| {
        let Some(known) = file.callers.iter_mut().find(|caller| caller.name == name) else {
            let keys_sha256 = hash.into_iter().collect();
            file.callers.push(CallerEntry { name, roles, keys_sha256, sans });
            return Ok(());
        };
        // A mistyped name must not give somebody else's caller more than it had.
        if !roles.is_empty() || !sans.is_empty() {
            return Err(format!(
                "{name} is there already: without --role and --san it gets a further key; \
                 to change it, remove it first"
            ));
        }
        known.keys_sha256.extend(hash);
        Ok(())
    })?;
    if let Some(key) = key {
        say(&format!("{}\n", *key))?;
        let told = "This is the only time that the key is shown: only its SHA-256 is kept.";
        let _ = writeln!(std::io::stderr(), "{told}");
    }
    Ok(())
}

fn remove(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let name = texts(matches, "caller").concat();
    let key = matches.get_one::<String>("key");
    kept::change(path, |file| {
        let at = file.callers.iter().position(|caller| caller.name == name);
        let at = at.ok_or_else(|| format!("there is no caller {name}"))?;
        let Some(id) = key else {
            file.callers.remove(at);
            return Ok(());
        };
        let keys = &mut file.callers[at].keys_sha256;
        let before = keys.len();
        keys.retain(|hash| hash.get(..KEY_ID) != Some(id));
        if keys.len() == before { Err(format!("{name} has no key {id}")) } else { Ok(()) }
    })
}

fn list(path: &Path) -> Result<(), String> {
    use std::fmt::Write as _;
    let file = CallersFile::read(path)?;
    let mut text = String::new();
    for CallerEntry { name, roles, keys_sha256, sans } in &file.callers {
        let ids: Vec<_> = keys_sha256.iter().filter_map(|hash| hash.get(..KEY_ID)).collect();
        let (roles, ids, sans) = (roles.join(","), ids.join(","), sans.join(","));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}\troles={roles}\tkeys={ids}\tsans={sans}");
    }
    say(&text)
}

fn say(text: &str) -> Result<(), String> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}
