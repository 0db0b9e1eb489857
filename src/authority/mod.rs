//! The authority: issue, refresh, revoke, validate; and the revocations that a replica knows.
//!
//! One file an operation. Each takes and gives the vocabulary of [`crate::token`]; none knows how
//! it is called, where sessions are kept, what time it is or where randomness comes from.

mod error;
mod first_tokens;
mod issue;
pub mod keeper;
mod legacy;
mod mint;
pub mod observer;
mod proofs;
mod refresh;
pub mod revocations;
mod revoke;
pub mod rollout;
mod session_tokens;
mod shadow;
mod sound;
pub mod sweeper;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Entropy};
use crate::keys::KeyRing;
use crate::store::Store;
use crate::token::id::SessionId;
use crate::token::rotation::Policy;

pub use crate::token::method::AuthMethod;
pub use error::{AuthorityError, RefreshRefusal};
pub use issue::Issue;
pub use legacy::Legacy;
pub use observer::Observer;
pub use revocations::{RevocationSettings, Revocations, StalePolicy};
pub use rollout::RolloutControl;
pub use session_tokens::Hybrid;
pub use shadow::Compared;
pub use validate::{Active, InactiveReason, Validation};

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
    pub fn reach(&self) -> Duration {
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
    proofs: proofs::Seen,
    remembered: sound::Remembered,
    revocations: Arc<Revocations>,
    hybrid: Option<Hybrid>,
    legacy: Option<Legacy>,
    shadow: Option<shadow::Shadow>,
    observer: Arc<dyn Observer>,
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
    /// What kind of access token it is.
    pub auth_method: AuthMethod,
    /// In shadow mode, a JWT beside a session token. Secret.
    pub shadow: Option<String>,
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
        let proofs = proofs::Seen::default();
        let remembered = sound::Remembered::within(0);
        let (hybrid, legacy, shadow) = (None, None, None);
        let observer = Arc::new(observer::Nobody);
        Self {
            store,
            keys,
            clock,
            entropy,
            policy,
            proofs,
            remembered,
            revocations,
            hybrid,
            legacy,
            shadow,
            observer,
        }
    }

    /// The same, remembering in about so many bytes which JWTs it has verified. Without, each is
    /// verified anew every time.
    #[must_use]
    pub fn remembering(self, bytes: u64) -> Self {
        Self { remembered: sound::Remembered::within(bytes), ..self }
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

    /// The same, telling `observer` what happens.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
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
