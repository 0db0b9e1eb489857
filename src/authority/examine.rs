//! Examine: judge several refresh tokens of one request before one of them is used.
//!
//! A browser may send several cookies of one name: one with a `Domain` and one without, or an older
//! copy of a token beside its successor. Presenting the wrong one would revoke an innocent user's
//! session as stolen. The adapter therefore examines them first, and presents the best one.

use futures::future::try_join_all;

use super::{Authority, AuthorityError, RefreshRefusal};
use crate::clock::Timestamp;
use crate::token::id::{Generation, SessionId, UserId};
use crate::token::refresh::RefreshToken;
use crate::token::rotation::{self, Verdict};
use crate::token::session::Session;

/// The answer that a refresh token would get if it were presented now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The verdict, which has not taken effect.
    pub verdict: Verdict,
    /// The token's generation, as the token states it.
    pub generation: Generation,
    /// The token's login. `None`: the token is unknown or forged.
    pub login: Option<Login>,
}

/// The login that a refresh token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The session.
    pub session_id: SessionId,
    /// The user.
    pub user_id: UserId,
    /// When the user logged in.
    pub at: Timestamp,
}

impl Examined {
    /// Returns whether the token would be granted.
    #[must_use]
    pub const fn is_granted(&self) -> bool {
        RefreshRefusal::of(self.verdict).is_none()
    }

    /// Returns whether the token's session has certainly ended.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.verdict, Verdict::Revoked | Verdict::Expired)
    }

    /// Returns the token's session. `None`: this service did not mint the token.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        self.login.as_ref().map(|login| login.session_id)
    }
}

impl Authority {
    /// Judges refresh tokens without using them. This changes nothing, and an old token does not
    /// count as a theft here.
    ///
    /// # Errors
    /// Returns [`AuthorityError::Store`] if the database fails.
    pub async fn examine(&self, tokens: &[RefreshToken]) -> Result<Vec<Examined>, AuthorityError> {
        let sessions = tokens.iter().map(|token| self.store.find(token.session_id()));
        let sessions = try_join_all(sessions).await?;
        let now = self.clock.now();
        let examined = tokens.iter().zip(sessions).map(|(token, session)| {
            let verdict = session.as_ref().map_or(Verdict::Invalid, |session| {
                rotation::judge(session, token, now, &self.policy.rotation)
            });
            let login = session.filter(|_| verdict != Verdict::Invalid).map(login_of);
            Examined { verdict, generation: token.generation(), login }
        });
        Ok(examined.collect())
    }
}

fn login_of(session: Session) -> Login {
    Login { session_id: session.id, user_id: session.user_id, at: session.created_at }
}
