//! `token-authority backup FILE`: copies the SQLite database while the service runs.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::config::Config;
use crate::store::sqlite;
use crate::store::url::DatabaseUrl;

pub(super) fn command() -> Command {
    Command::new("backup")
        .about("Copy the SQLite database to a new file while the service runs")
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The new file, which must not exist"),
        )
}

pub(super) async fn run(config: Config, matches: &ArgMatches) -> Result<(), String> {
    let Some(to) = matches.get_one::<PathBuf>("file") else {
        return Err("FILE is required: the path of the new backup".into());
    };
    match &config.database {
        DatabaseUrl::Sqlite(path) => {
            sqlite::backup(path, to).await.map_err(|error| error.to_string())?;
            let (from, to) = (path.display(), to.display());
            let _ = writeln!(std::io::stdout(), "copied {from} to {to}");
            Ok(())
        }
        DatabaseUrl::Postgres(_) => Err(
            "backup copies an SQLite file, but DATABASE_URL names a Postgres: use pg_dump or a \
             base backup (docs/operations.md)"
                .into(),
        ),
    }
}
