//! `token-authority status`: the state of a running replica, of what it sees of the database, and of the
//! roll-out. It calls `GetStatus` and `GetRollout`.

use std::io::Write as _;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use super::authority::{self, Authority};
use super::moment::shown;
use super::problem::Problem;
use super::table::aligned;
use crate::config::Config;
use crate::transport::proto::v1;
use crate::transport::proto::v1::operator_service_client::OperatorServiceClient;
use crate::transport::proto::v1::rollout_service_client::RolloutServiceClient;
use crate::transport::proto::v1::{
    GetRolloutRequest, GetRolloutResponse, GetStatusRequest, GetStatusResponse, LiveSessions,
    SigningKey,
};

pub(super) fn command() -> Command {
    let count = Arg::new("count")
        .long("count")
        .action(ArgAction::SetTrue)
        .help("Count the live sessions, too, which reads their whole table");
    Command::new("status")
        .about(
            "Show the state of the replica that answers: its version, database, revocations, sweeper and keys, \
             and the roll-out",
        )
        .after_help("If the service has a callers file, the caller needs the role admin.")
        .args(authority::arguments())
        .arg(count)
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

pub(super) async fn run(config: Config, matches: &ArgMatches) -> Result<(), String> {
    let Authority { channel, key, address } = authority::find(&config, matches)?;
    let text = |status| Problem::of(&address, &status).to_string();
    let request = GetStatusRequest { count_sessions: matches.get_flag("count") };
    let mut operator = OperatorServiceClient::with_interceptor(channel.clone(), key.clone());
    let status = operator.get_status(request).await.map_err(text)?.into_inner();
    // The roll-out is in the database. The rest is worth to be shown without it.
    let mut rollout = RolloutServiceClient::with_interceptor(channel, key);
    let rollout = rollout.get_rollout(GetRolloutRequest {}).await.map_err(text);
    let rollout = rollout.map(tonic::Response::into_inner);
    let told = if matches.get_flag("json") {
        format!("{:#}\n", in_json(&status, rollout.as_ref().ok()))
    } else {
        in_words(&address, &status, rollout.as_ref())
    };
    std::io::stdout().write_all(told.as_bytes()).map_err(|error| error.to_string())
}

fn in_words(
    address: &str,
    status: &GetStatusResponse,
    rollout: Result<&GetRolloutResponse, &String>,
) -> String {
    let database = status.database.clone().unwrap_or_default();
    let revocations = status.revocations.unwrap_or_default();
    let sweeper = status.sweeper.unwrap_or_default();
    let mut lines = vec![
        ("replica", format!("{} at {address}", status.version)),
        ("started", shown(status.started_at, "-")),
        ("ready", ready(status)),
        ("database", database_in_words(&database)),
        ("revocations", revocations_in_words(&revocations)),
        ("sweeper", sweeper_in_words(&sweeper)),
        ("roll-out", rollout.map_or_else(|why| format!("unknown: {why}"), rollout_in_words)),
    ];
    lines.extend(status.live_sessions.iter().map(|live| ("sessions", live_in_words(live))));
    let lines = lines.iter().map(|(name, text)| format!("{name:<12} {text}\n"));
    let lines = lines.collect::<Vec<_>>().concat();
    if status.keys.is_empty() {
        return lines;
    }
    let heads =
        ["KID", "ALGORITHM", "STATE", "SIGNS FROM", "SIGNS UNTIL", "VERIFIES UNTIL", "LAST USED"];
    format!("{lines}\n{}", aligned(heads, status.keys.iter().map(key_in_a_row)))
}

fn ready(status: &GetStatusResponse) -> String {
    match status.not_ready_reason.as_str() {
        "" => "yes".to_owned(),
        why => format!("no: {why}"),
    }
}

fn database_in_words(database: &v1::DatabaseStatus) -> String {
    let v1::DatabaseStatus { system, reachable, size_bytes, open_connections, busy_connections } =
        database;
    if *reachable {
        format!(
            "{system}, {size_bytes} bytes, {open_connections} connections, {busy_connections} busy"
        )
    } else {
        format!("{system}, does not answer")
    }
}

fn revocations_in_words(revocations: &v1::RevocationStatus) -> String {
    let confirmed = shown(revocations.confirmed_at, "never");
    let stale = if revocations.stale { ", stale" } else { "" };
    format!(
        "confirmed {confirmed}{stale}, {} held, {} watchers",
        revocations.held_count, revocations.watcher_count
    )
}

fn sweeper_in_words(sweeper: &v1::SweeperStatus) -> String {
    let overdue = sweeper.overdue.map_or_else(String::new, |overdue| match overdue.seconds {
        0 => ", nothing is overdue".to_owned(),
        seconds => format!(", the oldest row is overdue by {seconds} s"),
    });
    match sweeper.completed_at {
        None => format!("no pass yet{overdue}"),
        at => format!("{}, {} deleted{overdue}", shown(at, "-"), sweeper.deleted_count),
    }
}

fn rollout_in_words(rollout: &GetRolloutResponse) -> String {
    let enabled = if rollout.jwt_enabled { "JWTs on" } else { "JWTs off" };
    let by = match rollout.updated_at {
        None => "by the settings".to_owned(),
        at => format!("by {} at {}", rollout.updated_by, shown(at, "-")),
    };
    format!("{} %, {enabled}, {by}", rollout.percentage)
}

fn live_in_words(live: &LiveSessions) -> String {
    let kind = kind(live.auth_method());
    format!("{kind}: {} sessions of {} users", live.session_count, live.user_count)
}

/// Returns the name of a kind of access token, as in `sessions list`.
fn kind(method: v1::AuthMethod) -> &'static str {
    match method {
        v1::AuthMethod::Unspecified => "unknown",
        v1::AuthMethod::Jwt => "jwt",
        v1::AuthMethod::Session => "session",
    }
}

fn state(key: &SigningKey) -> String {
    let name = key.state().as_str_name();
    name.strip_prefix("SIGNING_KEY_STATE_").unwrap_or(name).to_ascii_lowercase()
}

fn key_in_a_row(key: &SigningKey) -> [String; 7] {
    [
        key.kid.clone(),
        key.algorithm.clone(),
        state(key),
        shown(key.signs_from, "-"),
        shown(key.signs_until, "-"),
        shown(key.verifies_until, "-"),
        shown(key.last_used_at, "never"),
    ]
}

/// Returns the state as JSON with the field names of the gRPC contract. A time that is not set is null.
fn in_json(status: &GetStatusResponse, rollout: Option<&GetRolloutResponse>) -> Value {
    let moment = |at: Option<prost_types::Timestamp>| {
        if at.is_some() { Value::from(shown(at, "")) } else { Value::Null }
    };
    let database = status.database.clone().unwrap_or_default();
    let revocations = status.revocations.unwrap_or_default();
    let sweeper = status.sweeper.unwrap_or_default();
    let key = |key: &SigningKey| {
        json!({
            "kid": key.kid, "algorithm": key.algorithm, "state": state(key),
            "created_at": moment(key.created_at), "signs_from": moment(key.signs_from),
            "signs_until": moment(key.signs_until), "verifies_until": moment(key.verifies_until),
            "last_used_at": moment(key.last_used_at),
        })
    };
    let live = |live: &LiveSessions| {
        json!({
            "auth_method": kind(live.auth_method()),
            "user_count": live.user_count,
            "session_count": live.session_count,
        })
    };
    json!({
        "version": status.version,
        "started_at": moment(status.started_at),
        "answered_at": moment(status.answered_at),
        "not_ready_reason": status.not_ready_reason,
        "database": {
            "system": database.system, "reachable": database.reachable,
            "size_bytes": database.size_bytes,
            "open_connections": database.open_connections,
            "busy_connections": database.busy_connections,
        },
        "revocations": {
            "confirmed_at": moment(revocations.confirmed_at), "stale": revocations.stale,
            "held_count": revocations.held_count, "watcher_count": revocations.watcher_count,
        },
        "sweeper": {
            "completed_at": moment(sweeper.completed_at),
            "deleted_count": sweeper.deleted_count,
            "overdue_seconds": sweeper.overdue.map(|overdue| overdue.seconds),
        },
        "keys": status.keys.iter().map(key).collect::<Vec<_>>(),
        "live_sessions": status.live_sessions.iter().map(live).collect::<Vec<_>>(),
        "rollout": rollout.map(|rollout| json!({
            "percentage": rollout.percentage, "jwt_enabled": rollout.jwt_enabled,
            "updated_at": moment(rollout.updated_at), "updated_by": rollout.updated_by,
        })),
    })
}
