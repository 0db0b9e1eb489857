//! Callers: how they authenticate, which roles they hold, and the check before every RPC and route.
//!
//! * [`roles`]: the one table of the access that each RPC and route requires
//! * [`credential`]: API keys, which `client_secret` also takes out of a form; [`certificate_name`]: names in client certificates
//! * [`api_key`]: the key that a client sends
//! * [`mod@file`]: the callers' file
//! * [`gate`]: admits or rejects a request
//! * [`open_ended`]: ends streams that may not go on
//! * [`route_builder`]: the only way to serve an HTTP route
//! * [`denied`]: why a request is rejected

pub mod api_key;
pub mod certificate_name;
mod client_secret;
pub mod credential;
pub mod denied;
pub mod file;
pub mod file_error;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod gate;
pub mod in_process;
pub mod open_ended;
pub mod roles;
pub mod route_builder;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{Extensions, HeaderMap};
use tokio::sync::watch;

use super::limits::budget::Budget;
use super::limits::load::OwnLoad;
use super::limits::rate::{Limiter, Rate};
use certificate_name::CertificateName;
use denied::Denied;
use file::{CallerEntry, CallersFile};
use file_error::CallersFileError;
use roles::{Role, Roles};

/// The name of every caller if callers need not authenticate.
pub const ANONYMOUS: &str = "anonymous";

/// The name of the browser's adapter, which calls within this process.
pub const BROWSER_ADAPTER: &str = "browser-adapter";

/// An authenticated caller. The gate puts it into the extensions of each request that it admits.
#[derive(Clone)]
pub struct Caller(Arc<Known>);

struct Known {
    name: String,
    roles: Roles,
    limit: Option<Limiter>,
    /// The bytes that are held for its requests.
    budget: Arc<Budget>,
    /// Its requests in progress.
    load: OwnLoad,
}

/// The limits of each caller.
#[derive(Debug, Clone, Copy)]
pub struct CallerLimits {
    /// Its rate. `None`: unlimited.
    pub rate: Option<Rate>,
    /// How many bytes may be held for its requests.
    pub bytes: usize,
}

impl CallerLimits {
    /// Limits nothing, for tests.
    pub const NONE: Self = Self { rate: None, bytes: usize::MAX };
}

impl Caller {
    fn new(name: &str, roles: Roles, limits: CallerLimits) -> Self {
        Self(Arc::new(Known {
            name: name.to_owned(),
            roles,
            limit: limits.rate.map(Limiter::new),
            budget: Arc::new(Budget::new(limits.bytes)),
            load: OwnLoad::default(),
        }))
    }

    /// Returns the caller's name: from the callers' file, [`ANONYMOUS`] or [`BROWSER_ADAPTER`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns whether the caller holds that role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.0.roles.has(role)
    }

    /// Returns the name of a request's caller. It is empty if the request passed no gate, as in
    /// unit tests of a service.
    #[must_use]
    pub fn name_of(extensions: &Extensions) -> String {
        extensions.get::<Self>().map(|caller| caller.name().to_owned()).unwrap_or_default()
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(&self.name()).finish()
    }
}

/// All callers, by the hash of their keys and by the names in their certificates.
#[derive(Debug, Default)]
struct CallerTable {
    by_key: HashMap<credential::KeyHash, Caller>,
    by_san: HashMap<CertificateName, Caller>,
}

impl CallerTable {
    fn new(file: &CallersFile, limits: CallerLimits) -> Result<Self, CallersFileError> {
        file.check()?;
        let mut table = Self::default();
        for entry in &file.callers {
            table.add(entry, limits)?;
        }
        Ok(table)
    }

    fn add(&mut self, entry: &CallerEntry, limits: CallerLimits) -> Result<(), CallersFileError> {
        let caller = Caller::new(&entry.name, entry.roles()?.into_iter().collect(), limits);
        self.by_key.extend(entry.key_hashes()?.into_iter().map(|hash| (hash, caller.clone())));
        self.by_san.extend(entry.san_names().map(|san| (san, caller.clone())));
        Ok(())
    }
}

/// The callers that may call. They can be replaced while the service runs.
#[derive(Debug)]
pub struct Callers {
    credential: Credential,
    limits: CallerLimits,
    /// Changes when the callers are replaced.
    replaced: watch::Sender<()>,
}

#[derive(Debug)]
enum Credential {
    /// Every client may call, as [`ANONYMOUS`] with every role. Only for a developer's own machine.
    Anyone(Caller),
    /// The callers in the file.
    Listed(ArcSwap<CallerTable>),
}

impl Callers {
    /// Admits every client with every role.
    #[must_use]
    pub fn anyone(limits: CallerLimits) -> Self {
        Self::new(Credential::Anyone(Caller::new(ANONYMOUS, Roles::all(), limits)), limits)
    }

    /// Admits the callers of a file, each with those limits.
    ///
    /// # Errors
    /// Returns [`CallersFileError`] for the first problem with the file.
    pub fn listed(file: &CallersFile, limits: CallerLimits) -> Result<Self, CallersFileError> {
        let table = CallerTable::new(file, limits)?;
        Ok(Self::new(Credential::Listed(ArcSwap::from_pointee(table)), limits))
    }

    fn new(credential: Credential, limits: CallerLimits) -> Self {
        Self { credential, limits, replaced: watch::Sender::new(()) }
    }

    /// Replaces the callers by those of another file. Requests in progress continue. Streams are
    /// judged again.
    ///
    /// # Errors
    /// Returns [`CallersFileError`] for the first problem with the file. Then nothing changes.
    pub fn replace(&self, file: &CallersFile) -> Result<(), CallersFileError> {
        let table = CallerTable::new(file, self.limits)?;
        if let Credential::Listed(current) = &self.credential {
            current.store(Arc::new(table));
        }
        self.replaced.send_replace(());
        Ok(())
    }

    /// Returns a receiver that learns when the callers are replaced.
    pub(super) fn replacements(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }

    /// Finds the caller of a request by its API key. If the request has no key, the names in the
    /// connection's client certificate (`sans`) identify the caller. A wrong key is refused even
    /// with a valid certificate.
    ///
    /// # Errors
    /// Returns [`Denied::Unauthenticated`] if no caller is found.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        sans: &[CertificateName],
    ) -> Result<Caller, Denied> {
        let table = match &self.credential {
            Credential::Anyone(caller) => return Ok(caller.clone()),
            Credential::Listed(table) => table.load(),
        };
        let found = match credential::presented(headers)? {
            Some(presented) => table.by_key.get(&presented.hash).filter(|caller| {
                presented.name.as_deref().is_none_or(|name| name == caller.name())
            }),
            None => sans.iter().find_map(|san| table.by_san.get(san)),
        };
        found.cloned().ok_or(Denied::Unauthenticated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn file(name: &str, key: &str) -> CallersFile {
        CallersFile {
            callers: vec![CallerEntry {
                name: name.into(),
                roles: vec!["verifier".into()],
                keys_sha256: vec![credential::KeyHash::of(key).to_hex()],
                sans: vec!["Api.Internal".into()],
            }],
        }
    }

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert("authorization", authorization.parse().unwrap());
        }
        headers
    }

    fn who(callers: &Callers, authorization: &str, sans: &[&str]) -> Option<String> {
        let sans: Vec<_> = sans.iter().map(|san| CertificateName::parse(san)).collect();
        let found = callers.authenticate(&headers(authorization), &sans).ok()?;
        assert!(found.has(Role::Verifier) && !found.has(Role::Admin));
        Some(found.name().to_owned())
    }

    #[test]
    fn a_caller_is_known_by_key_or_certificate() {
        let callers = Callers::listed(&file("api", "tak_1"), CallerLimits::NONE).unwrap();
        let api = Some("api".to_owned());
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(who(&callers, "Bearer tak_1", &[]), api);
        assert_eq!(who(&callers, &basic("api:tak_1"), &[]), api);
        assert_eq!(who(&callers, "", &["other", "api.internal"]), api);
        assert_eq!(who(&callers, "", &[]), None);
        assert_eq!(who(&callers, "", &["other"]), None);
        assert_eq!(who(&callers, "Bearer tak_2", &[]), None);
        assert_eq!(who(&callers, &basic("web:tak_1"), &[]), None);
        assert_eq!(who(&callers, "Bearer tak_2", &["api.internal"]), None, "a wrong key counts");
        let uri = [CertificateName::Uri("api.internal".into())];
        let stranger = callers.authenticate(&headers(""), &uri);
        assert_eq!(stranger.err(), Some(Denied::Unauthenticated), "a URI is no DNS name");
    }

    #[test]
    fn callers_are_replaced_whole_or_not_at_all() {
        let callers = Callers::listed(&file("old", "tak_1"), CallerLimits::NONE).unwrap();
        assert!(callers.replace(&file("", "tak_2")).is_err());
        assert!(who(&callers, "Bearer tak_1", &[]).is_some());
        callers.replace(&file("new", "tak_2")).unwrap();
        assert_eq!(who(&callers, "Bearer tak_1", &[]), None);
        assert_eq!(who(&callers, "Bearer tak_2", &[]).as_deref(), Some("new"));
    }
}
