//! The verdict on a presented refresh token, and its effect on the session: pure functions.
//!
//! `A` is the concurrency window, at least twice the slowest round trip. Late copies of requests may
//! arrive up to 2 A after a token was handed out. A receipt is proven by an access token that is used
//! more than 2 A after it was issued.
//!
//! | presented | condition | verdict |
//! |---|---|---|
//! | the current token | the login's own, handed out once, or last handed out more than A ago | [`Verdict::Rotate`] |
//! | | handed out within A | [`Verdict::Young`] |
//! | its predecessor | unproven, handed out within A | [`Verdict::Replay`] |
//! | | unproven, longer ago | [`Verdict::Remint`] |
//! | | proven within A | [`Verdict::Replay`] |
//! | | proven longer ago | [`Verdict::Theft`] |
//! | the displaced successor, if it was handed out within 2 A of the re-mint | current token handed out more than A ago | [`Verdict::Rotate`] |
//! | | within A | [`Verdict::Young`] |
//! | the predecessor's predecessor | current token handed out within A | [`Verdict::Young`] |
//! | any earlier one with a right MAC | an ancestor, or a displaced successor | [`Verdict::Theft`] |
//! | anything else | | [`Verdict::Invalid`] |
//!
//! A session can be bound to a device. Then a token that its request does not show together with that
//! device is [`Verdict::Unbound`] (`token/device_verdict.rs`).
//!
//! `docs/adr/0001-rotation.md` explains why simpler rules fail. `tests/model` checks the rules
//! with an explicit-state model.

use std::time::Duration;

use super::id::Generation;
use super::lifetimes::Lifetimes;
use super::refresh::{LineageKey, RefreshToken, TokenHash};
use super::seal::{self, Purpose, Sealed};
use super::session::{Lineage, RevocationReason, Session};
use crate::clock::Timestamp;

/// How refresh tokens are rotated, and how long sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether refresh tokens are rotated. `false`: a session keeps its first token.
    pub rotation: bool,
    /// `A`, the concurrency window: how long requests with the same token count as simultaneous.
    pub window: Duration,
    /// How long a session lives after its last refresh.
    pub refresh_lifetime: Duration,
    /// How long a session lives at most after its login.
    pub session_max_lifetime: Duration,
}

impl Policy {
    /// Returns whether an access token that was issued at `issued_at` and is used at `seen_at` proves
    /// that its client holds the refresh token from the same response for good. A browser stores a
    /// cookie in memory first and writes it to disk up to half a minute later. If an earlier use counted,
    /// a browser that dies in between would come back with the predecessor and pass for a thief.
    #[must_use]
    pub fn proves_receipt(&self, issued_at: Timestamp, seen_at: Timestamp) -> bool {
        seen_at.since(issued_at) > self.settling_time()
    }

    /// How long after a token was handed out a message may arrive that was sent before its client had
    /// stored it: a late copy of a request, or a slow response. With less, a successor that a client
    /// still holds could be displaced for good.
    fn settling_time(&self) -> Duration {
        self.window * 2
    }

    /// Returns when a session ends, if it was opened at `created_at` and is used at `now`. The
    /// session's own lifetimes apply if they are shorter.
    #[must_use]
    pub fn expiry(
        &self,
        lifetimes: &Lifetimes,
        created_at: Timestamp,
        now: Timestamp,
    ) -> Timestamp {
        let by_policy = (now + self.refresh_lifetime).min(created_at + self.session_max_lifetime);
        lifetimes.end(created_at, now).map_or(by_policy, |own| own.min(by_policy))
    }

    /// Returns how much nearer its end an unchanged token may come before its life is extended. It is at
    /// most a quarter of a short life. If it were more, the user would be logged out while active.
    fn slack(&self, lifetimes: &Lifetimes) -> Duration {
        lifetimes.refresh.map_or(self.window, |own| self.window.min(own / 4))
    }
}

/// The verdict on a presented refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Exchange the token for a new successor.
    Rotate,
    /// Return the token unchanged and extend its life: rotation is off.
    Keep,
    /// Return the token unchanged: the current token was handed out within the concurrency window. The
    /// presented token is the current one, or one that was set aside.
    Young,
    /// Return the same successor again: the response that carried it may have been lost.
    Replay,
    /// Exchange the token for another successor: the response with the first one was lost.
    Remint,
    /// Revoke the session: two parties hold its tokens.
    Theft,
    /// Refuse: the session was revoked earlier.
    Revoked,
    /// Refuse: the session has expired.
    Expired,
    /// Refuse and change nothing: the token does not belong to the session.
    Invalid,
    /// Refuse and change nothing: the token is good, but the session is bound to a device that the request
    /// did not show.
    Unbound,
}

/// Judges a presented token against the session that it names.
#[must_use]
pub fn judge(
    session: &Session,
    presented: &RefreshToken,
    now: Timestamp,
    policy: &Policy,
) -> Verdict {
    let lineage = &session.lineage;
    if presented.session_id() != session.id || !presented.is_authentic(&lineage.key) {
        return Verdict::Invalid;
    }
    if session.revoked.is_some() {
        return Verdict::Revoked;
    }
    if now >= session.expires_at {
        return Verdict::Expired;
    }
    let hash = presented.hash();
    if hash == lineage.current {
        judge_current(session, now, policy)
    } else if lineage.predecessor == Some(hash) {
        judge_predecessor(lineage, now, policy)
    } else if lineage.set_aside == Some(hash) {
        judge_set_aside(lineage, presented, now, policy)
    } else if presented.generation() > lineage.generation {
        // The token is newer than the stored one. Either the database lost its last commits (a
        // restored backup, an unsynchronised failover), or its key leaked. Neither is a theft of
        // this session's tokens.
        Verdict::Invalid
    } else {
        Verdict::Theft
    }
}

impl Verdict {
    /// Returns whether the client gets tokens.
    #[must_use]
    pub const fn grants(self) -> bool {
        matches!(self, Self::Rotate | Self::Keep | Self::Young | Self::Replay | Self::Remint)
    }
}

fn judge_current(session: &Session, now: Timestamp, policy: &Policy) -> Verdict {
    let lineage = &session.lineage;
    // A first token that was handed out again while rotation was off does not count: the second
    // response may still be under way.
    let first = lineage.predecessor.is_none() && lineage.handed_out_at <= session.created_at;
    match (policy.rotation, first || now.since(lineage.handed_out_at) > policy.window) {
        (true, true) => Verdict::Rotate,
        (true, false) => Verdict::Young,
        (false, _) => Verdict::Keep,
    }
}

fn judge_predecessor(lineage: &Lineage, now: Timestamp, policy: &Policy) -> Verdict {
    match lineage.proven_at {
        None if now.since(lineage.handed_out_at) <= policy.window => Verdict::Replay,
        None => Verdict::Remint,
        Some(proven_at) if now.since(proven_at) <= policy.window => Verdict::Replay,
        Some(_) => Verdict::Theft,
    }
}

/// Judges the token that the last change set aside. If it is the successor that a re-mint displaced,
/// its client may hold it, and it counts like the current token until either of them is rotated. If it
/// is the predecessor's predecessor, a late copy of the request that it was exchanged with may carry it,
/// but no client that presents it later.
fn judge_set_aside(
    lineage: &Lineage,
    presented: &RefreshToken,
    now: Timestamp,
    policy: &Policy,
) -> Verdict {
    let young = now.since(lineage.handed_out_at) <= policy.window;
    match (lineage.is_beside(presented), young) {
        (true, _) if !policy.rotation => Verdict::Keep,
        (true, false) => Verdict::Rotate,
        (_, true) => Verdict::Young,
        (false, false) => Verdict::Theft,
    }
}

/// The random bytes for a successor. They are drawn before the verdict is known.
#[derive(Clone, zeroize::ZeroizeOnDrop)]
pub struct SuccessorSeed {
    /// The successor's 32 random bytes.
    pub secret: [u8; 32],
    /// The nonce for its encryption.
    pub nonce: [u8; 12],
}

impl std::fmt::Debug for SuccessorSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SuccessorSeed(…)")
    }
}

/// Applies a verdict to its session and returns the refresh token for the client. Returns `None`
/// if the verdict refuses the token, or if the stored successor cannot be decrypted.
pub fn take_effect(
    verdict: Verdict,
    session: &mut Session,
    presented: &RefreshToken,
    seed: &SuccessorSeed,
    now: Timestamp,
    policy: &Policy,
) -> Option<RefreshToken> {
    match verdict {
        Verdict::Rotate => {
            session.lineage.set_aside = session.lineage.predecessor;
            let successor = rotate(session, presented, seed, now);
            touch(session, now, policy);
            Some(successor)
        }
        Verdict::Remint => {
            let lineage = &mut session.lineage;
            // The presented token may come from a late copy, while the client holds the successor.
            let may_be_held = now.since(lineage.handed_out_at) <= policy.settling_time();
            lineage.set_aside = may_be_held.then_some(lineage.current);
            let successor = rotate(session, presented, seed, now);
            touch(session, now, policy);
            Some(successor)
        }
        Verdict::Replay => {
            let successor = unseal_successor(&session.lineage, presented)?;
            // The window counts from the last hand-out, not from the rotation, because the next
            // response may overtake this one.
            session.lineage.handed_out_at = session.lineage.handed_out_at.max(now);
            Some(successor)
        }
        Verdict::Young => {
            // A token that is replayed again and again stays young while its session's end draws
            // near. Then its life is extended here, or its user would be logged out.
            let is_current = presented.hash() == session.lineage.current;
            let extended = policy.expiry(&session.lifetimes, session.created_at, now);
            if is_current && extended > session.expires_at + policy.slack(&session.lifetimes) {
                extend(session, now, policy);
            }
            Some(presented.clone())
        }
        Verdict::Keep => {
            extend(session, now, policy);
            Some(presented.clone())
        }
        Verdict::Theft => {
            session.revoke(now, RevocationReason::Reuse);
            None
        }
        Verdict::Revoked | Verdict::Expired | Verdict::Invalid | Verdict::Unbound => None,
    }
}

/// A rotation that is written without reading the session first. Most refreshes rotate the current
/// token of a live session, so the write assumes that [`judge`] would answer [`Verdict::Rotate`].
/// The fields express this assumption as a condition that the database checks while it writes.
#[derive(Debug, Clone)]
pub struct Optimistic {
    /// The presented token's hash. It must be the session's current one.
    pub presented: TokenHash,
    /// When the token was presented. The session must be neither revoked nor expired then.
    pub now: Timestamp,
    /// The presented token must be the login's own, handed out once, or last handed out before this.
    pub handed_out_before: Timestamp,
    /// The successor, which becomes the session's current token.
    pub successor: RefreshToken,
    /// The successor's random bytes, encrypted under the presented token.
    pub sealed: Sealed,
    /// When the session ends after this rotation. Its maximum lifetime, or
    /// lifetimes of its own, may end it earlier.
    pub expires_at: Timestamp,
    /// How long the session lives at most after its login.
    pub session_max_lifetime: Duration,
}

/// Prepares a rotation under the assumption that the verdict is [`Verdict::Rotate`]. `key` is the
/// session's key. Returns `None` if the assumption is certainly wrong: the MAC is wrong, or rotation
/// is off.
#[must_use]
pub fn try_optimistic(
    key: &LineageKey,
    presented: &RefreshToken,
    seed: &SuccessorSeed,
    now: Timestamp,
    policy: &Policy,
) -> Option<Optimistic> {
    if !policy.rotation || !presented.is_authentic(key) {
        return None;
    }
    let (successor, sealed) = succeed(key, presented, presented.generation().next(), seed);
    Some(Optimistic {
        presented: presented.hash(),
        now,
        handed_out_before: now - policy.window,
        successor,
        sealed,
        expires_at: now + policy.refresh_lifetime,
        session_max_lifetime: policy.session_max_lifetime,
    })
}

/// Mints a token's successor and encrypts the successor's random bytes for the session's row.
fn succeed(
    key: &LineageKey,
    presented: &RefreshToken,
    generation: Generation,
    seed: &SuccessorSeed,
) -> (RefreshToken, Sealed) {
    let id = presented.session_id();
    let successor = RefreshToken::mint(key, id, generation, seed.secret);
    let (sealing_secret, plain) = (presented.secret(), &seed.secret);
    (successor, seal::seal(Purpose::Successor, sealing_secret, id, plain, seed.nonce))
}

fn rotate(
    session: &mut Session,
    presented: &RefreshToken,
    seed: &SuccessorSeed,
    now: Timestamp,
) -> RefreshToken {
    let lineage = &mut session.lineage;
    lineage.generation = lineage.generation.next();
    let (successor, sealed) = succeed(&lineage.key, presented, lineage.generation, seed);
    lineage.sealed = Some(sealed);
    lineage.predecessor = Some(presented.hash());
    lineage.current = successor.hash();
    lineage.handed_out_at = now;
    lineage.proven_at = None;
    successor
}

fn unseal_successor(lineage: &Lineage, presented: &RefreshToken) -> Option<RefreshToken> {
    let id = presented.session_id();
    let plain = seal::open(Purpose::Successor, presented.secret(), id, lineage.sealed.as_ref()?)?;
    let secret = plain.try_into().ok()?;
    let successor = RefreshToken::mint(&lineage.key, id, lineage.generation, secret);
    (successor.hash() == lineage.current).then_some(successor)
}

/// Extends the life of an unchanged token. The client stores the token again, so the window begins
/// again: if rotation is switched on in the meantime, this response cannot overtake a successor.
fn extend(session: &mut Session, now: Timestamp, policy: &Policy) {
    // At least one microsecond after the login. Otherwise the token would still count as a first
    // one.
    let after_login = session.created_at + Duration::from_micros(1);
    session.lineage.handed_out_at = session.lineage.handed_out_at.max(now).max(after_login);
    touch(session, now, policy);
}

fn touch(session: &mut Session, now: Timestamp, policy: &Policy) {
    session.last_used_at = session.last_used_at.max(now);
    session.expires_at = policy.expiry(&session.lifetimes, session.created_at, now);
}
