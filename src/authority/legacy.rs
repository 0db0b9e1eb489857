//! Validation of the existing auth-server's session tokens. They are looked up in the auth-server's
//! own table, so users who are logged in when this service is introduced stay logged in.

use super::inactive_reason::InactiveReason;
use super::question::Question;
use super::{Authority, AuthorityError};
use crate::clock::Timestamp;
use crate::store::LegacySessions;
use crate::token::access::{self, Claims};
use crate::token::legacy::{CookieKey, LegacySession, UnverifiedLegacyToken};
use crate::token::method::AuthMethod;

/// The settings for the auth-server's session tokens.
#[derive(Debug)]
pub struct Legacy {
    /// The auth-server's sessions.
    pub sessions: LegacySessions,
    /// The key of the auth-server's cookies. `None`: signed tokens cannot be verified.
    pub key: Option<CookieKey>,
}

impl Authority {
    /// Judges a session token of the auth-server. A text of the wrong form or with a wrong signature
    /// does not reach the database.
    ///
    /// # Errors
    /// Returns [`AuthorityError::Store`] if the database fails.
    pub(super) async fn judge_legacy_token(
        legacy: &Legacy,
        asked: Question<'_>,
    ) -> Result<Result<Claims, InactiveReason>, AuthorityError> {
        let Question { token, audience, now, events } = asked;
        let Some(token) = UnverifiedLegacyToken::parse(token) else {
            return Ok(Err(InactiveReason::Malformed));
        };
        if token.is_signed() {
            match &legacy.key {
                None => return Ok(Err(InactiveReason::UnknownKey)),
                Some(key) if !token.verify(key) => return Ok(Err(InactiveReason::BadSignature)),
                Some(_) => {}
            }
        }
        events.asked_database(AuthMethod::Session);
        let session = legacy.sessions.find(token.into_token()).await?;
        Ok(judge(session, audience, now))
    }
}

/// Judges a session of the auth-server. It has no session id of this service, no audience and no
/// scopes, only a user and an end.
fn judge(
    session: Option<LegacySession>,
    audience: Option<&str>,
    now: Timestamp,
) -> Result<Claims, InactiveReason> {
    let session = session.ok_or(InactiveReason::NotFound)?;
    if now >= session.expires_at {
        return Err(InactiveReason::Expired);
    }
    if audience.is_some() {
        return Err(InactiveReason::WrongAudience);
    }
    Ok(Claims {
        subject: session.user_id.as_str().to_owned(),
        expires_at: session.expires_at.as_seconds(),
        kind: Some(access::TYPE.to_owned()),
        ..Claims::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::id::UserId;

    #[test]
    fn a_session_expires_at_its_end_and_has_no_audience() {
        let end = Timestamp::from_seconds(100);
        let session =
            || Some(LegacySession { user_id: UserId::new("u").unwrap(), expires_at: end });
        let before = Timestamp::from_micros(end.as_micros() - 1);
        let claims = judge(session(), None, before).unwrap();
        assert_eq!((claims.subject.as_str(), claims.expires_at), ("u", 100));
        assert_eq!((claims.session_id, claims.id, claims.issued_at), (None, None, None));
        assert_eq!(judge(session(), None, end).unwrap_err(), InactiveReason::Expired);
        assert_eq!(
            judge(session(), Some("api"), before).unwrap_err(),
            InactiveReason::WrongAudience
        );
        assert_eq!(judge(None, None, before).unwrap_err(), InactiveReason::NotFound);
    }
}
