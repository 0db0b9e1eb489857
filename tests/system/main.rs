//! The real binary as a child process, with real clients: the behaviour that users of the service
//! see.
//!
//! `scripts/tools` installs the tools. If one is missing, the tests that need it fail.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers, too"
)]

mod collector;
mod command_line;
mod database;
mod needles;
mod production;
mod raw;
mod wire;

/// Instantiates each case for both databases. A case takes the [`database::Database`] and the
/// [`test_support::replica::Setup`] of a service on it.
macro_rules! on_both {
    ($($case:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let (database, setup) = crate::database::Database::sqlite().await;
                super::$case(database, setup).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let (database, setup) = crate::database::Database::postgres().await;
                super::$case(database, setup).await;
            })*
        }
    };
}

mod bad_fields;
mod bad_input;
mod crash;
mod erased;
mod history;
mod kits;
mod life;
mod outage;
mod races;
mod running;
mod secrecy;
mod settings;
mod shutdown;
mod start;
mod stolen;
mod traces;
mod trust;
mod unread;
mod unwritable;
mod vectors;
mod verdicts;
mod verifiers;
