-- The device that a session is bound to (DBSC). All null: none. A revocation and an erasure set them to
-- null. A version that does not know these columns leaves them as they are.
--
-- The device's public key as a JWK, in the form whose SHA-256 is the thumbprint (RFC 7638). A proof of
-- the device does not bring it again.
ALTER TABLE user_sessions ADD COLUMN device_key text;
-- The thumbprint of device_key, in base64url.
ALTER TABLE user_sessions ADD COLUMN device_thumbprint text;
-- The algorithm of the device's proofs: ES256 or RS256.
ALTER TABLE user_sessions ADD COLUMN device_algorithm text;
-- When the device was registered.
ALTER TABLE user_sessions ADD COLUMN device_bound_at timestamptz;
-- The generation of the refresh token that registered the device. Tokens of that generation and of later
-- ones are refused without the device.
ALTER TABLE user_sessions ADD COLUMN device_generation bigint;
