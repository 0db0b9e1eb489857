//! The assumptions of a check of device-bound sessions, its steps, and its violations.

use token_authority::token::rotation::Policy;

use super::rules::{Judged, Rules};
use super::state::State;
use crate::scenario::{DAY, TICK};
use crate::search::Model;

/// When the thief copies the jar, and what it copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theft {
    /// At any time. The thief keeps its distance, as in the checks of rotation.
    Ever,
    /// Once the browser has registered its device. The thief keeps no distance.
    OnceBound,
    /// The same, and the thief does nothing as long as the copied bound cookie lives.
    OnceOver,
}

/// The assumptions of a check. Times are in ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) rules: Rules,
    /// A.
    pub(crate) window: u8,
    /// The longest time from a request to its reply.
    pub(crate) round_trip: u8,
    pub(crate) tabs: usize,
    /// How many registrations are under way at most.
    pub(crate) registrations: usize,
    /// How long after its original was decided on a copy of a refresh may still arrive.
    pub(crate) late: Option<u8>,
    /// How long after a change the jar and the browser's device sessions are on disk, if it may die.
    pub(crate) disk_lag: Option<u8>,
    /// Whether the device may lose its key.
    pub(crate) key_lost: bool,
    pub(crate) theft: Option<Theft>,
    /// How often success may change between the parties after the theft.
    pub(crate) most_switches: u8,
}

impl Scenario {
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            rotation: true,
            window: TICK * u32::from(self.window),
            refresh_lifetime: DAY * 365_000,
            session_max_lifetime: DAY * 365_000,
        }
    }
}

impl Model for Scenario {
    type State = State;
    type Action = Action;
    type Violation = Violation;
    type Verdict = Judged;

    fn first(&self) -> State {
        State::new(self)
    }

    fn actions(&self, state: &State) -> Vec<Action> {
        state.actions(self)
    }

    fn step(&self, state: &State, action: Action) -> Result<State, Violation> {
        let mut next = state.clone();
        next.take(self, action).map(|()| next)
    }

    fn view(&self, state: &State) -> Box<[u8]> {
        state.view(self)
    }

    fn verdict(&self, state: &State) -> Option<Judged> {
        state.judged.as_ref().map(|(judged, _)| *judged)
    }
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Time passes.
    Tick,
    /// A day passes. No message may be under way.
    Sleep,
    /// A tab presents the token in the jar, with the bound cookie if there is one.
    Send(usize),
    /// The server decides a tab's request. `before`: it arrived that many ticks ago. `expired`: its bound
    /// cookie expired under way. `copied`: a copy remains under way.
    Decide { tab: usize, before: u8, expired: bool, copied: bool },
    /// A tab's reply arrives.
    Land(usize),
    /// A tab's request or reply is lost.
    Lose(usize),
    /// A late copy of a refresh arrives.
    Arrive,
    /// That copy is lost.
    LoseCopy,
    /// The server decides a registration. `again`: it is repeated, because its first answer was lost.
    Register { which: usize, again: bool },
    /// The reply to a registration arrives.
    Bind(usize),
    /// A registration or its reply is lost.
    LoseRegistration(usize),
    /// The browser renews its bound cookie. A lost answer changes nothing.
    Renew,
    /// The bound cookie expires.
    Expire,
    /// The browser dies, and starts again with an earlier jar, with or without its device session.
    Die { jar: Option<usize>, keeps_key: bool },
    /// The key is lost: the profile moves to another machine, or a security chip is cleared.
    LoseKey,
    /// An access token is validated, which is stored as a receipt.
    Validate,
    /// The thief copies the jar.
    Steal,
    /// The thief presents one of its tokens, with the bound cookie that it has or without.
    Present { token: usize, shows: bool },
    /// The thief registers a device of its own with one of its tokens.
    ThiefRegisters(usize),
    /// The bound cookie that the thief copied expires.
    ThiefExpires,
}

/// A violation of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Violation {
    /// A client without a thief is refused, though it has lost nothing, or its refusal is a theft.
    Refused(Judged),
    /// The victim is refused, and the session lives on without it.
    ShutOut(Judged),
    /// The thief is refused without a key, and the session lives on though no device is bound.
    RefusedYetAlive(Judged),
    /// The thief gets a token after the life of the bound cookie that it copied.
    GetsIn,
    /// A thief without the key ends the session.
    LoggedOut,
    /// Both the thief and the victim go on.
    BothGoOn,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(judged) => write!(f, "Refused({judged})"),
            Self::ShutOut(judged) => write!(f, "ShutOut({judged})"),
            Self::RefusedYetAlive(judged) => write!(f, "RefusedYetAlive({judged})"),
            Self::GetsIn => f.write_str("GetsIn"),
            Self::LoggedOut => f.write_str("LoggedOut"),
            Self::BothGoOn => f.write_str("BothGoOn"),
        }
    }
}
