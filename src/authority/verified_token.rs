//! Verified access tokens, and the cache of recently verified ones. A product validates the same
//! token hundreds of times during its lifetime.
//!
//! The cache holds only facts that never change: the signature fits, and the claims. Everything that
//! can change is checked each time: the validity period, whether the key still verifies, the
//! required audience, and whether the session was revoked.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use super::inactive_reason::InactiveReason;
use crate::clock::Timestamp;
use crate::token::access::{self, Claims, Window};
use crate::token::id::{AccessTokenId, Epoch, Generation, SessionId};
use crate::token::jws::{Header, Typ, Unverified};
use crate::token::key::Algorithm;
use crate::token::rotation::Policy;

/// The longest token that is cached. Longer tokens are rare, and each would displace many others.
const MAX_CACHED_TOKEN_BYTES: usize = 4096;

/// The memory of a cached token in addition to its text: the claims' strings and the map's slot.
const OVERHEAD: usize = 640;

/// A token whose signature was verified, and the facts that follow from its text alone.
#[derive(Debug)]
pub(super) struct VerifiedToken {
    /// The claims.
    pub(super) claims: Claims,
    /// The session. `None`: the token names none, or not in our form.
    pub(super) session_id: Option<SessionId>,
    /// The generation of the refresh token from the same response.
    generation: Option<Generation>,
    /// The epoch of its session when it was minted.
    pub(super) epoch: Epoch,
    /// The name of its key.
    kid: Option<String>,
    /// Whether `typ` and `type` identify an access token.
    is_access_token: bool,
    /// Whether its receipt was recorded.
    receipt_recorded: AtomicBool,
}

impl VerifiedToken {
    /// Reads the claims of a token whose signature was verified.
    ///
    /// # Errors
    /// Returns [`InactiveReason::Malformed`] if the claims cannot be read.
    pub(super) fn read(token: &Unverified<'_>) -> Result<Self, InactiveReason> {
        let claims = Claims::parse(&token.payload()?)?;
        let is_access_token =
            may_be_access_token(&token.header) && claims.kind.as_deref() == Some(access::TYPE);
        Ok(Self { is_access_token, ..Self::of(claims) })
    }

    /// Adds the name of the key that verified the token.
    pub(super) fn with_kid(self, kid: Option<String>) -> Self {
        Self { kid, ..self }
    }

    /// Wraps the claims of a session token.
    pub(super) fn of(claims: Claims) -> Self {
        Self {
            session_id: claims.session_id.as_deref().and_then(|id| id.parse().ok()),
            generation: claims.id.as_deref().and_then(AccessTokenId::generation_of),
            epoch: claims.id.as_deref().map_or(Epoch::FIRST, AccessTokenId::epoch_of),
            kid: None,
            is_access_token: true,
            receipt_recorded: AtomicBool::new(false),
            claims,
        }
    }

    /// The name of its key.
    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Checks the validity period, the type and the audience, in this order: an expired token is
    /// reported as expired even if its type is wrong too.
    ///
    /// # Errors
    /// Returns the [`InactiveReason`] of the first check that fails.
    pub(super) fn judge(
        &self,
        now: Timestamp,
        leeway: Duration,
        audience: Option<&str>,
    ) -> Result<(), InactiveReason> {
        match self.claims.window(now.as_seconds(), leeway) {
            Window::Over => return Err(InactiveReason::Expired),
            Window::NotYet => return Err(InactiveReason::NotYetValid),
            Window::Open => {}
        }
        if !self.is_access_token {
            return Err(InactiveReason::WrongType);
        }
        if audience.is_some_and(|audience| !self.claims.is_meant_for(audience)) {
            return Err(InactiveReason::WrongAudience);
        }
        Ok(())
    }

    /// Returns the receipt that this use of the token proves: the client holds the refresh token of
    /// that generation. Returns `None` if the token proves none, was issued too recently, or has proven
    /// it before.
    pub(super) fn record_receipt(
        &self,
        now: Timestamp,
        policy: &Policy,
    ) -> Option<(SessionId, Generation)> {
        let (session_id, generation) = (self.session_id?, self.generation?);
        // `iat` is rounded down, so a receipt may count up to one second early. Two windows leave room
        // for that.
        let issued_at = Timestamp::from_seconds(self.claims.issued_at?);
        let proves = generation != Generation::FIRST
            && !self.receipt_recorded.load(Ordering::Relaxed)
            && policy.proves_receipt(issued_at, now)
            && !self.receipt_recorded.swap(true, Ordering::Relaxed);
        proves.then_some((session_id, generation))
    }
}

/// Returns whether the header allows an access token. Backends that share the secret have their own
/// tokens with `typ: JWT` or without `typ`, for example those of the quickstart, and every verifier
/// accepts these. Only the claim `type` distinguishes them. Key pairs sign only tokens of this
/// service.
fn may_be_access_token(header: &Header) -> bool {
    match header.typ {
        Typ::AccessToken => true,
        Typ::Jwt | Typ::Absent => header.alg == Some(Algorithm::Hs256),
        Typ::Other => false,
    }
}

/// The recently verified tokens, in bounded memory.
pub(super) struct VerificationCache(Option<Cache<Text, Arc<VerifiedToken>, ByBytes>>);

impl VerificationCache {
    /// Creates a cache of about `bytes`. 0: nothing is cached.
    pub(super) fn within(bytes: u64) -> Self {
        let typical = u64::try_from(MAX_CACHED_TOKEN_BYTES / 4).unwrap_or(u64::MAX);
        let items = usize::try_from(bytes / typical).unwrap_or(usize::MAX);
        Self((bytes > 0).then(|| Cache::with_weighter(items, bytes, ByBytes)))
    }

    /// Finds exactly this token.
    pub(super) fn find(&self, token: &str) -> Option<Arc<VerifiedToken>> {
        self.0.as_ref()?.get(&Presented(token))
    }

    /// Caches a verified token. A token without `kid` is not cached, because the key that verifies it
    /// changes over time.
    pub(super) fn keep(&self, token: &str, verified: &Arc<VerifiedToken>) {
        if let Some(cache) = &self.0
            && verified.kid.is_some()
            && token.len() <= MAX_CACHED_TOKEN_BYTES
        {
            cache.insert(Text(token.into()), Arc::clone(verified));
        }
    }

    /// The approximate memory in use, in bytes.
    #[cfg(test)]
    fn weight(&self) -> u64 {
        self.0.as_ref().map_or(0, Cache::weight)
    }
}

impl fmt::Debug for VerificationCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationCache")
            .field("tokens", &self.0.as_ref().map_or(0, Cache::len))
            .finish_non_exhaustive()
    }
}

/// A cached token's text. Does not print.
struct Text(Box<str>);

/// A presented token, to be looked up.
struct Presented<'a>(&'a str);

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Hash for Presented<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        is_same(&self.0, &other.0)
    }
}

impl Eq for Text {}

impl Equivalent<Text> for Presented<'_> {
    fn equivalent(&self, text: &Text) -> bool {
        is_same(self.0, &text.0)
    }
}

/// Compares whole tokens in constant time.
fn is_same(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// Weighs a token by its text and by its claims, which are about as long as the text.
#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Text, Arc<VerifiedToken>> for ByBytes {
    fn weight(&self, text: &Text, _: &Arc<VerifiedToken>) -> u64 {
        u64::try_from(2 * text.0.len() + OVERHEAD).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(kid: Option<&str>) -> Arc<VerifiedToken> {
        let claims = Claims { subject: "u".into(), expires_at: 100, ..Claims::default() };
        Arc::new(VerifiedToken { kid: kid.map(Into::into), ..VerifiedToken::of(claims) })
    }

    #[test]
    fn exactly_the_token_is_found() {
        let cache = VerificationCache::within(1 << 20);
        let token = format!("{}.{}.{}", "h".repeat(40), "p".repeat(200), "s".repeat(43));
        cache.keep(&token, &verified(Some("k")));
        assert!(cache.find(&token).is_some());
        for at in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[at] ^= 1;
            assert!(cache.find(std::str::from_utf8(&other).unwrap()).is_none(), "{at}");
        }
        assert!(cache.find(&token[1..]).is_none() && cache.find("").is_none());
    }

    #[test]
    fn memory_is_bounded_and_long_tokens_or_tokens_without_kid_are_not_cached() {
        let cache = VerificationCache::within(100_000);
        for n in 0..10_000 {
            cache.keep(&format!("{n:0400}"), &verified(Some("k")));
        }
        let weight = cache.weight();
        assert!((50_000..=100_000).contains(&weight), "{weight}");
        cache.keep("no key", &verified(None));
        assert!(cache.find("no key").is_none());
        let long = "x".repeat(MAX_CACHED_TOKEN_BYTES + 1);
        cache.keep(&long, &verified(Some("k")));
        assert!(cache.find(&long).is_none());
        let nothing = VerificationCache::within(0);
        nothing.keep("t", &verified(Some("k")));
        assert!(nothing.find("t").is_none());
    }

    #[test]
    fn the_weight_of_a_token_is_about_its_memory() {
        const TOKENS: u64 = 10_000;
        let text = |n: u64| format!("{n:043}.{}.{}", "p".repeat(350), "s".repeat(43));
        let of = |n: u64| {
            let named = |length: usize| Some(format!("{n:0length$}"));
            let claims = Claims {
                subject: format!("{n:036}"),
                expires_at: 100,
                kind: Some("access_token".into()),
                id: named(22),
                session_id: named(36),
                issuer: named(30),
                audience: vec![format!("{n:030}")],
                scopes: vec!["read".into(), "write".into()],
                ..Claims::default()
            };
            Arc::new(VerifiedToken { kid: named(43), ..VerifiedToken::of(claims) })
        };
        let cache = VerificationCache::within(64 << 20);
        let used = allocation_counter::measure(|| {
            for n in 0..TOKENS {
                cache.keep(&text(n), &of(n));
            }
        });
        let (taken, reckoned) = (used.bytes_current, cache.weight());
        let taken = u64::try_from(taken).unwrap();
        assert!((reckoned / 2..=reckoned).contains(&taken), "{taken} bytes, reckoned {reckoned}");
    }

    #[test]
    fn time_is_checked_before_the_type_and_the_type_before_the_audience() {
        let claims = Claims { subject: "u".into(), expires_at: 100, ..Claims::default() };
        let other = VerifiedToken { is_access_token: false, ..VerifiedToken::of(claims) };
        let judge = |verified: &VerifiedToken, now, audience| {
            verified.judge(Timestamp::from_seconds(now), Duration::ZERO, audience)
        };
        assert_eq!(judge(&other, 100, Some("a")), Err(InactiveReason::Expired));
        assert_eq!(judge(&other, 99, Some("a")), Err(InactiveReason::WrongType));
        assert_eq!(judge(&verified(None), 99, Some("a")), Err(InactiveReason::WrongAudience));
        assert_eq!(judge(&verified(None), 99, None), Ok(()));
    }

    #[test]
    fn a_token_proves_its_receipt_once_and_not_too_early() {
        let policy = Policy {
            rotation: true,
            window: Duration::from_secs(30),
            refresh_lifetime: Duration::from_hours(1),
            session_max_lifetime: Duration::from_hours(1),
        };
        let after = |millis| Timestamp::from_seconds(1000) + Duration::from_millis(millis);
        let of = |generation| {
            let session_id = SessionId::new(Timestamp::from_seconds(1), [7; 10]);
            let id = AccessTokenId::new(Generation::new(generation), Epoch::FIRST, [0; 12]);
            VerifiedToken::of(Claims {
                session_id: Some(session_id.to_string()),
                id: Some(id.to_string()),
                issued_at: Some(1000),
                ..Claims::default()
            })
        };
        let proves = |token: &VerifiedToken, millis| {
            let receipt = token.record_receipt(after(millis), &policy);
            receipt.map(|(_, generation)| generation.number())
        };
        assert_eq!(proves(&of(0), 90_000), None, "the first access token proves nothing");
        let later = of(3);
        assert_eq!(proves(&later, 2000), None);
        assert_eq!(proves(&later, 60_000), None);
        assert_eq!(proves(&later, 60_001), Some(3));
        assert_eq!(proves(&later, 60_002), None);
        let undated = VerifiedToken::of(Claims { issued_at: None, ..of(3).claims });
        assert_eq!(proves(&undated, 90_000), None, "nobody knows when it was issued");
    }
}
