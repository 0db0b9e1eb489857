//! Sessions for an operator at the command line, who works on the database beside the replicas.

use std::sync::Arc;

use super::{AppError, Database, feed, open_database};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::store::{Notifier, Revoke, Rows, Store, StoreError};
use crate::token::id::{SessionId, UserId};
use crate::token::session::Session;

/// How many sessions are asked for at once.
const PAGE: u32 = 1000;

/// The sessions of a database.
#[derive(Debug)]
pub struct Sessions {
    store: Store,
    rows: Arc<dyn Rows>,
    signals: Vec<Arc<dyn Notifier>>,
}

impl Sessions {
    /// Those of the database that the settings name.
    ///
    /// # Errors
    /// Where the database cannot be opened.
    pub async fn open(config: &Config) -> Result<Self, AppError> {
        let Database { rows, signal, .. } = open_database(config).await?;
        let signals = feed::signals(signal, config)?;
        let (rotation, revocation_retention) =
            (config.tokens.rotation, config.tokens.revocation_retention());
        Ok(Self {
            store: Store::new(Arc::clone(&rows), rotation, revocation_retention),
            rows,
            signals,
        })
    }

    /// All live sessions of a user, newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn of(&self, user_id: &UserId) -> Result<Vec<Session>, StoreError> {
        let now = SystemClock.now();
        let mut all: Vec<Session> = Vec::new();
        loop {
            let before = all.last().map(|session| session.id);
            let page = self.store.list(user_id, before, PAGE, now).await?;
            let is_last = page.len() < PAGE as usize;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Ends sessions, as the RPCs do: in the feed that all replicas follow, and with a signal to
    /// look there at once. The ids of those that were live until now.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn revoke(&self, revoke: Revoke) -> Result<Vec<SessionId>, StoreError> {
        let ended = self.store.revoke(revoke, SystemClock.now()).await?;
        if !ended.is_empty() {
            for signal in &self.signals {
                if let Err(error) = signal.raise().await {
                    // They look by themselves, a quarter of a second later.
                    tracing::debug!(%error, through = signal.name(), "no signal");
                }
            }
        }
        Ok(ended.into_iter().map(|session| session.id).collect())
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.rows.close().await;
    }
}
