//! The one table of access: every RPC and every HTTP route, with the role that its caller needs.
//! `docs/callers.md` shows the same table, and a test compares the two.
//!
//! An RPC that is not in the table cannot be reached, and a route cannot be served without an entry.

use std::fmt;
use std::str::FromStr;

use axum::routing::MethodFilter;

/// What a caller may do. A caller may hold several roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Opens sessions: the auth-server.
    Issuer,
    /// Renews and ends sessions by their refresh token: a browser's adapter.
    Adapter,
    /// Validates tokens and follows revocations: a backend.
    Verifier,
    /// Lists, changes, ends and erases any user's sessions: a support tool, or the page of a user's account.
    Sessions,
    /// Everything that `Sessions` may do, changes of the roll-out, and the state of the service: an operator.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] =
        [Self::Issuer, Self::Adapter, Self::Verifier, Self::Sessions, Self::Admin];

    /// Returns its name in the callers' file and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Adapter => "adapter",
            Self::Verifier => "verifier",
            Self::Sessions => "sessions",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// A text that is not the name of a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role; the roles are {names}", names = Role::ALL.map(Role::name).join(", "))]
pub struct UnknownRole(String);

/// A set of roles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// Returns the set of all roles.
    #[must_use]
    pub fn all() -> Self {
        Role::ALL.into_iter().collect()
    }

    /// Returns whether the set holds that role.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |bits, role| bits | role.bit()))
    }
}

/// The access that an RPC or a route requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// An authenticated caller with this role. The rate is limited by caller.
    Role(Role),
    /// An authenticated caller with the role `sessions` or `admin`. The rate is limited by caller.
    SessionsOrAdmin,
    /// Nothing: the answer is public. The rate is limited by client address.
    Public,
    /// Nothing of the caller: the user's cookie or access token is the credential. The rate is limited
    /// by client address.
    Browser,
    /// Nothing of the caller: the refresh token in the form is the credential. The rate is limited by
    /// client address.
    Holder,
    /// Nothing: the operator's probes ask for the state of the process. The rate is never limited.
    Probe,
}

impl Access {
    /// Returns the role that a caller with these roles lacks; `None` if the access is granted.
    #[must_use]
    pub const fn lacks(self, roles: Roles) -> Option<Role> {
        match self {
            Self::Role(role) if !roles.has(role) => Some(role),
            Self::SessionsOrAdmin if !roles.has(Role::Sessions) && !roles.has(Role::Admin) => {
                Some(Role::Sessions)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => role.fmt(f),
            Self::SessionsOrAdmin => f.write_str("sessions or admin"),
            Self::Public => f.write_str("open: public"),
            Self::Browser => f.write_str("open: browser"),
            Self::Holder => f.write_str("open: token holder"),
            Self::Probe => f.write_str("open: probe"),
        }
    }
}

/// Every RPC of the gRPC port by its full path, with the access that it requires.
pub const RPCS: &[(&str, Access)] = &[
    ("/token_authority.v1.TokenAuthorityService/ValidateToken", Access::Role(Role::Verifier)),
    ("/token_authority.v1.TokenAuthorityService/ValidateTokens", Access::Role(Role::Verifier)),
    ("/token_authority.v1.TokenAuthorityService/IssueTokens", Access::Role(Role::Issuer)),
    ("/token_authority.v1.TokenAuthorityService/RefreshAccessToken", Access::Role(Role::Adapter)),
    ("/token_authority.v1.TokenAuthorityService/RevokeRefreshToken", Access::Role(Role::Adapter)),
    ("/token_authority.v1.TokenAuthorityService/RegisterDevice", Access::Role(Role::Adapter)),
    ("/token_authority.v1.TokenAuthorityService/RenewDeviceBinding", Access::Role(Role::Adapter)),
    ("/token_authority.v1.SessionService/ListSessions", Access::SessionsOrAdmin),
    ("/token_authority.v1.SessionService/ListSessionEvents", Access::SessionsOrAdmin),
    ("/token_authority.v1.SessionService/RevokeSession", Access::SessionsOrAdmin),
    ("/token_authority.v1.SessionService/RevokeUserSessions", Access::SessionsOrAdmin),
    ("/token_authority.v1.SessionService/UpdateSessions", Access::SessionsOrAdmin),
    ("/token_authority.v1.SessionService/EraseUser", Access::SessionsOrAdmin),
    ("/token_authority.v1.SessionService/WatchRevocations", Access::Role(Role::Verifier)),
    ("/token_authority.v1.RolloutService/GetRollout", Access::Role(Role::Admin)),
    ("/token_authority.v1.RolloutService/SetRollout", Access::Role(Role::Admin)),
    ("/token_authority.v1.OperatorService/GetStatus", Access::Role(Role::Admin)),
    ("/grpc.health.v1.Health/Check", Access::Probe),
    ("/grpc.health.v1.Health/Watch", Access::Probe),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Public),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Public),
];

/// Returns the access that an RPC requires; `None` if the table does not know the RPC.
#[must_use]
pub fn of_rpc(path: &str) -> Option<Access> {
    // The paths are few and differ in length, so a linear search is faster than hashing.
    RPCS.iter().find(|(known, _)| *known == path).map(|(_, access)| *access)
}

/// The RPCs whose answer is a stream that may last for ever.
const STREAMS: [&str; 4] = [
    "/token_authority.v1.SessionService/WatchRevocations",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Returns whether an RPC's answer is a stream that may last for ever.
#[must_use]
pub fn is_stream(path: &str) -> bool {
    STREAMS.contains(&path)
}

/// An HTTP route. Only the routes below exist.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    method: &'static str,
    path: &'static str,
    access: Access,
}

impl Route {
    const fn get(path: &'static str, access: Access) -> Self {
        Self { method: "GET", path, access }
    }

    const fn post(path: &'static str, access: Access) -> Self {
        Self { method: "POST", path, access }
    }

    /// Returns the name of its method.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        self.method
    }

    /// Returns its path.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// Returns the access that it requires.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }

    /// Returns the same path with a slash at its end, under which the route is served too. `None`:
    /// the path ends with a parameter or a slash.
    pub(super) fn path_with_slash(&self) -> Option<String> {
        (!self.path.ends_with(['}', '/'])).then(|| format!("{}/", self.path))
    }

    pub(super) fn filter(&self) -> MethodFilter {
        if self.method == "POST" { MethodFilter::POST } else { MethodFilter::GET }
    }
}

/// Refreshes an access token by cookie.
pub const REFRESH: Route = Route::post("/api/auth/refresh", Access::Browser);
/// Ends a session by cookie.
pub const LOGOUT: Route = Route::post("/api/auth/logout", Access::Browser);
/// Binds a session to a browser's device key.
pub const REGISTER_DEVICE: Route = Route::post("/api/auth/device/registration", Access::Browser);
/// Renews the binding of a session to a device key.
pub const RENEW_DEVICE: Route = Route::post("/api/auth/device/renewal", Access::Browser);
/// The live sessions of a user.
pub const SESSIONS: Route = Route::get("/api/auth/sessions", Access::Browser);
/// Ends one session of a user.
pub const REVOKE_SESSION: Route = Route::post("/api/auth/sessions/{id}/revoke", Access::Browser);
/// Ends all sessions of a user except the one that asks.
pub const REVOKE_OTHERS: Route = Route::post("/api/auth/sessions/revoke-others", Access::Browser);
/// The start page in development; elsewhere, one line that says what the service is.
pub const START: Route = Route::get("/", Access::Public);
/// The life of a session, to try out in development.
pub const LIFE: Route = Route::get("/api/auth/start", Access::Browser);
/// A step in that life.
pub const LIFE_STEP: Route = Route::post(LIFE.path, Access::Browser);
/// The public keys (RFC 7517).
pub const JWKS: Route = Route::get("/.well-known/jwks.json", Access::Public);
/// The metadata (RFC 8414).
pub const METADATA: Route = Route::get("/.well-known/oauth-authorization-server", Access::Public);
/// The metadata of an issuer with a path (RFC 8414 section 3.1).
pub const METADATA_OF_PATH: Route =
    Route::get("/.well-known/oauth-authorization-server/{*path}", Access::Public);
/// The metadata, where OIDC clients look for it (Discovery 1.0, section 4).
pub const OPENID_METADATA: Route = Route::get("/.well-known/openid-configuration", Access::Public);
/// The same of an issuer with a path (RFC 8414 section 5).
pub const OPENID_METADATA_OF_PATH: Route =
    Route::get("/.well-known/openid-configuration/{*path}", Access::Public);
/// The token endpoint for native apps (RFC 6749 section 6).
pub const TOKEN: Route = Route::post("/oauth2/token", Access::Holder);
/// Token introspection (RFC 7662).
pub const INTROSPECT: Route = Route::post("/oauth2/introspect", Access::Role(Role::Verifier));
/// Token revocation (RFC 7009). It does what `RevokeRefreshToken` does, so it requires the same role.
pub const REVOKE: Route = Route::post("/oauth2/revoke", Access::Role(Role::Adapter));
/// Liveness: the process runs.
pub const HEALTHZ: Route = Route::get("/healthz", Access::Probe);
/// Readiness: the process can answer requests.
pub const READYZ: Route = Route::get("/readyz", Access::Probe);
/// The metrics, on their own listener.
pub const METRICS: Route = Route::get("/metrics", Access::Probe);

/// A route's path without the slash that a client may have put at its end.
#[must_use]
pub fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path)
}

/// Every HTTP route.
pub const ROUTES: &[Route] = &[
    REFRESH,
    LOGOUT,
    REGISTER_DEVICE,
    RENEW_DEVICE,
    SESSIONS,
    REVOKE_SESSION,
    REVOKE_OTHERS,
    START,
    LIFE,
    LIFE_STEP,
    JWKS,
    METADATA,
    METADATA_OF_PATH,
    OPENID_METADATA,
    OPENID_METADATA_OF_PATH,
    TOKEN,
    INTROSPECT,
    REVOKE,
    HEALTHZ,
    READYZ,
    METRICS,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::transport::proto;

    fn rpcs(descriptor: &[u8]) -> Vec<String> {
        let files = FileDescriptorSet::decode(descriptor).unwrap().file;
        let mut rpcs = Vec::new();
        for file in files {
            let package = file.package().to_owned();
            for service in &file.service {
                let name = service.name();
                rpcs.extend(
                    service.method.iter().map(|rpc| format!("/{package}.{name}/{}", rpc.name())),
                );
            }
        }
        rpcs
    }

    #[test]
    fn every_rpc_that_is_described_has_an_entry_and_no_other() {
        let described: BTreeSet<String> = [
            proto::DESCRIPTOR,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ]
        .into_iter()
        .flat_map(rpcs)
        .collect();
        let entries: BTreeSet<String> = RPCS.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(entries, described);
        assert_eq!(entries.len(), RPCS.len(), "an RPC is listed twice");
        assert_eq!(of_rpc("/token_authority.v1.TokenAuthorityService/Unheard"), None);
    }

    #[test]
    fn every_streaming_rpc_is_known_as_one() {
        let files = [proto::DESCRIPTOR, tonic_health::pb::FILE_DESCRIPTOR_SET]
            .map(|descriptor| FileDescriptorSet::decode(descriptor).unwrap().file)
            .concat();
        for file in files {
            for service in &file.service {
                for rpc in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), rpc.name());
                    assert_eq!(is_stream(&path), rpc.server_streaming(), "{path}");
                }
            }
        }
    }

    #[test]
    fn no_role_implies_another() {
        for role in Role::ALL {
            let alone = Roles::from_iter([role]);
            assert_eq!(Role::ALL.into_iter().filter(|other| alone.has(*other)).count(), 1);
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
