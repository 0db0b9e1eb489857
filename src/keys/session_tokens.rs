//! The keys of session tokens: one mints, and all verify.

use super::Secret;
use crate::token::session_token::{
    self, SessionClaims, SessionTokenKey, UnverifiedSessionToken as Unverified,
};

/// The keys of session tokens. Each is derived from a secret of the settings.
#[derive(Debug)]
pub struct SessionTokenKeys {
    active: SessionTokenKey,
    others: Vec<SessionTokenKey>,
}

impl SessionTokenKeys {
    /// Creates the keys. The key of `active` mints. The keys of `others` also verify, so changing a
    /// secret logs nobody out.
    #[must_use]
    pub fn new<'a>(active: &Secret, others: impl IntoIterator<Item = &'a Secret>) -> Self {
        let derive = |secret: &Secret| SessionTokenKey::derive(secret.expose());
        Self { active: derive(active), others: others.into_iter().map(derive).collect() }
    }

    /// Mints a token's text. Secret.
    #[must_use]
    pub fn mint(&self, claims: SessionClaims) -> String {
        session_token::mint(&self.active, claims)
    }

    /// Returns a token's contents if one of the keys made it.
    #[must_use]
    pub fn verify(&self, token: &Unverified) -> Option<SessionClaims> {
        token.verify(std::iter::once(&self.active).chain(&self.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::token::id::{AccessTokenId, Epoch, Generation, SessionId};

    #[test]
    fn changing_a_secret_logs_nobody_out() {
        let secrets = [[1; 32], [2; 32], [3; 32]].map(Secret::new);
        let claims = SessionClaims {
            session_id: SessionId::new(Timestamp::EPOCH, [0; 10]),
            id: AccessTokenId::new(Generation::FIRST, Epoch::FIRST, [0; 12]),
            issued_at: 1,
            expires_at: 2,
        };
        let before = SessionTokenKeys::new(&secrets[0], []);
        let after = SessionTokenKeys::new(&secrets[1], [&secrets[2], &secrets[0]]);
        let read = |token: String| Unverified::parse(&token).unwrap();
        assert_eq!(after.verify(&read(before.mint(claims))), Some(claims));
        assert_eq!(after.verify(&read(after.mint(claims))), Some(claims));
        assert_eq!(before.verify(&read(after.mint(claims))), None);
    }
}
