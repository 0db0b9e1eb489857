//! Every setting with its name, its default and its meaning.
//!
//! The flags, the environment variables and `docs/configuration.md` are generated from this table.

/// A setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The name of the environment variable. The flag of `NAME_OF_IT` is `--name-of-it`.
    pub name: &'static str,
    /// The default. `None`: the meaning says what an unset value means.
    pub default: Option<&'static str>,
    /// Whether the value is a secret. A secret can be given as `NAME_FILE` and is never printed.
    pub secret: bool,
    /// The meaning, with unit and bounds.
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

/// Every setting, in the order of `docs/configuration.md`.
pub const SETTINGS: &[Setting] = &[
    plain(
        "ENVIRONMENT",
        "development",
        "`development` or `production`. Production refuses settings that are safe only on a \
         developer's machine.",
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
    plain(
        "JWT_AUTH_ENABLED",
        "true",
        "Whether JWTs are minted, until `rollout set` stores another value. `false`: every user \
         receives session tokens.",
    ),
    plain(
        "JWT_ROLLOUT_PERCENTAGE",
        "100",
        "The percentage of users who receive JWTs, 0 to 100, until `rollout set` stores another \
         value. The other users receive session tokens.",
    ),
    plain(
        "JWT_SHADOW",
        "false",
        "Shadow mode: whether a request with tokens of both kinds is validated with both, to \
         count disagreements. A user with a session token then receives a JWT as well.",
    ),
    optional(
        "LEGACY_SESSIONS",
        "Which legacy sessions ValidateToken accepts: `better-auth`, or `table` for another \
         table, which the next four settings name. The table is only read. Unset: none.",
    ),
    optional(
        "LEGACY_SESSIONS_TABLE",
        "The table of the legacy sessions, with its schema if needed: `session`, `auth.session`. \
         Unset: Better Auth's table.",
    ),
    optional(
        "LEGACY_SESSIONS_TOKEN_COLUMN",
        "The column of the token, an indexed text column. Unset: `token`.",
    ),
    optional("LEGACY_SESSIONS_USER_COLUMN", "The column of the user's id. Unset: `userId`."),
    optional(
        "LEGACY_SESSIONS_EXPIRES_COLUMN",
        "The column of the session's expiry. Unset: `expiresAt`.",
    ),
    secret(
        "LEGACY_DATABASE_URL",
        "The database of that table. Its user needs only SELECT on the table. Unset: \
         DATABASE_URL.",
    ),
    secret(
        "BETTER_AUTH_SECRET",
        "The secret with which the auth-server signs its session cookies. If it is set, signed \
         cookies are accepted; otherwise only the plain tokens in them. It must differ from the \
         secrets above.",
    ),
    plain("GRPC_ADDR", "127.0.0.1:50051", "The IP address and port of gRPC."),
    plain("HTTP_ADDR", "127.0.0.1:8080", "The IP address and port of HTTP."),
    plain("METRICS_ADDR", "127.0.0.1:9464", "The IP address and port of `GET /metrics`."),
    optional(
        "CALLERS_FILE",
        "The callers with their keys and roles: a JSON file that `token-authority callers` \
         writes. It is reloaded when it changes. Required in production and on addresses other \
         than loopback. Unset: every client may call everything.",
    ),
    plain(
        "TLS",
        "on",
        "`on`: TLS with TLS_CERT and TLS_KEY, which production and addresses other than loopback \
         require. `off`: plain text, because a mesh or a proxy encrypts.",
    ),
    optional(
        "TLS_CERT",
        "The server's certificate chain, a PEM file. It is reloaded when it changes. Unset: no \
         TLS.",
    ),
    optional("TLS_KEY", "The private key of TLS_CERT, a PEM file. It is reloaded when it changes."),
    optional(
        "TLS_CLIENT_CA",
        "The root certificates of callers' client certificates, a PEM file. It is reloaded when \
         it changes. Unset: callers authenticate with API keys only.",
    ),
    plain("REFLECTION", "true", "Whether the gRPC port offers server reflection to every client."),
    optional(
        "TRUSTED_PROXIES",
        "The proxies whose `X-Forwarded-For` or `Forwarded` header is trusted: addresses and \
         networks, separated by commas, such as `10.0.0.0/8`. Unset: none.",
    ),
    plain(
        "RATE_LIMIT_PER_CALLER",
        "0",
        "How many requests per second each caller may send, with an optional burst after a slash, \
         such as `5000/10000`. `0`: no limit.",
    ),
    optional(
        "RATE_LIMIT_PER_CLIENT",
        "How many requests per second each client address may send to public routes, with an \
         optional burst after a slash. `0`: no limit. Unset: `50/200` in production, `0` in \
         development.",
    ),
    plain(
        "REQUEST_TIMEOUT_SECONDS",
        "10",
        "The timeout of a request in seconds: 1 to 600. A caller can set a shorter deadline.",
    ),
    plain(
        "IDLE_TIMEOUT_SECONDS",
        "75",
        "How many seconds an HTTP/1 connection may be idle, or take to send the head of a \
         request: 1 to 3600. It must be longer than your proxy keeps idle connections.",
    ),
    plain(
        "MAX_CONCURRENT_REQUESTS",
        "4096",
        "The maximum number of concurrent requests: 1 to 1000000. Further requests are refused at \
         once.",
    ),
    plain(
        "MAX_CONCURRENT_STREAMS",
        "1024",
        "The maximum number of concurrent requests on one HTTP/2 connection: 1 to 1000000. At most 128 \
         on the HTTP port.",
    ),
    plain(
        "MAX_CONNECTIONS",
        "4096",
        "The maximum number of open connections on both ports: 1 to 1000000. A new one closes the \
         longest idle one. Lower if the process may not open so many descriptors.",
    ),
    plain(
        "MAX_CONNECTIONS_PER_CLIENT",
        "1024",
        "The maximum number of open connections of one client address: 1 to 1000000, and never more than \
         half of all. Proxies in TRUSTED_PROXIES are exempt.",
    ),
    plain(
        "GRPC_MAX_CONNECTION_AGE_SECONDS",
        "300",
        "The age in seconds at which a gRPC connection takes no new requests, give or take a tenth, so \
         that clients spread over new replicas: 1 to 86400. Requests in flight finish; streams end with \
         `UNAVAILABLE` and are to be resumed. `0`: never.",
    ),
    plain(
        "MEMORY_LIMIT_MIB",
        "0",
        "The memory limit of the process in MiB: 64 to 1048576. At 80 % of it, the connections that hold \
         most are closed. `0`: the limit of the container's cgroup or of the machine.",
    ),
    optional(
        "ALLOWED_ORIGINS",
        "Other origins whose pages may refresh and log out, separated by commas: \
         `https://app.example.com`, `https://*.preview.example.com` for all subdomains, or an \
         app's `capacitor://localhost`. Unset: only pages of the host that they call.",
    ),
    plain(
        "REFRESH_COOKIE_NAME",
        "refreshToken",
        "The name of the refresh token's cookie. With a name that begins with `__Host-` no other \
         host of the domain can set the cookie; its path is then `/`.",
    ),
    plain(
        "COOKIE_SECURE",
        "true",
        "Whether browsers send the cookie over HTTPS only. `false` is allowed only in development \
         over plain HTTP.",
    ),
    optional(
        "COOKIE_DOMAIN",
        "The domain whose hosts all get the cookie, such as `example.com`. Unset: the host that \
         sets it alone, which is safer.",
    ),
    plain(
        "COOKIE_SAME_SITE",
        "lax",
        "Which pages make a browser send the cookie: `lax` or `strict`, those of the same site; \
         `none`, those of any site, of which ALLOWED_ORIGINS may call.",
    ),
    plain(
        "COOKIE_PARTITIONED",
        "false",
        "Whether a page that other sites embed has a cookie of its own within each of them (CHIPS). \
         Needs COOKIE_SECURE, and COOKIE_SAME_SITE=none to be of use.",
    ),
    plain(
        "SHUTDOWN_GRACE_SECONDS",
        "25",
        "How many seconds requests in flight may take to finish after SIGTERM: 1 to 600.",
    ),
    optional(
        "SHUTDOWN_DELAY_SECONDS",
        "How many seconds the service continues to serve after SIGTERM while it reports \
         NOT_SERVING, so that load balancers notice: 0 to 120. Unset: 5 in production, 0 in \
         development.",
    ),
    plain(
        "OTEL_SDK_DISABLED",
        "false",
        "`true`: traces are not exported, whatever the other variables say.",
    ),
    plain(
        "OTEL_TRACES_EXPORTER",
        "otlp",
        "`otlp`, or `none` to export no traces. Other exporters are refused.",
    ),
    optional(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "The collector to which traces are exported, such as `http://127.0.0.1:4317`. With \
         `http/protobuf`, the path `/v1/traces` is added. A user name and password in it are \
         percent-encoded and sent as Basic authentication. Unset: traces are not exported.",
    ),
    optional(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "The same for traces only; it takes precedence, and no path is added.",
    ),
    plain(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "grpc",
        "The transport of OTLP: `grpc` or `http/protobuf`.",
    ),
    optional(
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "The same for traces only; it takes precedence.",
    ),
    optional(
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "The root certificates of the collector, a PEM file. Unset: the system's.",
    ),
    optional(
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        "The same for traces only; it takes precedence.",
    ),
    optional(
        "OTEL_SERVICE_NAME",
        "The resource attribute `service.name`. Unset: `service.name` of \
         OTEL_RESOURCE_ATTRIBUTES, or `token-authority`.",
    ),
    optional(
        "OTEL_RESOURCE_ATTRIBUTES",
        "Resource attributes of traces: `key=value` pairs, separated by commas, with \
         percent-encoded values.",
    ),
    plain(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "Which requests are traced: `always_on`, `always_off`, `traceidratio`, or one of these \
         with the prefix `parentbased_`, which follows the caller's `traceparent` if there is \
         one.",
    ),
    plain(
        "OTEL_TRACES_SAMPLER_ARG",
        "1.0",
        "The share of requests that `traceidratio` traces: 0 to 1.",
    ),
    plain(
        "LOG_LEVEL",
        "info",
        "The log level: `error`, `warn`, `info`, `debug`, or directives as in RUST_LOG.",
    ),
    optional("LOG_FORMAT", "`json` or `text`. Unset: `json` in production, `text` in development."),
];
