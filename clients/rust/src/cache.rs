//! The tokens verified lately, up to a number.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::sync::Cache;

use crate::identity::Identity;
use crate::keys::Key;

/// A token whose signature was verified, and what it says.
#[derive(Debug)]
pub(crate) struct VerifiedToken {
    pub(crate) identity: Identity,
    pub(crate) expires_at: i64,
    pub(crate) not_before: Option<i64>,
    pub(crate) is_access_token: bool,
    pub(crate) issuer: Option<String>,
    pub(crate) epoch: u32,
    pub(crate) key: Arc<Key>,
    /// Whether the token names that key, and may be kept.
    pub(crate) names_key: bool,
}

/// A token's SHA-256: no copy of the token is kept, and comparing gives nothing away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name([u8; 32]);

impl Name {
    pub(crate) fn of(token: &str) -> Self {
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(name)
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0[..8]);
    }
}

/// The cache.
pub(crate) struct VerificationCache(Cache<Name, Arc<VerifiedToken>>);

impl std::fmt::Debug for VerificationCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerificationCache").field("tokens", &self.0.len()).finish()
    }
}

impl VerificationCache {
    pub(crate) fn new(size: usize) -> Self {
        Self(Cache::new(size))
    }

    pub(crate) fn find(&self, name: Name) -> Option<Arc<VerifiedToken>> {
        self.0.get(&name)
    }

    pub(crate) fn keep(&self, name: Name, token: &Arc<VerifiedToken>) {
        if token.names_key {
            self.0.insert(name, Arc::clone(token));
        }
    }
}
