//! Settings of listeners, callers, limits, origins and cookies.

use crate::config::setting::{Setting, optional, plain};

/// These settings, in the order of `docs/configuration.md`.
pub(super) const TRANSPORT: &[Setting] = &[
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
        "The maximum number of open connections on both ports: 1 to 1000000. At the limit, a new \
         connection closes the longest idle one. The limit of descriptors may lower it.",
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
        "The age in seconds, plus or minus 10 %, after which a gRPC connection accepts no new requests, so \
         that clients spread over new replicas: 0 to 86400. `0` means never. Requests in flight finish; streams \
         end with `UNAVAILABLE`, and clients should resume them.",
    ),
    plain(
        "MEMORY_LIMIT_MIB",
        "0",
        "The memory limit of the process in MiB: 64 to 1048576. At 80 % of it, the connections that use \
         the most memory are closed. `0`: the limit of the container's cgroup or of the machine.",
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
        "The domain whose hosts all receive the cookie, such as `example.com`. Unset: only the \
         host that sets it, which is safer.",
    ),
    plain(
        "COOKIE_SAME_SITE",
        "lax",
        "Which pages make a browser send the cookie. `lax` or `strict`: pages of the same site. `none`: \
         pages of any site, but only those in ALLOWED_ORIGINS may call.",
    ),
    plain(
        "COOKIE_PARTITIONED",
        "false",
        "Whether a page that other sites embed has a separate cookie within each of them (CHIPS). \
         It requires COOKIE_SECURE, and it has an effect only with COOKIE_SAME_SITE=none.",
    ),
    optional(
        "PAGES_NAME",
        "The product's name on the pages for users, such as `GET /api/auth/sessions`: at most 60 \
         characters. Unset: no name.",
    ),
    optional(
        "PAGES_BACK_URL",
        "Where the link at the top of these pages leads back to: `https://app.example.com/account`, or \
         a path of the same origin, such as `/account`. Unset: no link.",
    ),
    plain(
        "PAGES_ACCENT_COLOR",
        "#1f5fbf",
        "The colour of buttons and marks on these pages, as six hexadecimal digits after `#`. The \
         colour of the text on it is chosen to be readable.",
    ),
];
