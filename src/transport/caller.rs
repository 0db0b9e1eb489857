//! Who calls, for those who have to write it down.

use http::Extensions;

/// A caller's name, as whoever authenticated it put it among the request's extensions.
#[derive(Debug, Clone)]
pub struct CallerName(pub String);

/// What is written down where nobody authenticates callers.
pub const ANONYMOUS: &str = "anonymous";

/// The caller's name.
#[must_use]
pub fn name(extensions: &Extensions) -> &str {
    extensions.get::<CallerName>().map_or(ANONYMOUS, |caller| &caller.0)
}
