//! Who a good token says its bearer is.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

/// What kind of access token there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A JWT, checked by its signature.
    Jwt,
    /// An opaque token, looked up by the service.
    Session,
}

/// Who a good access token says its bearer is.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The user's id, the token's `sub`.
    pub user_id: String,
    /// The session's id, the token's `sid`. `None`: the token names none.
    pub session_id: Option<String>,
    /// What the token may be used for, its `scope`. Empty: no scopes were asked for at login.
    pub scopes: Vec<String>,
    /// Whom the token is meant for, its `aud`. Empty: no audience was asked for at login.
    pub audience: Vec<String>,
    /// The further claims given at login.
    pub claims: Map<String, Value>,
    /// When the token ends.
    pub expires_at: SystemTime,
    /// What kind of token it is.
    pub method: Method,
}

impl Identity {
    /// Whether the token has that scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|one| one == scope)
    }
}

/// A moment given in seconds since the Unix epoch, as far as this system's clock reaches.
pub(crate) fn moment(seconds: i64) -> SystemTime {
    // Some 290 years from now on, which every system can tell.
    const LATEST: u64 = 1 << 33;
    let distance = Duration::from_secs(seconds.unsigned_abs().min(LATEST));
    if seconds < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance }
}
