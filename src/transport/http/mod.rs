//! The HTTP port: the browser's adapter, and health.
//!
//! The adapter is a client of the gRPC service, in this process or over a channel: it only moves
//! cookie ↔ field and status ↔ status, so HTTP cannot drift from gRPC.

mod auth;
mod cookie;
mod health;
mod oauth;
mod origin;
mod well_known;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use http_body::Body;
use tonic::body::Body as GrpcBody;
use tonic::client::GrpcService;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::callers::gate::AuthGate;
use super::callers::roles;
use super::callers::route_builder::RouteBuilder;
use super::observe::{Kind, ObserveLayer, RequestEvents, RequestObservers};
use super::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;

use crate::authority::Authority;

pub use cookie::CookieSettings;
pub use health::{Readiness, Ready};
pub use origin::AllowedOrigins;
pub use well_known::WellKnownSettings;

/// How the HTTP port is set up.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// How browsers are treated.
    pub browser: BrowserSettings,
    /// What the public documents say.
    pub well_known: WellKnownSettings,
}

/// Every path of the HTTP port, for those who count by path.
pub const ROUTES: &[&str] = &[
    "/api/auth/refresh",
    "/api/auth/logout",
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/oauth2/introspect",
    "/oauth2/revoke",
    "/healthz",
    "/readyz",
];

/// How the adapter treats browsers.
#[derive(Debug, Clone)]
pub struct BrowserSettings {
    /// The refresh token's cookie.
    pub cookie: CookieSettings,
    /// Which other origins may call, with credentials.
    pub origins: AllowedOrigins,
}

/// What the handlers share.
#[derive(Debug)]
struct Adapter<C> {
    client: TokenAuthorityServiceClient<C>,
    settings: BrowserSettings,
    meter: Arc<dyn RequestEvents>,
}

/// All routes of the HTTP port, behind the gate. `client` is where the gRPC service is reached.
pub fn routes<C>(
    client: C,
    settings: HttpSettings,
    authority: &Arc<Authority>,
    readiness: Arc<dyn Readiness>,
    gate: Arc<AuthGate>,
    observers: Arc<RequestObservers>,
) -> Router
where
    C: GrpcService<GrpcBody> + Clone + Send + Sync + 'static,
    C::Future: Send,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    C::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <C::ResponseBody as Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let HttpSettings { browser: settings, well_known } = settings;
    let cors = cors(&settings.origins);
    let client = TokenAuthorityServiceClient::new(client);
    let endpoints = oauth::Endpoints::new(client.clone(), Arc::<Authority>::clone(authority));
    let documents = well_known::Documents::new(Arc::clone(authority), well_known);
    let adapter = Arc::new(Adapter { client, settings, meter: Arc::clone(&observers.meter) });
    RouteBuilder::new(gate, cors)
        .route(&roles::REFRESH, auth::refresh::<C>, Arc::clone(&adapter))
        .route(&roles::LOGOUT, auth::logout::<C>, adapter)
        .route(&roles::JWKS, well_known::key_set, Arc::clone(&documents))
        .route(&roles::METADATA, well_known::metadata, Arc::clone(&documents))
        .route(&roles::METADATA_OF_PATH, well_known::metadata_of_path, documents)
        .route(&roles::INTROSPECT, oauth::introspect::<C>, Arc::clone(&endpoints))
        .route(&roles::REVOKE, oauth::revoke::<C>, endpoints)
        .route(&roles::HEALTHZ, health::live, ())
        .route(&roles::READYZ, health::ready, readiness)
        .into_router()
        .layer(ObserveLayer(Kind::Http, observers))
}

fn cors(origins: &AllowedOrigins) -> CorsLayer {
    let allowed = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(allowed))
        .allow_credentials(true)
        .allow_methods([Method::POST])
        .allow_headers([
            header::CONTENT_TYPE,
            header::AUTHORIZATION,
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
        ])
        // Or a page of another origin would not know when to try again.
        .expose_headers([header::RETRY_AFTER])
        .max_age(Duration::from_mins(10))
}
