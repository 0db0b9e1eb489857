//! The current roll-out. It changes while the service runs, on every replica within a second.
//!
//! The last change in the database applies. Before the first change, the settings apply. Each replica
//! reads the change several times a second. While the database is unreachable, the replica keeps
//! what it read last.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::AuthorityError;
use crate::clock::Clock;
use crate::store::{RolloutChange, Rollouts, StoreError};
use crate::token::field::InvalidField;
use crate::token::rollout::{Percentage, Rollout};

/// How often a replica reads the roll-out.
pub const POLL: Duration = Duration::from_millis(250);
/// How often a change is tried again after another one was stored first.
const MAX_ATTEMPTS: u32 = 8;

/// A requested change of the roll-out. `None`: the value stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct RolloutOrder {
    /// The share of users who get JWTs.
    pub percentage: Option<Percentage>,
    /// Whether JWTs are minted at all.
    pub jwt_enabled: Option<bool>,
}

/// The current roll-out and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutStatus {
    /// The rule that applies.
    pub rollout: Rollout,
    /// The stored change. `None`: there was none, so the settings apply.
    pub change: Option<RolloutChange>,
}

/// Reads and changes the roll-out.
#[derive(Debug)]
pub struct RolloutControl {
    log: Arc<dyn Rollouts>,
    clock: Arc<dyn Clock>,
    initial: Rollout,
    status: ArcSwap<RolloutStatus>,
    /// Serializes reads and changes, so that an earlier read never overwrites a later one.
    turn: Mutex<()>,
}

impl RolloutControl {
    /// Creates the control. The settings apply until the first read.
    #[must_use]
    pub fn new(log: Arc<dyn Rollouts>, clock: Arc<dyn Clock>, initial: Rollout) -> Self {
        let status = ArcSwap::from_pointee(RolloutStatus { rollout: initial, change: None });
        Self { log, clock, initial, status, turn: Mutex::new(()) }
    }

    /// Returns the rule that this replica applies.
    #[must_use]
    pub fn current(&self) -> Rollout {
        self.status.load().rollout
    }

    /// Returns the rule that this replica applies, and its origin.
    #[must_use]
    pub fn status(&self) -> Arc<RolloutStatus> {
        self.status.load_full()
    }

    /// Reads the last change.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails. The last known rule stays in force.
    pub async fn read(&self) -> Result<Arc<RolloutStatus>, StoreError> {
        let _turn = self.turn.lock().await;
        let change = self.log.last_change().await?;
        Ok(self.adopt(change))
    }

    /// Changes the roll-out: here at once, on other replicas with their next read.
    ///
    /// # Errors
    /// Returns [`AuthorityError`] if the request contains no change, or the database fails.
    pub async fn set(
        &self,
        order: RolloutOrder,
        by: &str,
    ) -> Result<Arc<RolloutStatus>, AuthorityError> {
        if order.percentage.is_none() && order.jwt_enabled.is_none() {
            let rule = "is required, or jwt_enabled is";
            return Err(InvalidField::new("percentage", rule).into());
        }
        let _turn = self.turn.lock().await;
        for _ in 0..MAX_ATTEMPTS {
            let last = self.log.last_change().await?;
            let before = last.as_ref().map_or(self.initial, |last| last.rollout);
            let change = RolloutChange {
                seq: last.map_or(1, |last| last.seq + 1),
                rollout: Rollout {
                    percentage: order.percentage.unwrap_or(before.percentage),
                    jwt_enabled: order.jwt_enabled.unwrap_or(before.jwt_enabled),
                },
                at: self.clock.now(),
                by: by.to_owned(),
            };
            if self.log.append_change(&change).await? {
                return Ok(self.adopt(Some(change)));
            }
        }
        Err(StoreError::Unavailable("the roll-out is changed too often".into()).into())
    }

    /// Reads changes until it is dropped.
    pub async fn follow(self: Arc<Self>) {
        let mut blind = false;
        loop {
            tokio::time::sleep(POLL).await;
            match self.read().await {
                Ok(_) if blind => tracing::info!("the roll-out can be read again"),
                Err(error) if !blind => {
                    tracing::warn!(%error, "the roll-out cannot be read: the last known one stays in force");
                    blind = true;
                    continue;
                }
                Err(_) => continue,
                Ok(_) => {}
            }
            blind = false;
        }
    }

    fn adopt(&self, change: Option<RolloutChange>) -> Arc<RolloutStatus> {
        let rollout = change.as_ref().map_or(self.initial, |change| change.rollout);
        let status = Arc::new(RolloutStatus { rollout, change });
        let before = self.status.swap(Arc::clone(&status));
        if before.rollout != rollout {
            tracing::info!(
                percentage = rollout.percentage.number(),
                jwt_enabled = rollout.jwt_enabled,
                by = status.change.as_ref().map_or("", |change| &change.by),
                "the roll-out changed"
            );
        }
        status
    }
}

/// Returns a message if the stored roll-out differs from the settings. `None`: they agree, or no
/// change is stored.
#[must_use]
pub fn deviation(initial: Rollout, stored: Option<&RolloutChange>) -> Option<String> {
    let stored = stored.filter(|stored| stored.rollout != initial)?;
    let say = |rollout: Rollout| {
        let enabled = rollout.jwt_enabled;
        format!(
            "{} % with JWTs {}",
            rollout.percentage.number(),
            if enabled { "on" } else { "off" }
        )
    };
    Some(format!(
        "The stored roll-out ({}, set by {}) overrides JWT_ROLLOUT_PERCENTAGE and JWT_AUTH_ENABLED \
         ({})",
        say(stored.rollout),
        stored.by,
        say(initial),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn overridden_settings_are_reported() {
        let initial = Rollout::COMPLETE;
        let rollout = Rollout { percentage: Percentage::new(25).unwrap(), jwt_enabled: true };
        let stored = RolloutChange { seq: 1, rollout, at: Timestamp::EPOCH, by: "ops".into() };
        assert_eq!(deviation(initial, None), None);
        assert_eq!(deviation(rollout, Some(&stored)), None);
        let warning = deviation(initial, Some(&stored)).unwrap();
        assert!(
            warning.contains("25 %") && warning.contains("100 %") && warning.contains("ops"),
            "{warning}"
        );
    }
}
