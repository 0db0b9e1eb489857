//! Checks of durations against each other.

use std::time::Duration;

use super::{Finding, Installation};
use crate::store::sessions::STATEMENT_TIMEOUT;

/// The concurrency window against the slowest answer and the access token's life.
pub(super) fn window(installation: &Installation<'_>) -> Vec<Finding> {
    let tokens = &installation.config.tokens;
    let window = tokens.rotation.window;
    let least = STATEMENT_TIMEOUT * 2;
    if tokens.rotation.rotation && window < least {
        let message = format!(
            "REFRESH_CONCURRENCY_WINDOW_SECONDS={} is less than twice the {} s that the database \
             alone may take: tabs that refresh at once may be taken for thieves and logged out",
            window.as_secs(),
            STATEMENT_TIMEOUT.as_secs()
        );
        return vec![Finding::error("lifetimes.window", message)];
    }
    if window >= tokens.access_lifetime {
        let message = format!(
            "REFRESH_CONCURRENCY_WINDOW_SECONDS={} is not less than the access token's life of {} \
             s: most refreshes find the token young, and a theft is found out late",
            window.as_secs(),
            tokens.access_lifetime.as_secs()
        );
        return vec![Finding::warn("lifetimes.window", message)];
    }
    vec![Finding::ok("lifetimes.window", format!("{} s", window.as_secs()))]
}

/// Access tokens that outlive their revocation for long.
pub(super) fn access_token(installation: &Installation<'_>) -> Vec<Finding> {
    let lifetime = installation.config.tokens.access_lifetime;
    if lifetime > Duration::from_hours(2) {
        let message = format!(
            "JWT_ACCESS_TOKEN_EXPIRE_MINUTES={}: backends that verify by themselves accept a \
             revoked session's token for that long; 30 or less is usual",
            lifetime.as_secs() / 60
        );
        return vec![Finding::warn("lifetimes.access_token", message)];
    }
    Vec::new()
}

/// A leeway that eats up the access token's life.
pub(super) fn leeway(installation: &Installation<'_>) -> Vec<Finding> {
    let tokens = &installation.config.tokens;
    if tokens.leeway * 2 > tokens.access_lifetime {
        let message = format!(
            "JWT_LEEWAY_SECONDS={} is more than half of the access token's life of {} s",
            tokens.leeway.as_secs(),
            tokens.access_lifetime.as_secs()
        );
        return vec![Finding::warn("lifetimes.leeway", message)];
    }
    Vec::new()
}

/// Refresh tokens that stay the same.
pub(super) fn rotation(installation: &Installation<'_>) -> Vec<Finding> {
    if installation.config.tokens.rotation.rotation {
        return Vec::new();
    }
    let message = "REFRESH_TOKEN_ROTATION=false: a stolen refresh token is never found out";
    vec![Finding::warn("lifetimes.rotation", message)]
}
