-- What kind of access token the session was last given: jwt or session. Null: a JWT, by a version
-- that knew nothing else.
ALTER TABLE user_sessions ADD COLUMN auth_method text;

-- Who changed the roll-out, when, and to what. Rows are only ever added; the last one holds. While
-- there is none, each replica's settings hold.
CREATE TABLE rollout_changes (
    -- The change's place in the order: 1, 2, 3 …
    seq bigint PRIMARY KEY,
    -- The share of users who are given JWTs.
    percentage bigint NOT NULL CHECK (percentage BETWEEN 0 AND 100),
    -- Whether JWTs are minted at all.
    jwt_enabled boolean NOT NULL,
    -- When it was changed, by the clock of the process that did.
    updated_at timestamptz NOT NULL,
    -- The caller that changed it.
    updated_by text NOT NULL
);
