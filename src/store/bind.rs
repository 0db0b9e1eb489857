//! The registration of a device for a session.
//!
//! The refresh token is judged as for a refresh, but it is not used: it is neither rotated nor handed
//! out. A stolen one ends its session here, too. Only the current token registers a device. The first
//! device stays: if a browser registers two keys at once, the answers may arrive in any order. The same
//! registration may come again, because browsers repeat it if the answer was lost.

use std::time::Duration;

use super::{Bind, Bound, Registration};
use crate::token::device::DeviceBinding;
use crate::token::rotation::{self, Policy, Verdict};
use crate::token::session::{RevocationReason, Session};

/// Applies a registration to its session. `retention`: how long a revocation is kept at least.
pub(super) fn apply(
    bind: &Bind,
    session: Option<&mut Session>,
    policy: &Policy,
    retention: Duration,
) -> Bound {
    let (verdict, outcome) = (Verdict::Invalid, Registration::Refused);
    let Some(session) = session else {
        return Bound { verdict, session: None, outcome, revocation: None };
    };
    let Bind { presented, key, now, .. } = bind;
    let verdict = rotation::judge(session, presented, *now, policy);
    if verdict == Verdict::Theft {
        session.revoke(*now, RevocationReason::Reuse);
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
        session.device = Some(DeviceBinding { key: key.clone(), generation, bound_at: *now });
    }
    let revocation = session.revocation(retention);
    Bound { verdict, session: Some(session.clone()), outcome, revocation }
}
