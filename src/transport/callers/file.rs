//! The callers' file: names, hashes of keys, roles and certificates' names, as JSON.
//!
//! ```json
//! {"callers": [{"name": "auth-server", "roles": ["issuer"], "keys_sha256": ["9f86…"],
//!   "sans": ["auth.internal", "spiffe://prod/auth"]}]}
//! ```

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::credential::KeyHash;
use super::roles::Role;

/// Names that the service itself uses for callers.
const RESERVED: [&str; 2] = [super::ANONYMOUS, super::BROWSER_ADAPTER];

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallersFile {
    /// Every caller.
    pub callers: Vec<CallerEntry>,
}

/// A caller in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerEntry {
    /// Its name: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The names of its roles.
    pub roles: Vec<String>,
    /// The SHA-256 of each of its API keys, in hex. Several, so that a key can be replaced
    /// without a gap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys_sha256: Vec<String>,
    /// The DNS names and URIs by which its client certificates are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sans: Vec<String>,
}

impl CallerEntry {
    /// Its roles.
    ///
    /// # Errors
    /// Where one is none.
    pub fn roles(&self) -> Result<Vec<Role>, String> {
        self.roles.iter().map(|role| role.parse()).collect()
    }

    /// The hashes of its keys.
    ///
    /// # Errors
    /// Where one is no SHA-256.
    pub fn key_hashes(&self) -> Result<Vec<KeyHash>, String> {
        let read = |text: &String| {
            KeyHash::from_hex(text)
                .ok_or_else(|| format!("{}: keys_sha256 must be 64 hex digits each", self.name))
        };
        self.keys_sha256.iter().map(read).collect()
    }

    /// The names of its certificates as they are compared: DNS names in lower case.
    pub fn san_names(&self) -> impl Iterator<Item = String> {
        self.sans.iter().map(
            |san| {
                if san.contains(':') { san.clone() } else { san.to_ascii_lowercase() }
            },
        )
    }
}

impl CallersFile {
    /// Reads and checks it.
    ///
    /// # Errors
    /// What is wrong with it. Never quotes more than a name or a role.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        file.check()?;
        Ok(file)
    }

    /// Reads and checks the file at a path.
    ///
    /// # Errors
    /// Where it cannot be read, or what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path);
        let parsed = text.map_err(|error| error.to_string()).and_then(|text| Self::parse(&text));
        parsed.map_err(|problem| format!("{}: {problem}", path.display()))
    }

    /// Writes it as it is kept.
    #[must_use]
    pub fn to_text(&self) -> String {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        text + "\n"
    }

    /// Checks that nothing in it is ambiguous or good for nothing.
    ///
    /// # Errors
    /// The first thing that is.
    pub fn check(&self) -> Result<(), String> {
        let (mut names, mut keys, mut sans) = (HashSet::new(), HashSet::new(), HashSet::new());
        for caller in &self.callers {
            let name = &caller.name;
            check_name(name)?;
            if !names.insert(name) {
                return Err(format!("{name} is there twice"));
            }
            if caller.roles()?.is_empty() {
                return Err(format!("{name} has no role"));
            }
            if caller.keys_sha256.is_empty() && caller.sans.is_empty() {
                return Err(format!("{name} has neither a key nor a certificate's name"));
            }
            if caller.key_hashes()?.into_iter().any(|hash| !keys.insert(hash)) {
                return Err(format!("{name} has a key that is there twice"));
            }
            for san in caller.san_names() {
                if san.is_empty() || san.chars().any(char::is_whitespace) || san.contains('*') {
                    return Err(format!("{name}: `{san}` is no DNS name and no URI"));
                }
                if !sans.insert(san.clone()) {
                    return Err(format!("{name}: the certificate's name {san} is there twice"));
                }
            }
        }
        Ok(())
    }
}

/// A name stands in logs and in `Basic` credentials, so it is plain.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        return Err("a caller's name is 1 to 64 letters, digits, `-`, `_` and `.`".into());
    }
    if RESERVED.contains(&name) {
        return Err(format!("the name {name} is the service's own"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(callers: &[(&str, &str, &str)]) -> Result<CallersFile, String> {
        let callers: Vec<_> = callers
            .iter()
            .map(|(name, role, san)| {
                format!(r#"{{"name":"{name}","roles":["{role}"],"sans":["{san}"]}}"#)
            })
            .collect();
        CallersFile::parse(&format!(r#"{{"callers":[{}]}}"#, callers.join(",")))
    }

    #[test]
    fn what_was_written_is_read() {
        let read = file(&[("a", "issuer", "A.example"), ("b", "admin", "spiffe://x/B")]).unwrap();
        assert_eq!(CallersFile::parse(&read.to_text()), Ok(read.clone()));
        let sans: Vec<_> = read.callers.iter().flat_map(CallerEntry::san_names).collect();
        assert_eq!(sans, ["a.example", "spiffe://x/B"]);
        assert_eq!(CallersFile::parse(r#"{"callers":[]}"#), Ok(CallersFile::default()));
    }

    #[test]
    fn what_is_ambiguous_or_good_for_nothing_is_refused() {
        for (callers, expected) in [
            (vec![("a", "issuer", "x"), ("a", "admin", "y")], "a is there twice"),
            (vec![("a", "issuer", "x.y"), ("b", "admin", "X.Y")], "x.y is there twice"),
            (vec![("a", "root", "x")], "no role"),
            (vec![("", "issuer", "x")], "1 to 64"),
            (vec![("anonymous", "issuer", "x")], "own"),
            (vec![("a", "issuer", "*.x")], "no DNS name"),
        ] {
            let problem = file(&callers).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
        for (text, expected) in [
            ("{}", "callers"),
            (r#"{"callers":[],"more":1}"#, "unknown field"),
            (r#"{"callers":[{"name":"a","roles":["issuer"],"key":"x"}]}"#, "unknown field"),
            (r#"{"callers":[{"name":"a","roles":["issuer"]}]}"#, "neither"),
            (r#"{"callers":[{"name":"a","roles":[],"sans":["x"]}]}"#, "no role"),
            (r#"{"callers":[{"name":"a","roles":["issuer"],"keys_sha256":["x"]}]}"#, "64 hex"),
        ] {
            let problem = CallersFile::parse(text).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
