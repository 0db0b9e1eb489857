//! What a check assumes, what may happen in it, and what must not.

use std::time::Duration;

use token_authority::clock::Timestamp;
use token_authority::token::rotation::{Policy, Verdict};

use crate::rules::Rules;

/// A tick of the model's clock.
pub(crate) const TICK: Duration = Duration::from_secs(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// How far the thief keeps away from the victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distance {
    /// More than A from each of the victim's refreshes and from the moment at which its access
    /// token was first validated.
    FromRefreshesAndProofs,
    /// More than A from each of the victim's refreshes.
    FromRefreshes,
    /// None.
    None,
}

/// What a check assumes. Times are in ticks.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that may happen or not")]
pub(crate) struct Scenario {
    pub(crate) rules: Rules,
    /// A.
    pub(crate) window: u8,
    /// How long after its request a reply may land, at most.
    pub(crate) round_trip: u8,
    /// How far the clocks of two replicas differ, at most.
    pub(crate) clocks_differ: u8,
    pub(crate) tabs: usize,
    /// Whether a second reply to the login, with the same first token, is still on its way.
    pub(crate) second_login_reply: bool,
    /// Whether some replicas rotate refresh tokens and others do not.
    pub(crate) rotation_differs: bool,
    /// Whether the database may lose its last commit, once.
    pub(crate) commit_lost: bool,
    /// The thief, if there is one.
    pub(crate) thief: Option<Distance>,
    /// Whether `ValidateToken` may see the thief's access tokens too.
    pub(crate) thief_validates: bool,
    /// How often, after the theft, success may pass from victim to thief or back.
    pub(crate) most_switches: u8,
}

impl Scenario {
    pub(crate) fn policy(&self, rotation: bool) -> Policy {
        Policy {
            rotation,
            window: TICK * u32::from(self.window),
            refresh_lifetime: DAY * 365_000,
            session_max_lifetime: DAY * 365_000,
        }
    }

    pub(crate) fn is_apart(&self, now: Timestamp, from: Option<Timestamp>) -> bool {
        let none = self.thief.is_none_or(|distance| distance == Distance::None);
        none || from.is_none_or(|from| now.since(from) > TICK * u32::from(self.window))
    }
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Time passes; whatever is on its way for too long must be lost or land before.
    Tick,
    /// A day passes, with nothing on its way.
    Sleep,
    /// A tab presents what is in the jar: for the first time, or again.
    Send(usize),
    /// The server decides on a tab's request.
    Decide(usize, Decision),
    /// A reply lands.
    Land(usize),
    /// A request or a reply is lost: by the network, by a server that dies before or after its
    /// commit, or because the page is left.
    Lose(usize),
    /// `ValidateToken` sees the newest access token that landed.
    Validate,
    /// What it saw is stored.
    StoreProof,
    /// What it saw is lost: with a server that dies, or because the database is behind.
    LoseProof,
    /// The thief copies the jar.
    Steal,
    /// The thief presents one of its tokens, and hears the answer or not.
    Present { token: usize, heard: bool },
    /// `ValidateToken` sees the thief's newest access token, which is stored.
    ThiefValidates,
    /// The database loses its last commit.
    LoseCommit,
}

/// How the server comes to decide on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    /// When it was presented, by the clock of the replica at which it arrived, in ticks before
    /// now: requests are not decided in the order in which they arrive.
    pub(crate) before: i8,
    /// Whether that replica rotates.
    pub(crate) rotation: bool,
    /// Whether the request arrives a second time, having been repeated on its way, with the
    /// first answer lost.
    pub(crate) again: bool,
}

/// What must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Violation {
    /// A client is refused though nobody stole anything.
    Refused(Verdict),
    /// After a theft somebody is refused, and the session lives on.
    RefusedYetAlive(Verdict),
    /// Thief and victim both go on.
    BothGoOn,
}
