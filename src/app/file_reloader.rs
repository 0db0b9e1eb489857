//! Reloads the callers file and the TLS files when they change.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::MissedTickBehavior;

use super::{AppError, process_limits};
use crate::config::NetworkSettings;
use crate::shutdown::Hangup;
use crate::transport::callers::file::CallersFile;
use crate::transport::callers::gate::AuthGate;
use crate::transport::callers::{CallerLimits, Callers};
use crate::transport::limits::LimitSettings;
use crate::transport::limits::rate::SWEEP;
use crate::transport::serve::connection_table::ConnectionTable;
use crate::transport::serve::tls::Tls;
use crate::transport::serve::{Clients, Port};

/// How often the files are checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The callers and the TLS configuration of both ports.
#[derive(Debug, Clone)]
pub(super) struct FileReloader {
    pub(super) gate: Arc<AuthGate>,
    callers: Arc<Callers>,
    callers_file: Option<PathBuf>,
    tls: Option<Arc<Tls>>,
    pub(super) table: Arc<ConnectionTable>,
    limits: LimitSettings,
    /// Digests taken before the files were loaded. A change during the load is therefore seen as a
    /// change.
    seen: Seen,
}

/// Digests of the callers file and of the TLS files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    callers: [u8; 32],
    tls: [u8; 32],
}

impl FileReloader {
    /// Loads the files.
    pub(super) fn new(settings: &NetworkSettings) -> Result<Self, AppError> {
        const MIB: usize = 1024 * 1024;
        let bytes = settings.limits.memory.share(8, 8 * MIB, 64 * MIB);
        let limits = CallerLimits { rate: settings.limits.per_caller, bytes };
        let seen_callers = digest(settings.callers_file.as_deref());
        let callers = if let Some(path) = &settings.callers_file {
            CallersFile::read(path).and_then(|file| Callers::listed(&file, limits))
        } else {
            tracing::warn!(
                "CALLERS_FILE is not set: every client that reaches the ports may call everything"
            );
            Ok(Callers::anyone(limits))
        };
        let callers = Arc::new(callers?);
        let seen_tls = settings.tls.as_ref().map_or(digest([]), |tls| {
            digest(
                [&tls.certificate, &tls.key]
                    .into_iter()
                    .chain(&tls.client_ca)
                    .map(PathBuf::as_path),
            )
        });
        let tls = settings.tls.clone().map(Tls::load).transpose()?;
        Ok(Self {
            gate: Arc::new(AuthGate::new(Arc::clone(&callers), settings.limits.clone())),
            callers,
            callers_file: settings.callers_file.clone(),
            tls: tls.map(Arc::new),
            table: ConnectionTable::new(process_limits::of_table(&settings.limits)),
            limits: settings.limits.clone(),
            seen: Seen { callers: seen_callers, tls: seen_tls },
        })
    }

    /// Returns the TLS configuration. `None`: plain text.
    pub(super) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// Returns the settings of the gRPC port.
    pub(super) fn grpc(&self) -> Port {
        self.port(Clients::Callers).with_max_age(self.limits.max_connection_age)
    }

    /// Returns the settings of the HTTP port.
    pub(super) fn http(&self) -> Port {
        self.port(Clients::Browsers)
    }

    fn port(&self, clients: Clients) -> Port {
        Port::new(clients, self.tls.clone(), Arc::clone(&self.table), &self.limits)
    }

    /// Checks the files periodically and at SIGHUP, and removes idle client addresses from the rate
    /// limits.
    pub(super) async fn watch(mut self) {
        let mut look = tokio::time::interval(CHECK_INTERVAL);
        let mut sweep = tokio::time::interval(SWEEP);
        let mut hangup = Hangup::subscribe();
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => {}
                () = hangup.next() => tracing::info!(
                    "SIGHUP: the callers file and the TLS files are checked for changes; other \
                     settings need a restart"
                ),
                _ = sweep.tick() => {
                    self.gate.sweep();
                    continue;
                }
            }
            // A slow disk must not block the async threads.
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            self = match looked.await {
                Ok(reloader) => reloader,
                Err(_) => return,
            };
        }
    }

    /// Loads the files that have changed. It compares contents, not times or links: this detects
    /// every way of replacing a file, and each broken version is logged once.
    fn look(&mut self) {
        let callers = digest(self.callers_file.as_deref());
        if let (Some(path), true) = (&self.callers_file, callers != self.seen.callers) {
            self.seen.callers = callers;
            let replaced = CallersFile::read(path).and_then(|file| self.callers.replace(&file));
            log_outcome("callers", replaced);
        }
        let Some(tls) = &self.tls else { return };
        let files = digest(tls.paths());
        if files != self.seen.tls {
            self.seen.tls = files;
            log_outcome("TLS", tls.reload());
        }
    }
}

fn log_outcome<E: Error>(what: &'static str, result: Result<(), E>) {
    match result {
        Ok(()) => tracing::info!(what, "changed files were loaded"),
        Err(error) => {
            tracing::error!(
                what,
                error = %error,
                "cannot load changed files; the previous ones stay in use"
            );
        }
    }
}

/// Returns a digest of the files' contents. An unreadable file counts as different content.
fn digest<'a>(paths: impl IntoIterator<Item = &'a Path>) -> [u8; 32] {
    let mut all = Sha256::new();
    for path in paths {
        match std::fs::read(path) {
            Ok(bytes) => all.update(Sha256::digest(&bytes)),
            Err(error) => all.update(format!("{:?}", error.kind())),
        }
    }
    all.finalize().into()
}
