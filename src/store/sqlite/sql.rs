//! All statements for SQLite.
//!
//! A batch is one transaction. Its ids are passed as a JSON array.

use crate::store::columns::{forget_device, session_columns, settled_device};

pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(super) const COMMIT: &str = "COMMIT";
pub(super) const ROLLBACK: &str = "ROLLBACK";

/// One row of values for each session follows, then [`UNLESS_TAKEN`].
pub(super) const INSERT: &str = "
    INSERT INTO user_sessions
        (id, user_id, token, expires_at, predecessor, generation, sealed, lineage_key,
         handed_out_at, proven_at, created_at, last_used_at, revoked_at, revocation_reason,
         granted, user_agent, ip_address, device_name, request_key, first_tokens,
         revision, sweep_at, auth_method, access_ends_at, refresh_seconds, max_seconds,
         persistent) ";
pub(super) const UNLESS_TAKEN: &str = " ON CONFLICT (request_key) DO NOTHING RETURNING id";

pub(super) const FIND_REQUESTS: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", request_key, first_tokens FROM user_sessions
      WHERE request_key IN (SELECT value FROM json_each(?1))"
);

pub(super) const LOAD: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM user_sessions WHERE id IN (SELECT value FROM json_each(?1))"
);

/// One row of values for each session follows, then [`SWAP`].
pub(super) const NEW_STATES: &str = "
    WITH n (id, revision, token, expires_at, predecessor, generation, sealed, handed_out_at,
            proven_at, last_used_at, revoked_at, revocation_reason, auth_method,
            access_ends_at, epoch, granted, set_aside, device_key, device_thumbprint,
            device_algorithm, device_bound_at, device_generation) AS (";
pub(super) const SWAP: &str = ")
    UPDATE user_sessions AS s
    SET token = n.token, expires_at = n.expires_at, predecessor = n.predecessor,
        generation = n.generation, sealed = n.sealed, handed_out_at = n.handed_out_at,
        proven_at = n.proven_at, last_used_at = n.last_used_at, revoked_at = n.revoked_at,
        revocation_reason = n.revocation_reason, auth_method = n.auth_method,
        access_ends_at = n.access_ends_at, epoch = n.epoch, set_aside = n.set_aside,
        device_key = n.device_key, device_thumbprint = n.device_thumbprint,
        device_algorithm = n.device_algorithm, device_bound_at = n.device_bound_at,
        device_generation = n.device_generation, revision = s.revision + 1,
        granted = iif(n.revoked_at IS NULL, coalesce(n.granted, s.granted), '{}'),
        user_agent = iif(n.revoked_at IS NULL, s.user_agent, ''),
        ip_address = iif(n.revoked_at IS NULL, s.ip_address, ''),
        device_name = iif(n.revoked_at IS NULL, s.device_name, '')
    FROM n WHERE s.id = n.id AND s.revision = n.revision
    RETURNING id";

/// One row of values for each session follows, then [`ROTATE`].
pub(super) const ASSUMED_STATES: &str = "
    WITH n (id, presented, now, handed_out_before, successor, sealed, expires_at, longest,
            auth_method, access_until, device) AS (";
pub(super) const ROTATE: &str = concat!(
    ")
    UPDATE user_sessions AS s
    SET token = n.successor, predecessor = s.token, set_aside = s.predecessor,
        generation = s.generation + 1,
        sealed = n.sealed, handed_out_at = n.now, proven_at = NULL,
        last_used_at = max(s.last_used_at, n.now),
        expires_at = min(n.expires_at, coalesce(n.now + s.refresh_seconds * 1000000, n.expires_at),
                         s.created_at + n.longest,
                         coalesce(s.created_at + s.max_seconds * 1000000, n.expires_at)),
        auth_method = n.auth_method, revision = s.revision + 1, ",
    settled_device!(),
    "access_ends_at = max(
            coalesce(s.access_ends_at,
                     max(s.handed_out_at, s.last_used_at) + 26 * 3600 * 1000000),
            n.access_until)
    FROM n
    WHERE s.id = n.id AND s.token = n.presented
      AND s.revoked_at IS NULL
      AND min(s.expires_at,
              coalesce(s.last_used_at + s.refresh_seconds * 1000000, s.expires_at),
              coalesce(s.created_at + s.max_seconds * 1000000, s.expires_at)) > n.now
      AND ((s.predecessor IS NULL AND s.handed_out_at <= s.created_at)
            OR s.handed_out_at < n.handed_out_before)
      AND (s.device_thumbprint IS NULL OR n.device IS NULL OR s.device_thumbprint = n.device)
    RETURNING ",
    session_columns!()
);

pub(super) const RECORD_RECEIPTS: &str = "
    UPDATE user_sessions SET proven_at = ?3, revision = revision + 1
    WHERE id = ?1 AND generation = ?2 AND proven_at IS NULL
      AND revoked_at IS NULL AND expires_at > ?3";

pub(super) const REVOKE_USER: &str = concat!(
    "UPDATE user_sessions
     SET revoked_at = ?2, revocation_reason = ?3, revision = revision + 1,
         granted = '{}', user_agent = '', ip_address = '', device_name = '', ",
    forget_device!(),
    " WHERE user_id = ?1 AND revoked_at IS NULL AND expires_at > ?5
       AND (?4 IS NULL OR id <> ?4)
     RETURNING ",
    session_columns!()
);

/// The database's clock in microseconds, with a resolution of a millisecond.
macro_rules! clock {
    () => {
        "CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000"
    };
}

/// The last position in the revocation feed, which consists of two tables.
macro_rules! last_position {
    () => {
        "coalesce((SELECT max(at) FROM (SELECT max(recorded_at) AS at FROM revocations \
                                        UNION ALL SELECT max(recorded_at) FROM stale_tokens)), 0)"
    };
}

/// Positions grow with every row, whatever the clock of the writing process says. SQLite has one
/// writer at a time, so their order is the order of the commits.
pub(super) const APPEND_REVOCATION: &str = concat!(
    "INSERT INTO revocations
         (session_id, user_id, revoked_at, expires_at, reason, exact_reason, recorded_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, max(",
    clock!(),
    ", 1 + ",
    last_position!(),
    ")) ON CONFLICT (session_id) DO NOTHING"
);

pub(super) const APPEND_STALE_TOKENS: &str = concat!(
    "INSERT INTO stale_tokens (session_id, epoch, expires_at, recorded_at)
     VALUES (?1, ?2, ?3, max(",
    clock!(),
    ", 1 + ",
    last_position!(),
    ")) ON CONFLICT (session_id) DO UPDATE
     SET epoch = excluded.epoch, expires_at = max(expires_at, excluded.expires_at),
         recorded_at = excluded.recorded_at"
);

/// Revokes the sessions of users that exceed a bound, the least recently used first. A session of
/// this login counts as used last, even if the clock was set back.
pub(super) const EVICT: &str = concat!(
    "UPDATE user_sessions
     SET revoked_at = ?3, revocation_reason = 'user', exact_reason = 'evicted',
         revision = revision + 1, granted = '{}', user_agent = '', ip_address = '',
         device_name = '', ",
    forget_device!(),
    " WHERE id IN (
         SELECT id FROM (
             SELECT id, row_number() OVER (PARTITION BY user_id ORDER BY
                        id IN (SELECT value FROM json_each(?2)) DESC, last_used_at DESC, id DESC)
                        AS place
             FROM user_sessions
             WHERE user_id IN (SELECT value FROM json_each(?1))
               AND revoked_at IS NULL AND expires_at > ?3)
         WHERE place > ?4)
     RETURNING ",
    session_columns!()
);

/// Removes a user from all sessions. The session's own id takes the place of the user's.
pub(super) const ERASE_USER: &str = concat!(
    "UPDATE user_sessions
     SET user_id = id, granted = '{}', user_agent = '', ip_address = '', device_name = '',
         first_tokens = NULL, sealed = NULL, ",
    forget_device!(),
    ", revoked_at = coalesce(revoked_at, ?2),
         revocation_reason = coalesce(revocation_reason, 'user'), revision = revision + 1
     WHERE user_id = ?1
     RETURNING ",
    session_columns!()
);

/// Removes a user from the revocation feed.
pub(super) const FORGET_USER: &str =
    "UPDATE revocations SET user_id = session_id WHERE user_id = ?1";

/// Removes a user's history.
pub(super) const FORGET_HISTORY: &str = "DELETE FROM session_events WHERE user_id = ?1";

/// Writes the log's pages into the file and empties the log, which holds earlier states of pages. Its
/// row begins with 1 if a reader or a writer prevented that.
pub(super) const EMPTY_LOG: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// A page of the revocation feed, in one snapshot. Its horizon is the last position, because every
/// later row gets a higher one. If a session has a row in both tables, the later one has the higher
/// position.
pub(super) const FEED: &str = concat!(
    "SELECT c.as_of, c.horizon, r.session_id, r.user_id, r.revoked_at, r.expires_at, r.reason, r.recorded_at,
            r.epoch
     FROM (SELECT ",
    clock!(),
    " AS as_of, ",
    last_position!(),
    " AS horizon) AS c
     LEFT JOIN (SELECT * FROM (
                    SELECT session_id, user_id, revoked_at, expires_at,
                           coalesce(exact_reason, reason) AS reason, recorded_at, NULL AS epoch
                    FROM revocations
                    WHERE (recorded_at, session_id) > (?1, ?2) AND expires_at > ?3
                    ORDER BY recorded_at, session_id LIMIT ?4)
                UNION ALL
                SELECT * FROM (
                    SELECT session_id, '', recorded_at, expires_at, '', recorded_at, epoch
                    FROM stale_tokens
                    WHERE (recorded_at, session_id) > (?1, ?2) AND expires_at > ?3
                    ORDER BY recorded_at, session_id LIMIT ?4)
                ORDER BY recorded_at, session_id, epoch LIMIT ?4) AS r ON TRUE
     ORDER BY r.recorded_at, r.session_id, r.epoch"
);

/// Keeps the last row, because the next position follows it.
pub(super) const PURGE_REVOCATIONS: &str = "
    DELETE FROM revocations
    WHERE session_id IN (SELECT session_id FROM revocations
                         WHERE expires_at < ?1
                           AND recorded_at < (SELECT max(recorded_at) FROM revocations)
                         ORDER BY expires_at LIMIT ?2)";

/// Keeps the last row, as [`PURGE_REVOCATIONS`] does.
pub(super) const PURGE_STALE_TOKENS: &str = concat!(
    "DELETE FROM stale_tokens
     WHERE session_id IN (SELECT session_id FROM stale_tokens
                          WHERE expires_at < ?1 AND recorded_at < ",
    last_position!(),
    "                     ORDER BY expires_at LIMIT ?2)"
);

pub(super) const LIST: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM user_sessions
      WHERE user_id = ?1 AND revoked_at IS NULL AND expires_at > ?2
        AND (?3 IS NULL OR id < ?3)
      ORDER BY id DESC LIMIT ?4"
);

pub(super) const DUE: &str = "
    SELECT id, expires_at FROM user_sessions WHERE sweep_at < ?1 ORDER BY sweep_at LIMIT ?2";

pub(super) const OVERDUE: &str = "
    SELECT count(*) FROM (SELECT 1 FROM user_sessions WHERE sweep_at < ?1 LIMIT ?2)";

pub(super) const DELETE: &str =
    "DELETE FROM user_sessions WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const POSTPONE: &str = "
    UPDATE user_sessions SET sweep_at = expires_at
    WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const FORGET_FIRST_TOKENS: &str = "
    UPDATE user_sessions SET first_tokens = NULL
    WHERE id IN (SELECT id FROM user_sessions
                 WHERE first_tokens IS NOT NULL AND created_at < ?1
                 ORDER BY created_at LIMIT ?2)";

pub(super) const CHANGES: &str = "
    SELECT seq, percentage, jwt_enabled, updated_at, updated_by FROM rollout_changes
    ORDER BY seq DESC LIMIT ?1";

pub(super) const APPEND_CHANGE: &str = "
    INSERT INTO rollout_changes (seq, percentage, jwt_enabled, updated_at, updated_by)
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (seq) DO NOTHING";

/// Returns whole users: the page ends with the last user that fits, or with one that exceeds it.
pub(super) const LIVE_SESSIONS: &str = "
    SELECT s.user_id, coalesce(s.auth_method, 'jwt') AS method, count(*)
    FROM user_sessions AS s
    JOIN (SELECT DISTINCT user_id FROM user_sessions
          WHERE revoked_at IS NULL AND expires_at > ?2 AND (?1 IS NULL OR user_id > ?1)
          ORDER BY user_id LIMIT ?3) AS page ON page.user_id = s.user_id
    WHERE s.revoked_at IS NULL AND s.expires_at > ?2
    GROUP BY s.user_id, method ORDER BY s.user_id, method";

pub(super) const CENSUS: &str = "
    SELECT coalesce(auth_method, 'jwt') AS method, count(DISTINCT user_id), count(*),
           count(device_thumbprint)
    FROM user_sessions WHERE revoked_at IS NULL AND expires_at > ?1 GROUP BY method";

pub(super) const SIZE: &str =
    "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";

pub(super) const FIRST_DUE: &str = "SELECT sweep_at FROM user_sessions ORDER BY sweep_at LIMIT 1";

/// A number in the file's first page that applications may use. This service does not.
pub(super) const USER_VERSION: &str = "PRAGMA user_version";

/// The names of this list that exist: tables, indexes, views.
pub(super) const EXISTING: &str = "
    SELECT name FROM sqlite_schema WHERE name IN (SELECT value FROM json_each(?1)) ORDER BY name";

pub(super) const BACKUP: &str = "VACUUM INTO ?1";

pub(super) const LEDGER: &str = "
    CREATE TABLE IF NOT EXISTS _sqlx_migrations (
        version BIGINT PRIMARY KEY,
        description TEXT NOT NULL,
        installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
        success BOOLEAN NOT NULL,
        checksum BLOB NOT NULL,
        execution_time BIGINT NOT NULL
    )";

pub(super) const HAS_LEDGER: &str =
    "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";

pub(super) const APPLIED: &str =
    "SELECT version, description, checksum FROM _sqlx_migrations ORDER BY version";

pub(super) const ENTER: &str = "
    INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
    VALUES (?1, ?2, TRUE, ?3, -1)";
