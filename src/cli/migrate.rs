//! `token-authority migrate`: brings the database's schema up to date.

use std::io::Write as _;

use crate::app;
use crate::config::Config;

pub(super) async fn run(config: Config) -> Result<(), String> {
    let rows = app::open_rows(&config).await.map_err(|error| error.to_string())?;
    let schema = rows.migrate().await.map_err(|error| error.to_string())?;
    rows.close().await;
    let _ = writeln!(std::io::stdout(), "the database's schema is up to date: {schema:?}");
    Ok(())
}
