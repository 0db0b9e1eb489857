//! The rules to check: the library's own, and each variant that differs from them in one point.
//! A variant calls the library's functions too and then overrides that one point.

use token_authority::clock::Timestamp;
use token_authority::token::refresh::RefreshToken;
use token_authority::token::rotation::{Policy, SuccessorSeed, Verdict, judge, take_effect};
use token_authority::token::session::Session;

/// Which rules a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// The library's.
    Real,
    /// The window counts from the rotation, not from the last hand-out.
    WindowFromRotation,
    /// A token is rotated however young it is.
    RotateYoung,
    /// The adapter sets the cookie even if the token is the one that was presented.
    CookieAlways,
    /// A predecessor is answered with the same successor as long as that is unproven.
    ReplayUnproven,
    /// A predecessor is never good again: rotation without any grace.
    NoGrace,
    /// A predecessor gets another successor even if the first was handed out only just now.
    RemintAtOnce,
    /// A predecessor is good as long as it is the predecessor, proven or not.
    PredecessorForEver,
    /// A token of a generation that the row has not reached is a theft too.
    FutureIsTheft,
    /// A displaced or earlier token is refused, and that is all.
    NoRevocation,
    /// Presenting a young token proves nothing. Holds what the real rules hold, but later.
    YoungProvesNothing,
    /// The first token may be young too. Holds what the real rules hold, and a little more.
    FirstIsYoung,
    /// A proven successor is handed out again only if it was both proven and handed out within A.
    /// Holds what the real rules hold, and a little more.
    BothWindows,
}

impl Rules {
    /// Judges a token and lets the verdict take effect.
    pub(crate) fn refresh(
        self,
        session: &mut Session,
        presented: &RefreshToken,
        candidate: &SuccessorSeed,
        now: Timestamp,
        policy: &Policy,
    ) -> (Verdict, Option<RefreshToken>) {
        let verdict = judge(session, presented, now, policy);
        let verdict = self.amend(verdict, session, presented, now, policy);
        let (handed_out_at, proven_at) = (session.lineage.handed_out_at, session.lineage.proven_at);
        let token = take_effect(verdict, session, presented, candidate, now, policy);
        if self == Self::WindowFromRotation && verdict == Verdict::Replay {
            session.lineage.handed_out_at = handed_out_at;
        }
        if self == Self::YoungProvesNothing && verdict == Verdict::Young {
            session.lineage.proven_at = proven_at;
        }
        (verdict, token)
    }

    fn amend(
        self,
        verdict: Verdict,
        session: &Session,
        presented: &RefreshToken,
        now: Timestamp,
        policy: &Policy,
    ) -> Verdict {
        let lineage = &session.lineage;
        let is_predecessor = || lineage.predecessor == Some(presented.hash());
        let young = now.since(lineage.handed_out_at) <= policy.window;
        match (self, verdict) {
            (Self::RotateYoung, Verdict::Young) => Verdict::Rotate,
            (Self::ReplayUnproven, Verdict::Remint) => Verdict::Replay,
            (Self::NoGrace, Verdict::Replay | Verdict::Remint) => Verdict::Theft,
            (Self::RemintAtOnce, Verdict::Replay) if lineage.proven_at.is_none() => Verdict::Remint,
            (Self::PredecessorForEver, Verdict::Theft) if is_predecessor() => Verdict::Replay,
            (Self::NoRevocation, Verdict::Theft) => Verdict::Invalid,
            (Self::FutureIsTheft, Verdict::Invalid)
                if presented.generation() > lineage.generation =>
            {
                Verdict::Theft
            }
            (Self::FirstIsYoung, Verdict::Rotate) if young => Verdict::Young,
            (Self::BothWindows, Verdict::Replay) if lineage.proven_at.is_some() && !young => {
                Verdict::Theft
            }
            (_, verdict) => verdict,
        }
    }

    /// Whether a reply sets the cookie: if the token is a new one, and without rotation always.
    pub(crate) fn sets_cookie(
        self,
        verdict: Verdict,
        presented: &RefreshToken,
        successor: &RefreshToken,
    ) -> bool {
        self == Self::CookieAlways || verdict == Verdict::Keep || presented != successor
    }
}
