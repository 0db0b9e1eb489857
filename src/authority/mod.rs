//! The authority: issue, refresh, revoke, validate; and the revocations that a replica knows.
//!
//! One file an operation. Each takes and gives the vocabulary of [`crate::token`]; none knows how
//! it is called, where sessions are kept, what time it is or where randomness comes from.

mod error;
pub mod events;
mod examine;
mod first_tokens;
mod inactive_reason;
mod issue;
pub mod key_rotator;
mod legacy;
mod mint;
mod receipts;
mod refresh;
pub mod revocations;
mod revoke;
pub mod rollout;
mod session_tokens;
mod shadow;
pub mod sweeper;
mod validate;
mod verified_token;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Entropy};
use crate::keys::KeyRing;
use crate::store::Store;
use crate::token::id::{SessionId, UserId};
use crate::token::rotation::Policy;

pub use crate::token::method::AuthMethod;
pub use error::{AuthorityError, RefreshRefusal};
pub use events::TokenEvents;
pub use examine::{Examined, Login};
pub use inactive_reason::InactiveReason;
pub use issue::Issue;
pub use legacy::Legacy;
pub use revocations::{RevocationSettings, Revocations, StalePolicy};
pub use rollout::RolloutControl;
pub use session_tokens::Hybrid;
pub use shadow::Compared;
pub use validate::{Active, Validation};

/// What the operator decides about tokens.
#[derive(Debug, Clone)]
pub struct TokenPolicy {
    /// How refresh tokens are rotated, and how long sessions live.
    pub rotation: Policy,
    /// How long an access token lives.
    pub access_lifetime: Duration,
    /// The access token's `iss`; `None`: no such claim.
    pub issuer: Option<String>,
    /// How far a verifier's clock may differ from the minter's.
    pub leeway: Duration,
}

impl TokenPolicy {
    /// How long after a session's revocation an access token of it can still be in use: its
    /// lifetime, the verifiers' leeway, and a little for a refresh that was under way, on a
    /// replica whose clock is ahead.
    #[must_use]
    pub fn revocation_retention(&self) -> Duration {
        const UNDER_WAY: Duration = Duration::from_secs(10);
        self.access_lifetime + self.leeway + UNDER_WAY
    }
}

/// The one that mints, renews, revokes and checks.
#[derive(Debug)]
pub struct Authority {
    store: Arc<Store>,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policy: TokenPolicy,
    receipts: receipts::Seen,
    verified: verified_token::VerificationCache,
    revocations: Arc<Revocations>,
    hybrid: Option<Hybrid>,
    legacy: Option<Legacy>,
    shadow: Option<shadow::Shadow>,
    events: Arc<dyn TokenEvents>,
}

/// Tokens to hand to a client. Does not print.
pub struct Tokens {
    /// The access token. Secret.
    pub access_token: String,
    /// How long the access token lives from now.
    pub expires_in: Duration,
    /// The refresh token's text. Secret.
    pub refresh_token: String,
    /// How long the refresh token lives from now if it is not used.
    pub refresh_expires_in: Duration,
    /// Their session.
    pub session_id: SessionId,
    /// The session's user.
    pub user_id: UserId,
    /// What kind of access token it is.
    pub auth_method: AuthMethod,
    /// In shadow mode, a JWT beside a session token. Secret.
    pub shadow: Option<String>,
    /// Whether a browser should store the refresh token, even if it holds that very token already.
    pub storing: Storing,
}

/// Whether a browser should store the refresh token of an answer.
///
/// Answers overtake each other. An unchanged token that is stored late could replace its own
/// successor in the browser's jar, and presenting it later would look like a theft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storing {
    /// Yes: the token is a new one, or the session's end has moved.
    Due,
    /// The token is unchanged and need not be stored, but storing it again is safe: it is not
    /// rotated before this answer has arrived.
    Safe,
    /// No: the token is unchanged and may be rotated while this answer is under way.
    Unsafe,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("session_id", &self.session_id).finish_non_exhaustive()
    }
}

impl Authority {
    /// An authority over these sessions and keys.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        policy: TokenPolicy,
        revocations: Arc<Revocations>,
    ) -> Self {
        let receipts = receipts::Seen::default();
        let verified = verified_token::VerificationCache::within(0);
        let (hybrid, legacy, shadow) = (None, None, None);
        let events = Arc::new(events::NoEvents);
        Self {
            store,
            keys,
            clock,
            entropy,
            policy,
            receipts,
            verified,
            revocations,
            hybrid,
            legacy,
            shadow,
            events,
        }
    }

    /// The same, remembering in about so many bytes which JWTs it has verified. Without, each is
    /// verified anew every time.
    #[must_use]
    pub fn with_verification_cache(self, bytes: u64) -> Self {
        Self { verified: verified_token::VerificationCache::within(bytes), ..self }
    }

    /// The same, handing out both kinds of access token. Without, everybody is given JWTs.
    #[must_use]
    pub fn with_session_tokens(self, hybrid: Hybrid) -> Self {
        Self { hybrid: Some(hybrid), ..self }
    }

    /// The same, accepting sessions that were there before, if there are any.
    #[must_use]
    pub fn with_legacy(self, legacy: Option<Legacy>) -> Self {
        Self { legacy, ..self }
    }

    /// The same, in shadow mode if `wanted`.
    #[must_use]
    pub fn in_shadow(self, wanted: bool) -> Self {
        Self { shadow: wanted.then(shadow::Shadow::new), ..self }
    }

    /// The same, telling `events` what happens.
    #[must_use]
    pub fn with_events(self, events: Arc<dyn TokenEvents>) -> Self {
        Self { events, ..self }
    }

    /// The revocations that this replica knows.
    #[must_use]
    pub const fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// The public keys that verify its tokens now, as a JWK Set (RFC 7517 section 5).
    #[must_use]
    pub fn published_keys(&self) -> serde_json::Value {
        self.keys.published(self.clock.now())
    }
}
