//! Telling other replicas to look at the feed at once, and being told. Lost signals cost up to
//! one poll's interval ([`follow`](super::follow)) and nothing else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::Revocations;
use crate::store::{Notifier, StoreError};

/// How long to wait before listening again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a signal may take.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(2);

/// Tells the others of each revocation made here, until it is dropped. What comes up while a
/// signal is under way shares the next one.
pub async fn raise(revocations: Arc<Revocations>, signal: Arc<dyn Notifier>) {
    let mut made_here = revocations.made_here.subscribe();
    while made_here.changed().await.is_ok() {
        match tokio::time::timeout(NOTIFY_TIMEOUT, signal.raise()).await {
            Ok(Ok(())) => {}
            Ok(Err(error @ StoreError::Inconsistent(_))) => {
                let through = signal.name();
                tracing::info!(%error, through, "there are no signals: replicas poll");
                return;
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, through = signal.name(), "a signal was lost");
            }
            Err(_) => tracing::debug!(through = signal.name(), "a signal was lost"),
        }
    }
}

/// Listens, until it is dropped or there is nothing to listen to.
pub async fn listen(signal: Arc<dyn Notifier>, heard: Arc<Notify>) {
    let through = signal.name();
    let mut was_told = false;
    while let Err(error) = signal.listen(&heard).await {
        // While the database is away, one line is enough.
        if was_told {
            tracing::debug!(%error, through, "signals are not heard");
        } else {
            tracing::warn!(%error, through, "signals are not heard: revocations come by polling");
        }
        was_told = true;
        tokio::time::sleep(PAUSE).await;
    }
    tracing::info!(through, "there are no signals to listen to: revocations come by polling");
}
