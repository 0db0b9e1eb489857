//! Limits on requests, callers and clients.
//!
//! * [`rate`]: requests per second, by caller and by client address
//! * [`client_address`]: the client's address behind proxies
//! * [`load`]: how many requests may be in progress
//! * [`deadline`]: how long a request may take

pub mod client_address;
pub mod deadline;
pub mod load;
pub mod rate;

use std::time::Duration;

use client_address::TrustedProxies;
use rate::Rate;

/// The largest message of an RPC: four times as much as 1,000 tokens of 1 KiB need.
pub const MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The largest message of an RPC that anybody may call.
pub const OPEN_MESSAGE_BYTES: usize = 64 * 1024;

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
    /// How long an HTTP/1 connection may be idle, or take to send a request's head.
    pub idle_timeout: Duration,
}
