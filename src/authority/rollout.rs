//! The roll-out as it stands: changed while the service runs, on every replica within a second.
//!
//! The last change in the database holds; while there is none, the settings' initial values do.
//! Each replica reads it several times a second and keeps what it read last while the database
//! is out of reach.

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
/// How often a change is tried that others come before.
const ATTEMPTS: u32 = 8;

/// What is to be changed of the roll-out. `None`: it stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct RolloutOrder {
    /// The share of users who are given JWTs.
    pub percentage: Option<Percentage>,
    /// Whether JWTs are minted at all.
    pub jwt_enabled: Option<bool>,
}

/// The roll-out as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutStatus {
    /// What holds.
    pub rollout: Rollout,
    /// The change that made it so. `None`: there was none, the settings hold.
    pub change: Option<RolloutChange>,
}

/// Knows the roll-out, and changes it.
#[derive(Debug)]
pub struct RolloutControl {
    log: Arc<dyn Rollouts>,
    clock: Arc<dyn Clock>,
    initial: Rollout,
    status: ArcSwap<RolloutStatus>,
    /// One at a time, so that what was read earlier never overwrites what was read later.
    turn: Mutex<()>,
}

impl RolloutControl {
    /// Knows the settings' initial values, until it has read what holds.
    #[must_use]
    pub fn new(log: Arc<dyn Rollouts>, clock: Arc<dyn Clock>, initial: Rollout) -> Self {
        let status = ArcSwap::from_pointee(RolloutStatus { rollout: initial, change: None });
        Self { log, clock, initial, status, turn: Mutex::new(()) }
    }

    /// What holds here, as far as is known.
    #[must_use]
    pub fn current(&self) -> Rollout {
        self.status.load().rollout
    }

    /// As [`Self::current`], and which change made it so.
    #[must_use]
    pub fn status(&self) -> Arc<RolloutStatus> {
        self.status.load_full()
    }

    /// Reads what holds.
    ///
    /// # Errors
    /// Where the database fails. What was known stays known.
    pub async fn read(&self) -> Result<Arc<RolloutStatus>, StoreError> {
        let _turn = self.turn.lock().await;
        let change = self.log.last_change().await?;
        Ok(self.adopt(change))
    }

    /// Changes the roll-out. In force here at once, and on all other replicas when they read it.
    ///
    /// # Errors
    /// Where nothing is to be changed, or the database fails.
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
        for _ in 0..ATTEMPTS {
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

    /// Keeps up with changes until it is dropped.
    pub async fn follow(self: Arc<Self>) {
        let mut blind = false;
        loop {
            tokio::time::sleep(POLL).await;
            match self.read().await {
                Ok(_) if blind => tracing::info!("the roll-out can be read again"),
                Err(error) if !blind => {
                    tracing::warn!(%error, "the roll-out cannot be read: what was known holds");
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

/// What to tell an operator whose settings say something else than what holds. `None`: they agree,
/// or nothing was ever stored.
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
        "JWT_ROLLOUT_PERCENTAGE and JWT_AUTH_ENABLED say {}, but {} was set by {}, and that holds",
        say(initial),
        say(stored.rollout),
        stored.by,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn settings_that_do_not_hold_are_told() {
        let initial = Rollout::COMPLETE;
        let rollout = Rollout { percentage: Percentage::new(25).unwrap(), jwt_enabled: true };
        let stored = RolloutChange { seq: 1, rollout, at: Timestamp::EPOCH, by: "ops".into() };
        assert_eq!(deviation(initial, None), None);
        assert_eq!(deviation(rollout, Some(&stored)), None);
        let told = deviation(initial, Some(&stored)).unwrap();
        assert!(told.contains("25 %") && told.contains("100 %") && told.contains("ops"), "{told}");
    }
}
