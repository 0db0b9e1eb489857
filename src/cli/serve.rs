//! `token-authority serve`: runs the service.

use std::time::Duration;

use tokio::time::Instant;

use super::quickstart;
use crate::app::{App, process_limits};
use crate::config::{Config, Environment, unsupported};
use crate::shutdown::Signals;
use crate::telemetry::Telemetry;

pub(super) async fn run(config: Config) -> Result<(), String> {
    let telemetry = Telemetry::begin(&config.telemetry).map_err(|error| error.to_string())?;
    for message in unsupported(|name| std::env::var(name).ok()) {
        tracing::warn!("{message}");
    }
    let signals = Signals::catch().map_err(|error| error.to_string())?;
    process_limits::apply(config.environment);
    // With callers or TLS, the printed commands would need a key or a certificate.
    let open = config.network.callers_file.is_none() && config.network.tls.is_none();
    let prints_commands = config.environment == Environment::Development && open;
    let has_start_page = config.start_page().is_some();
    let cookie = config.browser.cookie.clone();
    let app = App::build(config, telemetry.dropped()).await;
    let app = app.map_err(|error| error.to_string())?;
    let addresses = (app.grpc_addr(), app.http_addr());
    if let (Ok(grpc), Ok(http)) = addresses {
        let metrics = app.metrics_addr().map(|address| address.to_string()).unwrap_or_default();
        tracing::info!(%grpc, %http, metrics, version = env!("CARGO_PKG_VERSION"), "serving");
        if prints_commands {
            quickstart::print(grpc, http, &cookie.name, has_start_page);
        }
    }
    let ended = app.run(signals).await;
    // If a server has failed, there is no deadline for the end.
    let left = ended.as_ref().map_or(Duration::MAX, |end_by| end_by.duration_since(Instant::now()));
    telemetry.end(left);
    ended.map(drop).map_err(|error| error.to_string())
}
