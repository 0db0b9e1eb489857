//! The keys that seal the first tokens of a login.

use aws_lc_rs::hmac;

use super::Secret;

const KEY_LABEL: &[u8] = b"token-authority/first-tokens/v2";

/// The keys that seal the first tokens of a login, in addition to the request's id. A reader of the
/// database who knows a request's id, for example because it follows from a session token of the
/// auth-server, cannot open them without the service's secret.
#[derive(Debug)]
pub struct FirstTokenKeys {
    active: hmac::Key,
    others: Vec<hmac::Key>,
}

impl FirstTokenKeys {
    /// Creates the keys. The key of `active` seals. The keys of `others` also open, so changing a secret
    /// breaks no retry.
    #[must_use]
    pub fn new<'a>(active: &Secret, others: impl IntoIterator<Item = &'a Secret>) -> Self {
        Self { active: derive(active), others: others.into_iter().map(derive).collect() }
    }

    /// Returns the secret that seals the tokens of the request with that name. Secret.
    #[must_use]
    pub fn sealing_secret(&self, name: &[u8]) -> Vec<u8> {
        hmac::sign(&self.active, name).as_ref().to_vec()
    }

    /// Returns the secrets that may have sealed them, the most likely one first. Secret.
    pub fn opening_secrets(&self, name: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let keys = std::iter::once(&self.active).chain(&self.others);
        keys.map(|key| hmac::sign(key, name).as_ref().to_vec())
    }
}

fn derive(secret: &Secret) -> hmac::Key {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.expose()), KEY_LABEL);
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_secret_still_opens_and_another_does_not() {
        let secrets = [[1; 32], [2; 32], [3; 32]].map(Secret::new);
        let before = FirstTokenKeys::new(&secrets[0], []);
        let after = FirstTokenKeys::new(&secrets[1], [&secrets[2], &secrets[0]]);
        let sealed_with = before.sealing_secret(b"name");
        assert!(after.opening_secrets(b"name").any(|secret| secret == sealed_with));
        assert!(!after.opening_secrets(b"eman").any(|secret| secret == sealed_with));
        let other = FirstTokenKeys::new(&secrets[1], []);
        assert!(!other.opening_secrets(b"name").any(|secret| secret == sealed_with));
    }
}
