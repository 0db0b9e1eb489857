//! The verdict on a refresh token of a session that may be bound to a device, its effect on the binding,
//! and the registration of a device: pure functions.
//!
//! | the request shows the session's device | the token | verdict | the binding |
//! |---|---|---|---|
//! | yes | any | that of [`rotation`](super::rotation) | stays |
//! | no | since the registration | [`Verdict::Unbound`] | stays |
//! | no | earlier | that of `rotation` | is removed by an exchange, later than A after the registration |
//!
//! A token of a revoked or expired session, and a forged one, is refused as such whatever is shown.

use super::device::{DeviceBinding, DeviceKey, Registration, Shown};
use super::refresh::RefreshToken;
use super::rotation::{Policy, Verdict, judge};
use super::session::{RevocationReason, Session};
use crate::clock::Timestamp;

/// Judges a presented token together with what its request showed of its device.
///
/// Nobody but the device's holder ever received the tokens since the registration, so one without the
/// device is a copy that is of no use, and its session goes on. A token from before the registration is
/// judged as if there were no device: if a thief registered one, the victim comes with such a token.
#[must_use]
pub fn judge_bound(
    session: &Session,
    presented: &RefreshToken,
    shown: Shown,
    now: Timestamp,
    policy: &Policy,
) -> Verdict {
    let verdict = judge(session, presented, now, policy);
    let refuses = |device: &DeviceBinding| device.refuses(presented.generation(), shown);
    let is_refused = session.device.as_ref().is_some_and(refuses);
    match verdict {
        Verdict::Invalid | Verdict::Revoked | Verdict::Expired => verdict,
        _ if is_refused => Verdict::Unbound,
        _ => verdict,
    }
}

/// Removes the session's device if an exchange was granted without it. The registration may be so recent
/// that the request was sent before; then it stays. While device-bound sessions are switched off, each
/// exchange removes it, because browsers forget their keys then.
pub fn settle_device(
    verdict: Verdict,
    session: &mut Session,
    shown: Shown,
    now: Timestamp,
    policy: &Policy,
) {
    let is_exchange = matches!(verdict, Verdict::Rotate | Verdict::Remint | Verdict::Keep);
    let is_removed = |device: &DeviceBinding| {
        let is_settled = now.since(device.bound_at) > policy.window;
        shown == Shown::Ignored || (is_settled && !device.is_shown(shown))
    };
    if is_exchange && session.device.as_ref().is_some_and(is_removed) {
        session.device = None;
    }
}

/// Judges a refresh token as for a refresh, and registers a device with it. The token is not used: it is
/// neither rotated nor handed out. A stolen one ends its session here, too.
///
/// Only the current token registers a device. The first device stays: if a browser registers two keys at
/// once, the answers may arrive in any order. The same registration may come again, because browsers repeat
/// it if the answer was lost.
pub fn register(
    session: &mut Session,
    presented: &RefreshToken,
    key: &DeviceKey,
    now: Timestamp,
    policy: &Policy,
) -> (Verdict, Registration) {
    let verdict = judge(session, presented, now, policy);
    if verdict == Verdict::Theft {
        session.revoke(now, RevocationReason::Reuse);
    }
    let outcome = match &session.device {
        _ if !verdict.grants() => Registration::Refused,
        Some(device) if device.key == *key => Registration::Again,
        Some(_) => Registration::Taken,
        None if presented.hash() != session.lineage.current => Registration::Refused,
        None => Registration::New,
    };
    if outcome == Registration::New {
        let generation = presented.generation();
        session.device = Some(DeviceBinding { key: key.clone(), generation, bound_at: now });
    }
    (verdict, outcome)
}
