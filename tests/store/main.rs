//! The conformance suite of the store: the same cases on SQLite, on Postgres, and on Postgres
//! behind a transaction pooler.

#[path = "../support/mod.rs"]
mod support;

mod database;
mod logins;
mod rollouts;
mod rows;

/// Instantiates each case for each database.
macro_rules! conformance {
    ($($module:ident: $($case:ident)*;)*) => {
        mod sqlite {
            $($(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$module::$case(super::database::Database::sqlite().await).await;
            })*)*
        }
        mod postgres {
            $($(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$module::$case(super::database::Database::postgres().await).await;
            })*)*
        }
        mod pgbouncer {
            $($(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$module::$case(super::database::Database::pgbouncer().await).await;
            })*)*
        }
    };
}

conformance! {
    rows:
        every_field_survives
        a_swap_is_guarded_by_its_revision;
    rollouts:
        changes_are_appended_in_one_order
        live_sessions_are_counted_by_user_and_kind
        a_refresh_moves_a_session_to_the_other_kind;
}
