-- How many seconds the session lives after its last refresh, at most. Null: as the settings say.
ALTER TABLE user_sessions ADD COLUMN refresh_seconds INTEGER;
-- How many seconds the session lives after its login, at most. Null: as the settings say.
ALTER TABLE user_sessions ADD COLUMN max_seconds INTEGER;
-- Whether a browser keeps the refresh token's cookie when it is closed. Null: yes.
ALTER TABLE user_sessions ADD COLUMN persistent INTEGER;
