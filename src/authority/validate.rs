//! Validate: decide whether an access token is active, and whose it is.
//!
//! A JWT is judged without the database, in this order:
//! 1. Parse the token and verify its signature (RFC 7515), or find it in the verification cache.
//! 2. Check `exp`, `nbf` and `iat` (RFC 7519 section 4.1), the type and the audience.
//! 3. Check whether its session was revoked.
//! 4. Record the receipt of the refresh token from the same response.
//!
//! A session token is looked up in the database.

use std::sync::Arc;

use super::events::TokenEvents;
use super::inactive_reason::InactiveReason;
use super::question::Question;
use super::verified_token::VerifiedToken;
use super::{AuthMethod, Authority, AuthorityError, Hybrid, Legacy};
use crate::clock::Timestamp;
use crate::keys::key::Key;
use crate::store::{Receipt, StoreError};
use crate::token::access::Claims;
use crate::token::id::SessionId;
use crate::token::jws::Unverified;
use crate::token::session::Refused;
use crate::token::{legacy, session_token};

/// The verdict on a token. An inactive token is a verdict, not an error.
#[derive(Debug)]
pub enum Validation {
    /// The token is active.
    Active(Active),
    /// The token is not active.
    Inactive {
        /// Why.
        reason: InactiveReason,
        /// The kind of token that it appears to be.
        auth_method: AuthMethod,
    },
}

impl Validation {
    /// The kind of the token.
    #[must_use]
    pub const fn auth_method(&self) -> AuthMethod {
        match self {
            Self::Active(Active { auth_method, .. }) | Self::Inactive { auth_method, .. } => {
                *auth_method
            }
        }
    }
}

/// An active token.
#[derive(Debug)]
pub struct Active {
    verified: Arc<VerifiedToken>,
    /// The kind of the token.
    pub auth_method: AuthMethod,
}

impl Active {
    /// The token's claims.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.verified.claims
    }

    /// The token's session. `None`: it names none.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        self.verified.session_id
    }
}

/// The kind of token that a text appears to be, with what is needed to judge it.
enum Kind<'a> {
    Jwt,
    SessionToken(&'a Hybrid),
    Legacy(&'a Legacy),
}

impl Authority {
    /// Judges an access token. If `audience` is given, the token's `aud` must name it.
    ///
    /// # Errors
    /// Returns [`AuthorityError::Store`] if a look-up is needed and the store fails.
    pub async fn validate(
        &self,
        token: &str,
        audience: Option<&str>,
    ) -> Result<Validation, AuthorityError> {
        let asked = self.question(token, audience);
        let validation = self.judge(asked).await?;
        self.record_receipt(&validation, asked.now);
        Ok(validation)
    }

    /// Judges a JWT like [`Self::validate`], but only if its signature was verified before. Such a
    /// verdict takes little time on a thread.
    ///
    /// Returns `None` if the signature is still to be verified.
    ///
    /// # Errors
    /// Returns [`AuthorityError::Store`] if a look-up is needed and the store fails.
    pub async fn validate_verified(
        &self,
        token: &str,
        audience: Option<&str>,
    ) -> Result<Option<Validation>, AuthorityError> {
        let asked = self.question(token, audience);
        let Some(judged) = self.judge_verified_jwt(asked) else { return Ok(None) };
        let validation = self.conclude(asked, AuthMethod::Jwt, judged).await?;
        self.record_receipt(&validation, asked.now);
        Ok(Some(validation))
    }

    fn question<'a>(&'a self, token: &'a str, audience: Option<&'a str>) -> Question<'a> {
        Question { token, audience, now: self.clock.now(), events: &*self.events }
    }

    /// Returns the kind of token that a text appears to be.
    #[must_use]
    pub fn method_of(&self, token: &str) -> AuthMethod {
        match self.kind_of(token) {
            Kind::Jwt => AuthMethod::Jwt,
            Kind::SessionToken(_) | Kind::Legacy(_) => AuthMethod::Session,
        }
    }

    /// Judges like [`Self::validate`], but reports no event and records no receipt.
    pub(super) async fn judge(&self, asked: Question<'_>) -> Result<Validation, AuthorityError> {
        let (auth_method, judged) = match self.kind_of(asked.token) {
            Kind::SessionToken(hybrid) => {
                let judged = self.judge_session_token(hybrid, asked).await?;
                (AuthMethod::Session, judged.map(|claims| Arc::new(VerifiedToken::of(claims))))
            }
            Kind::Legacy(legacy) => {
                let judged = Self::judge_legacy_token(legacy, asked).await?;
                (AuthMethod::Session, judged.map(|claims| Arc::new(VerifiedToken::of(claims))))
            }
            Kind::Jwt => (AuthMethod::Jwt, self.judge_jwt(asked)),
        };
        self.conclude(asked, auth_method, judged).await
    }

    /// Completes a verdict with two checks that need more than the token and its key: whether the keys are
    /// loaded, and whether a JWT's session was revoked or the JWT is stale.
    async fn conclude(
        &self,
        asked: Question<'_>,
        auth_method: AuthMethod,
        judged: Result<Arc<VerifiedToken>, InactiveReason>,
    ) -> Result<Validation, AuthorityError> {
        asked.events.validated(auth_method, self.clock.now().since(asked.now));
        let verified = match judged {
            Ok(verified) => verified,
            Err(InactiveReason::UnknownKey)
                if auth_method == AuthMethod::Jwt && !self.keys.is_loaded() =>
            {
                // The keys could not be loaded yet. The token's key may be among them.
                return Err(StoreError::Unavailable("the keys are not loaded yet".into()).into());
            }
            Err(reason) => return Ok(Validation::Inactive { reason, auth_method }),
        };
        // Session tokens need no revocation check here: `judge_session_token` has just read the
        // session's row.
        if auth_method == AuthMethod::Jwt
            && let Some(reason) = self.refused(&verified, asked.events).await?
        {
            return Ok(Validation::Inactive { reason, auth_method });
        }
        Ok(Validation::Active(Active { verified, auth_method }))
    }

    /// Returns the kind of token that a text appears to be.
    fn kind_of(&self, token: &str) -> Kind<'_> {
        match (&self.hybrid, &self.legacy) {
            (Some(hybrid), _) if session_token::is_named(token) => Kind::SessionToken(hybrid),
            (_, Some(legacy)) if legacy::is_candidate(token) => Kind::Legacy(legacy),
            _ => Kind::Jwt,
        }
    }

    /// Returns why the token is refused, if its session was revoked or the token was declared stale. The
    /// answer comes from memory. The store is asked only if more revocations matter than memory may
    /// hold.
    async fn refused(
        &self,
        verified: &VerifiedToken,
        events: &dyn TokenEvents,
    ) -> Result<Option<InactiveReason>, AuthorityError> {
        let Some(id) = verified.session_id else { return Ok(None) };
        self.revocations.first_read().await;
        match self.revocations.refused(id) {
            Some(Refused::All(_)) => return Ok(Some(InactiveReason::Revoked)),
            Some(Refused::Before(epoch)) if verified.epoch < epoch => {
                return Ok(Some(InactiveReason::Stale));
            }
            _ => {}
        }
        self.revocations.ensure_known()?;
        if self.revocations.is_overflowing() {
            events.asked_database(AuthMethod::Jwt);
            return Ok(match self.store.find(id).await? {
                Some(session) if session.revoked.is_some() => Some(InactiveReason::Revoked),
                Some(session) if verified.epoch < session.epoch => Some(InactiveReason::Stale),
                _ => None,
            });
        }
        Ok(None)
    }

    /// Returns the session of a JWT that is valid except for its revocation, or stale.
    pub(super) fn session_of(&self, token: &str) -> Option<SessionId> {
        self.judge_jwt(self.question(token, None)).ok()?.session_id
    }

    /// Judges a JWT except for its revocation.
    fn judge_jwt(&self, asked: Question<'_>) -> Result<Arc<VerifiedToken>, InactiveReason> {
        match self.judge_verified_jwt(asked) {
            Some(judged) => judged,
            None => self.verify_jwt(asked),
        }
    }

    /// Judges a JWT whose signature was verified before. Returns `None` for any other.
    fn judge_verified_jwt(
        &self,
        asked: Question<'_>,
    ) -> Option<Result<Arc<VerifiedToken>, InactiveReason>> {
        let verified = self.verified.find(asked.token)?;
        let judged = self
            .keys
            .with_key(verified.kid(), asked.now, |key| self.judge_claims(asked, key, &verified));
        Some(judged.map(|()| verified))
    }

    /// Verifies a JWT's signature, and judges the token. A token whose signature is wrong is not
    /// examined any further. Its key is looked up once.
    fn verify_jwt(&self, asked: Question<'_>) -> Result<Arc<VerifiedToken>, InactiveReason> {
        let mut unverified = Unverified::parse(asked.token)?;
        let kid = unverified.header.kid.take();
        let verified = self.keys.with_key(kid.as_deref(), asked.now, |key| {
            key.verify(&unverified)?;
            let verified = VerifiedToken::read(&unverified)?;
            self.judge_claims(asked, key, &verified).map(|()| verified)
        })?;
        let verified = Arc::new(verified.with_kid(kid));
        self.verified.keep(asked.token, &verified);
        Ok(verified)
    }

    /// Judges the claims of a token that this key has signed, and notes the key's use.
    fn judge_claims(
        &self,
        Question { audience, now, .. }: Question<'_>,
        key: &Key,
        verified: &VerifiedToken,
    ) -> Result<(), InactiveReason> {
        verified.judge(now, self.policy.leeway, audience)?;
        key.note_use(now);
        Ok(())
    }

    /// Records a receipt. A client that presents this access token some time after it was issued also
    /// holds the refresh token from the same response, so the previous refresh token can no longer be
    /// replayed.
    fn record_receipt(&self, validation: &Validation, now: Timestamp) {
        if let Validation::Active(active) = validation
            && let Some((session_id, generation)) =
                active.verified.record_receipt(now, &self.policy.rotation)
            && self.receipts.is_new(session_id, generation)
        {
            self.events.asked_database(active.auth_method);
            self.store.record_receipts(Receipt { session_id, generation, seen_at: now });
        }
    }
}
