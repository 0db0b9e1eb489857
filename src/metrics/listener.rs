//! `GET /metrics`, on a separate listener, so that it is never exposed to the public by mistake.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{StatusCode, header};

use super::Metrics;
use crate::transport::callers::roles::METRICS;
use crate::transport::limits::unread_body;

/// Returns the router with the one route.
pub fn routes(metrics: Arc<Metrics>) -> Router {
    let routes = Router::new().route(METRICS.path(), get(show)).with_state(metrics);
    routes.layer(from_fn(unread_body::finish))
}

async fn show(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, Metrics::content_type())], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot render the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
