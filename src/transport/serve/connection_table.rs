//! The open connections of all ports, and their limits.
//!
//! When a limit is reached, the table closes connections instead of refusing new ones: first those of
//! strangers that never made a request, then the other idle ones of strangers, the longest idle ones
//! first. So a client that fills the table displaces itself, and new clients are always served.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::connection::Connection;
use crate::transport::limits::budget::Budget;
use crate::transport::limits::client_address::TrustedProxies;
use crate::transport::limits::memory::Memory;
use crate::transport::limits::rate::network;

/// How many connections may still be closing when a new one is accepted. The descriptor reserve covers
/// them.
const MAX_CLOSING: usize = 64;

/// The minimum number of bytes that a connection must hold to be closed when memory is short.
/// Closing smaller ones frees nothing.
const MIN_SHED_BYTES: usize = 64 * 1024;

/// How often the memory is checked. A flood fills it within seconds.
const LOOK: Duration = Duration::from_millis(50);

/// The limits of the table.
#[derive(Debug, Clone)]
pub struct TableLimits {
    /// How many connections may be open.
    pub connections: usize,
    /// How many of them from one client address. Trusted proxies are exempt.
    pub per_client: usize,
    /// The proxies that carry the requests of many clients.
    pub trusted_proxies: TrustedProxies,
    /// The memory of the process.
    pub memory: Memory,
}

/// All open connections.
#[derive(Debug)]
pub struct ConnectionTable {
    limits: TableLimits,
    open: Mutex<Open>,
    next_number: AtomicU64,
    begun: Instant,
    /// The bytes that are held for requests without a caller.
    strangers: Budget,
    /// The part of them that belongs to connections that are closing.
    closing_bytes: AtomicUsize,
    closed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<u64, Arc<Connection>>,
    by_network: HashMap<IpAddr, usize>,
    closing: usize,
}

impl ConnectionTable {
    /// Makes an empty table.
    #[must_use]
    pub fn new(limits: TableLimits) -> Arc<Self> {
        const MIB: usize = 1024 * 1024;
        let strangers = Budget::new(limits.memory.share(16, 8 * MIB, 64 * MIB));
        Arc::new(Self {
            limits,
            open: Mutex::default(),
            next_number: AtomicU64::new(0),
            begun: Instant::now(),
            strangers,
            closing_bytes: AtomicUsize::new(0),
            closed: Notify::new(),
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until few enough connections are closing to accept another one.
    pub(super) async fn room(&self) {
        loop {
            let closed = self.closed.notified();
            tokio::pin!(closed);
            // Registered before looking, so that no notification is lost.
            closed.as_mut().enable();
            if self.open().closing < MAX_CLOSING {
                return;
            }
            closed.await;
        }
    }

    /// Enters a new connection, and closes another one if a limit is reached. Returns `None` if
    /// callers' requests are in progress on all of them.
    pub(super) fn enter(self: &Arc<Self>, address: SocketAddr) -> Option<Entry> {
        let network = network(address.ip());
        let is_proxy = self.limits.trusted_proxies.has(address.ip().to_canonical());
        let mut open = self.open();
        let own = open.by_network.get(&network).copied().unwrap_or(0);
        let all = open.connections.len() - open.closing;
        if !is_proxy && own >= self.limits.per_client {
            open.displace(|other| other.network == network)?;
        } else if all >= self.limits.connections {
            open.displace(|_| true)?;
        }
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection::new(number, network, is_proxy, self.begun));
        open.connections.insert(number, Arc::clone(&connection));
        *open.by_network.entry(network).or_default() += 1;
        Some(Entry { connection, table: Arc::clone(self) })
    }

    fn leave(&self, connection: &Connection) {
        let mut open = self.open();
        open.connections.remove(&connection.number);
        if connection.is_closing() {
            open.closing -= 1;
        } else {
            open.uncount(connection.network);
        }
        drop(open);
        self.closed.notify_waiters();
    }

    /// Adds bytes that are held for a request without a caller. If they are too many, the stranger's
    /// connection for which most is held ends. Returns `false` if there is no such connection.
    pub(super) fn hold_for_stranger(&self, bytes: usize) -> bool {
        if self.strangers.hold(bytes)
            || self.strangers.excess() <= self.closing_bytes.load(Ordering::Relaxed)
        {
            return true;
        }
        self.shed(|connection| !connection.is_trusted(), 0)
    }

    /// Removes bytes that were held for a request without a caller.
    pub(super) fn release_for_stranger(&self, bytes: usize) {
        self.strangers.release(bytes);
    }

    /// Sheds connections whenever memory is short. Strangers' connections go first.
    pub async fn watch_memory(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            if self.limits.memory.is_short()
                && !self.shed(|connection| !connection.is_trusted(), MIN_SHED_BYTES)
            {
                self.shed(|_| true, MIN_SHED_BYTES);
            }
        }
    }

    fn shed(&self, may_end: impl Fn(&Connection) -> bool, least: usize) -> bool {
        let mut open = self.open();
        let live = open.connections.values().filter(|one| !one.is_closing() && may_end(one));
        let Some(largest) = live.max_by_key(|one| (one.held(), u64::MAX - one.active_at())) else {
            return false;
        };
        let largest = Arc::clone(largest);
        let held = largest.held();
        if held < least {
            return false;
        }
        largest.set_shed(held);
        self.closing_bytes.fetch_add(held, Ordering::Relaxed);
        open.close(&largest);
        drop(open);
        tracing::warn!(
            client = %largest.network,
            bytes = held,
            "closed the connection that holds most memory"
        );
        true
    }
}

impl Open {
    /// Closes the connection that is least needed.
    fn displace(&mut self, may_end: impl Fn(&Connection) -> bool) -> Option<()> {
        let live = self.connections.values().filter(|one| !one.is_closing() && may_end(one));
        let order = |one: &Connection| match (one.is_trusted(), one.is_idle()) {
            (false, true) if !one.is_used() => Some((0, one.active_at())),
            (false, true) => Some((1, one.active_at())),
            (false, false) => Some((2, one.active_at())),
            (true, true) => Some((3, one.active_at())),
            (true, false) => None,
        };
        let spared =
            live.filter_map(|one| Some((order(one)?, one))).min_by_key(|(order, _)| *order);
        let spared = Arc::clone(spared?.1);
        self.close(&spared);
        Some(())
    }

    /// Marks a connection as closing. It no longer counts against its client.
    fn close(&mut self, connection: &Connection) {
        self.closing += 1;
        self.uncount(connection.network);
        connection.close();
    }

    fn uncount(&mut self, network: IpAddr) {
        if let Some(count) = self.by_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.by_network.remove(&network);
            }
        }
    }
}

/// A connection's entry, removed when it is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) connection: Arc<Connection>,
    table: Arc<ConnectionTable>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let shed = self.connection.shed();
        self.table.closing_bytes.fetch_sub(shed, Ordering::Relaxed);
        self.table.leave(&self.connection);
    }
}
