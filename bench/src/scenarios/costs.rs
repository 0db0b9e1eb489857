//! The cost of a thousand operations per second: cores, commits, and bytes of the database's log.

use std::collections::HashMap;
use std::time::Duration;

use super::{Bench, query};
use crate::process::{Process, cpu_of_all};

/// The resources used up to a moment.
#[derive(Debug, Clone)]
pub(super) struct Spent {
    service: f64,
    database: HashMap<String, Duration>,
    operations: f64,
    batches: f64,
    log_bytes: f64,
}

impl Spent {
    /// Reads what a server, its database and a shard of the store have used. The metrics call a
    /// shard a lane.
    pub(super) fn now(bench: &Bench<'_>, server: &Process, lane: &str) -> Self {
        let label = format!("lane=\"{lane}\"");
        let position = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn";
        Self {
            service: server.cpu().as_secs_f64(),
            database: cpu_of_all("postgres"),
            operations: server.metric("store_operations_total", &label),
            batches: server.metric("store_batches_total", &label),
            log_bytes: query(&bench.database, position).parse().unwrap(),
        }
    }

    /// Describes what was used since an earlier moment.
    pub(super) fn since(&self, before: &Self) -> String {
        let operations = self.operations - before.operations;
        let thousand = 1000.0 / operations;
        format!(
            "for 1,000 a second: {:.3} cores of the service, {:.3} of the database, {:.0} batches, \
             {:.2} MB of the database's log ({:.0} in a batch)",
            (self.service - before.service) * thousand,
            self.database_since(before) * thousand,
            (self.batches - before.batches) * thousand,
            (self.log_bytes - before.log_bytes) * thousand / 1e6,
            operations / (self.batches - before.batches),
        )
    }

    /// Sums the processes that still exist. Those of `pgbench` end in between.
    fn database_since(&self, before: &Self) -> f64 {
        let spent = |(process, now): (&String, &Duration)| {
            let then = before.database.get(process).copied().unwrap_or_default();
            now.saturating_sub(then).as_secs_f64()
        };
        self.database.iter().map(spent).sum()
    }
}
