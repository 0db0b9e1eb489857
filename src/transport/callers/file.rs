//! The callers' file: names, hashes of keys, roles and certificate names, as JSON.
//!
//! ```json
//! {"callers": [{"name": "auth-server", "roles": ["issuer"], "keys_sha256": ["9f86…"],
//!   "sans": ["auth.internal", "spiffe://prod/auth"]}]}
//! ```

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::certificate_name::CertificateName;
use super::credential::KeyHash;
use super::file_error::CallersFileError;
use super::roles::{Role, UnknownRole};

/// Names that the service itself uses. A caller of the same name could not be told apart in logs.
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
    /// The SHA-256 of each of its API keys, in hex. There may be several, so that a key can be
    /// replaced without an outage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys_sha256: Vec<String>,
    /// The DNS names and URIs in its client certificates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sans: Vec<String>,
}

impl CallerEntry {
    /// Returns its roles.
    ///
    /// # Errors
    /// Returns [`UnknownRole`] if a name is not the name of a role.
    pub fn roles(&self) -> Result<Vec<Role>, UnknownRole> {
        self.roles.iter().map(|role| role.parse()).collect()
    }

    /// Returns the hashes of its keys.
    ///
    /// # Errors
    /// Returns [`CallersFileError::KeyHash`] if a hash is not 64 hex digits.
    pub fn key_hashes(&self) -> Result<Vec<KeyHash>, CallersFileError> {
        let read = |text: &String| {
            KeyHash::from_hex(text).ok_or_else(|| CallersFileError::KeyHash(self.name.clone()))
        };
        self.keys_sha256.iter().map(read).collect()
    }

    /// Returns the names of its certificates.
    pub fn san_names(&self) -> impl Iterator<Item = CertificateName> {
        self.sans.iter().map(|san| CertificateName::parse(san))
    }
}

impl CallersFile {
    /// Parses and checks the text of a callers' file.
    ///
    /// # Errors
    /// Returns [`CallersFileError`] for the first problem.
    pub fn parse(text: &str) -> Result<Self, CallersFileError> {
        let file: Self = serde_json::from_str(text)?;
        file.check()?;
        Ok(file)
    }

    /// Reads and checks the file at a path.
    ///
    /// # Errors
    /// Returns [`CallersFileError::At`] with the path if the file cannot be read, or with the first
    /// problem with its contents.
    pub fn read(path: &Path) -> Result<Self, CallersFileError> {
        let text = std::fs::read_to_string(path).map_err(CallersFileError::from);
        text.and_then(|text| Self::parse(&text)).map_err(|error| error.at(path))
    }

    /// Returns the text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        text + "\n"
    }

    /// Checks that no entry is ambiguous or useless.
    ///
    /// # Errors
    /// Returns [`CallersFileError`] for the first problem.
    pub fn check(&self) -> Result<(), CallersFileError> {
        let (mut names, mut keys, mut sans) = (HashSet::new(), HashSet::new(), HashSet::new());
        for caller in &self.callers {
            let name = &caller.name;
            check_name(name)?;
            if !names.insert(name) {
                return Err(CallersFileError::DuplicateName(name.clone()));
            }
            if caller.roles()?.is_empty() {
                return Err(CallersFileError::NoRole(name.clone()));
            }
            if caller.keys_sha256.is_empty() && caller.sans.is_empty() {
                return Err(CallersFileError::NoCredential(name.clone()));
            }
            if caller.key_hashes()?.into_iter().any(|hash| !keys.insert(hash)) {
                return Err(CallersFileError::DuplicateKey(name.clone()));
            }
            for san in caller.san_names() {
                let text = san.as_str();
                if text.is_empty() || text.chars().any(char::is_whitespace) || text.contains('*') {
                    let (caller, name) = (name.clone(), text.to_owned());
                    return Err(CallersFileError::CertificateName { caller, name });
                }
                if !sans.insert(san.clone()) {
                    return Err(CallersFileError::DuplicateCertificateName(text.to_owned()));
                }
            }
        }
        Ok(())
    }
}

/// Checks a caller's name. It appears in logs and in `Basic` credentials, so it is plain ASCII.
fn check_name(name: &str) -> Result<(), CallersFileError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        return Err(CallersFileError::Name);
    }
    if RESERVED.contains(&name) {
        return Err(CallersFileError::ReservedName(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(callers: &[(&str, &str, &str)]) -> Result<CallersFile, CallersFileError> {
        let callers: Vec<_> = callers
            .iter()
            .map(|(name, role, san)| {
                format!(r#"{{"name":"{name}","roles":["{role}"],"sans":["{san}"]}}"#)
            })
            .collect();
        CallersFile::parse(&format!(r#"{{"callers":[{}]}}"#, callers.join(",")))
    }

    #[test]
    fn a_written_file_reads_back() {
        let read = file(&[("a", "issuer", "A.example"), ("b", "admin", "spiffe://x/B")]).unwrap();
        assert_eq!(CallersFile::parse(&read.to_text()).unwrap(), read);
        let sans: Vec<_> = read.callers.iter().flat_map(CallerEntry::san_names).collect();
        let uri = CertificateName::Uri("spiffe://x/B".into());
        assert_eq!(sans, [CertificateName::Dns("a.example".into()), uri]);
        let empty = CallersFile::parse(r#"{"callers":[]}"#).unwrap();
        assert_eq!(empty, CallersFile::default());
    }

    #[test]
    fn ambiguous_and_useless_entries_are_refused() {
        for (callers, expected) in [
            (vec![("a", "issuer", "x"), ("a", "admin", "y")], "a appears twice"),
            (vec![("a", "issuer", "x.y"), ("b", "admin", "X.Y")], "x.y appears twice"),
            (vec![("a", "root", "x")], "no role"),
            (vec![("", "issuer", "x")], "1 to 64"),
            (vec![("anonymous", "issuer", "x")], "reserved"),
            (vec![("a", "issuer", "*.x")], "neither a DNS name"),
        ] {
            let problem = file(&callers).unwrap_err().to_string();
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
            let problem = CallersFile::parse(text).unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
