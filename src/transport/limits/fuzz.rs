//! Fuzz target of the headers that proxies add.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderValue, header};

use super::client_address::TrustedProxies;

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The client's own address, which the proxy adds.
const CLIENT: &str = "198.51.100.7";

/// A client cannot choose its address: not without a proxy, and not by what it sends through one.
pub(crate) fn forwarded(data: &[u8]) {
    let Ok(trusted) = TrustedProxies::parse(["10.0.0.0/8"]) else { return };
    let (kind, rest) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let lines = rest.split(|byte| *byte == b'\n').take(8);
    let values = lines.filter_map(|line| HeaderValue::from_bytes(line).ok());
    let (own, other) = if kind % 2 == 0 {
        ("x-forwarded-for", header::FORWARDED.as_str())
    } else {
        (header::FORWARDED.as_str(), "x-forwarded-for")
    };
    let name = |name: &str| header::HeaderName::from_bytes(name.as_bytes()).ok();
    let (Some(own), Some(other)) = (name(own), name(other)) else { return };
    let sent: HeaderMap = values.map(|value| (own.clone(), value)).collect();
    assert_eq!(trusted.client(STRANGER, &sent), STRANGER);

    let added = if kind % 2 == 0 { CLIENT.to_owned() } else { format!("for={CLIENT}") };
    let Ok(client) = CLIENT.parse::<IpAddr>() else { return };
    let Ok(added) = HeaderValue::try_from(added) else { return };
    // Some proxies add a line, others extend the last one.
    let mut two_lines = sent.clone();
    two_lines.append(own.clone(), added.clone());
    assert_eq!(trusted.client(PROXY, &two_lines), client, "{two_lines:?}");
    let mut values: Vec<_> = sent.get_all(&own).iter().cloned().collect();
    if let Some(last) = values.pop() {
        let extended = [last.as_bytes(), b", ", added.as_bytes()].concat();
        values.extend(HeaderValue::from_bytes(&extended));
        let extended: HeaderMap = values.into_iter().map(|value| (own.clone(), value)).collect();
        assert_eq!(trusted.client(PROXY, &extended), client, "{extended:?}");
    }
    // A proxy that writes one header passes on the other as the client sent it.
    let mut both: HeaderMap = sent.into_iter().map(|(_, value)| (other.clone(), value)).collect();
    both.append(own, added);
    assert!([client, PROXY].contains(&trusted.client(PROXY, &both)), "{both:?}");
}
