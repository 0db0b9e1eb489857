//! `token-authority try`: runs the whole life of a token against the running service on this machine.
//!
//! 1. `IssueTokens`: a login.
//! 2. `ValidateToken`: what a backend does with each request.
//! 3. `POST /api/auth/refresh` with the cookie: what a browser does.
//! 4. `RefreshAccessToken`: the same over gRPC.
//! 5. `RevokeRefreshToken`: a logout.
//! 6. `ValidateToken`: the access token is revoked now.
//! 7. `RefreshAccessToken`: the refresh token is revoked now.

use std::io::Write as _;

use clap::{Arg, ArgAction, ArgMatches, Command};
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{api_key, channel};
use crate::app::inspect::reachable;
use crate::config::Config;
use crate::transport::callers::api_key::ApiKey;
use crate::transport::callers::roles::REFRESH;
use crate::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use crate::transport::proto::v1::{
    InactiveReason, IssueTokensRequest, RefreshAccessTokenRequest, RevokeRefreshTokenRequest,
    ValidateTokenRequest, ValidateTokenResponse,
};

/// The maximum size of an HTTP response.
const MAX_RESPONSE: usize = 64 * 1024;

pub(super) fn command() -> Command {
    let user = Arg::new("user")
        .long("user")
        .value_name("USER")
        .default_value("try")
        .help("The id of the user who logs in");
    let login = Arg::new("login")
        .long("login")
        .action(ArgAction::SetTrue)
        .help("Only log in, and print the tokens as JSON");
    Command::new("try")
        .about("Run the whole life of a token against the service on this machine")
        .after_help(
            "The service is found by GRPC_ADDR and HTTP_ADDR. If it has a callers file, the caller \
             needs the roles issuer, adapter and verifier.",
        )
        .args([user, api_key::argument(), login])
}

pub(super) async fn run(config: Config, matches: &ArgMatches) -> Result<(), String> {
    let user = matches.get_one::<String>("user").cloned().unwrap_or_default();
    let key = api_key::read(matches)?;
    let address = reachable(config.grpc_addr);
    let encrypted = config.network.tls.is_some();
    let channel = channel::grpc(address, encrypted).await.map_err(|error| {
        format!(
            "{error}: start the service with `token-authority`, or set GRPC_ADDR to its address"
        )
    })?;
    let client = TokenAuthorityServiceClient::with_interceptor(channel, key);
    if matches.get_flag("login") {
        return login(client, &user).await;
    }
    Life { client, config, encrypted, step: 0 }.run(&user).await
}

type Client = TokenAuthorityServiceClient<InterceptedService<Channel, ApiKey>>;

async fn login(mut client: Client, user: &str) -> Result<(), String> {
    let request = IssueTokensRequest { user_id: user.to_owned(), ..Default::default() };
    let issued = client.issue_tokens(request).await;
    let issued = issued.map_err(|status| explain("IssueTokens", &status))?.into_inner();
    let text = json!({
        "accessToken": issued.access_token,
        "refreshToken": issued.refresh_token,
        "sessionId": issued.session_id,
    });
    say(&format!("{text:#}\n"))
}

fn say(text: &str) -> Result<(), String> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}

/// Returns the status with its reason and, for callers' faults, the remedy.
fn explain(call: &str, status: &Status) -> String {
    let reason = reason(status).unwrap_or_default();
    let remedy = match status.code() {
        Code::Unauthenticated if reason == "CALLER_UNAUTHENTICATED" => {
            "; the service has a callers file: create a caller with `token-authority callers add \
             try --role issuer,adapter,verifier` and pass its key with --api-key-file"
        }
        Code::PermissionDenied => "; the caller needs the roles issuer, adapter and verifier",
        Code::Unavailable => "; `token-authority doctor` checks the database",
        _ => "",
    };
    format!("{call} failed: {} {reason}: {}{remedy}", status.code(), status.message())
}

fn reason(status: &Status) -> Option<String> {
    Some(status.get_details_error_info()?.reason)
}

/// The life of a token, step by step.
struct Life {
    client: Client,
    config: Config,
    encrypted: bool,
    step: u8,
}

impl Life {
    fn done(&mut self, what: &str, outcome: &str) -> Result<(), String> {
        self.step += 1;
        say(&format!("{}. {what}\n   {outcome}\n", self.step))
    }

    async fn run(mut self, user: &str) -> Result<(), String> {
        let request = IssueTokensRequest { user_id: user.to_owned(), ..Default::default() };
        let issued = self.client.issue_tokens(request).await;
        let issued = issued.map_err(|status| explain("IssueTokens", &status))?.into_inner();
        let session = &issued.session_id;
        let kind = issued.auth_method().as_str_name();
        let outcome = format!("session {session}, an access token ({kind}) and a refresh token");
        self.done(&format!("{user} logs in (IssueTokens)"), &outcome)?;

        let seen = self.validate(&issued.access_token).await?;
        expect("ValidateToken", seen.active && seen.user_id == user, "the token is not active")?;
        let outcome = format!("active, user {}", seen.user_id);
        self.done("A backend checks the access token (ValidateToken)", &outcome)?;

        let refresh_token = self.refresh_as_browser(&issued.refresh_token).await?;
        let (access_token, refresh_token) = self.refresh(refresh_token).await?;

        let request = RevokeRefreshTokenRequest { refresh_token: refresh_token.clone() };
        let revoked = self.client.revoke_refresh_token(request).await;
        revoked.map_err(|status| explain("RevokeRefreshToken", &status))?;
        self.done("The user logs out (RevokeRefreshToken)", "the session is over")?;

        let seen = self.validate(&access_token).await?;
        let is_revoked = seen.inactive_reason() == InactiveReason::Revoked;
        expect("ValidateToken", !seen.active && is_revoked, "a revoked token is still active")?;
        let outcome = format!("inactive, {}", seen.inactive_reason().as_str_name());
        self.done("A backend checks the access token again (ValidateToken)", &outcome)?;

        let request = RefreshAccessTokenRequest { refresh_token, ..Default::default() };
        let refused = self.client.refresh_access_token(request).await;
        let refused = refused.err().and_then(|status| reason(&status)).unwrap_or_default();
        let is_revoked = refused == "REFRESH_TOKEN_REVOKED";
        expect("RefreshAccessToken", is_revoked, "a revoked refresh token was accepted")?;
        let what = "Somebody tries the refresh token again (RefreshAccessToken)";
        self.done(what, &format!("refused, {refused}"))
    }

    async fn validate(&mut self, token: &str) -> Result<ValidateTokenResponse, String> {
        let request = ValidateTokenRequest { token: token.to_owned(), ..Default::default() };
        let seen = self.client.validate_token(request).await;
        seen.map(tonic::Response::into_inner).map_err(|status| explain("ValidateToken", &status))
    }

    /// Returns the refresh token that the browser holds afterwards.
    async fn refresh_as_browser(&mut self, refresh_token: &str) -> Result<String, String> {
        let name = self.config.browser.cookie.name.clone();
        let call = "POST /api/auth/refresh";
        let answer = self.post(REFRESH.path(), &format!("{name}={refresh_token}")).await;
        let answer = answer.map_err(|error| format!("{call} failed: {error}"))?;
        let status = answer.status();
        let cookies = answer.headers().get_all(header::SET_COOKIE).iter();
        let cookie = cookies.filter_map(|cookie| cookie.to_str().ok()).find_map(|cookie| {
            let (value, _) = cookie.strip_prefix(&name)?.strip_prefix('=')?.split_once(';')?;
            Some(value.to_owned())
        });
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let is_good = status.is_success() && body["accessToken"].is_string();
        expect(call, is_good, &format!("the answer was {status}"))?;
        let outcome = match cookie {
            Some(_) => format!("{status}, a new access token and a new cookie"),
            None => format!("{status}, a new access token; the cookie stays"),
        };
        self.done(&format!("A page refreshes with its cookie ({call})"), &outcome)?;
        Ok(cookie.unwrap_or_else(|| refresh_token.to_owned()))
    }

    async fn refresh(&mut self, refresh_token: String) -> Result<(String, String), String> {
        let request = RefreshAccessTokenRequest { refresh_token, ..Default::default() };
        let renewed = self.client.refresh_access_token(request).await;
        let renewed = renewed.map_err(|status| explain("RefreshAccessToken", &status))?;
        let renewed = renewed.into_inner();
        let what = "A client refreshes over gRPC (RefreshAccessToken)";
        self.done(what, "a new access token")?;
        Ok((renewed.access_token, renewed.refresh_token))
    }

    async fn post(&self, path: &str, cookie: &str) -> Result<http::Response<Vec<u8>>, String> {
        let address = reachable(self.config.http_addr);
        let request = Request::post(path)
            .header(header::HOST, address.to_string())
            .header(header::COOKIE, cookie)
            .body(Empty::<bytes::Bytes>::new())
            .map_err(|error| error.to_string())?;
        if self.encrypted {
            let stream = channel::tls(address, b"http/1.1").await;
            send(stream.map_err(|error| format!("{address}: {error}"))?, request).await
        } else {
            let stream = TcpStream::connect(address).await;
            send(stream.map_err(|error| format!("{address}: {error}"))?, request).await
        }
    }
}

async fn send(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<bytes::Bytes>>,
) -> Result<http::Response<Vec<u8>>, String> {
    let text = |error: hyper::Error| error.to_string();
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let driving = tokio::spawn(connection);
    let (parts, body) = client.send_request(request).await.map_err(text)?.into_parts();
    let body = Limited::new(body, MAX_RESPONSE).collect().await;
    driving.abort();
    let body = body.map_err(|error| error.to_string())?.to_bytes().to_vec();
    Ok(http::Response::from_parts(parts, body))
}

fn expect(call: &str, is_so: bool, otherwise: &str) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(format!("{call}: unexpected answer: {otherwise}")) }
}
