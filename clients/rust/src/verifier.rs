//! The verifier: is this access token good now, and whose is it?

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::task::AbortHandle;

use crate::builder::{BuildError, VerifierBuilder};
use crate::cache::{Name, VerificationCache, VerifiedToken};
use crate::error::{Reason, TokenError};
use crate::identity::{Identity, Method, moment};
use crate::jws::{MAX_BYTES, Unverified};
use crate::key_set::{Found, RemoteKeySet};
use crate::keys::{Key, Keys};
use crate::remote::Remote;
use crate::revocations::{Follower, Refused, Revocations};
use crate::target::Target;

/// How long a token may wait for the first revocations.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a verifier's verdicts rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Whether revocations arrive: the stream was heard within the last seconds.
    pub connected: bool,
    /// Every revocation made before this moment is known. `None`: none was read yet, or none is followed.
    pub fresh_as_of: Option<SystemTime>,
    /// How many revocations are known that may still matter.
    pub revocations: usize,
}

/// Verifies access tokens, with the verdicts of the service's `ValidateToken`. Clones share everything.
///
/// A JWT is checked here, without a call: by its signature, its claims, and the revocations that the
/// service streams. `ValidateTokens` judges tokens that are no JWTs. The connection is opened with
/// the first token, on the runtime that it is judged on, and closed with the last clone.
#[derive(Debug, Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    settings: VerifierBuilder,
    /// What verifies a token that names no key.
    unnamed: Option<Arc<Key>>,
    named: Keys,
    key_set: Option<Arc<RemoteKeySet>>,
    cache: VerificationCache,
    revocations: Option<Arc<Revocations>>,
    running: OnceLock<Running>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The tasks of a verifier, which end with it.
struct Running {
    remote: Option<Remote>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Verifier {
    /// Begins to build one.
    #[must_use]
    pub fn builder() -> VerifierBuilder {
        VerifierBuilder::new()
    }

    /// Builds one of the environment: `JWT_SECRET`, `JWT_SECRET_PREVIOUS`, `TOKEN_AUTHORITY_JWKS_URL`,
    /// `TOKEN_AUTHORITY_ADDRESS`, `TOKEN_AUTHORITY_API_KEY`.
    ///
    /// # Errors
    /// Returns [`BuildError`] if there is nothing to verify with, or a value cannot be used.
    pub fn from_env() -> Result<Self, BuildError> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut builder = Self::builder();
        for name in ["JWT_SECRET", "JWT_SECRET_PREVIOUS"] {
            builder.secrets.extend(variable(name).map(String::into_bytes));
        }
        builder.jwks_url = variable("TOKEN_AUTHORITY_JWKS_URL");
        if let Some(address) = variable("TOKEN_AUTHORITY_ADDRESS") {
            let target = Target::new(&address)?;
            builder.authority = Some(match variable("TOKEN_AUTHORITY_API_KEY") {
                Some(key) => target.api_key(&key)?,
                None => target,
            });
        }
        builder.build()
    }

    pub(crate) fn with(
        settings: VerifierBuilder,
        unnamed: Option<Arc<Key>>,
        named: Keys,
        key_set: Option<Arc<RemoteKeySet>>,
    ) -> Self {
        Self(Arc::new(Inner {
            unnamed,
            named,
            key_set,
            cache: VerificationCache::new(settings.cache_size),
            revocations: settings.authority.as_ref().map(|_| Revocations::new()),
            running: OnceLock::new(),
            settings,
        }))
    }

    /// Judges an access token, for the verifier's own audience if it has one.
    ///
    /// # Errors
    /// Returns why the token is not good, or [`Reason::Unavailable`] if it cannot be judged now.
    pub async fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        self.verify_for(token, &self.0.settings.audience).await
    }

    /// As [`Self::verify`], for that audience.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn verify_for(&self, token: &str, audience: &str) -> Result<Identity, TokenError> {
        let inner = &*self.0;
        let running = inner.running.get_or_init(|| inner.start());
        let has_keys =
            inner.unnamed.is_some() || !inner.named.is_empty() || inner.key_set.is_some();
        let is_jwt = token.bytes().filter(|byte| *byte == b'.').count() >= 2;
        if !has_keys || !is_jwt || token.starts_with("tas_") {
            return inner.ask(running, token, audience).await;
        }
        let name = Name::of(token);
        let verified = match inner.recognise(name) {
            Some(verified) => verified,
            None => inner.read(name, token).await?,
        };
        inner.judge(&verified, audience)?;
        inner.judge_revocation(&verified).await?;
        Ok(verified.identity.clone())
    }

    /// Opens the connection, and waits for the first revocations. Says whether they were read in time;
    /// until they are, tokens are refused as [`Reason::Unavailable`].
    pub async fn ready(&self, patience: Duration) -> bool {
        self.0.running.get_or_init(|| self.0.start());
        match &self.0.revocations {
            Some(revocations) => revocations.ready_at_last(patience).await,
            None => true,
        }
    }

    /// What the verdicts rest on now.
    #[must_use]
    pub fn state(&self) -> State {
        let Some(revocations) = &self.0.revocations else {
            return State { connected: false, fresh_as_of: None, revocations: 0 };
        };
        State {
            connected: revocations.is_connected(),
            fresh_as_of: revocations.fresh_as_of().map(|millis| {
                let millis = u64::try_from(millis).unwrap_or_default();
                SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
            }),
            revocations: revocations.len(),
        }
    }
}

impl Inner {
    fn start(&self) -> Running {
        let mut tasks = Vec::new();
        if let Some(key_set) = self.key_set.clone() {
            let task = tokio::spawn(async move { key_set.keep_fresh().await });
            tasks.push(task.abort_handle());
        }
        if let (Some(target), Some(revocations)) = (&self.settings.authority, &self.revocations) {
            let VerifierBuilder { leeway, clock, .. } = &self.settings;
            let known = Arc::clone(revocations);
            let follower = Follower::new(known, target.clone(), *leeway, Arc::clone(clock));
            tasks.push(tokio::spawn(follower.run()).abort_handle());
        }
        Running { remote: self.settings.authority.as_ref().map(Remote::spawn), tasks }
    }

    /// Asks the service about a token, if it can be one at all.
    async fn ask(
        &self,
        running: &Running,
        token: &str,
        audience: &str,
    ) -> Result<Identity, TokenError> {
        let is_visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        match &running.remote {
            Some(remote) if is_visible && token.len() <= MAX_BYTES => {
                remote.ask(token, audience).await
            }
            _ => Err(Reason::Malformed.into()),
        }
    }

    /// A token that was verified before, with a key that still counts.
    fn recognise(&self, name: Name) -> Option<Arc<VerifiedToken>> {
        let verified = self.cache.find(name)?;
        let key = self.known(Some(&verified.key.kid))?;
        Arc::ptr_eq(&key, &verified.key).then_some(verified)
    }

    fn known(&self, kid: Option<&str>) -> Option<Arc<Key>> {
        let Some(kid) = kid else { return self.unnamed.clone() };
        let named = self.named.get(kid).cloned();
        named.or_else(|| self.key_set.as_ref()?.known(kid))
    }

    /// Verifies a token's signature, and reads it.
    async fn read(&self, name: Name, token: &str) -> Result<Arc<VerifiedToken>, Reason> {
        let unverified = Unverified::parse(token)?;
        let kid = unverified.header.kid.as_deref();
        let key = match (self.known(kid), &self.key_set, kid) {
            (Some(key), ..) => key,
            (None, Some(key_set), Some(kid)) => match key_set.look_for(kid).await {
                Found::Key(key) => key,
                Found::Unknown => return Err(Reason::UnknownKey),
                Found::Unavailable => return Err(Reason::Unavailable),
            },
            _ => return Err(Reason::UnknownKey),
        };
        key.verify(&unverified)?;
        let claims = unverified.claims()?;
        let verified = Arc::new(VerifiedToken {
            expires_at: claims.expires_at,
            not_before: claims.not_before,
            is_access_token: unverified.header.may_be_access_token() && claims.is_access,
            issuer: claims.issuer,
            epoch: claims.epoch,
            names_key: kid.is_some(),
            key,
            identity: Identity {
                user_id: claims.subject,
                session_id: claims.session_id,
                scopes: claims.scopes,
                audience: claims.audience,
                claims: claims.further,
                expires_at: moment(claims.expires_at),
                method: Method::Jwt,
            },
        });
        self.cache.keep(name, &verified);
        Ok(verified)
    }

    /// Judges what neither the signature nor a revocation decides.
    fn judge(&self, token: &VerifiedToken, audience: &str) -> Result<(), Reason> {
        let VerifierBuilder { leeway, clock, issuer, .. } = &self.settings;
        let now = clock();
        if now.saturating_sub(*leeway) >= token.expires_at {
            return Err(Reason::Expired);
        }
        if token.not_before.is_some_and(|from| from > now.saturating_add(*leeway)) {
            return Err(Reason::NotYetValid);
        }
        if !token.is_access_token {
            return Err(Reason::WrongType);
        }
        if !audience.is_empty() && !token.identity.audience.iter().any(|one| one == audience) {
            return Err(Reason::WrongAudience);
        }
        if issuer.is_some() && *issuer != token.issuer {
            return Err(Reason::Malformed);
        }
        Ok(())
    }

    /// Refuses a token whose session is over. Comes last, as in the service.
    async fn judge_revocation(&self, token: &VerifiedToken) -> Result<(), Reason> {
        let Some(revocations) = &self.revocations else { return Ok(()) };
        if !revocations.is_ready() && !revocations.ready(PATIENCE).await {
            return Err(Reason::Unavailable);
        }
        let session_id = token.identity.session_id.as_deref();
        match session_id.and_then(|id| revocations.refused(id)) {
            Some(Refused::All) => return Err(Reason::Revoked),
            Some(Refused::Before(epoch)) if token.epoch < epoch => return Err(Reason::Stale),
            _ => {}
        }
        let Some(bound) = self.settings.max_staleness else { return Ok(()) };
        let as_of = revocations.fresh_as_of().unwrap_or_default();
        let age = (self.settings.clock)().saturating_mul(1000).saturating_sub(as_of);
        let is_stale = i64::try_from(bound.as_millis()).is_ok_and(|bound| age > bound);
        if is_stale { Err(Reason::Unavailable) } else { Ok(()) }
    }
}
