//! A login's first tokens, kept for ten minutes so that its retry gets the same ones.
//!
//! They are sealed under the request's id, which only the caller knows: the database keeps a hash
//! of it. Both are bound to the caller and the user, so that nobody else's id opens them.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::mint::Access;
use super::{AuthorityError, RefreshRefusal, Tokens};
use crate::clock::Timestamp;
use crate::store::{OpenRequest, OpenedBefore};
use crate::token::field::InvalidField;
use crate::token::id::{Generation, RequestId, SessionId, UserId};
use crate::token::method::AuthMethod;
use crate::token::refresh::{RefreshToken, TokenHash};
use crate::token::seal::{self, Purpose};
use crate::token::session_token;

/// How long a login's first tokens are kept.
pub(super) const KEPT: Duration = Duration::from_mins(10);

/// A login that may be retried: by whom, for whom, under which id.
pub(super) struct Retryable(Vec<u8>);

impl Retryable {
    pub(super) fn new(caller: &str, user_id: &UserId, request_id: &RequestId) -> Self {
        let mut name = request_id.as_bytes().to_vec();
        for part in [caller, user_id.as_str()] {
            name.extend_from_slice(&(part.len() as u64).to_be_bytes());
            name.extend_from_slice(part.as_bytes());
        }
        Self(name)
    }

    /// Under which it is stored.
    fn key(&self) -> String {
        let hash = Sha256::new_with_prefix(b"token-authority/request/v1").chain_update(&self.0);
        TokenHash::from(<[u8; 32]>::from(hash.finalize())).to_hex()
    }

    /// Seals its first tokens.
    pub(super) fn seal(
        &self,
        id: SessionId,
        refresh: &RefreshToken,
        access: &Access,
        nonce: [u8; 12],
    ) -> OpenRequest {
        let mut plain = refresh.secret().to_vec();
        plain.extend_from_slice(&access.expires_at.as_seconds().to_be_bytes());
        plain.extend_from_slice(access.token.as_bytes());
        let sealed = seal::seal(Purpose::FirstTokens, &self.0, id, &plain, nonce);
        OpenRequest { key: self.key(), sealed }
    }

    /// Hands out an earlier login's first tokens again.
    pub(super) fn replay(
        &self,
        before: OpenedBefore,
        now: Timestamp,
    ) -> Result<Tokens, AuthorityError> {
        let session = &before.session;
        if session.revoked.is_some() {
            return Err(RefreshRefusal::Revoked.into());
        }
        if now >= session.expires_at {
            return Err(RefreshRefusal::Expired.into());
        }
        let sealed = before.sealed.filter(|_| now.since(session.created_at) < KEPT);
        let opened = sealed
            .and_then(|sealed| seal::open(Purpose::FirstTokens, &self.0, session.id, &sealed))
            .and_then(|plain| read(&plain));
        let Some((secret, access)) = opened else {
            return Err(InvalidField::new(
                "request_id",
                "was used more than ten minutes ago; every login needs a new one",
            )
            .into());
        };
        let refresh =
            RefreshToken::mint(&session.lineage.key, session.id, Generation::FIRST, secret);
        Ok(super::Authority::hand_out(access, &refresh, session, now))
    }
}

fn read(plain: &[u8]) -> Option<([u8; 32], Access)> {
    let (secret, rest) = plain.split_first_chunk::<32>()?;
    let (expires_at, token) = rest.split_first_chunk::<8>()?;
    let token = std::str::from_utf8(token).ok()?.to_owned();
    let expires_at = Timestamp::from_seconds(i64::from_be_bytes(*expires_at));
    // A session token says so itself; whatever holds by now, a retry gets what was handed out.
    let opaque = session_token::is_named(&token);
    let method = if opaque { AuthMethod::Session } else { AuthMethod::Jwt };
    Some((*secret, Access { token, expires_at, method }))
}
