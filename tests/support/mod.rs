//! What several test binaries need: real databases and poolers, the real binary and real clients,
//! started and stopped by the test.
#![expect(dead_code, unreachable_pub, reason = "each test binary uses its own part of it")]

pub mod http;
pub mod pgbouncer;
pub mod postgres;
pub mod service;
pub mod supervised;
pub mod tools;
