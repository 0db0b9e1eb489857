//! One browser as the network treats it: tabs that share a cookie jar, and their requests and
//! replies on the way. It does no I/O and judges nothing, so it serves the model check and can
//! as well drive a real server: what [`Client::asked`] gives is to be presented, and what came of
//! it goes back into [`Client::answer`].

use std::sync::Arc;

use token_authority::clock::Timestamp;
use token_authority::token::id::Generation;
use token_authority::token::refresh::{RefreshToken, TokenHash};

/// A refresh token in someone's hands, and its hash, which is compared far too often to be
/// computed each time.
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

/// A good answer to a refresh.
#[derive(Clone)]
pub(crate) struct Reply {
    /// What its `Set-Cookie` puts into the jar; `None`: it has none.
    pub(crate) cookie: Option<Held>,
    /// The generation that its access token names.
    pub(crate) generation: Generation,
}

/// What a tab's one request is at.
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
    pub(crate) tabs: Vec<Tab>,
    /// The generation that the newest access token names, of those that arrived.
    pub(crate) heard: Generation,
}

impl Client {
    /// A browser that has just logged in.
    pub(crate) fn new(first: Held, tabs: usize) -> Self {
        let heard = first.token().generation();
        Self { jar: first, tabs: vec![Tab::Idle; tabs], heard }
    }

    /// A tab sends what is in the jar.
    pub(crate) fn send(&mut self, tab: usize, now: Timestamp) {
        self.tabs[tab] = Tab::Asked { token: self.jar.clone(), sent_at: now };
    }

    /// What a tab's request, on the way to the server, presents.
    pub(crate) fn asked(&self, tab: usize) -> Option<(Held, Timestamp)> {
        match &self.tabs[tab] {
            Tab::Asked { token, sent_at } => Some((token.clone(), *sent_at)),
            Tab::Idle | Tab::Answered { .. } => None,
        }
    }

    /// The server answers a tab's request.
    pub(crate) fn answer(&mut self, tab: usize, reply: Reply) {
        if let Some(sent_at) = self.tabs[tab].sent_at() {
            self.tabs[tab] = Tab::Answered { reply, sent_at };
        }
    }

    /// A tab's reply arrives, whichever were sent before it.
    pub(crate) fn land(&mut self, tab: usize) {
        let landed = std::mem::replace(&mut self.tabs[tab], Tab::Idle);
        if let Tab::Answered { reply, .. } = landed {
            self.heard = self.heard.max(reply.generation);
            if let Some(cookie) = reply.cookie {
                self.jar = cookie;
            }
        }
    }

    /// A tab's request or reply is lost, or the tab stops to wait for it.
    pub(crate) fn lose(&mut self, tab: usize) {
        self.tabs[tab] = Tab::Idle;
    }
}
