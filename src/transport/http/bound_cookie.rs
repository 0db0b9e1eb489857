//! What a refresh and a logout need of device-bound sessions: the second cookie of a bound session, and
//! the headers around it.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::cookie::CookieSettings;
use crate::token::device_mac::Binding;
use crate::token::refresh::RefreshToken;

const SKIPPED: &str = "secure-session-skipped";
const OFFER: HeaderName = HeaderName::from_static("secure-session-registration");

/// Returns the value of the request's bound cookie, for the session of this refresh token. If there are
/// several, that of another session does not count. Empty: there is none.
pub(super) fn read(
    settings: Option<&CookieSettings>,
    headers: &HeaderMap,
    refresh_token: &str,
) -> String {
    let token = settings.and_then(|_| RefreshToken::parse(refresh_token));
    let (Some(settings), Some(token)) = (settings, token) else { return String::new() };
    let values = settings.read(headers).values;
    let is_of = |value: &String| Binding::unverified_session(value) == Some(token.session_id());
    values.into_iter().find(is_of).unwrap_or_default()
}

/// Returns the header that deletes the bound cookie, if the request has one.
pub(super) fn clear(settings: Option<&CookieSettings>, headers: &HeaderMap) -> Option<HeaderValue> {
    settings.filter(|settings| settings.read(headers).count > 0).and_then(CookieSettings::clear)
}

/// Returns whether the browser says that it could not renew its binding before this request.
pub(super) fn is_renewal_skipped(headers: &HeaderMap) -> bool {
    headers.contains_key(SKIPPED)
}

/// Adds the offer of a registration to the headers of an answer. Empty: there is none.
pub(super) fn offer(headers: &mut HeaderMap, offer: &str) {
    if let (false, Ok(value)) = (offer.is_empty(), HeaderValue::from_str(offer)) {
        headers.insert(OFFER, value);
    }
}
