//! Checks of the legacy sessions.

use super::database::in_the_clear;
use super::{Finding, Installation};

/// Checks that the configured table and columns can be read.
pub(super) fn readable(installation: &Installation<'_>) -> Vec<Finding> {
    let (Some(settings), Some(result)) = (&installation.config.legacy, &installation.legacy) else {
        return Vec::new();
    };
    let table = settings.table.table.quoted();
    vec![match result {
        Ok(_) => Finding::ok("legacy.readable", format!("{table} can be read")),
        Err(why) => {
            let message = format!(
                "{table} cannot be read: {why}. Does it exist, does it have the columns that the \
                 LEGACY_SESSIONS settings name, and may this user SELECT from it?"
            );
            Finding::error("legacy.readable", message)
        }
    }]
}

/// Checks that the first rows have a valid user id and a valid end. A column of another type or another
/// meaning has none.
pub(super) fn rows(installation: &Installation<'_>) -> Vec<Finding> {
    let (Some(settings), Some(Ok(sample))) = (&installation.config.legacy, &installation.legacy)
    else {
        return Vec::new();
    };
    let message = sample.problem(&settings.table);
    let finding = if sample.invalid == sample.rows { Finding::error } else { Finding::info };
    message.map(|message| finding("legacy.rows", message)).into_iter().collect()
}

/// Checks that the connection is encrypted.
pub(super) fn encrypted(installation: &Installation<'_>) -> Vec<Finding> {
    let place = installation.legacy_place.as_ref();
    let message = place.and_then(|place| in_the_clear(place, "LEGACY_DATABASE_URL"));
    message.map(|message| Finding::warn("legacy.encrypted", message)).into_iter().collect()
}

/// Reports that signed cookies of the auth-server cannot be verified.
pub(super) fn signed(installation: &Installation<'_>) -> Vec<Finding> {
    if installation.config.legacy.is_none() || installation.config.auth_server_secret.is_some() {
        return Vec::new();
    }
    let message = "BETTER_AUTH_SECRET is not set: signed cookies of legacy sessions are refused, only \
                   plain tokens are accepted";
    vec![Finding::info("legacy.signed", message)]
}
