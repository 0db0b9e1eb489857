//! The service that mints, renews, revokes and checks a product's tokens.
//!
//! # Layout
//!
//! A request passes through these modules from left to right. The answer takes the same way back:
//!
//! ```text
//! main → cli → app → transport → authority → { store, keys } → token
//! ```
//!
//! * [`cli`]: the command line; [`config`]: the settings, which are read once and checked together
//! * [`app`]: the composition root; it alone names concrete types and connects them
//! * [`transport`]: gRPC, the browser's HTTP adapter, error mapping, observation
//! * [`authority`]: issue, refresh, revoke, validate; revocations and their watchers; the sweeper and
//!   the key rotator
//! * [`store`]: persistent sessions, on SQLite or Postgres
//! * [`keys`]: the key ring
//! * [`token`]: pure types and rules: ids, claims, refresh tokens, the rotation verdict
//! * [`metrics`]: the metrics that Prometheus scrapes
//! * [`clock`]: time and entropy, injected everywhere
//! * [`doctor`]: checks of an installation
//! * [`telemetry`], [`shutdown`]: logs and traces; signals that end the process
//!
//! Dependencies never point back: `token` and `authority` know no transport and no database, and
//! `token` and `clock` depend on no other module. `tests/architecture` checks this.

pub mod app;
pub mod authority;
pub mod cli;
pub mod clock;
pub mod config;
pub mod doctor;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod keys;
pub mod metrics;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod token;
pub mod transport;
