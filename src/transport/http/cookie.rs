//! The refresh token's cookie (RFC 6265).

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

use crate::token::refresh::RefreshToken;

/// The path of every route that needs the cookie, and of no other.
const PATH: &str = "/api/auth";

/// How the cookie is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieSettings {
    /// Its name.
    pub name: String,
    /// Whether it is for HTTPS alone. Off only in development.
    pub secure: bool,
}

impl CookieSettings {
    /// Reads the cookie. Of several by that name the first counts, whose path is the most
    /// specific (RFC 6265 section 5.4); but one that is no refresh token, as somebody else's
    /// that a browser still holds under the same name, only where there is no other.
    pub(super) fn read(&self, headers: &HeaderMap) -> Option<String> {
        let is_token = |value: &String| RefreshToken::parse(value).is_some();
        self.read_all(headers).find(is_token).or_else(|| self.read_all(headers).next())
    }

    /// Reads each cookie of that name.
    pub(super) fn read_all(&self, headers: &HeaderMap) -> impl Iterator<Item = String> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, value)| *name == self.name && !value.is_empty())
            .map(|(_, value)| value.trim_matches('"').to_owned())
    }

    /// The header that sets it.
    pub(super) fn set(&self, token: &str, lifetime: Duration) -> Option<HeaderValue> {
        self.header(token, lifetime.as_secs())
    }

    /// The header that deletes it.
    pub(super) fn clear(&self) -> Option<HeaderValue> {
        self.header("", 0)
    }

    fn header(&self, value: &str, max_age: u64) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let name = &self.name;
        let text = format!(
            "{name}={value}; HttpOnly{secure}; SameSite=Lax; Path={PATH}; Max-Age={max_age}"
        );
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> CookieSettings {
        CookieSettings { name: "refreshToken".into(), secure: true }
    }

    fn read(cookies: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, HeaderValue::from_bytes(cookie.as_bytes()).unwrap());
        }
        settings().read(&headers)
    }

    #[test]
    fn finds_its_own_among_others() {
        assert_eq!(read(&["a=1; refreshToken=t; b=2"]).as_deref(), Some("t"));
        assert_eq!(read(&["a=1", "refreshToken=\"t\""]).as_deref(), Some("t"));
        assert_eq!(read(&["refreshToken=first; refreshToken=second"]).as_deref(), Some("first"));
        // One of the two that have the form of tokens, whatever comes before.
        let token = |letter: &str| format!("tar_{}", letter.repeat(112));
        let cookies =
            format!("refreshToken=t; refreshToken={}; refreshToken={}", token("A"), token("B"));
        assert_eq!(read(&[&cookies]), Some(token("A")));
        for none in
            ["", "refreshToken", "refreshToken=", "refreshtoken=t", "xrefreshToken=t", ";;="]
        {
            assert_eq!(read(&[none]), None, "{none}");
        }
    }

    #[test]
    fn its_attributes_are_the_contract_s() {
        let set = settings().set("t", Duration::from_hours(168)).unwrap();
        assert_eq!(
            set.to_str().unwrap(),
            "refreshToken=t; HttpOnly; Secure; SameSite=Lax; Path=/api/auth; Max-Age=604800"
        );
        assert!(set.is_sensitive());
        let plain = CookieSettings { secure: false, ..settings() };
        assert_eq!(
            plain.clear().unwrap().to_str().unwrap(),
            "refreshToken=; HttpOnly; SameSite=Lax; Path=/api/auth; Max-Age=0"
        );
    }
}
