//! Mint: create an access token for a session.

use std::time::Duration;

use super::{AuthMethod, Authority, Hybrid, Storing, Tokens};
use crate::clock::{Timestamp, draw};
use crate::store::StoreError;
use crate::token::access::NewClaims;
use crate::token::id::{AccessTokenId, Generation};
use crate::token::refresh::RefreshToken;
use crate::token::session::Session;
use crate::token::session_token::SessionClaims;

/// A new access token and its end.
pub(super) struct Access {
    pub(super) token: String,
    pub(super) expires_at: Timestamp,
    pub(super) method: AuthMethod,
}

impl Authority {
    /// Mints an access token of the session's kind, to be issued with the refresh token of that
    /// generation. It never outlives its session or its key. Its `iat` is rounded down, so that no
    /// verifier finds it in the future.
    pub(super) fn mint(
        &self,
        session: &Session,
        generation: Generation,
        now: Timestamp,
    ) -> Result<Access, StoreError> {
        match (session.auth_method, &self.hybrid) {
            (AuthMethod::Session, Some(hybrid)) => {
                Ok(self.mint_session_token(hybrid, session, generation, now))
            }
            _ => self.mint_jwt(session, generation, now),
        }
    }

    /// Draws a new token's id and computes its `iat` and its end by the access lifetime.
    fn begin(
        &self,
        session: &Session,
        generation: Generation,
        now: Timestamp,
    ) -> (AccessTokenId, i64, Timestamp) {
        let id = AccessTokenId::new(generation, session.epoch, draw(&*self.entropy));
        let id = if session.is_device_bound() { id.device_bound() } else { id };
        let issued_at = now.as_seconds();
        (id, issued_at, Timestamp::from_seconds(issued_at) + self.policy.access_lifetime)
    }

    fn mint_session_token(
        &self,
        hybrid: &Hybrid,
        session: &Session,
        generation: Generation,
        now: Timestamp,
    ) -> Access {
        let (id, issued_at, wanted) = self.begin(session, generation, now);
        let expires_at = wanted.min(session.expires_at).as_seconds();
        let claims = SessionClaims { session_id: session.id, id, issued_at, expires_at };
        Access {
            token: hybrid.keys.mint(claims),
            expires_at: Timestamp::from_seconds(expires_at),
            method: AuthMethod::Session,
        }
    }

    /// Mints a JWT even if the session's kind is another one.
    pub(super) fn mint_jwt(
        &self,
        session: &Session,
        generation: Generation,
        now: Timestamp,
    ) -> Result<Access, StoreError> {
        let (id, issued_at, wanted) = self.begin(session, generation, now);
        let no_key = || StoreError::Unavailable("there is no key to sign with".into());
        let signer = self.keys.signer(now).ok_or_else(no_key)?;
        let latest = signer.latest_end(Timestamp::from_seconds(issued_at));
        let expires_at = wanted.min(session.expires_at).min(latest.unwrap_or(wanted)).as_seconds();
        let claims = NewClaims {
            user_id: &session.user_id,
            session_id: session.id,
            id,
            issued_at,
            expires_at,
            issuer: self.policy.issuer.as_deref(),
            grant: &session.grant,
        };
        let payload = serde_json::to_vec(&claims).map_err(|_| {
            StoreError::Inconsistent("a session's claims cannot be written as JSON".into())
        })?;
        Ok(Access {
            token: signer.sign(&payload).map_err(|_| no_key())?,
            expires_at: Timestamp::from_seconds(expires_at),
            method: AuthMethod::Jwt,
        })
    }

    /// Assembles the tokens for the client.
    pub(super) fn hand_out(
        access: Access,
        refresh_token: &RefreshToken,
        session: &Session,
        now: Timestamp,
    ) -> Tokens {
        Tokens {
            access_token: access.token,
            expires_in: whole_seconds(access.expires_at, now),
            refresh_token: refresh_token.expose(),
            refresh_expires_in: whole_seconds(session.expires_at, now),
            session_id: session.id,
            user_id: session.user_id.clone(),
            auth_method: access.method,
            persistent: session.persistent,
            shadow: None,
            storing: Storing::Due,
            device_challenge: None,
        }
    }
}

/// Computes the time from `now` to `then` in whole seconds, rounded up: `iat` was rounded down, so
/// the exact difference is a fraction of a second less than the lifetime.
fn whole_seconds(then: Timestamp, now: Timestamp) -> Duration {
    Duration::from_secs((then.since(now) + Duration::from_micros(999_999)).as_secs())
}
