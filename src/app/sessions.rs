//! Sessions for the command line, which works on the database while the replicas run.

use std::sync::Arc;

use super::database::{Database, open_database};
use super::{AppError, feed};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::store::{
    Audit, Ended, EventPosition, EventsOf, Notifier, Revoke, Rows, Store, StoreError,
};
use crate::token::event::SessionEvent;
use crate::token::id::{SessionId, UserId};
use crate::token::session::Session;

/// How many sessions one statement reads.
const PAGE_SIZE: u32 = 1000;

/// The sessions of a database.
#[derive(Debug)]
pub struct Sessions {
    store: Store,
    rows: Arc<dyn Rows>,
    signals: Vec<Arc<dyn Notifier>>,
}

impl Sessions {
    /// Opens the database that the settings name.
    ///
    /// # Errors
    /// Returns [`AppError`] if the database cannot be opened.
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

    /// Returns all live sessions of a user, newest first.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn of(&self, user_id: &UserId) -> Result<Vec<Session>, StoreError> {
        let now = SystemClock.now();
        let mut all: Vec<Session> = Vec::new();
        loop {
            let before = all.last().map(|session| session.id);
            let page = self.store.list(user_id, before, PAGE_SIZE, now).await?;
            let is_last = page.len() < PAGE_SIZE as usize;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Revokes sessions in an operator's name as the RPCs do: through the feed that all replicas follow, and with a
    /// notification to read it at once. Returns the ids of the sessions that were live.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn revoke(&self, revoke: Revoke, actor: &str) -> Result<Vec<SessionId>, StoreError> {
        let ended = self.store.revoke(revoke, Audit { actor, at: SystemClock.now() }).await?;
        self.notify(&ended).await;
        Ok(ended.into_iter().map(|ended| ended.session.id).collect())
    }

    /// Returns the history of sessions, newest first.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn events(&self, of: &EventsOf) -> Result<Vec<SessionEvent>, StoreError> {
        let mut all: Vec<SessionEvent> = Vec::new();
        loop {
            let before = all.last().map(EventPosition::of);
            let page = self.store.events(of, before, PAGE_SIZE).await?;
            let is_last = page.len() < PAGE_SIZE as usize;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Revokes a user's sessions and removes everything about the user from the database. Returns how
    /// many sessions there were.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn erase(&self, user_id: &UserId, actor: &str) -> Result<usize, StoreError> {
        let audit = Audit { actor, at: SystemClock.now() };
        let erased = self.store.erase_user(user_id, audit).await?;
        self.notify(&erased).await;
        Ok(erased.len())
    }

    async fn notify(&self, ended: &[Ended]) {
        if ended.is_empty() {
            return;
        }
        for signal in &self.signals {
            if let Err(error) = signal.raise().await {
                // The replicas poll the feed anyway, a quarter of a second later.
                tracing::debug!(%error, through = signal.name(), "cannot notify replicas");
            }
        }
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.rows.close().await;
    }
}
