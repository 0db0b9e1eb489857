//! One connection: how much the service holds for it, and when it must end.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many requests may be open on a connection on which no caller has proved itself. Browsers open
/// fewer, and a request of a stranger must not cost as much memory as one of a caller.
pub(super) const MAX_STRANGER_STREAMS: u32 = 128;

/// The periods by which unread answers are counted: the current one and the two before.
const PERIODS: u32 = 3;

/// The shared state of one connection.
#[derive(Debug)]
pub struct Connection {
    pub(super) number: u64,
    /// The address that the connection counts against.
    pub(super) network: IpAddr,
    /// Whether the peer is a trusted proxy, which carries the requests of many clients.
    pub(super) is_proxy: bool,
    /// When the table of connections was created. Times are in milliseconds after it.
    begun: Instant,
    has_caller: AtomicBool,
    /// Whether a request was ever made.
    used: AtomicBool,
    open: AtomicU32,
    held: AtomicUsize,
    /// The bytes that were held when the connection was shed.
    shed: AtomicUsize,
    /// When a request last began or ended, in milliseconds after [`Self::begun`].
    active_at: AtomicU64,
    /// The current period, and the number of unread answers that began in each.
    period: AtomicU32,
    unread: [AtomicU32; PERIODS as usize],
    /// Cancelled when the connection must end at once.
    closing: CancellationToken,
    /// Cancelled when the connection takes no new requests: long streams end, so that their clients
    /// reconnect.
    retiring: CancellationToken,
}

impl Connection {
    pub(super) fn new(number: u64, network: IpAddr, is_proxy: bool, begun: Instant) -> Self {
        let connection = Self {
            number,
            network,
            is_proxy,
            begun,
            has_caller: AtomicBool::new(false),
            used: AtomicBool::new(false),
            open: AtomicU32::new(0),
            held: AtomicUsize::new(0),
            shed: AtomicUsize::new(0),
            active_at: AtomicU64::new(0),
            period: AtomicU32::new(0),
            unread: [const { AtomicU32::new(0) }; PERIODS as usize],
            closing: CancellationToken::new(),
            retiring: CancellationToken::new(),
        };
        connection.touch();
        connection
    }

    /// Counts a new request. Returns `false` if the connection has too many open ones.
    pub(super) fn begin(&self) -> bool {
        let open = self.open.fetch_add(1, Ordering::Relaxed);
        self.touch();
        // Reading first keeps the cache line shared.
        if !self.is_used() {
            self.used.store(true, Ordering::Relaxed);
        }
        let allowed = open < MAX_STRANGER_STREAMS || self.is_trusted();
        if !allowed {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        allowed
    }

    /// Counts a request that has ended.
    pub(super) fn end(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.touch();
    }

    /// Returns whether a request was ever made.
    pub(super) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    fn touch(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active_at.store(now, Ordering::Relaxed);
    }

    /// Adds bytes that the service holds for this connection.
    pub(super) fn hold(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Removes bytes that the service no longer holds.
    pub(super) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Returns the bytes that the service holds for this connection.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Notes the bytes that were held when the connection was shed.
    pub(super) fn set_shed(&self, bytes: usize) {
        self.shed.store(bytes, Ordering::Relaxed);
    }

    /// Returns the bytes that were held when the connection was shed.
    pub(super) fn shed(&self) -> usize {
        self.shed.load(Ordering::Relaxed)
    }

    /// Records that a caller has authenticated on this connection.
    pub(super) fn set_has_caller(&self) {
        // Reading first keeps the cache line shared.
        if !self.has_caller() {
            self.has_caller.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether a caller has proved itself on this connection.
    pub(super) fn has_caller(&self) -> bool {
        self.has_caller.load(Ordering::Relaxed)
    }

    /// Returns whether the connection is a caller's or a trusted proxy's.
    pub(super) fn is_trusted(&self) -> bool {
        self.is_proxy || self.has_caller()
    }

    /// Returns whether no request is open.
    pub(super) fn is_idle(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    /// Returns when a request last began or ended.
    pub(super) fn active_at(&self) -> u64 {
        self.active_at.load(Ordering::Relaxed)
    }

    /// Counts an answer that begins now. Returns its period, for [`Self::answer_read`].
    pub(super) fn answer_begins(&self) -> u32 {
        let period = self.period.load(Ordering::Relaxed) % PERIODS;
        self.count(period).fetch_add(1, Ordering::Relaxed);
        period
    }

    /// Records that the peer has read the last byte of an answer.
    pub(super) fn answer_read(&self, period: u32) {
        self.count(period).fetch_sub(1, Ordering::Relaxed);
    }

    /// Begins the next period. Returns `true` if an answer has been unread for a whole period.
    pub(super) fn next_period(&self) -> bool {
        let next = self.period.fetch_add(1, Ordering::Relaxed) + 1;
        // The oldest period comes next in the circle, and its counter is about to be used again.
        self.count(next % PERIODS).load(Ordering::Relaxed) > 0
            || self.count((next + 1) % PERIODS).load(Ordering::Relaxed) > 0
    }

    fn count(&self, period: u32) -> &AtomicU32 {
        let [zero, one, two] = &self.unread;
        match period {
            0 => zero,
            1 => one,
            _ => two,
        }
    }

    /// Ends the connection at once.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    /// Returns whether the connection is about to end.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Returns when the connection must end at once.
    pub(super) const fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Returns when long streams must end, because the connection takes no new requests.
    pub(super) const fn retiring(&self) -> &CancellationToken {
        &self.retiring
    }
}
