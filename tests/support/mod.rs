//! What several test binaries need: real databases and poolers, started and stopped by the test.
//!
//! A binary that leaves parts of it unused says so where it names this module:
//! `#[expect(dead_code, reason = "…")]`.

pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod supervised;
