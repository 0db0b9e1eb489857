//! `token-authority keys`: lists, rotates and retires the keys that sign access tokens.

use std::io::Write as _;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::table::aligned;
use crate::app;
use crate::authority::key_rotator::{KeyError, KeyRotator, Listed, Rotation};
use crate::clock::Timestamp;
use crate::config::Config;

pub(super) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("keys")
        .about("List, rotate or retire the keys that sign access tokens")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("list").about(
            "List each key with its algorithm, state, times and last use. Shared secrets come from the \
             settings of this process.",
        ))
        .subcommand(
            Command::new("rotate")
                .about("Create the next key pair: published now, signing after KEY_PUBLISH_SECONDS")
                .arg(flag("now", "Sign with the new key as soon as every replica knows it"))
                .arg(flag(
                    "compromised",
                    "Like --now, and refuse tokens that earlier pairs signed: clients have to refresh",
                )),
        )
        .subcommand(Command::new("retire").about(
            "After a change back to HS256: let the stored key pairs expire with their last tokens",
        ))
}

pub(super) async fn run(config: Config, matches: &ArgMatches) -> Result<(), String> {
    let rows = app::open_rows(&config).await.map_err(|error| error.to_string())?;
    let keys = app::keys::open(&config, &rows).map_err(|error| error.to_string())?;
    let mut key_rotator = keys.key_rotator;
    let text = match matches.subcommand() {
        Some(("rotate", matches)) => rotate(&mut key_rotator, rotation(matches)).await,
        Some(("retire", _)) => retire_keys(&mut key_rotator).await,
        _ => key_rotator.list().await.map(|keys| table(&keys)),
    };
    rows.close().await;
    let text = text.map_err(|error| error.to_string())?;
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn rotation(matches: &ArgMatches) -> Rotation {
    match (matches.get_flag("compromised"), matches.get_flag("now")) {
        (true, _) => Rotation::Compromised,
        (false, true) => Rotation::Now,
        (false, false) => Rotation::Published,
    }
}

async fn rotate(key_rotator: &mut KeyRotator, rotation: Rotation) -> Result<String, KeyError> {
    let key = key_rotator.rotate(rotation).await?;
    let at = key.activates_at.rfc3339();
    Ok(format!("{} {} is published now and signs from {at}\n", key.algorithm, key.kid))
}

async fn retire_keys(key_rotator: &mut KeyRotator) -> Result<String, KeyError> {
    Ok(match key_rotator.retire_keys().await? {
        Some(at) => format!("the stored key pairs verify until {}\n", at.rfc3339()),
        None => "there is no key pair to retire\n".to_owned(),
    })
}

fn table(keys: &[Listed]) -> String {
    let head = [
        "KID",
        "ALGORITHM",
        "STATE",
        "CREATED",
        "SIGNS FROM",
        "SIGNS UNTIL",
        "VERIFIES UNTIL",
        "LAST USED",
    ];
    let row = |key: &Listed| {
        [
            key.kid.clone(),
            key.algorithm.clone(),
            key.state.as_str().to_owned(),
            moment(key.created_at),
            moment(key.signs_from),
            moment(key.signs_until),
            moment(key.ends),
            key.last_verified_at.map_or_else(|| "never".to_owned(), Timestamp::rfc3339),
        ]
    };
    aligned(head, keys.iter().map(row))
}

fn moment(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), Timestamp::rfc3339)
}
