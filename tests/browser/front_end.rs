//! A product's front end. It serves the page, and logs users in as the auth-server.

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use token_authority::transport::proto::v1::IssueTokensRequest;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use tokio::net::TcpListener;
use tonic::transport::Channel;

const PAGE: &str = include_str!("page.html");

/// A bound loopback port that does not serve yet.
#[derive(Debug)]
pub(crate) struct FrontEnd {
    listener: TcpListener,
    port: u16,
}

impl FrontEnd {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Serves the page until the test ends.
    pub(crate) fn serve(self, authority: TokenAuthorityServiceClient<Channel>) {
        let router = Router::new()
            .route("/", get(async || Html(PAGE)))
            .route("/login", post(log_in))
            .with_state(authority);
        tokio::spawn(axum::serve(self.listener, router).into_future());
    }
}

/// Sets the cookie as `docs/browsers.md` describes.
async fn log_in(
    State(mut authority): State<TokenAuthorityServiceClient<Channel>>,
    RawQuery(query): RawQuery,
) -> Response {
    let user_id = query.unwrap().strip_prefix("user=").unwrap().to_owned();
    let ask = IssueTokensRequest { user_id, ..Default::default() };
    let issued = authority.issue_tokens(ask).await.unwrap().into_inner();
    let (token, lifetime) = (issued.refresh_token, issued.refresh_expires_in.unwrap().seconds);
    let cookie = format!(
        "refreshToken={token}; HttpOnly; Secure; SameSite=Lax; Path=/api/auth; Max-Age={lifetime}"
    );
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}
