//! `token-authority migrate`: brings the database's schema up to date.

use std::io::Write as _;

use crate::app::schema;
use crate::config::Config;

pub(super) async fn run(config: Config) -> Result<(), String> {
    let outcome = schema::migrate(&config).await.map_err(|error| error.to_string())?;
    let _ = writeln!(std::io::stdout(), "{outcome}");
    Ok(())
}
