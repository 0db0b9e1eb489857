//! The only way to serve an HTTP route: by its entry in the table, behind the gate.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::routing::{MethodRouter, on};
use http::StatusCode;
use tower_http::cors::CorsLayer;

use super::gate::Gate;
use super::roles::{Access, ROUTES, Route};
use crate::transport::limits::BODY_BYTES;

/// Routes behind a gate.
#[derive(Debug)]
pub struct Guarded {
    router: Router,
    gate: Arc<Gate>,
    cors: CorsLayer,
    served: Vec<&'static str>,
}

impl Guarded {
    /// No route yet. `cors` says which other origins' pages may call what is the browser's.
    #[must_use]
    pub fn new(gate: Arc<Gate>, cors: CorsLayer) -> Self {
        Self { router: Router::new(), gate, cors, served: Vec::new() }
    }

    /// Serves a route.
    #[must_use]
    pub fn route<H, T, S>(mut self, route: &Route, handler: H, state: S) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        self.served.push(route.path());
        self.add(route, on(route.filter(), handler).with_state(state))
    }

    fn add(mut self, route: &Route, handler: MethodRouter) -> Self {
        let limited = handler.layer(DefaultBodyLimit::max(BODY_BYTES));
        let mut guarded = limited.layer(self.gate.before_route(route.access()));
        if route.access() == Access::Browser {
            // Outside the gate, so that a page of another origin can read a refusal too.
            guarded = guarded.layer(self.cors.clone());
        }
        self.router = self.router.route(route.path(), guarded);
        self
    }

    /// All of them as a router. What the table names and this listener does not serve is behind
    /// the gate too: strangers are not told what there is.
    pub fn into_router(mut self) -> Router {
        let served = std::mem::take(&mut self.served);
        let absent = ROUTES.iter().filter(|route| !served.contains(&route.path()));
        let not_found = || std::future::ready(StatusCode::NOT_FOUND);
        absent.fold(self, |all, route| all.add(route, on(route.filter(), not_found))).router
    }
}
