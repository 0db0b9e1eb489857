//! All statements for Postgres. A refresh (`ROTATE`, `SWAP`, `RECORD_RECEIPTS`) changes no indexed
//! column.

use std::sync::OnceLock;

use crate::store::columns::{session_columns, settled_device};

/// A statement for a batch of rows, with one array for each column. The arrays are unnested side by
/// side in the select list. In a `FROM` clause, Postgres would materialize each array first, which
/// takes twice as long as all the rest of a single row.
///
/// For a single row it takes plain values, because setting up `unnest` for each column costs time
/// even for one row.
#[derive(Debug)]
pub(super) struct Batch {
    many: &'static str,
    one: OnceLock<String>,
}

impl Batch {
    const fn of(many: &'static str) -> Self {
        Self { many, one: OnceLock::new() }
    }

    /// Returns the text for this number of rows.
    pub(super) fn text(&'static self, rows: usize) -> &'static str {
        let for_one_row = || self.many.replace("unnest(", "(").replace("[])", ")");
        if rows == 1 { self.one.get_or_init(for_one_row) } else { self.many }
    }
}

/// When the last access token of a session has certainly expired. A version that did not record it
/// left the column empty. Such a session counts with the longest lifetime ever allowed
/// (`MAX_ACCESS_RETENTION`).
macro_rules! access_ends_at {
    () => {
        "COALESCE(access_ends_at, GREATEST(handed_out_at, last_used_at) + interval '26 hours')"
    };
}
pub(super) use access_ends_at;

pub(super) static INSERT: Batch = Batch::of(
    "
    INSERT INTO user_sessions
        (id, user_id, token, expires_at, predecessor, generation, sealed, lineage_key,
         handed_out_at, proven_at, created_at, last_used_at, revoked_at, revocation_reason,
         granted, user_agent, ip_address, device_name, request_key, first_tokens, auth_method,
         access_ends_at, refresh_seconds, max_seconds, persistent, revision, sweep_at)
    SELECT n.*, 0, n.expires_at
    FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::text[]) AS user_id,
                 unnest($3::text[]) AS token, unnest($4::timestamptz[]) AS expires_at,
                 unnest($5::text[]) AS predecessor, unnest($6::bigint[]) AS generation,
                 unnest($7::bytea[]) AS sealed, unnest($8::bytea[]) AS lineage_key,
                 unnest($9::timestamptz[]) AS handed_out_at,
                 unnest($10::timestamptz[]) AS proven_at,
                 unnest($11::timestamptz[]) AS created_at,
                 unnest($12::timestamptz[]) AS last_used_at,
                 unnest($13::timestamptz[]) AS revoked_at,
                 unnest($14::text[]) AS revocation_reason, unnest($15::text[]) AS granted,
                 unnest($16::text[]) AS user_agent, unnest($17::text[]) AS ip_address,
                 unnest($18::text[]) AS device_name, unnest($19::text[]) AS request_key,
                 unnest($20::bytea[]) AS first_tokens, unnest($21::text[]) AS auth_method,
                 unnest($22::timestamptz[]) AS access_ends_at,
                 unnest($23::bigint[]) AS refresh_seconds, unnest($24::bigint[]) AS max_seconds,
                 unnest($25::boolean[]) AS persistent) AS n
    ON CONFLICT (request_key) DO NOTHING",
);

pub(super) const STORED: &str = "SELECT id FROM user_sessions WHERE id = ANY($1)";

pub(super) const FIND_REQUESTS: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", request_key, first_tokens FROM user_sessions WHERE request_key = ANY($1)"
);

pub(super) const LOAD: &str =
    concat!("SELECT ", session_columns!(), " FROM user_sessions WHERE id = ANY($1)");

/// Also adds the revocations that it makes to the feed. A row's position is read from the clock
/// after its session was locked. A transaction that has no transaction id yet is invisible to
/// `FEED`, and has not taken a position either.
pub(super) static SWAP: Batch = Batch::of(
    "
    WITH swapped AS (
        UPDATE user_sessions AS s
        SET token = n.token, expires_at = n.expires_at, predecessor = n.predecessor,
            generation = n.generation, sealed = n.sealed, handed_out_at = n.handed_out_at,
            proven_at = n.proven_at, last_used_at = n.last_used_at, revoked_at = n.revoked_at,
            revocation_reason = n.revocation_reason, auth_method = n.auth_method,
            access_ends_at = n.access_ends_at, epoch = n.epoch, set_aside = n.set_aside,
            device_key = n.device_key, device_thumbprint = n.device_thumbprint,
            device_algorithm = n.device_algorithm, device_bound_at = n.device_bound_at,
            device_generation = n.device_generation, revision = s.revision + 1,
            granted = CASE WHEN n.revoked_at IS NULL THEN COALESCE(n.granted, s.granted)
                           ELSE '{}' END,
            user_agent = CASE WHEN n.revoked_at IS NULL THEN s.user_agent ELSE '' END,
            ip_address = CASE WHEN n.revoked_at IS NULL THEN s.ip_address ELSE '' END,
            device_name = CASE WHEN n.revoked_at IS NULL THEN s.device_name ELSE '' END
        FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::bigint[]) AS revision,
                     unnest($3::text[]) AS token, unnest($4::timestamptz[]) AS expires_at,
                     unnest($5::text[]) AS predecessor, unnest($6::bigint[]) AS generation,
                     unnest($7::bytea[]) AS sealed, unnest($8::timestamptz[]) AS handed_out_at,
                     unnest($9::timestamptz[]) AS proven_at,
                     unnest($10::timestamptz[]) AS last_used_at,
                     unnest($11::timestamptz[]) AS revoked_at,
                     unnest($12::text[]) AS revocation_reason, unnest($13::text[]) AS auth_method,
                     unnest($14::timestamptz[]) AS revocation_expires_at,
                     unnest($15::timestamptz[]) AS access_ends_at,
                     unnest($16::bigint[]) AS epoch, unnest($17::text[]) AS granted,
                     unnest($18::timestamptz[]) AS stale_until,
                     unnest($19::text[]) AS set_aside, unnest($20::text[]) AS events,
                     unnest($21::text[]) AS device_key, unnest($22::text[]) AS device_thumbprint,
                     unnest($23::text[]) AS device_algorithm,
                     unnest($24::timestamptz[]) AS device_bound_at,
                     unnest($25::bigint[]) AS device_generation) AS n
        WHERE s.id = n.id AND s.revision = n.revision
        RETURNING s.id, s.user_id, s.revoked_at, s.revocation_reason, n.revocation_expires_at,
                  n.epoch, n.stale_until, n.events),
    recorded AS (
        INSERT INTO revocations
            (session_id, user_id, revoked_at, expires_at, reason, recorded_at)
        SELECT id, user_id, revoked_at, revocation_expires_at, revocation_reason, clock_timestamp()
        FROM swapped WHERE revocation_expires_at IS NOT NULL
        ON CONFLICT (session_id) DO NOTHING),
    declared_stale AS (
        INSERT INTO stale_tokens AS t (session_id, epoch, expires_at, recorded_at)
        SELECT id, epoch, stale_until, clock_timestamp() FROM swapped WHERE stale_until IS NOT NULL
        ON CONFLICT (session_id) DO UPDATE
        SET epoch = excluded.epoch, expires_at = GREATEST(t.expires_at, excluded.expires_at),
            recorded_at = excluded.recorded_at),
    noted AS (
        INSERT INTO session_events (session_id, happened_at, kind, user_id, actor, detail)
        SELECT s.id, 'epoch'::timestamptz + e.at * interval '1 microsecond', e.kind, s.user_id,
               e.actor, e.detail
        FROM swapped AS s CROSS JOIN LATERAL jsonb_to_recordset(s.events::jsonb)
             AS e(at bigint, kind text, actor text, detail text)
        WHERE s.events IS NOT NULL
        ON CONFLICT (session_id, happened_at, kind) DO NOTHING)
    SELECT id FROM swapped",
);

/// A session without lifetimes of its own has nulls there, which `LEAST` ignores. A session that is
/// bound to a device is rotated only if the request showed it, or if devices do not matter.
pub(super) static ROTATE: Batch = Batch::of(concat!(
    "UPDATE user_sessions AS s
     SET token = n.successor, predecessor = s.token, set_aside = s.predecessor,
         generation = s.generation + 1,
         sealed = n.opened_by_it, handed_out_at = n.presented_at, proven_at = NULL,
         last_used_at = GREATEST(s.last_used_at, n.presented_at),
         expires_at = LEAST(n.prolonged_to, n.presented_at + s.refresh_seconds * interval '1 s',
                            s.created_at + n.longest * interval '1 microsecond',
                            s.created_at + s.max_seconds * interval '1 s'),
         auth_method = n.method, revision = s.revision + 1, ",
    settled_device!(),
    "access_ends_at = GREATEST(",
    access_ends_at!(),
    ", n.access_until)
     FROM (SELECT unnest($1::uuid[]) AS session_id, unnest($2::text[]) AS presented,
                  unnest($3::timestamptz[]) AS presented_at,
                  unnest($4::timestamptz[]) AS handed_out_before, unnest($5::text[]) AS successor,
                  unnest($6::bytea[]) AS opened_by_it, unnest($7::timestamptz[]) AS prolonged_to,
                  unnest($8::bigint[]) AS longest, unnest($9::text[]) AS method,
                  unnest($10::timestamptz[]) AS access_until, unnest($11::text[]) AS device) AS n
     WHERE s.id = n.session_id AND s.token = n.presented
       AND s.revoked_at IS NULL
       AND LEAST(s.expires_at, s.last_used_at + s.refresh_seconds * interval '1 s',
                 s.created_at + s.max_seconds * interval '1 s') > n.presented_at
       AND ((s.predecessor IS NULL AND s.handed_out_at <= s.created_at)
            OR s.handed_out_at < n.handed_out_before)
       AND (s.device_thumbprint IS NULL OR n.device IS NULL OR s.device_thumbprint = n.device)
     RETURNING ",
    session_columns!()
));

pub(super) static RECORD_RECEIPTS: Batch = Batch::of(
    "
    UPDATE user_sessions AS s
    SET proven_at = n.seen_at, revision = s.revision + 1
    FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::bigint[]) AS generation,
                 unnest($3::timestamptz[]) AS seen_at) AS n
    WHERE s.id = n.id AND s.generation = n.generation AND s.proven_at IS NULL
      AND s.revoked_at IS NULL AND s.expires_at > n.seen_at",
);

/// The rows of both tables of the revocation feed after a position. If a session has a row in both at
/// the same position, the revocation comes first, so that a page never ends before it.
macro_rules! feed_rows {
    () => {
        "SELECT * FROM (
             (SELECT session_id, user_id, revoked_at, expires_at,
                     COALESCE(exact_reason, reason) AS reason, recorded_at, NULL::bigint AS epoch
              FROM revocations
              WHERE (recorded_at, session_id) > ($1, $2) AND expires_at > $3
              ORDER BY recorded_at, session_id LIMIT $4)
             UNION ALL
             (SELECT session_id, '', recorded_at, expires_at, '', recorded_at, epoch
              FROM stale_tokens
              WHERE (recorded_at, session_id) > ($1, $2) AND expires_at > $3
              ORDER BY recorded_at, session_id LIMIT $4)) AS u
         ORDER BY recorded_at, session_id, epoch NULLS FIRST LIMIT $4"
    };
}

/// A page of the revocation feed. Its horizon is `$5` ago, or the start of the oldest running
/// transaction that has written anything, if that is earlier. Postgres shows a role its own
/// transactions, and only those write revocations.
pub(super) const FEED: &str = concat!(
    "SELECT c.as_of, c.horizon, r.session_id, r.user_id, r.revoked_at, r.expires_at, r.reason,
            r.recorded_at, r.epoch
     FROM (SELECT statement_timestamp() AS as_of,
                  LEAST(statement_timestamp() - $5 * interval '1 microsecond',
                        (SELECT min(xact_start) FROM pg_stat_activity
                         WHERE datname = current_database() AND backend_xid IS NOT NULL))
                  AS horizon) AS c
     LEFT JOIN (",
    feed_rows!(),
    ") AS r ON true
     ORDER BY r.recorded_at, r.session_id, r.epoch NULLS FIRST"
);

/// Like [`FEED`], for databases that do not show running transactions.
pub(super) const FEED_WITHOUT_ACTIVITY: &str = concat!(
    "SELECT c.as_of, c.as_of - $5 * interval '1 microsecond', r.session_id, r.user_id,
            r.revoked_at, r.expires_at, r.reason, r.recorded_at, r.epoch
     FROM (SELECT statement_timestamp() AS as_of) AS c
     LEFT JOIN (",
    feed_rows!(),
    ") AS r ON true
     ORDER BY r.recorded_at, r.session_id, r.epoch NULLS FIRST"
);

pub(super) const PURGE_REVOCATIONS: &str = "
    WITH due AS MATERIALIZED (
        SELECT session_id FROM revocations WHERE expires_at < $1
        ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    DELETE FROM revocations AS r USING due WHERE r.session_id = due.session_id";

pub(super) const PURGE_STALE_TOKENS: &str = "
    WITH due AS MATERIALIZED (
        SELECT session_id FROM stale_tokens WHERE expires_at < $1
        ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    DELETE FROM stale_tokens AS t USING due WHERE t.session_id = due.session_id";

pub(super) const NOTIFY: &str = "SELECT pg_notify($1, '')";

pub(super) const LIST: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM user_sessions
      WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
        AND ($3::uuid IS NULL OR id < $3)
      ORDER BY id DESC LIMIT $4"
);

pub(super) const DUE: &str = "
    SELECT id, expires_at FROM user_sessions WHERE sweep_at < $1
    ORDER BY sweep_at LIMIT $2 FOR UPDATE SKIP LOCKED";

pub(super) const DELETE: &str = "DELETE FROM user_sessions WHERE id = ANY($1)";

pub(super) const POSTPONE: &str =
    "UPDATE user_sessions SET sweep_at = expires_at WHERE id = ANY($1)";

pub(super) const FORGET_FIRST_TOKENS: &str = "
    WITH due AS MATERIALIZED (
        SELECT id FROM user_sessions WHERE first_tokens IS NOT NULL AND created_at < $1
        ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    UPDATE user_sessions AS s SET first_tokens = NULL FROM due WHERE s.id = due.id";

/// `now()` is the start of the transaction: the time when the statement arrived.
pub(super) const STATUS: &str = "
    SELECT now(), current_setting('transaction_read_only'), current_setting('synchronous_commit')";

pub(super) const OVERDUE: &str = "
    SELECT count(*)
    FROM (SELECT 1 AS due FROM user_sessions WHERE sweep_at < $1 LIMIT $2) AS overdue";

pub(super) const PROBE: &str = "SELECT current_setting('token_authority.probe', true)";

/// Shows whether the server is a standby or was set read-only.
pub(super) const IS_READ_ONLY: &str = "SHOW transaction_read_only";

/// A row that `WRITE_PROBE` writes before its transaction is rolled back. The random id keeps the
/// probes of two replicas from waiting for each other.
pub(super) const WRITE_PROBE: &str = "
    INSERT INTO user_sessions
        (id, user_id, token, expires_at, generation, lineage_key, handed_out_at, created_at,
         last_used_at, granted, user_agent, ip_address, device_name, revision, sweep_at)
    SELECT md5(random()::text)::uuid, '', repeat('0', 64), now(), 0,
           decode(repeat('00', 32), 'hex'), now(), now(), now(), '{}', '', '', '', 0, now()";

/// The names of this list that exist in the current schema: tables, indexes, views, sequences.
pub(super) const EXISTING: &str = "
    SELECT c.relname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relname = ANY($1) ORDER BY c.relname";

/// The role, its current schema, whether it may create tables there, and the tables of this list
/// that it may not read and write.
pub(super) const PRIVILEGES: &str = "
    SELECT current_user::text, current_schema()::text,
           coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
           ARRAY(SELECT c.relname::text
                 FROM pg_class AS c
                 WHERE pg_table_is_visible(c.oid) AND c.relname = ANY($1)
                   AND c.relkind IN ('r', 'p') AND NOT (has_table_privilege(c.oid, 'SELECT')
                            AND has_table_privilege(c.oid, 'INSERT')
                            AND has_table_privilege(c.oid, 'UPDATE')
                            AND has_table_privilege(c.oid, 'DELETE')))";

/// Whether a schema exists.
pub(super) const HAS_SCHEMA: &str = "SELECT 1 FROM pg_namespace WHERE nspname = $1";

pub(super) const CHANGES: &str = "
    SELECT seq, percentage, jwt_enabled, updated_at, updated_by FROM rollout_changes
    ORDER BY seq DESC LIMIT $1";

pub(super) const APPEND_CHANGE: &str = "
    INSERT INTO rollout_changes (seq, percentage, jwt_enabled, updated_at, updated_by)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (seq) DO NOTHING";

/// Enables all kinds of plans for the rest of the transaction. A database does not list a setting
/// that it does not know.
pub(super) const PLAN_FREELY: &str = "
    SELECT set_config(name, 'on', true) FROM pg_settings
    WHERE name IN ('enable_seqscan', 'enable_hashjoin', 'enable_mergejoin')";

/// Returns whole users: the page ends with the last user that fits, or with one that exceeds it.
pub(super) const LIVE_SESSIONS: &str = "
    SELECT s.user_id, coalesce(s.auth_method, 'jwt') AS method, count(*)
    FROM user_sessions AS s
    JOIN (SELECT DISTINCT user_id FROM user_sessions
          WHERE revoked_at IS NULL AND expires_at > $2 AND ($1::text IS NULL OR user_id > $1)
          ORDER BY user_id LIMIT $3) AS page ON page.user_id = s.user_id
    WHERE s.revoked_at IS NULL AND s.expires_at > $2
    GROUP BY s.user_id, method ORDER BY s.user_id, method";

pub(super) const CENSUS: &str = "
    SELECT coalesce(auth_method, 'jwt') AS method, count(DISTINCT user_id), count(*),
           count(device_thumbprint)
    FROM user_sessions WHERE revoked_at IS NULL AND expires_at > $1 GROUP BY method";

pub(super) const SIZE: &str = "SELECT pg_total_relation_size('user_sessions')";

pub(super) const FIRST_DUE: &str = "SELECT sweep_at FROM user_sessions ORDER BY sweep_at LIMIT 1";

pub(super) const LEDGER: &str = "
    CREATE TABLE IF NOT EXISTS _sqlx_migrations (
        version bigint PRIMARY KEY,
        description text NOT NULL,
        installed_on timestamptz NOT NULL DEFAULT now(),
        success boolean NOT NULL,
        checksum bytea NOT NULL,
        execution_time bigint NOT NULL
    )";

pub(super) const APPLIED: &str =
    "SELECT version, description, checksum FROM _sqlx_migrations ORDER BY version";

pub(super) const ENTER: &str = "
    INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
    VALUES ($1, $2, true, $3, -1)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_by_itself_needs_no_array() {
        for (batch, arguments) in [(&INSERT, 25), (&SWAP, 25), (&ROTATE, 11), (&RECORD_RECEIPTS, 3)]
        {
            assert_eq!(batch.text(2).matches("unnest($").count(), arguments);
            assert_eq!(batch.text(0), batch.text(2));
            let for_one_row = batch.text(1);
            assert!(!for_one_row.contains("unnest") && !for_one_row.contains("[]"));
            assert_eq!(for_one_row.matches("($").count(), arguments);
        }
    }
}
