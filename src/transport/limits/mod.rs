//! What one request, one client and all of them together may take.
//!
//! * [`rate`]: requests a second, by caller and by client address
//! * [`client_address`]: whose address counts behind a proxy
//! * [`load`]: how many requests may be under way
//! * [`deadline`]: how long one may take

pub mod client_address;
pub mod deadline;
pub mod load;
pub mod rate;

use std::time::Duration;

use client_address::TrustedProxies;
use rate::Rate;

/// The largest message of an RPC: four times what 1,000 tokens of 1 KiB take.
pub const MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The largest message of an RPC that anybody may call.
pub const OPEN_MESSAGE_BYTES: usize = 64 * 1024;

/// The largest body of an HTTP request: a form with one token.
pub const BODY_BYTES: usize = 64 * 1024;

/// The largest head of a request: a browser sends all cookies of its site.
pub const HEAD_BYTES: u32 = 32 * 1024;

/// What the operator decides of it.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// How often each caller may call. `None`: as often as it likes.
    pub per_caller: Option<Rate>,
    /// How often each client address may call what is open. `None`: as often as it likes.
    pub per_client: Option<Rate>,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How many requests may be under way.
    pub concurrent_requests: usize,
    /// How many of them on one connection.
    pub concurrent_streams: u32,
    /// How long a connection may be idle, or take for a request's head.
    pub idle_timeout: Duration,
}
