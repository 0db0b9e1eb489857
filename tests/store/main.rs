//! The conformance suite of the store: the same cases on SQLite, on Postgres, and on Postgres
//! behind a transaction pooler.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers, too"
)]

mod bounded_logins;
mod changed;
mod database;
mod devices;
mod events;
mod feed;
mod feed_on_postgres;
mod keys;
mod legacy;
mod logins;
mod on_postgres;
mod on_sqlite;
mod outages;
mod presumed;
mod races;
mod reaching_postgres;
mod rollouts;
mod rows;
mod schema;
mod secrets;
mod verdicts;

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
    devices:
        a_device_is_registered_once_and_then_required
        one_of_many_registrations_at_once_is_kept
        only_the_current_token_registers
        a_database_settles_devices_as_the_rules_would
        a_device_is_forgotten_with_its_session;
    rows:
        every_field_survives
        a_session_ends_by_its_own_lifetimes_whoever_extended_it
        a_swap_is_guarded_by_its_revision
        a_request_key_is_taken_once
        nothing_asked_is_nothing_done
        all_of_a_users_live_sessions_but_one_are_revoked
        live_sessions_are_listed_newest_first_by_pages
        ended_sessions_are_purged_and_refreshed_ones_put_off
        first_tokens_are_forgotten_and_their_keys_are_not
        only_the_first_proof_of_a_live_generation_counts
        one_bad_value_fails_alone
        one_row_that_cannot_be_read_fails_alone;
    verdicts:
        the_current_token_rotates_unless_it_is_young
        an_unproven_predecessor_gets_the_same_successor_again
        a_predecessor_is_good_within_the_window_after_the_proof
        a_lost_reply_is_made_good_a_day_later
        a_displaced_token_is_good_beside_the_new_one_until_one_is_rotated
        a_late_copy_after_a_rotation_changes_nothing
        a_row_that_the_version_before_changed_holds_no_token_set_aside
        an_ancestor_fifty_generations_old_is_a_theft
        a_forgery_changes_nothing
        rotation_can_be_switched_off
        use_prolongs_a_session_up_to_its_longest_life
        a_validated_access_token_proves_its_generation
        sessions_are_revoked_by_token_by_id_and_by_user
        a_session_that_is_gone_is_unknown;
    presumed:
        a_database_takes_what_the_rules_would;
    races:
        fifty_refreshes_of_one_token_have_one_successor
        many_sessions_through_two_replicas_lose_nothing
        a_retried_login_is_one_session
        batches_with_the_same_keys_do_not_block_each_other
        a_revocation_wins_against_refreshes;
    changed:
        a_change_is_in_force_with_the_next_refresh
        stale_tokens_are_told_through_the_feed
        a_revoked_session_loses_what_nobody_needs
        nothing_of_an_erased_user_is_left
        a_login_over_the_bound_ends_the_least_recently_used_session
        concurrent_logins_keep_to_the_bound;
    events:
        every_change_is_told_once_with_its_actor
        logins_and_refreshes_add_no_row
        a_history_has_pages_and_ends
        an_erased_user_has_no_history;
    feed:
        every_path_tells_once
        what_is_not_written_is_not_told
        what_cannot_be_told_is_not_done
        it_is_read_in_order_page_by_page
        what_matters_no_more_is_purged
        many_at_once_are_all_told;
    keys:
        a_key_survives_whole
        of_many_at_once_one_makes_the_next_key
        a_keys_life_is_only_lengthened_and_its_end_only_hastened
        the_latest_use_counts_and_goes_with_its_key;
    legacy:
        sessions_are_found_by_their_exact_token
        a_row_that_makes_no_sense_is_no_session
        names_that_are_not_there_find_nobody
        look_ups_at_once_find_their_callers;
    secrets:
        the_database_holds_no_token
        the_quickstarts_query_finds_the_hash;
    schema:
        its_state_is_told
        several_migrate_at_once
        a_column_that_this_version_does_not_know_is_left_alone;
    rollouts:
        changes_are_appended_in_one_order
        live_sessions_are_counted_by_user_and_kind
        a_refresh_moves_a_session_to_the_other_kind;
}
