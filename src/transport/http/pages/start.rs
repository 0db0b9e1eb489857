//! The start page and the page of a session's life, with both tokens taken apart.

use std::time::Duration;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{Frame, texts};
use crate::authority::{Examined, RefreshRefusal};
use crate::token::refresh::RefreshToken;
use crate::transport::proto::v1::ValidateTokenResponse;

/// The start page.
#[derive(Debug, Template)]
#[template(path = "start.html")]
pub(in crate::transport::http) struct IntroPage<'a> {
    pub(in crate::transport::http) frame: &'a Frame,
    pub(in crate::transport::http) life: &'static str,
}

/// The page of a session's life.
#[derive(Debug, Template)]
#[template(path = "life.html")]
pub(in crate::transport::http) struct LifePage<'a> {
    pub(in crate::transport::http) frame: &'a Frame,
    pub(in crate::transport::http) life: &'static str,
    pub(in crate::transport::http) sessions: &'static str,
    pub(in crate::transport::http) said: Option<String>,
    pub(in crate::transport::http) access: Option<AccessToken>,
    pub(in crate::transport::http) refresh: Option<RefreshParts>,
    /// What the thief can do with the copied token. `None`: no token was copied.
    pub(in crate::transport::http) copied: Option<String>,
}

/// An access token taken apart.
#[derive(Debug)]
pub(in crate::transport::http) struct AccessToken {
    text: String,
    /// The header and the claims. `None`: it is a session token, which only this service can read.
    parts: Option<(String, String)>,
    verdict: String,
}

/// A refresh token taken apart. Its secret parts are cut, so the page shows no token that can be used.
#[derive(Debug)]
pub(in crate::transport::http) struct RefreshParts {
    session_id: String,
    generation: u32,
    random: String,
    mac: String,
    stored: String,
    is_live: bool,
}

/// Takes an access token apart. `seen` is what `ValidateToken` says of it.
pub(in crate::transport::http) fn access_token(
    text: String,
    seen: &ValidateTokenResponse,
) -> AccessToken {
    let mut parts = text.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        serde_json::to_string_pretty(&value).ok()
    });
    let parts = parts.next().flatten().zip(parts.next().flatten());
    let verdict = if seen.active {
        texts::ACTIVE.to_owned()
    } else {
        texts::inactive(seen.inactive_reason().as_str_name())
    };
    AccessToken { text, parts, verdict }
}

/// How many bytes of a secret part are shown.
const SHOWN: usize = 4;

/// Says what a thief can do with a copied token.
pub(in crate::transport::http) fn use_of_copy(token: &RefreshToken, window: Duration) -> String {
    texts::steal_why(token.generation().number(), window.as_secs())
}

/// Takes a refresh token apart.
pub(in crate::transport::http) fn refresh_token(
    token: &RefreshToken,
    seen: &Examined,
) -> RefreshParts {
    let text = token.expose();
    let body = text.strip_prefix(crate::token::refresh::PREFIX).unwrap_or_default();
    let body = URL_SAFE_NO_PAD.decode(body).unwrap_or_default();
    let part = |range: std::ops::Range<usize>| {
        let shown = body.get(range).and_then(|bytes| bytes.get(..SHOWN));
        texts::cut(&shown.map(hex::encode).unwrap_or_default())
    };
    RefreshParts {
        session_id: token.session_id().to_string(),
        generation: token.generation().number(),
        random: part(20..52),
        mac: part(52..84),
        stored: token.hash().to_hex(),
        is_live: seen.is_granted(),
    }
}

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport::http) enum Said {
    /// A user has logged in.
    LoggedIn,
    /// The name cannot be a user's.
    NoUser,
    /// The browser has a new refresh token.
    Refreshed,
    /// The browser keeps its refresh token.
    Unchanged,
    /// The browser has no live session.
    Over,
    /// The browser's token was the older one of two: a theft.
    Reused,
    /// The cookie was copied.
    Copied,
    /// The thief received tokens.
    ThiefServed,
    /// The thief was found.
    ThiefFound,
    /// The session was over when the thief came.
    ThiefLate,
}

impl Said {
    const ALL: [Self; 10] = [
        Self::LoggedIn,
        Self::NoUser,
        Self::Refreshed,
        Self::Unchanged,
        Self::Over,
        Self::Reused,
        Self::Copied,
        Self::ThiefServed,
        Self::ThiefFound,
        Self::ThiefLate,
    ];

    /// Returns its name in the page's address.
    pub(in crate::transport::http) const fn code(self) -> &'static str {
        match self {
            Self::LoggedIn => "logged-in",
            Self::NoUser => "no-user",
            Self::Refreshed => "refreshed",
            Self::Unchanged => "unchanged",
            Self::Over => "over",
            Self::Reused => "reused",
            Self::Copied => "copied",
            Self::ThiefServed => "thief-served",
            Self::ThiefFound => "thief-found",
            Self::ThiefLate => "thief-late",
        }
    }

    /// Reads a name.
    pub(in crate::transport::http) fn read(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|said| said.code() == code)
    }

    /// Returns the outcome of a refresh that was refused for this reason.
    pub(in crate::transport::http) fn of_refusal(reason: &str) -> Self {
        if reason == RefreshRefusal::Reused.as_str() { Self::Reused } else { Self::Over }
    }

    /// Returns the outcome of a thief's refresh that was refused.
    pub(in crate::transport::http) const fn of_theft(refusal: RefreshRefusal) -> Self {
        match refusal {
            RefreshRefusal::Reused => Self::ThiefFound,
            RefreshRefusal::Invalid
            | RefreshRefusal::Expired
            | RefreshRefusal::Revoked
            | RefreshRefusal::Unbound => Self::ThiefLate,
        }
    }

    /// Returns what happened, in words. `has_cookie`: the browser has a refresh token.
    pub(in crate::transport::http) fn text(self, window: Duration, has_cookie: bool) -> String {
        let window = window.as_secs();
        match self {
            Self::LoggedIn if !has_cookie => texts::NO_SECURE_COOKIE.to_owned(),
            Self::LoggedIn => texts::LOGGED_IN.to_owned(),
            Self::NoUser => texts::NO_USER.to_owned(),
            Self::Refreshed => texts::REFRESHED.to_owned(),
            Self::Unchanged => texts::unchanged(window),
            Self::Over => texts::OVER.to_owned(),
            Self::Reused => texts::REUSED.to_owned(),
            Self::Copied => texts::copied(window),
            Self::ThiefServed => texts::thief_served(window),
            Self::ThiefFound => texts::THIEF_FOUND.to_owned(),
            Self::ThiefLate => texts::THIEF_LATE.to_owned(),
        }
    }
}
