//! What ends the process: SIGTERM and SIGINT.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Within how long the same wish may arrive twice: from the terminal or the supervisor, and once
/// more from a wrapper that passes signals on.
const TWICE: Duration = Duration::from_secs(1);

/// The signals that end the process, caught from now on.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them.
    ///
    /// # Errors
    /// Where the operating system does not let signals be caught.
    pub fn catch() -> io::Result<Self> {
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: signal(terminate)?, interrupt: signal(interrupt)? })
    }

    /// The next one.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// The next one that is not the last one over again.
    pub async fn another(&mut self) -> &'static str {
        tokio::time::sleep(TWICE).await;
        // Those that came meanwhile are forgotten with whoever would have been told.
        match Self::catch() {
            Ok(mut anew) => anew.next().await,
            Err(_) => self.next().await,
        }
    }
}
