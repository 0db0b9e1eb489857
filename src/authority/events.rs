//! What an observer is told, such as one that counts. The authority knows no more of it than this.

use std::fmt;
use std::time::Duration;

use super::RefreshRefusal;
use crate::clock::Timestamp;
use crate::token::method::AuthMethod;
use crate::token::rotation::Verdict;

/// Is told what happens, at once and on the way: it has to be quick, and may not wait.
pub trait TokenEvents: fmt::Debug + Send + Sync + 'static {
    /// An access token was judged.
    fn validated(&self, _method: AuthMethod, _took: Duration) {}

    /// The database was asked for the sake of a validation: a session was looked up, or a proof
    /// of receipt recorded.
    fn asked_database(&self, _method: AuthMethod) {}

    /// A login's tokens were handed out.
    fn issued(&self, _method: AuthMethod) {}

    /// A refresh token was presented, and what became of it.
    fn refreshed(&self, _outcome: Refreshing, _took: Duration) {}

    /// The sweeper went through, from beginning to end.
    fn swept(&self, _deleted: u64, _at: Timestamp) {}

    /// Two ways to judge a request were compared; in what they disagree.
    fn compared(&self, _disagreement: Option<Disagreement>) {}

    /// A revocation made elsewhere came into force here, so long after it was made.
    fn revocation_arrived(&self, _after: Duration) {}
}

/// What became of a presented refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshing {
    /// It was judged.
    Judged(Verdict),
    /// It was no token of ours at all.
    Malformed,
    /// The store failed.
    Failed,
}

impl Refreshing {
    /// Why it was refused, if it was.
    #[must_use]
    pub const fn refusal(self) -> Option<RefreshRefusal> {
        match self {
            Self::Judged(verdict) => RefreshRefusal::of(verdict),
            Self::Malformed => Some(RefreshRefusal::Invalid),
            Self::Failed => None,
        }
    }
}

/// In what two ways to judge one request disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disagreement {
    /// Only the token that answered is good.
    OnlyPrimary,
    /// Only the other one is good.
    OnlyShadow,
    /// Both are good, for different users.
    User,
    /// Both are good for the same user, but not for the same audience, scopes and claims.
    Grant,
    /// The other one could not be judged.
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

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl TokenEvents for NoEvents {}
