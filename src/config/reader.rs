//! Reads single settings and collects all problems.

use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::problem::Problem;
use super::randomness::{MIN_RANDOM_BITS, estimated_bits};
use super::secret_text::{contains_template, invisible_extra, unresolved_reference};
use super::source::Given;
use crate::keys::Secret;
use crate::transport::limits::rate::Rate;

/// The minimum length of a secret in bytes (RFC 7518 section 3.2 for HS256). A shorter one could be
/// guessed offline from any access token.
pub(super) const MIN_SECRET_BYTES: usize = 32;

/// How to create a secret.
pub(super) const CREATE_SECRET: &str = "create one with `openssl rand -base64 48`";

/// Reads settings and collects their problems.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    given: &'a Given,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(given: &'a Given) -> Self {
        Self { given, problems: given.problems().cloned().collect() }
    }

    /// Adds a problem. The text must not contain a secret.
    pub(super) fn problem(&mut self, setting: &'static str, text: impl Into<String>) {
        self.problems.push(Problem::new(setting, text));
    }

    pub(super) fn problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Returns whether a value was given, even one that could not be read.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.get(name).is_some() || self.given.is_unreadable(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.given.get(name)
    }

    /// Returns the file that the value of a setting came from, if it came from one.
    pub(super) fn file(&self, name: &str) -> Option<PathBuf> {
        self.given.file(name).map(Path::to_owned)
    }

    pub(super) fn number<N>(&mut self, name: &'static str, bounds: RangeInclusive<N>) -> N
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        let (least, most) = (*bounds.start(), *bounds.end());
        let text = self.text(name).unwrap_or_default();
        match text.parse::<N>() {
            Ok(number) if bounds.contains(&number) => number,
            _ => {
                self.problem(name, format!("{name} must be a whole number from {least} to {most}"));
                least
            }
        }
    }

    pub(super) fn truth(&mut self, name: &'static str) -> bool {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "1" | "yes" | "on") => true,
            Some("false" | "0" | "no" | "off") => false,
            _ => {
                self.problem(name, format!("{name} must be true or false"));
                false
            }
        }
    }

    pub(super) fn address(&mut self, name: &'static str) -> SocketAddr {
        let text = self.text(name).unwrap_or_default();
        text.parse().unwrap_or_else(|_| {
            self.problem(name, address_problem(name, text));
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(name)?;
        let chosen = choices.iter().find(|(choice, _)| choice.eq_ignore_ascii_case(text));
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
            self.problem(name, format!("{name} must be one of {}", names.join(", ")));
        }
        chosen.map(|(_, value)| *value)
    }

    /// Reads a text that is no secret by the rules of its type, whose error is a phrase such as "is not a
    /// colour".
    pub(super) fn parsed<T>(&mut self, name: &'static str, text: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        let parsed = text.parse();
        if let Err(invalid) = &parsed {
            self.problem(name, format!("{name}: `{text}` {invalid}"));
        }
        parsed.ok()
    }

    /// Reads a rate, such as `20/100`. `0` is no limit.
    pub(super) fn rate(&mut self, name: &'static str) -> Option<Rate> {
        let text = self.text(name).filter(|text| *text != "0")?;
        let rate = text.parse().ok();
        if rate.is_none() {
            self.problem(
                name,
                format!(
                    "{name} must be requests per second, such as 50, with a burst, such as 50/200, \
                     or 0"
                ),
            );
        }
        rate
    }

    /// Reads a URL that may contain a secret. Refuses invisible characters and unresolved
    /// references.
    pub(super) fn url(&mut self, name: &'static str) -> Option<&'a str> {
        let text = self.text(name)?;
        let Some(problem) = spoiled_url(name, text) else { return Some(text) };
        self.problem(name, problem);
        None
    }

    pub(super) fn list(&self, name: &str) -> Vec<&'a str> {
        let parts = self.text(name).unwrap_or_default().split(',');
        parts.map(str::trim).filter(|part| !part.is_empty()).collect()
    }

    /// Reads a secret. It must consist of exactly the bytes that other programs verify with:
    /// visible, complete, long enough and, in production, random.
    pub(super) fn secret(&mut self, name: &'static str, production: bool) -> Option<Secret> {
        let text = self.text(name)?;
        if let Some(problem) = spoiled(name, text) {
            self.problem(name, problem);
        } else if text.len() < MIN_SECRET_BYTES {
            self.problem(
                name,
                format!("{name} must be at least {MIN_SECRET_BYTES} bytes long; {CREATE_SECRET}"),
            );
        } else if production && is_placeholder(text) {
            self.problem(name, format!("{name} is a placeholder; {CREATE_SECRET}"));
        } else if production && estimated_bits(text) < MIN_RANDOM_BITS {
            self.problem(
                name,
                format!(
                    "{name} is not random enough (less than {MIN_RANDOM_BITS} bits by estimation); \
                     {CREATE_SECRET}"
                ),
            );
        }
        Some(Secret::new(text))
    }
}

/// Returns why a text cannot be a URL that contains a secret.
fn spoiled_url(name: &str, text: &str) -> Option<String> {
    if let Some(extra) = invisible_extra(text) {
        return Some(format!("{name} has {extra}: remove it"));
    }
    contains_template(text).then(|| {
        format!("{name} contains a reference that nothing has resolved: put the value in its place")
    })
}

/// Returns why a text cannot be exactly the secret.
pub(super) fn spoiled(name: &str, text: &str) -> Option<String> {
    if let Some(extra) = invisible_extra(text) {
        return Some(format!(
            "{name} has {extra}: remove it; every byte of the value is part of the key, and programs \
             that strip it would verify with another key"
        ));
    }
    match unresolved_reference(text)? {
        "a path" => Some(format!(
            "{name} is a path, not a secret: to read the secret from this file, set {name}_FILE"
        )),
        kind => Some(format!(
            "{name} is {kind}, not a secret: let your deployment put the secret's value here, or \
             mount it as a file and set {name}_FILE"
        )),
    }
}

/// Returns the problem with an address, and the address that was probably meant.
fn address_problem(name: &str, text: &str) -> String {
    let rule = format!("{name} must be an IP address and a port, such as 127.0.0.1:8080");
    let port = |port: &str| port.parse::<u16>().is_ok();
    match text.rsplit_once(':') {
        Some(("localhost", number)) if port(number) => {
            format!("{rule}; for localhost, write 127.0.0.1:{number}")
        }
        Some(("", number)) if port(number) => {
            format!("{rule}; for every interface, write 0.0.0.0:{number} or [::]:{number}")
        }
        Some((host, number)) if port(number) && host.parse::<Ipv6Addr>().is_ok() => {
            format!("{rule}; write the IPv6 address in brackets: [{host}]:{number}")
        }
        _ if text.parse::<IpAddr>().is_ok() => format!("{rule}; the port is missing"),
        Some((_, number)) if port(number) => format!("{rule}; a host name cannot be used here"),
        _ if port(text) => format!("{rule}; the IP address is missing: 127.0.0.1:{text}"),
        _ => rule,
    }
}

/// Returns whether a secret was copied from documentation or typed without care.
fn is_placeholder(secret: &str) -> bool {
    const GIVEAWAYS: [&str; 22] = [
        "changeme",
        "change-me",
        "change_me",
        "change this",
        "change-this",
        "change_this",
        "your-",
        "your_",
        "placeholder",
        "example",
        "secret-key",
        "secret_key",
        "replace",
        "xxxx",
        "do-not-use",
        "do_not_use",
        "insecure",
        "dev-secret",
        "test-secret",
        "todo-",
        "password",
        "openssl",
    ];
    let lower = secret.to_ascii_lowercase();
    let distinct = secret.bytes().collect::<std::collections::BTreeSet<_>>().len();
    distinct < 8
        || is_a_repetition(secret.as_bytes())
        || GIVEAWAYS.iter().any(|giveaway| lower.contains(giveaway))
}

/// Returns whether it repeats at most a dozen bytes.
fn is_a_repetition(secret: &[u8]) -> bool {
    (1..=12).any(|period| secret.iter().zip(secret.iter().skip(period)).all(|(a, b)| a == b))
}

#[cfg(test)]
mod tests {
    use super::{address_problem, is_placeholder};

    #[test]
    fn an_invalid_address_is_answered_with_the_valid_one() {
        for (text, hint) in [
            ("localhost:50052", "write 127.0.0.1:50052"),
            (":8080", "0.0.0.0:8080"),
            ("::1:8080", "[::1]:8080"),
            ("auth.example.com:1", "a host name cannot be used"),
            ("127.0.0.1", "the port is missing"),
            ("::1", "the port is missing"),
            ("8080", "the IP address is missing: 127.0.0.1:8080"),
            ("127.0.0.1:http", "such as 127.0.0.1:8080"),
            ("", "such as 127.0.0.1:8080"),
        ] {
            let problem = address_problem("HTTP_ADDR", text);
            assert!(
                problem.starts_with("HTTP_ADDR must be") && problem.contains(hint),
                "{problem}"
            );
        }
    }

    #[test]
    fn placeholders_are_found() {
        for bad in [
            "your-super-secret-jwt-key-min-32-characters",
            "change-me-change-me-change-me-change-me",
            "0000000000000000000000000000000000000000",
            "CHANGE_ME_IN_PRODUCTION_PLEASE_0123456789",
            "dev-secret-do-not-use-in-production-123",
            "test-secret-test-secret-test-secret-12",
            "insecure-development-secret-0123456789",
            "12345678901234567890123456789012",
            "TODO-generate-a-secret-before-deploying",
            "use-openssl-rand-base64-32-to-generate",
        ] {
            assert!(is_placeholder(bad), "{bad}");
        }
        assert!(!is_placeholder("kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr="));
    }
}
