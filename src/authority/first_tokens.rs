//! A login's first tokens. They are stored for ten minutes, so that a retry gets the same tokens.
//!
//! They are sealed under the request's id and the service's secret. The database stores only a hash
//! of the id. The hash and the seal include the caller and the user, so the same id from another caller
//! opens nothing.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::mint::Access;
use super::{AuthorityError, RefreshRefusal, Tokens};
use crate::clock::Timestamp;
use crate::keys::FirstTokenKeys;
use crate::store::{OpenRequest, OpenedBefore};
use crate::token::field::InvalidField;
use crate::token::id::{Generation, RequestId, SessionId, UserId};
use crate::token::method::AuthMethod;
use crate::token::refresh::{RefreshToken, TokenHash};
use crate::token::seal::{self, Purpose, Sealed};
use crate::token::session_token;

/// How long a login's first tokens are stored.
pub(super) const KEPT: Duration = Duration::from_mins(10);

/// The identity of a login that may be retried: its caller, its user and its request id.
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

    /// Computes the key under which the login is stored.
    fn key(&self) -> String {
        let hash = Sha256::new_with_prefix(b"token-authority/request/v1").chain_update(&self.0);
        TokenHash::from(<[u8; 32]>::from(hash.finalize())).to_hex()
    }

    /// Seals the first tokens.
    pub(super) fn seal(
        &self,
        keys: Option<&FirstTokenKeys>,
        session_id: SessionId,
        tokens: (&RefreshToken, &Access),
        nonce: [u8; 12],
    ) -> OpenRequest {
        let (refresh, access) = tokens;
        let mut plain = refresh.secret().to_vec();
        plain.extend_from_slice(&access.expires_at.as_seconds().to_be_bytes());
        plain.extend_from_slice(access.token.as_bytes());
        let secret = keys.map_or_else(|| self.0.clone(), |keys| keys.sealing_secret(&self.0));
        let sealed = seal::seal(Purpose::FirstTokens, &secret, session_id, &plain, nonce);
        OpenRequest { key: self.key(), sealed }
    }

    fn open(
        &self,
        keys: Option<&FirstTokenKeys>,
        session_id: SessionId,
        sealed: &Sealed,
    ) -> Option<Vec<u8>> {
        let secrets = keys.into_iter().flat_map(|keys| keys.opening_secrets(&self.0));
        // The previous version, which may have stored the login, sealed under the name alone.
        secrets
            .chain([self.0.clone()])
            .find_map(|secret| seal::open(Purpose::FirstTokens, &secret, session_id, sealed))
    }

    /// Returns the first tokens of an earlier login again.
    pub(super) fn replay(
        &self,
        keys: Option<&FirstTokenKeys>,
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
            .and_then(|sealed| self.open(keys, session.id, &sealed))
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
    // The text shows its kind. A retry gets the same token even if the roll-out changed since.
    let opaque = session_token::is_named(&token);
    let method = if opaque { AuthMethod::Session } else { AuthMethod::Jwt };
    Some((*secret, Access { token, expires_at, method }))
}
