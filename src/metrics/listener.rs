//! `GET /metrics`, on a listener of its own, so that the outside never sees it by mistake.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{StatusCode, header};

use super::Metrics;
use crate::transport::callers::roles::METRICS;

/// The route.
pub fn routes(metrics: Arc<Metrics>) -> Router {
    Router::new().route(METRICS.path(), get(show)).with_state(metrics)
}

async fn show(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, Metrics::content_type())], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
