//! The only way to serve an HTTP route: by its entry in the table and behind the gate.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, on};
use http::StatusCode;
use tower_http::cors::CorsLayer;

use super::client_secret;
use super::gate::AuthGate;
use super::roles::{Access, ROUTES, Route};
use crate::transport::limits::{BODY_BYTES, unread_body};

/// Builds a router whose routes are all behind the gate.
#[derive(Debug)]
pub struct RouteBuilder {
    router: Router,
    gate: Arc<AuthGate>,
    cors: CorsLayer,
    served: Vec<&'static str>,
}

impl RouteBuilder {
    /// Makes a builder without routes. `cors` decides which other origins may call the browser's routes.
    #[must_use]
    pub fn new(gate: Arc<AuthGate>, cors: CorsLayer) -> Self {
        Self { router: Router::new(), gate, cors, served: Vec::new() }
    }

    /// Adds a route of the table.
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
        if matches!(route.access(), Access::Role(_)) {
            // Outside the gate, which looks for the credential in the headers.
            guarded = guarded.layer(from_fn(client_secret::as_header));
        }
        if route.access() == Access::Browser {
            // CORS is outside the gate, so that a page of another origin can read a rejection too.
            guarded = guarded.layer(self.cors.clone());
        }
        if let Some(path) = route.path_with_slash() {
            self.router = self.router.route(&path, guarded.clone());
        }
        self.router = self.router.route(route.path(), guarded);
        self
    }

    /// Returns the router. Routes of the table that this listener does not serve are behind the gate
    /// too, so that a stranger does not learn which routes exist.
    pub fn into_router(mut self) -> Router {
        let served = std::mem::take(&mut self.served);
        let absent = ROUTES.iter().filter(|route| !served.contains(&route.path()));
        let not_found = || std::future::ready(StatusCode::NOT_FOUND);
        let all = absent.fold(self, |all, route| all.add(route, on(route.filter(), not_found)));
        all.router.layer(from_fn(unread_body::finish))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use axum::extract::Request;
    use axum::response::Response;
    use bytes::Bytes;
    use http::HeaderValue;
    use tower::ServiceExt as _;

    use super::*;
    use crate::transport::callers::roles;
    use crate::transport::callers::{CallerLimits, Callers};
    use crate::transport::limits::LimitSettings;
    use crate::transport::limits::client_address::TrustedProxies;
    use crate::transport::limits::memory::Memory;
    use crate::transport::limits::rate::Rate;
    use crate::transport::serve::peer::Peer;

    fn router() -> Router {
        let limits = LimitSettings {
            per_caller: None,
            per_client: Rate::new(1, 1),
            trusted_proxies: TrustedProxies::default(),
            request_timeout: Duration::from_secs(10),
            concurrent_requests: 10,
            concurrent_streams: 10,
            connections: 10,
            connections_per_client: 10,
            max_connection_age: None,
            memory: Memory::new(None),
            idle_timeout: Duration::from_secs(10),
        };
        let gate = Arc::new(AuthGate::new(Arc::new(Callers::anyone(CallerLimits::NONE)), limits));
        let cors = CorsLayer::new().allow_origin(HeaderValue::from_static("https://app.example"));
        RouteBuilder::new(gate, cors)
            .route(&roles::REVOKE, |body: Bytes| async move { body.len().to_string() }, ())
            .route(&roles::LOGOUT, || async { "out" }, ())
            .into_router()
    }

    async fn ask(router: &Router, method: &str, path: &str, body: usize) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST")
            .extension(Peer::new(([192, 0, 2, 1], 7).into()))
            .body(Body::from(vec![b'x'; body]))
            .unwrap();
        router.clone().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn a_body_is_bounded_and_a_method_is_the_table_s() {
        let router = router();
        let whole = ask(&router, "POST", "/oauth2/revoke", BODY_BYTES).await;
        assert_eq!((whole.status().as_u16(), whole.headers().get("connection")), (200, None));
        let larger = ask(&router, "POST", "/oauth2/revoke", BODY_BYTES + 1).await;
        assert_eq!(
            (larger.status().as_u16(), larger.headers()["connection"].to_str().unwrap()),
            (413, "close")
        );
        assert_eq!(ask(&router, "GET", "/oauth2/revoke", 0).await.status(), 405);
        assert_eq!(ask(&router, "POST", "/oauth2/introspect", 0).await.status(), 404, "not served");
    }

    #[tokio::test]
    async fn a_page_of_an_allowed_origin_can_read_its_refusal_and_a_preflight_costs_nothing() {
        let router = router();
        let mut statuses = Vec::new();
        for method in ["OPTIONS", "OPTIONS", "POST", "POST"] {
            let answer = ask(&router, method, "/api/auth/logout", 0).await;
            let allowed = answer.headers().get("access-control-allow-origin");
            assert_eq!(allowed.unwrap(), "https://app.example");
            statuses.push(answer.status().as_u16());
        }
        assert_eq!(statuses, [200, 200, 200, 429]);
    }
}
