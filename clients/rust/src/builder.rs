//! Building a verifier: where its keys come from, whom it follows, what it demands.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Uri;
use serde_json::Value;

use crate::key_set::RemoteKeySet;
use crate::keys::{Key, Keys, read_set};
use crate::target::{Target, TargetError};
use crate::verifier::Verifier;

const COOLDOWN: Duration = Duration::from_secs(10);
const CACHE_SIZE: usize = 10_000;

type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Builds a [`Verifier`].
#[derive(Clone)]
pub struct VerifierBuilder {
    pub(crate) secrets: Vec<Vec<u8>>,
    pub(crate) jwks: Option<Value>,
    pub(crate) jwks_url: Option<String>,
    pub(crate) authority: Option<Target>,
    pub(crate) audience: String,
    pub(crate) issuer: Option<String>,
    pub(crate) max_staleness: Option<Duration>,
    pub(crate) leeway: i64,
    pub(crate) cooldown: Duration,
    pub(crate) cache_size: usize,
    pub(crate) clock: Clock,
}

impl std::fmt::Debug for VerifierBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifierBuilder")
            .field("secrets", &self.secrets.len())
            .field("jwks_url", &self.jwks_url)
            .field("authority", &self.authority)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// A verifier cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is nothing to verify tokens with.
    #[error(
        "nothing to verify tokens with: give a secret, a key set or an authority, or set JWT_SECRET, \
         TOKEN_AUTHORITY_JWKS_URL or TOKEN_AUTHORITY_ADDRESS"
    )]
    NoKeys,
    /// The key set is none, or its address is none.
    #[error("the key set cannot be used: {0}")]
    KeySet(String),
    /// The cryptographic library does not take the secret.
    #[error("a secret cannot be used")]
    Secret,
    /// The authority's address or the caller's key cannot be used.
    #[error(transparent)]
    Authority(#[from] TargetError),
}

impl VerifierBuilder {
    pub(crate) fn new() -> Self {
        Self {
            secrets: Vec::new(),
            jwks: None,
            jwks_url: None,
            authority: None,
            audience: String::new(),
            issuer: None,
            max_staleness: None,
            leeway: 0,
            cooldown: COOLDOWN,
            cache_size: CACHE_SIZE,
            clock: Arc::new(system_clock),
        }
    }

    /// The service's `JWT_SECRET`, for HS256.
    #[must_use]
    pub fn secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secrets.insert(0, secret.as_ref().to_vec());
        self
    }

    /// Its `JWT_SECRET_PREVIOUS`, which still verifies. Give the current one, too.
    #[must_use]
    pub fn previous_secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secrets.push(secret.as_ref().to_vec());
        self
    }

    /// The address of its key set, `…/.well-known/jwks.json`, for `EdDSA`, ES256 and RS256. May stand
    /// beside a secret, as while a product moves from one to the other.
    #[must_use]
    pub fn jwks_url(self, url: impl Into<String>) -> Self {
        Self { jwks_url: Some(url.into()), ..self }
    }

    /// A key set that never changes, instead of [`Self::jwks_url`].
    #[must_use]
    pub fn jwks(self, set: Value) -> Self {
        Self { jwks: Some(set), ..self }
    }

    /// The service. Unset: revocations are not followed, and only JWTs are accepted.
    #[must_use]
    pub fn authority(self, target: Target) -> Self {
        Self { authority: Some(target), ..self }
    }

    /// The audience that every token must be meant for. Unset: any, or none.
    #[must_use]
    pub fn audience(self, audience: impl Into<String>) -> Self {
        Self { audience: audience.into(), ..self }
    }

    /// The `iss` that every JWT must have. Unset: any, or none.
    #[must_use]
    pub fn issuer(self, issuer: impl Into<String>) -> Self {
        Self { issuer: Some(issuer.into()), ..self }
    }

    /// Refuse as [`crate::Reason::Unavailable`] when the revocations are older than this. Unset: go on with
    /// those that are known. Before the first ones were read, tokens are refused so either way.
    #[must_use]
    pub fn max_staleness(self, bound: Duration) -> Self {
        Self { max_staleness: Some(bound), ..self }
    }

    /// By how much clocks may differ, in whole seconds: the service's `JWT_LEEWAY_SECONDS`.
    #[must_use]
    pub fn leeway(self, leeway: Duration) -> Self {
        Self { leeway: i64::try_from(leeway.as_secs()).unwrap_or(i64::MAX), ..self }
    }

    /// The time in which unknown keys have the key set fetched at most once; 10 seconds.
    #[must_use]
    pub fn jwks_cooldown(self, cooldown: Duration) -> Self {
        Self { cooldown, ..self }
    }

    /// How many verified tokens are kept, so that one that comes again costs less; 10,000.
    #[must_use]
    pub fn cache_size(self, tokens: usize) -> Self {
        Self { cache_size: tokens, ..self }
    }

    /// What tells the time in seconds since the Unix epoch; for tests.
    #[must_use]
    pub fn clock(self, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Builds the verifier.
    ///
    /// # Errors
    /// Returns [`BuildError`] if there is nothing to verify with, or a value cannot be used.
    pub fn build(self) -> Result<Verifier, BuildError> {
        let shared = self.secrets.iter().map(|secret| Key::shared(secret).map(Arc::new));
        let shared: Vec<_> = shared.collect::<Option<_>>().ok_or(BuildError::Secret)?;
        let not_a_set = |what: &str| BuildError::KeySet(what.to_owned());
        let mut named = match &self.jwks {
            Some(set) => read_set(set).ok_or_else(|| not_a_set("it has no `keys`"))?,
            None => Keys::new(),
        };
        named.extend(shared.iter().map(|key| (key.kid.clone(), Arc::clone(key))));
        let key_set = self.jwks_url.as_ref().map(|url| {
            let url: Uri = url.parse().map_err(|_| not_a_set("its address cannot be read"))?;
            let key_set = RemoteKeySet::new(url, self.cooldown);
            key_set.map(Arc::new).map_err(|error| not_a_set(&error.to_string()))
        });
        let key_set = key_set.transpose()?;
        if named.is_empty() && self.jwks.is_none() && key_set.is_none() && self.authority.is_none()
        {
            return Err(BuildError::NoKeys);
        }
        Ok(Verifier::with(self, shared.into_iter().next(), named, key_set))
    }
}

#[expect(clippy::disallowed_methods, reason = "the default of the injected clock")]
fn system_clock() -> i64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}
