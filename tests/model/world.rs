//! One browser in a network: tabs that share a cookie jar, and their requests and replies under
//! way. It does no I/O and judges nothing, so it serves the model check and could drive a real
//! server as well: [`Client::asked`] returns the token to present, and [`Client::answer`] takes the
//! reply.

use std::sync::Arc;
use std::time::Duration;

use token_authority::clock::Timestamp;
use token_authority::token::id::Generation;
use token_authority::token::refresh::{RefreshToken, TokenHash};

/// A refresh token that a party holds, and its hash. The hash is compared too often to be computed
/// each time.
#[derive(Clone)]
pub(crate) struct Held(Arc<(RefreshToken, TokenHash)>);

impl Held {
    pub(crate) fn new(token: RefreshToken) -> Self {
        let hash = token.hash();
        Self(Arc::new((token, hash)))
    }

    pub(crate) fn token(&self) -> &RefreshToken {
        &self.0.0
    }

    pub(crate) fn hash(&self) -> TokenHash {
        self.0.1
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "R{}", self.token().generation().number())
    }
}

/// A successful answer to a refresh.
#[derive(Clone)]
pub(crate) struct Reply {
    /// The token that its `Set-Cookie` puts into the jar. `None`: it sets no cookie.
    pub(crate) cookie: Option<Held>,
    /// Its access token.
    pub(crate) access: Access,
}

/// What an access token says about the refresh token from the same response.
#[derive(Clone, Copy)]
pub(crate) struct Access {
    pub(crate) generation: Generation,
    pub(crate) issued_at: Timestamp,
}

/// A request under way whose answer nobody awaits.
#[derive(Clone)]
pub(crate) struct Stray {
    pub(crate) token: Held,
    /// The latest time of its arrival.
    pub(crate) until: Timestamp,
}

/// The state of a tab's only request.
#[derive(Clone)]
pub(crate) enum Tab {
    Idle,
    /// Its request is on the way to the server.
    Asked {
        token: Held,
        sent_at: Timestamp,
    },
    /// The reply is on the way back.
    Answered {
        reply: Reply,
        sent_at: Timestamp,
    },
}

impl Tab {
    pub(crate) fn sent_at(&self) -> Option<Timestamp> {
        match self {
            Self::Idle => None,
            Self::Asked { sent_at, .. } | Self::Answered { sent_at, .. } => Some(*sent_at),
        }
    }
}

/// A browser.
#[derive(Clone)]
pub(crate) struct Client {
    /// The refresh cookie.
    pub(crate) jar: Held,
    /// Earlier refresh cookies that may be those on disk, and when they were replaced.
    pub(crate) on_disk: Vec<(Held, Timestamp)>,
    pub(crate) tabs: Vec<Tab>,
    pub(crate) strays: Vec<Stray>,
    /// The newest access token that has arrived. Of those of one generation, the first.
    pub(crate) heard: Option<Access>,
}

impl Client {
    /// Creates a browser that has just logged in.
    pub(crate) fn new(first: Held, tabs: usize) -> Self {
        let tabs = vec![Tab::Idle; tabs];
        Self { jar: first, on_disk: Vec::new(), tabs, strays: Vec::new(), heard: None }
    }

    /// Lets a tab send the token in the jar.
    pub(crate) fn send(&mut self, tab: usize, now: Timestamp) {
        self.tabs[tab] = Tab::Asked { token: self.jar.clone(), sent_at: now };
    }

    /// Returns the token that a tab's request presents, if the request is under way.
    pub(crate) fn asked(&self, tab: usize) -> Option<(Held, Timestamp)> {
        match &self.tabs[tab] {
            Tab::Asked { token, sent_at } => Some((token.clone(), *sent_at)),
            Tab::Idle | Tab::Answered { .. } => None,
        }
    }

    /// Lets the server answer a tab's request.
    pub(crate) fn answer(&mut self, tab: usize, reply: Reply) {
        if let Some(sent_at) = self.tabs[tab].sent_at() {
            self.tabs[tab] = Tab::Answered { reply, sent_at };
        }
    }

    /// Lets a tab's reply arrive, in any order.
    pub(crate) fn land(&mut self, tab: usize, now: Timestamp) {
        let landed = std::mem::replace(&mut self.tabs[tab], Tab::Idle);
        if let Tab::Answered { reply, .. } = landed {
            self.hear(reply.access);
            if let Some(cookie) = reply.cookie {
                let before = std::mem::replace(&mut self.jar, cookie);
                if before.hash() != self.jar.hash() {
                    self.on_disk.push((before, now));
                }
            }
        }
    }

    fn hear(&mut self, access: Access) {
        let Some(heard) = &mut self.heard else {
            self.heard = Some(access);
            return;
        };
        if access.generation == heard.generation {
            heard.issued_at = heard.issued_at.min(access.issued_at);
        } else if access.generation > heard.generation {
            *heard = access;
        }
    }

    /// Lets a tab give up. Its request remains under way.
    pub(crate) fn abandon(&mut self, tab: usize, until: Timestamp) {
        if let Some((token, _)) = self.asked(tab) {
            self.strays.push(Stray { token, until });
        }
        self.lose(tab);
    }

    /// Lets the browser die and start again with an earlier state of its jar. Its requests remain under
    /// way for at most `round_trip` after they were sent.
    pub(crate) fn die(&mut self, state: usize, round_trip: Duration) {
        for tab in 0..self.tabs.len() {
            if let Some(sent_at) = self.tabs[tab].sent_at() {
                self.abandon(tab, sent_at + round_trip);
            }
        }
        self.jar = self.on_disk[state].0.clone();
        self.on_disk.clear();
        self.heard = None;
    }

    /// Loses a tab's request or reply. The tab stops waiting for it.
    pub(crate) fn lose(&mut self, tab: usize) {
        self.tabs[tab] = Tab::Idle;
    }
}
