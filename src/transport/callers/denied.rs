//! Why the gate rejects a request. `fault.rs` maps each reason to the caller's error.

use std::time::Duration;

use super::roles::Role;

/// Why the gate rejects a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The caller has no credential or a wrong one.
    Unauthenticated,
    /// The caller lacks this role.
    Forbidden(Role),
    /// The caller or the client's address exceeds its rate. The value says how long to wait.
    Limited(Duration),
    /// Too many requests are in flight.
    Overloaded,
    /// The request exceeded its deadline.
    Late,
    /// There is no such RPC.
    Unknown,
}

impl Denied {
    /// Returns whether the caller can correct the cause. If it repeats the call without a
    /// correction, that is no accident.
    #[must_use]
    pub const fn is_the_callers_fault(self) -> bool {
        matches!(self, Self::Unauthenticated | Self::Forbidden(_) | Self::Unknown)
    }
}
