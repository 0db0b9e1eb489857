//! The authority: issue, refresh, revoke and validate, and the revocations that a replica knows.
//!
//! Each operation has its own file. Operations use the types of [`crate::token`]. They know neither
//! the transport nor the database, and they get time and randomness from injected sources.

mod devices;
mod error;
pub mod events;
mod examine;
mod first_tokens;
mod inactive_reason;
mod issue;
pub mod key_rotator;
mod legacy;
mod mint;
mod own_sessions;
mod question;
mod receipts;
mod refresh;
pub mod revocations;
mod revoke;
pub mod rollout;
mod session_tokens;
mod shadow;
pub mod status;
pub mod sweeper;
mod update;
mod validate;
mod verified_token;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Entropy};
use crate::keys::{DeviceKeys, FirstTokenKeys, KeyRing};
use crate::store::Store;
use crate::token::id::{SessionId, UserId};
use crate::token::rotation::Policy;
use crate::token::session::MAX_LEEWAY;

pub use crate::token::method::AuthMethod;
pub use devices::DeviceAnswer;
pub use error::{AuthorityError, DeviceRefusal, ProofRefusal, RefreshRefusal};
pub use events::TokenEvents;
pub use examine::{Examined, Login};
pub use inactive_reason::InactiveReason;
pub use issue::Issue;
pub use legacy::Legacy;
pub use own_sessions::{MAX_OWN_SESSIONS, OwnSessions};
pub use revocations::{RevocationSettings, Revocations, StalePolicy};
pub use rollout::RolloutControl;
pub use session_tokens::Hybrid;
pub use shadow::Compared;
pub use update::UpdateTarget;
pub use validate::{Active, Validation};

/// The operator's settings for tokens.
#[derive(Debug, Clone)]
pub struct TokenPolicy {
    /// How refresh tokens are rotated, and how long sessions live.
    pub rotation: Policy,
    /// How long an access token lives.
    pub access_lifetime: Duration,
    /// The access token's `iss`. `None`: no such claim.
    pub issuer: Option<String>,
    /// How far the clocks of the minter and the verifier may differ.
    pub leeway: Duration,
}

impl TokenPolicy {
    /// Returns how long an access token that is issued now can be accepted: its lifetime, the longest
    /// leeway of any verifier, and a few seconds for a request that is under way.
    #[must_use]
    pub fn revocation_retention(&self) -> Duration {
        const UNDER_WAY: Duration = Duration::from_secs(10);
        self.access_lifetime + MAX_LEEWAY + UNDER_WAY
    }
}

/// Mints, renews, revokes and validates tokens.
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
    first_token_keys: Option<FirstTokenKeys>,
    devices: Option<DeviceKeys>,
    hybrid: Option<Hybrid>,
    legacy: Option<Legacy>,
    shadow: Option<shadow::Shadow>,
    events: Arc<dyn TokenEvents>,
}

/// The tokens for a client. Does not print.
pub struct Tokens {
    /// The access token. Secret.
    pub access_token: String,
    /// The access token's remaining lifetime.
    pub expires_in: Duration,
    /// The refresh token's text. Secret.
    pub refresh_token: String,
    /// The refresh token's remaining lifetime if it is not used.
    pub refresh_expires_in: Duration,
    /// The session.
    pub session_id: SessionId,
    /// The session's user.
    pub user_id: UserId,
    /// The kind of access token.
    pub auth_method: AuthMethod,
    /// Whether a browser keeps the refresh token's cookie when it is closed.
    pub persistent: bool,
    /// In shadow mode, a JWT in addition to the session token. Secret.
    pub shadow: Option<String>,
    /// Whether a browser should store the refresh token, even if it holds that very token already.
    pub storing: Storing,
    /// The challenge with which the answer offers to register a device. `None`: it offers nothing.
    pub device_challenge: Option<String>,
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
    /// Creates an authority.
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
        let (first_token_keys, devices) = (None, None);
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
            first_token_keys,
            devices,
            hybrid,
            legacy,
            shadow,
            events,
        }
    }

    /// Caches verified JWTs in about `bytes` of memory. Without the cache, the signature of a token is
    /// verified each time.
    #[must_use]
    pub fn with_verification_cache(self, bytes: u64) -> Self {
        Self { verified: verified_token::VerificationCache::within(bytes), ..self }
    }

    /// Seals the first tokens of a login under the service's secret, too. Without this, only the
    /// request's id seals them.
    #[must_use]
    pub fn with_first_token_keys(self, keys: FirstTokenKeys) -> Self {
        Self { first_token_keys: Some(keys), ..self }
    }

    /// Offers to bind sessions to devices, if there are keys for that.
    #[must_use]
    pub fn with_devices(self, devices: Option<DeviceKeys>) -> Self {
        Self { devices, ..self }
    }

    /// Issues both kinds of access token. Without this, every user gets JWTs.
    #[must_use]
    pub fn with_session_tokens(self, hybrid: Hybrid) -> Self {
        Self { hybrid: Some(hybrid), ..self }
    }

    /// Accepts the session tokens of an existing auth-server, if there is one.
    #[must_use]
    pub fn with_legacy(self, legacy: Option<Legacy>) -> Self {
        Self { legacy, ..self }
    }

    /// Switches shadow mode on if `wanted`.
    #[must_use]
    pub fn in_shadow(self, wanted: bool) -> Self {
        Self { shadow: wanted.then(shadow::Shadow::new), ..self }
    }

    /// Reports events to `events`.
    #[must_use]
    pub fn with_events(self, events: Arc<dyn TokenEvents>) -> Self {
        Self { events, ..self }
    }

    /// The revocations that this replica knows.
    #[must_use]
    pub const fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Returns the public keys that verify its tokens now, as a JWK Set (RFC 7517 section 5).
    #[must_use]
    pub fn published_keys(&self) -> serde_json::Value {
        self.keys.published(self.clock.now())
    }
}
