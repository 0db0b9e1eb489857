//! `token-authority callers add|set|list|remove` edits the callers' file.
//!
//! A running service loads the changed file within a second.

mod kept;

use std::io::Write as _;
use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::clock::OsEntropy;
use crate::transport::callers::credential::{KeyHash, make_key};
use crate::transport::callers::file::{CallerEntry, CallersFile};
use crate::transport::callers::roles::Role;

/// How many hex digits of a key's hash identify the key in `list` and `remove`.
const KEY_ID: usize = 12;

/// The roles that the usual callers need, by the caller's kind.
const PRESETS: [(&str, &[Role]); 3] = [
    ("auth-server", &[Role::Issuer, Role::Adapter, Role::Sessions]),
    ("backend", &[Role::Verifier]),
    ("support", &[Role::Sessions]),
];

pub(super) fn command() -> Command {
    Command::new("callers")
        .about("Manage the callers in CALLERS_FILE")
        .subcommand_required(true)
        .subcommand(
            Command::new("add")
                .about("Add a caller, or another key for a caller, and print the key once")
                .args([name(), role(), preset(), san(), no_key()]),
        )
        .subcommand(
            Command::new("set")
                .about("Replace a caller's roles; its keys and certificate names stay")
                .args([name(), role().required_unless_present("preset"), preset()]),
        )
        .subcommand(Command::new("list").about("List the callers, their roles and key ids"))
        .subcommand(
            Command::new("remove")
                .about("Remove a caller, or one of its keys")
                .args([name(), key()]),
        )
}

fn name() -> Arg {
    let name = Arg::new("caller").value_name("NAME").required(true);
    name.help("The caller's name, as it appears in logs and limits")
}

fn role() -> Arg {
    Arg::new("role")
        .long("role")
        .value_name("ROLE")
        .num_args(1..)
        .action(ArgAction::Append)
        .value_delimiter(',')
        .value_parser(Role::ALL.map(Role::name))
        .help("What the caller may do; a new caller needs --role or --preset")
}

fn preset() -> Arg {
    Arg::new("preset")
        .long("preset")
        .value_name("KIND")
        .conflicts_with("role")
        .value_parser(PossibleValuesParser::new(PRESETS.map(|(kind, _)| kind)))
        .help(
            "The roles of a usual caller: auth-server = issuer, adapter, sessions; \
             backend = verifier; support = sessions",
        )
}

fn san() -> Arg {
    Arg::new("san")
        .long("san")
        .value_name("NAME")
        .num_args(1..)
        .action(ArgAction::Append)
        .help("A DNS name or URI in the caller's client certificates")
}

fn no_key() -> Arg {
    Arg::new("no-key")
        .long("no-key")
        .action(ArgAction::SetTrue)
        .help("Make no API key: the caller has a certificate")
}

fn key() -> Arg {
    Arg::new("key")
        .long("key")
        .value_name("ID")
        .help("Remove only this key, by its id in `callers list`")
}

pub(super) fn run(matches: &ArgMatches, path: &Path) -> Result<(), String> {
    match matches.subcommand() {
        Some(("add", matches)) => add(path, matches),
        Some(("set", matches)) => set(path, matches),
        Some(("remove", matches)) => remove(path, matches),
        _ => list(path),
    }
}

fn texts(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many::<String>(name).unwrap_or_default().cloned().collect()
}

/// Returns the names of the roles that `--role` or `--preset` give; empty if neither is there.
fn roles(matches: &ArgMatches) -> Vec<String> {
    let preset = matches.get_one::<String>("preset");
    match PRESETS.iter().find(|(kind, _)| preset.is_some_and(|preset| preset == kind)) {
        Some((_, roles)) => roles.iter().map(ToString::to_string).collect(),
        None => texts(matches, "role"),
    }
}

fn add(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let name = texts(matches, "caller").concat();
    let (roles, sans) = (roles(matches), texts(matches, "san"));
    let key = (!matches.get_flag("no-key")).then(|| make_key(&OsEntropy));
    let hash = key.as_ref().map(|key| KeyHash::of(key).to_hex());
    kept::change(path, |file| {
        let Some(known) = file.callers.iter_mut().find(|caller| caller.name == name) else {
            let keys_sha256 = hash.into_iter().collect();
            file.callers.push(CallerEntry { name, roles, keys_sha256, sans });
            return Ok(());
        };
        // A mistyped name must not give another caller more than it had.
        if !roles.is_empty() || !sans.is_empty() {
            return Err(format!(
                "{name} exists already: call `callers add {name}` without roles and names for \
                 another key, or `callers set {name} --role …` to change its roles"
            ));
        }
        known.keys_sha256.extend(hash);
        Ok(())
    })?;
    if let Some(key) = key {
        say(&format!("{}\n", *key))?;
        let note = "The key is shown only this once: the file keeps its SHA-256.";
        let _ = writeln!(std::io::stderr(), "{note}");
    }
    Ok(())
}

fn set(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let name = texts(matches, "caller").concat();
    kept::change(path, |file| {
        let at = position(file, &name)?;
        file.callers[at].roles = roles(matches);
        Ok(())
    })
}

fn remove(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let name = texts(matches, "caller").concat();
    let key = matches.get_one::<String>("key");
    kept::change(path, |file| {
        let at = position(file, &name)?;
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

fn position(file: &CallersFile, name: &str) -> Result<usize, String> {
    let at = file.callers.iter().position(|caller| caller.name == name);
    at.ok_or_else(|| format!("there is no caller {name}; `callers list` shows all"))
}

fn list(path: &Path) -> Result<(), String> {
    use std::fmt::Write as _;
    let file = CallersFile::read(path).map_err(|error| error.to_string())?;
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
