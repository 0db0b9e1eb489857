//! Reads the roll-out at the start, before the first token is minted.

use std::sync::Arc;

use crate::authority::RolloutControl;
use crate::authority::rollout::deviation;
use crate::clock::Clock;
use crate::store::Rollouts;
use crate::token::rollout::Rollout;

/// Reads the roll-out. If the database is not reachable, the service starts anyway and uses the
/// settings until the database is back.
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
        Err(error) => tracing::warn!(%error, "cannot read the stored roll-out; using the settings"),
    }
    control
}
