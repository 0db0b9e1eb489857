//! `/healthz` and `/readyz`, for the probes of whatever runs the process.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::json;

/// Tells whether this process may be sent requests.
#[tonic::async_trait]
pub trait Readiness: fmt::Debug + Send + Sync {
    /// Checks it now.
    async fn check(&self) -> Ready;
}

/// Whether this process may be sent requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// It may.
    Yes,
    /// It may not, and why.
    No(&'static str),
}

/// The process is alive, since it answers.
pub(super) async fn live() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// The process is ready: the store is reachable and its schema is one that this version knows.
pub(super) async fn ready(State(readiness): State<Arc<dyn Readiness>>) -> Response {
    match readiness.check().await {
        Ready::Yes => Json(json!({ "status": "ok" })).into_response(),
        Ready::No(why) => {
            let body = json!({ "status": "unavailable", "error": why });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}
