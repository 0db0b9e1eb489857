//! Whether this process may be sent requests: its store answers, with a schema that it knows, its
//! keys are loaded, it knows what is revoked, and it is not about to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::schema;
use crate::authority::Revocations;
use crate::keys::KeyRing;
use crate::store::Store;
use crate::transport::http::{Readiness, Ready};

/// Readiness by the store.
#[derive(Debug)]
pub(super) struct StoreReadiness {
    store: Arc<Store>,
    revocations: Arc<Revocations>,
    keys: Arc<KeyRing>,
    draining: AtomicBool,
}

impl StoreReadiness {
    pub(super) const fn new(
        store: Arc<Store>,
        revocations: Arc<Revocations>,
        keys: Arc<KeyRing>,
    ) -> Self {
        Self { store, revocations, keys, draining: AtomicBool::new(false) }
    }

    /// From now on it is not ready.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

#[tonic::async_trait]
impl Readiness for StoreReadiness {
    async fn check(&self) -> Ready {
        if self.draining.load(Ordering::Relaxed) {
            return Ready::No("shutting down");
        }
        if !self.revocations.is_loaded() {
            return Ready::No("the revocations are not loaded yet");
        }
        if self.revocations.is_stale() {
            return Ready::No("the revocations known here are stale");
        }
        match self.store.check().await {
            Err(_) => Ready::No("the database cannot be reached"),
            Ok(schema) if schema::is_known(schema) && !self.keys.is_loaded() => {
                Ready::No("the signing keys are not loaded yet")
            }
            Ok(schema) if schema::is_known(schema) => Ready::Yes,
            Ok(_) => Ready::No("the database's schema is not one that this version knows"),
        }
    }
}
