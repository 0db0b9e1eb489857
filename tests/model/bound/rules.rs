//! The rules of device-bound sessions to check: the library's own, and variants that differ from them in one
//! point. The variants are written here, around the library's own rules of rotation.

use token_authority::clock::Timestamp;
use token_authority::token::device::{DeviceBinding, DeviceKey, Registration, Shown, Thumbprint};
use token_authority::token::device_verdict::{judge_bound, register, settle_device};
use token_authority::token::id::Generation;
use token_authority::token::key::Algorithm;
use token_authority::token::refresh::RefreshToken;
use token_authority::token::rotation::{Policy, SuccessorSeed, Verdict, judge, take_effect};
use token_authority::token::session::Session;

/// A device's key. Only equality matters.
pub(crate) type Key = u8;

/// The device that a session is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) key: Key,
    /// The generation of the refresh token that registered it.
    pub(crate) generation: Generation,
    pub(crate) bound_at: Timestamp,
}

impl Device {
    fn binding(self) -> DeviceBinding {
        let (generation, bound_at) = (self.generation, self.bound_at);
        DeviceBinding { key: device_key(self.key), generation, bound_at }
    }

    fn of(binding: &DeviceBinding, key: Key) -> Self {
        Self { key, generation: binding.generation, bound_at: binding.bound_at }
    }
}

fn device_key(key: Key) -> DeviceKey {
    // The rules compare keys. They do not read their text.
    let (jwk, thumbprint) = (String::new(), Thumbprint::new([key; 32]));
    DeviceKey { jwk, thumbprint, algorithm: Algorithm::Es256 }
}

/// The verdict on a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Judged {
    By(Verdict),
    Unbound,
}

impl std::fmt::Display for Judged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::By(verdict) => write!(f, "{verdict:?}"),
            Self::Unbound => f.write_str("Unbound"),
        }
    }
}

/// The rules that a check uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// The library's.
    Real,
    /// The binding is not looked at.
    Ignored,
    /// A registration is never removed.
    NeverRemoved,
    /// A further registration replaces the first one.
    NewestWins,
    /// A repeated registration is refused if its token is no longer the current one.
    RepeatsNeedCurrent,
    /// The challenge fits every refresh token of the session.
    ChallengeOfSession,
    /// The predecessor, or a token that was set aside, may register as well.
    AnyTokenRegisters,
    /// A token from before the registration is refused like all others.
    OlderIsUnbound,
    /// A token that is shown without the key is a theft.
    UnboundRevokes,
    /// A dead token is a theft with or without the key.
    DeadRevokes,
}

const fn grants(verdict: Verdict) -> bool {
    use Verdict::{Keep, Remint, Replay, Rotate, Young};
    matches!(verdict, Rotate | Keep | Young | Replay | Remint)
}

impl Rules {
    /// Judges a refresh token and what was shown beside it, and applies the verdict.
    #[expect(clippy::too_many_arguments, reason = "it is what a refresh consists of")]
    pub(crate) fn refresh(
        self,
        session: &mut Session,
        device: &mut Option<Device>,
        presented: &RefreshToken,
        shown: Option<Key>,
        seed: &SuccessorSeed,
        now: Timestamp,
        policy: &Policy,
    ) -> (Judged, Option<RefreshToken>) {
        if self == Self::Real {
            return refresh_for_real(session, device, presented, shown, seed, now, policy);
        }
        let mut verdict = judge(session, presented, now, policy);
        let holds = device.as_ref().is_none_or(|device| shown == Some(device.key));
        if self != Self::Ignored
            && !holds
            && (grants(verdict) || verdict == Verdict::Theft && self != Self::DeadRevokes)
            && device.as_ref().is_some_and(|device| self.refuses(device, presented))
        {
            if self != Self::UnboundRevokes {
                return (Judged::Unbound, None);
            }
            verdict = Verdict::Theft;
        }
        let token = take_effect(verdict, session, presented, seed, now, policy);
        if !holds {
            self.remove_device(device, verdict, now, policy);
        }
        if session.revoked.is_some() {
            *device = None;
        }
        (Judged::By(verdict), token)
    }

    /// Returns whether a token is refused if it is shown without the device's key.
    fn refuses(self, device: &Device, presented: &RefreshToken) -> bool {
        presented.generation() >= device.generation || self == Self::OlderIsUnbound
    }

    /// Removes a registration that a token from before it takes away.
    fn remove_device(
        self,
        device: &mut Option<Device>,
        verdict: Verdict,
        now: Timestamp,
        policy: &Policy,
    ) {
        let writes = matches!(verdict, Verdict::Rotate | Verdict::Remint | Verdict::Keep);
        let late = |device: &Device| now.since(device.bound_at) > policy.window;
        if writes && self != Self::NeverRemoved && device.as_ref().is_some_and(late) {
            *device = None;
        }
    }

    /// Registers a device. `offered` is the token whose response carried the challenge.
    #[expect(clippy::too_many_arguments, reason = "it is what a registration consists of")]
    pub(crate) fn register(
        self,
        session: &mut Session,
        device: &mut Option<Device>,
        presented: &RefreshToken,
        offered: &RefreshToken,
        key: Key,
        now: Timestamp,
        policy: &Policy,
    ) -> bool {
        if self == Self::Real {
            // The challenge is of the authority, which knows the token that it was offered with.
            return offered == presented
                && register_for_real(session, device, presented, key, now, policy);
        }
        let verdict = judge(session, presented, now, policy);
        if verdict == Verdict::Theft {
            session.revoke(now, token_authority::token::session::RevocationReason::Reuse);
            *device = None;
        }
        let current = presented.hash() == session.lineage.current;
        let fits = offered == presented || self == Self::ChallengeOfSession;
        if !grants(verdict) || !fits {
            return false;
        }
        match device {
            // The request is repeated, because its response was lost. Meanwhile, a late copy of a refresh
            // may have displaced the token.
            Some(bound) if bound.key == key && self != Self::RepeatsNeedCurrent => return true,
            Some(bound) if bound.key == key => return current,
            Some(_) if self != Self::NewestWins => return false,
            _ if !(current || self == Self::AnyTokenRegisters) => return false,
            Some(_) | None => {}
        }
        let generation = presented.generation();
        *device = Some(Device { key, generation, bound_at: now });
        true
    }

    /// Renews a bound cookie with a proof by the device's key.
    pub(crate) fn renew(device: Option<Device>, key: Key) -> bool {
        device.is_some_and(|device| device.key == key)
    }
}

/// Refreshes by the library's rules. The model keeps the device beside the session.
#[expect(clippy::too_many_arguments, reason = "it is what a refresh consists of")]
fn refresh_for_real(
    session: &mut Session,
    device: &mut Option<Device>,
    presented: &RefreshToken,
    shown: Option<Key>,
    seed: &SuccessorSeed,
    now: Timestamp,
    policy: &Policy,
) -> (Judged, Option<RefreshToken>) {
    let shown = shown.map_or(Shown::Nothing, |key| Shown::Key(device_key(key).thumbprint));
    session.device = device.map(Device::binding);
    let verdict = judge_bound(session, presented, shown, now, policy);
    let token = take_effect(verdict, session, presented, seed, now, policy);
    settle_device(verdict, session, shown, now, policy);
    let is_bound = session.device.take().is_some() && session.revoked.is_none();
    *device = device.filter(|_| is_bound);
    let judged = if verdict == Verdict::Unbound { Judged::Unbound } else { Judged::By(verdict) };
    (judged, token)
}

/// Registers a device by the library's rules.
fn register_for_real(
    session: &mut Session,
    device: &mut Option<Device>,
    presented: &RefreshToken,
    key: Key,
    now: Timestamp,
    policy: &Policy,
) -> bool {
    session.device = device.map(Device::binding);
    let (_, outcome) = register(session, presented, &device_key(key), now, policy);
    let bound = session.device.take().filter(|_| session.revoked.is_none());
    let key =
        if outcome == Registration::New { Some(key) } else { device.map(|device| device.key) };
    *device = bound.zip(key).map(|(bound, key)| Device::of(&bound, key));
    matches!(outcome, Registration::New | Registration::Again)
}
