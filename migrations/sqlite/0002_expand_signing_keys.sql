-- The key pairs that sign access tokens, one row a key. Moments are microseconds since the Unix
-- epoch.
CREATE TABLE signing_keys (
    -- Its place in the line of keys, from 1. Of two that make the next key at once, one does.
    number INTEGER NOT NULL PRIMARY KEY,
    -- Its name in tokens: the thumbprint of its public half (RFC 7638).
    kid TEXT NOT NULL UNIQUE,
    -- EdDSA, ES256 or RS256.
    algorithm TEXT NOT NULL,
    -- Its public half: the JSON text whose SHA-256 is the thumbprint.
    public_jwk TEXT NOT NULL,
    -- Its private half (PKCS #8), encrypted so that only AUTHORITY_SECRET opens it.
    sealed_private BLOB NOT NULL,
    -- The fingerprint of the AUTHORITY_SECRET that opens it.
    sealed_with TEXT NOT NULL,
    -- From when on it is published.
    created_at INTEGER NOT NULL,
    -- From when on it signs, until a later key does.
    activates_at INTEGER NOT NULL,
    -- How many seconds the longest token lives that it may sign.
    token_seconds INTEGER NOT NULL,
    -- When it verifies no more. Null: once the last token that it signed has expired.
    ends_at INTEGER
) STRICT;

-- When keys were last needed to verify a good token; those of shared secrets too.
CREATE TABLE signing_key_uses (
    -- The key's name in tokens.
    kid TEXT NOT NULL PRIMARY KEY,
    -- When a good token of its was last seen, to about a minute.
    last_verified_at INTEGER NOT NULL
) STRICT;
