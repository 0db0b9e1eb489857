//! Metrics: made over what there is to be measured, and served on a port of their own.

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::AppError;
use crate::authority::sweeper::Pace;
use crate::authority::{RolloutControl, TokenEvents as _};
use crate::clock::Clock;
use crate::config::Environment;
use crate::metrics::{Metrics, listener, state, trust};
use crate::store::{Rows, Store};

pub(super) fn make(
    store: &Arc<Store>,
    rows: &Arc<dyn Rows>,
    rollout: &Arc<RolloutControl>,
    clock: &Arc<dyn Clock>,
    trust: trust::Sources,
    lost_lines: Arc<AtomicU64>,
) -> Result<Arc<Metrics>, AppError> {
    let sources = state::Sources {
        store: Arc::clone(store),
        rows: Arc::clone(rows),
        rollout: Arc::clone(rollout),
        clock: Arc::clone(clock),
        retention: Pace::default().retention,
    };
    let revocations = Arc::clone(&trust.revocations);
    let metrics = Metrics::new(sources, trust, lost_lines)
        .map_err(|error| AppError::Server(error.to_string()))?;
    let told = Arc::clone(&metrics.tokens);
    revocations.observe_propagation(move |after| told.revocation_arrived(after));
    Ok(Arc::new(metrics))
}

/// Binds the metrics' port. In development, where several processes may share a machine and
/// nobody reads their metrics, a port that is taken is no reason not to start.
pub(super) async fn bind(
    address: SocketAddr,
    environment: Environment,
) -> Result<Option<TcpListener>, AppError> {
    match super::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if environment == Environment::Development => {
            tracing::warn!("no metrics: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Serves metrics and keeps them up to date, to the very end of the process.
pub(super) fn start(bound: Option<TcpListener>, metrics: &Arc<Metrics>) -> Vec<AbortHandle> {
    let followed = Arc::clone(metrics);
    let follow = tokio::spawn(async move { followed.state().follow().await });
    let serve = bound.map(|bound| {
        let routes = listener::routes(Arc::clone(metrics));
        tokio::spawn(axum::serve(bound, routes).into_future()).abort_handle()
    });
    serve.into_iter().chain([follow.abort_handle()]).collect()
}
