//! The rules to check: the library's own, and variants that differ from them in one point. A
//! variant also calls the library's functions and then overrides that point.

use token_authority::clock::Timestamp;
use token_authority::token::refresh::RefreshToken;
use token_authority::token::rotation::{Policy, SuccessorSeed, Verdict, judge, take_effect};
use token_authority::token::session::{Lineage, Session};

/// The rules that a check uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// The library's own rules.
    Real,
    /// The window counts from the rotation, not from the last hand-out.
    WindowFromRotation,
    /// A young token is rotated too.
    RotateYoung,
    /// The adapter sets the cookie even if the token is the presented one.
    CookieAlways,
    /// A predecessor is answered with the same successor until a receipt is recorded.
    ReplayUnproven,
    /// A predecessor is never accepted: rotation without any grace.
    NoGrace,
    /// A predecessor gets another successor even if the first was handed out a moment ago, and the
    /// first one is dead.
    RemintAtOnce,
    /// A predecessor is accepted as long as it is the predecessor, with or without a receipt.
    PredecessorForEver,
    /// A token of a generation that the row has not reached counts as a theft too.
    FutureIsTheft,
    /// A displaced or earlier token is refused, but the session is not revoked.
    NoRevocation,
    /// An access token proves its receipt as soon as it is used.
    EarlyReceipts,
    /// Presenting a young token proves its receipt.
    YoungProves,
    /// The successor that a re-mint displaces is dead at once.
    RemintDisplaces,
    /// The successor that a re-mint displaces stays acceptable beside the new one however long ago it
    /// was handed out.
    BesideForEver,
    /// The predecessor's predecessor is dead at once.
    RotationForgets,
    /// The first four of these together, without [`Self::BesideForEver`]: the rules before.
    Former,
    /// The former rules with the real rule for receipts.
    OnlyLateReceipts,
    /// After a receipt the predecessor is accepted for a quarter of A, not for A.
    ShortAfterProof,
    /// The first token may be young too. The claims of the real rules hold, with slightly more
    /// grace.
    FirstIsYoung,
    /// A proven successor is handed out again only if it was both proven and handed out within A.
    /// The claims of the real rules hold, with slightly more grace.
    BothWindows,
}

impl Rules {
    /// Judges a token and applies the verdict.
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
        let Lineage { handed_out_at, current, .. } = session.lineage;
        let token = take_effect(verdict, session, presented, candidate, now, policy);
        if self == Self::WindowFromRotation && verdict == Verdict::Replay {
            session.lineage.handed_out_at = handed_out_at;
        }
        let lineage = &mut session.lineage;
        match verdict {
            Verdict::Young if matches!(self, Self::YoungProves | Self::Former) => {
                lineage.proven_at.get_or_insert(now);
            }
            Verdict::Remint if self == Self::BesideForEver => lineage.set_aside = Some(current),
            Verdict::Remint if self.displaces() => lineage.set_aside = None,
            Verdict::Rotate if self.forgets() => lineage.set_aside = None,
            _ => {}
        }
        (verdict, token)
    }

    fn displaces(self) -> bool {
        let former = matches!(self, Self::Former | Self::OnlyLateReceipts);
        former || matches!(self, Self::RemintDisplaces | Self::RemintAtOnce)
    }

    fn forgets(self) -> bool {
        matches!(self, Self::RotationForgets | Self::Former | Self::OnlyLateReceipts)
    }

    /// Returns whether the use of an access token proves its receipt.
    pub(crate) fn proves_receipt(
        self,
        policy: &Policy,
        issued_at: Timestamp,
        seen_at: Timestamp,
    ) -> bool {
        let at_once = matches!(self, Self::EarlyReceipts | Self::Former);
        at_once || policy.proves_receipt(issued_at, seen_at)
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
            (Self::ShortAfterProof, Verdict::Replay)
                if lineage.proven_at.is_some_and(|at| now.since(at) > policy.window / 4) =>
            {
                Verdict::Theft
            }
            (_, verdict) => verdict,
        }
    }

    /// Returns whether a reply sets the cookie: if the token is new, and always without rotation.
    pub(crate) fn sets_cookie(
        self,
        verdict: Verdict,
        presented: &RefreshToken,
        successor: &RefreshToken,
    ) -> bool {
        self == Self::CookieAlways || verdict == Verdict::Keep || presented != successor
    }
}
