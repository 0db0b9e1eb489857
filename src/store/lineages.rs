//! The lineage keys of sessions that were used lately. A session keeps its key for life, so what
//! is remembered here is never wrong, only missing: then the session is read.

use std::fmt;

use quick_cache::sync::Cache;

use crate::token::id::SessionId;
use crate::token::refresh::LineageKey;
use crate::token::session::Session;

/// How many are remembered.
const MAX_REMEMBERED: usize = 100_000;

/// The keys seen lately.
pub(super) struct Lineages(Cache<SessionId, LineageKey>);

impl Lineages {
    pub(super) fn new() -> Self {
        Self(Cache::new(MAX_REMEMBERED))
    }

    /// A session's key, if it is remembered.
    pub(super) fn find(&self, id: SessionId) -> Option<LineageKey> {
        self.0.get(&id)
    }

    /// Remembers a stored session's key.
    pub(super) fn keep(&self, session: &Session) {
        self.0.insert(session.id, session.lineage.key.clone());
    }
}

impl fmt::Debug for Lineages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lineages").field("keys", &self.0.len()).finish_non_exhaustive()
    }
}
