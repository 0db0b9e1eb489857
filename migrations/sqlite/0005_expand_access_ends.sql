-- From when on no verifier accepts an access token of the session, whatever settings and clock the
-- process had that issued it. A revocation has to be kept until then. Null: a version that did not
-- record it wrote the row. Its last access token may have the longest lifetime ever allowed: 24
-- hours, and two more for the concurrency window and a verifier's leeway.
ALTER TABLE user_sessions ADD COLUMN access_ends_at INTEGER;

-- Earlier versions kept a revocation only for the revoking process's own lifetime of access tokens.
-- Those whose access tokens may still be accepted are kept longer, or are added again.
INSERT INTO revocations (session_id, user_id, revoked_at, expires_at, reason, recorded_at)
SELECT id, user_id, revoked_at, max(handed_out_at, last_used_at) + 26 * 3600 * 1000000,
       revocation_reason, CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000
FROM user_sessions
WHERE revoked_at IS NOT NULL
  AND max(handed_out_at, last_used_at) > (unixepoch() - 27 * 3600) * 1000000
ON CONFLICT (session_id) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at);
