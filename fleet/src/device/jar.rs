//! A cookie jar: in memory, and on disk some time later.

use token_authority::clock::Timestamp;

/// A refresh token as a cookie.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cookie<T> {
    pub(crate) token: T,
    /// The login that it belongs to.
    pub(crate) login: u32,
    pub(crate) expires_at: Timestamp,
}

/// The jar of a browser, or the key store of a phone.
#[derive(Debug)]
pub(crate) struct Jar<T> {
    memory: Option<Cookie<T>>,
    disk: Option<Cookie<T>>,
    /// Changes that are not on disk yet.
    unwritten: u32,
}

impl<T: Clone + PartialEq> Jar<T> {
    pub(crate) fn new() -> Self {
        Self { memory: None, disk: None, unwritten: 0 }
    }

    /// Returns the cookie, unless it has expired.
    pub(crate) fn cookie(&self, at: Timestamp) -> Option<&Cookie<T>> {
        self.memory.as_ref().filter(|cookie| at < cookie.expires_at)
    }

    /// Returns whether there is a cookie that has expired.
    pub(crate) fn has_expired(&self, at: Timestamp) -> bool {
        self.memory.as_ref().is_some_and(|cookie| at >= cookie.expires_at)
    }

    /// Stores a cookie. Returns `true` if this is the first change since the jar was written.
    pub(crate) fn set(&mut self, cookie: Option<Cookie<T>>) -> bool {
        let token = |cookie: &Option<Cookie<T>>| cookie.as_ref().map(|one| one.token.clone());
        let is_same = token(&self.memory) == token(&cookie);
        self.memory = cookie;
        if is_same {
            return false;
        }
        self.unwritten += 1;
        self.unwritten == 1
    }

    /// Writes the jar to disk.
    pub(crate) fn write(&mut self) {
        self.disk = self.memory.clone();
        self.unwritten = 0;
    }

    /// Loses what is not on disk. Returns how many changes those were.
    pub(crate) fn die(&mut self) -> u32 {
        self.memory = self.disk.clone();
        std::mem::take(&mut self.unwritten)
    }
}
