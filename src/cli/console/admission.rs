//! Who may use the console: the browser that opened the link first.
//!
//! Every program on this machine can reach the console's port, those of other users included. Only the
//! link and the cookie tell the operator's browser from them.
//!
//! A browser sends a cookie to all ports of a host, but only below the cookie's path. The console is
//! therefore below a path that nobody can guess: no other local server gets the cookie.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::clock::{Entropy, draw};
use crate::transport::http::{CookieSettings, SameSite};

/// The name of the link's page.
pub(super) const OPEN: &str = "open";
/// The name of the cookie.
const COOKIE: &str = "tokenAuthorityConsole";

/// A random text of 256 bits.
type Secret = Zeroizing<String>;

/// Admits one browser.
pub(super) struct Admission {
    /// The folder of all pages, with a slash at both ends.
    folder: String,
    /// The link's token. `None`: it was used.
    token: Mutex<Option<Secret>>,
    session: Secret,
    cookie: CookieSettings,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}

impl Admission {
    /// Draws the secrets. Returns the link's token, too.
    pub(super) fn new(entropy: &dyn Entropy) -> (Self, Secret) {
        let secret =
            || Zeroizing::new(URL_SAFE_NO_PAD.encode(*Zeroizing::new(draw::<32>(entropy))));
        let token = secret();
        let cookie = CookieSettings {
            name: COOKIE.to_owned(),
            secure: false,
            domain: None,
            same_site: SameSite::Strict,
            partitioned: false,
        };
        let admission = Self {
            folder: format!("/{}/", URL_SAFE_NO_PAD.encode(draw::<12>(entropy))),
            token: Mutex::new(Some(token.clone())),
            session: secret(),
            cookie,
        };
        (admission, token)
    }

    /// Returns the folder of all pages, with a slash at both ends.
    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// Returns the link, without the host.
    pub(super) fn link(&self, token: &Secret) -> String {
        format!("{}{OPEN}?token={}", self.folder, **token)
    }

    /// Exchanges the link's token for the header that sets the cookie. `None`: the token is wrong, or it
    /// was used before.
    pub(super) fn exchange(&self, presented: &str) -> Option<HeaderValue> {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if !token.as_ref().is_some_and(|token| is_same(token, presented)) {
            return None;
        }
        *token = None;
        let Self { folder, session, .. } = self;
        let cookie = format!("{COOKIE}={}; Path={folder}; HttpOnly; SameSite=Strict", **session);
        let mut cookie = HeaderValue::from_str(&cookie).ok()?;
        cookie.set_sensitive(true);
        Some(cookie)
    }

    /// Returns whether the request has the cookie.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        self.cookie.read(headers).values.iter().any(|value| is_same(&self.session, value))
    }
}

/// Compares in constant time.
fn is_same(secret: &Secret, presented: &str) -> bool {
    secret.as_bytes().ct_eq(presented.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;
    use crate::clock::OsEntropy;

    #[test]
    fn a_link_opens_the_console_once() {
        let (admission, token) = Admission::new(&OsEntropy);
        assert_eq!(token.len(), 43, "256 bits");
        assert_eq!(admission.exchange(""), None);
        assert_eq!(admission.exchange(&token[1..]), None);
        assert!(admission.exchange(&token).is_some(), "a wrong token uses up nothing");
        assert_eq!(admission.exchange(&token), None);
        assert!(!format!("{admission:?}").contains(admission.session.as_str()));
    }

    #[test]
    fn only_the_cookie_admits() {
        let (admission, token) = Admission::new(&OsEntropy);
        let with = |cookie: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            admission.admits(&headers)
        };
        let set = admission.exchange(&token).unwrap();
        let set = set.to_str().unwrap();
        for part in ["HttpOnly", "SameSite=Strict", &format!("Path={}", admission.folder())] {
            assert!(set.contains(part), "{part}: {set}");
        }
        assert!(with(set.split(';').next().unwrap()));
        assert!(!with(&format!("{COOKIE}={}", *token)), "the link's token is no cookie");
        assert!(!with(&format!("{COOKIE}=x")) && !with(&format!("{COOKIE}=")));
        assert!(!admission.admits(&HeaderMap::new()));
    }
}
