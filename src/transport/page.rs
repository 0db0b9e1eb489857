//! Whether a page in a browser makes a request (Fetch Metadata).

use http::{HeaderMap, header};

/// The header in which a browser says how the page's site relates to the service's.
pub(super) const SITE: &str = "sec-fetch-site";

/// Returns whether a page makes the request. Every browser then sends one of the two headers, and no
/// script can remove them.
pub(super) fn is_asking(headers: &HeaderMap) -> bool {
    let site = headers.get(SITE).map(|site| site.as_bytes().to_ascii_lowercase());
    headers.contains_key(header::ORIGIN) || site.is_some_and(|site| site != b"none")
}
