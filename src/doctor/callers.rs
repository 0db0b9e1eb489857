//! Checks of who may call.

use sha2::{Digest as _, Sha256};

use super::{Finding, Installation};

/// The callers' file as it was seen.
#[derive(Debug, Default)]
pub struct CallersSeen {
    /// Where it is.
    pub path: String,
    /// Its mode bits.
    pub mode: u32,
    /// Who is in it.
    pub callers: Vec<CallerSeen>,
}

/// A caller in the file.
#[derive(Debug)]
pub struct CallerSeen {
    /// Its name.
    pub name: String,
    /// How many roles it has, and how many there are.
    pub roles: (usize, usize),
    /// The SHA-256 of its keys, in hex.
    pub keys_sha256: Vec<String>,
}

/// What people write where a random key should be.
const WEAK: [&str; 12] = [
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

/// Whether others may add callers.
pub(super) fn file(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "callers.file";
    let Some(CallersSeen { path, mode, callers }) = &installation.callers else {
        return Vec::new();
    };
    if mode & 0o022 != 0 {
        let message = format!(
            "{path} has mode {mode:03o}: others may make themselves callers; run `chmod go-w {path}`"
        );
        return vec![Finding::error(name, message)];
    }
    if callers.is_empty() {
        let message = format!("{path} is empty: nobody may call but browsers");
        return vec![Finding::warn(name, message)];
    }
    vec![Finding::ok(
        name,
        format!("{} callers, whom their own user alone may change", callers.len()),
    )]
}

/// Keys that anybody guesses, and callers who may do everything.
pub(super) fn weak(installation: &Installation<'_>) -> Vec<Finding> {
    let callers = installation.callers.iter().flat_map(|seen| &seen.callers);
    let mut findings = Vec::new();
    for CallerSeen { name, roles: (held, all), keys_sha256 } in callers {
        let guesses = WEAK.iter().copied().chain([name.as_str()]).map(hash);
        if guesses
            .into_iter()
            .any(|guess| keys_sha256.iter().any(|key| key.eq_ignore_ascii_case(&guess)))
        {
            let message = format!(
                "a key of {name} is a word that anybody guesses: make one with `token-authority \
                 callers add {name}`, then remove the other with `callers remove {name} --key ID`"
            );
            findings.push(Finding::error("callers.weak", message));
        }
        if held == all {
            let message = format!(
                "{name} has every role: whoever finds its key may log in as anybody and end \
                 anybody's session; give each program its own caller"
            );
            findings.push(Finding::warn("callers.roles", message));
        }
    }
    findings
}

fn hash(text: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
