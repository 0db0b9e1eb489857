-- What kind of access token the session was last given: jwt or session. Null: a JWT, by a version
-- that knew nothing else.
ALTER TABLE user_sessions ADD COLUMN auth_method TEXT;

-- Who changed the roll-out, when, and to what. Rows are only ever added; the last one holds. While
-- there is none, each replica's settings hold. Moments are microseconds since the Unix epoch.
CREATE TABLE rollout_changes (
    -- The change's place in the order: 1, 2, 3 …
    seq INTEGER NOT NULL PRIMARY KEY,
    -- The share of users who are given JWTs.
    percentage INTEGER NOT NULL CHECK (percentage BETWEEN 0 AND 100),
    -- Whether JWTs are minted at all: 1 or 0.
    jwt_enabled INTEGER NOT NULL CHECK (jwt_enabled IN (0, 1)),
    -- When it was changed, by the clock of the process that did.
    updated_at INTEGER NOT NULL,
    -- The caller that changed it.
    updated_by TEXT NOT NULL
) STRICT;
