//! Metrics of state: the database, the store's shards and connections, the roll-out.
//!
//! State that the process knows is read at each scrape. State that only the database knows is read
//! by a background task, so that a slow database does not slow down the scrape.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use prometheus::{
    Counter, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, Result,
};

use super::register::{
    counter, counters, fraction_counter, gauge, gauges, since, whole_gauge, whole_gauges,
};
use crate::authority::{AuthMethod, RolloutControl};
use crate::clock::Clock;
use crate::store::figures::Census;
use crate::store::{Rows, Store, StoreError};

/// How often the database is asked for its size and its oldest row to sweep.
const PERIOD: Duration = Duration::from_secs(15);
/// Counting sessions reads the whole table. After a count that took one second, the next one starts
/// this many seconds later, so that counting takes at most half a percent of the database's time.
const COUNT_PAUSE_FACTOR: u32 = 200;
/// Bytes in a megabyte, as the quickstart's alert counts it.
const MEGABYTE: f64 = 1_048_576.0;

const BOUND: (&str, &str) = (
    "live_sessions_by_binding",
    "Live sessions that are bound to a device, and those that are not; NaN if they could not be counted in time.",
);
const SESSIONS: (&str, &str) = (
    "live_sessions",
    "Live sessions by the kind of their last access token; NaN if they could not be counted in time.",
);

/// The sources of these metrics.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The store and its shards.
    pub store: Arc<Store>,
    /// The database.
    pub rows: Arc<dyn Rows>,
    /// The roll-out.
    pub rollout: Arc<RolloutControl>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// How long the sweeper keeps ended sessions.
    pub retention: Duration,
}

/// Metrics of state.
#[derive(Debug)]
pub struct StateMetrics {
    sources: Sources,
    percentage: IntGauge,
    jwt_enabled: IntGauge,
    connections: IntGaugeVec,
    acquired: (IntCounter, AtomicU64),
    waited: (Counter, AtomicU64),
    shards: Vec<ShardMetrics>,
    reachable: IntGauge,
    size_bytes: Gauge,
    size_megabytes: Gauge,
    sweeper_lag: Gauge,
    sessions: GaugeVec,
    bound: GaugeVec,
    jwt_users: [Gauge; 2],
}

impl StateMetrics {
    pub(super) fn register(registry: &Registry, sources: Sources) -> Result<Self> {
        let whole = |name, help| whole_gauge(registry, (name, help));
        let decimal = |name, help| gauge(registry, (name, help));
        let users = "Users who have a live session whose last access token was a JWT";
        let made = Self {
            shards: ShardMetrics::register(registry, &sources.store)?,
            sources,
            percentage: whole("rollout_percentage", "Percentage of users who receive JWTs.")?,
            jwt_enabled: whole("rollout_jwt_enabled", "1 if JWTs are minted at all, otherwise 0.")?,
            connections: whole_gauges(
                registry,
                ("db_connections", "Connections to the database by state, idle or busy."),
                "state",
            )?,
            acquired: (
                counter(registry, ("db_acquires_total", "Connections requested from the pool."))?,
                AtomicU64::new(0),
            ),
            waited: (
                fraction_counter(
                    registry,
                    (
                        "db_acquire_wait_seconds_total",
                        "Total time that operations waited for a connection.",
                    ),
                )?,
                AtomicU64::new(0),
            ),
            reachable: whole(
                "store_reachable",
                "1 if the database answered the last query of this metric, otherwise 0.",
            )?,
            size_bytes: decimal(
                "user_sessions_table_bytes",
                "Size of the sessions table with its indexes; on SQLite, of the file.",
            )?,
            size_megabytes: decimal(
                "user_sessions_table_size_mb",
                "Same as user_sessions_table_bytes, in megabytes of 1,048,576 bytes.",
            )?,
            sweeper_lag: decimal(
                "sweeper_lag_seconds",
                "How long the oldest row that should be swept has been overdue.",
            )?,
            sessions: gauges(registry, SESSIONS, "method")?,
            bound: gauges(registry, BOUND, "binding")?,
            jwt_users: [
                decimal(
                    "jwt_auth_users",
                    &format!("{users}; NaN if they could not be counted in time."),
                )?,
                decimal("jwt_auth_users_total", &format!("{users}; the same as jwt_auth_users."))?,
            ],
        };
        for method in AuthMethod::ALL {
            made.sessions.with_label_values(&[method.as_str()]).set(0.0);
        }
        made.reachable.set(1);
        Ok(made)
    }

    /// Updates what the process itself knows, before a scrape.
    pub(super) fn update(&self) {
        let rollout = self.sources.rollout.current();
        self.percentage.set(rollout.percentage.number().into());
        self.jwt_enabled.set(rollout.jwt_enabled.into());
        let now = self.sources.rows.connections();
        let busy = now.open.saturating_sub(now.idle);
        for (state, count) in [("idle", now.idle), ("busy", busy)] {
            self.connections.with_label_values(&[state]).set(whole(count));
        }
        self.acquired.0.inc_by(since(&self.acquired.1, now.asked));
        let micros = since(&self.waited.1, now.waited_micros);
        self.waited.0.inc_by(Duration::from_micros(micros).as_secs_f64());
        for (shard, (_, figures)) in self.shards.iter().zip(self.sources.store.shards()) {
            shard.batches.0.inc_by(since(&shard.batches.1, figures.batches));
            shard.operations.0.inc_by(since(&shard.operations.1, figures.operations));
            shard.failures.0.inc_by(since(&shard.failures.1, figures.failures));
            shard.waiting.set(whole(figures.waiting));
        }
    }

    /// Asks the database periodically, until the future is dropped.
    pub async fn follow(&self) {
        let mut count_at = Instant::now();
        loop {
            self.reachable.set(self.measure().await.is_ok().into());
            if Instant::now() >= count_at {
                let begun = Instant::now();
                self.count().await;
                count_at = Instant::now() + begun.elapsed() * COUNT_PAUSE_FACTOR;
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn measure(&self) -> std::result::Result<(), StoreError> {
        let rows = &self.sources.rows;
        let bytes = decimal(rows.size().await?);
        self.size_bytes.set(bytes);
        self.size_megabytes.set(bytes / MEGABYTE);
        let sweepable = self.sources.clock.now() - self.sources.retention;
        let lag = rows.first_due().await?.map_or(Duration::ZERO, |due| sweepable.since(due));
        self.sweeper_lag.set(lag.as_secs_f64());
        Ok(())
    }

    async fn count(&self) {
        let counted = self.sources.rows.census(self.sources.clock.now()).await;
        let sum = |of: fn(&Census) -> u64| {
            counted.as_ref().map_or(f64::NAN, |all| decimal(all.iter().map(of).sum()))
        };
        self.bound.with_label_values(&["bound"]).set(sum(|one| one.bound));
        let unbound = sum(|one| one.sessions.saturating_sub(one.bound));
        self.bound.with_label_values(&["unbound"]).set(unbound);
        for method in AuthMethod::ALL {
            let (users, sessions) = counted.as_ref().map_or((f64::NAN, f64::NAN), |census| {
                let found = census.iter().find(|census| census.auth_method == method);
                found.map_or((0.0, 0.0), |found| (decimal(found.users), decimal(found.sessions)))
            });
            self.sessions.with_label_values(&[method.as_str()]).set(sessions);
            if method == AuthMethod::Jwt {
                self.jwt_users.iter().for_each(|gauge| gauge.set(users));
            }
        }
    }
}

/// Metrics of one shard of the store. The label is still called `lane`: metric names are stable.
#[derive(Debug)]
struct ShardMetrics {
    batches: (IntCounter, AtomicU64),
    operations: (IntCounter, AtomicU64),
    failures: (IntCounter, AtomicU64),
    waiting: IntGauge,
}

impl ShardMetrics {
    fn register(registry: &Registry, store: &Store) -> Result<Vec<Self>> {
        let count = |name, help| counters(registry, (name, help), "lane", &[]);
        let batches =
            count("store_batches_total", "Statements that carried batched operations of a shard.")?;
        let operations = count(
            "store_operations_total",
            "Operations of a shard; divided by store_batches_total, the mean size of a batch.",
        )?;
        let failures = count("store_failures_total", "Operations that failed in the database.")?;
        let about = ("store_waiting", "Operations that wait in a shard.");
        let waiting = whole_gauges(registry, about, "lane")?;
        let follow = |of: &IntCounterVec, name| (of.with_label_values(&[name]), AtomicU64::new(0));
        let shard = |name| Self {
            batches: follow(&batches, name),
            operations: follow(&operations, name),
            failures: follow(&failures, name),
            waiting: waiting.with_label_values(&[name]),
        };
        Ok(store.shards().map(|(name, _)| shard(name)).into())
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 need not be exact")]
const fn decimal(number: u64) -> f64 {
    number as f64
}
