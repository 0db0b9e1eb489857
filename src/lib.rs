//! The one service of a product that mints, renews, revokes and checks its tokens.
//!
//! # Layout
//!
//! A request enters at the top, falls straight down, and its answer comes straight back:
//!
//! ```text
//! main → cli → app → transport → authority → { store, keys } → token
//! ```
//!
//! * [`cli`]: the command line; [`config`]: the settings, read once and checked whole
//! * [`app`]: the composition root, which alone names concrete types and joins them
//! * [`transport`]: gRPC, the browser's HTTP adapter, error mapping, observation
//! * [`authority`]: issue, refresh, revoke, validate; revocations and who is told; the sweeper and the
//!   keeper of the keys
//! * [`store`]: sessions that outlast the process, on SQLite or Postgres
//! * [`keys`]: the key ring
//! * [`token`]: the vocabulary, pure: ids, claims, refresh tokens, the rotation verdict
//! * [`metrics`]: what an operator's Prometheus reads
//! * [`clock`]: time and entropy, injected everywhere
//! * [`doctor`]: what may be wrong with an installation
//! * [`telemetry`], [`shutdown`]: logs and traces; the end
//!
//! Arrows never go back: `token` and `authority` know no transport and no database, and `token`
//! and `clock` know nobody. A test holds that (`tests/architecture`).

pub mod app;
pub mod authority;
pub mod cli;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod keys;
pub mod metrics;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod token;
pub mod transport;
