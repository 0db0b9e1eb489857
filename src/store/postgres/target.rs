//! The servers that a URL names, and how a connection to one of them is opened.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _};
use tokio::time::{Instant, sleep, timeout};

use super::error::{Failure, Kind, describe, place};
use super::settings::Settings;
use super::sql;

/// The first pause before a server that is starting is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The servers of one database.
#[derive(Debug)]
pub(super) struct Target {
    settings: Settings,
    /// The host that accepted the last connection. It is tried first.
    preferred: AtomicUsize,
}

impl Target {
    pub(super) const fn new(settings: Settings) -> Self {
        Self { settings, preferred: AtomicUsize::new(0) }
    }

    /// Returns whether the URL says that a pooler is used.
    pub(super) const fn is_pooled(&self) -> bool {
        self.settings.pooled
    }

    /// Returns how to connect to the host that accepted the last connection.
    pub(super) fn preferred(&self) -> &PgConnectOptions {
        &self.settings.hosts[self.preferred.load(Ordering::Relaxed)]
    }

    /// Returns how to connect to each host.
    pub(super) fn hosts(&self) -> &[PgConnectOptions] {
        &self.settings.hosts
    }

    /// Names the servers and the database.
    pub(super) fn place(&self) -> String {
        let all: Vec<String> = self.settings.hosts.iter().map(place).collect();
        all.join(", ")
    }

    /// Opens a connection to the first host that accepts one. With `retry`, a server that is
    /// starting is tried until the limit, so that its restart fails no request.
    pub(super) async fn connect(
        &self,
        limit: Duration,
        retry: bool,
    ) -> Result<PgConnection, Failure> {
        let deadline = Instant::now() + limit;
        let mut pause = FIRST_PAUSE;
        let mut passing = None;
        loop {
            let failure = match self.try_each(deadline).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => failure,
            };
            let may_pass = matches!(failure.kind, Kind::Starting | Kind::ReadOnly);
            if !may_pass && Instant::now() >= deadline {
                // The time ran out during this attempt. An earlier one knows the cause.
                return Err(passing.unwrap_or(failure));
            }
            if !retry || !may_pass || Instant::now() + pause >= deadline {
                return Err(failure);
            }
            passing = Some(failure);
            sleep(pause).await;
            pause = (pause * 2).min(limit / 5);
        }
    }

    async fn try_each(&self, deadline: Instant) -> Result<PgConnection, Failure> {
        let count = self.settings.hosts.len();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        for tried in 0..count {
            let index = (first + tried) % count;
            // A host that does not answer leaves time for the others.
            let left = deadline.saturating_duration_since(Instant::now());
            let hosts_left = u32::try_from(count - tried).unwrap_or(1);
            let options = &self.settings.hosts[index];
            let silent = |_| {
                let why = format!("cannot connect to {}: no answer in time", describe(options));
                Err(Failure::unavailable(Kind::Broken, why))
            };
            match timeout(left / hosts_left, self.try_one(options)).await.unwrap_or_else(silent) {
                Ok(connection) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(failure) => failures.push(failure),
            }
        }
        Err(merge(&failures))
    }

    async fn try_one(&self, options: &PgConnectOptions) -> Result<PgConnection, Failure> {
        let connected = options.connect().await;
        let mut connection = connected.map_err(|error| Failure::of_connecting(&error, options))?;
        if !self.settings.writable_only {
            return Ok(connection);
        }
        let row = connection.fetch_one(sqlx::raw_sql(sql::IS_READ_ONLY)).await?;
        if row.try_get::<String, _>(0)? == "off" {
            return Ok(connection);
        }
        let _ = connection.close().await;
        let why = format!(
            "{} is read-only, but target_session_attrs asks for a server that \
             accepts writes",
            place(options)
        );
        Err(Failure::unavailable(Kind::ReadOnly, why))
    }
}

/// Joins the failures of several hosts. A failure that may pass decides whether to retry.
fn merge(failures: &[Failure]) -> Failure {
    let passing = |failure: &&Failure| matches!(failure.kind, Kind::Starting | Kind::ReadOnly);
    let kind = failures.iter().find(passing).or(failures.first());
    let kind = kind.map_or(Kind::Broken, |failure| failure.kind);
    let texts: Vec<String> = failures.iter().map(|failure| failure.error.cause()).collect();
    Failure::unavailable(kind, texts.join("; "))
}
