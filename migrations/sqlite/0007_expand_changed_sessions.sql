-- How often all access tokens of the session were declared stale: their epoch, which new ones carry.
-- Null: never.
ALTER TABLE user_sessions ADD COLUMN epoch INTEGER;
-- The revocation's reason, if it is one that the version before does not know (evicted), which reads
-- `revocation_reason`. Null: that one is exact.
ALTER TABLE user_sessions ADD COLUMN exact_reason TEXT;
-- The same for `reason`.
ALTER TABLE revocations ADD COLUMN exact_reason TEXT;

-- A part of the revocation feed: sessions that live on, whose earlier access tokens are refused. The
-- table `revocations` cannot hold them, because the version before refuses every token of a session
-- that it lists there.
CREATE TABLE stale_tokens (
    -- The session.
    session_id TEXT PRIMARY KEY,
    -- Its access tokens of an earlier epoch are refused.
    epoch INTEGER NOT NULL,
    -- When the last of them has certainly expired.
    expires_at INTEGER NOT NULL,
    -- The row's place in the feed, as in `revocations`. If the epoch rises, the row moves to the end.
    recorded_at INTEGER NOT NULL
);

-- The feed in its order.
CREATE INDEX stale_tokens_by_position ON stale_tokens (recorded_at, session_id);
-- What nobody needs any more.
CREATE INDEX stale_tokens_by_end ON stale_tokens (expires_at);

-- SQLite has one writer at a time, so two logins of one user need no table of locks as on Postgres.
