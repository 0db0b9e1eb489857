//! The authority that `status` and `console` call: the service on this machine, or any other.
//!
//! 1. Without `--authority`, it is the service on this machine, found by `GRPC_ADDR` as for `try`. Its
//!    certificate names the host that callers use, so its name is not checked. The address has to be a
//!    loopback address: elsewhere, another machine could pose as the service.
//! 2. With `--authority`, the certificate is verified. Plain HTTP is accepted on loopback only, because
//!    the key of an administrator is sent with each call.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, ArgMatches, value_parser};
use tonic::transport::Channel;
use url::{Host, Url};

use super::{api_key, channel};
use crate::app::inspect::reachable;
use crate::config::Config;
use crate::telemetry;
use crate::transport::callers::api_key::ApiKey;

/// How long an authority may take to accept a connection. With a higher value, the console shows later
/// that it is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a call may take. A count of many sessions takes some seconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// An authority to call. No connection is open yet.
pub(super) struct Authority {
    /// The connection, which is opened by the first call.
    pub(super) channel: Channel,
    /// The caller's key.
    pub(super) key: ApiKey,
    /// The address, for people.
    pub(super) address: String,
}

/// Returns the arguments that name the authority and the caller.
pub(super) fn arguments() -> [Arg; 4] {
    let file = |name: &'static str| {
        Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf))
    };
    [
        Arg::new("authority")
            .long("authority")
            .value_name("URL")
            .help("The gRPC address, such as https://authority.internal:50051; by default, GRPC_ADDR on this machine"),
        file("authority-ca")
            .requires("authority")
            .help("The root certificates that its certificate is verified with (PEM); by default, the system's"),
        Arg::new("authority-name")
            .long("authority-name")
            .value_name("NAME")
            .requires("authority")
            .help("The name in its certificate, if that is not the name in the URL, as behind a port forwarding"),
        api_key::argument(),
    ]
}

/// Finds the authority and reads the key.
///
/// # Errors
/// Returns a sentence if an argument is invalid, or if the key would be sent in clear text over a
/// network.
pub(super) fn find(config: &Config, matches: &ArgMatches) -> Result<Authority, String> {
    let target = match matches.get_one::<String>("authority") {
        Some(url) => named(url, matches)?,
        None => own(config)?,
    };
    let key = api_key::read(matches)?;
    let address = target.address();
    let channel = channel::lazy(target, CONNECT_TIMEOUT, CALL_TIMEOUT)?;
    Ok(Authority { channel, key, address })
}

fn own(config: &Config) -> Result<channel::Target, String> {
    let address = reachable(config.grpc_addr);
    if !address.ip().is_loopback() {
        return Err(format!(
            "GRPC_ADDR is {address}, which is not a loopback address: name the authority with \
             --authority https://…"
        ));
    }
    let tls = config.network.tls.is_some().then(|| channel::Tls::any_certificate(address.ip()));
    let tls = tls.transpose()?;
    Ok(channel::Target { host: address.ip().to_string(), port: address.port(), tls })
}

fn named(text: &str, matches: &ArgMatches) -> Result<channel::Target, String> {
    let form =
        || format!("--authority {text}: give a URL such as https://authority.internal:50051");
    let url = Url::parse(text).map_err(|_| form())?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !is_bare || !url.username().is_empty() || url.password().is_some() {
        return Err(form());
    }
    let (host, is_loopback) = match url.host() {
        Some(Host::Domain(name)) => (name.to_owned(), name == "localhost"),
        Some(Host::Ipv4(ip)) => (ip.to_string(), ip.is_loopback()),
        Some(Host::Ipv6(ip)) => (ip.to_string(), ip.is_loopback()),
        None => return Err(form()),
    };
    let port = url.port_or_known_default().ok_or_else(form)?;
    let tls = match url.scheme() {
        "https" => Some(verified(&host, matches)?),
        "http" if is_loopback => None,
        "http" => {
            return Err(format!(
                "--authority {text}: the key would cross the network in clear text; use https://, or \
                 forward the port to this machine"
            ));
        }
        _ => return Err(form()),
    };
    Ok(channel::Target { host, port, tls })
}

fn verified(host: &str, matches: &ArgMatches) -> Result<channel::Tls, String> {
    let name = matches.get_one::<String>("authority-name").map_or(host, String::as_str);
    let roots = match matches.get_one::<PathBuf>("authority-ca") {
        None => None,
        Some(path) => {
            let text = std::fs::read(path);
            let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
            if !text.windows(17).any(|part| part == b"BEGIN CERTIFICATE") {
                return Err(format!("{}: no certificate in PEM form", path.display()));
            }
            Some(text)
        }
    };
    let config = telemetry::trusting(roots.as_deref());
    let config = config.map_err(|error| format!("--authority-ca: {error}"))?;
    let name = match name.parse::<IpAddr>() {
        Ok(ip) => ip.into(),
        Err(_) => name
            .to_owned()
            .try_into()
            .map_err(|_| format!("--authority-name {name}: not a host's name"))?,
    };
    Ok(channel::Tls { config: Arc::new(config), name })
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    fn target(words: &[&str]) -> Result<channel::Target, String> {
        let command = Command::new("test").args(arguments());
        let matches = command.try_get_matches_from([&["test"], words].concat()).unwrap();
        named(matches.get_one::<String>("authority").unwrap(), &matches)
    }

    #[test]
    fn a_key_is_never_sent_in_clear_text_over_a_network() {
        for local in ["http://127.0.0.1:50051", "http://localhost:1", "http://[::1]:50051"] {
            assert!(target(&["--authority", local]).unwrap().tls.is_none(), "{local}");
        }
        for remote in [
            "http://authority.internal:50051",
            "http://10.0.0.1:50051",
            "http://localhost.example:50051",
            "http://[2001:db8::1]:50051",
        ] {
            let refused = target(&["--authority", remote]).err().unwrap();
            assert!(refused.contains("clear text"), "{refused}");
        }
    }

    #[test]
    fn an_authority_is_a_bare_url() {
        let found = target(&["--authority", "https://authority.internal:50051"]).unwrap();
        assert_eq!(found.address(), "https://authority.internal:50051");
        for bad in
            ["authority:50051", "https://a/path", "https://u:p@a", "ftp://a", "", "https://a?b"]
        {
            let refused = target(&["--authority", bad]).err().unwrap();
            assert!(refused.contains("give a URL"), "{bad}: {refused}");
        }
    }
}
