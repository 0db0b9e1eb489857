//! Logins to store, and refresh tokens to present.

use std::time::Duration;

use token_authority::clock::{SeededEntropy, Timestamp, draw};
use token_authority::store::rows::OptimisticRotation;
use token_authority::store::{Open, OpenRequest, Refresh};
use token_authority::token::client::ClientInfo;
use token_authority::token::device::Shown;
use token_authority::token::grant::Grant;
use token_authority::token::id::{Epoch, Generation, SessionId, UserId};
use token_authority::token::lifetimes::Lifetimes;
use token_authority::token::method::AuthMethod;
use token_authority::token::refresh::{LineageKey, RefreshToken};
use token_authority::token::rollout::Rollout;
use token_authority::token::rotation::{Policy, SuccessorSeed, try_optimistic};
use token_authority::token::seal::{self, Purpose, Sealed};
use token_authority::token::session::{Lineage, Session};

pub(crate) const DAY: Duration = Duration::from_hours(24);
pub(crate) const WINDOW: Duration = Duration::from_secs(30);

/// How long after a revocation an access token may be in use.
pub(crate) const REACH: Duration = Duration::from_mins(31);

pub(crate) const POLICY: Policy = Policy {
    rotation: true,
    window: WINDOW,
    refresh_lifetime: Duration::from_hours(7 * 24),
    session_max_lifetime: Duration::from_hours(30 * 24),
};

/// The time at which the tests begin.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_750_000_000_123_456);

/// Creates the parts of logins. Each seed gives different ones.
#[derive(Debug)]
pub(crate) struct Logins(SeededEntropy);

impl Logins {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed << 32))
    }

    /// Creates a login at `now`, and returns its first refresh token.
    pub(crate) fn login(&self, user: &str, now: Timestamp) -> (Open, RefreshToken) {
        let id = SessionId::new(now, draw(&self.0));
        let key = LineageKey::new(draw(&self.0));
        let first = RefreshToken::mint(&key, id, Generation::FIRST, draw(&self.0));
        let session = Session {
            id,
            user_id: UserId::new(user).unwrap(),
            grant: Grant::default(),
            client: ClientInfo::default(),
            created_at: now,
            last_used_at: now,
            expires_at: POLICY.expiry(&Lifetimes::default(), now, now),
            access_ends_at: now,
            revoked: None,
            lineage: Lineage::begin(key, &first, now),
            auth_method: AuthMethod::Jwt,
            lifetimes: Lifetimes::default(),
            persistent: true,
            epoch: Epoch::FIRST,
            device: None,
        };
        (Open { session, request: None }, first)
    }

    /// Creates a login that may be retried under `key`, which may be any text.
    pub(crate) fn retriable(&self, user: &str, key: &str, now: Timestamp) -> Open {
        let (mut open, first) = self.login(user, now);
        let sealed = self.seal(key, &open.session, first.expose().as_bytes());
        open.request = Some(OpenRequest { key: request_key(key), sealed });
        open
    }

    pub(crate) fn seal(&self, sealing_secret: &str, session: &Session, plain: &[u8]) -> Sealed {
        seal::seal(
            Purpose::FirstTokens,
            sealing_secret.as_bytes(),
            session.id,
            plain,
            draw(&self.0),
        )
    }

    /// Presents `presented`, with random bytes for its successor.
    pub(crate) fn refresh(&self, presented: &RefreshToken, now: Timestamp) -> Refresh {
        let seed = SuccessorSeed { secret: draw(&self.0), nonce: draw(&self.0) };
        let (rollout, shown) = (Rollout::COMPLETE, Shown::Nothing);
        Refresh { presented: presented.clone(), seed, now, rollout, shown }
    }
}

/// Returns the optimistic rotation of a presented token, the current one of `session`.
pub(crate) fn rotation(session: &Session, refresh: &Refresh) -> OptimisticRotation {
    let Refresh { presented, seed, now, .. } = refresh;
    let optimistic = try_optimistic(&session.lineage.key, presented, seed, *now, &POLICY).unwrap();
    let access_ends_at = *now + REACH + WINDOW;
    let (auth_method, shown) = (AuthMethod::Jwt, refresh.shown);
    OptimisticRotation { optimistic, auth_method, access_ends_at, shown }
}

/// Returns 64 hex digits that contain `text`.
pub(crate) fn request_key(text: &str) -> String {
    format!("{:0>64}", hex(text.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
