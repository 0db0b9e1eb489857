//! Finds the client's address behind proxies.
//!
//! Anybody can send a forwarding header. The service believes it only if a trusted proxy sent it,
//! and only as far back as the chain of trusted proxies reaches.

use std::net::IpAddr;
use std::str::FromStr;

use http::{HeaderMap, HeaderValue, header};
use ipnet::IpNet;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies whose forwarding headers the service believes.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads addresses and networks, such as `10.0.0.7` and `10.0.0.0/8`.
    ///
    /// # Errors
    /// Returns the first text that is neither an address nor a network.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        let read = |text: &'a str| {
            let network = IpNet::from_str(text).ok();
            network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).ok_or(text)
        };
        texts.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether no proxy is trusted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the address is a trusted proxy's.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Returns the client's address. This is the peer's address; if the peer is a trusted proxy, it is
    /// the last address in `X-Forwarded-For` or `Forwarded` (RFC 7239) that is not a trusted proxy.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.has(peer) {
            return peer;
        }
        let x_forwarded = hops(headers, X_FORWARDED_FOR);
        let forwarded = hops(headers, header::FORWARDED.as_str());
        // A proxy writes one of the two headers and may pass on the other as the client forged it.
        // If both are present and differ, neither is believed.
        match (self.walk(peer, &x_forwarded), self.walk(peer, &forwarded)) {
            (client, _) if forwarded.is_empty() => client,
            (_, client) if x_forwarded.is_empty() => client,
            (one, other) if one == other => one,
            _ => peer,
        }
    }

    fn walk(&self, peer: IpAddr, hops: &[&str]) -> IpAddr {
        let mut client = peer;
        for hop in hops.iter().rev() {
            // The last readable hop wrote this unreadable one, so the last readable hop counts.
            let Some(address) = address(hop) else { return client };
            client = address;
            if !self.has(client) {
                break;
            }
        }
        client
    }
}

/// Returns the hops of all lines of a header. A hop that is no text is unreadable, but it does not hide the
/// hops that proxies have added to its line.
fn hops<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let hops = lines.flat_map(|line| line.split(|byte| *byte == b','));
    hops.map(|hop| std::str::from_utf8(hop).unwrap_or_default().trim()).collect()
}

/// Reads an address with or without a port, alone or as the `for` of a `Forwarded` element.
fn address(hop: &str) -> Option<IpAddr> {
    let node = if hop.contains('=') {
        let is_for =
            |pair: &&str| pair.get(..4).is_some_and(|key| key.eq_ignore_ascii_case("for="));
        hop.split(';').map(str::trim).find(is_for)?.get(4..)?.trim_matches('"')
    } else {
        hop
    };
    let bare = node.parse::<IpAddr>().ok();
    let with_port = || node.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip());
    let bracketed = || node.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare.or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, pairs: &[(&'static str, &str)]) -> String {
        let trusted = TrustedProxies::parse(["10.0.0.0/8", "::1"]).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let xff = "x-forwarded-for";
        assert_eq!(client("192.0.2.1", &[(xff, "198.51.100.1")]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &[(xff, "198.51.100.1")]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &[(xff, "198.51.100.1")]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(
            client("10.0.0.1", &[("forwarded", "for=198.51.100.1;proto=https")]),
            "198.51.100.1"
        );
        let v6 = ("forwarded", "proto=http; For=\"[2001:db8::7]:4711\"");
        assert_eq!(client("::1", &[v6]), "2001:db8::7");
    }

    #[test]
    fn hops_before_the_first_untrusted_one_are_ignored() {
        let xff = "x-forwarded-for";
        assert_eq!(client("10.0.0.1", &[(xff, "6.6.6.6, 198.51.100.1, 10.0.0.2")]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[(xff, "6.6.6.6"), (xff, "198.51.100.1")]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[(xff, "6.6.6.6, unknown")]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[(xff, "6.6.6.6, unknown, 10.0.0.2")]), "10.0.0.2");
        let forged = ("forwarded", "for=6.6.6.6");
        assert_eq!(client("10.0.0.1", &[(xff, "198.51.100.1"), forged]), "10.0.0.1");
    }

    #[test]
    fn bytes_that_are_no_text_hide_no_hop() {
        let trusted = TrustedProxies::parse(["10.0.0.0/8"]).unwrap();
        for (name, line) in [
            ("x-forwarded-for", &b"\xff, 198.51.100.1"[..]),
            ("x-forwarded-for", b"6.6.6.6, \xc3\x85, 198.51.100.1, 10.0.0.2"),
            ("forwarded", b"for=\xff, for=198.51.100.1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
            let client = trusted.client([10, 0, 0, 1].into(), &headers);
            assert_eq!(client.to_string(), "198.51.100.1");
        }
    }

    #[test]
    fn networks_and_addresses_are_read() {
        assert!(TrustedProxies::parse(["10.0.0.0/8", "10.1.2.3", "fd00::/8"]).is_ok());
        assert_eq!(TrustedProxies::parse(["10.0.0.0/8", "proxy"]).err(), Some("proxy"));
    }
}
