//! Checks of lifetimes against each other.

use std::time::Duration;

use super::{Finding, Installation};
use crate::store::sessions::STATEMENT_TIMEOUT;

/// Compares the concurrency window with the slowest response and with the access token's lifetime.
pub(super) fn window(installation: &Installation<'_>) -> Vec<Finding> {
    let tokens = &installation.config.tokens;
    let window = tokens.rotation.window;
    let least = STATEMENT_TIMEOUT * 2;
    if tokens.rotation.rotation && window < least {
        let message = format!(
            "REFRESH_CONCURRENCY_WINDOW_SECONDS={} is less than twice the {} s that the database may \
             take: simultaneous refreshes of several tabs can be mistaken for theft; raise it",
            window.as_secs(),
            STATEMENT_TIMEOUT.as_secs()
        );
        return vec![Finding::error("lifetimes.window", message)];
    }
    if window >= tokens.access_lifetime {
        let message = format!(
            "REFRESH_CONCURRENCY_WINDOW_SECONDS={} is not less than the access token's lifetime of \
             {} s: most refreshes find a young token, and a theft is detected late; lower it",
            window.as_secs(),
            tokens.access_lifetime.as_secs()
        );
        return vec![Finding::warn("lifetimes.window", message)];
    }
    vec![Finding::ok("lifetimes.window", format!("{} s", window.as_secs()))]
}

/// Finds access tokens that stay valid for a long time after a revocation.
pub(super) fn access_token(installation: &Installation<'_>) -> Vec<Finding> {
    let lifetime = installation.config.tokens.access_lifetime;
    if lifetime > Duration::from_hours(2) {
        let message = format!(
            "JWT_ACCESS_TOKEN_EXPIRE_MINUTES={}: backends that verify locally accept the token of a \
             revoked session for that long; 30 or less is usual",
            lifetime.as_secs() / 60
        );
        return vec![Finding::warn("lifetimes.access_token", message)];
    }
    Vec::new()
}

/// Compares the leeway with the access token's lifetime.
pub(super) fn leeway(installation: &Installation<'_>) -> Vec<Finding> {
    let tokens = &installation.config.tokens;
    if tokens.leeway * 2 > tokens.access_lifetime {
        let message = format!(
            "JWT_LEEWAY_SECONDS={} is more than half of the access token's lifetime of {} s",
            tokens.leeway.as_secs(),
            tokens.access_lifetime.as_secs()
        );
        return vec![Finding::warn("lifetimes.leeway", message)];
    }
    Vec::new()
}

/// Reports that refresh tokens are not rotated.
pub(super) fn rotation(installation: &Installation<'_>) -> Vec<Finding> {
    if installation.config.tokens.rotation.rotation {
        return Vec::new();
    }
    let message =
        "REFRESH_TOKEN_ROTATION=false: the use of a stolen refresh token is never detected";
    vec![Finding::warn("lifetimes.rotation", message)]
}
