//! The roll-out at the start: read before the first token is minted.

use std::sync::Arc;

use crate::authority::RolloutControl;
use crate::authority::rollout::deviation;
use crate::clock::Clock;
use crate::store::Rollouts;
use crate::token::rollout::Rollout;

/// Reads the roll-out. A database out of reach is no reason not to start: until it is back, the
/// settings hold.
pub(super) async fn begin(
    log: Arc<dyn Rollouts>,
    clock: Arc<dyn Clock>,
    initial: Rollout,
) -> Arc<RolloutControl> {
    let control = Arc::new(RolloutControl::new(log, clock, initial));
    match control.read().await {
        Ok(status) => {
            if let Some(deviation) = deviation(initial, status.change.as_ref()) {
                tracing::warn!("{deviation}");
            }
        }
        Err(error) => tracing::warn!(%error, "the roll-out cannot be read: the settings hold"),
    }
    control
}
