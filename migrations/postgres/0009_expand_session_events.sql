-- What happened to sessions, for people who ask later. A row is added by the statement that changes the
-- session. Logins and refreshes add none, because user_sessions tells of them.
CREATE TABLE session_events (
    -- The session. It may be swept from user_sessions before its events.
    session_id uuid NOT NULL,
    -- When it happened, by the clock of the process that did it.
    happened_at timestamptz NOT NULL,
    -- What happened: revoked or updated. Readers ignore others.
    kind text NOT NULL,
    -- Whose session it is. The session's own id: the user was erased.
    user_id text NOT NULL,
    -- The caller that asked for it. Empty: nobody, because the service found a reason itself.
    actor text NOT NULL,
    -- If revoked: why. If updated: the names of the changed fields, separated by spaces, and
    -- refresh_now if earlier access tokens are refused.
    detail text NOT NULL,
    PRIMARY KEY (session_id, happened_at, kind)
);

-- A user's events, and what is to be forgotten of a user who is erased.
CREATE INDEX session_events_by_user ON session_events (user_id, happened_at);
-- What is kept no longer.
CREATE INDEX session_events_by_age ON session_events (happened_at);

-- What is to be forgotten of a user who is erased. The index is built here and not in 0007, which
-- would hold its lock on user_sessions meanwhile.
CREATE INDEX revocations_by_user ON revocations (user_id);
