//! The page of a user's sessions.

use std::cmp::Reverse;

use askama::Template;

use super::when::When;
use super::{Frame, device, texts};
use crate::authority::OwnSessions;
use crate::token::id::SessionId;
use crate::token::session::Session;
use crate::transport::callers::roles::{REVOKE_OTHERS, REVOKE_SESSION};

/// The page of a user's sessions.
#[derive(Debug, Template)]
#[template(path = "sessions.html")]
pub(in crate::transport::http) struct SessionsPage<'a> {
    frame: &'a Frame,
    cards: Vec<Card>,
    has_more: bool,
    current: String,
    others: Option<String>,
    revoke_others: &'static str,
}

/// One session on the page.
#[derive(Debug)]
struct Card {
    device: String,
    name: String,
    address: String,
    is_current: bool,
    is_bound: bool,
    started: When,
    last_used: When,
    expires: When,
    question: String,
    confirmation: String,
    revoke: String,
}

impl<'a> SessionsPage<'a> {
    /// Makes the page. The current session comes first, then the one that was used last. `current` is
    /// `None` if the user looks with a session of the auth-server.
    pub(in crate::transport::http) fn new(
        frame: &'a Frame,
        own: &OwnSessions,
        current: Option<SessionId>,
    ) -> Self {
        let is_current = |session: &Session| current == Some(session.id);
        let mut sessions: Vec<_> = own.sessions.iter().collect();
        sessions.sort_by_key(|session| (!is_current(session), Reverse(session.last_used_at)));
        let others = sessions.iter().filter(|session| !is_current(session)).count();
        let cards = sessions.iter().map(|session| Card::new(session, is_current(session), own));
        Self {
            frame,
            cards: cards.collect(),
            has_more: own.has_more,
            current: current.map(|id| id.to_string()).unwrap_or_default(),
            others: (others > 0).then(|| texts::others_question(others)),
            revoke_others: REVOKE_OTHERS.path(),
        }
    }
}

impl Card {
    fn new(session: &Session, is_current: bool, own: &OwnSessions) -> Self {
        let client = &session.client;
        let device = device::in_words(client.user_agent());
        let device = device.unwrap_or_else(|| texts::UNKNOWN_DEVICE.to_owned());
        let address = Some(client.ip_address()).filter(|address| !address.is_empty());
        let label = match client.device_name() {
            "" => device.clone(),
            name => format!("{device} ({name})"),
        };
        let question = if is_current {
            texts::SIGN_OUT_HERE.to_owned()
        } else {
            texts::sign_out_question(&label)
        };
        Self {
            device,
            name: client.device_name().to_owned(),
            address: address.unwrap_or(texts::UNKNOWN_ADDRESS).to_owned(),
            is_current,
            is_bound: false,
            started: When::new(session.created_at, own.now),
            last_used: When::new(session.last_used_at, own.now),
            expires: When::new(session.expires_at, own.now),
            question,
            confirmation: texts::sign_out_yes(&label),
            revoke: REVOKE_SESSION.path().replace("{id}", &session.id.to_string()),
        }
    }
}
