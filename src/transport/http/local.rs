//! Decides which requests the start page and the operator's console answer: those of a browser on the
//! same machine.
//!
//! 1. The connection comes from a loopback address, and no proxy has passed the request on. A proxy on
//!    this machine may serve strangers.
//! 2. The request names this machine in `Host`. Otherwise, a page of a foreign name that leads to this
//!    machine (DNS rebinding) could read the answer as one of its own origin.
//! 3. No page of another origin makes the request. Even an allowed origin must not read the tokens.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::uri::Authority as HostAndPort;
use http::{HeaderMap, StatusCode, header};

use super::allowed_origins::AllowedOrigins;
use super::origin;
use crate::transport::page::SITE;
use crate::transport::serve::peer::Peer;

/// The headers by which a proxy says that it has passed a request on.
const BY_A_PROXY: [&str; 5] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// A request of a browser on this machine, with its headers.
#[derive(Debug)]
pub(crate) struct LocalRequest(pub(super) HeaderMap);

/// Why the start page does not answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotLocal {
    /// The request comes from elsewhere, or names another host.
    Elsewhere,
    /// A page of another origin makes the request.
    Foreign,
    /// The browser follows a link on a page of another origin. That page cannot read the answer.
    FollowedLink,
}

impl IntoResponse for NotLocal {
    fn into_response(self) -> Response {
        match self {
            Self::Elsewhere => StatusCode::NOT_FOUND.into_response(),
            Self::Foreign | Self::FollowedLink => {
                let text = "another page sent this request: open the start page, and try again\n";
                (StatusCode::FORBIDDEN, text).into_response()
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for LocalRequest {
    type Rejection = NotLocal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotLocal> {
        if !comes_from_here(parts) || !names_this_machine(parts) {
            return Err(NotLocal::Elsewhere);
        }
        if is_of_own_page(&parts.headers) {
            return Ok(Self(parts.headers.clone()));
        }
        let is = |name: &str, value: &str| parts.headers.get(name).is_some_and(|is| is == value);
        let by_link = is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document");
        let sent = parts.headers.contains_key(header::ORIGIN);
        Err(if by_link && !sent { NotLocal::FollowedLink } else { NotLocal::Foreign })
    }
}

/// Returns whether the client is on this machine and calls the service directly.
fn comes_from_here(parts: &Parts) -> bool {
    let peer = parts.extensions.get::<Peer>();
    peer.is_some_and(|peer| peer.address().to_canonical().is_loopback())
        && !BY_A_PROXY.iter().any(|name| parts.headers.contains_key(*name))
}

/// Returns whether every name by which the request calls the service is one of this machine.
fn names_this_machine(parts: &Parts) -> bool {
    let of_headers = parts.headers.get_all(header::HOST).iter();
    let of_headers = of_headers.map(|host| HostAndPort::try_from(host.as_bytes()).ok());
    let mut names = of_headers.chain(parts.uri.authority().cloned().map(Some)).peekable();
    names.peek().is_some() && names.all(|name| name.is_some_and(|name| is_loopback(name.host())))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Returns whether a page of this service makes the request, or the user, or a tool such as curl.
fn is_of_own_page(headers: &HeaderMap) -> bool {
    let is_own_site = |site: &http::HeaderValue| site == "same-origin" || site == "none";
    headers.get(SITE).is_none_or(is_own_site)
        && origin::check(&AllowedOrigins::default(), headers).is_ok()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    async fn judge(peer: Option<&str>, uri: &str, headers: &[(&str, &str)]) -> Option<NotLocal> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.extend(
            peer.map(|address| {
                let mut extensions = http::Extensions::new();
                extensions
                    .insert(Peer::new((address.parse::<std::net::IpAddr>().unwrap(), 7).into()));
                extensions
            })
            .unwrap_or_default(),
        );
        LocalRequest::from_request_parts(&mut parts, &()).await.err()
    }

    const HOST: (&str, &str) = ("host", "localhost:8080");

    #[tokio::test]
    async fn only_a_peer_on_this_machine_is_answered() {
        for peer in ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(judge(Some(peer), "/", &[HOST]).await, None, "{peer}");
        }
        for peer in ["192.0.2.1", "10.0.0.1", "0.0.0.0", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert_eq!(judge(Some(peer), "/", &[HOST]).await, Some(NotLocal::Elsewhere), "{peer}");
        }
        assert_eq!(judge(None, "/", &[HOST]).await, Some(NotLocal::Elsewhere));
        for name in BY_A_PROXY {
            let headers = [HOST, (name, "127.0.0.1")];
            let answer = judge(Some("127.0.0.1"), "/", &headers).await;
            assert_eq!(answer, Some(NotLocal::Elsewhere), "{name}");
        }
    }

    #[tokio::test]
    async fn only_a_name_of_this_machine_is_answered() {
        let by_host = |host: &'static str| async move {
            judge(Some("127.0.0.1"), "/", &[("host", host)]).await
        };
        for host in ["localhost:8080", "LOCALHOST", "127.0.0.1", "[::1]:8080"] {
            assert_eq!(by_host(host).await, None, "{host}");
        }
        for host in ["rebound.example", "localhost.example", "192.0.2.1:80", "0.0.0.0", "", "a b"] {
            assert_eq!(by_host(host).await, Some(NotLocal::Elsewhere), "{host}");
        }
        // HTTP/2 names the host in the address.
        for (uri, headers, expected) in [
            ("http://localhost:8080/", &[][..], None),
            ("http://rebound.example/", &[], Some(NotLocal::Elsewhere)),
            ("http://rebound.example/", &[HOST], Some(NotLocal::Elsewhere)),
            ("/", &[HOST, ("host", "rebound.example")], Some(NotLocal::Elsewhere)),
            ("/", &[], Some(NotLocal::Elsewhere)),
        ] {
            assert_eq!(judge(Some("::1"), uri, headers).await, expected, "{uri} {headers:?}");
        }
    }

    #[tokio::test]
    async fn only_an_own_page_is_answered() {
        let own = ("origin", "http://localhost:8080");
        let site = |site: &'static str| ("sec-fetch-site", site);
        let link = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        for (headers, expected) in [
            (vec![], None),
            (vec![own], None),
            (vec![own, site("same-origin")], None),
            (vec![site("none"), link[0], link[1]], None),
            (vec![("origin", "https://evil.example")], Some(NotLocal::Foreign)),
            (vec![("origin", "http://localhost:3000")], Some(NotLocal::Foreign)),
            (vec![("origin", "null"), link[0], link[1]], Some(NotLocal::Foreign)),
            (vec![own, ("origin", "https://evil.example")], Some(NotLocal::Foreign)),
            (vec![own, site("same-site")], Some(NotLocal::Foreign)),
            (vec![site("same-site")], Some(NotLocal::Foreign)),
            (vec![site("cross-site")], Some(NotLocal::Foreign)),
            (vec![site("cross-site"), link[0]], Some(NotLocal::Foreign)),
            (vec![site("cross-site"), link[0], link[1]], Some(NotLocal::FollowedLink)),
        ] {
            let headers = [&[HOST], &headers[..]].concat();
            assert_eq!(judge(Some("::1"), "/", &headers).await, expected, "{headers:?}");
        }
    }
}
