//! Waiting for something that must happen soon.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How long tests wait for something that must happen soon, on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(10);

/// Asks until there is an answer.
///
/// # Panics
///
/// Panics with `what` if there is no answer within [`TIMEOUT`].
pub async fn until<T>(what: impl Display, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "timed out: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks until there is an answer, and blocks the thread meanwhile.
///
/// # Panics
///
/// Panics with `what` if there is no answer within [`TIMEOUT`].
pub fn until_blocking<T>(what: impl Display, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::sleep(PAUSE);
    }
}
