//! The other kind of access token: opaque, and looked up in the database.

use std::sync::Arc;

use super::inactive_reason::InactiveReason;
use super::rollout::RolloutControl;
use super::validate::Question;
use super::{Authority, AuthorityError};
use crate::clock::Timestamp;
use crate::keys::SessionTokenKeys;
use crate::token::access::{self, Claims};
use crate::token::id::UserId;
use crate::token::method::AuthMethod;
use crate::token::rollout::Rollout;
use crate::token::session::Session;
use crate::token::session_token::{SessionClaims, UnverifiedSessionToken};

/// What an authority needs to hand out both kinds of access token.
#[derive(Debug)]
pub struct Hybrid {
    /// Who is given which.
    pub rollout: Arc<RolloutControl>,
    /// The keys of the opaque kind.
    pub keys: SessionTokenKeys,
}

impl Authority {
    /// Who is given which kind now.
    pub(super) fn rollout(&self) -> Rollout {
        self.hybrid.as_ref().map_or(Rollout::COMPLETE, |hybrid| hybrid.rollout.current())
    }

    /// The kind that a user is given now.
    pub(super) fn method_for(&self, user_id: &UserId) -> AuthMethod {
        self.rollout().method_for(user_id)
    }

    /// Judges a session token. The database is asked only for one that we made and whose time is
    /// not over. Its own clock is all that counts, so there is no "not yet": an `iat` in the
    /// future is a replica whose clock is ahead.
    ///
    /// # Errors
    /// Where the database fails.
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
