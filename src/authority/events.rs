//! The events that the authority reports, for example to metrics.

use std::fmt;
use std::time::Duration;

use super::{ProofRefusal, RefreshRefusal};
use crate::clock::Timestamp;
use crate::token::method::AuthMethod;
use crate::token::rotation::Verdict;

/// Receives the authority's events. The calls happen inside requests, so implementations must be
/// quick and must not block.
pub trait TokenEvents: fmt::Debug + Send + Sync + 'static {
    /// An access token was validated.
    fn validated(&self, _method: AuthMethod, _took: Duration) {}

    /// A validation used the database: it looked up a session, or recorded a receipt.
    fn asked_database(&self, _method: AuthMethod) {}

    /// Tokens were issued for a login.
    fn issued(&self, _method: AuthMethod) {}

    /// A refresh token was presented.
    fn refreshed(&self, _outcome: Refreshing, _took: Duration) {}

    /// A device was registered for a session.
    fn device_registered(&self) {}

    /// A device's binding was renewed.
    fn device_renewed(&self) {}

    /// A device's proof was refused.
    fn device_proof_refused(&self, _reason: ProofRefusal) {}

    /// The sweeper completed a pass.
    fn swept(&self, _deleted: u64, _at: Timestamp) {}

    /// Shadow mode compared two tokens of a request. `None`: the verdicts agree.
    fn compared(&self, _disagreement: Option<Disagreement>) {}

    /// Another replica's revocation took effect here, `after` it was made.
    fn revocation_arrived(&self, _after: Duration) {}
}

/// The outcome for a presented refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshing {
    /// It was judged.
    Judged(Verdict),
    /// It does not have the form of a refresh token.
    Malformed,
    /// The store failed.
    Failed,
}

impl Refreshing {
    /// Returns why it was refused. `None`: it was not refused.
    #[must_use]
    pub const fn refusal(self) -> Option<RefreshRefusal> {
        match self {
            Self::Judged(verdict) => RefreshRefusal::of(verdict),
            Self::Malformed => Some(RefreshRefusal::Invalid),
            Self::Failed => None,
        }
    }
}

/// How the verdicts on two tokens of one request differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disagreement {
    /// Only the token that decided the answer is active.
    OnlyPrimary,
    /// Only the other token is active.
    OnlyShadow,
    /// Both are active, for different users.
    User,
    /// Both are active for the same user, but audience, scopes or claims differ.
    Grant,
    /// The other token could not be judged.
    Failed,
}

impl Disagreement {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::OnlyPrimary, Self::OnlyShadow, Self::User, Self::Grant, Self::Failed];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnlyPrimary => "only_primary",
            Self::OnlyShadow => "only_shadow",
            Self::User => "user",
            Self::Grant => "grant",
            Self::Failed => "failed",
        }
    }
}

/// Ignores all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl TokenEvents for NoEvents {}
