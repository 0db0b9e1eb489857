//! What the clients need of a service. The real code and the rules of others stand behind the same
//! trait, so that the table compares rules and not networks or clients.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use token_authority::authority::RefreshRefusal;
use token_authority::clock::Timestamp;

use crate::world::Turn;

/// A service that logs clients in and renews their tokens.
pub(crate) trait Service {
    /// A refresh token.
    type Token: Clone + Debug + PartialEq + Hash;
    /// An access token.
    type Access: Clone + Debug + Hash;

    /// Logs a user in. Returns the refresh token. `None`: the service failed.
    async fn log_in(&self, call: Call, user: u32) -> Option<Self::Token>;

    /// Presents a refresh token.
    async fn refresh(&self, call: Call, token: &Self::Token) -> Answer<Self::Token, Self::Access>;

    /// Uses an access token at a backend that asks the service. Returns `false` if the token is refused.
    async fn use_token(&self, call: Call, access: &Self::Access) -> bool;

    /// Ends the session of a refresh token.
    async fn log_out(&self, call: Call, token: &Self::Token);

    /// Lets something happen to the service as a whole.
    async fn turn(&mut self, at: Timestamp, turn: Turn);

    /// Returns how often each verdict was given, if the service counts them.
    fn verdicts(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// When and where a request arrives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// The true time.
    pub(crate) at: Timestamp,
    /// The replica that decides.
    pub(crate) replica: usize,
}

/// The answer to a presented refresh token.
#[derive(Debug, Clone)]
pub(crate) enum Answer<T, A> {
    /// The token was accepted.
    Renewed {
        /// The refresh token of the answer.
        token: T,
        /// Whether the answer sets the cookie.
        stores: bool,
        /// The access token.
        access: A,
        /// How long the access token lives.
        expires_in: Duration,
    },
    /// The token was refused.
    Refused(RefreshRefusal),
    /// The service failed, or its answer was lost.
    Unavailable,
}
