//! Why a request is turned away before it reaches the service. What callers are told is in
//! `fault.rs`.

use std::time::Duration;

use super::roles::Role;

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The caller has no or a wrong credential.
    Unauthenticated,
    /// The caller lacks this role.
    Forbidden(Role),
    /// The caller or the client's address is over its rate; after how long to try again.
    Limited(Duration),
    /// Too many requests are under way.
    Overloaded,
    /// The request took longer than it may.
    Late,
    /// There is no such RPC.
    Unknown,
}
