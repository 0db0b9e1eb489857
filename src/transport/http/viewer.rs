//! Decides whose sessions a request may list and end.
//!
//! 1. An access token in `Authorization: Bearer` (RFC 6750 section 2.1) is validated as
//!    `ValidateToken` does. If there is one, only it counts. Other schemes are ignored, because a
//!    proxy may require them.
//! 2. Without one, the refresh cookie is looked at. It is never used: nothing is rotated, and no
//!    session is revoked, whatever the cookie contains.
//!
//! If the browser sends several cookies, the best one is chosen as for a refresh. By the verdict that
//! a refresh would come to (`token/rotation.rs`):
//!
//! | verdict | the request |
//! |---|---|
//! | rotate, keep, young | is the user's |
//! | replay, remint | is the user's: the response with the successor may have been lost |
//! | theft | is refused as `reused`; the session is revoked if somebody refreshes with this token |
//! | revoked, expired | is refused with that reason |
//! | invalid, or no cookie | is refused as `invalid` |

use http::{HeaderMap, header};
use tonic::Status;

use super::auth::{self, Adapter};
use super::choice;
use crate::authority::RefreshRefusal;
use crate::token::id::{SessionId, UserId};
use crate::transport::proto::v1::ValidateTokenRequest;

/// A user who has proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Viewer {
    /// The user.
    pub(super) user_id: UserId,
    /// The session of the credential. `None`: it is a session of the auth-server.
    pub(super) session_id: Option<SessionId>,
    /// Whether the credential is the cookie.
    pub(super) by_cookie: bool,
}

/// Why a request has no user.
#[derive(Debug)]
pub(super) enum NoViewer {
    /// The cookie is missing or refused.
    Cookie(RefreshRefusal),
    /// The access token is not active, for this reason.
    Token(String),
    /// The credential could not be judged.
    Failed(Status),
}

impl Adapter {
    /// Returns the user of a request. `wanted`: the session whose cookie is preferred.
    pub(super) async fn viewer(
        &self,
        headers: &HeaderMap,
        wanted: Option<SessionId>,
    ) -> Result<Viewer, NoViewer> {
        match access_token(headers) {
            Some(token) => self.viewer_by_token(token).await,
            None => self.viewer_by_cookie(headers, wanted).await,
        }
    }

    async fn viewer_by_token(&self, token: &str) -> Result<Viewer, NoViewer> {
        let ask = ValidateTokenRequest { token: token.to_owned(), ..Default::default() };
        let seen = self.client.clone().validate_token(ask).await.map_err(NoViewer::Failed)?;
        let seen = seen.into_inner();
        if !seen.active {
            let name = seen.inactive_reason().as_str_name();
            let name = name.strip_prefix("INACTIVE_REASON_").unwrap_or(name);
            return Err(NoViewer::Token(name.to_ascii_lowercase().replace('_', "-")));
        }
        let user_id = UserId::new(seen.user_id).map_err(|error| NoViewer::Failed(error.into()))?;
        Ok(Viewer { user_id, session_id: seen.session_id.parse().ok(), by_cookie: false })
    }

    async fn viewer_by_cookie(
        &self,
        headers: &HeaderMap,
        wanted: Option<SessionId>,
    ) -> Result<Viewer, NoViewer> {
        let mut tokens = auth::parse(self.settings.cookie.read(headers).values);
        if tokens.is_empty() {
            return Err(NoViewer::Cookie(RefreshRefusal::Invalid));
        }
        choice::shortlist(&mut tokens, wanted);
        let mut examined = self.examine(&tokens).await.map_err(NoViewer::Failed)?;
        let chosen = self.choose(&examined, wanted).chosen;
        let best = examined.swap_remove(chosen);
        match (RefreshRefusal::of(best.verdict), best.login) {
            (None, Some(login)) => Ok(Viewer {
                user_id: login.user_id,
                session_id: Some(login.session_id),
                by_cookie: true,
            }),
            (refusal, _) => Err(NoViewer::Cookie(refusal.unwrap_or(RefreshRefusal::Invalid))),
        }
    }
}

/// Returns the access token of a request.
fn access_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_a_bearer_token_is_an_access_token() {
        let token = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            access_token(&headers).map(str::to_owned)
        };
        assert_eq!(token("Bearer a.b.c").as_deref(), Some("a.b.c"));
        assert_eq!(token("bearer  a.b.c ").as_deref(), Some("a.b.c"));
        assert_eq!(token("Basic c3RhZ2luZzpzdGFnaW5n"), None);
        assert_eq!(access_token(&HeaderMap::new()), None);
    }
}
