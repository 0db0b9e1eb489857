//! `token-authority rollout show|set`: which users receive JWTs. It works on the database; every
//! replica follows within a second.

use std::io::{self, Write as _};
use std::sync::Arc;

use clap::{Arg, ArgGroup, ArgMatches, Command, value_parser};

use super::operator::operator;
use crate::app;
use crate::authority::rollout::{RolloutControl, RolloutOrder, deviation};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::store::{RolloutChange, Rows, StoreError};
use crate::token::method::AuthMethod;
use crate::token::rollout::{Percentage, Rollout, bucket};

/// How many changes `rollout show` prints.
const MAX_HISTORY: u32 = 20;
/// How many users one statement counts.
const PAGE_SIZE: u32 = 10_000;

pub(super) fn command() -> Command {
    let percentage = Arg::new("percentage")
        .value_name("PERCENTAGE")
        .value_parser(value_parser!(i64))
        .help("Percentage of users who receive JWTs: 0 to 100");
    let enabled = Arg::new("enabled")
        .long("jwt-enabled")
        .value_name("true|false")
        .value_parser(value_parser!(bool))
        .help("Whether JWTs are minted at all");
    Command::new("rollout")
        .about("Show or set which users receive JWTs")
        .subcommand_required(true)
        .subcommand(
            Command::new("show")
                .about("Show the roll-out in effect, its history and the live sessions"),
        )
        .subcommand(
            Command::new("set")
                .about("Change the roll-out; every replica follows within a second")
                .arg(percentage)
                .arg(enabled)
                .group(
                    ArgGroup::new("change")
                        .args(["percentage", "enabled"])
                        .required(true)
                        .multiple(true),
                ),
        )
}

pub(super) async fn run(config: Config, matches: &ArgMatches) -> Result<(), String> {
    let text = |error: StoreError| error.to_string();
    let rows = app::open_rows(&config).await.map_err(|error| error.to_string())?;
    let log: Arc<dyn Rows> = Arc::clone(&rows);
    let control = RolloutControl::new(log, Arc::new(SystemClock), config.rollout);
    let chosen = matches.subcommand_matches("rollout").and_then(ArgMatches::subcommand);
    if let Some(("set", arguments)) = chosen {
        let percentage = arguments.get_one::<i64>("percentage").copied().map(Percentage::new);
        let order = RolloutOrder {
            percentage: percentage.transpose().map_err(|error| error.to_string())?,
            jwt_enabled: arguments.get_one::<bool>("enabled").copied(),
        };
        control.set(order, &operator()).await.map_err(|error| error.to_string())?;
    }
    let status = control.read().await.map_err(text)?;
    let mut lines = vec![format!("now       {}", describe(status.rollout))];
    let deviation = deviation(config.rollout, status.change.as_ref());
    lines.extend(deviation.map(|deviation| format!("note      {deviation}")));
    if !matches!(chosen, Some(("set", _))) {
        lines.extend(history(&rows.changes(MAX_HISTORY).await.map_err(text)?));
        lines.extend(split(&*rows).await.map_err(text)?);
    }
    rows.close().await;
    let _ = writeln!(io::stdout(), "{}", lines.join("\n"));
    Ok(())
}

fn describe(rollout: Rollout) -> String {
    let percentage = rollout.percentage.number();
    let enabled = if rollout.jwt_enabled { "JWTs on" } else { "JWTs off" };
    format!("{percentage:>3} %  {enabled}")
}

fn history(changes: &[RolloutChange]) -> Vec<String> {
    if changes.is_empty() {
        return vec!["history   none: the settings are in effect".to_owned()];
    }
    let line = |change: &RolloutChange| {
        format!("history   {}  {}  by {}", change.at.rfc3339(), describe(change.rollout), change.by)
    };
    changes.iter().map(line).collect()
}

/// Counts the live sessions by kind, in groups of ten buckets.
async fn split(rows: &dyn Rows) -> Result<Vec<String>, StoreError> {
    let now = SystemClock.now();
    let mut counts = [[0_u64; 2]; 10];
    let mut after = None;
    loop {
        let page = rows.live_sessions(after.as_ref(), PAGE_SIZE, now).await?;
        let Some(last) = page.last() else { break };
        for live in &page {
            let tenth = &mut counts[usize::from(bucket(&live.user_id) / 10)];
            tenth[usize::from(live.auth_method == AuthMethod::Session)] += live.count;
        }
        after = Some(last.user_id.clone());
    }
    let line = |name: &str, jwt: u64, session: u64| format!("  {name:<22} {jwt:>9} {session:>9}");
    let mut lines = vec!["live sessions by bucket        jwt   session".to_owned()];
    lines.extend(counts.iter().enumerate().map(|(tenth, [jwt, session])| {
        line(&format!("{:>2} to {:>2}", tenth * 10, tenth * 10 + 9), *jwt, *session)
    }));
    let sum = |kind: usize| counts.iter().map(|tenth| tenth[kind]).sum();
    lines.push(line("all", sum(0), sum(1)));
    Ok(lines)
}
