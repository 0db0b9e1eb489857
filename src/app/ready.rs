//! Decides whether this process may receive requests: its database answers with a known schema, its
//! keys and revocations are loaded, and it is not shutting down.
//!
//! Every client may ask. The database is therefore asked at most once a second, and all clients get
//! that answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::schema;
use crate::authority::Revocations;
use crate::keys::KeyRing;
use crate::store::Store;
use crate::transport::http::{Readiness, Ready};

/// How long one probe of the database is valid. With a higher value, an outage is noticed later.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Readiness of this replica.
#[derive(Debug)]
pub(super) struct StoreReadiness {
    store: Arc<Store>,
    /// The last probe of the database. Clients that ask during a probe wait for its result.
    probed: Mutex<Option<(Instant, Ready)>>,
    revocations: Arc<Revocations>,
    keys: Arc<KeyRing>,
    draining: AtomicBool,
    /// Whether the last failure to write was logged. Each outage is logged once.
    write_failure_logged: AtomicBool,
}

impl StoreReadiness {
    pub(super) fn new(
        store: Arc<Store>,
        revocations: Arc<Revocations>,
        keys: Arc<KeyRing>,
    ) -> Self {
        Self {
            store,
            probed: Mutex::default(),
            revocations,
            keys,
            draining: AtomicBool::new(false),
            write_failure_logged: AtomicBool::new(false),
        }
    }

    async fn probe(&self) -> Ready {
        match self.store.check().await {
            Err(_) => Ready::No("the database cannot be reached"),
            Ok(schema) if schema::is_known(schema) && !self.keys.is_loaded() => {
                Ready::No("the signing keys are not loaded yet")
            }
            Ok(schema) if schema::is_known(schema) => self.check_writes().await,
            Ok(_) => Ready::No("the database's schema is not one that this version knows"),
        }
    }

    /// Checks that the database accepts writes, and logs the first failure.
    async fn check_writes(&self) -> Ready {
        let written = self.store.check_writes().await;
        let logged = self.write_failure_logged.swap(written.is_err(), Ordering::Relaxed);
        match written {
            Ok(()) => Ready::Yes,
            Err(error) => {
                if !logged {
                    tracing::error!(%error, "the database cannot be written to");
                }
                Ready::No("the database cannot be written to")
            }
        }
    }

    /// Reports not ready from now on.
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
        let mut probed = self.probed.lock().await;
        match *probed {
            Some((at, ready)) if at.elapsed() < PROBE_EVERY => ready,
            _ => {
                let ready = self.probe().await;
                *probed = Some((Instant::now(), ready));
                ready
            }
        }
    }
}
