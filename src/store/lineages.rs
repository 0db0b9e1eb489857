//! A cache of lineage keys of recently used sessions. A session keeps its key for life, so an entry
//! is never stale. If an entry is missing, the session is loaded.

use std::fmt;

use quick_cache::sync::Cache;

use crate::token::id::SessionId;
use crate::token::refresh::LineageKey;
use crate::token::session::Session;

/// The maximum number of entries. With fewer, more refreshes need a read before their write.
const MAX_REMEMBERED: usize = 100_000;

/// The cached keys.
pub(super) struct Lineages(Cache<SessionId, LineageKey>);

impl Lineages {
    pub(super) fn new() -> Self {
        Self(Cache::new(MAX_REMEMBERED))
    }

    /// Returns a session's key, if it is cached.
    pub(super) fn find(&self, id: SessionId) -> Option<LineageKey> {
        self.0.get(&id)
    }

    /// Caches the key of a stored session.
    pub(super) fn keep(&self, session: &Session) {
        self.0.insert(session.id, session.lineage.key.clone());
    }
}

impl fmt::Debug for Lineages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lineages").field("keys", &self.0.len()).finish_non_exhaustive()
    }
}
