//! Checks of the sessions that were there before.

use super::database::in_the_clear;
use super::{Finding, Installation};

/// Whether their table answers, as its names are set.
pub(super) fn readable(installation: &Installation<'_>) -> Vec<Finding> {
    let (Some(settings), Some(looked)) = (&installation.config.legacy, &installation.legacy) else {
        return Vec::new();
    };
    let table = settings.table.table.quoted();
    vec![match looked {
        Ok(()) => Finding::ok("legacy.readable", format!("{table} answers")),
        Err(why) => {
            let message = format!(
                "{table} cannot be looked up in: {why}. Is it there, has it the columns that \
                 LEGACY_SESSIONS says, and may this user SELECT from it?"
            );
            Finding::error("legacy.readable", message)
        }
    }]
}

/// Whether others may listen.
pub(super) fn encrypted(installation: &Installation<'_>) -> Vec<Finding> {
    let place = installation.legacy_place.as_ref();
    let message = place.and_then(|place| in_the_clear(place, "LEGACY_DATABASE_URL"));
    message.map(|message| Finding::warn("legacy.encrypted", message)).into_iter().collect()
}

/// Whether the auth-server's cookies can be judged.
pub(super) fn signed(installation: &Installation<'_>) -> Vec<Finding> {
    if installation.config.legacy.is_none() || installation.config.auth_server_secret.is_some() {
        return Vec::new();
    }
    let message = "BETTER_AUTH_SECRET is not set: of legacy sessions only the plain token is \
                   accepted, and a signed cookie is refused as of an unknown key";
    vec![Finding::info("legacy.signed", message)]
}
