//! The HTTP port: the browser's adapter, and health.
//!
//! The adapter is a client of the gRPC service, in this process or over a channel: it only moves
//! cookie ↔ field and status ↔ status, so HTTP cannot drift from gRPC.

mod auth;
mod cookie;
mod health;
pub mod oauth;
mod origin;
mod well_known;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use http_body::Body;
use tonic::body::Body as GrpcBody;
use tonic::client::GrpcService;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::observe::{Kind, ObserveLayer};
use super::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;

pub use cookie::CookieSettings;
pub use health::{Readiness, Ready};
pub use origin::AllowedOrigins;
pub use well_known::{WellKnownSettings, routes as well_known};

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
}

/// All routes of the HTTP port. `client` is where the gRPC service is reached.
pub fn routes<C>(client: C, settings: BrowserSettings, readiness: Arc<dyn Readiness>) -> Router
where
    C: GrpcService<GrpcBody> + Clone + Send + Sync + 'static,
    C::Future: Send,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    C::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <C::ResponseBody as Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let cors = cors(&settings.origins);
    let client = TokenAuthorityServiceClient::new(client);
    let adapter = Arc::new(Adapter { client, settings });
    let browser = Router::new()
        .route("/api/auth/refresh", post(auth::refresh::<C>))
        .route("/api/auth/logout", post(auth::logout::<C>))
        .with_state(adapter)
        .layer(cors);
    let health = Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .with_state(readiness);
    browser.merge(health).layer(ObserveLayer(Kind::Http))
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
        .max_age(Duration::from_mins(10))
}
