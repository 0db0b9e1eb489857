//! The shared support of the tests: the service's binary and real servers, which a test starts on
//! free loopback ports and which end with the test.
//!
//! ```no_run
//! # async fn test() {
//! use test_support::postgres::Cluster;
//! use test_support::replica::Setup;
//!
//! let cluster = Cluster::shared();
//! let url = cluster.url(&cluster.make_database().await);
//! let setup = Setup::on(&url).set("JWT_ALGORITHM", "EdDSA");
//! setup.succeed(&["migrate"]);
//! let replica = setup.start().await;
//! replica.ready().await;
//! let answer = replica.http().get("/healthz").await;
//! # }
//! ```
//!
//! | For | use |
//! |---|---|
//! | a running service, or one of its subcommands | [`replica::Setup`], which builds a [`replica::Replica`] |
//! | Postgres: shared, or one to crash, copy and promote | [`postgres::Cluster`] |
//! | `PgBouncer` in transaction mode | [`pgbouncer::PgBouncer`] |
//! | nginx before the service | [`nginx::Nginx`] |
//! | any other server | [`process::Supervised`], [`process::free_port`], [`process::await_port`] |
//! | a network that hangs or breaks | [`proxy::Proxy`] |
//! | something that must happen soon | [`until::until`], [`until::until_blocking`] |
//! | a browser's device key | [`device::Device`] |
//! | HTTP requests | [`http::Http`] |
//! | programs that `scripts/tools` installs | [`tools`]; line by line: [`script::Script`] |
//! | a figure that belongs in the test's output | [`measured::measured`] |
//!
//! Processes end with the test, even if it panics or is killed: see [`process`]. A test does not
//! start the service in any other way; `tests/architecture` checks that.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "a test fails by a panic, in its helpers too"
)]

pub mod device;
pub mod http;
pub mod measured;
pub mod nginx;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod replica;
pub mod script;
pub mod tools;
pub mod until;
