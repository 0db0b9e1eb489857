//! Checks of the signing keys: which key signs, whether it can be opened, and when it expires.

use std::time::Duration;

use super::{Finding, Installation};
use crate::clock::Timestamp;
use crate::keys::life::{self, State};
use crate::store::rows::Schema;
use crate::token::key::StoredKey;

/// The rotator checks every second and creates the next key before it is due. A longer delay means
/// that rotation fails.
const OVERDUE: Duration = Duration::from_mins(10);
/// If the last key expires within this time, the finding is an error.
const EXPIRES_SOON: Duration = Duration::from_hours(1);

/// Returns the stored keys if they could be read. An old schema has its own finding.
fn stored<'a>(installation: &'a Installation<'_>) -> Option<&'a [StoredKey]> {
    let facts = installation.database.reached()?;
    let is_old = matches!(facts.schema, Ok(Schema::Behind { .. }) | Err(_));
    facts.keys.as_deref().ok().filter(|_| !is_old)
}

/// Returns the stored keys if `JWT_ALGORITHM` uses key pairs.
fn signing<'a>(installation: &'a Installation<'_>) -> Option<&'a [StoredKey]> {
    stored(installation).filter(|_| installation.config.keys.algorithm.is_asymmetric())
}

fn find(keys: &[StoredKey], state: State, now: Timestamp) -> Option<&StoredKey> {
    (0..keys.len()).find(|at| life::span(keys, *at).state(now) == state).map(|at| &keys[at])
}

/// Reports which key signs.
pub(super) fn active(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "keys.signing";
    let Some(keys) = stored(installation) else { return Vec::new() };
    let (algorithm, now) = (installation.config.keys.algorithm, installation.now);
    vec![match find(keys, State::Active, now) {
        None if !algorithm.is_asymmetric() => Finding::ok(name, "JWT_SECRET signs with HS256"),
        Some(_) if !algorithm.is_asymmetric() => {
            let message = "JWT_SECRET signs with HS256; stored key pairs still verify. If none of them \
                           will sign again, retire them with `token-authority keys retire`";
            Finding::info(name, message)
        }
        Some(key) if key.algorithm == algorithm.as_str() => {
            Finding::ok(name, format!("{} signs with {algorithm}", key.kid))
        }
        Some(key) => {
            let message = format!(
                "{} signs with {}; the next start creates a key for {algorithm}",
                key.kid, key.algorithm
            );
            Finding::info(name, message)
        }
        None => Finding::info(name, "no key pair signs yet; the next start creates one"),
    }]
}

/// Checks that `AUTHORITY_SECRET` opens the current and the next signing key.
pub(super) fn opened(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "keys.opened";
    let (Some(keys), Some(secret)) = (signing(installation), &installation.config.authority_secret)
    else {
        return Vec::new();
    };
    let own = secret.fingerprint();
    let closed = |state| find(keys, state, installation.now).filter(|key| key.sealed_with != own);
    let describe = |key: &StoredKey, what: &str| {
        let StoredKey { kid, sealed_with, .. } = key;
        format!(
            "AUTHORITY_SECRET (fingerprint {own}) does not open {kid}, {what}, which was sealed with \
             the secret of fingerprint {sealed_with}"
        )
    };
    if let Some(key) = closed(State::Active) {
        let message = describe(key, "the signing key");
        return vec![Finding::error(
            name,
            format!("{message}: the service cannot start; set that secret"),
        )];
    }
    if let Some(key) = closed(State::Prepared) {
        let message = describe(key, "the next signing key");
        let remedy = "set that secret before the key becomes active";
        return vec![Finding::warn(name, format!("{message}: {remedy}"))];
    }
    let any = find(keys, State::Active, installation.now);
    any.map(|_| Finding::ok(name, "AUTHORITY_SECRET opens the signing key")).into_iter().collect()
}

/// Checks whether every stored key pair expires.
pub(super) fn ending(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "keys.expiry";
    let Some(keys) = signing(installation).filter(|keys| !keys.is_empty()) else {
        return Vec::new();
    };
    let ends = (0..keys.len()).map(|at| life::span(keys, at).ends);
    let last = ends.reduce(|one, other| Some(one?.max(other?))).flatten();
    let advice = "a running replica creates another within seconds: does one run with the same \
                  JWT_ALGORITHM?";
    match last {
        None => vec![Finding::ok(name, "the signing key has no expiry")],
        Some(end) if end <= installation.now => {
            vec![Finding::error(name, format!("every stored key pair has expired; {advice}"))]
        }
        Some(end) if end <= installation.now + EXPIRES_SOON => {
            let minutes = end.since(installation.now).as_secs() / 60;
            let message =
                format!("every stored key pair expires within {minutes} minutes; {advice}");
            vec![Finding::error(name, message)]
        }
        Some(_) => {
            vec![Finding::warn(name, format!("every stored key pair will expire; {advice}"))]
        }
    }
}

/// Checks whether the next rotation is overdue.
pub(super) fn rotation(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "keys.rotation";
    let Some(newest) = signing(installation).and_then(<[_]>::last) else { return Vec::new() };
    let Some(every) = installation.config.keys.rotate_every else {
        return vec![Finding::info(
            name,
            "KEY_ROTATION_DAYS=0: only `keys rotate` creates the next key",
        )];
    };
    let due = newest.activates_at + every;
    if installation.now <= due + OVERDUE {
        let days = due.since(installation.now).as_secs() / 86_400;
        return vec![Finding::ok(name, format!("the next key pair is due in {days} days"))];
    }
    let hours = installation.now.since(due).as_secs() / 3600;
    let message = format!(
        "{} was due for rotation {hours} hours ago: does the service run, and does it log that it \
         cannot rotate the signing keys?",
        newest.kid
    );
    vec![Finding::warn(name, message)]
}
