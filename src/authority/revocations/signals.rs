//! Notifications between replicas: after a revocation, the others read the feed at once. A lost
//! notification delays a revocation by at most one poll interval ([`follow`](super::follow)).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::Revocations;
use crate::store::{Notifier, StoreError};

/// The pause before listening again after a failure.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long sending a notification may take.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(2);

/// Notifies the others of each revocation of this replica, until it is dropped. Revocations during
/// one notification share the next one.
pub async fn raise(revocations: Arc<Revocations>, notifier: Arc<dyn Notifier>) {
    let mut made_here = revocations.made_here.subscribe();
    while made_here.changed().await.is_ok() {
        match tokio::time::timeout(NOTIFY_TIMEOUT, notifier.raise()).await {
            Ok(Ok(())) => {}
            Ok(Err(error @ StoreError::Inconsistent(_))) => {
                let through = notifier.name();
                tracing::info!(%error, through, "the database supports no notifications: replicas poll");
                return;
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, through = notifier.name(), "a notification was lost");
            }
            Err(_) => tracing::debug!(through = notifier.name(), "a notification was lost"),
        }
    }
}

/// Listens for notifications until it is dropped. Returns if the database supports none.
pub async fn listen(notifier: Arc<dyn Notifier>, heard: Arc<Notify>) {
    let through = notifier.name();
    let mut was_logged = false;
    while let Err(error) = notifier.listen(&heard).await {
        // While the database is unreachable, one line is enough.
        if was_logged {
            tracing::debug!(%error, through, "notifications do not arrive");
        } else {
            tracing::warn!(%error, through, "notifications do not arrive: revocations arrive by polling");
        }
        was_logged = true;
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    tracing::info!(
        through,
        "the database supports no notifications: revocations arrive by polling"
    );
}
