//! Limits on requests, callers and clients.
//!
//! * [`rate`]: requests per second, by caller and by client address
//! * [`client_address`]: the client's address behind proxies
//! * [`load`]: how many requests may be in progress
//! * [`budget`]: how many bytes may be held
//! * [`memory`]: the memory of the process
//! * [`deadline`]: how long a request may take
//! * [`unread_body`]: the rest of a request body that no handler has read

pub mod budget;
pub mod client_address;
pub mod deadline;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod load;
pub mod memory;
pub mod rate;
pub mod unread_body;

use std::time::Duration;

use client_address::TrustedProxies;
use memory::Memory;
use rate::Rate;

/// The largest message of `ValidateTokens`: four times as much as 1,000 tokens of 1 KiB need.
pub const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The largest message of every other RPC. The largest valid one is a login with 4 KiB of claims.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// The largest body of an HTTP request. A form with one token is far smaller.
pub const BODY_BYTES: usize = 64 * 1024;

/// The largest head of a request. A browser sends all cookies of its site.
pub const HEAD_BYTES: u32 = 32 * 1024;

/// The limits that are settings.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// The rate of each caller. `None`: unlimited.
    pub per_caller: Option<Rate>,
    /// The rate of each client address on open routes. `None`: unlimited.
    pub per_client: Option<Rate>,
    /// The proxies with trusted forwarding headers.
    pub trusted_proxies: TrustedProxies,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How many requests may be in progress.
    pub concurrent_requests: usize,
    /// How many of them on one connection.
    pub concurrent_streams: u32,
    /// How many connections may be open.
    pub connections: usize,
    /// How many of them from one client address.
    pub connections_per_client: usize,
    /// How long a gRPC connection takes new requests. `None`: for ever.
    pub max_connection_age: Option<Duration>,
    /// The memory that the process may use.
    pub memory: Memory,
    /// How long an HTTP/1 connection may be idle, or take to send a request's head.
    pub idle_timeout: Duration,
}
