//! Every setting: its name in the environment, its default, and what it means.
//!
//! This table is what the command line, the environment and the reference in
//! `docs/configuration.md` are made from.

/// A setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name in the environment; as a flag, `NAME_OF_IT` is `--name-of-it`.
    pub name: &'static str,
    /// What holds where it is not given; `None`: see its meaning.
    pub default: Option<&'static str>,
    /// Whether it is a secret, which may be given as `NAME_FILE` and is never printed.
    pub secret: bool,
    /// What it means, with its unit and bounds.
    pub help: &'static str,
}

const fn plain(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, default: Some(default), secret: false, help }
}

const fn optional(name: &'static str, help: &'static str) -> Setting {
    Setting { name, default: None, secret: false, help }
}

const fn secret(name: &'static str, help: &'static str) -> Setting {
    Setting { name, default: None, secret: true, help }
}

/// Every setting, in the order of the reference.
pub const SETTINGS: &[Setting] = &[
    plain(
        "ENVIRONMENT",
        "development",
        "`development` or `production`. Production refuses what is only safe on one's own machine.",
    ),
    secret(
        "DATABASE_URL",
        "Where sessions are kept: `postgres://…` or `sqlite://…`. Unset: SQLite in the data directory.",
    ),
    plain(
        "DATA_DIR",
        "data",
        "Where the embedded database and, in development, a generated secret are kept.",
    ),
    secret(
        "JWT_SECRET",
        "The secret that signs and verifies access tokens under HS256, at least 32 bytes. Unset in \
         development: one is made and kept in the data directory. Never your auth-server's own secret.",
    ),
    secret(
        "JWT_SECRET_PREVIOUS",
        "The secret before JWT_SECRET, or the one to come: verifies and does not sign. Unset: none.",
    ),
    secret(
        "AUTHORITY_SECRET",
        "A secret that only this service knows, at least 32 bytes, other than JWT_SECRET. It seals \
         the private keys in the database: needed where JWT_ALGORITHM is not `HS256`.",
    ),
    plain(
        "JWT_ALGORITHM",
        "HS256",
        "How access tokens are signed: `HS256` with JWT_SECRET, or `EdDSA`, `ES256` or `RS256` with \
         key pairs that the database keeps. Then JWT_SECRET only verifies, if it is set.",
    ),
    plain(
        "KEY_ROTATION_DAYS",
        "30",
        "After how many days the next key pair signs: 0 to 3650. 0: only when it is told to.",
    ),
    plain(
        "KEY_PUBLISH_SECONDS",
        "900",
        "For how many seconds a new key pair is published before it signs: longer than any verifier \
         keeps a key set; 0 to 86400.",
    ),
    plain(
        "JWT_ACCESS_TOKEN_EXPIRE_MINUTES",
        "30",
        "How many minutes an access token lives: 1 to 1440.",
    ),
    plain(
        "JWT_REFRESH_TOKEN_EXPIRE_DAYS",
        "7",
        "How many days a session lives from its last refresh: 1 to 365.",
    ),
    plain("SESSION_MAX_LIFETIME_DAYS", "30", "How many days a session lives at most: 1 to 3650."),
    plain(
        "REFRESH_TOKEN_ROTATION",
        "true",
        "Whether a refresh hands out a new refresh token. `false`: a session keeps its first.",
    ),
    plain(
        "REFRESH_CONCURRENCY_WINDOW_SECONDS",
        "30",
        "For how many seconds requests with one refresh token count as simultaneous: at least twice \
         the slowest round trip; 0 to 3600.",
    ),
    optional("JWT_ISSUER", "The access token's `iss`. Unset: no such claim."),
    plain(
        "JWT_LEEWAY_SECONDS",
        "0",
        "How many seconds a verifier's clock may be off, as in your backends' verifiers: 0 to 300.",
    ),
    plain(
        "VALIDATION_CACHE_MIB",
        "32",
        "How many MiB verified JWTs may take in memory, at about 1.3 KiB each, so that one that is \
         shown again is not verified again: 0 (none) to 65536. Expiry, revocation, keys and \
         audience are judged each time.",
    ),
    plain(
        "REVOCATION_STALE_POLICY",
        "serve",
        "What ValidateToken does once this replica cannot confirm for REVOCATION_MAX_STALENESS_SECONDS \
         that it knows every revocation: `serve` goes on with what it knows, `refuse` answers \
         UNAVAILABLE. One that has just begun and knows nothing yet refuses in either case.",
    ),
    plain(
        "REVOCATION_MAX_STALENESS_SECONDS",
        "30",
        "For how many seconds the revocations' freshness may go unconfirmed before this replica is \
         not ready any more: 2 to 86400.",
    ),
    plain(
        "REVOCATION_MAX_ENTRIES",
        "1000000",
        "The most revocations held in memory, at about 250 bytes each: 1 to 100000000. If more matter, \
         ValidateToken asks the database about sessions that are not among them.",
    ),
    secret(
        "REDIS_URL",
        "A Redis through which replicas wake each other up for new revocations, such as \
         `redis://127.0.0.1:6379`: for databases without LISTEN/NOTIFY, or behind a transaction \
         pooler. Unset: none, replicas poll.",
    ),
    plain(
        "JWT_AUTH_ENABLED",
        "true",
        "Whether JWTs are minted at all, until `rollout set` says otherwise. `false`: everybody is \
         given session tokens.",
    ),
    plain(
        "JWT_ROLLOUT_PERCENTAGE",
        "100",
        "The share of users who are given JWTs, 0 to 100, until `rollout set` says otherwise; the rest \
         are given session tokens.",
    ),
    plain(
        "JWT_SHADOW",
        "false",
        "Whether a request that carries tokens of both kinds is judged by both, to count where they \
         disagree, and whoever is given a session token is given a JWT beside it for that.",
    ),
    optional(
        "LEGACY_SESSIONS",
        "Whose sessions ValidateToken accepts beside its own: `better-auth`, or `table` for another \
         table, which the next four settings name. It is only read. Unset: none.",
    ),
    optional(
        "LEGACY_SESSIONS_TABLE",
        "The table of these sessions, perhaps with its schema: `session`, `auth.session`. Unset: \
         Better Auth's own.",
    ),
    optional(
        "LEGACY_SESSIONS_TOKEN_COLUMN",
        "Its column of the token: text, and indexed. Unset: `token`.",
    ),
    optional("LEGACY_SESSIONS_USER_COLUMN", "Its column of the user's id. Unset: `userId`."),
    optional(
        "LEGACY_SESSIONS_EXPIRES_COLUMN",
        "Its column of the session's end. Unset: `expiresAt`.",
    ),
    secret(
        "LEGACY_DATABASE_URL",
        "Where that table is; a user who may SELECT from it is enough. Unset: DATABASE_URL.",
    ),
    secret(
        "BETTER_AUTH_SECRET",
        "The secret with which the auth-server signs its session cookies. With it they are accepted \
         as they are, unset only the plain tokens within. Never equal to a secret above.",
    ),
    plain("GRPC_ADDR", "127.0.0.1:50051", "The address and port of gRPC."),
    plain("HTTP_ADDR", "127.0.0.1:8080", "The address and port of HTTP."),
    plain("METRICS_ADDR", "127.0.0.1:9464", "The address and port of `GET /metrics`."),
    optional(
        "CALLERS_FILE",
        "Who may call, with which keys and roles: a JSON file that `token-authority callers` \
         writes, read anew when it changes. Required in production and on addresses other than \
         loopback. Unset: everybody may do everything.",
    ),
    plain(
        "TLS",
        "on",
        "`on`: TLS, by TLS_CERT and TLS_KEY, which production and addresses other than loopback \
         require. `off`: plain text, where a mesh or a proxy encrypts.",
    ),
    optional(
        "TLS_CERT",
        "The server's certificate chain, a PEM file, read anew when it changes. Unset: no TLS.",
    ),
    optional("TLS_KEY", "The private key of TLS_CERT, a PEM file, read anew when it changes."),
    optional(
        "TLS_CLIENT_CA",
        "The roots of callers' client certificates, a PEM file, read anew when it changes. Unset: \
         callers are not asked for one, and prove themselves by API keys alone.",
    ),
    plain("REFLECTION", "true", "Whether the gRPC port describes its services to anybody."),
    optional(
        "TRUSTED_PROXIES",
        "Proxies whose `X-Forwarded-For` or `Forwarded` is believed: addresses and networks, \
         separated by commas, such as `10.0.0.0/8`. Unset: none.",
    ),
    plain(
        "RATE_LIMIT_PER_CALLER",
        "0",
        "How many requests a second each caller may make, and after a slash how many at once, such \
         as `5000/10000`. `0`: as many as it likes.",
    ),
    optional(
        "RATE_LIMIT_PER_CLIENT",
        "How many requests a second each client address may make to what is open to anybody, and \
         after a slash how many at once. `0`: as many as it likes. Unset: `50/200` in production, \
         `0` in development.",
    ),
    plain(
        "REQUEST_TIMEOUT_SECONDS",
        "10",
        "How many seconds a request may take; a caller may ask for less: 1 to 600.",
    ),
    plain(
        "IDLE_TIMEOUT_SECONDS",
        "75",
        "How many seconds an HTTP/1 connection may be idle, or take to send a request's head: 1 to \
         3600. Longer than your proxy keeps its own connections.",
    ),
    plain(
        "MAX_CONCURRENT_REQUESTS",
        "4096",
        "How many requests may be under way; what comes on top is refused at once: 1 to 1000000.",
    ),
    plain(
        "MAX_CONCURRENT_STREAMS",
        "1024",
        "How many requests may be under way on one HTTP/2 connection: 1 to 1000000. At most 128 on the \
         HTTP port.",
    ),
    plain(
        "MAX_CONNECTIONS",
        "4096",
        "How many connections may be open on both ports; the longest idle one is closed for a new one: \
         1 to 1000000. Fewer if the process may not open so many descriptors.",
    ),
    plain(
        "MAX_CONNECTIONS_PER_CLIENT",
        "1024",
        "How many of them one client address may open: 1 to 1000000. Never more than half of all. \
         Proxies in TRUSTED_PROXIES are exempt.",
    ),
    plain(
        "GRPC_MAX_CONNECTION_AGE_SECONDS",
        "300",
        "After how many seconds, give or take a tenth, a gRPC connection takes no new requests, so that \
         clients spread over new replicas. Requests in flight finish; streams end with `UNAVAILABLE` and \
         are to be resumed: 1 to 86400. `0`: never.",
    ),
    plain(
        "MEMORY_LIMIT_MIB",
        "0",
        "How many MiB of memory the process may use: 64 to 1048576. At 80 % of it the connections that \
         hold most are closed. `0`: what the container's cgroup or the machine allows.",
    ),
    optional(
        "ALLOWED_ORIGINS",
        "Other origins whose pages may refresh and log out, separated by commas, such as \
         `https://app.example.com`. Unset: only pages of the very host that they call.",
    ),
    plain("REFRESH_COOKIE_NAME", "refreshToken", "The name of the refresh token's cookie."),
    plain(
        "COOKIE_SECURE",
        "true",
        "Whether the cookie is for HTTPS alone. `false` only in development over plain HTTP.",
    ),
    plain(
        "SHUTDOWN_GRACE_SECONDS",
        "25",
        "How many seconds requests in flight have to finish after SIGTERM: 1 to 600.",
    ),
    optional(
        "SHUTDOWN_DELAY_SECONDS",
        "How many seconds to go on serving as NOT_SERVING after SIGTERM, so that balancers notice: \
         0 to 120. Unset: 5 in production, 0 in development.",
    ),
    optional(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "Where traces go, over OTLP/gRPC, such as `http://127.0.0.1:4317`. Unset: nowhere. The other \
         standard `OTEL_*` variables hold too.",
    ),
    plain(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "Which requests are traced: `always_on`, `always_off`, `traceidratio`, or one of these with \
         `parentbased_` before it, which does as the caller's `traceparent` says where there is one.",
    ),
    plain(
        "OTEL_TRACES_SAMPLER_ARG",
        "1.0",
        "Which share of the requests `traceidratio` takes: 0 to 1.",
    ),
    plain(
        "LOG_LEVEL",
        "info",
        "What is logged: `error`, `warn`, `info`, `debug`, or directives as in RUST_LOG.",
    ),
    optional("LOG_FORMAT", "`json` or `text`. Unset: `json` in production, `text` in development."),
];
