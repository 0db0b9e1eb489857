//! What several test binaries need: real databases and poolers, the real binary and real clients,
//! started and stopped by the test.
//!
//! A binary that leaves parts of it unused says so where it names this module:
//! `#[expect(dead_code, reason = "…")]`.

pub(crate) mod http;
pub(crate) mod measured;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod service;
pub(crate) mod supervised;
pub(crate) mod tools;
