//! Signals: SIGTERM and SIGINT end the process, SIGHUP reloads files, SIGUSR1 and SIGUSR2 are ignored.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long a repeated signal counts as the same request. A wrapper such as npm passes a signal on
/// that the terminal already sent to the whole process group.
const REPEAT_WINDOW: Duration = Duration::from_secs(1);

/// A subscription to the signals that end the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Subscribes to the signals.
    ///
    /// # Errors
    /// Returns the operating system's error if it does not let signals be caught.
    pub fn catch() -> io::Result<Self> {
        // A caught signal keeps its handler for good. Without one, each of these ends the process.
        for kind in [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::user_defined2()]
        {
            drop(signal(kind)?);
        }
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: signal(terminate)?, interrupt: signal(interrupt)? })
    }

    /// Waits for the next signal and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits for a signal that is not a repetition of the previous one.
    pub async fn another(&mut self) -> &'static str {
        tokio::time::sleep(REPEAT_WINDOW).await;
        // A new subscription does not see the signals that arrived during the wait.
        match Self::catch() {
            Ok(mut anew) => anew.next().await,
            Err(_) => self.next().await,
        }
    }
}

/// The signal that asks the process to reload its files.
#[derive(Debug)]
pub struct Hangup(Option<Signal>);

impl Hangup {
    /// Subscribes to SIGHUP. Files are reloaded anyway when they change, so a failure is not an error.
    #[must_use]
    pub fn subscribe() -> Self {
        Self(signal(SignalKind::hangup()).ok())
    }

    /// Waits for the next SIGHUP.
    pub async fn next(&mut self) {
        if let Some(hangup) = &mut self.0
            && hangup.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
