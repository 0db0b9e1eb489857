//! Signals between replicas: "the revocation feed has grown, look at it now".
//!
//! A signal carries nothing and may be lost or come for nothing. Whoever hears one looks at the
//! feed a little earlier than they would have anyway; the feed alone is the truth.

use std::fmt;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::StoreError;

/// The channel of the signals, in Postgres and in Redis.
pub(super) const CHANNEL: &str = "token_authority_revocations";

/// A way to tell the other replicas.
#[async_trait]
pub trait Notifier: fmt::Debug + Send + Sync + 'static {
    /// What it goes through, for the log.
    fn name(&self) -> &'static str;

    /// Tells the others.
    ///
    /// # Errors
    /// Where nobody could be told. [`StoreError::Inconsistent`]: nor will anybody ever be.
    async fn raise(&self) -> Result<(), StoreError>;

    /// Listens until the connection fails. Notifies `heard` at each signal, and once when it has
    /// begun to listen, because signals before that went unheard. `Ok`: there is nothing to
    /// listen to here.
    ///
    /// # Errors
    /// When the connection fails.
    async fn listen(&self, heard: &Notify) -> Result<(), StoreError>;
}
