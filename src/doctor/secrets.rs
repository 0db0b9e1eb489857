//! Checks of the secrets, of which nothing but a fingerprint is ever told.

use super::{Finding, Installation};
use crate::keys::Secret;

fn all<'a>(installation: &'a Installation<'_>) -> [(&'static str, Option<&'a Secret>); 4] {
    [
        ("JWT_SECRET", installation.jwt_secret.as_ref()),
        ("JWT_SECRET_PREVIOUS", installation.config.jwt_secret_previous.as_ref()),
        ("AUTHORITY_SECRET", installation.config.authority_secret.as_ref()),
        ("BETTER_AUTH_SECRET", installation.config.auth_server_secret.as_ref()),
    ]
}

/// Tells the fingerprints, which have to be the same on every replica.
pub(super) fn fingerprints(installation: &Installation<'_>) -> Vec<Finding> {
    let tell = |(name, secret): (&str, Option<&Secret>)| {
        secret.map(|secret| format!("{name} {}", secret.fingerprint()))
    };
    let told: Vec<_> = all(installation).into_iter().filter_map(tell).collect();
    if told.is_empty() {
        let message = "no secret yet: one is made at the first start";
        return vec![Finding::info("secrets.fingerprints", message)];
    }
    vec![Finding::info("secrets.fingerprints", told.join(", "))]
}

/// One secret under two names: who may know the one could do the other's work.
pub(super) fn shared(installation: &Installation<'_>) -> Vec<Finding> {
    let all = all(installation);
    let mut findings = Vec::new();
    for (at, (one, first)) in all.iter().enumerate() {
        for (other, second) in &all[at + 1..] {
            if first.is_some() && first == second {
                let message = format!(
                    "{one} equals {other}, and each is known to others than the other: \
                     make a new {one} with `openssl rand -base64 48`"
                );
                findings.push(Finding::error("secrets.shared", message));
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("secrets.shared", "no two secrets are the same"));
    }
    findings
}

/// Long enough in bytes, but made of hex digits, which hold four bits each.
pub(super) fn short_of_randomness(installation: &Installation<'_>) -> Vec<Finding> {
    let short = |secret: &Secret| {
        let bytes = secret.expose();
        bytes.len() < 64 && bytes.iter().all(u8::is_ascii_hexdigit)
    };
    let weak = all(installation).into_iter().filter(|(_, secret)| secret.is_some_and(short));
    weak.map(|(name, secret)| {
        let bits = secret.map_or(0, |secret| secret.expose().len()) * 4;
        let message = format!(
            "{name} is made of hex digits, which hold {bits} bits, less than the 256 of \
             HMAC-SHA256: make one with `openssl rand -base64 48`"
        );
        Finding::warn("secrets.randomness", message)
    })
    .collect()
}
