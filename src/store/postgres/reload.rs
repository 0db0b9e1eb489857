//! Follows the file that holds the URL, so that a rotated password needs no restart.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::PgRows;
use super::client::Client;
use super::settings;
use super::target::Target;
use crate::store::strict_url::read_url_file;

/// The time between two looks at the file. A refused login looks at once.
const LOOK: Duration = Duration::from_secs(1);

impl PgRows {
    /// Watches the file of the URL, if it came from one, and uses its new content for new
    /// connections. Idle connections are replaced.
    pub async fn follow_url_file(&self) {
        if self.client.options.url_file.is_none() {
            return;
        }
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            self.client.reload_url().await;
        }
    }
}

impl Client {
    /// Reads the file of the URL again. Returns whether the URL has changed since it was last
    /// used.
    pub(super) async fn reload_url(&self) -> bool {
        let Some(path) = self.options.url_file.clone() else { return false };
        let shown = path.display().to_string();
        // Disks may be slow, and other requests may not wait for them.
        let read = tokio::task::spawn_blocking(move || read_url_file(&path)).await;
        let Ok(Ok(url)) = read else {
            // A file that is being replaced may be missing for a moment. The old URL stays in use.
            return false;
        };
        let mut in_use = self.url_in_use.lock().await;
        if *in_use == url {
            return false;
        }
        // Each content is judged once, so that a wrong one is reported once.
        in_use.clone_from(&url);
        match settings::read(&url) {
            Ok(read) => {
                self.replace_target(Target::new(read));
                tracing::info!(file = shown, "the database URL has changed and is in use");
                true
            }
            Err(invalid) => {
                let error = format!("the new URL {invalid}");
                tracing::error!(file = shown, error, "the old database URL stays in use");
                false
            }
        }
    }
}
