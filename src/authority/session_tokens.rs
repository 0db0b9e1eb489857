//! Validation of session tokens: opaque access tokens that are looked up in the database.

use std::sync::Arc;

use super::inactive_reason::InactiveReason;
use super::question::Question;
use super::rollout::RolloutControl;
use super::{Authority, AuthorityError};
use crate::clock::Timestamp;
use crate::keys::SessionTokenKeys;
use crate::token::access::{self, Claims};
use crate::token::id::UserId;
use crate::token::method::AuthMethod;
use crate::token::rollout::Rollout;
use crate::token::session::Session;
use crate::token::session_token::{SessionClaims, UnverifiedSessionToken};

/// The settings for issuing both kinds of access token.
#[derive(Debug)]
pub struct Hybrid {
    /// The rule for which user gets which kind.
    pub rollout: Arc<RolloutControl>,
    /// The keys of session tokens.
    pub keys: SessionTokenKeys,
}

impl Authority {
    /// Returns the roll-out that applies now.
    pub(super) fn rollout(&self) -> Rollout {
        self.hybrid.as_ref().map_or(Rollout::COMPLETE, |hybrid| hybrid.rollout.current())
    }

    /// Returns the kind of access token that a user gets now.
    pub(super) fn method_for(&self, user_id: &UserId) -> AuthMethod {
        self.rollout().method_for(user_id)
    }

    /// Judges a session token. Only a token that this service made and that has not expired reaches
    /// the database. An `iat` in the future is accepted: it comes from a replica whose clock is ahead.
    ///
    /// # Errors
    /// Returns [`AuthorityError::Store`] if the database fails.
    pub(super) async fn judge_session_token(
        &self,
        hybrid: &Hybrid,
        asked: Question<'_>,
    ) -> Result<Result<Claims, InactiveReason>, AuthorityError> {
        let Question { token, audience, now, events } = asked;
        let Some(token) = UnverifiedSessionToken::parse(token) else {
            return Ok(Err(InactiveReason::Malformed));
        };
        let Some(said) = hybrid.keys.verify(&token) else {
            return Ok(Err(InactiveReason::BadSignature));
        };
        if (now - self.policy.leeway).as_seconds() >= said.expires_at {
            return Ok(Err(InactiveReason::Expired));
        }
        events.asked_database(AuthMethod::Session);
        let session = self.store.find(said.session_id).await?;
        Ok(judge_session(session, said, audience, now))
    }
}

fn judge_session(
    session: Option<Session>,
    said: SessionClaims,
    audience: Option<&str>,
    now: Timestamp,
) -> Result<Claims, InactiveReason> {
    let session = session.ok_or(InactiveReason::NotFound)?;
    if session.revoked.is_some() {
        return Err(InactiveReason::Revoked);
    }
    if now >= session.expires_at {
        return Err(InactiveReason::Expired);
    }
    if said.id.epoch() < session.epoch {
        return Err(InactiveReason::Stale);
    }
    let grant = &session.grant;
    if audience.is_some_and(|audience| !grant.audience().iter().any(|one| one == audience)) {
        return Err(InactiveReason::WrongAudience);
    }
    Ok(Claims {
        subject: session.user_id.as_str().to_owned(),
        expires_at: said.expires_at,
        issued_at: Some(said.issued_at),
        kind: Some(access::TYPE.to_owned()),
        id: Some(said.id.to_string()),
        session_id: Some(said.session_id.to_string()),
        audience: grant.audience().to_vec(),
        scopes: grant.scopes().to_vec(),
        further: grant.claims().clone(),
        ..Claims::default()
    })
}
