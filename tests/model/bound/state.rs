//! A browser with a device key, its messages under way, the session's row, and perhaps a thief.

use token_authority::clock::Timestamp;
use token_authority::token::session::Session;

use super::rules::{Device, Judged, Key};
use super::scenario::Scenario;
use crate::scenario::{DAY, TICK};
use crate::system::{LOGIN, Party, log_in};
use crate::world::{Access, Held};

/// A tab's only request.
#[derive(Clone)]
pub(crate) enum Tab {
    Idle,
    Asked { token: Held, shown: Option<Key>, sent_at: Timestamp },
    Answered { answer: Answer, sent_at: Timestamp },
}

impl Tab {
    pub(crate) fn sent_at(&self) -> Option<Timestamp> {
        match self {
            Self::Idle => None,
            Self::Asked { sent_at, .. } | Self::Answered { sent_at, .. } => Some(*sent_at),
        }
    }
}

/// A successful answer to a refresh.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) token: Held,
    pub(crate) sets_cookie: bool,
    /// Whether it offers to register a device.
    pub(crate) offers: bool,
    pub(crate) access: Access,
}

/// A registration under way.
#[derive(Clone)]
pub(crate) struct Registration {
    pub(crate) key: Key,
    pub(crate) presented: Held,
    /// The token whose response carried the challenge.
    pub(crate) offered: Held,
    pub(crate) sent_at: Timestamp,
    /// The answer, if it was decided.
    pub(crate) accepted: Option<bool>,
    /// Whether the browser still waits. It does not after it died.
    pub(crate) awaited: bool,
}

/// A late copy of a refresh.
#[derive(Clone)]
pub(crate) struct Copy {
    pub(crate) token: Held,
    pub(crate) shown: Option<Key>,
    pub(crate) until: Timestamp,
}

/// The browser.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) jar: Held,
    /// Earlier refresh cookies that may be those on disk, and when they were replaced.
    pub(crate) on_disk: Vec<(Held, Timestamp)>,
    /// The bound cookie, by the key that it was issued for.
    pub(crate) cookie: Option<Key>,
    /// The key of its device session, and when it was stored.
    pub(crate) key: Option<(Key, Timestamp)>,
    pub(crate) tabs: Vec<Tab>,
    pub(crate) registrations: Vec<Registration>,
    pub(crate) copy: Option<Copy>,
    /// The newest access token that has arrived. Of those of one generation, the first.
    pub(crate) heard: Option<Access>,
    /// Whether it has lost its key, so that its user has to log in again.
    pub(crate) lost: bool,
}

/// The thief.
#[derive(Clone, Default)]
pub(crate) struct Thief {
    /// Its tokens, and whether it has a challenge for them. Of equivalent ones, one is kept.
    pub(crate) tokens: Vec<(Held, bool)>,
    pub(crate) cookie: Option<Key>,
    pub(crate) key: Option<Key>,
    pub(crate) acted_at: Option<Timestamp>,
}

impl Thief {
    pub(crate) fn exists(&self) -> bool {
        !self.tokens.is_empty()
    }
}

/// A state.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) now: Timestamp,
    pub(crate) session: Session,
    pub(crate) device: Option<Device>,
    pub(crate) browser: Browser,
    pub(crate) thief: Thief,
    pub(crate) victim_acted_at: Option<Timestamp>,
    pub(crate) succeeded: Option<Party>,
    pub(crate) switches: u8,
    /// Whether the user has to log in again, which ends the run.
    pub(crate) over: bool,
    pub(crate) keys: Key,
    pub(crate) minted: u64,
    /// The result of the last refresh, for the description of the run.
    pub(crate) judged: Option<(Judged, Option<Held>)>,
}

impl State {
    /// Creates the state after the login's reply, which offers to register a device.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let (session, first) = log_in(&scenario.policy());
        let first = Held::new(first);
        let browser = Browser {
            jar: first.clone(),
            on_disk: Vec::new(),
            cookie: None,
            key: None,
            tabs: vec![Tab::Idle; scenario.tabs],
            registrations: Vec::new(),
            copy: None,
            heard: None,
            lost: false,
        };
        let mut state = Self {
            now: LOGIN,
            session,
            device: None,
            browser,
            thief: Thief::default(),
            victim_acted_at: None,
            succeeded: None,
            switches: 0,
            over: false,
            keys: 0,
            minted: 0,
            judged: None,
        };
        state.begin_registration(scenario, first);
        state
    }

    /// Lets the browser answer an offer with a registration, and the cookie that is in its jar then.
    pub(crate) fn begin_registration(&mut self, scenario: &Scenario, offered: Held) {
        if self.browser.registrations.len() < scenario.registrations {
            let (presented, sent_at) = (self.browser.jar.clone(), self.now);
            let key = self.new_key();
            let (accepted, awaited) = (None, true);
            let new = Registration { key, presented, offered, sent_at, accepted, awaited };
            self.browser.registrations.push(new);
        }
    }

    pub(crate) fn new_key(&mut self) -> Key {
        self.keys = self.keys.wrapping_add(1);
        self.keys
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = Timestamp> {
        let tabs = self.browser.tabs.iter().filter_map(Tab::sent_at);
        tabs.chain(self.browser.registrations.iter().map(|registration| registration.sent_at))
    }

    pub(crate) fn is_apart(&self, scenario: &Scenario, from: Option<Timestamp>) -> bool {
        from.is_none_or(|from| self.now.since(from) > TICK * u32::from(scenario.window))
    }

    pub(crate) fn pass(&mut self, a_day: bool) {
        self.now = self.now + if a_day { DAY } else { TICK };
    }
}
