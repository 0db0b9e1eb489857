//! Validate: is this access token good now, and whose is it? A JWT touches no database; a session
//! token is looked up.

use std::sync::Arc;

use super::events::TokenEvents;
use super::inactive_reason::InactiveReason;
use super::verified_token::VerifiedToken;
use super::{AuthMethod, Authority, AuthorityError, Hybrid, Legacy};
use crate::clock::Timestamp;
use crate::store::{Receipt, StoreError};
use crate::token::access::Claims;
use crate::token::id::SessionId;
use crate::token::jws::Unverified;
use crate::token::{legacy, session_token};

/// The answer on a token. A token that is not good is an answer, not an error.
#[derive(Debug)]
pub enum Validation {
    /// It is good.
    Active(Active),
    /// It is not.
    Inactive(InactiveReason),
}

/// A good token.
#[derive(Debug)]
pub struct Active {
    verified: Arc<VerifiedToken>,
    /// What kind of token it is.
    pub auth_method: AuthMethod,
}

impl Active {
    /// What it says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.verified.claims
    }

    /// Its session, where it names one.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        self.verified.session_id
    }
}

/// What a text claims to be, and what judges it.
enum Kind<'a> {
    Jwt,
    SessionToken(&'a Hybrid),
    Legacy(&'a Legacy),
}

/// A token to be judged.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) token: &'a str,
    /// For whom it has to be meant.
    pub(super) audience: Option<&'a str>,
    pub(super) now: Timestamp,
    /// Who is told what it takes to judge it.
    pub(super) events: &'a dyn TokenEvents,
}

impl Authority {
    /// Judges an access token, and whether it is meant for `audience` where one is asked for.
    ///
    /// # Errors
    /// Where a look-up is needed and the store fails.
    pub async fn validate(
        &self,
        token: &str,
        audience: Option<&str>,
    ) -> Result<Validation, AuthorityError> {
        let now = self.clock.now();
        let question = Question { token, audience, now, events: &*self.events };
        let validation = self.judge(question).await?;
        if let Validation::Active(active) = &validation {
            self.record_receipt(active, now);
        }
        Ok(validation)
    }

    /// The kind of token that a text claims to be.
    #[must_use]
    pub fn method_of(&self, token: &str) -> AuthMethod {
        match self.kind_of(token) {
            Kind::Jwt => AuthMethod::Jwt,
            Kind::SessionToken(_) | Kind::Legacy(_) => AuthMethod::Session,
        }
    }

    /// As [`Self::validate`], but nothing comes of it.
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
        asked.events.validated(auth_method, self.clock.now().since(asked.now));
        let verified = match judged {
            Ok(verified) => verified,
            Err(InactiveReason::UnknownKey)
                if auth_method == AuthMethod::Jwt && !self.keys.is_loaded() =>
            {
                // The database was not there yet: the key may be in it.
                return Err(StoreError::Unavailable("the keys are not loaded yet".into()).into());
            }
            Err(reason) => return Ok(Validation::Inactive(reason)),
        };
        // Of a session token the look-up has told it already.
        if auth_method == AuthMethod::Jwt && self.is_revoked(&verified, asked.events).await? {
            return Ok(Validation::Inactive(InactiveReason::Revoked));
        }
        Ok(Validation::Active(Active { verified, auth_method }))
    }

    /// What a text claims to be.
    fn kind_of(&self, token: &str) -> Kind<'_> {
        match (&self.hybrid, &self.legacy) {
            (Some(hybrid), _) if session_token::is_named(token) => Kind::SessionToken(hybrid),
            (_, Some(legacy)) if legacy::is_candidate(token) => Kind::Legacy(legacy),
            _ => Kind::Jwt,
        }
    }

    /// Whether the token's session is over, from memory. Only where more revocations matter than
    /// may be held there is the store asked.
    async fn is_revoked(
        &self,
        verified: &VerifiedToken,
        events: &dyn TokenEvents,
    ) -> Result<bool, AuthorityError> {
        let Some(id) = verified.session_id else { return Ok(false) };
        self.revocations.first_read().await;
        if self.revocations.is_revoked(id) {
            return Ok(true);
        }
        self.revocations.ensure_known()?;
        if self.revocations.is_overflowing() {
            events.asked_database(AuthMethod::Jwt);
            let session = self.store.find(id).await?;
            return Ok(session.is_some_and(|session| session.revoked.is_some()));
        }
        Ok(false)
    }

    /// The order of the reasons, of which a revocation is the last: what cannot be trusted is not
    /// looked at any further.
    fn judge_jwt(&self, asked: Question<'_>) -> Result<Arc<VerifiedToken>, InactiveReason> {
        let Question { token, audience, now, .. } = asked;
        let known = self.verified.find(token);
        let verified = if let Some(verified) = &known {
            self.keys.is_in_force(verified.kid(), now)?;
            Arc::clone(verified)
        } else {
            let unverified = Unverified::parse(token)?;
            self.keys.verify(&unverified, now)?;
            Arc::new(VerifiedToken::read(unverified)?)
        };
        verified.judge(now, self.policy.leeway, audience)?;
        self.keys.note_use(verified.kid(), now);
        if known.is_none() {
            self.verified.keep(token, &verified);
        }
        Ok(verified)
    }

    /// Whoever shows this token has received the refresh token that was handed out beside it.
    fn record_receipt(&self, active: &Active, now: Timestamp) {
        if let Some((session_id, generation)) = active.verified.record_receipts()
            && self.receipts.is_new(session_id, generation)
        {
            self.events.asked_database(active.auth_method);
            self.store.record_receipts(Receipt { session_id, generation, seen_at: now });
        }
    }
}
