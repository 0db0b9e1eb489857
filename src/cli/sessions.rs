//! `token-authority sessions list|events|revoke|erase`: lists a user's sessions, tells their history,
//! revokes and erases them. It works on the database; every replica follows within a second.

use std::io::Write as _;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use serde_json::{Value, json};

use super::operator::operator;
use super::table::aligned;
use crate::app::sessions::Sessions;
use crate::config::Config;
use crate::store::{EventsOf, Revoke, StoreError};
use crate::token::event::{Happened, SessionEvent};
use crate::token::id::{SessionId, UserId};
use crate::token::session::{RevocationReason, Session};

pub(super) fn command() -> Command {
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let user = Arg::new("user").value_name("USER").required(true).help("The user's id");
    let erased = user.clone();
    let history_user = user.clone().required(false);
    let only_session = Arg::new("session")
        .long("session")
        .value_name("SESSION")
        .value_parser(clap::value_parser!(SessionId))
        .help("Only this session");
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
        .about("List, revoke or erase a user's sessions, or show their history")
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
            Command::new("events")
                .about(
                    "Show what happened to a user's sessions, or to one session, newest first: logins, \
                     refreshes, changes and revocations, and who asked for them",
                )
                .args([history_user, only_session, json()])
                .group(ArgGroup::new("which").args(["user", "session"]).required(true)),
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
        Some(("events", matches)) => events(&sessions, matches).await,
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
    let actor = operator();
    let mut ended = Vec::new();
    if let Some(user_id) = user_id(matches, "of")? {
        let except = matches.get_one::<SessionId>("except").copied();
        ended = sessions.revoke(Revoke::User { user_id, except }, &actor).await.map_err(text)?;
    }
    for id in matches.get_many::<SessionId>("session").unwrap_or_default() {
        ended.extend(sessions.revoke(Revoke::Session(*id), &actor).await.map_err(text)?);
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

async fn events(sessions: &Sessions, matches: &ArgMatches) -> Result<String, String> {
    let of = match (user_id(matches, "user")?, matches.get_one::<SessionId>("session")) {
        (Some(user_id), _) => EventsOf::User(user_id),
        (None, Some(id)) => EventsOf::Session(*id),
        (None, None) => return Ok(String::new()),
    };
    let found = sessions.events(&of).await.map_err(|error| error.to_string())?;
    if matches.get_flag("json") {
        let all: Vec<Value> = found.iter().map(event_in_json).collect();
        return Ok(format!("{:#}\n", json!({ "events": all })));
    }
    let heads = ["WHEN", "SESSION", "USER", "EVENT", "BY"];
    let row = |event: &SessionEvent| {
        let user_id = event.user_id.as_ref().map_or("erased", UserId::as_str).to_owned();
        let (id, at, actor) =
            (event.session_id.to_string(), event.at.rfc3339(), event.actor.clone());
        [at, id, user_id, in_words(&event.what), actor]
    };
    Ok(aligned(heads, found.iter().map(row)))
}

fn in_words(what: &Happened) -> String {
    match what {
        Happened::Bound | Happened::Issued | Happened::Refreshed => what.kind().as_str().to_owned(),
        Happened::Revoked(RevocationReason::Reuse) => "reuse found, revoked".to_owned(),
        Happened::Revoked(reason) => format!("revoked ({})", reason.as_str()),
        Happened::Updated { .. } => format!("updated ({})", what.detail()),
    }
}

/// Returns the event as JSON with the field names of the gRPC contract.
fn event_in_json(event: &SessionEvent) -> Value {
    let mut told = json!({
        "session_id": event.session_id.to_string(),
        "user_id": event.user_id.as_ref().map_or("", UserId::as_str),
        "occurred_at": event.at.rfc3339(),
        "type": event.what.kind().as_str(),
        "actor": event.actor,
    });
    match &event.what {
        Happened::Bound | Happened::Issued | Happened::Refreshed => {}
        Happened::Revoked(reason) => {
            if *reason == RevocationReason::Reuse {
                told["type"] = "reuse_found".into();
            }
            told["reason"] = reason.as_str().into();
        }
        Happened::Updated { fields, refresh_now } => {
            let fields: Vec<&str> = fields.iter().map(|field| field.as_str()).collect();
            told["updated_fields"] = fields.into();
            told["refresh_now"] = (*refresh_now).into();
        }
    }
    told
}

async fn erase(sessions: &Sessions, matches: &ArgMatches) -> Result<String, String> {
    let Some(user_id) = user_id(matches, "user")? else { return Ok(String::new()) };
    let erased = sessions.erase(&user_id, &operator()).await.map_err(|error| error.to_string())?;
    if matches.get_flag("json") {
        return Ok(format!("{:#}\n", json!({ "erased_count": erased })));
    }
    Ok(match erased {
        0 => "nothing of this user is stored\n".to_owned(),
        1 => "erased: 1 session\n".to_owned(),
        many => format!("erased: {many} sessions\n"),
    })
}
