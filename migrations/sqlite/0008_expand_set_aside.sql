-- SHA-256 of the token that the last change set aside, as 64 hex digits: the successor that a re-mint
-- displaced, or the predecessor of the predecessor after a rotation. A late message may still carry it.
-- Null: there is none, or a version that does not know this column wrote the row last.
ALTER TABLE user_sessions ADD COLUMN set_aside TEXT;
