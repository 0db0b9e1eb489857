//! The assumptions of a check, the steps that may happen in it, and the violations.

use std::time::Duration;

use token_authority::clock::Timestamp;
use token_authority::token::rotation::{Policy, Verdict};

use crate::rules::Rules;
use crate::search::Model;
use crate::system::System;

/// A tick of the model's clock.
pub(crate) const TICK: Duration = Duration::from_secs(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// How far the thief's actions are from the victim's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distance {
    /// More than A from each refresh of the victim and from the first validation of its access
    /// token.
    FromRefreshesAndProofs,
    /// More than A from each refresh of the victim.
    FromRefreshes,
    /// Any distance.
    None,
}

/// The assumptions of a check. Times are in ticks.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each allows or forbids one kind of event")]
pub(crate) struct Scenario {
    pub(crate) rules: Rules,
    /// A.
    pub(crate) window: u8,
    /// The longest time from a request to its reply.
    pub(crate) round_trip: u8,
    /// The largest difference between the clocks of two replicas.
    pub(crate) clocks_differ: u8,
    pub(crate) tabs: usize,
    /// How long after its original was decided on a copy of a request may still arrive, if a network
    /// makes copies. One copy is under way at a time. A request that its page gave up arrives earlier
    /// by a round trip.
    pub(crate) late: Option<u8>,
    /// How long after a change the jar is on disk, if the browser may die before.
    pub(crate) jar_lag: Option<u8>,
    /// Whether the browser may die while a copy of one of its requests is under way.
    pub(crate) dies_beside_copy: bool,
    /// Whether a second reply to the login, with the same first token, is still under way.
    pub(crate) second_login_reply: bool,
    /// Whether some replicas rotate refresh tokens and others do not.
    pub(crate) rotation_differs: bool,
    /// Whether the database may lose its last commit, once.
    pub(crate) commit_lost: bool,
    /// The thief, if there is one.
    pub(crate) thief: Option<Distance>,
    /// Whether `ValidateToken` may see the thief's access tokens too.
    pub(crate) thief_validates: bool,
    /// How often success may change between the parties after the theft.
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

impl Model for Scenario {
    type State = System;
    type Action = Action;
    type Violation = Violation;
    type Verdict = Verdict;

    fn first(&self) -> System {
        System::new(self)
    }

    fn actions(&self, system: &System) -> Vec<Action> {
        system.actions(self)
    }

    fn step(&self, system: &System, action: Action) -> Result<System, Violation> {
        system.step(self, action)
    }

    fn view(&self, system: &System) -> Box<[u8]> {
        system.view(self)
    }

    fn verdict(&self, system: &System) -> Option<Verdict> {
        system.verdict.as_ref().map(|(verdict, _)| *verdict)
    }
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Time passes. Messages that are under way for too long must arrive or be lost first.
    Tick,
    /// A day passes. No message may be under way.
    Sleep,
    /// A tab presents the token in the jar, for the first time or again.
    Send(usize),
    /// The server decides a tab's request.
    Decide(usize, Decision),
    /// A reply arrives.
    Land(usize),
    /// A request or a reply is lost: in the network, in a server that dies before or after its
    /// commit, or because the user leaves the page.
    Lose(usize),
    /// A tab gives up, but its request remains under way.
    Abandon(usize),
    /// A request arrives whose answer nobody awaits: a late copy, an abandoned one, or that of a browser
    /// that died.
    Arrive(usize),
    /// Such a request is lost.
    LoseStray(usize),
    /// The browser dies. It starts again with this earlier state of its jar.
    Die(usize),
    /// `ValidateToken` sees the newest access token that has arrived.
    Validate,
    /// The receipt of that validation is stored.
    StoreProof,
    /// The receipt is lost, because the server dies or the database is behind.
    LoseProof,
    /// The thief copies the jar.
    Steal,
    /// The thief presents one of its tokens, and receives the answer or not.
    Present { token: usize, heard: bool },
    /// `ValidateToken` sees the thief's newest access token, and the receipt is stored.
    ThiefValidates,
    /// The database loses its last commit.
    LoseCommit,
}

/// The circumstances in which the server decides a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    /// When the token was presented, by the clock of the replica that received it, in ticks before
    /// now. Requests are not decided in the order of their arrival.
    pub(crate) before: i8,
    /// Whether that replica rotates.
    pub(crate) rotation: bool,
    /// Whether the request arrives a second time because it was repeated, and its first answer was
    /// lost.
    pub(crate) again: bool,
    /// Whether a copy of the request remains under way.
    pub(crate) copied: bool,
}

/// A violation of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Violation {
    /// A client is refused although there was no theft.
    Refused(Verdict),
    /// After a theft a party is refused, and the session lives on.
    RefusedYetAlive(Verdict),
    /// Both the thief and the victim go on.
    BothGoOn,
}
