//! `token-authority sessions list|revoke|erase`: lists, revokes and erases a user's sessions. It works on the
//! database; every replica follows within a second.

use std::io::Write as _;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use serde_json::{Value, json};

use super::table::aligned;
use crate::app::sessions::Sessions;
use crate::config::Config;
use crate::store::{Revoke, StoreError};
use crate::token::id::{SessionId, UserId};
use crate::token::session::Session;

pub(super) fn command() -> Command {
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let user = Arg::new("user").value_name("USER").required(true).help("The user's id");
    let erased = user.clone();
    let session = Arg::new("session")
        .value_name("SESSION")
        .num_args(1..)
        .value_parser(|text: &str| text.parse::<SessionId>())
        .help("The ids of the sessions, as in `sessions list`");
    let of =
        Arg::new("of").long("user").value_name("USER").help("Revoke all sessions of this user");
    let except = Arg::new("except")
        .long("except")
        .value_name("SESSION")
        .value_parser(|text: &str| text.parse::<SessionId>())
        .requires("of")
        .conflicts_with("session")
        .help("Keep this session");
    Command::new("sessions")
        .about("List, revoke or erase a user's sessions")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("list")
                .about("List a user's live sessions, newest first")
                .args([user, json()]),
        )
        .subcommand(
            Command::new("revoke")
                .about(
                    "Revoke sessions: refresh tokens at once, access tokens on every replica \
                     within a second. A session that has already ended is not an error",
                )
                .args([session, of, except, json()])
                .group(ArgGroup::new("which").args(["session", "of"]).required(true)),
        )
        .subcommand(
            Command::new("erase")
                .about(
                    "Revoke all sessions of a user, and remove the user's id, addresses, devices, claims and \
                     tokens from the database",
                )
                .args([erased, json()]),
        )
}

pub(super) async fn run(config: Config, matches: &ArgMatches) -> Result<(), String> {
    let sessions = Sessions::open(&config).await.map_err(|error| error.to_string())?;
    let text = match matches.subcommand() {
        Some(("revoke", matches)) => revoke(&sessions, matches).await,
        Some(("erase", matches)) => erase(&sessions, matches).await,
        Some((_, matches)) => list(&sessions, matches).await,
        None => Ok(String::new()),
    };
    sessions.close().await;
    std::io::stdout().write_all(text?.as_bytes()).map_err(|error| error.to_string())
}

fn user_id(matches: &ArgMatches, name: &str) -> Result<Option<UserId>, String> {
    let text = matches.get_one::<String>(name);
    text.map(|text| UserId::new(text.as_str()).map_err(|error| error.to_string())).transpose()
}

async fn list(sessions: &Sessions, matches: &ArgMatches) -> Result<String, String> {
    let Some(user_id) = user_id(matches, "user")? else { return Ok(String::new()) };
    let found = sessions.of(&user_id).await.map_err(|error| error.to_string())?;
    if matches.get_flag("json") {
        let all: Vec<Value> = found.iter().map(in_json).collect();
        return Ok(format!("{:#}\n", json!({ "sessions": all })));
    }
    let heads = ["SESSION", "KIND", "CREATED", "LAST USED", "EXPIRES", "ADDRESS", "DEVICE"];
    Ok(aligned(heads, found.iter().map(in_a_row)))
}

fn in_a_row(session: &Session) -> [String; 7] {
    let client = &session.client;
    let device =
        if client.device_name().is_empty() { client.user_agent() } else { client.device_name() };
    [
        session.id.to_string(),
        session.auth_method.as_str().to_owned(),
        session.created_at.rfc3339(),
        session.last_used_at.rfc3339(),
        session.expires_at.rfc3339(),
        client.ip_address().to_owned(),
        device.to_owned(),
    ]
}

/// Returns the session as JSON with the field names of the gRPC contract.
fn in_json(session: &Session) -> Value {
    let client = &session.client;
    json!({
        "session_id": session.id.to_string(),
        "user_id": session.user_id.as_str(),
        "created_at": session.created_at.rfc3339(),
        "last_used_at": session.last_used_at.rfc3339(),
        "expires_at": session.expires_at.rfc3339(),
        "client": {
            "user_agent": client.user_agent(),
            "ip_address": client.ip_address(),
            "device_name": client.device_name(),
        },
        "auth_method": session.auth_method.as_str(),
    })
}

async fn revoke(sessions: &Sessions, matches: &ArgMatches) -> Result<String, String> {
    let text = |error: StoreError| error.to_string();
    let mut ended = Vec::new();
    if let Some(user_id) = user_id(matches, "of")? {
        let except = matches.get_one::<SessionId>("except").copied();
        ended = sessions.revoke(Revoke::User { user_id, except }).await.map_err(text)?;
    }
    for id in matches.get_many::<SessionId>("session").unwrap_or_default() {
        ended.extend(sessions.revoke(Revoke::Session(*id)).await.map_err(text)?);
    }
    let ids: Vec<String> = ended.iter().map(SessionId::to_string).collect();
    if matches.get_flag("json") {
        return Ok(format!("{:#}\n", json!({ "revoked": ids })));
    }
    Ok(if ids.is_empty() {
        "no such live session\n".to_owned()
    } else {
        format!("revoked:\n{}\n", ids.join("\n"))
    })
}

async fn erase(sessions: &Sessions, matches: &ArgMatches) -> Result<String, String> {
    let Some(user_id) = user_id(matches, "user")? else { return Ok(String::new()) };
    let erased = sessions.erase(&user_id).await.map_err(|error| error.to_string())?;
    if matches.get_flag("json") {
        return Ok(format!("{:#}\n", json!({ "erased_count": erased })));
    }
    Ok(match erased {
        0 => "nothing of this user is stored\n".to_owned(),
        1 => "erased: 1 session\n".to_owned(),
        many => format!("erased: {many} sessions\n"),
    })
}
