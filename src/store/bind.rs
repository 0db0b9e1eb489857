//! The registration of a device for a session: what the change of its row is, and its result.

use std::time::Duration;

use super::{Bind, Bound};
use crate::token::device::Registration;
use crate::token::device_verdict;
use crate::token::rotation::{Policy, Verdict};
use crate::token::session::Session;

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
    let (verdict, outcome) = device_verdict::register(session, presented, key, *now, policy);
    let revocation = session.revocation(retention);
    Bound { verdict, session: Some(session.clone()), outcome, revocation }
}
