//! Moving users from database sessions to JWTs and back, on real processes and real databases.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod buckets;
mod kinds;
mod legacy;
mod replicas;
mod shadow;
mod users;

use test_support::replica::Setup;

/// The secret that access tokens are signed with.
pub(crate) const SECRET: &str = "rollout-tests-kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa";

/// A deployment whose secret is known, on the embedded database.
pub(crate) fn deployment() -> Setup {
    Setup::new().quiet().set("JWT_SECRET", SECRET)
}
