//! Access tokens found sound: signed by a key of ours, and read. Those seen lately are remembered,
//! since a product checks one token hundreds of times in its half hour.
//!
//! Remembered is only what can never change about a token: that its signature fits, and what it
//! says. What can change is judged anew each time: the time, whether its key is still in force,
//! the audience that is asked for, and whether its session was revoked.

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
use crate::token::id::{AccessTokenId, Generation, SessionId};
use crate::token::jws::{Header, Unverified};

/// A longer token is not remembered: few are, and each would take the room of many.
const MAX_CACHED_TOKEN_BYTES: usize = 4096;

/// What a remembered token takes beside its text: its claims' strings, the map's slot.
const OVERHEAD: usize = 640;

/// A token whose signature was verified, and what follows from its text alone.
#[derive(Debug)]
pub(super) struct VerifiedToken {
    /// What it says.
    pub(super) claims: Claims,
    /// Its session, where it names one as ours do.
    pub(super) session_id: Option<SessionId>,
    /// The generation of the refresh token that it was minted beside.
    generation: Option<Generation>,
    /// The key that it names.
    kid: Option<String>,
    /// Whether `typ` and `type` say access token.
    is_access_token: bool,
    /// Whether it was taken as a proof of receipt.
    receipt_recorded: AtomicBool,
}

impl VerifiedToken {
    /// Reads a token whose signature was verified.
    ///
    /// # Errors
    /// Where its claims cannot be read.
    pub(super) fn read(token: Unverified<'_>) -> Result<Self, InactiveReason> {
        let claims = Claims::parse(&token.payload()?)?;
        let Header { is_access_token, kid, .. } = token.header;
        let is_access_token = is_access_token && claims.kind.as_deref() == Some(access::TYPE);
        Ok(Self { kid, is_access_token, ..Self::of(claims) })
    }

    /// What a session token stands for.
    pub(super) fn of(claims: Claims) -> Self {
        Self {
            session_id: claims.session_id.as_deref().and_then(|id| id.parse().ok()),
            generation: claims.id.as_deref().and_then(AccessTokenId::generation_of),
            kid: None,
            is_access_token: true,
            receipt_recorded: AtomicBool::new(false),
            claims,
        }
    }

    /// The key that it names.
    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Judges what its text alone does not decide. The order of the reasons: a token whose time
    /// is over says so whatever else it is.
    ///
    /// # Errors
    /// Why it is not good.
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

    /// What its first use proves: that the refresh token of that generation was received. `None`
    /// where it proves nothing, or has done so already.
    pub(super) fn record_receipts(&self) -> Option<(SessionId, Generation)> {
        let (session_id, generation) = (self.session_id?, self.generation?);
        let proves = generation != Generation::FIRST
            && !self.receipt_recorded.load(Ordering::Relaxed)
            && !self.receipt_recorded.swap(true, Ordering::Relaxed);
        proves.then_some((session_id, generation))
    }
}

/// The sound tokens seen lately, within a bound of memory.
pub(super) struct VerificationCache(Option<Cache<Text, Arc<VerifiedToken>, ByBytes>>);

impl VerificationCache {
    /// Up to about `bytes` of memory. 0: nothing is remembered.
    pub(super) fn within(bytes: u64) -> Self {
        let typical = u64::try_from(MAX_CACHED_TOKEN_BYTES / 4).unwrap_or(u64::MAX);
        let items = usize::try_from(bytes / typical).unwrap_or(usize::MAX);
        Self((bytes > 0).then(|| Cache::with_weighter(items, bytes, ByBytes)))
    }

    /// What is remembered of exactly this token.
    pub(super) fn find(&self, token: &str) -> Option<Arc<VerifiedToken>> {
        self.0.as_ref()?.get(&Presented(token))
    }

    /// Remembers a good token. One that names no key is not: which key it would be held against
    /// changes with time.
    pub(super) fn keep(&self, token: &str, verified: &Arc<VerifiedToken>) {
        if let Some(cache) = &self.0
            && verified.kid.is_some()
            && token.len() <= MAX_CACHED_TOKEN_BYTES
        {
            cache.insert(Text(token.into()), Arc::clone(verified));
        }
    }

    /// About how much memory is in use, in bytes.
    #[cfg(test)]
    fn weight(&self) -> u64 {
        self.0.as_ref().map_or(0, Cache::weight)
    }
}

impl fmt::Debug for VerificationCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered")
            .field("tokens", &self.0.as_ref().map_or(0, Cache::len))
            .finish_non_exhaustive()
    }
}

/// A remembered token's text. Does not print.
struct Text(Box<str>);

/// A token to be looked for.
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

/// Compares whole tokens, in a time that does not tell how much of them is alike.
fn is_same(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// Counts a token's text, and its claims, which are as long again.
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
    fn memory_is_bounded_and_what_names_no_key_or_is_long_is_left_out() {
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
    fn a_remembered_token_takes_about_what_is_reckoned() {
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
    fn time_is_judged_before_the_kind_and_the_kind_before_the_audience() {
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
    fn a_token_proves_once_that_its_refresh_token_was_received() {
        let of = |generation| {
            let session_id = SessionId::new(Timestamp::from_seconds(1), [7; 10]);
            let id = AccessTokenId::new(Generation::new(generation), [0; 12]);
            VerifiedToken::of(Claims {
                session_id: Some(session_id.to_string()),
                id: Some(id.to_string()),
                ..Claims::default()
            })
        };
        assert_eq!(of(0).record_receipts(), None, "the login's own proves nothing");
        let later = of(3);
        assert_eq!(later.record_receipts().map(|(_, generation)| generation.number()), Some(3));
        assert_eq!(later.record_receipts(), None);
    }
}
