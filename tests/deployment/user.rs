//! A user of the product: a backend checks the access token again and again, and the user refreshes
//! it over gRPC or with the cookie.

use std::time::Instant;

use sha2::{Digest as _, Sha256};
use test_support::http::Http;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use token_authority::transport::proto::v1::{
    AuthMethod, RefreshAccessTokenRequest, ValidateTokenRequest,
};
use token_authority_client::was_never_sent;
use tonic::transport::Channel;

use crate::auth_server::Member;

pub(crate) type Client = TokenAuthorityServiceClient<Channel>;

/// Computes a user's bucket, as `docs/rollout.md` describes it.
pub(crate) fn bucket(user_id: &str) -> u8 {
    let digest = Sha256::digest(user_id);
    let bucket = u64::from_be_bytes(digest[..8].try_into().unwrap()) % 100;
    u8::try_from(bucket).unwrap()
}

/// Returns the kind of a token by its form.
pub(crate) fn looks(token: &str) -> Option<AuthMethod> {
    let jwt = token.starts_with("eyJ") && token.split('.').count() == 3;
    let session = token.starts_with("tas_");
    jwt.then_some(AuthMethod::Jwt).or(session.then_some(AuthMethod::Session))
}

/// How a user refreshes.
#[derive(Debug, Clone)]
pub(crate) enum Renewal {
    /// Through another service, over gRPC.
    Grpc(Client),
    /// In a browser, with the cookie.
    Cookie(Http),
}

/// A user of the product.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) member: Member,
    /// The backend that checks the access token: it is connected to one replica.
    backend: Client,
    renewals: Vec<Renewal>,
    /// The tokens since the session was moved.
    held: Option<Held>,
    renewed: usize,
}

/// Tokens of this service, and the way in which the user received them.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) access: String,
    refresh: String,
    pub(crate) method: AuthMethod,
    /// The time of the request for them.
    pub(crate) asked_at: Instant,
}

impl User {
    /// Creates a user who refreshes in each of these ways in turn.
    pub(crate) fn new(member: Member, backend: Client, renewals: Vec<Renewal>) -> Self {
        Self { member, backend, renewals, held: None, renewed: 0 }
    }

    /// Returns the user's tokens of this service.
    pub(crate) fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// Checks every token that the user has from Better Auth.
    pub(crate) async fn check_what_was_there_before(&mut self) -> Result<(), String> {
        for token in [self.member.token.clone(), self.member.cookie.clone()] {
            self.check(token, AuthMethod::Session).await?;
        }
        Ok(())
    }

    /// Checks the access token that was issued last.
    pub(crate) async fn check_access_token(&mut self) -> Result<(), String> {
        let held = self.held.clone().expect("the session was moved over");
        self.check(held.access, held.method).await
    }

    async fn check(&mut self, token: String, method: AuthMethod) -> Result<(), String> {
        let ask = ValidateTokenRequest { token, audience: String::new() };
        let mut said = self.backend.validate_token(ask.clone()).await;
        // The connection reached its maximum age at that moment.
        if said.as_ref().is_err_and(was_never_sent) {
            said = self.backend.validate_token(ask).await;
        }
        let said = said.map_err(|status| format!("{status:?}"))?.into_inner();
        let right = said.active
            && said.user_id == self.member.user_id
            && said.auth_method() == method
            && said.expires_at.is_some();
        if right { Ok(()) } else { Err(format!("of {}: {said:?}", self.member.user_id)) }
    }

    /// Moves the session.
    pub(crate) async fn move_over(&mut self, auth_server: &Http) -> Result<(), String> {
        let asked_at = Instant::now();
        let moved = self.member.move_over(auth_server).await?;
        self.take(moved.access, moved.refresh, asked_at)
    }

    /// Refreshes.
    pub(crate) async fn renew(&mut self) -> Result<(), String> {
        let asked_at = Instant::now();
        let refresh = self.held.as_ref().expect("the session was moved over").refresh.clone();
        let way = self.renewals[self.renewed % self.renewals.len()].clone();
        self.renewed += 1;
        let (access, refresh) = match way {
            Renewal::Grpc(client) => by_grpc(client, refresh).await?,
            Renewal::Cookie(http) => by_cookie(&http, refresh).await?,
        };
        self.take(access, refresh, asked_at)
    }

    fn take(&mut self, access: String, refresh: String, asked_at: Instant) -> Result<(), String> {
        let method = looks(&access).ok_or_else(|| format!("no access token: {access}"))?;
        self.held = Some(Held { access, refresh, method, asked_at });
        Ok(())
    }
}

async fn by_grpc(mut client: Client, refresh_token: String) -> Result<(String, String), String> {
    let ask = RefreshAccessTokenRequest { refresh_token, ..Default::default() };
    let mut given = client.refresh_access_token(ask.clone()).await;
    if given.as_ref().is_err_and(was_never_sent) {
        given = client.refresh_access_token(ask).await;
    }
    let given = given.map_err(|status| format!("{status:?}"))?.into_inner();
    if looks(&given.access_token) == Some(given.auth_method()) {
        Ok((given.access_token, given.refresh_token))
    } else {
        Err(format!("the token is not a {:?}, although the answer says so", given.auth_method()))
    }
}

async fn by_cookie(http: &Http, refresh: String) -> Result<(String, String), String> {
    let answer = http.refresh(&refresh).await;
    if answer.status != 200 {
        return Err(format!("a browser was refused: {} {}", answer.status, answer.body));
    }
    let access = answer.json()["accessToken"].as_str().unwrap_or_default().to_owned();
    Ok((access, answer.new_token().unwrap_or(refresh)))
}
