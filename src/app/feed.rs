//! Connects the revocation feed with the notifications that announce new entries.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::AppError;
use crate::authority::Revocations;
use crate::authority::revocations::{follow, signals};
use crate::config::Config;
use crate::store::redis::RedisSignal;
use crate::store::{Notifier, Store};

/// Returns the notifiers that the settings ask for, and the database's own.
pub(super) fn signals(
    database: Option<Arc<dyn Notifier>>,
    config: &Config,
) -> Result<Vec<Arc<dyn Notifier>>, AppError> {
    let mut all: Vec<Arc<dyn Notifier>> = database.into_iter().collect();
    if let Some(url) = &config.redis {
        all.push(Arc::new(RedisSignal::new(url, config.redis_url_file.clone())?));
    }
    Ok(all)
}

/// Starts the tasks that follow the feed and exchange notifications.
pub(super) fn start(
    store: &Arc<Store>,
    revocations: &Arc<Revocations>,
    signals: &[Arc<dyn Notifier>],
) -> Vec<AbortHandle> {
    let heard = Arc::new(Notify::new());
    let following = follow::follow(Arc::clone(store), Arc::clone(revocations), Arc::clone(&heard));
    let mut tasks = vec![tokio::spawn(following).abort_handle()];
    for signal in signals {
        let raising = signals::raise(Arc::clone(revocations), Arc::clone(signal));
        tasks.push(tokio::spawn(raising).abort_handle());
        let listening = signals::listen(Arc::clone(signal), Arc::clone(&heard));
        tasks.push(tokio::spawn(listening).abort_handle());
    }
    tasks
}
