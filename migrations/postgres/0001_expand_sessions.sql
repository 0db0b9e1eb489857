-- One row a session, for its whole life. A refresh changes it in place and touches no indexed
-- column, so that Postgres can keep the new version on the same page (HOT) and write no index.
CREATE TABLE user_sessions (
    -- The session's id: a version 7 UUID, so that new rows lie side by side.
    id uuid PRIMARY KEY,
    -- Whose session it is, as the product knows its user.
    user_id text NOT NULL,
    -- SHA-256 of the current refresh token's text, as 64 hex digits.
    token text NOT NULL CHECK (length(token) = 64),
    -- When the current refresh token ends if it is not used.
    expires_at timestamptz NOT NULL,
    -- SHA-256 of the token that the current one was given in exchange for, as 64 hex digits.
    -- Null: the current token is the login's own.
    predecessor text,
    -- How many refresh tokens were minted before the current one.
    generation bigint NOT NULL,
    -- The current token's random bytes, encrypted so that only its predecessor opens them.
    sealed bytea,
    -- The key that authenticates every token of the session. It mints none that works.
    lineage_key bytea NOT NULL CHECK (length(lineage_key) = 32),
    -- When the current token was last sent to a client.
    handed_out_at timestamptz NOT NULL,
    -- When someone was first seen to hold the current token. Null: not yet.
    proven_at timestamptz,
    -- When the user logged in.
    created_at timestamptz NOT NULL,
    -- When the refresh token was last rotated or replaced.
    last_used_at timestamptz NOT NULL,
    -- When the session was revoked. Null: it was not.
    revoked_at timestamptz,
    -- Why it was revoked: logout, admin, user or reuse. Null: it was not.
    revocation_reason text,
    -- What its access tokens carry (aud, scope, claims), as JSON. Text, because jsonb refuses
    -- the character U+0000.
    granted text NOT NULL,
    -- The device that logged in, for people to read. Empty: unknown.
    user_agent text NOT NULL,
    -- Its IP address at login. Empty: unknown.
    ip_address text NOT NULL,
    -- Its name as its user knows it. Empty: unknown.
    device_name text NOT NULL,
    -- A hash of the login request's id, caller and user, as 64 hex digits: a retry finds the
    -- session by it. Null: the login may not be retried.
    request_key text UNIQUE CHECK (length(request_key) = 64),
    -- The login's first tokens, encrypted so that only the request's id opens them. Null: none
    -- were kept, or they are kept no longer.
    first_tokens bytea,
    -- How often the row's session was changed: the guard of every compare-and-swap.
    revision bigint NOT NULL,
    -- When a sweeper looks at the row next. Not moved by a refresh, since it is indexed: a
    -- sweeper that finds the session alive moves it to the session's end.
    sweep_at timestamptz NOT NULL
) WITH (fillfactor = 80);

-- A user's sessions, newest first.
CREATE INDEX user_sessions_by_user ON user_sessions (user_id, id);
-- What is due to be swept.
CREATE INDEX user_sessions_by_sweep ON user_sessions (sweep_at);
-- The few logins whose first tokens are still kept.
CREATE INDEX user_sessions_with_first_tokens ON user_sessions (created_at)
    WHERE first_tokens IS NOT NULL;
