//! Settings of the roll-out and of the sessions that the product had before.

use crate::config::setting::{Setting, optional, plain, secret};

/// These settings, in the order of `docs/configuration.md`.
pub(super) const ROLLOUT: &[Setting] = &[
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
        "Which legacy sessions ValidateToken accepts: `better-auth`, or `table` for \
         a table that the next four settings describe. The table is only read. Unset: none.",
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
];
