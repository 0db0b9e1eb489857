//! The statements for Postgres that concern all sessions of a user: revoke, evict and erase.

use super::sql::access_ends_at;
use crate::store::columns::{forget_device, session_columns};

pub(super) const REVOKE_USER: &str = concat!(
    "WITH revoked AS (
         UPDATE user_sessions
         SET revoked_at = $2, revocation_reason = $3, revision = revision + 1,
             granted = '{}', user_agent = '', ip_address = '', device_name = '', ",
    forget_device!(),
    " WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $6
           AND ($4::uuid IS NULL OR id <> $4)
         RETURNING ",
    session_columns!(),
    "),
     recorded AS (
         INSERT INTO revocations
             (session_id, user_id, revoked_at, expires_at, reason, recorded_at)
         SELECT id, user_id, revoked_at, GREATEST($5, ",
    access_ends_at!(),
    "),
                revocation_reason, clock_timestamp()
         FROM revoked
         ON CONFLICT (session_id) DO NOTHING),
     noted AS (
         INSERT INTO session_events (session_id, happened_at, kind, user_id, actor, detail)
         SELECT id, revoked_at, 'revoked', user_id, $7, revocation_reason FROM revoked
         ON CONFLICT (session_id, happened_at, kind) DO NOTHING)
     SELECT ",
    session_columns!(),
    " FROM revoked"
);

/// Revokes the sessions of users that exceed a bound, the least recently used first. A session of
/// this login counts as used last, even if the clock of its replica is behind.
pub(super) const EVICT: &str = concat!(
    "WITH ranked AS (
         SELECT id, row_number() OVER (PARTITION BY user_id ORDER BY
                    id = ANY($2) DESC, last_used_at DESC, id DESC) AS place
         FROM user_sessions
         WHERE user_id = ANY($1) AND revoked_at IS NULL AND expires_at > $3),
     excess AS (
         SELECT s.id FROM user_sessions AS s JOIN ranked AS r ON r.id = s.id
         WHERE r.place > $4 AND s.revoked_at IS NULL ORDER BY s.id FOR UPDATE OF s),
     evicted AS (
         UPDATE user_sessions
         SET revoked_at = $3, revocation_reason = 'user', exact_reason = 'evicted',
             revision = revision + 1, granted = '{}', user_agent = '', ip_address = '',
             device_name = '', ",
    forget_device!(),
    " WHERE id IN (SELECT id FROM excess)
         RETURNING ",
    session_columns!(),
    "),
     recorded AS (
         INSERT INTO revocations
             (session_id, user_id, revoked_at, expires_at, reason, exact_reason, recorded_at)
         SELECT id, user_id, revoked_at, GREATEST($5, ",
    access_ends_at!(),
    "),
                revocation_reason, exact_reason, clock_timestamp()
         FROM evicted
         ON CONFLICT (session_id) DO NOTHING),
     noted AS (
         INSERT INTO session_events (session_id, happened_at, kind, user_id, actor, detail)
         SELECT id, revoked_at, 'revoked', user_id, '', exact_reason FROM evicted
         ON CONFLICT (session_id, happened_at, kind) DO NOTHING)
     SELECT ",
    session_columns!(),
    " FROM evicted"
);

/// Makes logins of the same users wait for each other until the end of the transaction.
pub(super) const LOCK_LOGINS: &str = "
    INSERT INTO login_locks (user_id) SELECT DISTINCT unnest($1::text[]) AS user_id
    ORDER BY user_id ON CONFLICT (user_id) DO NOTHING";

pub(super) const UNLOCK_LOGINS: &str = "DELETE FROM login_locks WHERE user_id = ANY($1)";

/// Removes a user from the sessions. The session's own id takes the place of the user's.
pub(super) const ERASE_USER: &str = concat!(
    "WITH erased AS (
         UPDATE user_sessions
         SET user_id = id::text, granted = '{}', user_agent = '', ip_address = '',
             device_name = '', first_tokens = NULL, sealed = NULL, ",
    forget_device!(),
    ",
             revoked_at = COALESCE(revoked_at, $2),
             revocation_reason = COALESCE(revocation_reason, 'user'), revision = revision + 1
         WHERE user_id = $1
         RETURNING ",
    session_columns!(),
    "),
     noted AS (
         INSERT INTO session_events (session_id, happened_at, kind, user_id, actor, detail)
         SELECT id, revoked_at, 'revoked', user_id, $4, revocation_reason FROM erased
         WHERE revoked_at = $2
         ON CONFLICT (session_id, happened_at, kind) DO NOTHING),
     recorded AS (
         INSERT INTO revocations
             (session_id, user_id, revoked_at, expires_at, reason, recorded_at)
         SELECT id, user_id, revoked_at, GREATEST($3, ",
    access_ends_at!(),
    "),
                revocation_reason, clock_timestamp()
         FROM erased WHERE revoked_at = $2
         ON CONFLICT (session_id) DO NOTHING)
     SELECT ",
    session_columns!(),
    " FROM erased"
);

/// Removes a user from the revocation feed and from the history.
pub(super) const FORGET_USER: &str = "
    WITH history AS (DELETE FROM session_events WHERE user_id = $1)
    UPDATE revocations SET user_id = session_id::text WHERE user_id = $1";
