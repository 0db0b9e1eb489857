//! What several test binaries need: real databases and poolers, started and stopped by the test.
#![expect(dead_code, unreachable_pub, reason = "each test binary uses its own part of it")]

pub mod pgbouncer;
pub mod postgres;
pub mod supervised;
