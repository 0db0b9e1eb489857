//! Notifications between replicas: "the revocation feed has grown, read it now".
//!
//! A notification has no content, may be lost, and may be sent needlessly. A replica that receives
//! one reads the feed a little earlier than it would have anyway. Only the feed itself counts.

use std::fmt;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::StoreError;

/// The channel of the notifications, in Postgres and in Redis.
pub(super) const CHANNEL: &str = "token_authority_revocations";

/// A way to notify other replicas.
#[async_trait]
pub trait Notifier: fmt::Debug + Send + Sync + 'static {
    /// Returns the name of the transport, for the log.
    fn name(&self) -> &'static str;

    /// Notifies the other replicas.
    ///
    /// # Errors
    /// Returns an error if the notification could not be sent, and [`StoreError::Inconsistent`] if
    /// this transport will never work.
    async fn raise(&self) -> Result<(), StoreError>;

    /// Listens until the connection fails. Notifies `heard` at each notification, and once when
    /// listening has begun, because earlier notifications were missed. Returns `Ok` if there is
    /// nothing to listen to here.
    ///
    /// # Errors
    /// Returns an error when the connection fails.
    async fn listen(&self, heard: &Notify) -> Result<(), StoreError>;
}
