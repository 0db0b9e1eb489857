//! Checks of the secrets. The report contains only their fingerprints.

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

/// Reports the fingerprints, which have to be the same on every replica.
pub(super) fn fingerprints(installation: &Installation<'_>) -> Vec<Finding> {
    let describe = |(name, secret): (&str, Option<&Secret>)| {
        secret.map(|secret| format!("{name} {}", secret.fingerprint()))
    };
    let fingerprints: Vec<_> = all(installation).into_iter().filter_map(describe).collect();
    if fingerprints.is_empty() {
        let message = "no secret yet; the first start creates one";
        return vec![Finding::info("secrets.fingerprints", message)];
    }
    vec![Finding::info("secrets.fingerprints", fingerprints.join(", "))]
}

/// Finds one secret under two names. A program that knows one of them could misuse the other.
pub(super) fn shared(installation: &Installation<'_>) -> Vec<Finding> {
    let all = all(installation);
    let mut findings = Vec::new();
    for (at, (one, first)) in all.iter().enumerate() {
        for (other, second) in &all[at + 1..] {
            if first.is_some() && first == second {
                let message = format!(
                    "{one} equals {other}, although different programs know them: create a new \
                     {one} with `openssl rand -base64 48`"
                );
                findings.push(Finding::error("secrets.shared", message));
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("secrets.shared", "all secrets differ"));
    }
    findings
}

/// Finds invisible characters in the auth-server's secret.
pub(super) fn auth_server(installation: &Installation<'_>) -> Vec<Finding> {
    let suspicious = installation.config.suspicious_auth_server_secret();
    suspicious.map(|message| Finding::warn("secrets.invisible", message)).into_iter().collect()
}

/// Finds secrets of hex digits that are long enough in bytes but have too little randomness,
/// because a hex digit has four bits.
pub(super) fn short_of_randomness(installation: &Installation<'_>) -> Vec<Finding> {
    let short = |secret: &Secret| {
        let bytes = secret.expose();
        bytes.len() < 64 && bytes.iter().all(u8::is_ascii_hexdigit)
    };
    let weak = all(installation).into_iter().filter(|(_, secret)| secret.is_some_and(short));
    weak.map(|(name, secret)| {
        let bits = secret.map_or(0, |secret| secret.expose().len()) * 4;
        let message = format!(
            "{name} consists of hex digits with at most {bits} bits, less than the 256 of \
             HMAC-SHA256: create one with `openssl rand -base64 48`"
        );
        Finding::warn("secrets.randomness", message)
    })
    .collect()
}
