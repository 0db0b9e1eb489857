//! Checks of the callers file.

use sha2::{Digest as _, Sha256};

use super::{Finding, Installation};

/// The callers file as the inspection found it.
#[derive(Debug, Default)]
pub struct CallersSeen {
    /// Its path.
    pub path: String,
    /// Its mode bits.
    pub mode: u32,
    /// The callers in it.
    pub callers: Vec<CallerSeen>,
}

/// A caller in the file.
#[derive(Debug)]
pub struct CallerSeen {
    /// Its name.
    pub name: String,
    /// The number of its roles, and the number of all roles.
    pub roles: (usize, usize),
    /// The SHA-256 of its keys, in hex.
    pub keys_sha256: Vec<String>,
}

/// Words that people use in place of a random key.
const GUESSABLE_KEYS: [&str; 12] = [
    "",
    "admin",
    "api-key",
    "apikey",
    "change-me",
    "changeme",
    "dev",
    "key",
    "password",
    "secret",
    "test",
    "token",
];

/// Checks that only the owner can write to the callers file.
pub(super) fn file(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "callers.file";
    let Some(CallersSeen { path, mode, callers }) = &installation.callers else {
        return Vec::new();
    };
    if mode & 0o022 != 0 {
        let message = format!(
            "{path} has mode {mode:03o}: other users can add callers; run `chmod go-w {path}`"
        );
        return vec![Finding::error(name, message)];
    }
    if callers.is_empty() {
        let message = format!("{path} lists no callers: only browsers can use the service");
        return vec![Finding::warn(name, message)];
    }
    let count = match callers.len() {
        1 => "1 caller".to_owned(),
        count => format!("{count} callers"),
    };
    vec![Finding::ok(name, format!("{count}; only the file's owner can write to it"))]
}

/// Finds keys that can be guessed and callers with every role.
pub(super) fn weak(installation: &Installation<'_>) -> Vec<Finding> {
    let callers = installation.callers.iter().flat_map(|seen| &seen.callers);
    let mut findings = Vec::new();
    for CallerSeen { name, roles: (held, all), keys_sha256 } in callers {
        let guesses = GUESSABLE_KEYS.iter().copied().chain([name.as_str()]).map(hash);
        if guesses
            .into_iter()
            .any(|guess| keys_sha256.iter().any(|key| key.eq_ignore_ascii_case(&guess)))
        {
            let message = format!(
                "a key of {name} can be guessed: create another with `token-authority callers add \
                 {name}`, then remove this one with `callers remove {name} --key ID`"
            );
            findings.push(Finding::error("callers.weak", message));
        }
        if held == all {
            let message = format!(
                "{name} has every role: with its key, anyone can log in as any user and revoke any \
                 session; give each program its own caller"
            );
            findings.push(Finding::warn("callers.roles", message));
        }
    }
    findings
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
