//! The HTTP port: the browser's adapter, OAuth 2's endpoints, public documents, and health.
//!
//! The adapter is a client of the gRPC service in this process. It moves cookie ↔ field and
//! status ↔ status, so HTTP cannot drift from gRPC.
//!
//! * `auth`: refresh and logout by cookie; `cookie`, `choice`, `origin` and `allowed_origins` are
//!   its parts
//! * `device`: bind a session to a browser's device key; `bound_cookie` is the part that a refresh needs
//! * `sessions`: a user's own sessions, as a page or JSON; `viewer` decides whose, `accept` in which
//!   form
//! * `start`: the start page of development; `local` decides who sees it
//! * `pages`: the pages for people
//! * `token`, `oauth`: the token endpoint, introspection and revocation; `form` is what they share
//! * `well_known`: the public keys and the metadata
//! * `health`: liveness and readiness

mod accept;
mod allowed_origins;
mod auth;
mod bound_cookie;
mod choice;
mod cookie;
mod device;
mod form;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod health;
mod local;
mod oauth;
mod origin;
mod pages;
mod sessions;
mod start;
mod token;
mod viewer;
mod well_known;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::{HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::callers::gate::AuthGate;
use super::callers::in_process::InProcess;
use super::callers::roles;
use super::callers::route_builder::RouteBuilder;
use super::grpc::{GrpcStack, TokensInProcess};
use super::observe::{Kind, ObserveLayer, RequestObservers};

use crate::authority::Authority;

pub use allowed_origins::{AllowedOrigins, NoOrigin, OriginPattern};
pub use cookie::{CookieSettings, SameSite};
pub(crate) use form::Form;
pub use health::{Readiness, Ready};
pub(crate) use local::LocalRequest;
pub use pages::{AccentColor, BackUrl, NoBackUrl, NoColor, PagesSettings};
pub(crate) use pages::{Frame, When, in_words as device_in_words};
pub use start::StartSettings;
pub use well_known::WellKnownSettings;

/// The header in which a page names its session: the `sid` of its last access token. If a browser
/// sends several refresh cookies, the token of that session is used.
const SESSION_ID: &str = "x-session-id";

/// The settings of the HTTP port.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The settings for browsers.
    pub browser: BrowserSettings,
    /// The settings of the pages for users.
    pub pages: PagesSettings,
    /// The start page. `None`: `GET /` says in one line what the service is.
    pub start: Option<StartSettings>,
    /// The settings of the public documents.
    pub well_known: WellKnownSettings,
}

/// The adapter's settings for browsers.
#[derive(Debug, Clone)]
pub struct BrowserSettings {
    /// The refresh token's cookie.
    pub cookie: CookieSettings,
    /// The cookie that shows the device of a bound session. `None`: device-bound sessions are off.
    pub bound_cookie: Option<CookieSettings>,
    /// The other origins that may call with credentials.
    pub origins: AllowedOrigins,
}

/// Builds all routes of the HTTP port, behind the gate. `rpcs` is the gRPC service.
pub fn routes(
    rpcs: GrpcStack,
    settings: HttpSettings,
    authority: &Arc<Authority>,
    readiness: Arc<dyn Readiness>,
    gate: Arc<AuthGate>,
    observers: Arc<RequestObservers>,
) -> Router {
    let HttpSettings { browser, pages, start, well_known } = settings;
    let cors = cors(&browser.origins);
    let client = TokensInProcess::new(InProcess(rpcs));
    let endpoints = oauth::Endpoints::new(client.clone(), Arc::clone(authority));
    let documents = well_known::Documents::new(Arc::clone(authority), well_known);
    let events = Arc::clone(&observers.meter);
    let adapter = auth::Adapter::new(client, Arc::clone(authority), browser, events);
    let start = start.map(|start| start::Start::new(Arc::clone(&adapter), pages.clone(), start));
    let pages = if start.is_some() { pages.or_start_page() } else { pages };
    let user_sessions = sessions::UserSessions::new(Arc::clone(&adapter), pages);
    let routes = with_start_page(RouteBuilder::new(gate, cors), start);
    with_devices(routes, &adapter)
        .route(&roles::REFRESH, auth::refresh, Arc::clone(&adapter))
        .route(&roles::LOGOUT, auth::logout, adapter)
        .route(&roles::SESSIONS, sessions::list, Arc::clone(&user_sessions))
        .route(&roles::REVOKE_SESSION, sessions::revoke, Arc::clone(&user_sessions))
        .route(&roles::REVOKE_OTHERS, sessions::revoke_others, user_sessions)
        .route(&roles::JWKS, well_known::key_set, Arc::clone(&documents))
        .route(&roles::METADATA, well_known::metadata, Arc::clone(&documents))
        .route(&roles::METADATA_OF_PATH, well_known::metadata_of_path, Arc::clone(&documents))
        .route(&roles::OPENID_METADATA, well_known::metadata, Arc::clone(&documents))
        .route(&roles::OPENID_METADATA_OF_PATH, well_known::metadata_of_path, documents)
        .route(&roles::TOKEN, token::exchange, Arc::clone(&endpoints))
        .route(&roles::INTROSPECT, oauth::introspect, Arc::clone(&endpoints))
        .route(&roles::REVOKE, oauth::revoke, endpoints)
        .route(&roles::HEALTHZ, health::live, ())
        .route(&roles::READYZ, health::ready, readiness)
        .into_router()
        .layer(ObserveLayer(Kind::Http, observers))
}

/// Serves the start page, or says at its address what the service is.
fn with_start_page(routes: RouteBuilder, start: Option<Arc<start::Start>>) -> RouteBuilder {
    match start {
        Some(start) => routes
            .route(&roles::START, start::intro, Arc::clone(&start))
            .route(&roles::LIFE, start::life, Arc::clone(&start))
            .route(&roles::LIFE_STEP, start::step, start),
        None => routes.route(&roles::START, start::about, ()),
    }
}

/// Serves the routes of device-bound sessions, if they are on.
fn with_devices(routes: RouteBuilder, adapter: &Arc<auth::Adapter>) -> RouteBuilder {
    if adapter.settings.bound_cookie.is_none() {
        return routes;
    }
    routes.route(&roles::REGISTER_DEVICE, device::register, Arc::clone(adapter)).route(
        &roles::RENEW_DEVICE,
        device::renew,
        Arc::clone(adapter),
    )
}

/// Lets pages of the allowed origins call with credentials. All request headers are accepted,
/// because libraries add their own (tracing, cache control). A page that may use the cookie gains
/// nothing by them, and any other page gets no permission at all.
fn cors(origins: &AllowedOrigins) -> CorsLayer {
    let allowed = origins.clone();
    let is_allowed = move |origin: &HeaderValue, _: &http::request::Parts| {
        origin.to_str().is_ok_and(|origin| allowed.allows(origin))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(is_allowed))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        // Without this, a page of another origin could not read when to try again.
        .expose_headers([header::RETRY_AFTER])
        .max_age(Duration::from_mins(10))
}
