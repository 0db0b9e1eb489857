//! The conformance suite of the store: the same cases on SQLite, on Postgres, and on Postgres
//! behind a transaction pooler.

#[path = "../support/mod.rs"]
mod support;

mod database;
mod keys;
mod logins;
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
    keys:
        a_key_survives_whole
        of_many_at_once_one_makes_the_next_key
        a_keys_life_is_only_lengthened_and_its_end_only_hastened
        the_latest_use_counts_and_goes_with_its_key;
}
