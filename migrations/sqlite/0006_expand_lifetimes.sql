-- How many seconds the session lives after its last refresh, at most. Null: as the settings say.
ALTER TABLE user_sessions ADD COLUMN refresh_seconds INTEGER CHECK (refresh_seconds > 0);
-- How many seconds the session lives after its login, at most. Null: as the settings say.
ALTER TABLE user_sessions ADD COLUMN max_seconds INTEGER CHECK (max_seconds > 0);
-- Whether a browser keeps the refresh token's cookie when it is closed. Null: yes.
ALTER TABLE user_sessions ADD COLUMN persistent INTEGER;
