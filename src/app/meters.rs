//! Creates the metrics and serves them on their own port.

use std::future::IntoFuture as _;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::AppError;
use crate::authority::sweeper::Pace;
use crate::authority::{RolloutControl, TokenEvents as _};
use crate::clock::Clock;
use crate::metrics::{Metrics, listener, process, state, trust};
use crate::store::{Rows, Store};

pub(super) fn make(
    store: &Arc<Store>,
    rows: &Arc<dyn Rows>,
    rollout: &Arc<RolloutControl>,
    clock: &Arc<dyn Clock>,
    trust: trust::Sources,
    process: process::Sources,
) -> Result<Arc<Metrics>, AppError> {
    let sources = state::Sources {
        store: Arc::clone(store),
        rows: Arc::clone(rows),
        rollout: Arc::clone(rollout),
        clock: Arc::clone(clock),
        retention: Pace::default().retention,
    };
    let revocations = Arc::clone(&trust.revocations);
    let metrics = Metrics::new(sources, trust, process)
        .map_err(|error| AppError::Server(error.to_string()))?;
    let token_metrics = Arc::clone(&metrics.tokens);
    revocations.observe_propagation(move |after| token_metrics.revocation_arrived(after));
    Ok(Arc::new(metrics))
}

/// Starts the tasks that serve the metrics and keep them up to date until the process ends.
pub(super) fn start(bound: Option<TcpListener>, metrics: &Arc<Metrics>) -> Vec<AbortHandle> {
    let followed = Arc::clone(metrics);
    let follow = tokio::spawn(async move { followed.state().follow().await });
    let serve = bound.map(|bound| {
        let routes = listener::routes(Arc::clone(metrics));
        tokio::spawn(axum::serve(bound, routes).into_future()).abort_handle()
    });
    serve.into_iter().chain([follow.abort_handle()]).collect()
}
