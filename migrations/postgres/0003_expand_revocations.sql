-- The revocation feed: one row for each session that was revoked, written by the statement that
-- revoked it. Rows are added and, once nobody needs them any more, deleted; never changed.
CREATE TABLE revocations (
    -- The session that is over. It may be swept from user_sessions before its row here.
    session_id uuid PRIMARY KEY,
    -- Whose session it was.
    user_id text NOT NULL,
    -- When it was revoked, by the clock of the replica that did.
    revoked_at timestamptz NOT NULL,
    -- When the session's last access token has certainly expired.
    expires_at timestamptz NOT NULL,
    -- Why it was revoked: logout, admin, user or reuse.
    reason text NOT NULL,
    -- The row's place in the feed: the database's clock when the row was written, which is before
    -- others can see it. docs/adr/0004-revocation-feed.md says how to read such a feed.
    recorded_at timestamptz NOT NULL
);

-- The feed in its order.
CREATE INDEX revocations_by_position ON revocations (recorded_at, session_id);
-- What nobody needs any more.
CREATE INDEX revocations_by_end ON revocations (expires_at);
