//! Checks of the signing keys: which one signs, whether it can be opened, and when it ends.

use std::time::Duration;

use super::{Finding, Installation};
use crate::clock::Timestamp;
use crate::keys::life::{self, State};
use crate::store::rows::Schema;
use crate::token::key::StoredKey;

/// Whoever keeps the keys looks each second, and makes the next one before it is due.
const OVERDUE: Duration = Duration::from_mins(10);
/// The end of the last key is no surprise any more.
const DUE_SOON: Duration = Duration::from_hours(1);

/// The stored keys, if they could be read. An old schema has its own finding.
fn stored<'a>(installation: &'a Installation<'_>) -> Option<&'a [StoredKey]> {
    let facts = installation.database.reached()?;
    let is_old = matches!(facts.schema, Ok(Schema::Behind { .. }) | Err(_));
    facts.keys.as_deref().ok().filter(|_| !is_old)
}

/// As [`stored`], where they are what signs.
fn signing<'a>(installation: &'a Installation<'_>) -> Option<&'a [StoredKey]> {
    stored(installation).filter(|_| installation.config.keys.algorithm.is_asymmetric())
}

fn find(keys: &[StoredKey], state: State, now: Timestamp) -> Option<&StoredKey> {
    (0..keys.len()).find(|at| life::span(keys, *at).state(now) == state).map(|at| &keys[at])
}

/// What signs.
pub(super) fn active(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "keys.signing";
    let Some(keys) = stored(installation) else { return Vec::new() };
    let (algorithm, now) = (installation.config.keys.algorithm, installation.now);
    vec![match find(keys, State::Active, now) {
        None if !algorithm.is_asymmetric() => Finding::ok(name, "JWT_SECRET signs, by HS256"),
        Some(_) if !algorithm.is_asymmetric() => {
            let message = "JWT_SECRET signs, by HS256; stored key pairs verify for good: if none \
                           of them is to sign again, end them with `token-authority keys retire`";
            Finding::info(name, message)
        }
        Some(key) if key.algorithm == algorithm.as_str() => {
            Finding::ok(name, format!("{} signs, by {algorithm}", key.kid))
        }
        Some(key) => {
            let message = format!(
                "{} signs, by {}: the next start makes a key for {algorithm}",
                key.kid, key.algorithm
            );
            Finding::info(name, message)
        }
        None => Finding::info(name, "no key pair signs yet: the next start makes one"),
    }]
}

/// Whether the secret opens what signs, and what will.
pub(super) fn opened(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "keys.opened";
    let (Some(keys), Some(secret)) = (signing(installation), &installation.config.authority_secret)
    else {
        return Vec::new();
    };
    let own = secret.fingerprint();
    let closed = |state| find(keys, state, installation.now).filter(|key| key.sealed_with != own);
    let tell = |key: &StoredKey, what: &str| {
        let StoredKey { kid, sealed_with, .. } = key;
        format!(
            "AUTHORITY_SECRET (fingerprint {own}) does not open {kid}, {what}, which was sealed \
             with the secret of fingerprint {sealed_with}"
        )
    };
    if let Some(key) = closed(State::Active) {
        let message = tell(key, "the key that signs");
        return vec![Finding::error(name, format!("{message}: the service does not start"))];
    }
    if let Some(key) = closed(State::Prepared) {
        let message = tell(key, "the key that will sign next");
        let remedy = "give it the other secret before then";
        return vec![Finding::warn(name, format!("{message}: {remedy}"))];
    }
    let any = find(keys, State::Active, installation.now);
    any.map(|_| Finding::ok(name, "AUTHORITY_SECRET opens it")).into_iter().collect()
}

/// Whether all of them end.
pub(super) fn ending(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "keys.expiry";
    let Some(keys) = signing(installation).filter(|keys| !keys.is_empty()) else {
        return Vec::new();
    };
    let ends = (0..keys.len()).map(|at| life::span(keys, at).ends);
    let last = ends.reduce(|one, other| Some(one?.max(other?))).flatten();
    let advice = "while a replica runs it makes another within seconds: does one, with the same \
                  JWT_ALGORITHM?";
    match last {
        None => vec![Finding::ok(name, "no end is set to the key that signs")],
        Some(end) if end <= installation.now => {
            vec![Finding::error(name, format!("every stored key pair has ended; {advice}"))]
        }
        Some(end) if end <= installation.now + DUE_SOON => {
            let minutes = end.since(installation.now).as_secs() / 60;
            let message = format!("every stored key pair ends within {minutes} minutes; {advice}");
            vec![Finding::error(name, message)]
        }
        Some(_) => vec![Finding::warn(name, format!("every stored key pair will end; {advice}"))],
    }
}

/// Whether the next one is late.
pub(super) fn rotation(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "keys.rotation";
    let Some(newest) = signing(installation).and_then(<[_]>::last) else { return Vec::new() };
    let Some(every) = installation.config.keys.rotate_every else {
        return vec![Finding::info(name, "KEY_ROTATION_DAYS=0: only `keys rotate` makes the next")];
    };
    let due = newest.activates_at + every;
    if installation.now <= due + OVERDUE {
        let days = due.since(installation.now).as_secs() / 86_400;
        return vec![Finding::ok(name, format!("the next key pair is due in {days} days"))];
    }
    let hours = installation.now.since(due).as_secs() / 3600;
    let message = format!(
        "{} should have had a successor {hours} hours ago: does the service run, and does it log \
         that the signing keys cannot be kept?",
        newest.kid
    );
    vec![Finding::warn(name, message)]
}
