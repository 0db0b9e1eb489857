//! `/healthz` and `/readyz`, for the probes of the platform.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::json;

/// Decides whether this process may receive requests.
#[tonic::async_trait]
pub trait Readiness: fmt::Debug + Send + Sync {
    /// Checks now.
    async fn check(&self) -> Ready;
}

/// Whether this process may receive requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// It may.
    Yes,
    /// It may not, for this reason.
    No(&'static str),
}

/// Answers that the process is alive.
pub(super) async fn live() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Answers whether the process is ready: the store is reachable, and this version knows its schema.
pub(super) async fn ready(State(readiness): State<Arc<dyn Readiness>>) -> Response {
    match readiness.check().await {
        Ready::Yes => Json(json!({ "status": "ok" })).into_response(),
        Ready::No(why) => {
            let body = json!({ "status": "unavailable", "error": why });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}
