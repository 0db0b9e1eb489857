//! Settings of the database, of tokens, keys, sessions and revocations.

use crate::config::setting::{Setting, optional, plain, secret};

/// These settings, in the order of `docs/configuration.md`.
pub(super) const TOKENS: &[Setting] = &[
    plain(
        "ENVIRONMENT",
        "development",
        "`development` or `production`. Production refuses settings that are safe only on a \
         developer's machine. Development has a start page at `GET /`.",
    ),
    secret(
        "DATABASE_URL",
        "The database of the sessions: `postgres://…` or `sqlite://…`. Percent-encode special \
         characters in the password. A file (`DATABASE_URL_FILE`) is read again when it changes and \
         when a login fails. Unset: SQLite in the data directory.",
    ),
    optional(
        "DATABASE_SCHEMA",
        "The schema of this service's tables on Postgres, for a database that it shares with another \
         application. `migrate` creates it. It also works behind a transaction pooler. Unset: the \
         first schema of the role's `search_path`, usually `public`.",
    ),
    plain(
        "DATA_DIR",
        "data",
        "The folder of the embedded database and, in development, of the generated secret.",
    ),
    secret(
        "JWT_SECRET",
        "The secret that signs and verifies access tokens with HS256, at least 32 bytes. Unset in \
         development: a secret is generated and kept in the data directory. It must differ from \
         your auth-server's own secret.",
    ),
    secret(
        "JWT_SECRET_PREVIOUS",
        "The previous value of JWT_SECRET, or the next one. It verifies tokens and never signs. \
         Unset: none.",
    ),
    secret(
        "AUTHORITY_SECRET",
        "A secret that only this service knows, at least 32 bytes, different from JWT_SECRET. It \
         seals the private keys in the database. Required if JWT_ALGORITHM is not `HS256`.",
    ),
    plain(
        "JWT_ALGORITHM",
        "HS256",
        "The algorithm of access tokens: `HS256` with JWT_SECRET, or `EdDSA`, `ES256` or `RS256` \
         with key pairs that the database keeps. With key pairs, JWT_SECRET only verifies, if it \
         is set.",
    ),
    plain(
        "KEY_ROTATION_DAYS",
        "30",
        "The number of days after which the next key pair signs: 0 to 3650. 0: only `keys rotate` \
         rotates.",
    ),
    plain(
        "KEY_PUBLISH_SECONDS",
        "900",
        "How many seconds a new key pair is published before it signs: 0 to 86400. It must be \
         longer than any verifier caches the key set.",
    ),
    plain(
        "JWT_ACCESS_TOKEN_EXPIRE_MINUTES",
        "30",
        "The lifetime of an access token in minutes: 1 to 1440.",
    ),
    plain(
        "JWT_REFRESH_TOKEN_EXPIRE_DAYS",
        "7",
        "The lifetime of a session after its last refresh, in days: 1 to 365.",
    ),
    plain(
        "SESSION_MAX_LIFETIME_DAYS",
        "30",
        "The lifetime of a session after the login, in days: 1 to 3650.",
    ),
    plain(
        "MAX_SESSIONS_PER_USER",
        "0",
        "How many live sessions a user may have: 0 to 10000. A login that exceeds it ends the least \
         recently used session. 0: any number.",
    ),
    plain(
        "SESSION_EVENTS_DAYS",
        "30",
        "How many days the history of sessions is kept (`ListSessionEvents`): 1 to 3650.",
    ),
    plain(
        "DEVICE_BOUND_SESSIONS",
        "off",
        "`off`, or `offer`: offer browsers to bind a session to a key that cannot leave the device (Device \
         Bound Session Credentials). Browsers that cannot do it are not affected. `offer` requires \
         COOKIE_SECURE.",
    ),
    plain(
        "DEVICE_BOUND_COOKIE_SECONDS",
        "300",
        "The lifetime of a bound session's second cookie in seconds: 30 to 3600. A browser renews it about \
         two minutes before it ends. A thief who copies both cookies can refresh for this long.",
    ),
    plain(
        "REFRESH_TOKEN_ROTATION",
        "true",
        "Whether a refresh returns a new refresh token. `false`: a session keeps its first \
         refresh token.",
    ),
    plain(
        "REFRESH_CONCURRENCY_WINDOW_SECONDS",
        "30",
        "How many seconds requests with the same refresh token count as simultaneous: 0 to 3600. \
         It must be at least twice the slowest round trip.",
    ),
    optional("JWT_ISSUER", "The claim `iss` of access tokens. Unset: no such claim."),
    plain(
        "JWT_LEEWAY_SECONDS",
        "0",
        "The clock difference in seconds that validation tolerates, as in your backends' \
         verifiers: 0 to 300.",
    ),
    plain(
        "VALIDATION_CACHE_MIB",
        "32",
        "The memory for verified JWTs in MiB, at about 1.3 KiB for each token: 0 (no cache) to \
         65536. A cached token is not verified again. Expiry, revocation, keys and audience are \
         checked each time.",
    ),
    plain(
        "REVOCATION_STALE_POLICY",
        "serve",
        "What ValidateToken does if this replica could not confirm for \
         REVOCATION_MAX_STALENESS_SECONDS that it knows every revocation: `serve` continues with \
         the known ones, `refuse` answers UNAVAILABLE. A replica that has not yet read the \
         revocations refuses in both cases.",
    ),
    plain(
        "REVOCATION_MAX_STALENESS_SECONDS",
        "30",
        "How many seconds the revocations may be unconfirmed before this replica reports that it \
         is not ready: 2 to 86400.",
    ),
    plain(
        "REVOCATION_MAX_ENTRIES",
        "1000000",
        "The maximum number of revocations in memory, at about 250 bytes each: 1 to 100000000. If \
         there are more, ValidateToken asks the database about sessions that are not in memory.",
    ),
    secret(
        "REDIS_URL",
        "A Redis through which replicas notify each other of new revocations, such as \
         `redis://127.0.0.1:6379`. Use it for databases without LISTEN/NOTIFY or behind a \
         transaction pooler. Unset: replicas poll.",
    ),
];
