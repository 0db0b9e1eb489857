//! The client: issue, refresh and revoke tokens, see and end sessions.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use crate::error::{ClientError, TokenError};
use crate::identity::{Identity, Method, moment};
use crate::remote::{judged, to_struct};
use crate::target::{Credential, Target};
use crate::unsent::was_never_sent;
use crate::v1;
use crate::v1::session_service_client::SessionServiceClient;
use crate::v1::token_authority_service_client::TokenAuthorityServiceClient;

pub use crate::v1::ClientInfo;

const TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const PAGE: i32 = 100;
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);

type Intercepted = InterceptedService<Channel, Credential>;

/// Calls the service. Clones share a connection. Calls are tried again where that is safe.
#[derive(Debug, Clone)]
pub struct Client {
    tokens: TokenAuthorityServiceClient<Intercepted>,
    pub(crate) sessions: SessionServiceClient<Intercepted>,
}

/// A login: who, and for what the tokens are.
#[derive(Debug, Clone, Default)]
pub struct Issue {
    /// The user's id, 1 to 255 bytes.
    pub user_id: String,
    /// Whom the access tokens are meant for.
    pub audience: Vec<String>,
    /// What they may be used for.
    pub scopes: Vec<String>,
    /// Further claims of every access token of the session.
    pub claims: Map<String, Value>,
    /// The device, for the user's list of sessions.
    pub client: ClientInfo,
    /// An id of this login, if you try it again by yourself. `None`: a new one.
    pub request_id: Option<Uuid>,
    /// How long the session lives after its last refresh. `None`: as long as the service's settings say,
    /// which is also the longest.
    pub refresh_lifetime: Option<Duration>,
    /// How long the session lives after this login, however it is used. `None`: as above.
    pub max_lifetime: Option<Duration>,
    /// `Some(false)`: the refresh token's cookie ends with the browser's session, after each refresh too.
    /// `None`: the browser keeps it.
    pub persistent: Option<bool>,
}

impl Issue {
    /// A login of that user, with nothing else said.
    #[must_use]
    pub fn for_user(user_id: impl Into<String>) -> Self {
        Self { user_id: user_id.into(), ..Self::default() }
    }
}

/// What a login or a refresh hands out. Does not print its secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// For `Authorization: Bearer`. Secret: never log it.
    pub access_token: String,
    /// How long the access token lives from now.
    pub expires_in: Duration,
    /// The refresh token to hold from now on: keep it in an `HttpOnly` cookie. Secret: never log it.
    pub refresh_token: String,
    /// How long the refresh token lives from now if it is not used.
    pub refresh_expires_in: Duration,
    /// The session's id, the access token's `sid`.
    pub session_id: String,
    /// The user's id. Empty: the answer of an older service, which does not tell it.
    pub user_id: String,
    /// What kind of access token it is.
    pub method: Method,
    /// Whether a browser keeps the refresh token's cookie when it is closed. If not, set the cookie without
    /// `Max-Age` and `Expires`.
    pub persistent: bool,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("session_id", &self.session_id)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// One login on one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The session's id.
    pub session_id: String,
    /// The user's id.
    pub user_id: String,
    /// When the user logged in.
    pub created_at: SystemTime,
    /// When its tokens were last refreshed.
    pub last_used_at: SystemTime,
    /// When it ends if it is not used.
    pub expires_at: SystemTime,
    /// The device that logged in.
    pub client: ClientInfo,
}

impl Client {
    /// A client of that service. The connection is made with the first call.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        let (channel, credential) = (target.connect(), target.credential());
        Self {
            tokens: TokenAuthorityServiceClient::with_interceptor(
                channel.clone(),
                credential.clone(),
            ),
            sessions: SessionServiceClient::with_interceptor(channel, credential),
        }
    }

    /// Opens a session for a user who has just proven who they are, every factor included.
    ///
    /// # Errors
    /// Returns [`ClientError`] if the service refuses the call or cannot answer.
    pub async fn issue_tokens(&self, issue: Issue) -> Result<Tokens, ClientError> {
        // With an id of its own a login can be tried again: the retry gets the first try's session.
        let request_id = issue.request_id.unwrap_or_else(new_id).to_string();
        let request = v1::IssueTokensRequest {
            user_id: issue.user_id,
            audience: issue.audience,
            scopes: issue.scopes,
            claims: (!issue.claims.is_empty()).then(|| to_struct(issue.claims)),
            client: Some(issue.client),
            request_id,
            refresh_lifetime: issue.refresh_lifetime.map(lifetime),
            max_lifetime: issue.max_lifetime.map(lifetime),
            persistent: issue.persistent,
        };
        let call = async |request| self.tokens.clone().issue_tokens(request).await;
        let answer = retrying(request, call).await?;
        Ok(Tokens {
            access_token: answer.access_token,
            expires_in: duration(answer.expires_in),
            refresh_token: answer.refresh_token,
            refresh_expires_in: duration(answer.refresh_expires_in),
            session_id: answer.session_id,
            user_id: answer.user_id,
            method: method(answer.auth_method),
            persistent: answer.persistent.unwrap_or(true),
        })
    }

    /// Exchanges a refresh token for a new access token and the refresh token to hold from now on.
    ///
    /// # Errors
    /// Returns [`ClientError::RefreshToken`] if the session is over.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Tokens, ClientError> {
        let request = v1::RefreshAccessTokenRequest {
            refresh_token: refresh_token.to_owned(),
            ..Default::default()
        };
        let call = async |request| self.tokens.clone().refresh_access_token(request).await;
        let answer = retrying(request, call).await?;
        Ok(Tokens {
            access_token: answer.access_token,
            expires_in: duration(answer.expires_in),
            refresh_token: answer.refresh_token,
            refresh_expires_in: duration(answer.refresh_expires_in),
            session_id: answer.session_id,
            user_id: answer.user_id,
            method: method(answer.auth_method),
            persistent: answer.persistent.unwrap_or(true),
        })
    }

    /// Ends the session of a refresh token: a logout. Doing it again changes nothing.
    ///
    /// # Errors
    /// Returns [`ClientError`] if the service refuses the call or cannot answer.
    pub async fn revoke(&self, refresh_token: &str) -> Result<(), ClientError> {
        let request = v1::RevokeRefreshTokenRequest { refresh_token: refresh_token.to_owned() };
        let call = async |request| self.tokens.clone().revoke_refresh_token(request).await;
        retrying(request, call).await.map(drop)
    }

    /// Has the service judge an access token. A backend asks a [`crate::Verifier`], which seldom needs a
    /// call.
    ///
    /// # Errors
    /// Returns [`ClientError`] if the service refuses the call or cannot answer. The inner result is the
    /// verdict.
    pub async fn validate(
        &self,
        token: &str,
        audience: Option<&str>,
    ) -> Result<Result<Identity, TokenError>, ClientError> {
        let audience = audience.unwrap_or_default().to_owned();
        let request = v1::ValidateTokenRequest { token: token.to_owned(), audience };
        let call = async |request| self.tokens.clone().validate_token(request).await;
        Ok(judged(retrying(request, call).await?))
    }

    /// Lists a user's live sessions, newest first.
    ///
    /// # Errors
    /// Returns [`ClientError`] if the service refuses the call or cannot answer.
    pub async fn list_sessions(&self, user_id: &str) -> Result<Vec<Session>, ClientError> {
        let (mut sessions, mut page_token) = (Vec::new(), String::new());
        loop {
            let user_id = user_id.to_owned();
            let request = v1::ListSessionsRequest { user_id, page_size: PAGE, page_token };
            let call = async |request| self.sessions.clone().list_sessions(request).await;
            let page = retrying(request, call).await?;
            sessions.extend(page.sessions.into_iter().map(session));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(sessions);
            }
        }
    }

    /// Ends one session. Doing it again changes nothing.
    ///
    /// # Errors
    /// Returns [`ClientError`] if the service refuses the call or cannot answer.
    pub async fn revoke_session(&self, session_id: &str) -> Result<(), ClientError> {
        let request = v1::RevokeSessionRequest { session_id: session_id.to_owned() };
        let call = async |request| self.sessions.clone().revoke_session(request).await;
        retrying(request, call).await.map(drop)
    }

    /// Ends all sessions of a user, but for one if you name it. Says how many were live.
    ///
    /// # Errors
    /// Returns [`ClientError`] if the service refuses the call or cannot answer.
    pub async fn revoke_user_sessions(
        &self,
        user_id: &str,
        except_session_id: Option<&str>,
    ) -> Result<u32, ClientError> {
        let request = v1::RevokeUserSessionsRequest {
            user_id: user_id.to_owned(),
            except_session_id: except_session_id.map(str::to_owned),
        };
        let call = async |request| self.sessions.clone().revoke_user_sessions(request).await;
        let count = retrying(request, call).await?.revoked_count;
        Ok(u32::try_from(count).unwrap_or_default())
    }
}

/// A random UUID. Without randomness it is nil, and the service refuses the login rather than mix up two.
fn new_id() -> Uuid {
    let mut bytes = [0; 16];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => uuid::Builder::from_random_bytes(bytes).into_uuid(),
        Err(_) => Uuid::nil(),
    }
}

/// Calls, and again if the replica that was asked went away. Every call here is safe to repeat. A call
/// that was never sent is repeated at once, but only the first time: the channel may not have noticed yet
/// that its connection has ended, and would fail every call that comes before.
pub(crate) async fn retrying<Q: Clone, A>(
    request: Q,
    call: impl AsyncFn(Request<Q>) -> Result<Response<A>, Status>,
) -> Result<A, ClientError> {
    let mut tried = 1;
    loop {
        let mut asked = Request::new(request.clone());
        asked.set_timeout(TIMEOUT);
        match call(asked).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) if tried == 1 && was_never_sent(&status) => tried += 1,
            Err(status) if tried < TRIES && may_be_repeated(&status) => {
                tokio::time::sleep(PAUSE * tried * tried).await;
                tried += 1;
            }
            Err(status) => return Err(status.into()),
        }
    }
}

fn may_be_repeated(status: &Status) -> bool {
    status.code() == Code::Unavailable || was_never_sent(status)
}

fn session(session: v1::Session) -> Session {
    let at = |time: Option<prost_types::Timestamp>| moment(time.unwrap_or_default().seconds);
    Session {
        session_id: session.session_id,
        user_id: session.user_id,
        created_at: at(session.created_at),
        last_used_at: at(session.last_used_at),
        expires_at: at(session.expires_at),
        client: session.client.unwrap_or_default(),
    }
}

/// Converts a lifetime. One that is too long for the message is too long for the service.
fn lifetime(lifetime: Duration) -> prost_types::Duration {
    let longest = prost_types::Duration { seconds: i64::MAX, nanos: 0 };
    prost_types::Duration::try_from(lifetime).unwrap_or(longest)
}

fn duration(duration: Option<prost_types::Duration>) -> Duration {
    Duration::try_from(duration.unwrap_or_default()).unwrap_or_default()
}

fn method(number: i32) -> Method {
    if number == v1::AuthMethod::Session as i32 { Method::Session } else { Method::Jwt }
}
