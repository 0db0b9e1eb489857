//! The quickstart's deployment with real parts: a product with a real Better Auth on a real
//! Postgres moves its users from database sessions to JWTs and back, under continuous traffic.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by a panic")]

mod auth_server;
mod figures;
mod migration;
mod named;
mod program;
mod quickstart;
mod traffic;
mod user;
